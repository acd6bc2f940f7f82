//! Read access to hashes and sets.

use std::ops::ControlFlow;

use crate::clock::random_below;
use crate::collection::compact::{Body, Names};
use crate::collection::source::Source;
use crate::collection::{Encoding, in_order};
use crate::index::{Found, Index, IndexKey, Located, Named};
use crate::{Cursor, KeyspaceError, Millis};
use store::StoreError;

/// A hash or a set.
#[derive(Clone, Copy, Debug)]
pub struct Fields<'a> {
    shape: FieldsShape<'a>,
}

#[derive(Clone, Copy, Debug)]
enum FieldsShape<'a> {
    Elements(Elements<'a>),
    Compact(Body<'a>),
}

/// Fields or members that have records of their own.
#[derive(Clone, Copy, Debug)]
struct Elements<'a> {
    source: Source<'a>,
    index: &'a Index,
    encoding: Encoding,
    now: Millis,
    /// Whether some fields may be past their deadlines.
    hides: bool,
    /// How many fields are past their deadlines and not removed yet. They do not show.
    expired: usize,
}

impl<'a> Fields<'a> {
    pub(super) fn new(source: Source<'a>, index: &'a Index, encoding: Encoding) -> Self {
        let elements = Elements {
            source,
            index,
            encoding,
            now: 0,
            hides: false,
            expired: 0,
        };
        let shape = FieldsShape::Elements(elements);
        Self { shape }
    }

    /// The fields of a hash as they are at a moment, when `expired` of them are past their deadlines.
    pub(super) fn at(mut self, now: Millis, expired: usize) -> Self {
        if let FieldsShape::Elements(elements) = &mut self.shape {
            elements.now = now;
            elements.hides = elements.index.may_have_expired(now);
            elements.expired = expired;
        }
        self
    }

    pub(super) fn compact(body: Body<'a>) -> Self {
        let shape = FieldsShape::Compact(body);
        Self { shape }
    }

    /// The bytes of the elements of a compact one.
    pub(super) fn compact_bytes(&self) -> Option<usize> {
        match self.shape {
            FieldsShape::Elements(_) => None,
            FieldsShape::Compact(body) => Some(body.bytes().len()),
        }
    }

    /// How many fields or members there are.
    pub fn len(&self) -> usize {
        match self.shape {
            FieldsShape::Elements(elements) => elements.index.len() - elements.expired,
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
            FieldsShape::Elements(elements) => elements.encoding,
            FieldsShape::Compact(body) => body.encoding(),
        }
    }

    /// Whether any field has a deadline.
    pub fn has_deadlines(&self) -> bool {
        match self.shape {
            FieldsShape::Elements(elements) => elements.index.expiring() > 0,
            FieldsShape::Compact(_) => false,
        }
    }

    /// A field's deadline, `Some(None)` if it has none; `None` if there is no such field.
    pub fn deadline(&self, name: &[u8]) -> Result<Option<Option<Millis>>, KeyspaceError> {
        match self.shape {
            FieldsShape::Elements(elements) => {
                Ok(elements.find(name)?.map(|found| found.expires_at))
            }
            FieldsShape::Compact(body) => Ok(body.find(name).map(|_| None)),
        }
    }

    /// Whether the field or member exists.
    pub fn contains(&self, name: &[u8]) -> Result<bool, KeyspaceError> {
        match self.shape {
            FieldsShape::Elements(elements) => Ok(elements.find(name)?.is_some()),
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
            FieldsShape::Elements(elements) => elements
                .find(name)?
                .map(|found| elements.source.read(name, found.location, f))
                .transpose(),
            FieldsShape::Compact(body) => Ok(body.find(name).map(f)),
        }
    }

    /// All names. A small collection of short names gives them in the order in which they were added, a small set of
    /// integers in ascending order; others have no order.
    pub fn names(
        &self,
    ) -> Result<impl Iterator<Item = Result<IndexKey, KeyspaceError>> + use<'a>, KeyspaceError>
    {
        let (elements, compact) = match self.shape {
            FieldsShape::Elements(elements) => (Some(elements.entries()?), Names::default()),
            FieldsShape::Compact(body) => (None, body.names()),
        };
        let elements = elements.into_iter().flatten();
        let elements = elements.map(|named| Ok(named?.key));
        Ok(elements.chain(compact.map(Ok)))
    }

