//! All commands by name.

use std::collections::HashMap;
use std::sync::OnceLock;

use foldhash::fast::FixedState;

use super::spec::CommandSpec;

/// Every family of commands. A new family adds its line here; a new command only its row there.
static FAMILIES: &[&[CommandSpec]] = &[
    super::database::COMMANDS,
    super::expiry::COMMANDS,
    super::keys::COMMANDS,
    super::object::COMMANDS,
    super::scan::COMMANDS,
    super::transfer::COMMANDS,
    super::strings::values::COMMANDS,
    super::strings::set::COMMANDS,
    super::strings::counters::COMMANDS,
    super::strings::ranges::COMMANDS,
    super::strings::lcs::COMMANDS,
    super::connection::COMMANDS,
    super::client::COMMANDS,
    super::command::COMMANDS,
    super::config::COMMANDS,
    super::server::COMMANDS,
    super::memory::COMMANDS,
    super::info::COMMANDS,
    super::pmemkv::COMMANDS,
];

/// A command or subcommand with its number, under which its statistics are kept.
#[derive(Clone, Copy, Debug)]
pub struct Command {
    /// Its row.
    pub spec: &'static CommandSpec,
    /// Position in [`Table::all`].
    pub number: usize,
    /// Name as statistics and errors show it: `get`, `client|list`.
    pub full_name: &'static str,
}

/// All commands.
#[derive(Debug)]
pub struct Table {
    all: Vec<Command>,
    /// Looked up for every command. The names are ours: nobody can choose them to collide.
    by_name: HashMap<Box<[u8]>, usize, FixedState>,
}

/// No command's name is longer; a longer word names none.
const NAME_BYTES_MAX: usize = 32;

static TABLE: OnceLock<Table> = OnceLock::new();

/// The table of all commands.
pub fn table() -> &'static Table {
    TABLE.get_or_init(Table::build)
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
    /// Commands have been looked up already.
    #[error("rename-command: too late")]
    TooLate,
}

/// Gives commands other names, or takes them away where the new name is empty, for the life of the process. To be
/// called before the first look-up.
pub fn rename_commands(renames: &[(String, String)]) -> Result<(), RenameError> {
    let mut table = Table::build();
    for (old, new) in renames {
        table.rename(old, new)?;
    }
    TABLE.set(table).map_err(|_| RenameError::TooLate)
}

impl Table {
    fn build() -> Self {
        let mut table = Table {
            all: Vec::new(),
            by_name: HashMap::default(),
        };
        for spec in FAMILIES.iter().copied().flatten() {
            table.add(spec, spec.name);
            for sub in spec.subcommands {
                // Made once per process and kept for its life, like the rows themselves.
                let full_name = Box::leak(format!("{}|{}", spec.name, sub.name).into_boxed_str());
                table.add(sub, full_name);
            }
        }
        table
    }

    fn add(&mut self, spec: &'static CommandSpec, full_name: &'static str) {
        let number = self.all.len();
        let before = self.by_name.insert(full_name.as_bytes().into(), number);
        assert!(before.is_none(), "two commands named {full_name}");
        self.all.push(Command {
            spec,
            number,
            full_name,
        });
    }

    fn rename(&mut self, old: &str, new: &str) -> Result<(), RenameError> {
        let (old, new) = (old.to_ascii_lowercase(), new.to_ascii_lowercase());
        if new.len() > NAME_BYTES_MAX || new.contains('|') {
            return Err(RenameError::BadName(new));
        }
        if !new.is_empty() && new != old && self.by_name.contains_key(new.as_bytes()) {
            return Err(RenameError::Taken(new));
        }
        let number = self
            .by_name
            .remove(old.as_bytes())
            .filter(|_| !old.contains('|'))
            .ok_or(RenameError::NoSuchCommand(old))?;
        if !new.is_empty() {
            self.by_name.insert(new.into_bytes().into(), number);
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
    pub fn find(&self, name: &[u8]) -> Option<&Command> {
        let mut lower = [0; NAME_BYTES_MAX];
        let lower = lower.get_mut(..name.len())?;
        lower.copy_from_slice(name);
        lower.make_ascii_lowercase();
        self.by_name.get(&*lower).map(|&number| &self.all[number])
    }

    /// The subcommand `sub` of `container`, in any case.
    pub fn find_subcommand(&self, container: &Command, sub: &[u8]) -> Option<&Command> {
        let position = container
            .spec
            .subcommands
            .iter()
            .position(|spec| spec.name.as_bytes().eq_ignore_ascii_case(sub))?;
        // Subcommands follow their container.
        self.all.get(container.number + 1 + position)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn renames_and_takes_away() {
        let mut table = Table::build();
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
    }
}
