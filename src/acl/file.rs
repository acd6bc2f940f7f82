//! Users in files: `aclfile`, and `user` lines of the configuration.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs::File;
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::sync::Arc;

use super::rules::{RuleError, Rules, merge_selectors};
use super::user::User;
use super::{Acl, DEFAULT_USER, has_spaces};
use crate::config::Settings;

/// There is no `aclfile`; the text is the error reply.
#[derive(Debug, thiserror::Error)]
#[error(
    "ERR This Redis instance is not configured to use an ACL file. You may want to specify users via the ACL SETUSER \
     command and then issue a CONFIG REWRITE (assuming you have a Redis configuration file set) in order to store \
     users in the Redis configuration."
)]
pub struct NoFile;

/// Why the file was not loaded. Nothing was changed.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// There is no `aclfile`.
    #[error(transparent)]
    NoFile(#[from] NoFile),
    /// The file can't be read, or has wrong lines.
    #[error("ERR {0}")]
    Wrong(String),
}

/// Why the file was not saved.
#[derive(Debug, thiserror::Error)]
pub enum SaveError {
    /// There is no `aclfile`.
    #[error(transparent)]
    NoFile(#[from] NoFile),
    /// The file can't be written.
    #[error(
        "ERR There was an error trying to save the ACLs. Please check the server logs for more information"
    )]
    Io(#[from] std::io::Error),
}

/// Why the server does not start with these users.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// There are `user` lines and an `aclfile`.
    #[error(
        "the configuration defines users and names an aclfile, which leads to errors and security holes. Define users \
         in one of the two only"
    )]
    Both,
    /// A `user` line of the configuration is wrong.
    #[error("Error in user declaration '{name}': {source}")]
    User {
        /// The user.
        name: String,
        /// Why.
        source: DeclarationError,
    },
    /// The `aclfile` is wrong.
    #[error("Aborting startup because of ACL errors: {0}")]
    File(String),
}

/// What is wrong with a `user` line.
#[derive(Debug, thiserror::Error)]
pub enum DeclarationError {
    /// The user's name has spaces.
    #[error("Spaces not allowed in ACL usernames")]
    Spaces,
    /// A selector has no closing parenthesis.
    #[error("Wrong format")]
    Format,
    /// A rule is wrong, or the user stands twice.
    #[error(transparent)]
    Rule(#[from] RuleError),
}

impl Acl {
    /// The users that the configuration defines: by `requirepass`, then by `user` lines or the `aclfile`.
    pub fn start(settings: &Settings) -> Result<Self, StartError> {
        let channels = settings.acl_pubsub_default_all;
        let password = settings.requirepass.as_ref().map(|password| &***password);
        let acl = Acl::new(password, channels, settings.aclfile.clone());
        let lines = &settings.users;
        let users = match acl.file() {
            Some(_) if !lines.is_empty() => return Err(StartError::Both),
            Some(path) => {
                if password.is_some() {
                    tracing::warn!(
                        "requirepass has no effect: an aclfile is set, which alone says how the default user authenticates"
                    );
                }
                read(path, channels).map_err(StartError::File)?
            }
            None if lines.is_empty() => return Ok(acl),
            None => {
                let mut users = BTreeMap::new();
                users.insert(
                    Box::from(DEFAULT_USER),
                    (*acl.default_user().rules()).clone(),
                );
                for (name, rules) in declared(lines, channels)? {
                    users.insert(name, rules);
                }
                users
            }
        };
        acl.replace(users);
        for user in acl.all() {
            if !user.rules().is_enabled() {
                tracing::warn!(
                    user = %String::from_utf8_lossy(user.name()),
                    "this user cannot log in: its rules have no 'on'"
                );
            }
        }
        Ok(acl)
    }

    /// ACL LOAD: replaces all users by those of the file. Returns the users that are gone.
    pub fn load(&self, channels_by_default: bool) -> Result<Vec<Arc<User>>, LoadError> {
        let path = self.file().ok_or(NoFile)?;
        let users = read(path, channels_by_default).map_err(LoadError::Wrong)?;
        Ok(self.replace(users))
    }

