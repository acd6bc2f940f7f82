//! The manual pages.

use std::io::{self, Write};

use clap_mangen::Man;
use roff::{Inline, Roff, bold, italic, roman};

use super::comments::{Block, Section, sections};
use crate::directives::{DIRECTIVES, Directive};
use crate::task::command_line;

const SOURCE: &str = concat!("pmemkv-server ", env!("CARGO_PKG_VERSION"));
const MANUAL: &str = "pmemkv-server";

/// The sections of pmemkv-server(1) that no option explains: a title and paragraphs, each with a term or without.
const PROGRAM: &[(&str, &[(&str, &str)])] = &[
    (
        "SIGNALS",
        &[
            (
                "SIGTERM, SIGINT",
                "The server stops as after SHUTDOWN: it accepts no more clients, answers what they have sent, closes the \
                 pool. A second signal does nothing more.",
            ),
            (
                "SIGKILL",
                "Loses no acknowledged write either; the next start takes no longer.",
            ),
        ],
    ),
    (
        "EXIT STATUS",
        &[
            (
                "0",
                "The server was told to stop, or the pool is whole (check).",
            ),
            (
                "1",
                "The start failed, and standard error says why; or the pool is damaged (check).",
            ),
            (
                "2",
                "The command line is wrong, or the pool could not be checked (check).",
            ),
        ],
    ),
    (
        "ENVIRONMENT",
        &[
            (
                "RUST_LOG",
                "A filter of the log that goes before the directive loglevel.",
            ),
            (
                "NOTIFY_SOCKET, WATCHDOG_USEC",
                "With supervised systemd: where the server tells how its start goes, and how often it shows a sign of life.",
            ),
            (
                "LISTEN_FDS, LISTEN_PID",
                "Sockets that systemd has opened. The server takes each for the address that it has, among those that bind, \
                 port, tls-port, unixsocket and metrics-port name. Such a socket outlives a restart.",
            ),
            (
                "PMEM_IS_PMEM_FORCE, PMEM_NO_FLUSH, PMEM_NO_MOVNT",
                "Settings of libpmem. The server sets those that the directive durability needs before it loads libpmem.",
            ),
        ],
    ),
    (
        "FILES",
        &[
            (
                "/etc/pmemkv-server/pmemkv-server.conf",
                "The configuration of Debian's package.",
            ),
            (
                "/dev/shm/pmemkv-server.pool",
                "The pool, if the configuration names no other place (pool-path).",
            ),
        ],
    ),
    (
        "SEE ALSO",
        &[("", "pmemkv-server.conf(5), redis-cli(1), systemd.socket(5)")],
    ),
];

/// pmemkv-server(1).
pub(super) fn program(output: &mut dyn Write) -> io::Result<()> {
    let man = Man::new(command_line())
        .title("PMEMKV-SERVER")
        .section("1")
        .source(SOURCE)
        .manual(MANUAL);
    man.render_title(output)?;
    man.render_name_section(output)?;
    let mut roff = Roff::new();
    roff.control("SH", ["SYNOPSIS"]);
    for (name, rest) in [
        ("pmemkv-server", " [FILE] [--directive value ...] [-]"),
        (
            "pmemkv-server",
            " [FILE] [--directive value ...] --dump-config",
        ),
        ("pmemkv-server check", " [--json] POOL"),
    ] {
        roff.text(vec![bold(name), roman(rest)]);
        roff.control("br", []);
    }
    roff.to_writer(output)?;
    man.render_description_section(output)?;
    man.render_options_section(output)?;
    let mut roff = Roff::new();
    commands(&mut roff);
    for (title, entries) in PROGRAM {
        roff.control("SH", [*title]);
        for (term, text) in *entries {
            if !term.is_empty() {
                roff.control("TP", []).text(vec![bold(*term)]);
            }
            roff.text(vec![roman(*text)]);
        }
    }
    roff.to_writer(output)
}

