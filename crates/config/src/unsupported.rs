//! Directives of Redis that ask for what this server cannot do. If a configuration sets one, the start stops; CONFIG SET
//! refuses it. `accept-unsupported` names those that may be set although they have no effect.

use super::directives::{DIRECTIVES, Directive, find};
use super::load::ConfigError;
use super::value::{Mode, ValueError};
use super::{SetError, Values, refused};

/// A server of an earlier release had no replication, and with this name accepted it went on as a master. It still does, since
/// following a master replaces the data.
const REPLICAOF: &str = "replicaof";

/// The directive that says which others may be set although they have no effect.
pub(super) const ACCEPT: &str = "accept-unsupported";

/// A step of Redis's start. It has no value, so the table does not hold it.
pub(super) const LOADMODULE: &str = "loadmodule";
const NO_MODULES: &str =
    "there are no modules, so their commands and their data would be missing here";

const APPENDONLY: &str = "appendonly";

/// Earlier releases had no replicas to wait for, and files for them may say that this is known.
const MIN_REPLICAS: &str = "min-replicas-to-write";

/// Earlier releases wrote no RDB file, and files for them may say that this is known.
const SAVE: &str = "save";

/// With `appendonly yes`, the value `always` promises that every write survives a loss of power.
const APPENDFSYNC: &str = "appendfsync";
const NO_POWER: &str = "there is no append-only file, and what this pool acknowledges does not survive a loss of power \
    (see durability and pool-path)";

/// A promise that a directive makes in Redis.
#[derive(Clone, Copy, Debug)]
pub struct Unsupported {
    /// Why this server cannot keep the promise.
    pub reason: &'static str,
    /// Whether the start stops. If not, a warning says what this server does instead.
    pub stops: bool,
}

/// A line of the configuration that set a directive.
#[derive(Clone, Debug)]
pub(super) struct Line {
    /// The directive's name in the table.
    pub name: &'static str,
    /// The file, or the name of the source that stands for one.
    pub origin: String,
    /// The line's number, from 1.
    pub number: usize,
    /// The line without its secrets.
    pub text: String,
}

impl Line {
    fn place(&self) -> String {
        format!("line {} of {}", self.number, self.origin)
    }
}

/// Checks the names in a value of `accept-unsupported` and brings them into the form that CONFIG GET shows.
pub(super) fn check_names(args: &[&[u8]], old: &[u8], mode: Mode) -> Result<Vec<u8>, ValueError> {
    let mut names: Vec<&str> = match mode {
        Mode::Later => words(old).collect(),
        Mode::First | Mode::Set => Vec::new(),
    };
    for arg in args.iter().filter(|arg| !arg.is_empty()) {
        let name = canonical(arg).ok_or_else(|| {
            let all: Vec<&str> = all_names().collect();
            ValueError::new(format!(
                "argument(s) must be one of the following: {}",
                all.join(", ")
            ))
        })?;
        if !names.contains(&name) {
            names.push(name);
        }
    }
    Ok(names.join(" ").into_bytes())
}

fn words(value: &[u8]) -> impl Iterator<Item = &str> {
    str::from_utf8(value).unwrap_or_default().split_whitespace()
}

/// Every name that `accept-unsupported` takes.
fn all_names() -> impl Iterator<Item = &'static str> {
    let of_table = DIRECTIVES.iter().filter(|row| row.unsupported.is_some());
    of_table
        .map(|row| row.name)
        .chain([APPENDFSYNC, LOADMODULE, SAVE, MIN_REPLICAS, REPLICAOF])
}

fn canonical(name: &[u8]) -> Option<&'static str> {
    let present = find(name).map(|place| DIRECTIVES[place].name);
    all_names().find(|known| Some(*known) == present || known.as_bytes().eq_ignore_ascii_case(name))
}

impl Values {
    fn accepts(&self, name: &str) -> bool {
        words(self.get(ACCEPT)).any(|accepted| accepted == name)
    }

    fn asks(&self, place: usize, row: &Directive) -> bool {
        self.shown[place] != row.default.as_bytes()
    }

    /// Whether a master that the values name is not followed.
    pub(super) fn ignores_replicaof(&self) -> bool {
        self.accepts(REPLICAOF)
    }

