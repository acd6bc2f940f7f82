//! The format of the records that hold entries, the nodes.
//!
//! Each entry has an ordinal, a number that the stream never uses again. A node's record is named by the ordinal of
//! its first entry. A new entry is a node of its own, an *open* one:
//!
//! | part | bytes |
//! |---|---|
//! | form: 0 | 1 |
//! | id: milliseconds, number | two numbers |
//! | count of fields | a number |
//! | for each field: its name and its value | two strings |
//!
//! Once there are enough of them, one *closed* node takes their place:
//!
//! | part | bytes |
//! |---|---|
//! | form: 1 | 1 |
//! | count of entries | a number |
//! | ordinal of the last entry less that of the first | a number |
//! | id of the first entry: milliseconds, number | two numbers |
//! | id of the last entry, counted from the first one's | two numbers |
//! | count of the first entry's fields, and their names | a number, strings |
//! | the entries | |
//!
//! An entry is its flags (1 byte), its id counted from the entry's before it, and its values. With flag 1 its fields
//! have the same names as the first entry's; else their count comes before the values, and the name before each value.
//! With flag 2 a number follows the flags: how many ordinals lie between this entry and the one before it.
//!
//! Numbers and strings are those of [`varint`](super::varint). An id counted from another is the difference of the
//! milliseconds, and the number: its difference to the other's where the milliseconds are the same.

use smallvec::SmallVec;

use super::StreamId;
use super::varint::{Reader, push, push_bytes};
use crate::KeyspaceError;

const OPEN: u8 = 0;
const CLOSED: u8 = 1;

const SAME_FIELDS: u8 = 1;
const GAP: u8 = 2;

/// A field and its value.
pub type Pair<'a> = (&'a [u8], &'a [u8]);

/// The error of a record that does not read.
pub const DAMAGED: KeyspaceError = KeyspaceError::Failed("a stream's record is damaged");

/// The first byte of an open node's value, as the load keeps it.
pub const OPEN_FORM: u64 = OPEN as u64;

/// Whether a record is an open node, by its name and the first byte of its value.
pub fn is_open_node(name: &[u8], form: u64) -> bool {
    name.first() == Some(&b'n') && form == OPEN_FORM
}

