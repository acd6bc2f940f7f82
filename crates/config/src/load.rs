//! Loads the configuration at the start: the command line, files, includes.

use std::ffi::{OsStr, OsString};
use std::io::Read;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

use clap::Parser;

use super::directives::{DIRECTIVES, Elsewhere, find};
use super::unsupported::{self, LOADMODULE, Line};
use super::value::{Kind, Mode, ValueError};
use super::{Config, Values};
use redis_core::glob;
use redis_core::quoting::{quote, split_args};

/// How many levels deep files may include each other.
const INCLUDE_DEPTH_MAX: usize = 16;

/// Directives that Redis no longer has but still accepts without a warning.
const RETIRED: [&str; 3] = [
    "list-max-ziplist-entries",
    "list-max-ziplist-value",
    "lua-replicate-commands",
];

#[derive(Debug, Parser)]
#[command(
    name = "pmemkv-server",
    version,
    about = "A Redis-compatible server whose data lives in persistent memory",
    override_usage = "pmemkv-server [FILE] [--directive value ...] [-]\n       \
        pmemkv-server [FILE] [--directive value ...] --dump-config\n       \
        pmemkv-server check [--json] POOL",
    disable_version_flag = true,
    after_help = "Examples:
  pmemkv-server
  pmemkv-server /etc/pmemkv-server.conf
  pmemkv-server --port 7000 --pool-path /dev/shm/cache.pool --pool-size 4gb
  pmemkv-server /etc/pmemkv-server.conf --loglevel verbose
  echo 'port 7000' | pmemkv-server -
  pmemkv-server /etc/pmemkv-server.conf --dump-config
  pmemkv-server check /dev/shm/cache.pool"
)]
pub(super) struct CommandLine {
    /// Print the version
    #[arg(short = 'v', long, action = clap::ArgAction::Version)]
    version: Option<bool>,
    /// A configuration file, then directives with their values, which go before the file's.
    /// `-` as the first or the last argument reads directives from standard input.
    #[arg(
        value_name = "FILE | --directive value",
        trailing_var_arg = true,
        allow_hyphen_values = true
    )]
    arguments: Vec<OsString>,
}

/// The result of loading.
#[derive(Debug)]
pub struct Loaded {
    /// The configuration.
    pub config: Config,
    /// Warnings that the server logs once the log is open.
    pub warnings: Vec<String>,
    /// The configuration file, as an absolute path.
    pub config_file: Option<PathBuf>,
    /// The text that was read from standard input.
    pub stdin: Vec<u8>,
    /// The last line that set each directive; the errors of a refused start quote them.
    lines: Vec<Line>,
}

impl Loaded {
    /// The error for a pool that does not survive a loss of power, if the configuration promises that every write does.
    /// `None` if it does not promise that.
    pub fn power_refusal(&self) -> Option<ConfigError> {
        if !self.config.settings().promises_power {
            return None;
        }
        unsupported::no_power(&self.lines)
    }
}

/// Why the configuration can't be loaded.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The command line asks for help or the version, or is wrong. [`clap::Error::exit`] handles all three.
    #[error(transparent)]
    CommandLine(#[from] clap::Error),
    /// The server cannot read a file.
    #[error("Fatal error, can't open config file '{}': {source}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// A line is wrong.
    #[error(
        "*** FATAL CONFIG FILE ERROR (pmemkv-server {version}) ***\n\
         Reading the configuration file, at line {number} of {origin}\n\
         >>> '{line}'\n{source}",
        version = env!("CARGO_PKG_VERSION")
    )]
    Line {
        /// The file, or the name of the source that stands for one.
        origin: String,
        /// The line's number, from 1.
        number: usize,
        /// The line without the value of a secret.
        line: String,
        /// What is wrong.
        source: ValueError,
    },
    /// Lines ask for features that this server does not have.
    #[error(
        "the configuration asks for what this server does not do: {lines}. Remove that, or accept that it has no effect \
         by the directive: accept-unsupported {names}"
    )]
    Unsupported {
        /// The lines, with their place and the reason.
        lines: String,
        /// The directives.
        names: String,
    },
}

