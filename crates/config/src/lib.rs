//! The server's configuration: files in the syntax of redis.conf, the command line, and CONFIG GET, SET, REWRITE.
//!
//! [`DIRECTIVES`] is the table of all names. A [`Config`] holds one value for each of them, checked and in the form that
//! CONFIG GET shows. [`Settings`] is their typed view; a change of a value rebuilds it.
//!
//! May use: Redis's text forms (`redis_core`). Never: knows what a setting does; has unsafe code.

#![forbid(unsafe_code)]

mod checked;
mod directives;
mod documents;
mod dump;
mod feed;
mod load;
mod replication;
mod rewrite;
mod settings;
mod task;
mod tls;
mod unsupported;
mod value;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::{Mutex, RwLock};

pub use self::directives::{DIRECTIVES, Directive};
pub use self::documents::Document;
pub use self::feed::FeedSettings;
pub use self::load::{ConfigError, Loaded};
pub use self::replication::{Master, ReplicationSettings};
pub use self::rewrite::RewriteError;
pub use self::settings::{
    Access, AuthClients, BindAddress, Durability, EvictionPolicy, FullSync, Layout, LogFormat,
    LogLevel, OutputBufferLimit, OutputBufferLimits, Secret, Settings, Supervised,
};
pub use self::task::{Check, Task};
pub use self::tls::TlsSettings;
pub use self::unsupported::{Unsupported, no_power_refusal};
pub use self::value::{Kind, ValueError};

use self::directives::find;
use self::value::Mode;
use redis_core::glob;

/// The values of all directives, in the order of [`DIRECTIVES`].
#[derive(Clone, PartialEq, Eq)]
struct Values {
    shown: Vec<Vec<u8>>,
    rename_commands: Vec<(String, String)>,
    /// The arguments of the `user` lines: a name and its rules.
    users: Vec<Vec<Vec<u8>>>,
}

impl Default for Values {
    fn default() -> Self {
        let shown = DIRECTIVES
            .iter()
            .map(|directive| directive.default.as_bytes().to_vec())
            .collect();
        Self {
            shown,
            rename_commands: Vec::new(),
            users: Vec::new(),
        }
    }
}

impl Values {
    fn get(&self, name: &str) -> &[u8] {
        let place = find(name.as_bytes()).expect("settings name directives of the table");
        &self.shown[place]
    }

    /// What CONFIG GET shows.
    fn shown(&self, place: usize) -> Vec<u8> {
        let value = &self.shown[place];
        match DIRECTIVES[place].kind {
            Kind::Events => value::shown_events(value),
            Kind::WorkingDirectory if value.is_empty() => {
                use std::os::unix::ffi::OsStringExt;
                std::env::current_dir()
                    .map(|dir| dir.into_os_string().into_vec())
                    .unwrap_or_default()
            }
            _ => value.clone(),
        }
    }
}

/// Why CONFIG SET changed nothing; the text is the error reply.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SetError {
    /// No such directive.
    #[error("ERR Unknown option or number of arguments for CONFIG SET - '{0}'")]
    Unknown(String),
    /// A directive cannot be set, or not to this value.
    #[error("ERR CONFIG SET failed (possibly related to argument '{name}') - {reason}")]
    Refused {
        /// The directive.
        name: String,
        /// Why.
        reason: String,
    },
}

/// The configuration that a running server shares.
pub struct Config {
    values: Mutex<Values>,
    settings: RwLock<Arc<Settings>>,
    version: AtomicU64,
    file: Option<PathBuf>,
}

impl std::fmt::Debug for Config {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // Shows the settings, since they hide secrets; the plain values do not.
        formatter
            .debug_struct("Config")
            .field("settings", &self.settings())
            .field("file", &self.file)
            .finish_non_exhaustive()
    }
}

impl Default for Config {
    fn default() -> Self {
        Self::new(Values::default(), None)
    }
}

impl Config {
    fn new(values: Values, file: Option<PathBuf>) -> Self {
        Self {
            settings: RwLock::new(Arc::new(Settings::from_values(&values))),
            values: Mutex::new(values),
            version: AtomicU64::new(1),
            file,
        }
    }

    /// The present settings.
    pub fn settings(&self) -> Arc<Settings> {
        Arc::clone(&self.settings.read())
    }

    /// A number that grows with every change. A thread that keeps settings compares it, and takes new settings when it
    /// differs.
    pub fn version(&self) -> u64 {
        self.version.load(Ordering::Acquire)
    }

    /// The absolute path of the configuration file that the server was started with.
    pub fn file(&self) -> Option<&Path> {
        self.file.as_deref()
    }

    /// The directives that match any of the patterns, each name once, with their values.
    ///
    /// A pattern without glob characters is a name; it is returned as the caller wrote it.
    pub fn get(&self, patterns: &[&[u8]]) -> Vec<(String, Vec<u8>)> {
        let values = self.values.lock();
        let mut found: Vec<(String, Vec<u8>)> = Vec::new();
        let mut add = |name: &str, place: usize| {
            if !found
                .iter()
                .any(|(other, _)| other.eq_ignore_ascii_case(name))
            {
                found.push((name.to_owned(), values.shown(place)));
            }
        };
        for pattern in patterns {
            if !pattern.iter().any(|byte| b"[*?".contains(byte)) {
                if let Some(place) = find(pattern) {
                    add(&String::from_utf8_lossy(pattern), place);
                }
                continue;
            }
            for (place, directive) in DIRECTIVES.iter().enumerate() {
                if directive.hidden {
                    continue;
                }
                for name in [Some(directive.name), directive.alias]
                    .into_iter()
                    .flatten()
                {
                    if glob::matches(pattern, name.as_bytes(), true) {
                        add(name, place);
                    }
                }
            }
        }
        found
    }

