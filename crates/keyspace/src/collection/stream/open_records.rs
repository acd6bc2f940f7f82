//! The records of open entries that a load meets. Most of them count no longer where a node was closed since, and a closed node
//! or a head that the load meets says so. So it keeps of each of them only what tells that.

use store::{Location, Visited};

use super::node::{Entries, OPEN_FORM};
use super::records::{Head, RecordName};

/// With fewer of them, those that count no longer are not looked for.
const PRUNED_MIN: usize = 1 << 12;

/// The record of an open entry.
#[derive(Clone, Copy, Debug)]
pub(in super::super) struct OpenRecord {
    ordinal: u64,
    pub sequence: u64,
    pub location: Location,
}

/// The records of open entries of a stream, and up to which ordinal they count no longer.
#[derive(Debug, Default)]
pub(in super::super) struct OpenRecords {
    found: Vec<OpenRecord>,
    /// The last ordinal of any closed node that was met, or the closed ordinal of any head, if that is higher. It only rises in
    /// a stream's life, so it counts also where a later record has taken the place of that one.
    closed_through: u64,
    /// The length at which to look for those that count no longer.
    pruned_at: usize,
}

impl OpenRecords {
    pub fn len(&self) -> usize {
        self.found.len()
    }

    /// Looks at a record of a stream. Returns whether it is an open entry's, which this keeps.
    pub fn meet(&mut self, name: &[u8], record: &Visited<'_>) -> bool {
        // The value of a record in parts is not here: the load reads it later.
        let Some(&form) = record.value.first() else {
            return false;
        };
        let closed_through = match RecordName::decode(name) {
            Some(RecordName::Node(ordinal)) if u64::from(form) == OPEN_FORM => {
                self.found.push(OpenRecord {
                    ordinal,
                    sequence: record.sequence,
                    location: record.location,
                });
                return true;
            }
            Some(RecordName::Node(first)) => {
                let node = Entries::of(first, record.value);
                node.ok().map(|node| node.head.last_ordinal)
            }
            Some(RecordName::Head) => Head::decode(record.value).map(|head| head.closed_through),
            _ => None,
        };
        self.closed_through = self.closed_through.max(closed_through.unwrap_or(0));
        false
    }

    /// Takes what another one has. The locations of records that count no longer may go to `dead`.
    pub fn absorb(&mut self, other: &mut Self, dead: &mut Vec<Location>) {
        self.closed_through = self.closed_through.max(other.closed_through);
        other.closed_through = 0;
        self.found.append(&mut other.found);
        if self.found.len() >= self.pruned_at.max(PRUNED_MIN) {
            self.prune(dead);
            self.pruned_at = 2 * self.found.len();
        }
    }

    /// Moves the locations of the records that count no longer to `dead`.
    pub fn prune(&mut self, dead: &mut Vec<Location>) {
        self.found.retain(|open| {
            let stays = open.ordinal > self.closed_through;
            if !stays {
                dead.push(open.location);
            }
            stays
        });
    }

    /// Takes all records out, with their names.
    pub fn take(&mut self) -> impl Iterator<Item = (Vec<u8>, OpenRecord)> + use<> {
        std::mem::take(&mut self.found).into_iter().map(|open| {
            let mut name = Vec::new();
            RecordName::Node(open.ordinal).encode(&mut name);
            (name, open)
        })
    }

    /// Where they lie.
    pub fn locations(&self) -> impl Iterator<Item = Location> {
        self.found.iter().map(|open| open.location)
    }
}
