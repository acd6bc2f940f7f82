//! The table of directives: every name that a configuration file or CONFIG may hold.
//!
//! A directive is one row. The row gives the name, the values that are allowed, the default, and the field of
//! [`Settings`] that the value sets:
//!
//! ```ignore
//! int("timeout", 0, INT, "0").sets(|settings, value| settings.timeout = value.seconds_if_any()),
//! ```
//!
//! A row without its effect (`sets`, `read_elsewhere`, `idle`, `refused` or `refused_later`) does not compile. The tests in
//! `tests/rows.rs` set each directive to the ends of its range and check that its field changes.
//!
//! The table holds all directives of Redis 7.2, also those that have no effect here, so that a file written for Redis
//! loads and CONFIG GET answers clients that ask for them. Names, defaults and ranges are those of Redis; the section
//! `OWN` holds the directives that only this server has.

mod data;
mod elsewhere;
mod own;
mod serving;

pub(crate) use self::elsewhere::Elsewhere;
use crate::checked::Checked;
use crate::settings::{Choice, Settings};
use crate::unsupported::Unsupported;
use crate::value::Kind;

/// One directive.
#[derive(Clone, Copy, Debug)]
#[allow(clippy::struct_excessive_bools)] // Independent properties of a row, not states.
pub struct Directive {
    /// The name in Redis 7.2.
    pub name: &'static str,
    /// An older name that is still accepted and shown.
    pub alias: Option<&'static str>,
    /// What the value may be.
    pub kind: Kind,
    /// The value if the configuration gives none, in the form that CONFIG GET shows.
    pub default: &'static str,
    /// Only a start can set it.
    pub immutable: bool,
    /// CONFIG SET may change it only if `enable-protected-configs` allows that.
    pub protected: bool,
    /// Logs and messages must not show its value.
    pub sensitive: bool,
    /// What the value promises in Redis, if this server cannot keep it.
    pub unsupported: Option<Unsupported>,
    /// It names something outside, such as a file. CONFIG SET reads that again even if the name stays the same.
    pub reloads: bool,
    /// CONFIG GET shows it by its name, but not for a pattern.
    pub hidden: bool,
    /// What the server does with the value.
    pub(crate) effect: Effect,
}

