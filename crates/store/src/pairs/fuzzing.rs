//! The pool's decoders, public for the fuzz targets only: these are a crate of their own. Nothing else may use this
//! module, so that the format's functions stay free to change.

pub use super::journal::{Before, decode as decode_journal, encode as encode_journal};
pub use super::record::{EngineKey, EngineValue};
pub use super::record::{decode_key, decode_value, encode_key, encode_value, verify_value};
