//! libpmemobj's lanes: where it logs what a transaction is about to change. It trusts their headers, so a damaged one
//! lets the pool open and breaks it with the first write.

use std::fs::File;
use std::io;
use std::ops::Range;
use std::os::unix::fs::FileExt;

// As in format 6 of libpmemobj's pools: each lane has three logs, one behind the other, each a header and its entries.
const LANES_OFFSET_AT: u64 = 5120;
const LANES_COUNT_AT: u64 = 5128;
const LANES_OFFSET: u64 = 8192;
const LANES_MAX: u64 = 1024;
const LANE_BYTES: usize = 3072;
/// How many lanes are read at a time.
const LANES_READ: usize = 16;
/// The logs' offsets in a lane and the bytes of their entries. The first two are redo logs: while one is used, its header
/// tells the bytes in use, in whole cache lines, and after its use the header is all zeros.
const LOGS: [(usize, u64); 3] = [(0, 192), (256, 640), (960, 2048)];
const LOG_HEADER_WORDS: usize = 8;
const CACHE_LINE_BYTES: u64 = 64;

/// Looks at the headers of all logs; what is wrong with one, if something is.
pub(super) fn check(file: &File, heap: &Range<u64>) -> io::Result<Result<(), String>> {
    let (start, count) = (
        super::file::read_u64(file, LANES_OFFSET_AT)?,
        super::file::read_u64(file, LANES_COUNT_AT)?,
    );
    if start != LANES_OFFSET || count == 0 || count > LANES_MAX {
        return Ok(Err("the lanes' place is wrong".to_owned()));
    }
    // All lanes have three mebibytes, and each start reads them: some at a time need no new memory.
    let mut lanes = vec![0; LANES_READ * LANE_BYTES];
    for first in (0..count).step_by(LANES_READ) {
        let read = LANES_READ.min(usize::try_from(count - first).unwrap_or(LANES_READ));
        let lanes = &mut lanes[..read * LANE_BYTES];
        file.read_exact_at(lanes, start + first * LANE_BYTES as u64)?;
        let mut each = (first..).zip(lanes.chunks_exact(LANE_BYTES));
        if let Some((number, _)) = each.find(|(_, lane)| !is_sound(lane, heap)) {
            return Ok(Err(format!("lane {number} is damaged")));
        }
    }
    Ok(Ok(()))
}

fn is_sound(lane: &[u8], heap: &Range<u64>) -> bool {
    LOGS.iter().enumerate().all(|(number, &(at, capacity))| {
        let mut words = [0; LOG_HEADER_WORDS];
        for (word, bytes) in words.iter_mut().zip(lane[at..].chunks_exact(8)) {
            *word = bytes
                .iter()
                .rev()
                .fold(0, |word, byte| word << 8 | u64::from(*byte));
        }
        let [_checksum, next, stored, _generation, flags, unused @ ..] = words;
        let is_undo = number == LOGS.len() - 1;
        let is_used_part = stored < capacity && stored.is_multiple_of(CACHE_LINE_BYTES);
        (stored == capacity || is_used_part && !is_undo)
            && (next == 0 || heap.contains(&next))
            && flags == 0
            && unused == [0; 3]
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEAP: Range<u64> = 0x40_0000..0x100_0000;

    /// A lane whose three logs hold these bytes, by their headers.
    fn lane(stored: [u64; 3], next: u64) -> Vec<u8> {
        let mut lane = vec![0; LANE_BYTES];
        for (&(at, _), stored) in LOGS.iter().zip(stored) {
            lane[at + 8..at + 16].copy_from_slice(&next.to_le_bytes());
            lane[at + 16..at + 24].copy_from_slice(&stored.to_le_bytes());
        }
        lane
    }

    #[test]
    fn a_lane_is_sound_at_rest_and_in_use() {
        assert!(is_sound(&lane([192, 640, 2048], 0), &HEAP));
        assert!(is_sound(&lane([0, 0, 2048], 0), &HEAP));
        // A crash in the middle of an allocation leaves redo logs in use.
        assert!(is_sound(&lane([64, 640, 2048], HEAP.start), &HEAP));
        assert!(is_sound(&lane([192, 64, 2048], 0), &HEAP));
    }

    #[test]
    fn a_header_that_no_log_has_is_damage() {
        assert!(!is_sound(&lane([0, 0, 0], 0), &HEAP));
        assert!(!is_sound(&lane([192, 640, 64], 0), &HEAP));
        assert!(!is_sound(&lane([256, 640, 2048], 0), &HEAP));
        assert!(!is_sound(&lane([65, 640, 2048], 0), &HEAP));
        assert!(!is_sound(&lane([192, 640, 2048], HEAP.end), &HEAP));
    }
}
