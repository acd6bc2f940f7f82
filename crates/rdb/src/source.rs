//! The bytes of one item, taken from the input as the format asks for them.

use std::io::{self, Read};
use std::ops::Range;

use redis_core::serialised::Checksum;

use crate::RdbError;
use crate::reader::Limits;

/// A claimed length takes no more memory than that before its bytes have arrived.
const STEP_BYTES: usize = 256 * 1024;

/// Memory that is kept between items.
const KEPT_BYTES: usize = 1 << 20;

/// What a length field can hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Length {
    Plain(u64),
    /// The number of a string's special form.
    Special(u8),
}

/// A string of the item: where it lies, and where its bytes lie if it is written byte by byte.
#[derive(Clone, Debug)]
pub(crate) struct Span {
    pub whole: Range<usize>,
    pub plain: Option<Range<usize>>,
}

/// Reads an input. It never takes more of it than the item needs.
#[derive(Debug)]
pub(crate) struct Source<R> {
    input: R,
    /// Bytes of items that are kept, then the item's bytes so far.
    item: Vec<u8>,
    /// Where the item begins there.
    start: usize,
    /// How many of the bytes are in the checksum already.
    summed: usize,
    /// How many bytes lie before the item.
    offset: u64,
    checksum: Checksum,
    limits: Limits,
    /// Elements that the item has so far.
    elements: u64,
}

impl<R: Read> Source<R> {
    pub fn new(input: R, limits: Limits) -> Self {
        Self {
            input,
            item: Vec::new(),
            start: 0,
            summed: 0,
            offset: 0,
            checksum: Checksum::default(),
            limits,
            elements: 0,
        }
    }

    pub fn into_inner(self) -> R {
        self.input
    }

    /// How many bytes were read.
    pub fn offset(&self) -> u64 {
        self.offset + self.item_len() as u64
    }

    fn item_len(&self) -> usize {
        self.item.len() - self.start
    }

    /// Ends an item and forgets its bytes.
    pub fn end_item(&mut self) {
        let start = self.start;
        self.keep_item();
        self.sum();
        self.start = start;
        self.summed = start;
        self.item.truncate(start);
        if start == 0 {
            self.item.shrink_to(KEPT_BYTES);
        }
    }

    /// Ends an item, and keeps its bytes until [`swap`](Self::swap).
    pub fn keep_item(&mut self) {
        self.offset += self.item_len() as u64;
        self.elements = 0;
        self.start = self.item.len();
    }

    /// Gives the bytes of the items that were kept for a buffer whose bytes are forgotten.
    pub fn swap(&mut self, buffer: &mut Vec<u8>) {
        self.sum();
        std::mem::swap(&mut self.item, buffer);
        self.item.clear();
        self.item.shrink_to(KEPT_BYTES);
        (self.start, self.summed) = (0, 0);
    }

    /// Adds the bytes of the items that have ended to the checksum. Many at once cost less than one item at a time.
    fn sum(&mut self) {
        self.checksum.add(&self.item[self.summed..self.start]);
        self.summed = self.start;
    }

    /// The checksum of all items that have ended.
    pub fn checksum(&self) -> u64 {
        self.checksum.value()
    }

    /// Bytes of the item.
    pub fn bytes(&self, range: Range<usize>) -> &[u8] {
        &self.item[range]
    }

    /// The bytes of all items that are kept, and those of the item so far.
    pub fn all(&self) -> &[u8] {
        &self.item
    }

    /// How many bytes these are.
    pub fn len(&self) -> usize {
        self.item.len()
    }

    pub fn damaged(&self, what: &'static str) -> RdbError {
        RdbError::Damaged {
            offset: self.offset(),
            what,
        }
    }

    /// Reads the next bytes; returns where they lie.
    pub fn take(&mut self, bytes: u64) -> Result<Range<usize>, RdbError> {
        let start = self.item.len();
        let limit = self.limits.item_bytes_max;
        let end = usize::try_from(bytes)
            .ok()
            .and_then(|bytes| start.checked_add(bytes))
            .filter(|&end| end - self.start <= limit)
            .ok_or_else(|| RdbError::TooLarge {
                offset: self.offset,
                limit: format!("{limit} bytes"),
            })?;
        while self.item.len() < end {
            let from = self.item.len();
            self.item.resize(end.min(from + STEP_BYTES), 0);
            if let Err(error) = self.input.read_exact(&mut self.item[from..]) {
                self.item.truncate(from);
                return Err(self.failed(error));
            }
        }
        Ok(start..end)
    }

    fn failed(&self, error: io::Error) -> RdbError {
        if error.kind() == io::ErrorKind::UnexpectedEof {
            RdbError::Truncated {
                offset: self.offset(),
            }
        } else {
            RdbError::Io(error)
        }
    }

    pub fn array<const N: usize>(&mut self) -> Result<[u8; N], RdbError> {
        let mut bytes = [0; N];
        if let Err(error) = self.input.read_exact(&mut bytes) {
            return Err(self.failed(error));
        }
        self.item.extend_from_slice(&bytes);
        Ok(bytes)
    }

    pub fn byte(&mut self) -> Result<u8, RdbError> {
        self.array().map(|[byte]| byte)
    }

    pub fn length(&mut self) -> Result<Length, RdbError> {
        let first = self.byte()?;
        let low = first & 0x3f;
        Ok(Length::Plain(match first >> 6 {
            0 => low.into(),
            1 => u16::from_be_bytes([low, self.byte()?]).into(),
            2 => match first {
                0x80 => u32::from_be_bytes(self.array()?).into(),
                0x81 => u64::from_be_bytes(self.array()?),
                _ => return Err(self.damaged("a length has an unknown form")),
            },
            _ => return Ok(Length::Special(low)),
        }))
    }

    /// Reads a number in the form of a length.
    pub fn number(&mut self) -> Result<u64, RdbError> {
        match self.length()? {
            Length::Plain(number) => Ok(number),
            Length::Special(_) => Err(self.damaged("a string stands where a number belongs")),
        }
    }

    /// Reads a string.
    pub fn string(&mut self) -> Result<Span, RdbError> {
        let start = self.item.len();
        let mut plain = None;
        match self.length()? {
            Length::Plain(bytes) => plain = Some(self.take(bytes)?),
            Length::Special(form @ 0..=2) => {
                self.take(1 << form)?;
            }
            Length::Special(3) => {
                let compressed_bytes = self.number()?;
                self.number()?;
                self.take(compressed_bytes)?;
            }
            Length::Special(_) => return Err(self.damaged("a string has an unknown form")),
        }
        Ok(Span {
            whole: start..self.item.len(),
            plain,
        })
    }

    /// Counts elements of the item.
    pub fn count_elements(&mut self, elements: u64) -> Result<(), RdbError> {
        self.elements = self.elements.saturating_add(elements);
        if self.elements > self.limits.elements_max {
            return Err(RdbError::TooLarge {
                offset: self.offset,
                limit: format!("{} elements", self.limits.elements_max),
            });
        }
        Ok(())
    }
}
