//! Hashes: values by field.

pub(super) mod deadlines;
pub(super) mod draw;
mod effects;
pub(super) mod extended;
mod fields;
pub(super) mod numbers;
pub(super) mod reads;
pub(super) mod writes;
