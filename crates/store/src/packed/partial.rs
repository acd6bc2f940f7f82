//! Reading a range of a value without the rest.

use std::ops::{ControlFlow, Range};

use smallvec::SmallVec;

use super::Packed;
use super::read::ASKED_FOR_BYTES;
use super::record::{Form, PartList, Record, Spot};
use crate::{OnPiece, StoreError, lend, within};

/// Where the bytes of a range lie.
#[derive(Debug)]
struct Touched {
    /// Bytes of the whole value.
    value_bytes: usize,
    /// The range, cut to the value's length.
    range: Range<usize>,
    /// Bytes of the value in each part but the last.
    part_bytes: usize,
    /// The number of the first part that the range touches.
    first: usize,
    spots: SmallVec<[Spot; 4]>,
}

impl Packed {
    /// The length of a value.
    pub(super) fn value_bytes_at(&self, spot: Spot) -> Result<usize, StoreError> {
        self.with_record(spot, |record| match record.form {
            Form::Value(_) => Ok(record.body.len()),
            Form::Large(_) => large_bytes(&PartList::decode(record.body)?),
            _ => Err(StoreError::Damaged(format!("no value at {spot:?}"))),
        })?
    }

    /// Lends the bytes of `range` of a value, piece by piece.
    pub(super) fn read_range_at(
        &self,
        spot: Spot,
        range: Range<usize>,
        f: OnPiece<'_>,
    ) -> Result<(), StoreError> {
        if !spot.large {
            if range.len() > ASKED_FOR_BYTES {
                self.ask_if_long(spot);
            }
            return self.with_record(spot, |record| match record.form {
                Form::Value(_) => {
                    lend(record.body, &range, f);
                    Ok(())
                }
                _ => Err(StoreError::Damaged(format!("no value at {spot:?}"))),
            })?;
        }
        // Reads the parts after the record that names them, not inside the closure: reading a staged record takes a
        // lock, and the parts may be staged too.
        let touched = self.with_record(spot, |record| match record.form {
            Form::Large(_) => self.touched(&record, &range),
            _ => Err(StoreError::Damaged(format!("no large value at {spot:?}"))),
        })??;
        if let Some(touched) = touched
            && self.read_touched(&touched, f)?
        {
            return Ok(());
        }
        // An older version of the server stored this value, in parts of another length.
        self.read_parts(spot, &mut |value| lend(value.bytes, &range, f))
    }

    /// Where the bytes of `range` lie; `None` if the parts have another length than [`Packed::part_bytes`].
    fn touched(
        &self,
        record: &Record<'_>,
        range: &Range<usize>,
    ) -> Result<Option<Touched>, StoreError> {
        let list = PartList::decode(record.body)?;
        let value_bytes = large_bytes(&list)?;
        let part_bytes = self.part_bytes(record.key);
        if list.len() != value_bytes.div_ceil(part_bytes) {
            return Ok(None);
        }
        let range = within(range, value_bytes);
        let first = range.start / part_bytes;
        let past = if range.is_empty() {
            first
        } else {
            range.end.div_ceil(part_bytes)
        };
        Ok(Some(Touched {
            value_bytes,
            range,
            part_bytes,
            first,
            spots: list.spots(first..past).collect(),
        }))
    }

    /// Lends the bytes. Returns `false`, and lends nothing, if the first part does not have the expected length.
    fn read_touched(&self, touched: &Touched, f: OnPiece<'_>) -> Result<bool, StoreError> {
        let Touched {
            value_bytes,
            range,
            part_bytes,
            first,
            spots,
        } = touched;
        if range.len() > ASKED_FOR_BYTES {
            spots.iter().for_each(|&spot| self.ask_if_long(spot));
        }
        for (i, &spot) in spots.iter().enumerate() {
            let start = (first + i) * part_bytes;
            let bytes = (value_bytes - start).min(*part_bytes);
            let flow = self.with_record(spot, |part| {
                let fits = part.form == Form::Part && part.body.len() == bytes;
                fits.then(|| {
                    let end = (range.end - start).min(bytes);
                    f(&part.body[range.start.saturating_sub(start)..end])
                })
            })?;
            match flow {
                Some(ControlFlow::Continue(())) => {}
                Some(ControlFlow::Break(())) => break,
                None if i == 0 => return Ok(false),
                None => {
                    return Err(StoreError::Damaged(format!(
                        "no part of {bytes} bytes at {spot:?}"
                    )));
                }
            }
        }
        Ok(true)
    }
}

/// The length of a value in parts, as its record states it.
fn large_bytes(list: &PartList<'_>) -> Result<usize, StoreError> {
    usize::try_from(list.value_bytes).map_err(|_| StoreError::TooLarge)
}
