//! How many changes of data the commands have made: what Redis calls dirty and shows as `rdb_changes_since_last_save`.
//!
//! Each shard counts those made under its lock, so that counting costs no cache line of its own.

use super::EventClass;

/// The changes of one call. A call that tells of an event is one change, whatever else it tells of; a call that changes
/// several elements or keys says how many.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Dirty {
    tells: bool,
    said: Option<usize>,
}

impl Dirty {
    /// The call tells of an event of this class.
    pub(super) fn told_of(&mut self, class: EventClass) {
        // A key that was missed was not changed.
        self.tells |= class != EventClass::KEY_MISS;
    }

    /// The call says how many changes it makes.
    pub(super) fn set(&mut self, changes: usize) {
        self.said = Some(changes);
    }

    /// How many changes the call makes.
    pub(super) fn count(self) -> u64 {
        self.said.map_or(u64::from(self.tells), |said| said as u64)
    }
}
