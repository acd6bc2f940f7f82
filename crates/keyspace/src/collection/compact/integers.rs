//! A set of integers in the compact form: its members as numbers, sorted, each in as many bytes as the widest of them needs.
//!
//! Nothing else knows how they lie. The flags of the record tell the width, so a record of the same set always has the
//! same bytes.

use std::cmp::Ordering;
use std::slice::ChunksExact;

use redis_core::numbers::parse_i64;
use smallvec::SmallVec;

use super::{DAMAGED, HEADER_BYTES, INTEGERS, Texts, begin, finish};
use crate::KeyspaceError;

/// The flags that tell how wide the numbers are; 0 where the members are texts.
pub(super) const WIDTHS: u8 = 12;

/// Where the flags begin among the bits of their byte.
const WIDTHS_SHIFT: u8 = 2;

/// Numbers on their way from one width to another.
pub(in crate::collection) type Unpacked = SmallVec<[i64; 32]>;

/// The members of a set in ascending order.
#[derive(Clone, Debug)]
pub struct Numbers<'a>(ChunksExact<'a, u8>);

impl Iterator for Numbers<'_> {
    type Item = i64;

    #[inline]
    fn next(&mut self) -> Option<i64> {
        self.0.next().map(decode)
    }
}

/// How many bytes each number takes, as the power of two.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Width {
    Two = 1,
    Four = 2,
    Eight = 3,
}

impl Width {
    /// The smallest that holds the number.
    fn of(number: i64) -> Self {
        if i16::try_from(number).is_ok() {
            Width::Two
        } else if i32::try_from(number).is_ok() {
            Width::Four
        } else {
            Width::Eight
        }
    }

    /// The smallest that holds all of some sorted numbers, of which these are the ends.
    fn between(first: Option<i64>, last: Option<i64>) -> Self {
        Self::of(first.unwrap_or(0)).max(Self::of(last.unwrap_or(0)))
    }

    /// The width that flags tell; `None` if they tell that the members are texts.
    fn of_flags(flags: u8) -> Option<Self> {
        match (flags & WIDTHS) >> WIDTHS_SHIFT {
            1 => Some(Width::Two),
            2 => Some(Width::Four),
            3 => Some(Width::Eight),
            _ => None,
        }
    }

    fn flags(self) -> u8 {
        INTEGERS | (self as u8) << WIDTHS_SHIFT
    }

    fn bytes(self) -> usize {
        1 << self as usize
    }
}

/// The members of a set, where they lie.
#[derive(Clone, Copy, Debug)]
pub struct Integers<'a> {
    width: Width,
    entries: &'a [u8],
}

impl<'a> Integers<'a> {
    /// The members in a record of this process; `None` if they are texts.
    #[inline]
    pub(super) fn of_record(record: &'a [u8]) -> Option<Self> {
        let (&[_, flags, ..], entries) = record.split_first_chunk::<HEADER_BYTES>()?;
        let width = Width::of_flags(flags)?;
        Some(Self { width, entries })
    }

    /// The members in the entries of a record with these flags, of which there have to be `len`.
    pub(super) fn open(flags: u8, len: usize, entries: &'a [u8]) -> Result<Self, KeyspaceError> {
        let width = Width::of_flags(flags).ok_or(DAMAGED)?;
        if flags != width.flags() || len == 0 || entries.len() != len * width.bytes() {
            return Err(DAMAGED);
        }
        Ok(Self { width, entries })
    }

    /// Checks that the members are sorted and no wider than they have to be.
    pub(super) fn check(self) -> Result<(), KeyspaceError> {
        let needed = Width::between(self.get(0), self.get(self.len() - 1));
        if needed != self.width || !self.numbers().is_sorted_by(|a, b| a < b) {
            return Err(DAMAGED);
        }
        Ok(())
    }

    /// How many members there are.
    #[inline]
    pub fn len(self) -> usize {
        self.entries.len() >> self.width as u32
    }

