//! Errors: one variant for each pmemkv status, with pmemkv's own message.

use std::ffi::{CStr, c_int};

use pmemkv_sys as sys;
use thiserror::Error;

/// A status of the C library, without its message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Status {
    /// The call did what it says.
    Ok,
    /// An error that pmemkv has no name for.
    UnknownError,
    /// No such key.
    NotFound,
    /// The engine has no such call.
    NotSupported,
    /// An argument or a config item is wrong or missing.
    InvalidArgument,
    /// A config document could not be parsed.
    ConfigParsingError,
    /// A config item has another type than the one asked for.
    ConfigTypeError,
    /// A callback ended an iteration.
    StoppedByCallback,
    /// The pool or the memory is full.
    OutOfMemory,
    /// The loaded library has no engine of this name.
    WrongEngineName,
    /// The call is not allowed inside, or needs, a transaction.
    TransactionScopeError,
    /// Defragmentation stopped early.
    DefragError,
    /// The stored data were ordered by a comparator of another name.
    ComparatorMismatch,
    /// A status newer than this binding.
    Unrecognised(i32),
}

/// A failed call.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum Error {
    /// An error that pmemkv has no name for.
    #[error("pmemkv: unknown error: {0}")]
    Unknown(String),
    /// No such key. The calls of this binding return `Ok(None)` or `Ok(false)` instead.
    #[error("pmemkv: not found: {0}")]
    NotFound(String),
    /// The engine has no such call.
    #[error("pmemkv: not supported: {0}")]
    NotSupported(String),
    /// An argument or a config item is wrong or missing.
    #[error("pmemkv: invalid argument: {0}")]
    InvalidArgument(String),
    /// A config document could not be parsed.
    #[error("pmemkv: config cannot be parsed: {0}")]
    ConfigParsing(String),
    /// A config item has another type than the one asked for.
    #[error("pmemkv: config item of the wrong type: {0}")]
    ConfigType(String),
    /// A callback ended an iteration. The calls of this binding return `ControlFlow::Break` instead.
    #[error("pmemkv: stopped by the callback: {0}")]
    StoppedByCallback(String),
    /// The pool or the memory is full.
    #[error("pmemkv: out of memory: {0}")]
    OutOfMemory(String),
    /// The loaded library has no engine of this name.
    #[error("pmemkv: wrong engine name: {0}")]
    WrongEngineName(String),
    /// The call is not allowed inside, or needs, a transaction.
    #[error("pmemkv: transaction scope: {0}")]
    TransactionScope(String),
    /// Defragmentation stopped early.
    #[error("pmemkv: defragmentation failed: {0}")]
    Defrag(String),
    /// The stored data were ordered by a comparator of another name.
    #[error("pmemkv: comparator mismatch: {0}")]
    ComparatorMismatch(String),
    /// A status newer than this binding.
    #[error("pmemkv: status {status}: {message}")]
    Unrecognised {
        /// The number that the library returned.
        status: i32,
        /// The library's message.
        message: String,
    },
    /// The operating system could not write the pool's pages.
    #[error("the pool could not be written: {0}")]
    Io(String),
    /// The C library cannot be loaded, or not with the settings asked for.
    #[error("libpmemkv cannot be used: {0}")]
    Library(String),
    /// The config document is not JSON.
    #[error("engine config is not valid JSON: {0}")]
    Json(String),
    /// The config document is JSON, but no object.
    #[error(
        "engine config must be a JSON object, as {{\"path\": \"/dev/shm\", \"size\": 1073741824}}"
    )]
    JsonNotObject,
    /// A config item has a type that pmemkv's JSON config does not take.
    #[error("engine config: \"{key}\" is {kind}, which pmemkv does not take there")]
    JsonUnsupported {
        /// The item's name; a nested one is written `outer.inner`.
        key: String,
        /// What was found, as "a float".
        kind: &'static str,
    },
    /// A name or string of the config holds a NUL byte, which C strings cannot carry.
    #[error("engine config: {0} holds a NUL byte")]
    Nul(&'static str),
    /// A closure called back into the `Database` that was calling it, or too many databases were nested in this way.
    #[error("a closure called back into the database that is calling it")]
    Reentrant,
    /// The database has been closed by [`Database::close`](super::Database::close).
    #[error("the database is closed")]
    Closed,
    /// The file at the config's path is too short to be a pool; libpmemobj would crash on it.
    #[error("{path} is not a pool: {bytes} bytes are less than a pool has")]
    NotAPool {
        /// The path as the config has it.
        path: String,
        /// The file's length.
        bytes: u64,
    },
    /// The pool has fewer partitions.
    #[error("the pool has {partitions} partitions, there is no partition {index}")]
    NoSuchPartition {
        /// The partition asked for.
        index: u32,
        /// How many there are.
        partitions: u32,
    },
    /// Another `Database` or `Config` of this process holds the partition.
    #[error("partition {0} is open already")]
    PartitionInUse(u32),
    /// A partition may only be opened by the engine that its pool was made for.
    #[error("the pool's partitions belong to engine {expected}, not to {engine}")]
    PartitionEngine {
        /// The engine asked for.
        engine: String,
        /// The engine that the pool's header names.
        expected: String,
    },
}

