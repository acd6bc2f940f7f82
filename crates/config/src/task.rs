//! What the command line may ask for instead of a server.

use std::ffi::OsString;
use std::path::PathBuf;

use clap::{CommandFactory, FromArgMatches, Parser, Subcommand};

use super::documents::Document;
use super::load::CommandLine;

/// The option that prints the configuration. It is the first or the last argument.
const DUMP: &str = "--dump-config";

/// The option that prints a document, for packages.
const GENERATE: &str = "--generate";

/// A task other than to serve.
#[derive(Debug)]
pub enum Task {
    /// Says what is in a pool, and whether the pool is whole.
    Check(Check),
    /// Prints the configuration that a start with these arguments would have.
    DumpConfig(Vec<OsString>),
    /// Prints a document.
    Generate(Document),
}

/// `check`.
#[derive(Clone, Debug, Parser)]
pub struct Check {
    /// Print one JSON object
    #[arg(long)]
    pub json: bool,
    /// The pool: a file or a DAX device
    #[arg(value_hint = clap::ValueHint::FilePath)]
    pub pool: PathBuf,
}

// The tasks that have a name. (A comment for documents would become the program's description.)
#[derive(Debug, Subcommand)]
enum Named {
    /// Say what is in a pool and whether the pool is whole, without a server. Changes nothing, and refuses a pool that is in
    /// use
    Check(Check),
}

/// `--generate`.
#[derive(Debug, Parser)]
#[command(name = "pmemkv-server")]
struct Generate {
    #[arg(long)]
    generate: Document,
}

impl Task {
    /// The task that a command line asks for; `None` if it starts a server. Its first item is the program's name. A
    /// configuration file that has the name of a task needs its folder: `./check`.
    pub fn parse(arguments: &[OsString]) -> Result<Option<Self>, clap::Error> {
        let [program, rest @ ..] = arguments else {
            return Ok(None);
        };
        match rest {
            [first, ..] if first == "check" => {
                let matches = command_line().try_get_matches_from(arguments)?;
                let Named::Check(check) = Named::from_arg_matches(&matches)?;
                Ok(Some(Task::Check(check)))
            }
            [first, ..] if first == GENERATE => {
                let line = Generate::try_parse_from(arguments)?;
                Ok(Some(Task::Generate(line.generate)))
            }
            [first, others @ ..] if first == DUMP => Ok(Some(Task::dump(program, others))),
            [others @ .., last] if last == DUMP => Ok(Some(Task::dump(program, others))),
            _ => Ok(None),
        }
    }

    fn dump(program: &OsString, rest: &[OsString]) -> Self {
        Task::DumpConfig([std::slice::from_ref(program), rest].concat())
    }
}

/// The command line with its tasks, for the manual and for completions. The arguments of a server are read elsewhere.
pub(super) fn command_line() -> clap::Command {
    let server = CommandLine::command();
    let texts = (
        server.get_about().cloned(),
        server.get_after_help().cloned(),
    );
    let flag = |name: &'static str, help: &'static str| {
        clap::Arg::new(name)
            .long(name)
            .action(clap::ArgAction::SetTrue)
            .help(help)
    };
    let command = clap::Command::new("pmemkv-server")
        .version(env!("CARGO_PKG_VERSION"))
        .disable_version_flag(true)
        .arg(flag("version", "Print the version").short('v'))
        .arg(flag(
            "dump-config",
            "As the first or the last argument: print every directive with the value that this start would have, or the \
             error that would stop it. Secrets are left out",
        ));
    // The names bring a text of their own.
    Named::augment_subcommands(command)
        .about(texts.0.unwrap_or_default())
        .after_help(texts.1.unwrap_or_default())
        .disable_help_subcommand(true)
        .subcommand_required(false)
}
