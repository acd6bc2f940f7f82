//! Nodes: the listpacks in which Redis keeps the entries of a stream, about a hundred in each.
//!
//! A node begins with how many entries are not deleted, how many are, how many names of fields follow, these names, and 0.
//! Then each entry has its flags, how far its milliseconds and its sequence number lie above those of the node's id, its
//! fields, and how many elements of the listpack it takes before this last one. With the flag `SAME_NAMES` its names are
//! those at the node's beginning, and only its values are written. Without it, the number of its fields is written, then
//! each name with its value.

use std::sync::Arc;

use super::{StreamEntry, StreamId};
use crate::serialised::listpack::{Entries, Entry, Writer};
use crate::serialised::reader::ELEMENT_BYTES;

/// Flag of an entry that was deleted.
const DELETED: i64 = 1;
/// Flag of an entry whose names are those at the node's beginning.
const SAME_NAMES: i64 = 2;

/// Elements that every entry has: its flags, and the two parts of its id.
const ENTRY_ELEMENTS: usize = 3;

/// Redis's default limits of a node, `stream-node-max-bytes` and `stream-node-max-entries`.
const NODE_BYTES: usize = 4096;
const NODE_ENTRIES: usize = 100;

/// Reads the entries of the node with this id. `inflate` gives memory for what the payload does not hold byte by byte: names
/// that entries share, and, if `inflated`, all elements. It returns `None` when there is too little.
pub(super) fn read(
    id: StreamId,
    node: &[u8],
    inflated: bool,
    entries: &mut Vec<StreamEntry>,
    mut inflate: impl FnMut(usize) -> Option<()>,
) -> Option<()> {
    let mut elements = Entries::of(node)?;
    let live = count(&mut elements)?;
    let deleted = count(&mut elements)?;
    let names = strings(&mut elements)?;
    if elements.next()?.integer()? != 0 {
        return None;
    }
    let names_bytes: usize = names.iter().map(Vec::len).sum();
    let names: Arc<[Vec<u8>]> = names.into();

    let (mut live_read, mut deleted_read) = (0, 0);
    while !elements.at_end()? {
        let flags = elements.next()?.integer()?;
        if flags & !(DELETED | SAME_NAMES) != 0 {
            return None;
        }
        let id = StreamId {
            ms: id.ms.wrapping_add_signed(elements.next()?.integer()?),
            seq: id.seq.wrapping_add_signed(elements.next()?.integer()?),
        };
        let (names, values, elements_read) = if flags & SAME_NAMES != 0 {
            inflate(names_bytes)?;
            let values = (0..names.len())
                .map(|_| elements.next().map(Entry::into_bytes))
                .collect::<Option<Vec<_>>>()?;
            let read = ENTRY_ELEMENTS + values.len();
            (Arc::clone(&names), values, read)
        } else {
            let fields = count(&mut elements)?;
            let (mut names, mut values) = (Vec::new(), Vec::new());
            for _ in 0..fields {
                names.push(elements.next()?.into_bytes());
                values.push(elements.next()?.into_bytes());
            }
            (names.into(), values, ENTRY_ELEMENTS + 1 + 2 * fields)
        };
        if values.is_empty() || elements.next()?.integer()? != i64::try_from(elements_read).ok()? {
            return None;
        }
        if inflated {
            inflate(ELEMENT_BYTES * (elements_read + 1))?;
        }
        let deleted = flags & DELETED != 0;
        *(if deleted {
            &mut deleted_read
        } else {
            &mut live_read
        }) += 1;
        entries.push(StreamEntry {
            id,
            deleted,
            names,
            values,
        });
    }
    (live_read == live && deleted_read == deleted && live + deleted > 0).then_some(())
}

/// Reads how many elements or entries follow. Each takes at least two bytes.
fn count(elements: &mut Entries<'_>) -> Option<usize> {
    let count = usize::try_from(elements.next()?.integer()?).ok()?;
    (count <= elements.bytes_left() / 2).then_some(count)
}

fn strings(elements: &mut Entries<'_>) -> Option<Vec<Vec<u8>>> {
    (0..count(elements)?)
        .map(|_| elements.next().map(Entry::into_bytes))
        .collect()
}

/// Splits entries into nodes where Redis with its default limits starts new ones, and gives each node's id and bytes to
/// `each`.
pub(super) fn write(entries: &[StreamEntry], mut each: impl FnMut(StreamId, &[u8])) {
    let mut rest = entries;
    while let Some(first) = rest.first() {
        let head_bytes = head(first, 1, 0).bytes();
        let mut elements = Writer::new();
        let mut taken = 0;
        for entry in rest.iter().take(NODE_ENTRIES) {
            let bytes = head_bytes + elements.entries_bytes() + payload_bytes(entry);
            if taken > 0 && bytes >= NODE_BYTES {
                break;
            }
            push(&mut elements, entry, first);
            taken += 1;
        }
        let (node, after) = rest.split_at(taken);
        let deleted = node.iter().filter(|entry| entry.deleted).count();
        let mut whole = head(first, taken - deleted, deleted);
        whole.append(&elements);
        each(first.id, &whole.finish());
        rest = after;
    }
}

/// The beginning of a node.
fn head(first: &StreamEntry, live: usize, deleted: usize) -> Writer {
    let mut elements = Writer::new();
    elements.count(live);
    elements.count(deleted);
    elements.count(first.names.len());
    first.names.iter().for_each(|name| elements.string(name));
    elements.count(0);
    elements
}

fn push(elements: &mut Writer, entry: &StreamEntry, first: &StreamEntry) {
    let same_names = Arc::ptr_eq(&entry.names, &first.names) || entry.names == first.names;
    let flags = if entry.deleted { DELETED } else { 0 };
    elements.integer(flags | if same_names { SAME_NAMES } else { 0 });
    elements.integer(entry.id.ms.wrapping_sub(first.id.ms).cast_signed());
    elements.integer(entry.id.seq.wrapping_sub(first.id.seq).cast_signed());
    if same_names {
        entry.values.iter().for_each(|value| elements.string(value));
        elements.count(ENTRY_ELEMENTS + entry.values.len());
    } else {
        elements.count(entry.values.len());
        for (name, value) in entry.fields() {
            elements.string(name);
            elements.string(value);
        }
        elements.count(ENTRY_ELEMENTS + 1 + 2 * entry.values.len());
    }
}

/// How many bytes names and values have, which is what Redis counts before it adds an entry to a node.
fn payload_bytes(entry: &StreamEntry) -> usize {
    entry
        .fields()
        .map(|(name, value)| name.len() + value.len())
        .sum()
}