impl Config {
    /// Loads the configuration for a command line. Its first item is the program's name.
    pub fn parse(arguments: &[OsString]) -> Result<Loaded, ConfigError> {
        let command_line = CommandLine::try_parse_from(arguments)?;
        let mut arguments = command_line.arguments.as_slice();
        let mut loader = Loader::default();
        let mut file = None;
        if let [first, rest @ ..] = arguments
            && !first.as_bytes().starts_with(b"-")
        {
            let path = std::path::absolute(first).map_err(|source| ConfigError::File {
                path: PathBuf::from(first),
                source,
            })?;
            loader.file(&path, 0)?;
            file = Some(path);
            arguments = rest;
        }
        let (from_stdin, options) = match arguments {
            [first, rest @ ..] if first == "-" => (true, rest),
            [rest @ .., last] if last == "-" => (true, rest),
            all => (false, all),
        };
        if from_stdin {
            let mut stdin = Vec::new();
            std::io::stdin()
                .read_to_end(&mut stdin)
                .map_err(|source| ConfigError::File {
                    path: PathBuf::from("-"),
                    source,
                })?;
            loader.text(&stdin, "standard input", 0)?;
            loader.stdin = stdin;
        }
        loader.text(&options_text(options), "the command line", 0)?;
        loader.finish(file)
    }

    /// Loads the configuration from the text of a file.
    pub fn from_text(text: &[u8]) -> Result<Loaded, ConfigError> {
        let mut loader = Loader::default();
        loader.text(text, "the text", 0)?;
        loader.finish(None)
    }
}

/// Turns options into the lines of a file, as Redis does. An option that begins with two dashes begins a line, unless the
/// option before it still needs its value.
fn options_text(options: &[OsString]) -> Vec<u8> {
    let mut text = Vec::new();
    let mut awaits_value = false;
    for (index, option) in options.iter().enumerate() {
        let Some(name) = option
            .as_bytes()
            .strip_prefix(b"--")
            .filter(|_| !awaits_value)
        else {
            text.push(b' ');
            text.extend(quote(option.as_bytes()));
            awaits_value = false;
            continue;
        };
        text.push(b'\n');
        text.extend(name);
        // `--port 6380` in one argument needs no value after it.
        awaits_value = split_args(name).is_none_or(|arguments| arguments.len() == 1);
        let next_is_option = options
            .get(index + 1)
            .is_none_or(|next| next.as_bytes().starts_with(b"--"));
        if name.eq_ignore_ascii_case(b"save") && next_is_option {
            text.extend(b" \"\"");
            awaits_value = false;
        }
        // An operator gives `--repair` by hand for one start, so it needs no value.
        if name.eq_ignore_ascii_case(b"repair") && next_is_option {
            text.extend(b" yes");
            awaits_value = false;
        }
    }
    text.strip_prefix(b"\n").map(<[u8]>::to_vec).unwrap_or(text)
}

/// Reads lines into values.
#[derive(Default)]
pub(super) struct Loader {
    pub(super) values: Values,
    /// The places in the table of the directives that a line has set.
    named: Vec<usize>,
    /// The names of directives that have no effect here, in lower case but otherwise as the first line gave them.
    without_meaning: Vec<String>,
    /// See [`Loaded`].
    lines: Vec<Line>,
    stdin: Vec<u8>,
}

impl Loader {
    /// Returns the configuration, or an error if it asks for what this server cannot do.
    fn finish(self, file: Option<PathBuf>) -> Result<Loaded, ConfigError> {
        if let Some(refusal) = unsupported::refusal(&self.values, &self.lines) {
            return Err(refusal);
        }
        let warnings = self.warnings();
        Ok(Loaded {
            config: Config::new(self.values, file.clone()),
            warnings,
            config_file: file,
            stdin: self.stdin,
            lines: self.lines,
        })
    }

