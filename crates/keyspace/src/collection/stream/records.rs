//! The records of a stream: their names and, except for those of [nodes](super::node), their values.
//!
//! | record | name | value |
//! |---|---|---|
//! | head | `h` | see [`Head`] |
//! | node | `n`, ordinal of its first entry (8) | see [`node`](super::node) |
//! | deleted entries of a closed node | `d`, ordinal of its first entry (8) | a bit for each entry, the lowest first; 1 is deleted |
//! | group | `g`, number (4) | see [`GroupRecord`] |
//! | consumer | `c`, group (4), number (4) | see [`ConsumerRecord`] |
//! | pending entry | `p`, group (4), id (16) | see [`PendingRecord`] |
//!
//! The numbers in names are big-endian. Each value begins with the number of its form, 1; numbers in values are those
//! of [`varint`](super::varint).

use super::StreamId;
use super::varint::{Reader, push, push_signed};

/// The form of the values.
const FORM: u8 = 1;

/// Which record of a stream it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RecordName {
    Head,
    Node(u64),
    Deleted(u64),
    Group(u32),
    Consumer(u32, u32),
    Pending(u32, StreamId),
}

impl RecordName {
    /// Appends the name.
    pub fn encode(self, out: &mut impl Extend<u8>) {
        let mut put = |tag: u8, numbers: &[&[u8]]| {
            out.extend([tag]);
            for number in numbers {
                out.extend(number.iter().copied());
            }
        };
        match self {
            RecordName::Head => put(b'h', &[]),
            RecordName::Node(first) => put(b'n', &[&first.to_be_bytes()]),
            RecordName::Deleted(first) => put(b'd', &[&first.to_be_bytes()]),
            RecordName::Group(group) => put(b'g', &[&group.to_be_bytes()]),
            RecordName::Consumer(group, consumer) => {
                put(b'c', &[&group.to_be_bytes(), &consumer.to_be_bytes()]);
            }
            RecordName::Pending(group, id) => put(
                b'p',
                &[
                    &group.to_be_bytes(),
                    &id.ms.to_be_bytes(),
                    &id.seq.to_be_bytes(),
                ],
            ),
        }
    }

    /// Reads a name; `None` if it is none.
    pub fn decode(name: &[u8]) -> Option<Self> {
        let (&tag, mut rest) = name.split_first()?;
        let rest = &mut rest;
        let name = match tag {
            b'h' => RecordName::Head,
            b'n' => RecordName::Node(long(rest)?),
            b'd' => RecordName::Deleted(long(rest)?),
            b'g' => RecordName::Group(short(rest)?),
            b'c' => RecordName::Consumer(short(rest)?, short(rest)?),
            b'p' => RecordName::Pending(short(rest)?, StreamId::new(long(rest)?, long(rest)?)),
            _ => return None,
        };
        rest.is_empty().then_some(name)
    }
}

/// Takes a number off the front of a name.
fn long(rest: &mut &[u8]) -> Option<u64> {
    let (number, others) = rest.split_first_chunk()?;
    *rest = others;
    Some(u64::from_be_bytes(*number))
}

fn short(rest: &mut &[u8]) -> Option<u32> {
    let (number, others) = rest.split_first_chunk()?;
    *rest = others;
    Some(u32::from_be_bytes(*number))
}

fn push_id(out: &mut Vec<u8>, id: StreamId) {
    push(out, id.ms);
    push(out, id.seq);
}

fn read_id(reader: &mut Reader<'_>) -> Option<StreamId> {
    Some(StreamId::new(reader.number()?, reader.number()?))
}

/// What a stream knows besides its entries and groups. A stream without this record has the default.
///
/// A record may be older than nodes: a new entry writes no head. The load takes the later of the two.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Head {
    /// The ordinal of the next entry.
    pub next_ordinal: u64,
    /// The highest id that an entry had, unless XSETID has set another.
    pub last_id: StreamId,
    /// The highest id of an entry that was deleted.
    pub max_deleted_id: StreamId,
    /// How many entries were ever added, less the count of ordinals; modulo 2^64.
    pub added_offset: u64,
    /// Open nodes up to this ordinal have become part of a closed one, or are deleted.
    pub closed_through: u64,
    /// Entries up to this ordinal are trimmed.
    pub trimmed_through: u64,
    /// The number of the next group, unless there is a group with a higher number.
    pub next_group: u32,
}

impl Default for Head {
    fn default() -> Self {
        Self {
            next_ordinal: 1,
            last_id: StreamId::MIN,
            max_deleted_id: StreamId::MIN,
            added_offset: 0,
            closed_through: 0,
            trimmed_through: 0,
            next_group: 0,
        }
    }
}

impl Head {
    /// How many entries were ever added.
    pub fn entries_added(&self) -> u64 {
        (self.next_ordinal - 1).wrapping_add(self.added_offset)
    }

    /// Sets how many entries were ever added.
    pub fn set_entries_added(&mut self, added: u64) {
        self.added_offset = added.wrapping_sub(self.next_ordinal - 1);
    }

    /// Appends the value.
    pub fn encode(&self, out: &mut Vec<u8>) {
        out.push(FORM);
        push(out, self.next_ordinal);
        push_id(out, self.last_id);
        push_id(out, self.max_deleted_id);
        push_signed(out, self.added_offset.cast_signed());
        push(out, self.closed_through);
        push(out, self.trimmed_through);
        push(out, self.next_group.into());
    }

