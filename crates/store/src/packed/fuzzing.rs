//! The pool's decoders, public for the fuzz targets only: these are a crate of their own. Nothing else may use this
//! module, so that the format's functions stay free to change.

pub use super::header::Header;
pub use super::record::{Binding, Form, Parts, Record, Spot, bind};
