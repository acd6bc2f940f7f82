//! Log lines: to standard output or a file, as text or JSON, with a level that can change while the server runs.

use std::fs::OpenOptions;
use std::io::IsTerminal;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};

use tracing::level_filters::LevelFilter;
use tracing_subscriber::filter::EnvFilter;
use tracing_subscriber::fmt;
use tracing_subscriber::fmt::writer::BoxMakeWriter;
use tracing_subscriber::prelude::*;
use tracing_subscriber::reload;
use tracing_subscriber::util::TryInitError;

mod bar;

use self::bar::AboveBar;
pub use self::bar::{end_progress, show_progress};
use crate::config::{LogFormat, LogLevel, Settings};

/// Changes the level that `init` set; there is none while `RUST_LOG` decides.
type SetFilter = Box<dyn Fn(LevelFilter) + Send + Sync>;

static SET_FILTER: OnceLock<SetFilter> = OnceLock::new();

/// Whether the log goes to standard output, as text.
static ON_STDOUT: AtomicBool = AtomicBool::new(false);

/// Why there is no log.
#[derive(Debug, thiserror::Error)]
pub enum LoggingError {
    /// The log file can't be opened.
    #[error("Can't open the log file {}: {source}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// Logging was set up before.
    #[error("logging is already set up: {0}")]
    Twice(#[source] TryInitError),
}

/// Sets logging up for the process, once. `RUST_LOG`, where it is set, goes before `loglevel`.
pub fn init(settings: &Settings) -> Result<(), LoggingError> {
    let (writer, colour) = match &settings.logfile {
        Some(path) => {
            let file = OpenOptions::new()
                .append(true)
                .create(true)
                .open(path)
                .map_err(|source| LoggingError::File {
                    path: path.clone(),
                    source,
                })?;
            (BoxMakeWriter::new(Arc::new(file)), false)
        }
        None => (
            BoxMakeWriter::new(|| AboveBar(std::io::stdout())),
            std::io::stdout().is_terminal(),
        ),
    };
    let is_text = settings.log_format == LogFormat::Text;
    ON_STDOUT.store(settings.logfile.is_none() && is_text, Ordering::Relaxed);
    let from_environment = std::env::var("RUST_LOG")
        .ok()
        .filter(|text| !text.is_empty())
        .and_then(|text| EnvFilter::try_new(text).ok());
    let by_level = from_environment.is_none();
    let filter = from_environment.unwrap_or_else(|| filter_of(level_filter(settings.loglevel)));
    let (filter, handle) = reload::Layer::new(filter);
    let lines = fmt::layer().with_writer(writer).with_ansi(colour);
    let lines = match settings.log_format {
        LogFormat::Text => lines.with_target(false).boxed(),
        LogFormat::Json => lines.json().flatten_event(true).boxed(),
    };
    tracing_subscriber::registry()
        .with(filter)
        .with(lines)
        .try_init()
        .map_err(LoggingError::Twice)?;
    if by_level {
        // It fails only if it was set, and then `try_init` failed before.
        let _ = SET_FILTER.set(Box::new(move |level| {
            // An error means that the subscriber is gone, and then nothing is logged at all.
            let _ = handle.reload(filter_of(level));
        }));
    }
    Ok(())
}

/// Applies a changed `loglevel`; does nothing before [`init`] and where `RUST_LOG` decides.
pub fn set_level(level: LogLevel) {
    if let Some(set_filter) = SET_FILTER.get() {
        set_filter(level_filter(level));
    }
}

fn is_on_stdout() -> bool {
    ON_STDOUT.load(Ordering::Relaxed)
}

fn filter_of(level: LevelFilter) -> EnvFilter {
    EnvFilter::default().add_directive(level.into())
}

fn level_filter(level: LogLevel) -> LevelFilter {
    match level {
        LogLevel::Debug => LevelFilter::TRACE,
        LogLevel::Verbose => LevelFilter::DEBUG,
        LogLevel::Notice => LevelFilter::INFO,
        LogLevel::Warning => LevelFilter::WARN,
        LogLevel::Nothing => LevelFilter::OFF,
    }
}

#[cfg(test)]
mod tests {
    use super::{LoggingError, init, set_level};
    use crate::config::{Config, LogLevel};

    #[test]
    fn writes_json_lines_and_changes_its_level() -> Result<(), Box<dyn std::error::Error>> {
        let dir = tempfile::tempdir()?;
        let path = dir.path().join("log");
        std::fs::write(&path, "before\n")?;
        let text = format!("logfile {}\nlog-format json", path.display());
        let settings = Config::from_text(text.as_bytes())?.config.settings();
        init(&settings)?;
        tracing::info!(answer = 42, "first");
        tracing::debug!("hidden");
        set_level(LogLevel::Verbose);
        tracing::debug!("second");
        set_level(LogLevel::Nothing);
        tracing::error!("hidden");

        let log = std::fs::read_to_string(&path)?;
        let mut lines = log.lines();
        assert_eq!(lines.next(), Some("before"));
        let seen: Vec<serde_json::Value> =
            lines.map(serde_json::from_str).collect::<Result<_, _>>()?;
        let messages: Vec<_> = seen.iter().map(|line| line["message"].as_str()).collect();
        assert_eq!(messages, [Some("first"), Some("second")]);
        assert_eq!(seen[0]["answer"], 42);
        assert!(matches!(init(&settings), Err(LoggingError::Twice(_))));
        Ok(())
    }
}
