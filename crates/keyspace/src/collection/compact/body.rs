//! The elements of a compact collection in either form.

use super::integers::{self, Integers, Numbers, WIDTHS};
use super::{DAMAGED, HEADER_BYTES, INTEGERS, Items, Texts, VERSION, push_text};
use crate::collection::Encoding;
use crate::collection::scratch::Scratch;
use crate::index::IndexKey;
use crate::{KeyspaceError, Kind};

/// The elements of a compact collection, where they lie.
#[derive(Clone, Copy, Debug)]
pub enum Body<'a> {
    /// As texts. A set of integers is only so where an earlier version wrote it.
    Texts(Texts<'a>),
    /// A set of integers.
    Integers(Integers<'a>),
}

impl<'a> Body<'a> {
    /// A collection without elements, as a new key begins.
    pub fn empty(kind: Kind) -> Self {
        Self::Texts(Texts {
            kind: kind.plain(),
            encoding: Encoding::Integers,
            len: 0,
            entries: &[],
        })
    }

    /// The collection in a record. Only the header is checked, and whether there is room for as many integers as it tells:
    /// bytes of a damaged text end the iteration.
    #[inline]
    pub fn open(kind: Kind, record: &'a [u8]) -> Result<Self, KeyspaceError> {
        match record.split_first_chunk::<HEADER_BYTES>() {
            Some((&[VERSION, 0, low, high], entries)) => Ok(Self::Texts(Texts {
                kind: kind.plain(),
                encoding: Encoding::Compact,
                len: u16::from_le_bytes([low, high]).into(),
                entries,
            })),
            _ => Self::open_integers(kind.plain(), record),
        }
    }

    /// [`open`](Self::open) of a set of integers in any form, and of what this version does not know.
    #[inline(never)]
    fn open_integers(kind: Kind, record: &'a [u8]) -> Result<Self, KeyspaceError> {
        let (header, entries) = record.split_first_chunk::<HEADER_BYTES>().ok_or(DAMAGED)?;
        let [version, flags, len @ ..] = *header;
        let len = usize::from(u16::from_le_bytes(len));
        if version != VERSION || (flags & !(INTEGERS | WIDTHS)) != 0 {
            return Err(KeyspaceError::Failed(
                "a compact collection has a form that this version does not know; use a newer version",
            ));
        }
        if kind != Kind::Set {
            return Err(DAMAGED);
        }
        if flags & WIDTHS != 0 {
            return Integers::open(flags, len, entries).map(Self::Integers);
        }
        Ok(Self::Texts(Texts {
            kind,
            encoding: Encoding::Integers,
            len,
            entries,
        }))
    }

    /// The collection in a record, all of whose bytes are checked.
    pub fn check(kind: Kind, record: &'a [u8]) -> Result<Self, KeyspaceError> {
        let body = Self::open(kind, record)?;
        match body {
            Body::Texts(texts) => texts.check()?,
            Body::Integers(integers) => integers.check()?,
        }
        Ok(body)
    }

    /// The collection's type.
    pub fn kind(self) -> Kind {
        match self {
            Body::Texts(texts) => texts.kind(),
            Body::Integers(_) => Kind::Set,
        }
    }

    /// How many elements there are.
    #[inline]
    pub fn len(self) -> usize {
        match self {
            Body::Texts(texts) => texts.len(),
            Body::Integers(integers) => integers.len(),
        }
    }

    /// The form in which Redis would keep it.
    #[inline]
    pub fn encoding(self) -> Encoding {
        match self {
            Body::Texts(texts) => texts.encoding(),
            Body::Integers(_) => Encoding::Integers,
        }
    }

    /// The bytes of the entries.
    pub fn bytes(self) -> &'a [u8] {
        match self {
            Body::Texts(texts) => texts.bytes(),
            Body::Integers(integers) => integers.bytes(),
        }
    }

    /// The value of the element with that name; it is empty where elements have none.
    #[inline]
    pub fn find(self, name: &[u8]) -> Option<&'a [u8]> {
        match self {
            Body::Texts(texts) => texts.find(name).map(|item| item.value),
            Body::Integers(integers) => integers.contains(name).then_some(&[]),
        }
    }

    /// The score of a sorted set's member.
    pub fn score(self, member: &[u8]) -> Option<f64> {
        match self {
            Body::Texts(texts) => texts.find(member).map(|item| item.score()),
            Body::Integers(_) => None,
        }
    }

    /// The names of the elements in their order.
    pub fn names(self) -> Names<'a> {
        match self {
            Body::Texts(texts) => Names::Texts(texts.items()),
            Body::Integers(integers) => Names::Integers(integers.numbers()),
        }
    }

    /// Passes all elements with their values to `f`, in their order.
    pub fn for_each(self, mut f: impl FnMut(&[u8], &[u8])) {
        match self {
            Body::Texts(texts) => texts.items().for_each(|item| f(item.name, item.value)),
            Body::Integers(integers) => {
                let mut digits = itoa::Buffer::new();
                for number in integers.numbers() {
                    f(digits.format(number).as_bytes(), b"");
                }
            }
        }
    }

    /// The name of the element at a position.
    #[inline]
    pub fn name_at(self, position: usize) -> Option<IndexKey> {
        match self {
            Body::Texts(texts) => {
                let item = texts.items().nth(position);
                item.map(|item| IndexKey::from_slice(item.name))
            }
            Body::Integers(integers) => integers.get(position).map(name_of),
        }
    }

    /// The elements as texts, which lie in `space` where those of the record are none.
    #[inline]
    pub(in crate::collection) fn texts<'t>(self, space: &'t mut Option<Scratch>) -> Texts<'t>
    where
        'a: 't,
    {
        match self {
            Body::Texts(texts) => texts,
            Body::Integers(integers) => texts_of(integers, space.get_or_insert_default()),
        }
    }
}

