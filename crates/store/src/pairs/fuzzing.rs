//! The decoders of what lies in a pool, for the fuzz targets: a crate of their own, which sees public items only.
//! Nothing else may use this; the format's functions stay free to change.

pub use super::journal::{Before, decode as decode_journal, encode as encode_journal};
pub use super::record::{EngineKey, EngineValue};
pub use super::record::{decode_key, decode_value, encode_key, encode_value, verify_value};