    /// Passes all names to `f`, in the order of [`names`](Self::names).
    pub fn for_names(&self, mut f: impl FnMut(&[u8])) -> Result<(), KeyspaceError> {
        match self.shape {
            FieldsShape::Elements(elements) => {
                for named in elements.entries()? {
                    f(&named?.key);
                }
            }
            FieldsShape::Compact(body) => body.for_each(|name, _| f(name)),
        }
        Ok(())
    }

    /// Passes all fields with their values to `f`, in the order of [`names`](Self::names).
    pub fn for_each(&self, mut f: impl FnMut(&[u8], &[u8])) -> Result<(), KeyspaceError> {
        let elements = match self.shape {
            FieldsShape::Elements(elements) => elements,
            FieldsShape::Compact(body) => {
                body.for_each(f);
                return Ok(());
            }
        };
        let mut failed = None;
        let entries = elements.entries()?.map_while(|named| match named {
            Ok(named) => Some(named),
            Err(error) => {
                failed = Some(error);
                None
            }
        });
        elements.source.read_run(
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
        if let FieldsShape::Elements(elements) = self.shape
            && elements.encoding == Encoding::Full
        {
            return scan(elements.source, elements.index, cursor, count, |found| {
                if elements.shows(found) {
                    visit(found.key);
                }
            });
        }
        // A small collection is returned whole, as Redis does; the cursor does not matter.
        self.for_names(visit)?;
        Ok(None)
    }

    /// A random name; `None` if there are none.
    pub fn draw(&self) -> Result<Option<IndexKey>, KeyspaceError> {
        match self.shape {
            FieldsShape::Elements(Elements { hides: true, .. }) => {
                let mut names = self.names()?.collect::<Result<Vec<_>, _>>()?;
                let at = (!names.is_empty()).then(|| random_below(names.len()));
                Ok(at.map(|at| names.swap_remove(at)))
            }
            FieldsShape::Elements(Elements { source, index, .. }) => {
                let Some(entry) = index.draw() else {
                    return Ok(None);
                };
                Ok(Some(index.named(entry, &source.names())?.key))
            }
            FieldsShape::Compact(body) => Ok(body.name_at(random_below(body.len()))),
        }
    }
}

impl<'a> Elements<'a> {
    fn shows(&self, found: Found<'_>) -> bool {
        !self.hides || !found.is_expired(self.now)
    }

    /// Where a live element lies, and its deadline.
    fn find(&self, name: &[u8]) -> Result<Option<Located>, KeyspaceError> {
        let hash = self.source.keyspace.hashing.hash_of_element(name);
        let found = self.index.get(hash, name, &self.source.names())?;
        Ok(found.filter(|found| self.shows(*found)).map(Found::located))
    }

    /// The live elements: in Redis's order if Redis keeps an order in this encoding, otherwise in no order.
    fn entries(
        self,
    ) -> Result<impl Iterator<Item = Result<Named<'a>, StoreError>> + use<'a>, KeyspaceError> {
        let (index, names) = (self.index, self.source.names());
        let few = in_order(index, self.encoding, &names)?;
        let many = few.is_none().then(|| index.walk(names));
        let few = few.into_iter().flatten();
        let few = few.map(move |entry| index.named(entry, &names));
        let all = few.chain(many.into_iter().flatten());
        let shows = move |named: &Named<'_>| self.shows(named.found());
        Ok(all.filter(move |named| named.as_ref().map_or(true, shows)))
    }
}

pub(super) fn scan(
    source: Source<'_>,
    index: &Index,
    cursor: Cursor,
    count: usize,
    mut visit: impl FnMut(Found<'_>),
) -> Result<Option<Cursor>, KeyspaceError> {
    Ok(index.scan(cursor, count, &source.names(), &mut visit)?)
}