    pub(super) fn file(&mut self, path: &Path, depth: usize) -> Result<(), ConfigError> {
        let text = std::fs::read(path).map_err(|source| ConfigError::File {
            path: path.to_owned(),
            source,
        })?;
        self.text(&text, &path.display().to_string(), depth)
    }

    pub(super) fn text(
        &mut self,
        text: &[u8],
        origin: &str,
        depth: usize,
    ) -> Result<(), ConfigError> {
        for (index, line) in text.split(|&byte| byte == b'\n').enumerate() {
            let line = line.trim_ascii();
            if line.is_empty() || line.starts_with(b"#") {
                continue;
            }
            let wrong = |source: ValueError| ConfigError::Line {
                origin: origin.to_owned(),
                number: index + 1,
                line: presentable(line),
                source,
            };
            let arguments = split_args(line)
                .ok_or_else(|| wrong(ValueError::new("Unbalanced quotes in configuration line")))?;
            let arguments: Vec<&[u8]> = arguments.iter().map(Vec::as_slice).collect();
            let [name, args @ ..] = arguments.as_slice() else {
                continue;
            };
            if name.eq_ignore_ascii_case(b"include") && args.len() == 1 {
                if depth == INCLUDE_DEPTH_MAX {
                    return Err(wrong(ValueError::new(
                        "files include each other too deeply",
                    )));
                }
                for path in included_files(args[0]) {
                    self.file(&path, depth + 1)?;
                }
                continue;
            }
            let name = self.directive(name, args).map_err(wrong)?;
            if let Some(name) = name {
                self.lines
                    .retain(|line| line.name != name || name == LOADMODULE);
                self.lines.push(Line {
                    name,
                    origin: origin.to_owned(),
                    number: index + 1,
                    text: presentable(line),
                });
            }
        }
        Ok(())
    }

    /// Applies one line. Returns the name of the directive that the line set, if the table has one.
    fn directive(
        &mut self,
        name: &[u8],
        args: &[&[u8]],
    ) -> Result<Option<&'static str>, ValueError> {
        let is_one_of = |names: &[&str]| {
            names
                .iter()
                .any(|other| other.as_bytes().eq_ignore_ascii_case(name))
        };
        if name.eq_ignore_ascii_case(b"rename-command") && args.len() == 2 {
            let [old, new] = [args[0], args[1]].map(|arg| String::from_utf8_lossy(arg).into());
            self.values.rename_commands.push((old, new));
            return Ok(None);
        }
        if name.eq_ignore_ascii_case(b"user") && !args.is_empty() {
            let user = args.iter().map(|arg| arg.to_vec());
            self.values.users.push(user.collect());
            return Ok(None);
        }
        if is_one_of(&RETIRED) && args.len() == 1 {
            return Ok(None);
        }
        if is_one_of(&[LOADMODULE]) && !args.is_empty() {
            self.note_without_meaning(name);
            return Ok(Some(LOADMODULE));
        }
        let Some(place) = find(name) else {
            return self.elsewhere(name, args).map(|()| None);
        };
        let directive = &DIRECTIVES[place];
        let mode = if self.named.contains(&place) {
            Mode::Later
        } else {
            Mode::First
        };
        // A file may also give a list as one argument in quotes.
        let parts: Vec<&[u8]> = match args {
            [only] if directive.takes_many() && !only.is_empty() => {
                only.split(|&byte| byte == b' ').collect()
            }
            _ => args.to_vec(),
        };
        let value =
            directive
                .kind
                .check(directive.name, &parts, &self.values.shown[place], mode)?;
        let asks_nothing = value.is_empty()
            || (matches!(directive.kind, Kind::Bool) && value == b"no")
            // The folder that the server was started in.
            || (matches!(directive.kind, Kind::WorkingDirectory) && value == b"./")
            || value == directive.default.as_bytes();
        // A directive that CONFIG SET would refuse gets a warning of its own.
        let warned = directive
            .unsupported
            .is_some_and(|unsupported| !unsupported.stops);
        if directive.is_idle() && !asks_nothing && !warned {
            self.note_without_meaning(name);
        }
        self.values.shown[place] = value;
        self.named.push(place);
        Ok(Some(directive.name))
    }

    /// A line that only another version of Redis knows.
    fn elsewhere(&mut self, name: &[u8], args: &[&[u8]]) -> Result<(), ValueError> {
        let Some(directive) = Elsewhere::find(name).filter(|_| !args.is_empty()) else {
            let reason = "Bad directive or wrong number of arguments";
            return Err(ValueError::new(reason));
        };
        if let Some(refusal) = directive.refusal(args) {
            return Err(ValueError::new(refusal));
        }
        if directive.warns() {
            self.note_without_meaning(name);
        }
        Ok(())
    }

    fn note_without_meaning(&mut self, name: &[u8]) {
        let name = String::from_utf8_lossy(name).to_ascii_lowercase();
        if !self.without_meaning.contains(&name) {
            self.without_meaning.push(name);
        }
    }

    fn warnings(&self) -> Vec<String> {
        let saving = unsupported::saving_warning(&self.values, &self.lines);
        let idle = (!self.without_meaning.is_empty()).then(|| {
            format!(
                "these directives are accepted but have no effect in this server: {}",
                self.without_meaning.join(", ")
            )
        });
        saving.into_iter().chain(idle).collect()
    }
}

