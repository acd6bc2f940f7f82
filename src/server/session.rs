//! One connection's state, as commands see it.

use std::sync::Arc;

use super::ClientHandle;

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
