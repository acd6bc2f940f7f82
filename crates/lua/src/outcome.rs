//! How compiling, loading and running end.

use thiserror::Error;

/// How a run ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The result is written into the client's output.
    Written,
    /// An error is the whole reply. Nothing is written.
    Failed(ScriptError),
}

/// An error that a script raised or returned.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ScriptError {
    /// The error line without its `-` and line break: `ERR user_script:1: boom script: f00…, on @user_script:1.`
    pub text: Vec<u8>,
    /// Whether the statistics have counted this error already: it is the error of a command that the script called.
    pub counted: bool,
}

/// Why a script or a library was not taken. The text is an error line.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum LoadError {
    /// Its first line is wrong.
    #[error(transparent)]
    Header(#[from] crate::HeaderError),
    /// A script is no Lua.
    #[error("ERR Error compiling script (new function): {0}")]
    Script(String),
    /// A library is no Lua.
    #[error("ERR Error compiling function: {0}")]
    Library(String),
    /// The library's code failed. The text has a code of its own.
    #[error("ERR Error registering functions: {0}")]
    Registering(String),
    /// The library registered nothing.
    #[error("ERR No functions registered")]
    NoFunctions,
    /// It is longer than [`Limits::script_bytes`](crate::Limits).
    #[error("ERR the script is longer than {0} bytes")]
    TooLong(usize),
    /// Lua failed by itself.
    #[error("ERR Lua failed: {0}")]
    Lua(String),
}