    /// Whether the values promise that every write survives a loss of power, as `appendonly yes` with `appendfsync always`
    /// does in Redis.
    pub(super) fn promises_power(&self) -> bool {
        self.get(APPENDONLY) == b"yes"
            && self.get(APPENDFSYNC) == b"always"
            && !self.accepts(APPENDFSYNC)
    }

    /// Refuses a CONFIG SET from `self` to `next` that asks for what this server cannot do.
    pub(super) fn check_change(&self, next: &Values) -> Result<(), SetError> {
        for (place, row) in DIRECTIVES.iter().enumerate() {
            let Some(unsupported) = row.unsupported else {
                continue;
            };
            if !next.asks(place, row) || next.accepts(row.name) {
                continue;
            }
            if next.shown[place] != self.shown[place] {
                let reason = format!(
                    "{}. To set it without effect, add its name to {ACCEPT}",
                    unsupported.reason
                );
                return Err(refused(row.name, reason));
            }
            // The next start would stop at this value.
            if unsupported.stops {
                return Err(refused(ACCEPT, format!("{} is set", row.name)));
            }
        }
        // The next start would follow that master.
        if self.accepts(REPLICAOF) && !next.accepts(REPLICAOF) && !next.get(REPLICAOF).is_empty() {
            return Err(refused(ACCEPT, format!("{REPLICAOF} is set")));
        }
        Ok(())
    }
}

/// The reason for which CONFIG SET refuses a promise that writes survive a loss of power.
pub fn no_power_refusal() -> String {
    format!("{NO_POWER}. To set it without effect, add {APPENDFSYNC} to {ACCEPT}")
}

/// The error that stops a start whose `lines` ask for what this server cannot do. `None` if `accept-unsupported` names all
/// of these directives.
pub(super) fn refusal(values: &Values, lines: &[Line]) -> Option<ConfigError> {
    let mut reasons = Vec::new();
    for line in lines {
        let reason = if line.name == LOADMODULE {
            NO_MODULES
        } else {
            let place = find(line.name.as_bytes())?;
            let row = &DIRECTIVES[place];
            match row.unsupported {
                Some(unsupported) if unsupported.stops && values.asks(place, row) => {
                    unsupported.reason
                }
                _ => continue,
            }
        };
        if !values.accepts(line.name) {
            reasons.push((line, reason));
        }
    }
    error_of(&reasons)
}

/// The error for `appendfsync always` on a pool that does not survive a loss of power.
pub(super) fn no_power(lines: &[Line]) -> Option<ConfigError> {
    let line = lines.iter().find(|line| line.name == APPENDFSYNC)?;
    error_of(&[(line, NO_POWER)])
}

fn error_of(reasons: &[(&Line, &str)]) -> Option<ConfigError> {
    if reasons.is_empty() {
        return None;
    }
    let mut names: Vec<&str> = Vec::new();
    for (line, _) in reasons {
        if !names.contains(&line.name) {
            names.push(line.name);
        }
    }
    let lines: Vec<String> = reasons
        .iter()
        .map(|(line, reason)| format!("'{}' ({}): {reason}", line.text, line.place()))
        .collect();
    Some(ConfigError::Unsupported {
        lines: lines.join("; "),
        names: names.join(" "),
    })
}

/// The warning about `appendonly`, one for all of its lines.
pub(super) fn saving_warning(values: &Values, lines: &[Line]) -> Option<String> {
    let told: Vec<String> = lines
        .iter()
        .filter(|line| {
            find(line.name.as_bytes()).is_some_and(|place| {
                let row = &DIRECTIVES[place];
                row.unsupported
                    .is_some_and(|unsupported| !unsupported.stops)
                    && values.asks(place, row)
                    && !values.accepts(line.name)
            })
        })
        .map(|line| format!("{} ({})", line.name, line.place()))
        .collect();
    if told.is_empty() {
        return None;
    }
    Some(format!(
        "this server writes no append-only file, whatever the configuration says: {}. Instead every acknowledged write is \
         in the pool already; the line 'durability' below tells what it survives",
        told.join(", ")
    ))
}