    /// The bytes of the members.
    pub(super) fn bytes(self) -> &'a [u8] {
        self.entries
    }

    /// The member at a position in ascending order.
    pub fn get(self, position: usize) -> Option<i64> {
        let bytes = self.width.bytes();
        let rest = self.entries.get(position.checked_mul(bytes)?..)?;
        rest.get(..bytes).map(decode)
    }

    /// The members in ascending order.
    #[inline]
    pub fn numbers(self) -> Numbers<'a> {
        Numbers(self.entries.chunks_exact(self.width.bytes()))
    }

    /// Where the member is, or where it would be.
    #[inline]
    fn find(self, number: i64) -> Result<usize, usize> {
        match self.width {
            Width::Two => find_in::<2>(self.entries, number),
            Width::Four => find_in::<4>(self.entries, number),
            Width::Eight => find_in::<8>(self.entries, number),
        }
    }

    /// Whether the set has the member, which may be any text.
    #[inline(never)] // As `Texts::find`.
    pub fn contains(self, name: &[u8]) -> bool {
        parse_i64(name).is_some_and(|number| self.find(number).is_ok())
    }

    /// Bytes of the record after the number has been added to it, if the set does not have it.
    pub(super) fn record_bytes_with(self, number: i64) -> usize {
        let width = self.width.max(Width::of(number));
        HEADER_BYTES + (self.len() + 1) * width.bytes()
    }
}

#[inline]
fn find_in<const BYTES: usize>(entries: &[u8], number: i64) -> Result<usize, usize> {
    let (members, _) = entries.as_chunks::<BYTES>();
    members.binary_search_by(|member| -> Ordering { decode(member).cmp(&number) })
}

/// A number of any width.
#[inline]
fn decode(bytes: &[u8]) -> i64 {
    match *bytes {
        [a, b] => i16::from_le_bytes([a, b]).into(),
        [a, b, c, d] => i32::from_le_bytes([a, b, c, d]).into(),
        _ => bytes.try_into().map_or(0, i64::from_le_bytes),
    }
}

/// A number's bytes, of which those of its width count.
#[inline]
fn encode(number: i64, width: Width) -> ([u8; 8], usize) {
    (number.to_le_bytes(), width.bytes())
}

/// Appends sorted numbers to a record that has just begun, and tells their width in its flags.
pub(in crate::collection) fn append(record: &mut Vec<u8>, numbers: &[i64]) {
    let width = Width::between(numbers.first().copied(), numbers.last().copied());
    if let Some([_, flags, ..]) = record.last_chunk_mut::<HEADER_BYTES>() {
        *flags = width.flags();
    }
    record.reserve(numbers.len() * width.bytes());
    for &number in numbers {
        let (bytes, count) = encode(number, width);
        record.extend_from_slice(&bytes[..count]);
    }
}

/// Gives all members the smallest width again.
fn rewrite(record: &mut Vec<u8>, numbers: &[i64]) {
    record.truncate(HEADER_BYTES);
    append(record, numbers);
}

/// Adds a number to a record; returns whether it is new.
pub(super) fn insert(record: &mut Vec<u8>, number: i64) -> bool {
    let Some(old) = Integers::of_record(record) else {
        return false;
    };
    let Err(position) = old.find(number) else {
        return false;
    };
    if Width::of(number) > old.width {
        let mut numbers: Unpacked = old.numbers().collect();
        numbers.insert(position, number);
        rewrite(record, &numbers);
        return true;
    }
    let (bytes, count) = encode(number, old.width);
    let (at, end) = (HEADER_BYTES + position * count, record.len());
    record.extend_from_slice(&bytes[..count]);
    if at < end {
        record.copy_within(at..end, at + count);
        record[at..at + count].copy_from_slice(&bytes[..count]);
    }
    true
}

/// Removes a number from a record; returns whether it was there.
pub(super) fn remove(record: &mut Vec<u8>, number: i64) -> bool {
    let Some(old) = Integers::of_record(record) else {
        return false;
    };
    let (width, count) = (old.width, old.width.bytes());
    let Ok(position) = old.find(number) else {
        return false;
    };
    let at = HEADER_BYTES + position * count;
    record.copy_within(at + count.., at);
    record.truncate(record.len() - count);
    if Width::of(number) == width
        && let Some(left) = Integers::of_record(record)
        && Width::between(left.get(0), left.get(left.len().wrapping_sub(1))) < width
    {
        let numbers: Unpacked = left.numbers().collect();
        rewrite(record, &numbers);
    }
    true
}