    /// Sets a value that the server found out at its start, or that a command decided, even if only a start can set the
    /// directive. Ignores a value that
    /// does not pass its check.
    pub fn found(&self, name: &str, value: &str) {
        let mut values = self.values.lock();
        let place = find(name.as_bytes()).expect("the start names directives of the table");
        let directive = &DIRECTIVES[place];
        let old = &values.shown[place];
        let args: Vec<&[u8]> = if directive.takes_many() {
            value.split(' ').map(str::as_bytes).collect()
        } else {
            vec![value.as_bytes()]
        };
        if let Ok(new) = directive.kind.check(directive.name, &args, old, Mode::Set) {
            values.shown[place] = new;
            *self.settings.write() = Arc::new(Settings::from_values(&values));
            self.version.fetch_add(1, Ordering::Release);
        }
    }

    /// Changes several directives at once or, on an error, none. Returns the names of those whose value changed.
    pub fn set(&self, pairs: &[(&[u8], &[u8])]) -> Result<Vec<&'static str>, SetError> {
        self.set_with(pairs, true, |_, _| Ok(()))
    }

    /// Like [`Config::set`], with a last check: `apply` gets the new settings and the changed names before the change takes
    /// effect, and can refuse it with the name of the wrong directive and a reason. `local` says whether the client is on
    /// this machine.
    pub fn set_with(
        &self,
        pairs: &[(&[u8], &[u8])],
        local: bool,
        apply: impl FnOnce(&Settings, &[&'static str]) -> Result<(), (&'static str, String)>,
    ) -> Result<Vec<&'static str>, SetError> {
        let mut values = self.values.lock();
        let places = self.places_of(pairs, local)?;
        let mut next = values.clone();
        for (place, (name, value)) in places.iter().zip(pairs) {
            let directive = &DIRECTIVES[*place];
            let args: Vec<&[u8]> = if !directive.takes_many() {
                vec![value]
            } else if value.is_empty() {
                Vec::new()
            } else {
                value.split(|&byte| byte == b' ').collect()
            };
            let new = directive
                .kind
                .check(directive.name, &args, &next.shown[*place], Mode::Set)
                .map_err(|error| {
                    let name = String::from_utf8_lossy(name).to_ascii_lowercase();
                    refused(&name, error.to_string())
                })?;
            next.shown[*place] = new;
        }
        values.check_change(&next)?;
        // In the order of the call: if several fail, Redis names the first one.
        let mut changed: Vec<&'static str> = Vec::new();
        for &place in &places {
            let directive = &DIRECTIVES[place];
            let differs = next.shown[place] != values.shown[place];
            if (differs || directive.reloads) && !changed.contains(&directive.name) {
                changed.push(directive.name);
            }
        }
        if changed.is_empty() {
            return Ok(changed);
        }
        let settings = Settings::from_values(&next);
        apply(&settings, &changed).map_err(|(name, reason)| refused(name, reason))?;
        *values = next;
        *self.settings.write() = Arc::new(settings);
        self.version.fetch_add(1, Ordering::Release);
        Ok(changed)
    }

    /// Checks the names of a CONFIG SET before any of its values; returns their places in the table.
    fn places_of(&self, pairs: &[(&[u8], &[u8])], local: bool) -> Result<Vec<usize>, SetError> {
        let protected = !self.settings().enable_protected_configs.allows(local);
        let mut places = Vec::with_capacity(pairs.len());
        for (index, (name, _)) in pairs.iter().enumerate() {
            let as_given = || String::from_utf8_lossy(name).into_owned();
            let place = find(name).ok_or_else(|| SetError::Unknown(as_given()))?;
            let directive = &DIRECTIVES[place];
            if directive.immutable {
                return Err(refused(&as_given(), "can't set immutable config"));
            }
            if directive.protected && protected {
                return Err(refused(&as_given(), "can't set protected config"));
            }
            // Like Redis, does not notice that a name and its older alias are the same directive.
            let twice = |(other, _): &(&[u8], &[u8])| other.eq_ignore_ascii_case(name);
            if pairs[..index].iter().any(twice) {
                let shown = as_given().to_ascii_lowercase();
                return Err(refused(&shown, "duplicate parameter"));
            }
            places.push(place);
        }
        Ok(places)
    }
}

fn refused(name: &str, reason: impl Into<String>) -> SetError {
    SetError::Refused {
        name: name.to_owned(),
        reason: reason.into(),
    }
}

/// Whether logs and messages must not show the value of the directive with this name or alias.
pub fn is_secret(name: &[u8]) -> bool {
    find(name).is_some_and(|place| DIRECTIVES[place].sensitive)
}

#[cfg(test)]
mod tests;
