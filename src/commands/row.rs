//! A row: what a command is, and the function that runs it.
//!
//! The families export their rows. [`install`] makes of them the catalog's table, which knows the data alone, and a
//! list of the handlers by the commands' numbers.

use std::sync::OnceLock;

use super::{CommandResult, Context, FAMILIES};
use crate::catalog::spec::{
    Argument, Arity, Categories, CommandSpec, Flags, Group, KeySpec, Notes,
};
use crate::catalog::{self, RenameError, Table};
use crate::protocol::Args;

/// The function that runs a command. Arity is already checked.
pub type Handler = fn(&mut Context<'_>, Args<'_>) -> CommandResult;

/// One command, or one subcommand of a container.
#[derive(Clone, Copy, Debug)]
pub struct Row {
    pub(super) spec: CommandSpec,
    handler: Handler,
    subcommands: &'static [Row],
}

impl Row {
    /// A command of that name, which is in lower case; a subcommand's is without its container: `setname`.
    ///
    /// All that the row's other functions do not set is empty. A container's `handler` answers a call without a
    /// subcommand.
    pub const fn new(name: &'static str, arity: Arity, handler: Handler) -> Self {
        Self {
            spec: CommandSpec {
                name,
                arity,
                flags: Flags::NONE,
                categories: Categories::NONE,
                keys: &[],
                group: Group::Generic,
                since: "",
                summary: "",
                complexity: "",
                notes: Notes::NONE,
                arguments: &[],
            },
            handler,
            subcommands: &[],
        }
    }

    /// Another arity than the row began with.
    #[must_use]
    pub const fn arity(mut self, arity: Arity) -> Self {
        self.spec.arity = arity;
        self
    }

    /// How it behaves.
    #[must_use]
    pub const fn flags(mut self, flags: Flags) -> Self {
        self.spec.flags = flags;
        self
    }

    /// ACL categories besides those that follow from the flags.
    #[must_use]
    pub const fn categories(mut self, categories: Categories) -> Self {
        self.spec.categories = categories;
        self
    }

    /// Where its keys are.
    #[must_use]
    pub const fn keys(mut self, keys: &'static [KeySpec]) -> Self {
        self.spec.keys = keys;
        self
    }

    /// COMMAND DOCS's group, and Redis's version that brought the command.
    #[must_use]
    pub const fn group(mut self, group: Group, since: &'static str) -> Self {
        self.spec.group = group;
        self.spec.since = since;
        self
    }

    /// Another version than the row began with.
    #[must_use]
    pub const fn since(mut self, since: &'static str) -> Self {
        self.spec.since = since;
        self
    }

    /// One line for people, in our own words.
    #[must_use]
    pub const fn summary(mut self, summary: &'static str) -> Self {
        self.spec.summary = summary;
        self
    }

    /// Time complexity.
    #[must_use]
    pub const fn complexity(mut self, complexity: &'static str) -> Self {
        self.spec.complexity = complexity;
        self
    }

    /// Arguments after the name.
    #[must_use]
    pub const fn arguments(mut self, arguments: &'static [Argument]) -> Self {
        self.spec.arguments = arguments;
        self
    }

    /// The subcommands of a container.
    #[must_use]
    pub const fn subcommands(mut self, subcommands: &'static [Row]) -> Self {
        self.subcommands = subcommands;
        self
    }

    /// What a client or a proxy may do with it: `request_policy:all_shards`, `nondeterministic_output`, ...
    #[must_use]
    pub const fn tips(mut self, tips: &'static [&'static str]) -> Self {
        self.spec.notes.tips = tips;
        self
    }

    /// Versions and what each changed.
    #[must_use]
    pub const fn history(mut self, history: &'static [(&'static str, &'static str)]) -> Self {
        self.spec.notes.history = history;
        self
    }

    /// Deprecated since a version; `instead` says what to use.
    #[must_use]
    pub const fn deprecated(mut self, since: &'static str, instead: &'static str) -> Self {
        self.spec.notes.deprecated = Some((since, instead));
        self
    }

    /// For the server's own use, so that people need no documentation of it.
    #[must_use]
    pub const fn internal(mut self) -> Self {
        self.spec.notes.is_internal = true;
        self
    }
}

/// The rows of all families, those of subcommands left out.
fn rows() -> impl Iterator<Item = &'static Row> {
    FAMILIES.iter().copied().flatten()
}

/// The catalog's table of all rows.
pub(crate) fn new_table() -> Table {
    Table::new(rows().map(|row| (&row.spec, row.subcommands.iter().map(|sub| &sub.spec))))
}

/// Makes the table of all commands, unless it is there already.
pub fn install() {
    catalog::install(new_table);
}

/// As [`install`], with other names for some commands. An empty name removes the command.
pub fn install_renamed(renames: &[(String, String)]) -> Result<(), RenameError> {
    catalog::install_renamed(new_table(), renames)
}

/// The handlers of all commands, each at its command's number.
pub(super) fn handlers() -> &'static [Handler] {
    static HANDLERS: OnceLock<Vec<Handler>> = OnceLock::new();
    // The table numbers the rows in this order: a container, then its subcommands.
    let with_subcommands = |row: &'static Row| std::iter::once(row).chain(row.subcommands);
    HANDLERS.get_or_init(|| {
        let all = rows().flat_map(with_subcommands);
        all.map(|row| row.handler).collect()
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalog::table;

    #[test]
    fn every_number_has_the_handler_of_its_row() {
        let handler = |name: &str| {
            let command = table()
                .find(name.as_bytes())
                .expect("there is such a command");
            handlers()[command.number]
        };
        assert_eq!(handlers().len(), table().all().len());
        for row in rows() {
            let name = row.spec.name;
            assert!(std::ptr::fn_addr_eq(handler(name), row.handler), "{name}");
            for sub in row.subcommands {
                let name = format!("{name}|{}", sub.spec.name);
                assert!(std::ptr::fn_addr_eq(handler(&name), sub.handler), "{name}");
            }
        }
    }
}