impl Status {
    pub(super) fn from_raw(raw: c_int) -> Self {
        match raw.unsigned_abs() {
            sys::PMEMKV_STATUS_OK => Self::Ok,
            sys::PMEMKV_STATUS_UNKNOWN_ERROR => Self::UnknownError,
            sys::PMEMKV_STATUS_NOT_FOUND => Self::NotFound,
            sys::PMEMKV_STATUS_NOT_SUPPORTED => Self::NotSupported,
            sys::PMEMKV_STATUS_INVALID_ARGUMENT => Self::InvalidArgument,
            sys::PMEMKV_STATUS_CONFIG_PARSING_ERROR => Self::ConfigParsingError,
            sys::PMEMKV_STATUS_CONFIG_TYPE_ERROR => Self::ConfigTypeError,
            sys::PMEMKV_STATUS_STOPPED_BY_CB => Self::StoppedByCallback,
            sys::PMEMKV_STATUS_OUT_OF_MEMORY => Self::OutOfMemory,
            sys::PMEMKV_STATUS_WRONG_ENGINE_NAME => Self::WrongEngineName,
            sys::PMEMKV_STATUS_TRANSACTION_SCOPE_ERROR => Self::TransactionScopeError,
            sys::PMEMKV_STATUS_DEFRAG_ERROR => Self::DefragError,
            sys::PMEMKV_STATUS_COMPARATOR_MISMATCH => Self::ComparatorMismatch,
            _ => Self::Unrecognised(raw),
        }
    }

    /// The status as a result. Only a failure reads the library's message.
    pub(super) fn into_result(self) -> Result<(), Error> {
        match self {
            Self::Ok => Ok(()),
            failed => Err(failed.into_error()),
        }
    }

    /// The error of this status with the message that pmemkv keeps for the calling thread.
    pub(super) fn into_error(self) -> Error {
        let message = match self {
            // Engines return these without a message: the library's message would be about an earlier failure.
            Self::NotFound => "no such key".to_owned(),
            Self::NotSupported => "the engine does not have this call".to_owned(),
            Self::StoppedByCallback => "the walk was ended".to_owned(),
            _ => message(),
        };
        match self {
            Self::Ok | Self::UnknownError => Error::Unknown(message),
            Self::NotFound => Error::NotFound(message),
            Self::NotSupported => Error::NotSupported(message),
            Self::InvalidArgument => Error::InvalidArgument(message),
            Self::ConfigParsingError => Error::ConfigParsing(message),
            Self::ConfigTypeError => Error::ConfigType(message),
            Self::StoppedByCallback => Error::StoppedByCallback(message),
            Self::OutOfMemory => Error::OutOfMemory(message),
            Self::WrongEngineName => Error::WrongEngineName(message),
            Self::TransactionScopeError => Error::TransactionScope(message),
            Self::DefragError => Error::Defrag(message),
            Self::ComparatorMismatch => Error::ComparatorMismatch(message),
            Self::Unrecognised(status) => Error::Unrecognised { status, message },
        }
    }
}

impl Error {
    /// The C library's status behind this error; `None` if this binding has found the error itself.
    pub fn status(&self) -> Option<Status> {
        Some(match self {
            Self::Unknown(_) => Status::UnknownError,
            Self::NotFound(_) => Status::NotFound,
            Self::NotSupported(_) => Status::NotSupported,
            Self::InvalidArgument(_) => Status::InvalidArgument,
            Self::ConfigParsing(_) => Status::ConfigParsingError,
            Self::ConfigType(_) => Status::ConfigTypeError,
            Self::StoppedByCallback(_) => Status::StoppedByCallback,
            Self::OutOfMemory(_) => Status::OutOfMemory,
            Self::WrongEngineName(_) => Status::WrongEngineName,
            Self::TransactionScope(_) => Status::TransactionScopeError,
            Self::Defrag(_) => Status::DefragError,
            Self::ComparatorMismatch(_) => Status::ComparatorMismatch,
            Self::Unrecognised { status, .. } => Status::Unrecognised(*status),
            _ => return None,
        })
    }
}

/// pmemkv's message about the calling thread's last failure. It may quote keys, so it need not be UTF-8.
fn message() -> String {
    // SAFETY: the call takes nothing and returns a string that belongs to the calling thread.
    let text = unsafe { sys::library().pmemkv_errormsg() };
    if text.is_null() {
        return String::new();
    }
    // SAFETY: a NUL-terminated string that lives until this thread's next pmemkv call, and it is copied before that.
    let text = unsafe { CStr::from_ptr(text) };
    text.to_string_lossy().into_owned()
}
