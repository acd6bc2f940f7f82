//! The first line of a script or a library, and the flags that it or a function has.

use redis_core::quoting::split_args;
use thiserror::Error;

/// What a script or a function says of itself.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct ScriptFlags(u8);

/// The flags by Redis's names, in Redis's order.
const NAMES: [(&str, ScriptFlags); 5] = [
    ("no-writes", ScriptFlags::NO_WRITES),
    ("allow-oom", ScriptFlags::ALLOW_OOM),
    ("allow-stale", ScriptFlags::ALLOW_STALE),
    ("no-cluster", ScriptFlags::NO_CLUSTER),
    ("allow-cross-slot-keys", ScriptFlags::ALLOW_CROSS_SLOT_KEYS),
];

impl ScriptFlags {
    /// It writes nothing.
    pub const NO_WRITES: Self = Self(1);
    /// It may run when there is no memory left.
    pub const ALLOW_OOM: Self = Self(2);
    /// It may run on a stale replica.
    pub const ALLOW_STALE: Self = Self(4);
    /// It may not run in a cluster.
    pub const NO_CLUSTER: Self = Self(8);
    /// It may access keys of several slots.
    pub const ALLOW_CROSS_SLOT_KEYS: Self = Self(16);

    /// Both flags' bits.
    #[must_use]
    pub const fn union(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// Whether all bits of `other` are set.
    pub const fn contains(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    /// The names of the flags that are set, in Redis's order.
    pub fn names(self) -> impl Iterator<Item = &'static str> {
        NAMES
            .iter()
            .filter(move |(_, flag)| self.contains(*flag))
            .map(|(name, _)| *name)
    }

    /// The flag with exactly this name.
    fn named(name: &[u8]) -> Option<Self> {
        NAMES
            .iter()
            .find(|(known, _)| known.as_bytes() == name)
            .map(|(_, flag)| *flag)
    }

    /// The flag with this name, in any case: `redis.register_function` reads them so.
    pub(crate) fn named_in_any_case(name: &[u8]) -> Option<Self> {
        NAMES
            .iter()
            .find(|(known, _)| known.as_bytes().eq_ignore_ascii_case(name))
            .map(|(_, flag)| *flag)
    }
}

/// A script's first line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ScriptHeader {
    /// The flags; `None` if the script has no such line, which makes Redis judge it by what it calls.
    pub flags: Option<ScriptFlags>,
    /// Where the code begins: at the end of the first line, so that line numbers stay right.
    pub code: usize,
}

/// What is wrong with a first line.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[allow(missing_docs)] // The texts say it.
pub enum HeaderError {
    #[error("ERR Invalid script shebang")]
    ScriptWithoutCode,
    #[error("ERR Invalid engine in script shebang")]
    NoEngine,
    #[error("ERR Unexpected engine in script shebang: {0}")]
    OtherEngine(String),
    #[error("ERR Unexpected flag in script shebang: {0}")]
    UnknownFlag(String),
    #[error("ERR Unknown lua shebang option: {0}")]
    UnknownOption(String),
    #[error("ERR Missing library metadata")]
    NoLibraryHeader,
    #[error("ERR Invalid library metadata")]
    InvalidLibraryHeader,
    #[error("ERR Invalid metadata value, name argument was given multiple times")]
    NameTwice,
    #[error("ERR Invalid metadata value given: {0}")]
    UnknownMetadata(String),
    #[error("ERR Library name was not given")]
    NoName,
    #[error(
        "ERR Library names can only contain letters, numbers, or underscores(_) and must be at least one character long"
    )]
    BadName,
    #[error("ERR Engine '{0}' not found")]
    UnknownEngine(String),
}

/// Reads the first line of a script that EVAL or SCRIPT LOAD gets: `#!lua flags=no-writes,allow-oom`.
pub fn script_header(text: &[u8]) -> Result<ScriptHeader, HeaderError> {
    if !text.starts_with(b"#!") {
        return Ok(ScriptHeader {
            flags: None,
            code: 0,
        });
    }
    let code = line_end(text).ok_or(HeaderError::ScriptWithoutCode)?;
    let parts = split_args(&text[..code]).unwrap_or_default();
    let (engine, options) = parts.split_first().ok_or(HeaderError::NoEngine)?;
    if engine != b"#!lua" {
        return Err(HeaderError::OtherEngine(lossy(engine)));
    }
    let mut flags = ScriptFlags::default();
    for option in options {
        let list = option
            .strip_prefix(b"flags=")
            .ok_or_else(|| HeaderError::UnknownOption(lossy(option)))?;
        if list.is_empty() {
            continue;
        }
        for name in list.split(|&byte| byte == b',') {
            let flag =
                ScriptFlags::named(name).ok_or_else(|| HeaderError::UnknownFlag(lossy(name)))?;
            flags = flags.union(flag);
        }
    }
    Ok(ScriptHeader {
        flags: Some(flags),
        code,
    })
}

/// A library's first line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LibraryHeader {
    /// The engine, as the library wrote it. There is only Lua, in any case.
    pub engine: Vec<u8>,
    /// The library's name.
    pub name: Vec<u8>,
    /// Where the code begins: at the end of the first line.
    pub code: usize,
}

/// Reads the first line of a library that FUNCTION LOAD gets: `#!lua name=mylib`.
pub fn library_header(text: &[u8]) -> Result<LibraryHeader, HeaderError> {
    if !text.starts_with(b"#!") {
        return Err(HeaderError::NoLibraryHeader);
    }
    let code = line_end(text).ok_or(HeaderError::InvalidLibraryHeader)?;
    let parts = split_args(&text[..code]).unwrap_or_default();
    let (engine, metadata) = parts
        .split_first()
        .ok_or(HeaderError::InvalidLibraryHeader)?;
    let engine = engine.get(2..).unwrap_or_default();
    let mut name = None;
    for part in metadata {
        match part.split_at_checked(5) {
            Some((key, value)) if key.eq_ignore_ascii_case(b"name=") => {
                if name.replace(value).is_some() {
                    return Err(HeaderError::NameTwice);
                }
            }
            _ => return Err(HeaderError::UnknownMetadata(lossy(part))),
        }
    }
    let name = name.ok_or(HeaderError::NoName)?;
    if !is_valid_name(name) {
        return Err(HeaderError::BadName);
    }
    if !engine.eq_ignore_ascii_case(b"lua") {
        return Err(HeaderError::UnknownEngine(lossy(engine)));
    }
    Ok(LibraryHeader {
        engine: engine.to_vec(),
        name: name.to_vec(),
        code,
    })
}

/// Whether this may be the name of a library or a function.
pub(crate) fn is_valid_name(name: &[u8]) -> bool {
    !name.is_empty()
        && name
            .iter()
            .all(|&byte| byte.is_ascii_alphanumeric() || byte == b'_')
}

/// Where the first line ends. A NUL byte before it hides it, as in C.
fn line_end(text: &[u8]) -> Option<usize> {
    let end = text.iter().position(|&byte| byte == b'\n' || byte == 0)?;
    (text[end] == b'\n').then_some(end)
}

fn lossy(text: &[u8]) -> String {
    String::from_utf8_lossy(text).into_owned()
}
