//! What the program can print about itself, made from the rows of the directives and from the comments of the default file:
//! manual pages and completions for shells. So they cannot say anything else than the program does.

mod command;
mod comments;
mod manual;
mod values;

use std::io::{self, Write};

use clap_complete::Shell;

/// A document that the program can print.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Document {
    /// The manual page of the program, pmemkv-server(1).
    Man,
    /// The manual page of the configuration, pmemkv-server.conf(5).
    ManConf,
    /// Completions for bash.
    Bash,
    /// Completions for zsh.
    Zsh,
    /// Completions for fish.
    Fish,
}

impl Document {
    /// Writes the document.
    pub fn write(self, output: &mut dyn Write) -> io::Result<()> {
        let shell = match self {
            Document::Man => return manual::program(output),
            Document::ManConf => return manual::configuration(output),
            Document::Bash => Shell::Bash,
            Document::Zsh => Shell::Zsh,
            Document::Fish => Shell::Fish,
        };
        let mut command = command::with_directives();
        clap_complete::generate(shell, &mut command, "pmemkv-server", output);
        Ok(())
    }
}
