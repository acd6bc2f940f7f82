//! Changes of a compact collection in a copy of its record, each of them at once and where the entries lie.

use std::ops::Range;

use redis_core::numbers::parse_i64;

use super::{
    Body, HEADER_BYTES, Item, ShortScore, Texts, compare_scored, encode_length, finish,
    integers::{self, Integers},
    is_same, push_item, push_text, text_bytes,
};
use crate::collection::limits::LISTPACK_BYTES;
use crate::collection::list::MORE_IN_LISTPACK_BYTES;
use crate::collection::scratch::Scratch;
use crate::collection::{Encoding, End, FormLimits};
use crate::{KeyspaceError, Kind};

/// A compact collection that a call changes.
///
/// A change after which the collection would not be compact any more, or that needs more than a look at the entries, makes
/// the copy useless: it is *outgrown*. The caller throws the copy away then, and takes the way of larger collections.
#[derive(Debug)]
pub struct InPlace {
    record: Scratch,
    kind: Kind,
    encoding: Encoding,
    len: usize,
    limits: FormLimits,
    is_changed: bool,
    is_outgrown: bool,
}

/// Where an entry lies in the record.
struct Place {
    entry: Range<usize>,
    /// Where the second of its texts begins.
    value: usize,
}

impl InPlace {
    /// The collection in a copy of its record. A set of integers that an earlier version wrote as texts is outgrown.
    // Otherwise each change of one collection moves the whole of it once more.
    #[allow(clippy::inline_always)]
    #[inline(always)]
    pub(crate) fn open(
        kind: Kind,
        record: Scratch,
        limits: FormLimits,
    ) -> Result<Self, KeyspaceError> {
        let body = Body::open(kind, &record)?;
        let (encoding, len) = (body.encoding(), body.len());
        let is_old = encoding == Encoding::Integers && matches!(body, Body::Texts(_));
        Ok(Self {
            kind: kind.plain(),
            encoding,
            len,
            // A limit may have become lower.
            is_outgrown: is_old || !limits.is_compact(record.len(), len),
            record,
            limits,
            is_changed: false,
        })
    }

    /// Whether the changes so far need the other way.
    pub fn is_outgrown(&self) -> bool {
        self.is_outgrown
    }

    /// Whether anything was changed.
    pub fn is_changed(&self) -> bool {
        self.is_changed
    }

    /// Leaves the change to the other way.
    pub fn outgrow(&mut self) {
        self.is_outgrown = true;
    }

    /// How many elements there are.
    pub fn len(&self) -> usize {
        self.len
    }

