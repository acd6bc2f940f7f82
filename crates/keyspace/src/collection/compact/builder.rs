//! Builds a compact collection element by element.

use redis_core::numbers::parse_i64;

use super::integers::{self, Integers};
use super::{Body, Item, ShortScore, Texts, begin, compare_scored, finish, item_bytes, push_item};
use crate::collection::limits::{LISTPACK_BYTES, element_bytes};
use crate::collection::{Encoding, FormLimits, elements};
use crate::{KeyspaceError, Kind};

/// A compact collection that grows.
#[derive(Debug)]
pub struct Builder {
    kind: Kind,
    record: Vec<u8>,
    len: usize,
    encoding: Encoding,
    /// Bytes that Redis's listpack of a list takes.
    listpack_bytes: usize,
}

impl Builder {
    /// An empty collection.
    pub fn new(kind: Kind) -> Self {
        let mut record = Vec::new();
        begin(&mut record);
        Self {
            kind,
            record,
            len: 0,
            encoding: Encoding::Integers,
            listpack_bytes: LISTPACK_BYTES,
        }
    }

    /// How many elements it has.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Redis's form of what it holds.
    pub fn encoding(&self) -> Encoding {
        self.encoding
    }

    /// Has an empty collection begin in the form of the one that it becomes a copy of.
    pub fn begin_as(&mut self, encoding: Encoding) {
        self.encoding = encoding;
    }

    /// The elements so far.
    pub fn body(&self) -> Body<'_> {
        match Integers::of_record(&self.record) {
            Some(integers) => Body::Integers(integers),
            None => Body::Texts(self.texts()),
        }
    }

    /// The elements so far of what is no set of integers.
    fn texts(&self) -> Texts<'_> {
        Texts::of_record(self.kind, self.encoding, self.len, &self.record)
    }

    /// Adds an element that it does not have; of a sorted set the value holds the score's eight bytes. Returns `false`, and
    /// adds nothing, if the collection would be too large for the compact form.
    pub fn push(
        &mut self,
        limits: &FormLimits,
        name: &[u8],
        value: &[u8],
    ) -> Result<bool, KeyspaceError> {
        // A list's element is the name of its entry.
        let (name, value) = match self.kind {
            Kind::List => (value, &b""[..]),
            _ => (name, value),
        };
        let short;
        let (item, score) = if self.kind == Kind::SortedSet {
            let damaged = KeyspaceError::Failed("a member's score is damaged");
            let score = elements::decode_score(value).ok_or(damaged)?;
            short = ShortScore::new(score);
            let value = short.bytes();
            (Item { name, value }, score)
        } else {
            (Item { name, value }, 0.0)
        };
        let len = self.len + 1;
        let encoding = if self.kind == Kind::List {
            limits.list_after(self.listpack_bytes + name.len(), len)
        } else {
            let value_bytes = if self.kind == Kind::Hash {
                value.len()
            } else {
                0
            };
            limits.after(self.kind, self.encoding, len, name, value_bytes)
        };
        if self.kind == Kind::Set && encoding != Encoding::Full {
            if encoding == Encoding::Integers {
                return Ok(self.push_integer(limits, name));
            }
            self.leave_integers();
        }
        let bytes = self
            .record
            .len()
            .saturating_add(item_bytes(self.kind, item));
        if encoding == Encoding::Full || !limits.is_compact(bytes, len) {
            return Ok(false);
        }
        let end = self.record.len();
        let at = match self.kind {
            Kind::SortedSet => self.position(|other| {
                compare_scored((other.score(), other.name), (score, name)).is_lt()
            }),
            _ => end,
        };
        push_item(&mut self.record, self.kind, item);
        self.record[at..].rotate_right(bytes - end);
        if self.kind == Kind::List {
            self.listpack_bytes += element_bytes(name);
        }
        self.len = len;
        self.encoding = encoding;
        Ok(true)
    }

    /// [`push`](Self::push) of a member to a set that stays one of integers.
    fn push_integer(&mut self, limits: &FormLimits, name: &[u8]) -> bool {
        let Some(number) = parse_i64(name) else {
            return false;
        };
        if self.len == 0 {
            integers::append(&mut self.record, &[]);
        }
        let bytes = Integers::of_record(&self.record)
            .map_or(usize::MAX, |integers| integers.record_bytes_with(number));
        let fits = limits.is_compact(bytes, self.len + 1);
        if fits {
            self.len += usize::from(integers::insert(&mut self.record, number));
        }
        fits
    }

    /// Makes texts of integers, if the members are some.
    fn leave_integers(&mut self) {
        if let Body::Integers(integers) = self.body() {
            let mut record = Vec::new();
            begin(&mut record);
            let mut space = None;
            record.extend_from_slice(Body::Integers(integers).texts(&mut space).bytes());
            self.record = record;
        }
    }

    /// The offset in the record behind the items that satisfy `before`, which come first.
    fn position(&self, before: impl Fn(Item<'_>) -> bool) -> usize {
        let mut items = self.texts().items();
        let mut at = self.record.len();
        loop {
            let rest = items.rest().len();
            match items.next() {
                Some(item) if before(item) => {}
                Some(_) => {
                    at -= rest;
                    return at;
                }
                None => return at,
            }
        }
    }

    /// The record; `None` if it has no elements.
    pub fn finish(&mut self) -> Option<&[u8]> {
        if self.len == 0 {
            return None;
        }
        finish(&mut self.record, self.len)?;
        Some(&self.record)
    }
}
