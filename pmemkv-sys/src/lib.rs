//! Raw bindings to Intel's pmemkv and to the libpmemobj calls that its pools need.
//!
//! Everything here is `unsafe` and undocumented beyond the C headers: use `pmemkv_server::pmemkv`, the safe layer.

#[allow(
    missing_docs,
    non_camel_case_types,
    non_snake_case,
    non_upper_case_globals,
    unsafe_op_in_unsafe_fn,
    clippy::all,
    clippy::pedantic,
    clippy::undocumented_unsafe_blocks,
    clippy::multiple_unsafe_ops_per_block
)]
mod generated {
    include!(concat!(env!("OUT_DIR"), "/bindings.rs"));
}

pub use generated::*;
