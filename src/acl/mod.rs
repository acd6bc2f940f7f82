//! Access control: users, their rules, and the check of a call against them.
//!
//! Connections hold a [`User`], whose [`Rules`] may change meanwhile. An [`Identity`] is one connection's view of its
//! user; it sees new rules at the next command. [`Acl`] is the list of all users, with the log of denials. Meaning,
//! order and texts are those of Redis 7.2.

mod check;
mod file;
mod log;
mod names;
mod pattern;
mod reach;
mod rules;
mod selector;
mod user;
mod users;

#[cfg(test)]
mod tests;

pub use self::check::Denial;
pub use self::file::{DeclarationError, LoadError, NoFile, SaveError, StartError};
pub use self::log::{Context, Entry, Event, Log, Reason};
pub use self::names::{category, command};
pub use self::reach::{REDACTED, Reach, Subjects};
pub use self::rules::{RuleError, Rules, RulesError, hex};
pub use self::selector::Selector;
pub use self::user::{Identity, User};
pub use self::users::{Acl, AuthError, Denied};

/// The user of connections that have not authenticated as another.
pub const DEFAULT_USER: &[u8] = b"default";

/// Whether a word contains a space, so that it cannot be a user's name or a pattern: descriptions separate words by
/// spaces.
pub fn has_spaces(word: &[u8]) -> bool {
    // Vertical tab and form feed too, as C's isspace.
    word.iter()
        .any(|byte| matches!(byte, b' ' | b'\t' | b'\n' | 0x0b | 0x0c | b'\r' | 0))
}
