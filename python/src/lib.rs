//! The native half of the Python package `pmemkv`: the class `Engine`, which `pmemkv.Database` is made of.
//!
//! May use: `pmemkv` (the binding). Never: knows the server.

#![forbid(unsafe_code)]

mod engine;
mod errors;
mod fork;
mod growth;
mod guard;
mod range;
mod text;
mod walk;

use pyo3::prelude::*;

/// The native half of the package; use `pmemkv.Database` instead.
#[pymodule(gil_used = true)]
mod _native {
    #[pymodule_export]
    use super::engine::Engine;
    #[pymodule_export]
    use super::fork::forked;
}
