//! INFO: what the server is and does, in Redis's text form.
//!
//! Fields have Redis's names and order, since exporters parse them. A field that has no meaning here stands only where
//! its fixed value is true (`aof_enabled:0`: there is no log beside the pool).

mod activity;
mod feed;
mod memory;
mod replication;
mod report;
mod sections;

use bytes::Bytes;

pub(super) use self::memory::{MemoryUse, percent};
use self::report::Report;
use super::{CommandError, CommandResult, Context};
use crate::catalog::spec::{Argument, ArgumentKind, Arity, Categories, Flags, Group};
use crate::commands::row::Row;
use crate::protocol::{Args, Reply};

pub(super) static COMMANDS: &[Row] = &[Row::new("info", Arity::AtLeast(1), info)
    .flags(Flags::LOADING.union(Flags::STALE))
    .categories(Categories::DANGEROUS)
    .group(Group::Server, "1.0.0")
    .summary("Describes the server and what it has done.")
    .complexity("O(1)")
    .arguments(&[Argument::new("section", ArgumentKind::String)
        .optional()
        .multiple()])
    .tips(&[
        "nondeterministic_output",
        "request_policy:all_shards",
        "response_policy:special",
    ])
    .history(&[(
        "7.0.0",
        "Added support for taking multiple section arguments.",
    )])];

type Writer = fn(&Context<'_>, &mut Report) -> Result<(), CommandError>;

/// One section: its name, whether it is shown when none is named, and what writes it.
struct Section {
    name: &'static str,
    default: bool,
    write: Writer,
}

const fn section(name: &'static str, default: bool, write: Writer) -> Section {
    Section {
        name,
        default,
        write,
    }
}

/// The sections in the order of the reply, whatever the order in the call.
const SECTIONS: &[Section] = &[
    section("Server", true, sections::server),
    section("Clients", true, sections::clients),
    section("Memory", true, memory::memory),
    section("Persistence", true, sections::persistence),
    section("Stats", true, sections::stats),
    section("Replication", true, replication::replication),
    section("CPU", true, sections::cpu),
    section("Modules", true, |_, _| Ok(())),
    section("Commandstats", false, activity::commandstats),
    section("Errorstats", true, activity::errorstats),
    section("Latencystats", false, activity::latencystats),
    section("Cluster", true, sections::cluster),
    section("Keyspace", true, sections::keyspace),
    section("pmemkv", true, sections::pmemkv),
];

/// The sections that the arguments ask for.
fn select<'a>(
    asked: impl Iterator<Item = &'a [u8]> + Clone,
) -> impl Iterator<Item = &'static Section> {
    let asks = move |name: &str| {
        let mut asked = asked.clone();
        asked.any(|argument| argument.eq_ignore_ascii_case(name.as_bytes()))
    };
    let everything = asks("all") || asks("everything");
    let default = asks("default");
    SECTIONS
        .iter()
        .filter(move |section| everything || (default && section.default) || asks(section.name))
}

fn info(ctx: &mut Context<'_>, args: Args<'_>) -> CommandResult {
    let mut report = Report::default();
    let mut write = |section: &Section| {
        report.section(section.name);
        (section.write)(ctx, &mut report)
    };
    if args.len() == 1 {
        let mut sections = SECTIONS.iter().filter(|section| section.default);
        sections.try_for_each(&mut write)?;
    } else {
        select(args.from(1)).try_for_each(&mut write)?;
    }
    Ok(Reply::Verbatim(Bytes::from(report.finish())).into())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(arguments: &[&str]) -> Vec<&'static str> {
        select(arguments.iter().map(|argument| argument.as_bytes()))
            .map(|section| section.name)
            .collect()
    }

    #[test]
    fn sections_are_chosen_in_any_case_and_shown_once() {
        assert_eq!(
            names(&["keyspace", "SERVER", "server"]),
            ["Server", "Keyspace"]
        );
        assert_eq!(names(&["nosuch"]), [""; 0]);
        assert_eq!(names(&["All"]).len(), SECTIONS.len());
        assert_eq!(names(&["everything", "cpu"]).len(), SECTIONS.len());
        assert_eq!(names(&["default"]).len(), SECTIONS.len() - 2);
        let more = names(&["default", "commandstats", "latencystats"]);
        assert_eq!(more.len(), SECTIONS.len());
    }
}