/// The record of a set of integers that an earlier version wrote as texts, as a record of numbers.
#[cold]
#[inline(never)]
pub(super) fn pack(texts: Texts<'_>) -> Result<Vec<u8>, KeyspaceError> {
    let numbers = texts.items().map(|item| parse_i64(item.name));
    let numbers: Unpacked = numbers.collect::<Option<_>>().ok_or(DAMAGED)?;
    if numbers.len() != texts.len() {
        return Err(DAMAGED);
    }
    let mut packed = Vec::new();
    begin(&mut packed);
    append(&mut packed, &numbers);
    finish(&mut packed, numbers.len()).ok_or(DAMAGED)?;
    Integers::of_record(&packed).ok_or(DAMAGED)?.check()?;
    Ok(packed)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::super::{Body, copied};
    use super::*;
    use crate::Kind;

    /// Numbers around the ends of all widths.
    fn number() -> impl Strategy<Value = i64> {
        let ends = [
            0,
            i16::MIN.into(),
            i16::MAX.into(),
            i32::MIN.into(),
            i32::MAX.into(),
            i64::MIN,
            i64::MAX,
        ];
        let near = (prop::sample::select(ends.to_vec()), -2..=2i64);
        let near = near.prop_map(|(end, by)| end.saturating_add(by));
        prop_oneof![3 => near, 3 => -300..300i64, 1 => any::<i64>()]
    }

    fn record(numbers: &[i64]) -> Vec<u8> {
        let mut record = Vec::new();
        begin(&mut record);
        append(&mut record, numbers);
        finish(&mut record, numbers.len()).expect("few numbers");
        record
    }

    proptest! {
        /// Any changes leave the one record that the members have, which a start accepts.
        #[test]
        fn a_record_has_what_was_added_and_not_removed(
            changes in prop::collection::vec((number(), any::<bool>()), 1..80),
        ) {
            let mut model = BTreeSet::new();
            let mut changed = record(&[]);
            for (number, adds) in changes {
                if adds {
                    let before = Integers::of_record(&changed).expect("integers");
                    let bytes = before.record_bytes_with(number);
                    let is_new = insert(&mut changed, number);
                    prop_assert_eq!(is_new, model.insert(number));
                    prop_assert!(!is_new || changed.len() == bytes);
                } else {
                    prop_assert_eq!(remove(&mut changed, number), model.remove(&number));
                }
                finish(&mut changed, model.len()).expect("few numbers");
                let sorted: Vec<i64> = model.iter().copied().collect();
                prop_assert_eq!(&changed, &record(&sorted));
                let set = Integers::of_record(&changed).expect("integers");
                prop_assert_eq!(set.numbers().collect::<Vec<_>>(), &sorted[..]);
                for (position, &number) in sorted.iter().enumerate() {
                    prop_assert_eq!(set.get(position), Some(number));
                    prop_assert!(set.contains(number.to_string().as_bytes()));
                }
                prop_assert_eq!(set.get(sorted.len()), None);
                prop_assert_eq!(set.contains(number.to_string().as_bytes()), adds);
                let checked = Body::check(Kind::Set, &changed);
                prop_assert_eq!(checked.is_ok(), !model.is_empty());
            }
        }

        /// Texts of an earlier version become the record that their numbers have.
        #[test]
        fn texts_become_numbers(numbers in prop::collection::btree_set(number(), 1..50)) {
            let numbers: Vec<i64> = numbers.into_iter().collect();
            let expected = record(&numbers);
            let body = Body::check(Kind::Set, &expected).expect("a good record");
            let mut space = None;
            let texts = body.texts(&mut space);
            prop_assert!(texts.items().map(|item| item.name.to_vec()).eq(numbers.iter().map(|number| number.to_string().into_bytes())));
            prop_assert_eq!(pack(texts).expect("integers"), expected);
        }

        #[test]
        fn any_bytes_are_refused_or_come_back(
            flags in prop::sample::select(vec![2u8, 4, 6, 8, 10, 12, 14, 18]),
            len in 0..6u8,
            entries in prop::collection::vec(prop_oneof![Just(0u8), Just(0xff), any::<u8>()], 0..40),
        ) {
            let record = [&[1, flags, len, 0], &entries[..]].concat();
            if let Some(copy) = copied(Kind::Set, &record) {
                prop_assert_eq!(copy, record);
            }
        }
    }

    #[test]
    fn a_record_has_the_bytes_of_the_format() {
        assert_eq!(
            record(&[-2, 1, 300]),
            b"\x01\x06\x03\0\xfe\xff\x01\0\x2c\x01"
        );
        assert_eq!(
            record(&[1, 70_000]),
            b"\x01\x0a\x02\0\x01\0\0\0\x70\x11\x01\0"
        );
        let wide = record(&[i64::MIN]);
        assert_eq!(wide, b"\x01\x0e\x01\0\0\0\0\0\0\0\0\x80");
    }

    #[test]
    fn only_texts_of_integers_are_members() {
        let record = record(&[-1, 0, 1, 2, i64::MAX]);
        let set = Integers::of_record(&record).expect("integers");
        for member in ["-1", "0", "1", "2", "9223372036854775807"] {
            assert!(set.contains(member.as_bytes()), "{member}");
        }
        for other in [
            "",
            "-",
            "01",
            "+1",
            "-0",
            " 1",
            "1 ",
            "1.0",
            "1e0",
            "0x1",
            "3",
            "-2",
            "x",
            "9223372036854775808",
            "-9223372036854775808",
            "18446744073709551617",
        ] {
            assert!(!set.contains(other.as_bytes()), "{other}");
        }
    }

    #[test]
    fn texts_that_no_server_writes_become_no_numbers() {
        for (len, entries) in [
            (2, &b"\x011\x01x"[..]),
            (2, b"\x012\x011"),
            (2, b"\x011\x011"),
            (2, b"\x011\x0212"[..4].as_ref()),
            (1, b"\x0201"),
        ] {
            let record = [&[1, 2, len, 0], entries].concat();
            let Ok(Body::Texts(texts)) = Body::open(Kind::Set, &record) else {
                panic!("the header is good");
            };
            assert!(pack(texts).is_err(), "{}", entries.escape_ascii());
        }
    }

    #[test]
    fn records_that_no_server_writes_are_refused() {
        let good = record(&[1, 2, 300]);
        assert!(Body::check(Kind::Set, &good).is_ok());
        for kind in [Kind::Hash, Kind::List, Kind::SortedSet] {
            assert!(Body::open(kind, &good).is_err(), "{kind:?}");
        }
        for cut in 0..good.len() {
            assert!(Body::open(Kind::Set, &good[..cut]).is_err(), "{cut}");
        }
        assert!(Body::open(Kind::Set, &[&good[..], b"x"].concat()).is_err());
        for (flags, len, entries) in [
            // Too few and too many, and none.
            (6, 2, &[1, 0, 2, 0, 3, 0][..]),
            (6, 4, &[1, 0, 2, 0, 3, 0]),
            (6, 0, &[]),
            // Of a width without the flag of an intset, and of widths that do not fit the bytes.
            (4, 1, &[1, 0]),
            (10, 1, &[1, 0]),
            (14, 1, &[1, 0, 0, 0]),
            // Wider than they have to be.
            (10, 1, &[1, 0, 0, 0]),
            (14, 1, &[0, 0, 0, 0x40, 0, 0, 0, 0]),
            // Not in order, and one twice.
            (6, 2, &[2, 0, 1, 0]),
            (6, 2, &[1, 0, 0xff, 0xff]),
            (6, 2, &[1, 0, 1, 0]),
        ] {
            let bad = [&[1, flags, len, 0], entries].concat();
            assert!(Body::check(Kind::Set, &bad).is_err(), "{bad:?}");
        }
        // Flags that are not known yet are not called damage.
        for flags in [1, 7, 16, 22, 64, 128] {
            let error = Body::open(Kind::Set, &[1, flags, 1, 0, 1, 0]).expect_err("unknown flags");
            assert!(error.to_string().contains("newer version"), "{flags}");
        }
    }
}
