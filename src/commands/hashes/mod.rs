//! Hashes: values by field.

mod draw;
mod numbers;
mod reads;
pub(super) mod rows;
mod writes;
