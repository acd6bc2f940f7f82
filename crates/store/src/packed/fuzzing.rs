//! The decoders of what lies in a pool, for the fuzz targets: a crate of their own, which sees public items only.
//! Nothing else may use this; the format's functions stay free to change.

pub use super::header::Header;
pub use super::record::{Binding, Form, Parts, Record, Spot, bind};