    /// Reads a value.
    pub fn decode(value: &[u8]) -> Option<Self> {
        let mut reader = Reader(value);
        let head = (reader.byte()? == FORM).then(|| {
            Some(Self {
                next_ordinal: reader.number()?,
                last_id: read_id(&mut reader)?,
                max_deleted_id: read_id(&mut reader)?,
                added_offset: reader.signed()?.cast_unsigned(),
                closed_through: reader.number()?,
                trimmed_through: reader.number()?,
                next_group: reader.small()?,
            })
        })??;
        let ordinals = head.closed_through.max(head.trimmed_through) < head.next_ordinal;
        (reader.is_empty() && ordinals).then_some(head)
    }
}

/// A group: its last delivered id, how many entries it has read (-1 if that is unknown), and its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GroupRecord<'a> {
    pub last_id: StreamId,
    pub entries_read: i64,
    pub name: &'a [u8],
}

impl<'a> GroupRecord<'a> {
    /// Appends the value.
    pub fn encode(&self, out: &mut Vec<u8>) {
        out.push(FORM);
        push_id(out, self.last_id);
        push_signed(out, self.entries_read);
        out.extend_from_slice(self.name);
    }

    /// Reads a value.
    pub fn decode(value: &'a [u8]) -> Option<Self> {
        let mut reader = Reader(value);
        (reader.byte()? == FORM).then(|| {
            Some(Self {
                last_id: read_id(&mut reader)?,
                entries_read: reader.signed()?,
                name: reader.rest(),
            })
        })?
    }
}

/// A consumer: when it was seen and when it was active (-1 if never), in ms since the Unix epoch, and its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ConsumerRecord<'a> {
    pub seen: i64,
    pub active: i64,
    pub name: &'a [u8],
}

impl<'a> ConsumerRecord<'a> {
    /// Appends the value.
    pub fn encode(&self, out: &mut Vec<u8>) {
        out.push(FORM);
        push_signed(out, self.seen);
        push_signed(out, self.active);
        out.extend_from_slice(self.name);
    }

    /// Reads a value.
    pub fn decode(value: &'a [u8]) -> Option<Self> {
        let mut reader = Reader(value);
        (reader.byte()? == FORM).then(|| {
            Some(Self {
                seen: reader.signed()?,
                active: reader.signed()?,
                name: reader.rest(),
            })
        })?
    }
}

/// A pending entry: the number of its consumer, when it was delivered last (ms since the Unix epoch), how often.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PendingRecord {
    pub consumer: u32,
    pub delivered_at: i64,
    pub deliveries: u64,
}

impl PendingRecord {
    /// Appends the value.
    pub fn encode(&self, out: &mut Vec<u8>) {
        out.push(FORM);
        push(out, self.consumer.into());
        push_signed(out, self.delivered_at);
        push(out, self.deliveries);
    }

    /// Reads a value.
    pub fn decode(value: &[u8]) -> Option<Self> {
        let mut reader = Reader(value);
        let pending = (reader.byte()? == FORM).then(|| {
            Some(Self {
                consumer: reader.small()?,
                delivered_at: reader.signed()?,
                deliveries: reader.number()?,
            })
        })??;
        reader.is_empty().then_some(pending)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn ids() -> impl Strategy<Value = StreamId> {
        (any::<u64>(), any::<u64>()).prop_map(|(ms, seq)| StreamId::new(ms, seq))
    }

    proptest! {
        #[test]
        fn names_come_back(group: u32, consumer: u32, ordinal: u64, id in ids()) {
            for name in [
                RecordName::Head,
                RecordName::Node(ordinal),
                RecordName::Deleted(ordinal),
                RecordName::Group(group),
                RecordName::Consumer(group, consumer),
                RecordName::Pending(group, id),
            ] {
                let mut bytes = Vec::new();
                name.encode(&mut bytes);
                prop_assert_eq!(RecordName::decode(&bytes), Some(name));
                bytes.push(0);
                prop_assert_eq!(RecordName::decode(&bytes), None);
            }
        }

        #[test]
        fn values_come_back(
            ordinal in 1..u64::MAX,
            last_id in ids(),
            max_deleted_id in ids(),
            added_offset: u64,
            next_group: u32,
            numbers: (i64, i64),
            name in prop::collection::vec(any::<u8>(), 0..20),
        ) {
            let head = Head {
                next_ordinal: ordinal,
                last_id,
                max_deleted_id,
                added_offset,
                closed_through: ordinal - 1,
                trimmed_through: ordinal / 2,
                next_group,
            };
            let mut bytes = Vec::new();
            head.encode(&mut bytes);
            prop_assert_eq!(Head::decode(&bytes), Some(head));
            bytes.push(0);
            prop_assert_eq!(Head::decode(&bytes), None);
            let group = GroupRecord { last_id, entries_read: numbers.0, name: &name };
            let mut bytes = Vec::new();
            group.encode(&mut bytes);
            prop_assert_eq!(GroupRecord::decode(&bytes), Some(group));
            let consumer = ConsumerRecord { seen: numbers.0, active: numbers.1, name: &name };
            let mut bytes = Vec::new();
            consumer.encode(&mut bytes);
            prop_assert_eq!(ConsumerRecord::decode(&bytes), Some(consumer));
            let pending = PendingRecord { consumer: next_group, delivered_at: numbers.0, deliveries: added_offset };
            let mut bytes = Vec::new();
            pending.encode(&mut bytes);
            prop_assert_eq!(PendingRecord::decode(&bytes), Some(pending));
            bytes.push(0);
            prop_assert_eq!(PendingRecord::decode(&bytes), None);
        }

        #[test]
        fn any_bytes_are_taken(bytes in prop::collection::vec(any::<u8>(), 0..40)) {
            let _ = (RecordName::decode(&bytes), Head::decode(&bytes), GroupRecord::decode(&bytes));
            let _ = (ConsumerRecord::decode(&bytes), PendingRecord::decode(&bytes));
        }
    }
}