    /// The elements.
    #[inline]
    pub fn body(&self) -> Body<'_> {
        if self.encoding == Encoding::Integers
            && let Some(integers) = Integers::of_record(&self.record)
        {
            return Body::Integers(integers);
        }
        Body::Texts(self.texts())
    }

    /// The score of a sorted set's member.
    pub fn score(&self, member: &[u8]) -> Option<f64> {
        self.texts().find(member).map(|item| item.score())
    }

    /// The record after the changes; `None` if the form has no place for so many elements.
    pub fn finish(&mut self) -> Option<&[u8]> {
        finish(&mut self.record, self.len)?;
        Some(&self.record)
    }

    /// Sets a field's value; returns whether the field is new.
    pub fn put(&mut self, name: &[u8], value: &[u8]) -> bool {
        if self.encoding == Encoding::Integers {
            return self.add_integer(name);
        }
        let Some(place) = self.place_of(name) else {
            self.append(name, value);
            return true;
        };
        if self.is_within(self.len, name, value) {
            let old = place.value..place.entry.end;
            let bytes = text_bytes(value);
            self.make_room(old.clone(), bytes);
            self.write_text(old.start, value);
        }
        false
    }

    /// Adds a member unless it exists; returns whether it is new.
    pub fn add(&mut self, name: &[u8]) -> bool {
        if self.encoding == Encoding::Integers {
            return self.add_integer(name);
        }
        let is_new = self.texts().find(name).is_none();
        if is_new {
            self.append(name, b"");
        }
        is_new
    }

    /// [`add`](Self::add) to a set of integers.
    #[inline(never)]
    fn add_integer(&mut self, name: &[u8]) -> bool {
        let Some(number) = parse_i64(name) else {
            // The set gets another form.
            self.outgrow();
            return true;
        };
        let is_new = integers::insert(&mut self.record, number);
        if is_new {
            self.len += 1;
            self.is_changed = true;
            self.is_outgrown |= self.len > self.limits.set_integers;
            self.check_bytes();
        }
        is_new
    }

    /// [`remove`](Self::remove) from a set of integers.
    #[inline(never)]
    fn remove_integer(&mut self, name: &[u8]) -> bool {
        let number = parse_i64(name);
        let was_there = number.is_some_and(|number| integers::remove(&mut self.record, number));
        self.len -= usize::from(was_there);
        self.is_changed |= was_there;
        was_there
    }

    /// Removes the element with that name; returns whether there was one.
    #[inline]
    pub fn remove(&mut self, name: &[u8]) -> bool {
        if self.encoding == Encoding::Integers {
            return self.remove_integer(name);
        }
        let Some(place) = self.place_of(name) else {
            return false;
        };
        self.make_room(place.entry, 0);
        self.len = self.len.saturating_sub(1);
        true
    }

    /// Sets a member's score, which is not NaN; returns whether the member is new.
    pub fn set_score(&mut self, member: &[u8], score: f64) -> bool {
        let short = ShortScore::new(score);
        let (old, at) = self.place_by_score(member, score);
        let len = self.len + usize::from(old.is_none());
        // What Redis keeps of -0 depends on its form of the set.
        if (score == 0.0 && score.is_sign_negative()) || !self.is_within(len, member, b"") {
            self.outgrow();
            return old.is_none();
        }
        let bytes = text_bytes(member) + text_bytes(short.bytes());
        let is_new = old.is_none();
        let at = match old {
            None => {
                self.make_room(at..at, bytes);
                at
            }
            Some(old) => self.move_room(old, at, bytes),
        };
        let value = self.write_text(at, member);
        self.write_text(value, short.bytes());
        self.len = len;
        is_new
    }

    /// Adds an element at an end of a list.
    pub fn push(&mut self, end: End, value: &[u8]) {
        if !self.takes_element(value) {
            return;
        }
        self.len += 1;
        self.is_changed = true;
        match end {
            End::Tail => push_text(&mut self.record, value),
            End::Head => {
                self.make_room(HEADER_BYTES..HEADER_BYTES, text_bytes(value));
                self.write_text(HEADER_BYTES, value);
            }
        }
        self.check_bytes();
    }

    /// Removes up to `count` elements from an end of a list.
    pub fn pop(&mut self, end: End, count: usize) {
        let count = count.min(self.len);
        let range = match end {
            End::Head => HEADER_BYTES..self.start_of(count),
            End::Tail => self.start_of(self.len - count)..self.record.len(),
        };
        if count > 0 {
            self.make_room(range, 0);
            self.len -= count;
        }
    }

    /// Replaces an element of a list.
    pub fn set(&mut self, position: usize, value: &[u8]) {
        if self.takes_element(value) {
            let old = self.start_of(position)..self.start_of(position + 1);
            let start = old.start;
            self.make_room(old, text_bytes(value));
            self.write_text(start, value);
        }
    }

    /// Adds a new element behind the others.
    fn append(&mut self, name: &[u8], value: &[u8]) {
        if self.is_within(self.len + 1, name, value) {
            push_item(&mut self.record, self.kind, Item { name, value });
            self.len += 1;
            self.is_changed = true;
            self.check_bytes();
        }
    }

    /// Whether Redis would keep this form of a hash, a set or a sorted set of `len` elements when one is set; notes if not.
    fn is_within(&mut self, len: usize, name: &[u8], value: &[u8]) -> bool {
        let value_bytes = if self.kind == Kind::Hash {
            value.len()
        } else {
            0
        };
        let fits = self.encoding == Encoding::Compact
            && name.len() + value.len() <= self.limits.compact_bytes_max
            && self
                .limits
                .after(self.kind, self.encoding, len, name, value_bytes)
                == Encoding::Compact;
        self.is_outgrown |= !fits;
        fits
    }

    /// Whether a list surely keeps its form with one more element; notes if not.
    fn takes_element(&mut self, value: &[u8]) -> bool {
        let most = LISTPACK_BYTES
            + value.len()
            + (self.record.len() - HEADER_BYTES)
            + MORE_IN_LISTPACK_BYTES * self.len;
        let fits = value.len() <= self.limits.compact_bytes_max
            && self.limits.list_after(most, self.len + 1) == Encoding::Compact;
        self.is_outgrown |= !fits;
        fits
    }

    fn check_bytes(&mut self) {
        self.is_outgrown |= !self.limits.is_compact(self.record.len(), self.len);
    }

    /// The elements of what is no set of integers.
    #[inline]
    fn texts(&self) -> Texts<'_> {
        Texts::of_record(self.kind, self.encoding, self.len, &self.record)
    }

    /// Where the entry with that name lies.
    fn place_of(&self, name: &[u8]) -> Option<Place> {
        let end = self.record.len();
        let mut items = self.texts().items();
        loop {
            let start = end - items.rest().len();
            let item = items.next()?;
            if is_same(item.name, name) {
                return Some(Place {
                    entry: start..end - items.rest().len(),
                    value: start + text_bytes(item.name),
                });
            }
        }
    }

    /// Where a member's entry lies, and where one with that score belongs, in the record as it is.
    fn place_by_score(&self, member: &[u8], score: f64) -> (Option<Range<usize>>, usize) {
        let end = self.record.len();
        let mut items = self.texts().items();
        let (mut old, mut at) = (None, None);
        loop {
            let start = end - items.rest().len();
            let Some(item) = items.next() else {
                return (old, at.unwrap_or(end));
            };
            if old.is_none() && is_same(item.name, member) {
                old = Some(start..end - items.rest().len());
            } else if at.is_none()
                && compare_scored((score, member), (item.score(), item.name)).is_lt()
            {
                at = Some(start);
            }
            if let (Some(_), Some(at)) = (&old, at) {
                return (old, at);
            }
        }
    }

    /// Where the element at a position begins; the end for the position behind the last one.
    fn start_of(&self, position: usize) -> usize {
        let mut items = self.texts().items();
        for _ in 0..position {
            items.next();
        }
        self.record.len() - items.rest().len()
    }

    /// Makes the bytes in `range` as many as `bytes`, whatever they are then.
    fn make_room(&mut self, range: Range<usize>, bytes: usize) {
        self.is_changed = true;
        let old_len = self.record.len();
        let end = range.start + bytes;
        if end > range.end {
            self.record.resize(old_len + end - range.end, 0);
        }
        if end != range.end {
            self.record.copy_within(range.end..old_len, end);
        }
        if end < range.end {
            self.record.truncate(old_len - (range.end - end));
        }
        self.check_bytes();
    }

    /// Takes out the bytes in `old` and makes room for `bytes` before those at `at`, which does not lie within `old`; returns
    /// where the room is.
    fn move_room(&mut self, old: Range<usize>, at: usize, bytes: usize) -> usize {
        if at == old.start || at == old.end {
            let start = old.start;
            self.make_room(old, bytes);
            return start;
        }
        let old_bytes = old.len();
        self.make_room(old.clone(), 0);
        let at = if at > old.start { at - old_bytes } else { at };
        self.make_room(at..at, bytes);
        at
    }

    /// Writes a text into its room; returns its end.
    fn write_text(&mut self, at: usize, text: &[u8]) -> usize {
        let (length, length_bytes) = encode_length(text.len());
        let start = at + length_bytes;
        let end = start + text.len();
        self.record[at..start].copy_from_slice(&length[..length_bytes]);
        self.record[start..end].copy_from_slice(text);
        end
    }
}

