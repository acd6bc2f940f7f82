//! Read access to hashes and sets.

use std::ops::ControlFlow;

use crate::clock::random_below;
use crate::collection::compact::Body;
use crate::collection::source::Source;
use crate::collection::{Encoding, in_order};
use crate::index::{Entry, Index};
use crate::{Cursor, Keyspace, KeyspaceError};

/// A hash or a set.
#[derive(Clone, Copy, Debug)]
pub struct Fields<'a> {
    shape: FieldsShape<'a>,
}

#[derive(Clone, Copy, Debug)]
enum FieldsShape<'a> {
    Elements {
        source: Source<'a>,
        index: &'a Index,
        encoding: Encoding,
    },
    Compact(Body<'a>),
}

impl<'a> Fields<'a> {
    pub(super) fn new(source: Source<'a>, index: &'a Index, encoding: Encoding) -> Self {
        let shape = FieldsShape::Elements {
            source,
            index,
            encoding,
        };
        Self { shape }
    }

    pub(super) fn compact(body: Body<'a>) -> Self {
        let shape = FieldsShape::Compact(body);
        Self { shape }
    }

    /// The bytes of the elements of a compact one.
    pub(super) fn compact_bytes(&self) -> Option<usize> {
        match self.shape {
            FieldsShape::Elements { .. } => None,
            FieldsShape::Compact(body) => Some(body.bytes().len()),
        }
    }

    /// How many fields or members there are.
    pub fn len(&self) -> usize {
        match self.shape {
            FieldsShape::Elements { index, .. } => index.len(),
            FieldsShape::Compact(body) => body.len(),
        }
    }

    /// Whether there are none; a stored hash or set always has one.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The form in which Redis would keep it.
    pub fn encoding(&self) -> Encoding {
        match self.shape {
            FieldsShape::Elements { encoding, .. } => encoding,
            FieldsShape::Compact(body) => body.encoding(),
        }
    }

    /// Whether the field or member exists.
    pub fn contains(&self, name: &[u8]) -> bool {
        match self.shape {
            FieldsShape::Elements { source, index, .. } => index
                .get(source.keyspace.hashing.hash(name), name)
                .is_some(),
            FieldsShape::Compact(body) => body.find(name).is_some(),
        }
    }

    /// Runs `f` on a field's value; returns `None` if there is no such field.
    pub fn get<R>(
        &self,
        name: &[u8],
        f: impl FnOnce(&[u8]) -> R,
    ) -> Result<Option<R>, KeyspaceError> {
        match self.shape {
            FieldsShape::Elements { source, index, .. } => index
                .get(source.keyspace.hashing.hash(name), name)
                .map(|entry| source.read(name, entry.location, f))
                .transpose(),
            FieldsShape::Compact(body) => Ok(body.find(name).map(|item| f(item.value))),
        }
    }

    /// All names. A small collection of short names gives them in the order in which they were added, a small set of
    /// integers in ascending order; others have no order.
    pub fn names(&self) -> impl Iterator<Item = &'a [u8]> + use<'a> {
        let (elements, compact) = match self.shape {
            FieldsShape::Elements {
                index, encoding, ..
            } => (Some(entries(index, encoding)), None),
            FieldsShape::Compact(body) => (None, Some(body.items())),
        };
        let elements = elements.into_iter().flatten().map(Entry::key);
        let compact = compact.into_iter().flatten().map(|item| item.name);
        elements.chain(compact)
    }

    /// Passes all fields with their values to `f`, in the order of [`names`](Self::names).
    pub fn for_each(&self, mut f: impl FnMut(&[u8], &[u8])) -> Result<(), KeyspaceError> {
        let (source, index, encoding) = match self.shape {
            FieldsShape::Elements {
                source,
                index,
                encoding,
            } => (source, index, encoding),
            FieldsShape::Compact(body) => {
                body.items().for_each(|item| f(item.name, item.value));
                return Ok(());
            }
        };
        source.read_run(
            entries(index, encoding),
            |entry| entry.location,
            |entry| entry.key(),
            |entry, value| {
                f(entry.key(), value);
                ControlFlow::Continue(())
            },
        )
    }

    /// One step of a scan: visits about `count` names from `cursor` on and returns the next cursor, `None` at the end.
    pub fn scan(&self, cursor: Cursor, count: usize, visit: impl FnMut(&[u8])) -> Option<Cursor> {
        match self.shape {
            FieldsShape::Elements {
                source,
                index,
                encoding: Encoding::Full,
            } => scan(source.keyspace, index, cursor, count, visit),
            _ => {
                // A small collection is returned whole, as Redis does; the cursor does not matter.
                self.names().for_each(visit);
                None
            }
        }
    }

    /// A random name.
    pub fn draw(&self) -> Option<&'a [u8]> {
        match self.shape {
            FieldsShape::Elements { index, .. } => index.draw().map(Entry::key),
            FieldsShape::Compact(body) => {
                let position = random_below(body.len());
                body.items().nth(position).map(|item| item.name)
            }
        }
    }
}

/// The elements: in Redis's order if Redis keeps an order in this encoding, otherwise in no order.
fn entries(index: &Index, encoding: Encoding) -> impl Iterator<Item = &Entry> {
    let few = in_order(index, encoding);
    let many = few.is_none().then(|| index.iter());
    few.into_iter().flatten().chain(many.into_iter().flatten())
}

pub(super) fn scan(
    keyspace: &Keyspace,
    index: &Index,
    cursor: Cursor,
    count: usize,
    mut visit: impl FnMut(&[u8]),
) -> Option<Cursor> {
    let hasher = |key: &[u8]| keyspace.hashing.hash(key);
    index.scan(cursor, count, &hasher, &mut |entry| visit(entry.key()))
}