/// Appends an open node.
pub fn encode_open(out: &mut Vec<u8>, id: StreamId, pairs: &[Pair<'_>]) {
    out.push(OPEN);
    push(out, id.ms);
    push(out, id.seq);
    push(out, pairs.len() as u64);
    for (field, value) in pairs {
        push_bytes(out, field);
        push_bytes(out, value);
    }
}

fn push_id(out: &mut Vec<u8>, id: StreamId, from: StreamId) {
    push(out, id.ms - from.ms);
    push(
        out,
        if id.ms == from.ms {
            id.seq - from.seq
        } else {
            id.seq
        },
    );
}

fn read_id(reader: &mut Reader<'_>, from: StreamId) -> Option<StreamId> {
    let (ms, seq) = (reader.number()?, reader.number()?);
    Some(if ms == 0 {
        StreamId::new(from.ms, from.seq.checked_add(seq)?)
    } else {
        StreamId::new(from.ms.checked_add(ms)?, seq)
    })
}

/// Puts a closed node together.
#[derive(Debug, Default)]
pub struct NodeWriter {
    count: u64,
    first: (u64, StreamId),
    last: (u64, StreamId),
    fields: Vec<Vec<u8>>,
    entries: Vec<u8>,
}

impl NodeWriter {
    /// Adds an entry, whose ordinal and id are higher than those of the entries before it.
    pub fn push(&mut self, ordinal: u64, id: StreamId, pairs: &[Pair<'_>]) {
        if self.count == 0 {
            self.first = (ordinal, id);
            self.last = self.first;
            self.fields = pairs.iter().map(|(field, _)| field.to_vec()).collect();
        }
        let same = self.has_fields(pairs);
        let gap = (ordinal - self.last.0).saturating_sub(1);
        let flags = if same { SAME_FIELDS } else { 0 } | if gap > 0 { GAP } else { 0 };
        self.entries.push(flags);
        if gap > 0 {
            push(&mut self.entries, gap);
        }
        push_id(&mut self.entries, id, self.last.1);
        if !same {
            push(&mut self.entries, pairs.len() as u64);
        }
        for (field, value) in pairs {
            if !same {
                push_bytes(&mut self.entries, field);
            }
            push_bytes(&mut self.entries, value);
        }
        self.last = (ordinal, id);
        self.count += 1;
    }

    /// Whether an entry has the same fields as the first one.
    pub fn has_fields(&self, pairs: &[Pair<'_>]) -> bool {
        let names = pairs.iter().map(|(field, _)| *field);
        names.eq(self.fields.iter().map(Vec::as_slice))
    }

    /// Appends the node.
    pub fn finish(&self, out: &mut Vec<u8>) {
        out.push(CLOSED);
        push(out, self.count);
        push(out, self.last.0 - self.first.0);
        push(out, self.first.1.ms);
        push(out, self.first.1.seq);
        push_id(out, self.last.1, self.first.1);
        push(out, self.fields.len() as u64);
        for field in &self.fields {
            push_bytes(out, field);
        }
        out.extend_from_slice(&self.entries);
    }
}

/// What a node says of itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NodeHead {
    pub closed: bool,
    pub count: u32,
    pub first_ordinal: u64,
    pub last_ordinal: u64,
    pub first_id: StreamId,
    pub last_id: StreamId,
}

/// The entries of a node, one after the other.
#[derive(Debug)]
pub struct Entries<'a> {
    pub head: NodeHead,
    rest: Reader<'a>,
    fields: SmallVec<[&'a [u8]; 8]>,
    pairs: SmallVec<[Pair<'a>; 8]>,
    /// How many entries were read.
    read: u32,
    ordinal: u64,
    id: StreamId,
}

/// Where an entry is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// Its position in its node.
    pub index: u32,
    pub ordinal: u64,
    pub id: StreamId,
}

impl<'a> Entries<'a> {
    /// Reads the head of a node whose record is named `first_ordinal`.
    pub fn of(first_ordinal: u64, bytes: &'a [u8]) -> Result<Self, KeyspaceError> {
        Self::parse(first_ordinal, bytes).ok_or(DAMAGED)
    }

    fn parse(first_ordinal: u64, bytes: &'a [u8]) -> Option<Self> {
        let mut rest = Reader(bytes);
        let closed = match rest.byte()? {
            OPEN => false,
            CLOSED => true,
            _ => return None,
        };
        let (count, span) = if closed {
            (rest.small()?, rest.number()?)
        } else {
            (1, 0)
        };
        let first_id = StreamId::new(rest.number()?, rest.number()?);
        let last_id = if closed {
            read_id(&mut rest, first_id)?
        } else {
            first_id
        };
        // An entry's ordinal is at least one higher than the one's before it, and so is its id.
        if count == 0 || span < u64::from(count - 1) || (count == 1) != (first_id == last_id) {
            return None;
        }
        let mut fields = SmallVec::new();
        if closed {
            for _ in 0..rest.number()? {
                fields.push(rest.bytes()?);
            }
        }
        let head = NodeHead {
            closed,
            count,
            first_ordinal,
            last_ordinal: first_ordinal.checked_add(span)?,
            first_id,
            last_id,
        };
        Some(Self {
            head,
            rest,
            fields,
            pairs: SmallVec::new(),
            read: 0,
            ordinal: first_ordinal,
            id: first_id,
        })
    }

    /// Reads the next entry; its fields are then in [`pairs`](Self::pairs). `None` after the last one.
    #[inline]
    pub fn next(&mut self) -> Result<Option<Place>, KeyspaceError> {
        if self.read == self.head.count {
            return if self.rest.is_empty()
                && self.id == self.head.last_id
                && self.ordinal == self.head.last_ordinal
            {
                Ok(None)
            } else {
                Err(DAMAGED)
            };
        }
        self.read_next().map(Some).ok_or(DAMAGED)
    }

    #[inline]
    fn read_next(&mut self) -> Option<Place> {
        self.pairs.clear();
        let rest = &mut self.rest;
        let mut same = false;
        if self.head.closed {
            let flags = rest.byte()?;
            if flags & !(SAME_FIELDS | GAP) != 0 {
                return None;
            }
            same = flags & SAME_FIELDS != 0;
            let gap = if flags & GAP != 0 { rest.number()? } else { 0 };
            let id = read_id(rest, self.id)?;
            if self.read == 0 {
                if gap > 0 || id != self.id {
                    return None;
                }
            } else {
                if id <= self.id {
                    return None;
                }
                self.ordinal = self.ordinal.checked_add(gap)?.checked_add(1)?;
                self.id = id;
            }
        }
        if same {
            for &field in &self.fields {
                self.pairs.push((field, rest.bytes()?));
            }
        } else {
            for _ in 0..rest.number()? {
                self.pairs.push((rest.bytes()?, rest.bytes()?));
            }
        }
        let index = self.read;
        self.read += 1;
        Some(Place {
            index,
            ordinal: self.ordinal,
            id: self.id,
        })
    }

    /// The fields of the entry that was read last.
    #[inline]
    pub fn pairs(&self) -> &[Pair<'a>] {
        &self.pairs
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    type Owned = (u64, StreamId, Vec<(Vec<u8>, Vec<u8>)>);

    fn pairs(owned: &[(Vec<u8>, Vec<u8>)]) -> Vec<Pair<'_>> {
        owned
            .iter()
            .map(|(field, value)| (&field[..], &value[..]))
            .collect()
    }

    fn entries() -> impl Strategy<Value = Vec<Owned>> {
        let text = || prop::collection::vec(any::<u8>(), 0..6);
        let fields = prop_oneof![
            3 => Just(vec![(b"a".to_vec(), b"1".to_vec()), (b"b".to_vec(), b"2".to_vec())]),
            1 => prop::collection::vec((text(), text()), 0..4),
        ];
        let step = (
            1..4u64,
            prop_oneof![Just(0u64), 1..5u64, Just(1 << 40)],
            0..300u64,
            fields,
        );
        prop::collection::vec(step, 1..40).prop_map(|steps| {
            let (mut ordinal, mut id) = (7u64, StreamId::new(1_700_000_000_000, 3));
            steps
                .into_iter()
                .map(|(more, ms, seq, fields)| {
                    ordinal += more;
                    id = if ms == 0 {
                        StreamId::new(id.ms, id.seq + 1 + seq)
                    } else {
                        StreamId::new(id.ms + ms, seq)
                    };
                    (ordinal, id, fields)
                })
                .collect()
        })
    }

    fn encode(entries: &[Owned]) -> Vec<u8> {
        let mut writer = NodeWriter::default();
        for (ordinal, id, fields) in entries {
            writer.push(*ordinal, *id, &pairs(fields));
        }
        let mut out = Vec::new();
        writer.finish(&mut out);
        out
    }

    fn decode(first: u64, bytes: &[u8]) -> Result<Vec<Owned>, KeyspaceError> {
        let mut entries = Entries::of(first, bytes)?;
        let mut read = Vec::new();
        while let Some(place) = entries.next()? {
            assert_eq!(place.index as usize, read.len());
            let fields = entries
                .pairs()
                .iter()
                .map(|(field, value)| (field.to_vec(), value.to_vec()))
                .collect();
            read.push((place.ordinal, place.id, fields));
        }
        Ok(read)
    }

    proptest! {
        #[test]
        fn closed_nodes_come_back(entries in entries()) {
            let bytes = encode(&entries);
            let head = Entries::of(entries[0].0, &bytes).expect("it reads").head;
            prop_assert_eq!((head.first_id, head.last_id), (entries[0].1, entries[entries.len() - 1].1));
            prop_assert_eq!(head.last_ordinal, entries[entries.len() - 1].0);
            prop_assert_eq!(decode(entries[0].0, &bytes).expect("it reads"), entries);
        }

        #[test]
        fn open_nodes_come_back(entries in entries()) {
            let (ordinal, id, fields) = &entries[0];
            let mut out = Vec::new();
            encode_open(&mut out, *id, &pairs(fields));
            prop_assert_eq!(decode(*ordinal, &out).expect("it reads"), &entries[..1]);
        }

        #[test]
        fn cut_or_changed_bytes_never_panic(entries in entries(), at: prop::sample::Index, byte: u8, cut: bool) {
            let mut bytes = encode(&entries);
            let at = at.index(bytes.len());
            if cut {
                bytes.truncate(at);
                prop_assert!(decode(entries[0].0, &bytes).is_err());
            } else {
                bytes[at] = byte;
                let _ = decode(entries[0].0, &bytes);
            }
        }

        #[test]
        fn any_bytes_are_taken(bytes in prop::collection::vec(any::<u8>(), 0..60), first: u64) {
            let _ = decode(first, &bytes);
        }
    }
}
