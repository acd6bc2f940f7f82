//! The check of a call against a user's rules.

use std::sync::OnceLock;

use smallvec::SmallVec;

use super::pattern::Access;
use super::rules::Rules;
use super::selector::Selector;
use crate::catalog::spec::{CommandSpec, Flags, FoundKey};
use crate::catalog::{Command, bitfield_only_reads, table};
use crate::protocol::Args;

/// Why a call is denied. Of several selectors' reasons the greatest is shown: the one that came closest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Denial {
    /// The command itself.
    Command,
    /// The key at this word.
    Key(usize),
    /// The channel at this word.
    Channel(usize),
}

/// Commands that name channels only to leave them: that needs no permission.
const LEAVING: [&str; 3] = ["unsubscribe", "sunsubscribe", "punsubscribe"];

/// What a command's calls need.
#[derive(Debug)]
struct Needs {
    /// One for each specification of its keys.
    keys: SmallVec<[KeyAccess; 1]>,
    channels: bool,
}

/// What is done to the keys of one specification.
#[derive(Clone, Copy, Debug)]
enum KeyAccess {
    Always(Access),
    /// A write, and with the word GET behind the value a read too.
    OfSet,
    /// A read, and where something of it is set a write too.
    OfBitfield,
}

impl Needs {
    fn new(command: &Command) -> Self {
        Self {
            keys: key_access(command.spec).collect(),
            channels: command.spec.channels(1).is_some() && !LEAVING.contains(&command.full_name),
        }
    }

    /// Those of every command, made once.
    fn of(command: &Command) -> &'static Needs {
        static ALL: OnceLock<Vec<Needs>> = OnceLock::new();
        let all = ALL.get_or_init(|| table().all().iter().map(Needs::new).collect());
        &all[command.number]
    }

    /// The words that are keys, and what is done to each. Of a call that says a wrong number of keys nothing more is
    /// asked than that the keys which it seems to have may be used at all: it will fail, whatever they are.
    fn keys(&self, command: &CommandSpec, args: Args<'_>) -> SmallVec<[(usize, Access); 4]> {
        let found = command.find_keys(args).into_iter();
        let accesses = found.map(|FoundKey { word, spec }| {
            let access = spec.and_then(|spec| self.keys.get(spec));
            let access = access.map_or_else(Access::default, |access| access.of_call(args));
            (word, access)
        });
        accesses.collect()
    }
}

impl KeyAccess {
    fn of_call(self, args: Args<'_>) -> Access {
        match self {
            KeyAccess::Always(access) => access,
            KeyAccess::OfSet => Access {
                read: args.from(3).any(|word| word.eq_ignore_ascii_case(b"get")),
                write: true,
            },
            KeyAccess::OfBitfield => Access {
                read: true,
                write: !bitfield_only_reads(args),
            },
        }
    }
}

/// What each specification of a command's keys asks of a pattern: reading where values are seen, writing where
/// something is put in, changed or removed; neither where only a key's existence, type or length is told.
fn key_access(command: &'static CommandSpec) -> impl Iterator<Item = KeyAccess> {
    command.keys.iter().map(|spec| {
        let has = |flag| spec.flags.contains(&flag);
        if has("variable_flags") {
            match command.name {
                "bitfield" => KeyAccess::OfBitfield,
                _ => KeyAccess::OfSet,
            }
        } else {
            KeyAccess::Always(Access {
                read: has("access"),
                write: has("insert") || has("delete") || has("update"),
            })
        }
    })
}

impl Rules {
    /// Whether a client may go on listening to a channel, or as it stands a pattern of channels.
    pub fn allows_channel(&self, channel: &[u8], is_pattern: bool) -> bool {
        self.all_selectors()
            .any(|selector| selector.allows_channel(channel, is_pattern))
    }

    /// Whether the user may make this call: one selector must allow all of it.
    pub fn check(&self, command: &Command, args: Args<'_>) -> Result<(), Denial> {
        let needs = Needs::of(command);
        let mut keys = None;
        let mut reason = Denial::Command;
        for selector in self.all_selectors() {
            match check_selector(selector, command, needs, args, &mut keys) {
                Ok(()) => return Ok(()),
                Err(denial) => reason = reason.max(denial),
            }
        }
        Err(reason)
    }

    /// Whether the user may make this call and read any key in it, of whatever name: one selector must allow both.
    pub fn allows_reading_all(&self, command: &Command, args: Args<'_>) -> bool {
        let needs = Needs::of(command);
        let mut keys = None;
        self.all_selectors().any(|selector| {
            selector.reads_all_keys()
                && check_selector(selector, command, needs, args, &mut keys).is_ok()
        })
    }
}

/// The keys of the call are looked for once, when the first selector asks for them.
type FoundKeys = Option<SmallVec<[(usize, Access); 4]>>;

fn check_selector(
    selector: &Selector,
    command: &Command,
    needs: &Needs,
    args: Args<'_>,
    keys: &mut FoundKeys,
) -> Result<(), Denial> {
    let first_arg = args.get(1);
    if !command.spec.flags.contains(Flags::NO_AUTH) && !selector.allows_command(command, first_arg)
    {
        return Err(Denial::Command);
    }
    if !selector.allows_all_keys() && !needs.keys.is_empty() {
        for &(word, access) in keys
            .get_or_insert_with(|| needs.keys(command.spec, args))
            .iter()
        {
            let key = args.get(word).unwrap_or_default();
            if !selector.allows_key(key, access) {
                return Err(Denial::Key(word));
            }
        }
    }
    if needs.channels
        && !selector.allows_all_channels()
        && let Some((words, are_patterns)) = command.spec.channels(args.len())
    {
        for word in words {
            let channel = args.get(word).unwrap_or_default();
            if !selector.allows_channel(channel, are_patterns) {
                return Err(Denial::Channel(word));
            }
        }
    }
    Ok(())
}
