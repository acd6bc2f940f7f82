//! The compact form: a small collection as one record under its key, with its elements in Redis's order.
//!
//! | part | bytes |
//! |---|---|
//! | version, 1 | 1 |
//! | flags | 1 |
//! | how many entries follow | 2, little-endian |
//! | earliest deadline of a field, only with flag 1 | 8, little-endian |
//! | the entries | the rest |
//!
//! An entry is a text (a list's element, a set's member), or two texts: a hash's field and its value, a sorted set's member
//! and its score. With flag 1, a deadline of 6 bytes follows each entry of a hash, in ms since the Unix epoch, 0 for none.
//! No program writes flag 1 yet, and this one refuses it. Flag 2 says that a set is an intset; then bits 2 and 3 of the flags
//! hold a number w, and each entry is a member as a signed integer of 2^w bytes, little-endian, with the smallest w that is
//! enough for all of them. Where w is 0, an earlier version has written the members as texts; see [`integers`].
//!
//! A text is its length and its bytes. A length below 254 is one byte, a longer one is 254 and two bytes, or 255 and four
//! bytes, little-endian. A score is a signed integer of 1, 2 or 4 bytes if it is an integer of that size and not -0,
//! otherwise 8 bytes (IEEE 754), each little-endian.
//!
//! A hash keeps its fields, a list its elements and a set its members in the order in which they came. An intset is sorted
//! by number, a sorted set by score and then by member.

mod body;
mod builder;
mod in_place;
mod integers;

use std::cmp::Ordering;
use std::collections::HashSet;

use redis_core::numbers::parse_i64;

pub(super) use body::open_copy;
pub use body::{Body, Names};
pub(super) use builder::Builder;
pub use in_place::InPlace;
pub(super) use integers::{Unpacked, append as append_integers};

use super::Encoding;
use crate::{KeyspaceError, Kind};

/// The version of the form.
const VERSION: u8 = 1;
/// Bytes before the first entry.
pub(super) const HEADER_BYTES: usize = 4;

/// The set is an intset.
const INTEGERS: u8 = 2;

/// Lengths below this one take one byte.
const SHORT_LENGTHS: usize = 254;
const LENGTH_OF_TWO: u8 = 254;
const LENGTH_OF_FOUR: u8 = 255;

const DAMAGED: KeyspaceError = KeyspaceError::Failed("a compact collection's record is damaged");

/// The elements of a compact collection as texts, where they lie.
#[derive(Clone, Copy, Debug)]
pub struct Texts<'a> {
    kind: Kind,
    encoding: Encoding,
    len: usize,
    entries: &'a [u8],
}

/// One entry. The value of a set's member or a list's element is empty.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Item<'a> {
    /// The field, the member, or a list's element.
    pub name: &'a [u8],
    /// A field's value, or a member's score in its short form.
    pub value: &'a [u8],
}

impl Item<'_> {
    /// The score of a sorted set's member.
    pub fn score(&self) -> f64 {
        decode_score(self.value).unwrap_or(0.0)
    }
}

/// Whether entries of the type are two texts.
fn has_values(kind: Kind) -> bool {
    matches!(kind.plain(), Kind::Hash | Kind::SortedSet)
}

impl<'a> Texts<'a> {
    /// The elements in a record of this process, of which there are `len`.
    #[inline]
    fn of_record(kind: Kind, encoding: Encoding, len: usize, record: &'a [u8]) -> Self {
        Self {
            kind,
            encoding,
            len,
            entries: record.get(HEADER_BYTES..).unwrap_or_default(),
        }
    }

    /// Checks all bytes.
    fn check(self) -> Result<(), KeyspaceError> {
        let mut names = HashSet::with_capacity(if self.len > FEW { self.len } else { 0 });
        let mut before: Option<Item<'_>> = None;
        let (mut met, mut bytes) = (0, 0);
        for item in self.items() {
            let in_order = match (self.kind, before) {
                (Kind::SortedSet, before) => {
                    let score = decode_score(item.value).ok_or(DAMAGED)?;
                    if ShortScore::new(score).bytes() != item.value {
                        return Err(DAMAGED);
                    }
                    before.is_none_or(|before| {
                        compare_scored((before.score(), before.name), (score, item.name)).is_lt()
                    })
                }
                (Kind::Set, before) if self.encoding == Encoding::Integers => {
                    let number = parse_i64(item.name).ok_or(DAMAGED)?;
                    before.and_then(|before| parse_i64(before.name)) < Some(number)
                }
                _ => true,
            };
            let is_new = match self.kind {
                Kind::List => true,
                _ if self.len > FEW => names.insert(item.name),
                _ => self.items().take(met).all(|other| other.name != item.name),
            };
            if !in_order || !is_new {
                return Err(DAMAGED);
            }
            before = Some(item);
            met += 1;
            bytes += item_bytes(self.kind, item);
        }
        // Each length has one form, so the entries have as many bytes as they would be written with.
        if met != self.len || met == 0 || bytes != self.entries.len() {
            return Err(DAMAGED);
        }
        Ok(())
    }