/// What the server does with a directive's value.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Effect {
    /// The value sets a field.
    Sets(fn(&mut Settings, Checked<'_>)),
    /// No field holds the value; a comment at the row says what reads it.
    ReadElsewhere,
    /// Nothing: the value is accepted and shown.
    Nothing,
}

impl Directive {
    /// Whether the server accepts and shows the value but does nothing with it.
    pub const fn is_idle(&self) -> bool {
        matches!(self.effect, Effect::Nothing)
    }

    /// Whether the value is a list, which a file may give as several arguments.
    pub const fn takes_many(&self) -> bool {
        matches!(
            self.kind,
            Kind::EnumSet(_)
                | Kind::Save
                | Kind::BufferLimits
                | Kind::OomScores
                | Kind::Addresses
                | Kind::ReplicaOf
                | Kind::Percentiles
                | Kind::Unsupported
        )
    }
}

/// A directive whose effect is not given yet. The methods that give the effect make a [`Directive`] of it.
#[derive(Clone, Copy)]
struct Row(Directive);

impl Row {
    const fn alias(mut self, alias: &'static str) -> Self {
        self.0.alias = Some(alias);
        self
    }

    const fn fixed(mut self) -> Self {
        self.0.immutable = true;
        self
    }

    const fn protected(mut self) -> Self {
        self.0.protected = true;
        self
    }

    const fn secret(mut self) -> Self {
        self.0.sensitive = true;
        self
    }

    const fn reloads(mut self) -> Self {
        self.0.reloads = true;
        self
    }

    const fn hidden(mut self) -> Self {
        self.0.hidden = true;
        self
    }

    /// The value sets a field of the settings.
    const fn sets(mut self, set: fn(&mut Settings, Checked<'_>)) -> Directive {
        self.0.effect = Effect::Sets(set);
        self.0
    }

    /// No field holds the value. A comment at the row says what reads it.
    const fn read_elsewhere(mut self) -> Directive {
        self.0.effect = Effect::ReadElsewhere;
        self.0
    }

    /// The value has no effect.
    const fn idle(self) -> Directive {
        self.0
    }

    /// The value has no effect, and any other than the default stops the start.
    const fn refused(mut self, reason: &'static str) -> Directive {
        self.0.unsupported = Some(Unsupported {
            reason,
            stops: true,
        });
        self.0
    }

    /// The value has no effect, and CONFIG SET refuses any other than the default. The start only warns, since the files
    /// that come with Redis set such a value.
    const fn refused_later(mut self, reason: &'static str) -> Directive {
        self.0.unsupported = Some(Unsupported {
            reason,
            stops: false,
        });
        self.0
    }
}

const fn row(name: &'static str, kind: Kind, default: &'static str) -> Row {
    Row(Directive {
        name,
        alias: None,
        kind,
        default,
        immutable: false,
        protected: false,
        sensitive: false,
        unsupported: None,
        reloads: false,
        hidden: false,
        effect: Effect::Nothing,
    })
}

const fn boolean(name: &'static str, default: &'static str) -> Row {
    row(name, Kind::Bool, default)
}

const fn int(name: &'static str, min: i64, max: i64, default: &'static str) -> Row {
    row(name, Kind::Int { min, max }, default)
}

const fn memory(name: &'static str, min: u64, max: u64, default: &'static str) -> Row {
    row(name, Kind::Memory { min, max }, default)
}

const fn text(name: &'static str, default: &'static str) -> Row {
    row(name, Kind::Text, default)
}

const fn choice(name: &'static str, words: &'static [&'static str], default: &'static str) -> Row {
    row(name, Kind::Enum(words), default)
}

/// A choice among the words of an enum of the settings.
const fn choice_of<T: Choice>(name: &'static str, default: &'static str) -> Row {
    choice(name, T::WORDS, default)
}

const INT: i64 = i32::MAX as i64;
const INT_MIN: i64 = i32::MIN as i64;
const LONG: i64 = i64::MAX;
const LONG_BYTES: u64 = i64::MAX as u64;
const MIB: u64 = 1 << 20;

/// The sections, in the order in which CONFIG GET shows them.
const SECTIONS: &[&[Directive]] = &[
    serving::NETWORK,
    serving::PROCESS,
    serving::PROTECTION,
    serving::MEMORY,
    serving::OBSERVATION,
    data::ENCODINGS,
    data::SAVING,
    data::REPLICATION,
    data::CLUSTER,
    own::TLS,
    own::OWN,
];

const COUNT: usize = {
    let mut count = 0;
    let mut section = 0;
    while section < SECTIONS.len() {
        count += SECTIONS[section].len();
        section += 1;
    }
    count
};

static ALL: [Directive; COUNT] = {
    let mut all = [SECTIONS[0][0]; COUNT];
    let mut next = 0;
    let mut section = 0;
    while section < SECTIONS.len() {
        let mut index = 0;
        while index < SECTIONS[section].len() {
            all[next] = SECTIONS[section][index];
            next += 1;
            index += 1;
        }
        section += 1;
    }
    all
};

/// Every directive.
pub static DIRECTIVES: &[Directive] = &ALL;

/// The place in [`DIRECTIVES`] of the directive that has this name or alias, in any case.
pub fn find(name: &[u8]) -> Option<usize> {
    DIRECTIVES.iter().position(|directive| {
        directive.name.as_bytes().eq_ignore_ascii_case(name)
            || directive
                .alias
                .is_some_and(|alias| alias.as_bytes().eq_ignore_ascii_case(name))
    })
}
