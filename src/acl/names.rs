//! Finds commands and categories by the names in rules. A rule uses a command's own name, even if the configuration
//! renames the command.

use std::collections::HashMap;
use std::sync::OnceLock;

use crate::catalog::spec::Categories;
use crate::catalog::{Command, table};

/// The category with this name, in any letter case.
pub fn category(name: &[u8]) -> Option<Categories> {
    Categories::NAMED
        .iter()
        .find(|(_, known)| known.as_bytes().eq_ignore_ascii_case(name))
        .map(|&(category, _)| category)
}

/// The command or, by its full name (`config|get`), the subcommand, in any letter case.
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
