//! All commands by name.

use std::collections::HashMap;
use std::hash::{Hash, Hasher};
use std::sync::OnceLock;

use foldhash::fast::FixedState;

use crate::catalog::spec::CommandSpec;

/// A command or subcommand with its number, under which its statistics are kept.
#[derive(Clone, Copy, Debug)]
pub struct Command {
    /// Its row.
    pub spec: &'static CommandSpec,
    /// Position in [`Table::all`].
    pub number: usize,
    /// Name as statistics and errors show it: `get`, `client|list`.
    pub full_name: &'static str,
    /// How many subcommands it has; they follow it in [`Table::all`].
    subcommands: usize,
}

impl Command {
    /// Whether it has subcommands.
    pub fn is_container(&self) -> bool {
        self.subcommands > 0
    }

    /// Its number and those of its subcommands.
    pub fn numbers(&self) -> std::ops::RangeInclusive<usize> {
        self.number..=self.number + self.subcommands
    }
}

/// All commands.
#[derive(Debug)]
pub struct Table {
    all: Vec<Command>,
    /// Looked up for every command. The names are ours: nobody can choose them to collide.
    by_name: HashMap<Name, usize, FixedState>,
}

/// No command's name is longer; a longer word names none.
const NAME_BYTES_MAX: usize = 32;

/// A name in lower case, filled up with NUL. Of one size for all, so that it is hashed and compared without a loop.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Name([u8; NAME_BYTES_MAX]);

impl Hash for Name {
    fn hash<H: Hasher>(&self, state: &mut H) {
        let (parts, _) = self.0.as_chunks();
        let folded = |sum: u64, &part| sum.rotate_left(23) ^ u64::from_le_bytes(part);
        state.write_u64(parts.iter().fold(0, folded));
    }
}

/// The form in which a word is looked up; `None` where it can't be a name.
fn name(word: &[u8]) -> Option<Name> {
    // NULs at its end would be taken for the filling.
    if word.last() == Some(&0) {
        return None;
    }
    let mut name = [0; NAME_BYTES_MAX];
    name.get_mut(..word.len())?.copy_from_slice(word);
    name.make_ascii_lowercase();
    Some(Name(name))
}

static TABLE: OnceLock<Table> = OnceLock::new();

/// The table of all commands.
///
/// # Panics
///
/// Before [`install`].
pub fn table() -> &'static Table {
    #[cfg(test)]
    crate::commands::install();
    TABLE
        .get()
        .expect("the commands are installed before anybody asks for one")
}

/// Makes the table of all commands, unless it is there already.
pub fn install(make: impl FnOnce() -> Table) {
    TABLE.get_or_init(make);
}

/// Why a `rename-command` directive is refused.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum RenameError {
    /// No command of the old name.
    #[error("rename-command: no such command: {0}")]
    NoSuchCommand(String),
    /// The new name is another command's.
    #[error("rename-command: the name is taken: {0}")]
    Taken(String),
    /// The new name is too long, or holds a `|`.
    #[error("rename-command: not a command's name: {0}")]
    BadName(String),
    /// The table is installed already.
    #[error("rename-command: too late")]
    TooLate,
}

/// As [`install`], where commands get other names, or are taken away where the new name is empty.
pub fn install_renamed(mut table: Table, renames: &[(String, String)]) -> Result<(), RenameError> {
    for (old, new) in renames {
        table.rename(old, new)?;
    }
    TABLE.set(table).map_err(|_| RenameError::TooLate)
}

impl Table {
    /// The table of these commands, each with its subcommands.
    ///
    /// # Panics
    ///
    /// Where two have one name, or a name is longer than a name may be.
    pub fn new<S>(commands: impl Iterator<Item = (&'static CommandSpec, S)>) -> Self
    where
        S: ExactSizeIterator<Item = &'static CommandSpec>,
    {
        let mut table = Table {
            all: Vec::new(),
            by_name: HashMap::default(),
        };
        for (spec, subcommands) in commands {
            table.add(spec, spec.name, subcommands.len());
            for sub in subcommands {
                // Made once per process and kept for its life, like the rows themselves.
                let full_name = Box::leak(format!("{}|{}", spec.name, sub.name).into_boxed_str());
                table.add(sub, full_name, 0);
            }
        }
        table
    }

    fn add(&mut self, spec: &'static CommandSpec, full_name: &'static str, subcommands: usize) {
        let number = self.all.len();
        let name = name(full_name.as_bytes()).expect("names of commands are short");
        let before = self.by_name.insert(name, number);
        assert!(before.is_none(), "two commands named {full_name}");
        self.all.push(Command {
            spec,
            number,
            full_name,
            subcommands,
        });
    }

    fn rename(&mut self, old: &str, new: &str) -> Result<(), RenameError> {
        let (old, new) = (old.to_ascii_lowercase(), new.to_ascii_lowercase());
        let new_name = name(new.as_bytes()).filter(|_| !new.contains('|'));
        let Some(new_name) = new_name else {
            return Err(RenameError::BadName(new));
        };
        if !new.is_empty() && new != old && self.by_name.contains_key(&new_name) {
            return Err(RenameError::Taken(new));
        }
        let number = name(old.as_bytes())
            .filter(|_| !old.contains('|'))
            .and_then(|name| self.by_name.remove(&name))
            .ok_or(RenameError::NoSuchCommand(old))?;
        if !new.is_empty() {
            self.by_name.insert(new_name, number);
        }
        Ok(())
    }

    /// Commands and subcommands, in the order of the families' rows.
    pub fn all(&self) -> &[Command] {
        &self.all
    }

    /// Commands that are not subcommands.
    pub fn top_level(&self) -> impl Iterator<Item = &Command> {
        self.all
            .iter()
            .filter(|command| !command.full_name.contains('|'))
    }

    /// The command of that name, in any case; a subcommand by its full name (`client|list`).
    pub fn find(&self, word: &[u8]) -> Option<&Command> {
        self.by_name
            .get(&name(word)?)
            .map(|&number| &self.all[number])
    }

    /// The subcommands of a container; none of another command.
    pub fn subcommands(&self, container: &Command) -> &[Command] {
        let first = container.number + 1;
        &self.all[first..first + container.subcommands]
    }

    /// The subcommand `sub` of `container`, in any case.
    pub fn find_subcommand(&self, container: &Command, sub: &[u8]) -> Option<&Command> {
        self.subcommands(container)
            .iter()
            .find(|command| command.spec.name.as_bytes().eq_ignore_ascii_case(sub))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn renames_and_takes_away() {
        let mut table = crate::commands::new_table();
        table.rename("FLUSHALL", "wipe").expect("renamed");
        table.rename("debug", "").expect("taken away");
        let name = |table: &Table, name: &[u8]| table.find(name).map(|found| found.full_name);
        assert_eq!(name(&table, b"WIPE"), Some("flushall"));
        assert_eq!(name(&table, b"flushall"), None);
        assert_eq!(name(&table, b"DEBUG"), None);
        let refused = |table: &mut Table, old, new| table.rename(old, new).expect_err("refused");
        assert_eq!(
            refused(&mut table, "nonsense", "x"),
            RenameError::NoSuchCommand("nonsense".into())
        );
        assert_eq!(
            refused(&mut table, "get", "set"),
            RenameError::Taken("set".into())
        );
        assert_eq!(
            refused(&mut table, "get", &"x".repeat(33)),
            RenameError::BadName("x".repeat(33))
        );
        assert_eq!(table.find(b"get\0").map(|found| found.full_name), None);
        assert_eq!(table.find(b"").map(|found| found.full_name), None);
    }
}
