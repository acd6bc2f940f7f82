//! Counts the changes of data that commands make. Redis calls this number dirty and shows it as
//! `rdb_changes_since_last_save`.
//!
//! Each shard counts the changes made under its lock, so that counting costs no cache line of its own.

use super::EventClass;

/// Counts the changes of one call. A call that emits events is one change, however many events it emits; a call that
/// changes several elements or keys says how many.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Dirty {
    tells: bool,
    said: Option<usize>,
}

impl Dirty {
    /// The call emits an event of this class.
    pub(super) fn told_of(&mut self, class: EventClass) {
        // A missed key was not changed.
        self.tells |= class != EventClass::KEY_MISS;
    }

    /// The call says how many changes it makes.
    pub(super) fn set(&mut self, changes: usize) {
        self.said = Some(changes);
    }

    /// How many changes the call counts as.
    pub(super) fn count(self) -> u64 {
        self.said.map_or(u64::from(self.tells), |said| said as u64)
    }
}
