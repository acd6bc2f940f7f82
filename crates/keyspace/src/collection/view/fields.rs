//! Read access to hashes and sets.

use std::ops::ControlFlow;

use crate::clock::random_below;
use crate::collection::compact::Body;
use crate::collection::source::Source;
use crate::collection::{Encoding, in_order};
use crate::index::{Found, Index, IndexKey, Named};
use crate::{Cursor, KeyspaceError};
use store::{Location, StoreError};

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
    pub fn contains(&self, name: &[u8]) -> Result<bool, KeyspaceError> {
        match self.shape {
            FieldsShape::Elements { source, index, .. } => {
                Ok(location(source, index, name)?.is_some())
            }
            FieldsShape::Compact(body) => Ok(body.find(name).is_some()),
        }
    }

    /// Runs `f` on a field's value; returns `None` if there is no such field.
    pub fn get<R>(
        &self,
        name: &[u8],
        f: impl FnOnce(&[u8]) -> R,
    ) -> Result<Option<R>, KeyspaceError> {
        match self.shape {
            FieldsShape::Elements { source, index, .. } => location(source, index, name)?
                .map(|location| source.read(name, location, f))
                .transpose(),
            FieldsShape::Compact(body) => Ok(body.find(name).map(|item| f(item.value))),
        }
    }

    /// All names. A small collection of short names gives them in the order in which they were added, a small set of
    /// integers in ascending order; others have no order.
    pub fn names(
        &self,
    ) -> Result<impl Iterator<Item = Result<IndexKey, KeyspaceError>> + use<'a>, KeyspaceError>
    {
        let (elements, compact) = match self.shape {
            FieldsShape::Elements {
                source,
                index,
                encoding,
            } => (Some(entries(source, index, encoding)?), None),
            FieldsShape::Compact(body) => (None, Some(body.items())),
        };
        let elements = elements.into_iter().flatten();
        let elements = elements.map(|named| Ok(named?.key));
        let compact = compact.into_iter().flatten();
        let compact = compact.map(|item| Ok(IndexKey::from_slice(item.name)));
        Ok(elements.chain(compact))
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
        let mut failed = None;
        let entries = entries(source, index, encoding)?.map_while(|named| match named {
            Ok(named) => Some(named),
            Err(error) => {
                failed = Some(error);
                None
            }
        });
        source.read_run(
            entries,
            |named| named.location,
            |named| named.key.clone(),
            |named, value| {
                f(&named.key, value);
                ControlFlow::Continue(())
            },
        )?;
        failed.map_or(Ok(()), |error| Err(error.into()))
    }

    /// One step of a scan: visits about `count` names from `cursor` on and returns the next cursor, `None` at the end.
    pub fn scan(
        &self,
        cursor: Cursor,
        count: usize,
        mut visit: impl FnMut(&[u8]),
    ) -> Result<Option<Cursor>, KeyspaceError> {
        match self.shape {
            FieldsShape::Elements {
                source,
                index,
                encoding: Encoding::Full,
            } => scan(source, index, cursor, count, visit),
            _ => {
                // A small collection is returned whole, as Redis does; the cursor does not matter.
                for name in self.names()? {
                    visit(&name?);
                }
                Ok(None)
            }
        }
    }

    /// A random name; `None` if there are none.
    pub fn draw(&self) -> Result<Option<IndexKey>, KeyspaceError> {
        match self.shape {
            FieldsShape::Elements { source, index, .. } => {
                let Some(entry) = index.draw() else {
                    return Ok(None);
                };
                Ok(Some(index.named(entry, &source.names())?.key))
            }
            FieldsShape::Compact(body) => {
                let position = random_below(body.len());
                let item = body.items().nth(position);
                Ok(item.map(|item| IndexKey::from_slice(item.name)))
            }
        }
    }
}

fn location(
    source: Source<'_>,
    index: &Index,
    name: &[u8],
) -> Result<Option<Location>, KeyspaceError> {
    let hash = source.keyspace.hashing.hash(name);
    let found = index.get(hash, name, &source.names())?;
    Ok(found.map(|found| found.location))
}

/// The elements: in Redis's order if Redis keeps an order in this encoding, otherwise in no order.
fn entries<'a>(
    source: Source<'a>,
    index: &'a Index,
    encoding: Encoding,
) -> Result<impl Iterator<Item = Result<Named<'a>, StoreError>> + use<'a>, KeyspaceError> {
    let names = source.names();
    let few = in_order(index, encoding, &names)?;
    let many = few.is_none().then(|| index.walk(names));
    let few = few.into_iter().flatten();
    let few = few.map(move |entry| index.named(entry, &names));
    Ok(few.chain(many.into_iter().flatten()))
}

pub(super) fn scan(
    source: Source<'_>,
    index: &Index,
    cursor: Cursor,
    count: usize,
    mut visit: impl FnMut(&[u8]),
) -> Result<Option<Cursor>, KeyspaceError> {
    let visit = &mut |found: Found<'_>| visit(found.key);
    Ok(index.scan(cursor, count, &source.names(), visit)?)
}