    /// The collection's type.
    pub fn kind(self) -> Kind {
        self.kind
    }

    /// How many elements there are.
    pub fn len(self) -> usize {
        self.len
    }

    /// The form in which Redis would keep it.
    pub fn encoding(self) -> Encoding {
        self.encoding
    }

    /// The bytes of the entries.
    pub fn bytes(self) -> &'a [u8] {
        self.entries
    }

    /// The elements in their order.
    pub fn items(self) -> Items<'a> {
        Items {
            rest: self.entries,
            has_values: has_values(self.kind),
        }
    }

    /// The element with that name.
    #[inline(never)] // So that what looks for the form before stays short enough to be inlined.
    pub fn find(self, name: &[u8]) -> Option<Item<'a>> {
        self.items().find(|item| is_same(item.name, name))
    }
}

/// Up to this many names are compared with each other; with more, a hash table finds a repeated one.
const FEW: usize = 16;

/// Decodes a record and encodes it again; `None` if the record is refused. For the fuzz target.
pub fn copied(kind: Kind, record: &[u8]) -> Option<Vec<u8>> {
    let body = Body::check(kind, record).ok()?;
    let mut copy = Vec::new();
    begin(&mut copy);
    match body {
        Body::Texts(texts) => {
            for item in texts.items() {
                push_item(&mut copy, kind, item);
            }
            if texts.encoding() == Encoding::Integers {
                *copy.get_mut(1)? = INTEGERS;
            }
        }
        Body::Integers(integers) => {
            let numbers: Unpacked = integers.numbers().collect();
            append_integers(&mut copy, &numbers);
        }
    }
    finish(&mut copy, body.len())?;
    Some(copy)
}

/// The elements of a collection that are texts.
#[derive(Clone, Debug, Default)]
pub struct Items<'a> {
    rest: &'a [u8],
    has_values: bool,
}

impl<'a> Items<'a> {
    /// The bytes behind the last element that was returned.
    pub fn rest(&self) -> &'a [u8] {
        self.rest
    }
}

impl<'a> Iterator for Items<'a> {
    type Item = Item<'a>;

    #[inline]
    fn next(&mut self) -> Option<Item<'a>> {
        let (name, rest) = text(self.rest)?;
        let (value, rest) = if self.has_values {
            text(rest)?
        } else {
            (&name[..0], rest)
        };
        self.rest = rest;
        Some(Item { name, value })
    }
}

/// Whether two names are the same. Those of one collection are often as long and begin alike, so their ends come first.
#[inline]
fn is_same(one: &[u8], other: &[u8]) -> bool {
    one.len() == other.len() && one.last() == other.last() && one == other
}

/// Splits off a text; `None` at the end, and where the bytes are damaged.
#[inline]
fn text(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (&first, rest) = bytes.split_first()?;
    if first < LENGTH_OF_TWO {
        return rest.split_at_checked(usize::from(first));
    }
    let (len, rest) = if first == LENGTH_OF_TWO {
        let (len, rest) = rest.split_first_chunk::<2>()?;
        (usize::from(u16::from_le_bytes(*len)), rest)
    } else {
        let (len, rest) = rest.split_first_chunk::<4>()?;
        (usize::try_from(u32::from_le_bytes(*len)).ok()?, rest)
    };
    rest.split_at_checked(len)
}