/// The tasks that have a name, and the examples.
fn commands(roff: &mut Roff) {
    let command = command_line();
    roff.control("SH", ["COMMANDS"]);
    for task in command.get_subcommands() {
        let about = task.get_about().map(ToString::to_string);
        roff.control("TP", []).text(vec![bold(task.get_name())]);
        roff.text(vec![roman(about.unwrap_or_default())]);
        for argument in task.get_arguments() {
            let name = match argument.get_long() {
                Some(long) => format!("--{long}"),
                None => argument.get_id().to_string().to_uppercase(),
            };
            let help = argument.get_help().map(ToString::to_string);
            roff.control("RS", []);
            roff.control("TP", []).text(vec![bold(name)]);
            roff.text(vec![roman(help.unwrap_or_default())]);
            roff.control("RE", []);
        }
    }
    roff.control("SH", ["EXAMPLES"]);
    roff.control("nf", []);
    let examples = command.get_after_help().map(ToString::to_string);
    for line in examples.unwrap_or_default().lines().skip(1) {
        roff.text(vec![roman(line)]);
    }
    roff.control("fi", []);
}

/// pmemkv-server.conf(5).
pub(super) fn configuration(output: &mut dyn Write) -> io::Result<()> {
    let mut roff = Roff::new();
    roff.control("TH", ["PMEMKV-SERVER.CONF", "5", "", SOURCE, MANUAL]);
    roff.control("SH", ["NAME"]);
    roff.text(vec![roman(
        "pmemkv-server.conf - the configuration of pmemkv-server",
    )]);
    for section in sections() {
        let title = match section.title {
            "" => "DESCRIPTION".to_owned(),
            title => title.to_uppercase(),
        };
        roff.control("SH", [title.as_str()]);
        section.write(&mut roff);
    }
    roff.control("SH", ["DIRECTIVES OF REDIS WITHOUT EFFECT"]);
    roff.text(vec![roman(
        "The server accepts these, shows them by CONFIG GET, and warns of values other than the default.",
    )]);
    for directive in DIRECTIVES.iter().filter(|one| one.is_idle()) {
        roff.control("TP", []).text(head(directive));
        roff.text(vec![roman(facts(directive))]);
    }
    roff.control("SH", ["SEE ALSO"]);
    roff.text(vec![roman("pmemkv-server(1)")]);
    roff.to_writer(output)
}

impl Section {
    fn write(&self, roff: &mut Roff) {
        for block in &self.blocks {
            if block.directives.is_empty() {
                block.explain(roff, "PP");
                continue;
            }
            for (position, &place) in block.directives.iter().enumerate() {
                let tag = if position == 0 { "TP" } else { "TQ" };
                roff.control(tag, []).text(head(&DIRECTIVES[place]));
            }
            block.explain(roff, "IP");
            for &place in &block.directives {
                let directive = &DIRECTIVES[place];
                let name = match block.directives.len() {
                    1 => String::new(),
                    _ => format!("{}: ", directive.name),
                };
                roff.control("IP", []);
                roff.text(vec![roman(format!("{name}{}", facts(directive)))]);
            }
        }
    }
}

impl Block {
    /// Writes the comment. Indented lines are tables, whose lines stay.
    fn explain(&self, roff: &mut Roff, paragraph: &str) {
        roff.control(paragraph, []);
        let mut table_began = false;
        for line in &self.comment {
            let is_table = line.starts_with("  ");
            if is_table != table_began {
                roff.control(if is_table { "nf" } else { "fi" }, []);
                table_began = is_table;
            }
            if line.is_empty() {
                roff.control(paragraph, []);
            } else {
                roff.text(vec![roman(*line)]);
            }
        }
        if table_began {
            roff.control("fi", []);
        }
    }
}

fn head(directive: &Directive) -> Vec<Inline> {
    vec![
        bold(directive.name),
        roman(" "),
        italic(directive.kind.word()),
    ]
}

/// What the row says.
fn facts(directive: &Directive) -> String {
    let mut facts = directive.kind.allowed();
    if !facts.is_empty() {
        facts.push_str(". ");
    }
    match directive.default {
        "" => facts.push_str("Default: empty."),
        default => {
            facts.push_str("Default: ");
            facts.push_str(default);
            facts.push('.');
        }
    }
    if let Some(alias) = directive.alias {
        facts.push_str(" Former name: ");
        facts.push_str(alias);
        facts.push('.');
    }
    if directive.immutable {
        facts.push_str(" Only a start sets it.");
    }
    if directive.protected {
        facts.push_str(" CONFIG SET may change it only with enable-protected-configs.");
    }
    if let Some(unsupported) = directive.unsupported {
        let what = if unsupported.stops {
            " Another value stops the start, unless accept-unsupported names the directive: "
        } else {
            " CONFIG SET refuses another value, unless accept-unsupported names the directive; the start warns: "
        };
        facts.push_str(what);
        facts.push_str(unsupported.reason);
        facts.push('.');
    }
    facts
}