/// The member that a number is.
#[inline(never)]
fn name_of(number: i64) -> IndexKey {
    IndexKey::from_slice(itoa::Buffer::new().format(number).as_bytes())
}

/// The members as texts, which it writes into `entries`.
#[inline(never)]
fn texts_of<'t>(integers: Integers<'_>, entries: &'t mut Scratch) -> Texts<'t> {
    let mut digits = itoa::Buffer::new();
    for number in integers.numbers() {
        push_text(entries, digits.format(number).as_bytes());
    }
    Texts {
        kind: Kind::Set,
        encoding: Encoding::Integers,
        len: integers.len(),
        entries,
    }
}

/// The names of the elements of a compact collection.
#[derive(Clone, Debug)]
pub enum Names<'a> {
    /// Where they are texts.
    Texts(Items<'a>),
    /// The members of a set of integers.
    Integers(Numbers<'a>),
}

impl Default for Names<'_> {
    fn default() -> Self {
        Self::Texts(Items::default())
    }
}

impl Iterator for Names<'_> {
    type Item = IndexKey;

    #[inline]
    fn next(&mut self) -> Option<IndexKey> {
        match self {
            Names::Texts(items) => Some(IndexKey::from_slice(items.next()?.name)),
            Names::Integers(numbers) => numbers.next().map(name_of),
        }
    }
}

/// Opens a copy of a record that is going to change or to get another key. A set of integers that an earlier version wrote
/// as texts gets the form of today.
#[inline]
pub(in crate::collection) fn open_copy(
    kind: Kind,
    record: &mut Scratch,
) -> Result<(Encoding, usize), KeyspaceError> {
    let body = Body::open(kind, record)?;
    let (encoding, len) = (body.encoding(), body.len());
    if let (Body::Texts(texts), Encoding::Integers) = (body, encoding) {
        let packed = integers::pack(texts)?;
        record.clear();
        record.extend_from_slice(&packed);
    }
    Ok((encoding, len))
}
