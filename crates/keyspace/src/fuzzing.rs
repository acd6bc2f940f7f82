//! Decoders of what lies in a pool, public for the fuzz targets only: these are a crate of their own. Nothing else may use
//! this module, so that the formats' functions stay free to change.

pub use crate::collection::copied as copied_compact;
