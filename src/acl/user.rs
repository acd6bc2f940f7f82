//! A user, and a connection's view of it.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::RwLock;

use super::{Denial, Rules};
use crate::catalog::Command;
use crate::error::{CommandError, shown};
use crate::protocol::Args;

/// A user. Its rules may change while connections hold it.
#[derive(Debug)]
pub struct User {
    name: Box<[u8]>,
    /// Grows with every change of `rules`.
    version: AtomicU64,
    rules: RwLock<Arc<Rules>>,
}

impl User {
    pub(super) fn new(name: &[u8], rules: Rules) -> Self {
        Self {
            name: name.into(),
            version: AtomicU64::new(0),
            rules: RwLock::new(Arc::new(rules)),
        }
    }

    /// The user of a master's stream: it may do everything, and no rule changes it.
    pub fn superuser() -> Arc<Self> {
        Self::internal(b"(superuser)")
    }

    /// A user that may do everything and that no client can become: for calls that the server makes by itself.
    pub fn internal(name: &[u8]) -> Arc<Self> {
        Arc::new(Self::new(name, Rules::everything(true)))
    }

    /// Its name.
    pub fn name(&self) -> &[u8] {
        &self.name
    }

    /// The user's present rules.
    pub fn rules(&self) -> Arc<Rules> {
        Arc::clone(&self.rules.read())
    }

    /// Checks a call against the present rules. The error is the reply.
    pub fn check(&self, command: &'static Command, args: Args<'_>) -> Result<(), CommandError> {
        let rules = self.rules();
        if rules.is_unrestricted() {
            return Ok(());
        }
        let checked = rules.check(command, args);
        checked.map_err(|denial| self.denied(denial, command))
    }

    /// The reply to a call that the rules deny.
    pub fn denied(&self, denial: Denial, command: &Command) -> CommandError {
        match denial {
            Denial::Command => {
                let text = format!("NOPERM {}", self.denied_command(command));
                CommandError::Text(text.into())
            }
            Denial::Key(_) => CommandError::text("NOPERM No permissions to access a key"),
            Denial::Channel(_) => CommandError::text("NOPERM No permissions to access a channel"),
        }
    }

    /// The text about a command that the user may not run.
    pub fn denied_command(&self, command: &Command) -> String {
        format!(
            "User {} has no permissions to run the '{}' command",
            shown(&self.name, usize::MAX),
            command.full_name
        )
    }

    /// Replaces the rules. Connections see the new ones at their next command.
    pub(super) fn set(&self, rules: Rules) {
        *self.rules.write() = Arc::new(rules);
        // After the rules, so that a thread which sees the new number finds the new rules.
        self.version.fetch_add(1, Ordering::Release);
    }

    /// The line that defines the user: `user name on ...`.
    pub fn describe(&self) -> Vec<u8> {
        [b"user ", &*self.name, b" ", &self.rules().describe()].concat()
    }
}

/// One connection's user, with a copy of its rules at hand.
#[derive(Clone, Debug)]
pub struct Identity {
    user: Arc<User>,
    version: u64,
    unrestricted: bool,
    rules: Arc<Rules>,
}

impl Identity {
    /// The view of a connection that acts as `user`.
    pub fn new(user: Arc<User>) -> Self {
        let version = user.version.load(Ordering::Acquire);
        let rules = user.rules();
        Self {
            unrestricted: rules.is_unrestricted(),
            user,
            version,
            rules,
        }
    }

    /// The user.
    pub fn user(&self) -> &Arc<User> {
        &self.user
    }

    /// Whether the user may do everything. The caller asks before each command: this call also picks up new rules.
    #[inline]
    pub fn is_unrestricted(&mut self) -> bool {
        if self.user.version.load(Ordering::Acquire) != self.version {
            *self = Self::new(Arc::clone(&self.user));
        }
        self.unrestricted
    }

    /// The rules as of the last call of [`is_unrestricted`](Self::is_unrestricted).
    pub fn rules(&self) -> &Rules {
        &self.rules
    }
}