/// A line for an error message. The value of a secret is left out.
fn presentable(line: &[u8]) -> String {
    let end = line
        .iter()
        .position(u8::is_ascii_whitespace)
        .unwrap_or(line.len());
    let name: Vec<u8> = line[..end]
        .iter()
        .copied()
        .filter(|byte| !matches!(byte, b'"' | b'\''))
        .collect();
    let secret = find(&name).is_some_and(|place| DIRECTIVES[place].sensitive)
        || name.eq_ignore_ascii_case(b"user");
    if secret && end < line.len() {
        format!("{} (value hidden)", String::from_utf8_lossy(&name))
    } else {
        String::from_utf8_lossy(line).into_owned()
    }
}

/// The files that an `include` names: the path itself, or the sorted matches of a pattern. A pattern may match none.
fn included_files(path: &[u8]) -> Vec<PathBuf> {
    let has_glob = |bytes: &[u8]| bytes.iter().any(|byte| b"*?[".contains(byte));
    if !has_glob(path) {
        return vec![PathBuf::from(OsStr::from_bytes(path))];
    }
    let root = if path.starts_with(b"/") { "/" } else { "" };
    let mut found = vec![PathBuf::from(root)];
    for part in path
        .split(|&byte| byte == b'/')
        .filter(|part| !part.is_empty())
    {
        if has_glob(part) {
            found = found
                .iter()
                .flat_map(|dir| matching_entries(dir, part))
                .collect();
        } else {
            for path in &mut found {
                path.push(OsStr::from_bytes(part));
            }
        }
    }
    found.retain(|path| path.exists());
    found
}

fn matching_entries(dir: &Path, pattern: &[u8]) -> Vec<PathBuf> {
    let readable = if dir.as_os_str().is_empty() {
        Path::new(".")
    } else {
        dir
    };
    let Ok(entries) = std::fs::read_dir(readable) else {
        return Vec::new();
    };
    let mut names: Vec<OsString> = entries
        .filter_map(Result::ok)
        .map(|entry| entry.file_name())
        .filter(|name| {
            let hidden = name.as_bytes().starts_with(b".") && !pattern.starts_with(b".");
            !hidden && glob::matches(pattern, name.as_bytes(), false)
        })
        .collect();
    names.sort_by_key(|name| name.clone().into_vec());
    names.into_iter().map(|name| dir.join(name)).collect()
}
