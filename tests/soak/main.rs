//! Long load on small pools: the server refuses nothing, loses nothing, and gives space back.

mod eviction;
mod nearly_full;
mod stalls;
