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
/// The logs' offsets in a lane and the bytes of their entries. The first two are redo logs, whose header is all zeros
/// after their use.
const LOGS: [(usize, u64); 3] = [(0, 192), (256, 640), (960, 2048)];
const LOG_HEADER_WORDS: usize = 8;

/// Looks at the headers of all logs; what is wrong with one, if something is.
pub(super) fn check(file: &File, heap: &Range<u64>) -> io::Result<Result<(), String>> {
    let (start, count) = (
        super::file::read_u64(file, LANES_OFFSET_AT)?,
        super::file::read_u64(file, LANES_COUNT_AT)?,
    );
    if start != LANES_OFFSET || count == 0 || count > LANES_MAX {
        return Ok(Err("the lanes' place is wrong".to_owned()));
    }
    let mut lanes = vec![0; usize::try_from(count).unwrap_or(0) * LANE_BYTES];
    file.read_exact_at(&mut lanes, start)?;
    let wrong = (0..)
        .zip(lanes.chunks_exact(LANE_BYTES))
        .find(|(_, lane)| !is_sound(lane, heap));
    Ok(match wrong {
        None => Ok(()),
        Some((number, _)) => Err(format!("lane {number} is damaged")),
    })
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
        (stored == capacity || stored == 0 && !is_undo)
            && (next == 0 || heap.contains(&next))
            && flags == 0
            && unused == [0; 3]
    })
}
