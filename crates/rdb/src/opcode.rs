//! Bytes that begin an item which is no key. A key begins with the number of its value's encoding.

/// State of an import of cluster slots (Valkey 9). Redis 8 gives the byte another meaning.
pub const SLOT_IMPORT: u8 = 243;
/// Sizes of a cluster slot: three numbers.
pub const SLOT_INFO: u8 = 244;
/// A library of functions: a string.
pub const FUNCTION: u8 = 245;
/// A library in the form of release candidates of Redis 7.0.
pub const FUNCTION_OF_OLD: u8 = 246;
/// Data of a module that belongs to no key.
pub const MODULE_AUX: u8 = 247;
/// For how many seconds the next key was not used: a number.
pub const IDLE: u8 = 248;
/// How often the next key was used: a byte.
pub const FREQUENCY: u8 = 249;
/// A note: two strings.
pub const AUX: u8 = 250;
/// How many keys the database has, and how many of them have a deadline: two numbers.
pub const SIZES: u8 = 251;
/// The next key's deadline in milliseconds: 8 bytes.
pub const EXPIRES_MS: u8 = 252;
/// The next key's deadline in seconds: 4 bytes.
pub const EXPIRES_S: u8 = 253;
/// The number of the database of all keys that follow.
pub const DATABASE: u8 = 254;
/// The end mark.
pub const END: u8 = 255;

/// Encodings of values that the reader names when it refuses them.
pub mod refused {
    /// A module's value in the form of release candidates of Redis 4.0.
    pub const MODULE_OF_OLD: u8 = 6;
    /// A module's value.
    pub const MODULE: u8 = 7;
    /// The range of hashes whose fields have deadlines in the forms of Redis 7.4's release candidates. Valkey 9 has the first
    /// of these numbers for a form of its own.
    pub const HASHES_WITH_DEADLINES: std::ops::RangeInclusive<u8> = 22..=23;
}
