//! Reads what all forms have in common: bytes, lengths, strings.

use std::borrow::Cow;

use super::lzf;

/// The memory that an element takes beside its bytes. It counts because two bytes of a payload can hold a whole element,
/// and three can inflate to 264.
pub(super) const ELEMENT_BYTES: usize = 32;

/// The part of a body that is not read yet. Every function returns `None` if the body ends too early or holds something
/// else.
pub(super) struct Reader<'a> {
    rest: &'a [u8],
    /// How much more memory compressed strings may take.
    inflatable_bytes: usize,
}

/// A collection's elements in the order of the payload.
pub(super) type Elements = Vec<Vec<u8>>;

/// What a length field can hold.
enum Length {
    Plain(u64),
    /// The number of a string's special form.
    Special(u8),
}

impl<'a> Reader<'a> {
    /// A reader that refuses compressed strings.
    pub(super) fn new(rest: &'a [u8]) -> Self {
        Self::inflating(rest, 0)
    }

    /// A reader whose compressed strings may take up to `inflatable_bytes` together.
    pub(super) fn inflating(rest: &'a [u8], inflatable_bytes: usize) -> Self {
        Self {
            rest,
            inflatable_bytes,
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    pub(super) fn len(&self) -> usize {
        self.rest.len()
    }

    pub(super) fn take(&mut self, bytes: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.rest.split_at_checked(bytes)?;
        self.rest = rest;
        Some(taken)
    }

    pub(super) fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (taken, rest) = self.rest.split_first_chunk()?;
        self.rest = rest;
        Some(*taken)
    }

    pub(super) fn byte(&mut self) -> Option<u8> {
        self.array().map(|[byte]| byte)
    }

    /// Reads how many items follow. Each item takes at least one byte, so a count above the bytes that are left is refused.
    pub(super) fn count(&mut self) -> Option<usize> {
        let count = self.length()?;
        (count <= self.rest.len()).then_some(count)
    }

    /// Reads a length.
    pub(super) fn length(&mut self) -> Option<usize> {
        self.number()?.try_into().ok()
    }

    /// Reads a number that is written as a length.
    pub(super) fn number(&mut self) -> Option<u64> {
        match self.any_length()? {
            Length::Plain(number) => Some(number),
            Length::Special(_) => None,
        }
    }

    fn any_length(&mut self) -> Option<Length> {
        let first = self.byte()?;
        let low = first & 0x3f;
        Some(Length::Plain(match first >> 6 {
            0 => low.into(),
            1 => u16::from_be_bytes([low, self.byte()?]).into(),
            2 => match first {
                0x80 => u32::from_be_bytes(self.array()?).into(),
                0x81 => u64::from_be_bytes(self.array()?),
                _ => return None,
            },
            _ => return Some(Length::Special(low)),
        }))
    }

    /// Reads a string in any of its forms.
    pub(super) fn string(&mut self) -> Option<Cow<'a, [u8]>> {
        let number = match self.any_length()? {
            Length::Plain(length) => {
                return self.take(length.try_into().ok()?).map(Cow::Borrowed);
            }
            Length::Special(0) => i8::from_le_bytes(self.array()?).into(),
            Length::Special(1) => i16::from_le_bytes(self.array()?).into(),
            Length::Special(2) => i32::from_le_bytes(self.array()?),
            Length::Special(3) => return self.compressed().map(Cow::Owned),
            Length::Special(_) => return None,
        };
        Some(Cow::Owned(number.to_string().into_bytes()))
    }

    /// Reads the elements of a small collection that lies in one string. `decode` gets the string and the largest number of
    /// elements that it may return.
    pub(super) fn packed(
        &mut self,
        decode: fn(&[u8], usize) -> Option<Elements>,
    ) -> Option<Elements> {
        match self.string()? {
            Cow::Borrowed(bytes) => decode(bytes, usize::MAX),
            Cow::Owned(bytes) => {
                let elements = decode(&bytes, self.inflatable_bytes / ELEMENT_BYTES)?;
                self.inflatable_bytes -= elements.len() * ELEMENT_BYTES;
                Some(elements)
            }
        }
    }

    /// Takes memory from what compressed strings may take, for what a payload holds once and a value holds many times.
    /// `None` if there is too little left.
    pub(super) fn inflate(&mut self, bytes: usize) -> Option<()> {
        self.inflatable_bytes = self.inflatable_bytes.checked_sub(bytes)?;
        Some(())
    }

    fn compressed(&mut self) -> Option<Vec<u8>> {
        let compressed_bytes = self.length()?;
        let bytes = self.length()?;
        let compressed = self.take(compressed_bytes)?;
        self.inflate(bytes)?;
        lzf::decompress(compressed, bytes)
    }
}
