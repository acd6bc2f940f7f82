//! When a node is full. Redis decides it by the bytes of its listpacks, so their sizes are computed here.

use redis_core::numbers::parse_i64;

use super::node::Pair;

/// Bytes around the elements of a listpack.
pub(in crate::collection) const AROUND_BYTES: usize = 7;

/// No node holds more, whatever the settings say.
const BYTES_MAX: usize = 1 << 20;
const ENTRIES_MAX: u64 = 1 << 14;

/// The settings `stream-node-max-bytes` and `stream-node-max-entries`; 0 is no limit.
#[derive(Clone, Copy, Debug)]
pub struct NodeLimits {
    /// Bytes of a node.
    pub bytes: u64,
    /// Entries of a node.
    pub entries: u64,
}

impl NodeLimits {
    /// Whether an entry whose fields and values have `given_bytes` begins a new node, where the last one has `entries`
    /// entries in `node_bytes`.
    pub(super) fn is_full(self, entries: u64, node_bytes: usize, given_bytes: usize) -> bool {
        node_bytes.saturating_add(given_bytes) >= self.node_bytes_max()
            || entries >= self.entries_max()
    }

    /// Whether no other entry will join a node that has one entry in `node_bytes`.
    pub(super) fn is_full_at_once(self, node_bytes: usize) -> bool {
        node_bytes >= self.node_bytes_max() || self.entries_max() == 1
    }

    fn node_bytes_max(self) -> usize {
        match usize::try_from(self.bytes) {
            Ok(bytes @ 1..BYTES_MAX) => bytes,
            _ => BYTES_MAX,
        }
    }

    fn entries_max(self) -> u64 {
        match self.entries {
            0 => ENTRIES_MAX,
            entries => entries.min(ENTRIES_MAX),
        }
    }
}

/// Bytes of a new listpack that holds one entry.
pub(super) fn first_bytes(pairs: &[Pair<'_>]) -> usize {
    // Counts of entries, of deleted ones and of fields, the names, and the end of the master entry.
    let names: usize = pairs.iter().map(|(field, _)| element_bytes(field)).sum();
    let master = 3 * integer_bytes(0) + integer_bytes(count(pairs)) + names;
    AROUND_BYTES + master + entry_bytes(pairs, true, (0, 0))
}

/// Bytes that an entry adds to a listpack, whose first entry may have the `same` fields; `distance` is that of its id
/// from the first one's.
pub(super) fn entry_bytes(pairs: &[Pair<'_>], same: bool, distance: (i64, i64)) -> usize {
    let fields = count(pairs);
    let values: usize = pairs.iter().map(|(_, value)| element_bytes(value)).sum();
    let mut bytes =
        integer_bytes(0) + integer_bytes(distance.0) + integer_bytes(distance.1) + values;
    let pieces = if same {
        fields + 3
    } else {
        bytes += integer_bytes(fields);
        bytes += pairs
            .iter()
            .map(|(field, _)| element_bytes(field))
            .sum::<usize>();
        2 * fields + 4
    };
    bytes + integer_bytes(pieces)
}

fn count(pairs: &[Pair<'_>]) -> i64 {
    i64::try_from(pairs.len()).unwrap_or(i64::MAX)
}

fn integer_bytes(number: i64) -> usize {
    with_length_behind(match number {
        0..=127 => 1,
        -4096..=4095 => 2,
        -0x8000..=0x7fff => 3,
        -0x80_0000..=0x7f_ffff => 4,
        -0x8000_0000..=0x7fff_ffff => 5,
        _ => 9,
    })
}

/// Bytes that a text takes in a listpack.
pub(in crate::collection) fn element_bytes(element: &[u8]) -> usize {
    // A longer text is no 64-bit integer.
    if (1..=20).contains(&element.len())
        && let Some(number) = parse_i64(element)
    {
        return integer_bytes(number);
    }
    with_length_behind(
        element.len()
            + match element.len() {
                0..64 => 1,
                64..4096 => 2,
                _ => 5,
            },
    )
}

/// The length of an element, which stands behind it, takes 1 to 5 bytes.
fn with_length_behind(bytes: usize) -> usize {
    bytes
        + match bytes {
            0..128 => 1,
            128..16_383 => 2,
            16_383..2_097_151 => 3,
            2_097_151..268_435_455 => 4,
            _ => 5,
        }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_those_of_listpacks() {
        // DUMP of a stream that redis-server made by XADD s 1-1 f v says that its listpack has 27 bytes.
        assert_eq!(first_bytes(&[(b"f", b"v")]), 7 + 4 * 2 + 3 + 2 * 3 + 3 + 2);
        assert_eq!(element_bytes(b"123"), 2);
        assert_eq!(element_bytes(b"-1"), 3);
        assert_eq!(element_bytes(&[b'x'; 63]), 65);
        assert_eq!(element_bytes(&[b'x'; 64]), 67);
        assert_eq!(element_bytes(&[b'x'; 200]), 204);
        assert_eq!(element_bytes(&[b'x'; 5000]), 5007);
    }

    #[test]
    fn limits_of_zero_are_high_ones() {
        let limits = NodeLimits {
            bytes: 0,
            entries: 0,
        };
        assert!(!limits.is_full(100, 4096, 100));
        assert!(limits.is_full(100, 1 << 20, 0));
        let limits = NodeLimits {
            bytes: 4096,
            entries: 100,
        };
        assert!(limits.is_full(100, 10, 10) && limits.is_full(1, 4000, 96));
        assert!(!limits.is_full(99, 4000, 95));
        assert!(limits.is_full_at_once(4096) && !limits.is_full_at_once(4095));
    }
}
