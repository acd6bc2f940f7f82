//! Hashes: values by field.

pub(super) mod draw;
pub(super) mod numbers;
pub(super) mod reads;
pub(super) mod writes;
