//! A sketch in Redis's form: 16 bytes of header, then the registers.
//!
//! | bytes | meaning |
//! |---|---|
//! | 0..4 | `HYLL` |
//! | 4 | 0: dense, 1: sparse |
//! | 5..8 | nothing |
//! | 8..16 | the last estimate, little-endian; the highest bit says that it is out of date |

use super::estimate::Histogram;
use super::hash::Mark;
use super::sparse::{self, Corrupt, Raised};
use super::{REGISTERS, dense};
use crate::commands::CommandError;
use crate::keyspace::StringView;

pub(super) const HEADER_BYTES: usize = 16;
const MAGIC: &[u8] = b"HYLL";
const FORM: usize = 4;
const DENSE: u8 = 0;
const SPARSE: u8 = 1;
const ESTIMATE: usize = 8;
const OUT_OF_DATE: u64 = 1 << 63;

const NO_SKETCH: CommandError =
    CommandError::text("WRONGTYPE Key is not a valid HyperLogLog string value.");

impl From<Corrupt> for CommandError {
    fn from(_: Corrupt) -> Self {
        CommandError::text("INVALIDOBJ Corrupted HLL object detected")
    }
}

/// A string that has a sketch's header. Its registers may be corrupt.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sketch<'a>(&'a [u8]);

impl<'a> Sketch<'a> {
    /// Runs `f` on the sketch that a key holds.
    pub(super) fn read<R>(
        string: StringView<'_>,
        f: impl FnOnce(Sketch<'_>) -> Result<R, CommandError>,
    ) -> Result<R, CommandError> {
        // Reads only the start first: it shows whether the string is a sketch at all.
        if *string.bytes(0..MAGIC.len())? != *MAGIC {
            return Err(NO_SKETCH);
        }
        let bytes = string.whole()?;
        f(Sketch::from_bytes(&bytes).ok_or(NO_SKETCH)?)
    }

    /// `None` where the bytes have no sketch's header.
    pub(super) fn from_bytes(bytes: &'a [u8]) -> Option<Self> {
        let is_sketch = bytes.len() >= HEADER_BYTES
            && bytes.starts_with(MAGIC)
            && match bytes[FORM] {
                DENSE => bytes.len() == HEADER_BYTES + dense::BYTES,
                form => form == SPARSE,
            };
        is_sketch.then_some(Self(bytes))
    }

    pub(super) fn is_dense(self) -> bool {
        self.0[FORM] == DENSE
    }

    fn registers(self) -> &'a [u8] {
        &self.0[HEADER_BYTES..]
    }

    /// The estimate in the header, where it is up to date.
    pub(super) fn cached(self) -> Option<u64> {
        let kept = kept_estimate(self.0);
        (kept & OUT_OF_DATE == 0).then_some(kept)
    }

    /// The estimate from the registers.
    pub(super) fn estimate(self) -> Result<u64, Corrupt> {
        if self.is_dense() {
            let histogram: Histogram = dense::registers(self.registers()).collect();
            return Ok(histogram.estimate());
        }
        let mut histogram = Histogram::default();
        sparse::for_each(self.registers(), |_, run| histogram.add(run.rank, run.len))?;
        Ok(histogram.estimate())
    }

    /// A copy that holds an estimate in its header.
    pub(super) fn with_estimate(self, estimate: u64) -> Vec<u8> {
        let mut bytes = self.0.to_vec();
        bytes[ESTIMATE..HEADER_BYTES].copy_from_slice(&estimate.to_le_bytes());
        bytes
    }

    /// Whether an element would change a register.
    fn would_raise(self, mark: Mark) -> Result<bool, Corrupt> {
        let rank = if self.is_dense() {
            dense::get(self.registers(), mark.register)
        } else if mark.rank > sparse::RANK_MAX {
            // Such a rank needs the dense form, whatever the register holds.
            return Ok(true);
        } else {
            sparse::get(self.registers(), mark.register)?
        };
        Ok(rank < mark.rank)
    }