/// A text's length as it is written, and how many of the bytes count. The longest value that a client can send has fewer
/// than 2^32 bytes.
#[inline]
fn encode_length(len: usize) -> ([u8; 5], usize) {
    if len < SHORT_LENGTHS {
        #[allow(clippy::cast_possible_truncation)] // It is below 254.
        let length = len as u8;
        ([length, 0, 0, 0, 0], 1)
    } else if let Ok(len) = u16::try_from(len) {
        let [low, high] = len.to_le_bytes();
        ([LENGTH_OF_TWO, low, high, 0, 0], 3)
    } else {
        let [a, b, c, d] = u32::try_from(len).unwrap_or(u32::MAX).to_le_bytes();
        ([LENGTH_OF_FOUR, a, b, c, d], 5)
    }
}

/// Appends a text.
#[inline]
pub(super) fn push_text(out: &mut Vec<u8>, text: &[u8]) {
    if text.len() < SHORT_LENGTHS {
        #[allow(clippy::cast_possible_truncation)] // It is below 254.
        out.push(text.len() as u8);
    } else {
        let (length, bytes) = encode_length(text.len());
        out.extend_from_slice(&length[..bytes]);
    }
    out.extend_from_slice(text);
}

/// Bytes that a text takes.
#[inline]
fn text_bytes(text: &[u8]) -> usize {
    match text.len() {
        len @ 0..SHORT_LENGTHS => len + 1,
        len @ SHORT_LENGTHS..=0xffff => len + 3,
        len => len + 5,
    }
}

/// Appends an entry. `value` is a field's value, or a score in its short form.
pub(super) fn push_item(out: &mut Vec<u8>, kind: Kind, item: Item<'_>) {
    push_text(out, item.name);
    if has_values(kind) {
        push_text(out, item.value);
    }
}

/// Bytes that an entry takes.
pub(super) fn item_bytes(kind: Kind, item: Item<'_>) -> usize {
    let value_bytes = if has_values(kind) {
        text_bytes(item.value)
    } else {
        0
    };
    text_bytes(item.name) + value_bytes
}

/// Begins a record of texts; [`finish`] completes the header.
pub(super) fn begin(out: &mut Vec<u8>) {
    out.extend_from_slice(&[VERSION, 0, 0, 0]);
}

/// Completes the header of a record with `len` entries; `None` if the form has no place for as many.
pub(super) fn finish(record: &mut [u8], len: usize) -> Option<()> {
    let [.., low, high] = record.first_chunk_mut::<HEADER_BYTES>()?;
    [*low, *high] = u16::try_from(len).ok()?.to_le_bytes();
    Some(())
}

/// The order of a sorted set. Scores are never NaN; -0 and 0 are equal.
pub(super) fn compare_scored(a: (f64, &[u8]), b: (f64, &[u8])) -> Ordering {
    let by_score = a.0.partial_cmp(&b.0).unwrap_or(Ordering::Equal);
    by_score.then_with(|| a.1.cmp(b.1))
}

/// A score in its short form.
#[derive(Clone, Copy, Debug)]
pub(super) struct ShortScore {
    bytes: [u8; 8],
    len: usize,
}

impl ShortScore {
    /// The short form of a score.
    pub fn new(score: f64) -> Self {
        #[allow(clippy::cast_possible_truncation)] // Compared below.
        let whole = score as i32;
        let is_whole = f64::from(whole).to_bits() == score.to_bits();
        let mut bytes = score.to_le_bytes();
        let mut len = bytes.len();
        if is_whole {
            bytes[..4].copy_from_slice(&whole.to_le_bytes());
            len = if i8::try_from(whole).is_ok() {
                1
            } else if i16::try_from(whole).is_ok() {
                2
            } else {
                4
            };
        }
        Self { bytes, len }
    }

    /// Its bytes.
    pub fn bytes(&self) -> &[u8] {
        self.bytes.get(..self.len).unwrap_or(&self.bytes)
    }
}