    /// ACL SAVE: writes all users to the file. It replaces the whole file durably, or leaves it as it is.
    pub fn save(&self) -> Result<(), SaveError> {
        let path = self.file().ok_or(NoFile)?;
        let mut text = Vec::new();
        for user in self.all() {
            text.extend(user.describe());
            text.push(b'\n');
        }
        replace(path, &text)?;
        Ok(())
    }
}

/// Parses the configuration's `user` lines. The first word of a line is the user's name.
fn declared<W: AsRef<[u8]>>(
    lines: &[Vec<W>],
    channels_by_default: bool,
) -> Result<BTreeMap<Box<[u8]>, Rules>, StartError> {
    let mut users = BTreeMap::new();
    for line in lines {
        let Some((name, words)) = line.split_first() else {
            continue;
        };
        let name = name.as_ref();
        let wrong = |source: DeclarationError| StartError::User {
            name: String::from_utf8_lossy(name).into_owned(),
            source,
        };
        if has_spaces(name) {
            return Err(wrong(DeclarationError::Spaces));
        }
        let mut rules = Rules::new(channels_by_default);
        for rule in merge_selectors(words).map_err(|_| wrong(DeclarationError::Format))? {
            rules.apply(&rule).map_err(|error| wrong(error.into()))?;
        }
        if users.insert(name.into(), rules).is_some() {
            return Err(wrong(RuleError::Duplicate.into()));
        }
    }
    Ok(users)
}

/// Reads the users of a file. The error lists everything that is wrong with it, in one line.
fn read(path: &Path, channels_by_default: bool) -> Result<BTreeMap<Box<[u8]>, Rules>, String> {
    let shown = path.display();
    let text = std::fs::read(path).map_err(|error| {
        let reason = error.raw_os_error().map_or_else(
            || error.to_string(),
            |code| nix::Error::from_raw(code).desc().to_owned(),
        );
        format!("Error loading ACLs, opening file '{shown}': {reason}")
    })?;
    parse(&text, &shown.to_string(), channels_by_default)
}

/// Parses the text of a file. `file` is its name in errors.
fn parse(
    text: &[u8],
    file: &str,
    channels_by_default: bool,
) -> Result<BTreeMap<Box<[u8]>, Rules>, String> {
    let mut users = BTreeMap::new();
    let mut errors = String::new();
    // Writing to a string does not fail.
    macro_rules! wrong {
        ($($words:tt)*) => { let _ = write!(errors, $($words)*); };
    }
    for (index, line) in text.split(|&byte| byte == b'\n').enumerate() {
        let number = index + 1;
        let line = trim(line, b" \t\r");
        if line.is_empty() {
            continue;
        }
        let words: Vec<&[u8]> = line.split(|&byte| byte == b' ').collect();
        let [b"user", name, words @ ..] = words.as_slice() else {
            wrong!("{file}:{number} should start with user keyword followed by the username. ");
            continue;
        };
        let lossy = String::from_utf8_lossy(name);
        if has_spaces(name) {
            wrong!("'{file}:{number}: username '{lossy}' contains invalid characters. ");
            continue;
        }
        if users.contains_key(*name) {
            wrong!("WARNING: Duplicate user '{lossy}' found on line {number}. ");
            continue;
        }
        let mut rules = Rules::new(channels_by_default);
        match merge_selectors(words) {
            Err(_) => {
                wrong!("{file}:{number}: Unmatched parenthesis in selector definition.");
            }
            Ok(merged) => {
                let mut is_first = true;
                for rule in merged {
                    let rule = trim(&rule, b"\t\r");
                    match rules.apply(rule) {
                        // The rule may be shown: an unknown name of a command is no secret.
                        Err(error @ RuleError::UnknownCommand) => {
                            let rule = String::from_utf8_lossy(rule);
                            wrong!(
                                "{file}:{number}: Error in applying operation '{rule}': {error}. "
                            );
                        }
                        Err(error) if is_first => {
                            is_first = false;
                            wrong!("{file}:{number}: {error}. ");
                        }
                        _ => {}
                    }
                }
            }
        }
        users.insert(Box::from(*name), rules);
    }
    if errors.is_empty() {
        return Ok(users);
    }
    errors.push_str(
        "WARNING: ACL errors detected, no change to the previously active ACL rules was performed",
    );
    Err(errors)
}

/// Removes the bytes of `set` from both ends.
fn trim<'a>(mut text: &'a [u8], set: &[u8]) -> &'a [u8] {
    while let [first, rest @ ..] = text
        && set.contains(first)
    {
        text = rest;
    }
    while let [rest @ .., last] = text
        && set.contains(last)
    {
        text = rest;
    }
    text
}

/// Replaces a file's content durably. Only the owner may read a new file, because it contains hashes of passwords.
fn replace(path: &Path, content: &[u8]) -> std::io::Result<()> {
    // A link stays a link: replace its target.
    let path = std::fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
    let parent = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(format!(".{}.tmp", std::process::id()));
    let temporary = parent.join(name);
    let written = (|| {
        let mut file = File::options()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&temporary)?;
        if let Ok(old) = std::fs::metadata(&path) {
            file.set_permissions(old.permissions())?;
        }
        file.write_all(content)?;
        file.sync_all()?;
        std::fs::rename(&temporary, &path)?;
        File::open(parent)?.sync_all()
    })();
    if let Err(error) = &written {
        tracing::error!(file = %path.display(), %error, "the users could not be saved");
        // If the rename succeeded, the temporary name is gone already.
        let _ = std::fs::remove_file(&temporary);
    }
    written
}
