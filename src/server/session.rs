//! One connection's state, as commands see it.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::ClientHandle;
use crate::protocol::Protocol;

/// CLIENT REPLY's state.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ReplyMode {
    /// Replies are sent.
    #[default]
    On,
    /// No reply is sent.
    Off,
    /// The reply of the next command is not sent.
    SkipNext,
    /// The reply of the command that runs is not sent.
    SkipThis,
}

/// One connection's state. It belongs to the connection's task; what others may see stands in `handle`.
#[derive(Debug)]
pub struct Session {
    /// The selected database.
    pub db: usize,
    /// Whether the client may run commands: no password is set, or it gave the right one.
    pub authenticated: bool,
    /// CLIENT NO-TOUCH: accesses do not count for LRU and LFU.
    pub no_touch: bool,
    /// CLIENT REPLY.
    pub reply_mode: ReplyMode,
    /// What other clients may see of this one.
    pub handle: Arc<ClientHandle>,
}

impl Session {
    /// Selects a database that exists.
    pub fn select(&mut self, db: usize) {
        self.db = db;
        self.handle.db.store(db, Ordering::Relaxed);
    }

    /// Notes the protocol that the connection's [`ReplyBuffer`](crate::protocol::ReplyBuffer) was set to.
    pub fn note_protocol(&self, protocol: Protocol) {
        let number = if protocol == Protocol::Resp3 { 3 } else { 2 };
        self.handle.resp.store(number, Ordering::Relaxed);
    }

    /// CLIENT NO-TOUCH.
    pub fn set_no_touch(&mut self, on: bool) {
        self.no_touch = on;
        self.handle.no_touch.store(on, Ordering::Relaxed);
    }

    /// Called before each command: CLIENT REPLY SKIP of the command before reaches this one, and ends after it.
    ///
    /// The command's reply is sent if the mode is [`ReplyMode::On`] once it has run.
    pub fn begin_command(&mut self) {
        self.reply_mode = match self.reply_mode {
            ReplyMode::SkipNext => ReplyMode::SkipThis,
            ReplyMode::SkipThis => ReplyMode::On,
            other => other,
        };
    }

    /// RESET: the connection is as if it were new, but for the library's name and version.
    pub fn reset(&mut self, authenticated: bool) {
        self.select(0);
        self.authenticated = authenticated;
        self.set_no_touch(false);
        self.reply_mode = ReplyMode::On;
        self.note_protocol(Protocol::Resp2);
        self.handle.no_evict.store(false, Ordering::Relaxed);
        self.handle.name.lock().clear();
    }
}
