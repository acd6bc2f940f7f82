//! Commands and categories by the names that rules use: a command's own, also where the configuration renames it.

use std::collections::HashMap;
use std::sync::OnceLock;

use crate::catalog::spec::Categories;
use crate::catalog::{Command, table};

/// The category of that name, in any case.
pub fn category(name: &[u8]) -> Option<Categories> {
    Categories::NAMED
        .iter()
        .find(|(_, known)| known.as_bytes().eq_ignore_ascii_case(name))
        .map(|&(category, _)| category)
}

/// The command or, by its full name, the subcommand (`config|get`), in any case.
pub fn command(name: &[u8]) -> Option<&'static Command> {
    static BY_NAME: OnceLock<HashMap<&'static [u8], &'static Command>> = OnceLock::new();
    let by_name = BY_NAME.get_or_init(|| {
        let commands = table().all().iter();
        commands
            .map(|command| (command.full_name.as_bytes(), command))
            .collect()
    });
    by_name.get(name.to_ascii_lowercase().as_slice()).copied()
}

/// Whether it is a subcommand.
pub(super) fn is_subcommand(command: &Command) -> bool {
    command.full_name.contains('|')
}

/// The numbers of a command and of its subcommands.
pub(super) fn numbers(command: &Command) -> std::ops::RangeInclusive<usize> {
    command.numbers()
}