#[cfg(test)]
mod tests {
    use super::super::{INTEGERS, begin};
    use super::*;

    /// A collection of these elements, each with its value.
    fn collection(kind: Kind, items: &[(&[u8], &[u8])]) -> InPlace {
        let mut record = Scratch::default();
        begin(&mut record);
        for &(name, value) in items {
            push_item(&mut record, kind, Item { name, value });
        }
        finish(&mut record, items.len());
        InPlace::open(kind, record, FormLimits::default()).expect("a good record")
    }

    /// The elements, if all changes were made in place and the record is one that a start accepts.
    fn left(mut collection: InPlace) -> Vec<(Vec<u8>, Vec<u8>)> {
        assert!(collection.is_changed() && !collection.is_outgrown());
        let kind = collection.kind;
        let record = collection.finish().expect("few elements");
        let body = Body::check(kind, record).expect("a record without damage");
        let mut left = Vec::new();
        body.for_each(|name, value| left.push((name.to_vec(), value.to_vec())));
        left
    }

    fn expect(collection: InPlace, items: &[(&[u8], &[u8])]) {
        let expected = items
            .iter()
            .map(|(name, value)| (name.to_vec(), value.to_vec()));
        assert_eq!(left(collection), expected.collect::<Vec<_>>());
    }

    #[test]
    fn fields_change_where_they_lie() {
        let mut hash = collection(Kind::Hash, &[(b"a", b"1"), (b"b", b"2"), (b"c", b"3")]);
        assert!(!hash.put(b"b", b"longer"));
        assert!(!hash.put(b"a", b""));
        assert!(hash.put(b"d", b"4"));
        assert!(hash.remove(b"c") && !hash.remove(b"c"));
        expect(hash, &[(b"a", b""), (b"b", b"longer"), (b"d", b"4")]);
        let mut set = collection(Kind::Set, &[(b"a", b"")]);
        assert!(set.add(b"b") && !set.add(b"a"));
        expect(set, &[(b"a", b""), (b"b", b"")]);
    }

    /// The set of these integers.
    fn integers(members: &[i64], limits: FormLimits) -> InPlace {
        let mut record = Scratch::default();
        begin(&mut record);
        integers::append(&mut record, members);
        finish(&mut record, members.len());
        InPlace::open(Kind::Set, record, limits).expect("a good record")
    }

