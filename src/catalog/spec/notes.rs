//! What COMMAND INFO and COMMAND DOCS say of a command besides what the server itself needs to know: tips for clients and
//! proxies, what changed since the command came, what has replaced it. The words are those of Redis 7.2, which tools parse.

/// Tips, history and deprecation of a command.
#[derive(Clone, Copy, Debug)]
pub struct Notes {
    /// What a client or a proxy may do with the command: `request_policy:all_shards`, `nondeterministic_output`, ...
    pub tips: &'static [&'static str],
    /// What changed, each with the version.
    pub history: &'static [(&'static str, &'static str)],
    /// Since which version it should not be used, and what to use instead.
    pub deprecated: Option<(&'static str, &'static str)>,
    /// Whether it is for the server's own use, so that people need no documentation of it.
    pub is_internal: bool,
}

impl Notes {
    /// Nothing.
    pub const NONE: Notes = Notes {
        tips: &[],
        history: &[],
        deprecated: None,
        is_internal: false,
    };
}
