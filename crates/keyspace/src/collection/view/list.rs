//! Read access to lists.

use std::ops::{ControlFlow, Range};

use smallvec::SmallVec;

use crate::KeyspaceError;
use crate::collection::compact::{Item, Texts};
use crate::collection::elements::encode_label;
use crate::collection::limits::{LISTPACK_BYTES, element_bytes};
use crate::collection::list::ListItem;
use crate::collection::sequence::Sequence;
use crate::collection::source::Source;
use crate::collection::{Encoding, FormLimits};

/// A list.
#[derive(Clone, Copy, Debug)]
pub struct List<'a> {
    shape: ListShape<'a>,
}

#[derive(Clone, Copy, Debug)]
enum ListShape<'a> {
    Elements {
        source: Source<'a>,
        items: &'a Sequence<ListItem>,
        /// Redis's form of the list, if it is known.
        encoding: Option<Encoding>,
    },
    Compact(Texts<'a>),
}

impl<'a> List<'a> {
    pub(super) fn new(
        source: Source<'a>,
        items: &'a Sequence<ListItem>,
        encoding: Option<Encoding>,
    ) -> Self {
        let shape = ListShape::Elements {
            source,
            items,
            encoding,
        };
        Self { shape }
    }

    pub(super) fn compact(texts: Texts<'a>) -> Self {
        let shape = ListShape::Compact(texts);
        Self { shape }
    }

    /// The bytes of the elements of a compact one.
    pub(super) fn compact_bytes(&self) -> Option<usize> {
        match self.shape {
            ListShape::Elements { .. } => None,
            ListShape::Compact(texts) => Some(texts.bytes().len()),
        }
    }

    /// How many elements there are.
    pub fn len(&self) -> usize {
        match self.shape {
            ListShape::Elements { items, .. } => items.len(),
            ListShape::Compact(texts) => texts.len(),
        }
    }

    /// Whether there are none; a stored list always has one.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The form in which Redis would keep it.
    pub fn encoding(&self) -> Result<Encoding, KeyspaceError> {
        match self.shape {
            ListShape::Compact(texts) => Ok(texts.encoding()),
            ListShape::Elements {
                encoding: Some(encoding),
                ..
            } => Ok(encoding),
            ListShape::Elements { source, items, .. } => {
                form_of(&source, items, &source.keyspace.form_limits())
            }
        }
    }

    /// Runs `f` on the element at a position; returns `None` beyond the end.
    pub fn get<R>(
        &self,
        position: usize,
        f: impl FnOnce(&[u8]) -> R,
    ) -> Result<Option<R>, KeyspaceError> {
        match self.shape {
            ListShape::Elements { source, items, .. } => items
                .get(position)
                .map(|item| source.read(&encode_label(item.label), item.location, f))
                .transpose(),
            ListShape::Compact(texts) => Ok(texts.items().nth(position).map(|item| f(item.name))),
        }
    }

    /// Passes the elements in a range of positions to `f`, in order or in reverse, until `f` breaks.
    pub fn for_range(
        &self,
        range: Range<usize>,
        reversed: bool,
        mut f: impl FnMut(&[u8]) -> ControlFlow<()>,
    ) -> Result<(), KeyspaceError> {
        let (source, items) = match self.shape {
            ListShape::Elements { source, items, .. } => (source, items),
            ListShape::Compact(texts) => {
                let items = texts.items().skip(range.start).take(range.len());
                if reversed {
                    let items: SmallVec<[Item<'_>; 32]> = items.collect();
                    let _ = items.iter().rev().try_for_each(|item| f(item.name));
                } else {
                    let _ = items.map(|item| item.name).try_for_each(f);
                }
                return Ok(());
            }
        };
        let items = items.range(range);
        let location = |item: &&ListItem| item.location;
        let name = |item: &&ListItem| encode_label(item.label);
        let each = |_: &&ListItem, value: &[u8]| f(value);
        if reversed {
            source.read_run(items.rev(), location, name, each)
        } else {
            source.read_run(items, location, name, each)
        }
    }
}

/// The form in which Redis would keep the elements of a list if they had just been put there.
pub(in crate::collection) fn form_of(
    source: &Source<'_>,
    items: &Sequence<ListItem>,
    limits: &FormLimits,
) -> Result<Encoding, KeyspaceError> {
    let mut bytes = LISTPACK_BYTES;
    let mut form = limits.list_after(bytes, items.len());
    for item in items.range(0..items.len()) {
        if form == Encoding::Full {
            break;
        }
        bytes += source.read(&encode_label(item.label), item.location, element_bytes)?;
        form = limits.list_after(bytes, items.len());
    }
    Ok(form)
}
