//! Power loss, simulated: every state that a power cut may leave of a pool is built from what a real server stored,
//! opened, and compared with what the server had answered.
//!
//! 1. [`record`]: a server runs under `shim.c`, which logs every store to the pool, every flush and every fence. A client
//!    runs a [`scenario`] and notes in the same log what it sent and what was answered.
//! 2. [`memory`]: the log is played back. Between two fences a cache line that was stored to may have reached the memory
//!    or not, each by itself, and each of its 8-byte atoms by itself.
//! 3. [`states`]: at each fence, subsets of those lines and atoms are chosen, all of them where they are few.
//! 4. [`checker`]: another process opens the pool that results, by the store and the keyspace that the server uses, and
//!    lists its [`contents`].
//! 5. [`campaign`]: they must be what some whole number of steps leaves, at least those that were answered, at most those
//!    that were sent.
//!
//! `docs/durability.md` says what this shows and what it cannot.

#![forbid(unsafe_code)]

pub mod campaign;
pub mod checker;
pub mod contents;
pub mod inspect;
pub mod memory;
pub mod record;
pub mod scenario;
pub mod states;
mod stream;
pub mod trace;