    /// The sketch after `marks`, with the number of marks that changed it; `None` if none did. A sparse sketch that
    /// grows beyond `sparse_bytes_max` becomes dense.
    pub(super) fn with_marks(
        self,
        mut marks: impl Iterator<Item = Mark>,
        sparse_bytes_max: usize,
    ) -> Result<Option<(Vec<u8>, usize)>, Corrupt> {
        while let Some(mark) = marks.next() {
            if self.would_raise(mark)? {
                let mut changed = Draft(self.0.to_vec());
                let mut raised = usize::from(changed.raise(mark, sparse_bytes_max)?);
                for mark in marks {
                    raised += usize::from(changed.raise(mark, sparse_bytes_max)?);
                }
                return Ok(Some((changed.finish(), raised)));
            }
        }
        Ok(None)
    }

    /// Raises `ranks`, one for each register, to those of this sketch.
    pub(super) fn merge_into(self, ranks: &mut Ranks) -> Result<(), Corrupt> {
        if self.is_dense() {
            for (rank, own) in ranks.iter_mut().zip(dense::registers(self.registers())) {
                *rank = own.max(*rank);
            }
            return Ok(());
        }
        sparse::for_each(self.registers(), |first, run| {
            for rank in &mut ranks[first..first + run.len] {
                *rank = run.rank.max(*rank);
            }
        })
    }
}

/// The rank of every register.
pub(super) type Ranks = [u8; REGISTERS];

fn kept_estimate(bytes: &[u8]) -> u64 {
    let mut word = [0; 8];
    word.copy_from_slice(&bytes[ESTIMATE..HEADER_BYTES]);
    u64::from_le_bytes(word)
}

/// A sketch that changes.
#[derive(Debug)]
pub(super) struct Draft(Vec<u8>);

impl Draft {
    /// All registers 0, sparse.
    pub(super) fn empty() -> Self {
        let mut bytes = vec![0; HEADER_BYTES];
        bytes[..MAGIC.len()].copy_from_slice(MAGIC);
        bytes[FORM] = SPARSE;
        sparse::write_zeros(&mut bytes);
        Self(bytes)
    }

    pub(super) fn copy(sketch: Sketch<'_>) -> Self {
        Self(sketch.0.to_vec())
    }

    /// Turns a sparse sketch into a dense one.
    pub(super) fn make_dense(&mut self) -> Result<(), Corrupt> {
        if self.0[FORM] == DENSE {
            return Ok(());
        }
        let (header, codes) = self.0.split_at(HEADER_BYTES);
        let mut bytes = vec![0; HEADER_BYTES + dense::BYTES];
        bytes[..HEADER_BYTES].copy_from_slice(header);
        bytes[FORM] = DENSE;
        let registers = &mut bytes[HEADER_BYTES..];
        sparse::for_each(codes, |first, run| {
            if run.rank > 0 {
                for register in first..first + run.len {
                    dense::raise(registers, register, run.rank);
                }
            }
        })?;
        self.0 = bytes;
        Ok(())
    }

    /// Raises a register if it is lower. Returns whether it was.
    pub(super) fn raise(&mut self, mark: Mark, sparse_bytes_max: usize) -> Result<bool, Corrupt> {
        if self.0[FORM] == SPARSE {
            let raised = sparse::raise(&mut self.0, HEADER_BYTES, mark, sparse_bytes_max)?;
            if raised != Raised::NoSpace {
                return Ok(raised != Raised::No);
            }
            self.make_dense()?;
        }
        let registers = &mut self.0[HEADER_BYTES..];
        Ok(dense::raise(registers, mark.register, mark.rank))
    }

    /// The bytes; the estimate in them is out of date.
    pub(super) fn finish(mut self) -> Vec<u8> {
        let word = kept_estimate(&self.0) | OUT_OF_DATE;
        self.0[ESTIMATE..HEADER_BYTES].copy_from_slice(&word.to_le_bytes());
        self.0
    }
}
