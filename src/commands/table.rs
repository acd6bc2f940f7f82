//! All commands by name.

use std::collections::HashMap;
use std::sync::LazyLock;

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
    by_name: HashMap<&'static [u8], usize>,
}

/// No command's name is longer; a longer word names none.
const NAME_BYTES_MAX: usize = 32;

static TABLE: LazyLock<Table> = LazyLock::new(Table::build);

/// The table of all commands.
pub fn table() -> &'static Table {
    &TABLE
}

impl Table {
    fn build() -> Self {
        let mut table = Table {
            all: Vec::new(),
            by_name: HashMap::new(),
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
        let before = self.by_name.insert(full_name.as_bytes(), number);
        assert!(before.is_none(), "two commands named {full_name}");
        self.all.push(Command {
            spec,
            number,
            full_name,
        });
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