    #[test]
    fn integers_change_where_they_lie() {
        let limits = FormLimits {
            set_integers: 4,
            ..FormLimits::default()
        };
        let mut set = integers(&[-5, 7, 40_000], limits);
        assert!(!set.add(b"7") && !set.remove(b"07") && !set.is_changed());
        assert!(set.remove(b"40000") && !set.remove(b"40000"));
        assert_eq!(set.body().bytes(), [0xfb, 0xff, 7, 0]);
        assert!(set.add(b"9223372036854775807") && set.put(b"0", b"") && !set.put(b"0", b""));
        assert_eq!((set.len(), set.body().bytes().len()), (4, 32));
        expect(
            set,
            &[
                (b"-5", b""),
                (b"0", b""),
                (b"7", b""),
                (b"9223372036854775807", b""),
            ],
        );
        // One more than Redis keeps in an intset, and one that is no integer.
        for other in ["1", "01", "x", ""] {
            let mut set = integers(&[2, 3, 4, 5], limits);
            assert!(set.add(other.as_bytes()) && set.is_outgrown(), "{other}");
        }
        // As an earlier version wrote it.
        let mut record = Scratch::default();
        begin(&mut record);
        push_text(&mut record, b"1");
        finish(&mut record, 1);
        record[1] = INTEGERS;
        let old = InPlace::open(Kind::Set, record, limits);
        assert!(old.is_ok_and(|set| set.is_outgrown()));
    }

    #[test]
    fn as_many_integers_as_an_intset_has_are_one_record() {
        let full = |number: i64| {
            let mut set = integers(&[0], FormLimits::default());
            (1..512i64).for_each(|number| _ = set.add(number.to_string().as_bytes()));
            assert!(!set.is_outgrown() && set.body().bytes().len() == 1024);
            set.add(number.to_string().as_bytes());
            set.is_outgrown()
        };
        // One that is there, one too many, and one for which all of them get wider.
        assert!(!full(511) && full(512) && full(70_000));
    }

    #[test]
    fn members_move_to_their_scores() {
        let members: &[(&[u8], &[u8])] = &[(b"a", &[1]), (b"b", &[2]), (b"c", &[3])];
        for (member, score, expected) in [
            (b"a", 9, [(b"b", 2), (b"c", 3), (b"a", 9)]),
            (b"c", 0, [(b"c", 0), (b"a", 1), (b"b", 2)]),
            (b"b", 3, [(b"a", 1), (b"b", 3), (b"c", 3)]),
            (b"c", 2, [(b"a", 1), (b"b", 2), (b"c", 2)]),
            (b"a", 2, [(b"a", 2), (b"b", 2), (b"c", 3)]),
            (b"b", 1, [(b"a", 1), (b"b", 1), (b"c", 3)]),
        ] {
            let mut set = collection(Kind::SortedSet, members);
            assert!(!set.set_score(member, f64::from(score)));
            let found = left(set);
            let expected = expected.map(|(member, score)| (member.to_vec(), vec![score]));
            assert_eq!(found, expected, "{} {score}", member.escape_ascii());
        }
        let mut set = collection(Kind::SortedSet, members);
        assert!(set.set_score(b"aa", 1.0) && set.remove(b"c"));
        expect(set, &[(b"a", &[1]), (b"aa", &[1]), (b"b", &[2])]);
    }

    #[test]
    fn lists_change_at_their_ends() {
        let mut list = collection(Kind::List, &[(b"a", b""), (b"b", b""), (b"c", b"")]);
        list.push(End::Head, &[b'x'; 300]);
        list.push(End::Tail, b"d");
        list.set(1, b"other");
        assert_eq!(list.len(), 5);
        list.pop(End::Head, 1);
        list.pop(End::Tail, 2);
        expect(list, &[(b"other", b""), (b"b", b"")]);
    }

    #[test]
    fn what_is_too_much_outgrows_the_copy() {
        let long = [b'x'; 65];
        let outgrown = |kind, change: fn(&mut InPlace, &[u8])| {
            let mut collection = collection(kind, &[(b"a", &[1])]);
            change(&mut collection, &long);
            collection.is_outgrown()
        };
        assert!(outgrown(Kind::Hash, |hash, long| _ = hash.put(b"a", long)));
        assert!(outgrown(Kind::Hash, |hash, long| _ = hash.put(long, b"1")));
        assert!(outgrown(Kind::SortedSet, |set, long| _ = set.set_score(long, 1.0)));
        assert!(outgrown(Kind::SortedSet, |set, _| _ = set.set_score(b"a", -0.0)));
        assert!(outgrown(Kind::Set, |set, long| _ = set.add(long)));
        assert!(outgrown(Kind::List, |list, long| (0..20)
            .for_each(|_| list.push(End::Head, long))));
        assert!(!outgrown(Kind::List, |list, long| list.push(End::Head, long)));
    }
}