/// Decodes a score from its short form; `None` if the bytes are none.
pub(super) fn decode_score(bytes: &[u8]) -> Option<f64> {
    match *bytes {
        [a] => Some(f64::from(i8::from_le_bytes([a]))),
        [a, b] => Some(f64::from(i16::from_le_bytes([a, b]))),
        [a, b, c, d] => Some(f64::from(i32::from_le_bytes([a, b, c, d]))),
        _ => super::elements::decode_score(bytes),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn scores_come_back(score: f64) {
            prop_assume!(!score.is_nan());
            let short = ShortScore::new(score);
            prop_assert_eq!(decode_score(short.bytes()).map(f64::to_bits), Some(score.to_bits()));
        }

        #[test]
        fn whole_scores_come_back_and_are_short(score: i32) {
            let score = f64::from(score);
            let short = ShortScore::new(score);
            prop_assert!(short.bytes().len() <= 4);
            prop_assert_eq!(decode_score(short.bytes()).map(f64::to_bits), Some(score.to_bits()));
        }

        #[test]
        fn any_bytes_are_refused_or_read_to_their_end(record in prop::collection::vec(any::<u8>(), 0..60), kind in 0..4usize) {
            let kind = [Kind::Hash, Kind::List, Kind::Set, Kind::SortedSet][kind];
            if let Ok(body) = Body::check(kind, &record) {
                prop_assert_eq!(body.names().count(), body.len());
                let mut met = 0;
                body.for_each(|_, _| met += 1);
                prop_assert_eq!(met, body.len());
            }
        }

        #[test]
        fn texts_come_back(len in prop_oneof![0..600usize, 65_000..66_000usize]) {
            let mut out = Vec::new();
            let name = vec![7; len];
            push_text(&mut out, &name);
            prop_assert_eq!(out.len(), item_bytes(Kind::Set, Item { name: &name, value: b"" }));
            out.push(1);
            let (text, rest) = text(&out).unwrap_or_default();
            prop_assert_eq!((text.len(), rest), (len, &[1][..]));
        }
    }

    fn record(kind: Kind, encoding: Encoding, items: &[(&str, &[u8])]) -> Vec<u8> {
        let mut record = Vec::new();
        begin(&mut record);
        for &(name, value) in items {
            let name = name.as_bytes();
            push_item(&mut record, kind, Item { name, value });
        }
        finish(&mut record, items.len());
        if encoding == Encoding::Integers {
            // As an earlier version wrote a set of integers.
            record[1] = INTEGERS;
        }
        record
    }

    #[test]
    fn minus_zero_is_a_score_of_its_own() {
        assert_eq!(ShortScore::new(-0.0).bytes().len(), 8);
        assert_eq!(ShortScore::new(0.0).bytes(), [0]);
    }

    #[test]
    fn a_record_has_the_bytes_of_the_format() {
        let hash = record(Kind::Hash, Encoding::Compact, &[("f", b"value")]);
        assert_eq!(hash, b"\x01\0\x01\0\x01f\x05value");
        let set = record(Kind::Set, Encoding::Integers, &[("1", b""), ("22", b"")]);
        assert_eq!(set, b"\x01\x02\x02\0\x011\x0222");
        let scores = record(Kind::SortedSet, Encoding::Compact, &[("m", &[5])]);
        assert_eq!(scores, b"\x01\0\x01\0\x01m\x01\x05");
    }

    #[test]
    fn records_that_no_server_writes_are_refused() {
        let compact = Encoding::Compact;
        let good = record(Kind::Hash, compact, &[("a", b"1"), ("b", b"2")]);
        assert!(Body::check(Kind::Hash, &good).is_ok());
        for cut in 0..good.len() {
            assert!(Body::check(Kind::Hash, &good[..cut]).is_err(), "{cut}");
        }
        let more = [&good[..], b"x"].concat();
        assert!(Body::check(Kind::Hash, &more).is_err());
        for (kind, bad) in [
            (
                Kind::Hash,
                record(Kind::Hash, compact, &[("a", b"1"), ("a", b"2")]),
            ),
            (Kind::Hash, record(Kind::Hash, compact, &[])),
            (
                Kind::Hash,
                record(Kind::Hash, Encoding::Integers, &[("1", b"1")]),
            ),
            (
                Kind::Set,
                record(Kind::Set, Encoding::Integers, &[("2", b""), ("1", b"")]),
            ),
            (
                Kind::Set,
                record(Kind::Set, Encoding::Integers, &[("x", b"")]),
            ),
            (
                Kind::SortedSet,
                record(Kind::SortedSet, compact, &[("a", &[2]), ("b", &[1])]),
            ),
            (
                Kind::SortedSet,
                record(Kind::SortedSet, compact, &[("a", &[2, 3, 4])]),
            ),
        ] {
            assert!(Body::check(kind, &bad).is_err(), "{kind:?} {bad:?}");
        }
        let mut later = good.clone();
        later[0] = 2;
        assert!(Body::open(Kind::Hash, &later).is_err());
        let mut deadlines = good;
        deadlines[1] = 1;
        assert!(Body::open(Kind::Hash, &deadlines).is_err());
    }
}
