//! What a store has to do besides reads and writes, and what came of it.

/// How urgently a store needs [`Store::work`](crate::Store::work).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Upkeep {
    /// Nothing.
    Nothing,
    /// Work in the background.
    Background,
    /// Work as soon as possible: threads that write should help.
    Urgent,
    /// Work before anything else is written.
    Critical,
}

/// The result of [`Store::work`](crate::Store::work).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Worked {
    /// It did something, and there may be more.
    Some,
    /// There was nothing to do, or nothing that would have freed anything.
    Nothing,
    /// Another thread is doing it, or must act first.
    Elsewhere,
}
