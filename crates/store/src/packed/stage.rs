//! Staging: gives records their places at a log's end, and keeps them in DRAM until a commit takes them.

use std::sync::atomic::Ordering;

use smallvec::SmallVec;

use super::header::Which;
use super::log::{Active, Log, Staging};
use super::record::{Spot, bind};
use super::space::Space;
use crate::StoreError;

impl Log {
    /// Stages one encoded record, and has `count` change the accounts of the space. Returns where the record lies, and whether it
    /// is the first of a segment. The caller does not hold the log.
    #[inline]
    pub(super) fn stage_one(
        &self,
        space: &Space,
        record: &mut [u8],
        count: impl FnOnce(Spot),
    ) -> Result<(Spot, bool), StoreError> {
        let length = record.len();
        let mut staging = self.staging.lock();
        let (active, is_first) = match staging.active {
            Some(active) if length <= space.capacity() - active.end => (active, false),
            full => (self.begin_segment(space, full)?, true),
        };
        bind(record, active.binding());
        staging.append(active, record);
        staging.active = Some(Active {
            end: active.end + length,
            ..active
        });
        let spot = Spot {
            segment: active.segment,
            offset: active.end,
            length,
            large: false,
        };
        staging.staged_bytes += length as u64;
        self.staged.fetch_add(length as u64, Ordering::Release);
        // Under the lock: once another thread has sealed the segment, the compaction must know of the record. After the count
        // of staged bytes: it must commit the new record before it frees the place of the old one.
        count(spot);
        Ok((spot, is_first))
    }

    /// Takes a segment for the log's next records.
    #[cold]
    fn begin_segment(&self, space: &Space, full: Option<Active>) -> Result<Active, StoreError> {
        let (segment, serial) = space.take(self.which == Which::Compaction)?;
        if let Some(full) = full {
            space.seal(full.segment, serial);
        }
        Ok(Active {
            segment,
            serial,
            end: 0,
        })
    }

    /// Stages the records in `encoded`, which have `lengths` bytes each, for one commit, and calls `placed` with the
    /// number and the place of each. On an error it stages none.
    pub fn stage(
        &self,
        space: &Space,
        encoded: &mut [u8],
        lengths: &[usize],
        mut placed: impl FnMut(usize, Spot),
    ) -> Result<(), StoreError> {
        if self.is_held_here() {
            return self.stage_held(space, encoded, lengths, &mut placed);
        }
        let added: usize = lengths.iter().sum();
        let capacity = space.capacity();
        let mut staging = self.staging.lock();
        let for_compaction = self.which == Which::Compaction;
        let mut fresh = staging
            .take_segments(space, lengths.iter().copied(), for_compaction)?
            .into_iter();
        // Before the first record has its place: the compaction must commit the new records before it frees the places of the
        // old ones. It waits for the staging meanwhile.
        staging.staged_bytes += added as u64;
        self.staged.fetch_add(added as u64, Ordering::Release);
        let mut rest = encoded;
        for (i, &length) in lengths.iter().enumerate() {
            let (record, after) = rest.split_at_mut(length);
            rest = after;
            let active = match staging.active {
                Some(active) if length <= capacity - active.end => active,
                full => {
                    let Some((segment, serial)) = fresh.next() else {
                        unreachable!("the loop above took a segment for each change");
                    };
                    if let Some(full) = full {
                        space.seal(full.segment, serial);
                    }
                    Active {
                        segment,
                        serial,
                        end: 0,
                    }
                }
            };
            bind(record, active.binding());
            staging.append(active, record);
            staging.active = Some(Active {
                end: active.end + length,
                ..active
            });
            placed(
                i,
                Spot {
                    segment: active.segment,
                    offset: active.end,
                    length,
                    large: false,
                },
            );
        }
        Ok(())
    }
}

impl Staging {
    /// Takes the segments that records of these lengths need at the log's end. On an error it takes none.
    pub(super) fn take_segments(
        &self,
        space: &Space,
        lengths: impl Iterator<Item = usize>,
        for_compaction: bool,
    ) -> Result<SmallVec<[(u32, u64); 4]>, StoreError> {
        let capacity = space.capacity();
        let mut end = self.active.map_or(capacity, |active| active.end);
        let mut fresh = SmallVec::<[(u32, u64); 4]>::new();
        for length in lengths {
            if length > capacity - end {
                match space.take(for_compaction) {
                    Ok(segment) => fresh.push(segment),
                    Err(error) => {
                        for (segment, _) in fresh {
                            space.put_back(segment);
                        }
                        return Err(error);
                    }
                }
                end = 0;
            }
            end += length;
        }
        Ok(fresh)
    }
}
