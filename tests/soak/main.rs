//! Pools under load for long: nothing is refused, nothing is lost, and space comes back.

mod eviction;
mod nearly_full;
mod stalls;
