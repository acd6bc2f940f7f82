//! The command line as clap knows it, with an option for each directive.

use clap::builder::PossibleValuesParser;
use clap::{Arg, Command};

use super::comments::{sections, sentence};
use crate::directives::{DIRECTIVES, Directive};
use crate::task::command_line;
use crate::value::Kind;

/// The command line with all directives, for completions.
pub(super) fn with_directives() -> Command {
    let sections = sections();
    let options = DIRECTIVES
        .iter()
        .enumerate()
        .filter(|(_, directive)| !directive.hidden)
        .map(|(place, directive)| {
            let help = sentence(&sections, place)
                .unwrap_or_else(|| "A directive of Redis, without effect here".to_owned());
            option(directive).help(help)
        });
    command_line()
        .args(options)
        .arg(Arg::new("file").value_hint(clap::ValueHint::FilePath))
}

fn option(directive: &'static Directive) -> Arg {
    let arg = Arg::new(directive.name)
        .long(directive.name)
        .value_name(directive.kind.word());
    match directive.kind {
        Kind::Bool => arg.value_parser(PossibleValuesParser::new(["yes", "no"])),
        Kind::Enum(words) => arg.value_parser(PossibleValuesParser::new(words)),
        Kind::WorkingDirectory => arg.value_hint(clap::ValueHint::DirPath),
        Kind::Text if names_a_file(directive.name) => arg.value_hint(clap::ValueHint::FilePath),
        _ => arg,
    }
}

fn names_a_file(name: &str) -> bool {
    ["file", "path", "unixsocket"]
        .iter()
        .any(|end| name.ends_with(end))
}
