//! Read access to collections. A collection stays locked while a caller looks at it.

use std::ops::{ControlFlow, Range};

use lock_order::RwLock;

use super::elements::{decode_score, encode_label};
use super::list::ListItem;
use super::scores::ScoreIndex;
use super::sequence::Sequence;
use super::source::Source;
use super::stream::Stream;
use super::{Collection, Encoding, Shape};
use crate::hashing::shard_of;
use crate::index::{Found, Index, IndexKey, Named};
use crate::{Access, Cursor, Keyspace, KeyspaceError, Kind, StringView};
use store::{Location, StoreError};

/// A live value of any type.
#[derive(Clone, Copy, Debug)]
pub enum View<'a> {
    /// A string.
    String(StringView<'a>),
    /// A hash's fields with their values.
    Hash(Fields<'a>),
    /// A set's members; their values are empty.
    Set(Fields<'a>),
    /// A list's elements.
    List(List<'a>),
    /// A sorted set's members.
    SortedSet(Scores<'a>),
    /// A stream's entries and groups.
    Stream(Stream<'a>),
}

impl<'a> View<'a> {
    pub(in super::super) fn new(
        keyspace: &'a Keyspace,
        id: u64,
        collection: &'a Collection,
    ) -> Self {
        let source = Source::new(keyspace, id);
        let encoding = collection.encoding;
        match &collection.shape {
            Shape::Fields(index) => {
                let fields = Fields {
                    source,
                    index,
                    encoding,
                };
                if collection.kind == Kind::Set {
                    View::Set(fields)
                } else {
                    View::Hash(fields)
                }
            }
            Shape::List(items) => View::List(List { source, items }),
            Shape::Stream(stream) => View::Stream(Stream::new(source, stream)),
            Shape::Scores(ranked) => View::SortedSet(Scores {
                source,
                ranked,
                encoding,
            }),
        }
    }

    /// The value's type.
    pub fn kind(&self) -> Kind {
        match self {
            View::String(_) => Kind::String,
            View::Hash(_) => Kind::Hash,
            View::Set(_) => Kind::Set,
            View::List(_) => Kind::List,
            View::SortedSet(_) => Kind::SortedSet,
            View::Stream(_) => Kind::Stream,
        }
    }

    /// How many elements there are; 1 for a string.
    pub fn len(&self) -> usize {
        match self {
            View::String(_) => 1,
            View::Hash(fields) | View::Set(fields) => fields.len(),
            View::List(list) => list.len(),
            View::SortedSet(scores) => scores.len(),
            View::Stream(stream) => usize::try_from(stream.len()).unwrap_or(usize::MAX),
        }
    }

    /// Whether the value has no element; a stored collection always has one, unless it is a stream.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The string, or [`KeyspaceError::WrongKind`].
    pub fn string(self) -> Result<StringView<'a>, KeyspaceError> {
        match self {
            View::String(string) => Ok(string),
            _ => Err(KeyspaceError::WrongKind),
        }
    }

    /// The hash, or [`KeyspaceError::WrongKind`].
    pub fn hash(self) -> Result<Fields<'a>, KeyspaceError> {
        match self {
            View::Hash(fields) => Ok(fields),
            _ => Err(KeyspaceError::WrongKind),
        }
    }

    /// The set, or [`KeyspaceError::WrongKind`].
    pub fn set(self) -> Result<Fields<'a>, KeyspaceError> {
        match self {
            View::Set(fields) => Ok(fields),
            _ => Err(KeyspaceError::WrongKind),
        }
    }

    /// The list, or [`KeyspaceError::WrongKind`].
    pub fn list(self) -> Result<List<'a>, KeyspaceError> {
        match self {
            View::List(list) => Ok(list),
            _ => Err(KeyspaceError::WrongKind),
        }
    }

    /// The stream, or [`KeyspaceError::WrongKind`].
    pub fn stream(self) -> Result<Stream<'a>, KeyspaceError> {
        match self {
            View::Stream(stream) => Ok(stream),
            _ => Err(KeyspaceError::WrongKind),
        }
    }

    /// The sorted set, or [`KeyspaceError::WrongKind`].
    pub fn sorted_set(self) -> Result<Scores<'a>, KeyspaceError> {
        match self {
            View::SortedSet(scores) => Ok(scores),
            _ => Err(KeyspaceError::WrongKind),
        }
    }
}

/// A hash or a set.
#[derive(Clone, Copy, Debug)]
pub struct Fields<'a> {
    source: Source<'a>,
    index: &'a Index,
    encoding: Encoding,
}

impl<'a> Fields<'a> {
    /// How many fields or members there are.
    pub fn len(&self) -> usize {
        self.index.len()
    }

    /// Whether there are none; a stored hash or set always has one.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The form in which Redis would keep it.
    pub fn encoding(&self) -> Encoding {
        self.encoding
    }

    fn location(&self, name: &[u8]) -> Result<Option<Location>, KeyspaceError> {
        let hash = self.source.keyspace.hashing.hash(name);
        let found = self.index.get(hash, name, &self.source.names())?;
        Ok(found.map(|found| found.location))
    }

    /// Whether the field or member exists.
    pub fn contains(&self, name: &[u8]) -> Result<bool, KeyspaceError> {
        Ok(self.location(name)?.is_some())
    }

    /// Runs `f` on a field's value; returns `None` if there is no such field.
    pub fn get<R>(
        &self,
        name: &[u8],
        f: impl FnOnce(&[u8]) -> R,
    ) -> Result<Option<R>, KeyspaceError> {
        self.location(name)?
            .map(|location| self.source.read(name, location, f))
            .transpose()
    }

    /// The elements: in Redis's order if Redis keeps an order in this encoding, otherwise in no order.
    fn entries(
        &self,
    ) -> Result<impl Iterator<Item = Result<Named<'a>, StoreError>> + use<'a>, KeyspaceError> {
        let (index, names) = (self.index, self.source.names());
        let few = super::in_order(index, self.encoding, &names)?;
        let many = few.is_none().then(|| index.walk(names));
        let few = few.into_iter().flatten();
        let few = few.map(move |entry| index.named(entry, &names));
        Ok(few.chain(many.into_iter().flatten()))
    }

    /// All names. A small collection of short names gives them in the order in which they were added, a small set of
    /// integers in ascending order; others have no order.
    pub fn names(
        &self,
    ) -> Result<impl Iterator<Item = Result<IndexKey, KeyspaceError>> + use<'a>, KeyspaceError>
    {
        let entries = self.entries()?;
        Ok(entries.map(|named| Ok(named?.key)))
    }

    /// Passes all fields with their values to `f`, in the order of [`names`](Self::names).
    pub fn for_each(&self, mut f: impl FnMut(&[u8], &[u8])) -> Result<(), KeyspaceError> {
        let mut failed = None;
        let entries = self.entries()?.map_while(|named| match named {
            Ok(named) => Some(named),
            Err(error) => {
                failed = Some(error);
                None
            }
        });
        self.source.read_run(
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
        if self.encoding != Encoding::Full {
            // A small collection is returned whole, as Redis does; the cursor does not matter.
            for name in self.names()? {
                visit(&name?);
            }
            return Ok(None);
        }
        scan(self.source, self.index, cursor, count, visit)
    }

    /// A random name; `None` if there are none.
    pub fn draw(&self) -> Result<Option<IndexKey>, KeyspaceError> {
        let Some(entry) = self.index.draw() else {
            return Ok(None);
        };
        Ok(Some(self.index.named(entry, &self.source.names())?.key))
    }
}

fn scan(
    source: Source<'_>,
    index: &Index,
    cursor: Cursor,
    count: usize,
    mut visit: impl FnMut(&[u8]),
) -> Result<Option<Cursor>, KeyspaceError> {
    let visit = &mut |found: Found<'_>| visit(found.key);
    Ok(index.scan(cursor, count, &source.names(), visit)?)
}

/// A list.
#[derive(Clone, Copy, Debug)]
pub struct List<'a> {
    source: Source<'a>,
    items: &'a Sequence<ListItem>,
}

impl List<'_> {
    /// How many elements there are.
    pub fn len(&self) -> usize {
        self.items.len()
    }

    /// Whether there are none; a stored list always has one.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Runs `f` on the element at a position; returns `None` beyond the end.
    pub fn get<R>(
        &self,
        position: usize,
        f: impl FnOnce(&[u8]) -> R,
    ) -> Result<Option<R>, KeyspaceError> {
        self.items
            .get(position)
            .map(|item| self.read(item, f))
            .transpose()
    }

    /// Passes the elements in a range of positions to `f`, in order or in reverse, until `f` breaks.
    pub fn for_range(
        &self,
        range: Range<usize>,
        reversed: bool,
        mut f: impl FnMut(&[u8]) -> ControlFlow<()>,
    ) -> Result<(), KeyspaceError> {
        let items = self.items.range(range);
        let location = |item: &&ListItem| item.location;
        let name = |item: &&ListItem| encode_label(item.label);
        let each = |_: &&ListItem, value: &[u8]| f(value);
        if reversed {
            self.source.read_run(items.rev(), location, name, each)
        } else {
            self.source.read_run(items, location, name, each)
        }
    }

    fn read<R>(&self, item: &ListItem, f: impl FnOnce(&[u8]) -> R) -> Result<R, KeyspaceError> {
        self.source
            .read(&encode_label(item.label), item.location, f)
    }
}

/// A sorted set.
#[derive(Clone, Copy, Debug)]
pub struct Scores<'a> {
    source: Source<'a>,
    ranked: &'a ScoreIndex,
    encoding: Encoding,
}

impl<'a> Scores<'a> {
    /// How many members there are.
    pub fn len(&self) -> usize {
        self.ranked.len()
    }

    /// Whether there are none; a stored sorted set always has one.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The form in which Redis would keep it.
    pub fn encoding(&self) -> Encoding {
        self.encoding
    }

    /// A member's score; `None` if the set does not have the member.
    pub fn score(&self, member: &[u8]) -> Result<Option<f64>, KeyspaceError> {
        let hash = self.source.keyspace.hashing.hash(member);
        let members = self.ranked.members();
        let Some(found) = members.get(hash, member, &self.source.names())? else {
            return Ok(None);
        };
        let score = self.source.read(member, found.location, decode_score)?;
        score
            .map(Some)
            .ok_or(KeyspaceError::Failed("a member's score is damaged"))
    }

    /// The rank of a member of the set, whose score the caller gives.
    pub fn rank(&self, score: f64, member: &[u8]) -> usize {
        self.ranked.rank(score, member)
    }

    /// How many members satisfy `before`, which gets the score and the name. In the set's order, the members that
    /// satisfy it must come first.
    pub fn partition_point(&self, before: impl Fn(f64, &[u8]) -> bool) -> usize {
        self.ranked.partition_point(before)
    }

    /// The members in a range of ranks, with their scores. The range is cut off at the end of the set.
    pub fn range(
        &self,
        ranks: Range<usize>,
    ) -> impl DoubleEndedIterator<Item = (&'a [u8], f64)> + use<'a> {
        self.ranked.range(ranks)
    }

    /// One step of a scan: visits about `count` members from `cursor` on and returns the next cursor, `None` at the
    /// end.
    pub fn scan(
        &self,
        cursor: Cursor,
        count: usize,
        visit: impl FnMut(&[u8]),
    ) -> Result<Option<Cursor>, KeyspaceError> {
        if self.encoding != Encoding::Full {
            // A small collection is returned whole, as Redis does; the cursor does not matter.
            let members = self.range(0..self.len());
            members.map(|(member, _)| member).for_each(visit);
            return Ok(None);
        }
        scan(self.source, self.ranked.members(), cursor, count, visit)
    }
}

impl Keyspace {
    /// Runs `f` on the live value of a key, of any type; on `None` if the key is absent or past its deadline.
    ///
    /// The key is locked while `f` runs, so `f` must not call the keyspace. A closure that a method of the view calls
    /// with a borrowed value must not read another value.
    pub fn view<R>(
        &self,
        db: usize,
        key: &[u8],
        access: Access,
        f: impl FnOnce(Option<View<'_>>) -> R,
    ) -> Result<R, KeyspaceError> {
        self.expiry().on_access(db, key, access.now)?;
        let hash = self.hashing.hash(key);
        loop {
            let shard = self.locking().read_shard(shard_of(hash))?;
            let generation = self.generations.of(db);
            let found = shard.get(self.names(generation), hash, key)?;
            let Some(found) = self.expiry().live(found, access.now) else {
                return Ok(f(None));
            };
            if let Some(missing) =
                self.collections()
                    .missing_partition(hash, generation, Some(found))?
            {
                drop(shard);
                self.loading().index_partition(missing)?;
                continue;
            }
            if let Some((id, shared)) = self.collections().of(hash, generation, found)? {
                if access.touch {
                    found.entry.touch(access.now, self.eviction.clock());
                }
                let collection = shared.read();
                return Ok(f(Some(View::new(self, id, &collection))));
            }
            if access.touch {
                found.entry.touch(access.now, self.eviction.clock());
            }
            let string = self.reading().stored_string(hash, generation, found);
            return Ok(f(Some(View::String(string))));
        }
    }

    /// Runs `f` on the live values of several keys at one moment; the keys may repeat. `f` must not call the keyspace.
    pub fn view_many<R>(
        &self,
        keys: &[(usize, &[u8])],
        access: Access,
        f: impl FnOnce(&[Option<View<'_>>]) -> R,
    ) -> Result<R, KeyspaceError> {
        self.expiry().on_access_to_all(keys, access.now)?;
        let hashes = self.locking().hashes(keys);
        let (numbers, shards) =
            self.locking()
                .lock_shards(keys, &hashes, RwLock::read, |shard| &**shard)?;
        let mut held = Vec::with_capacity(keys.len());
        for (&(db, key), &hash) in keys.iter().zip(&hashes) {
            let shard = &shards[numbers.partition_point(|&number| number < shard_of(hash))];
            let generation = self.generations.of(db);
            let found = shard.get(self.names(generation), hash, key)?;
            let Some(found) = self.expiry().live(found, access.now) else {
                held.push(Held::Absent);
                continue;
            };
            if access.touch {
                found.entry.touch(access.now, self.eviction.clock());
            }
            held.push(
                if let Some((id, shared)) = self.collections().of(hash, generation, found)? {
                    Held::Collection(id, shared)
                } else {
                    Held::String(self.reading().stored_string(hash, generation, found))
                },
            );
        }
        // A recursive read lock: the call may name a key twice, and a compaction may wait for the lock between the two.
        let locked: Vec<_> = held
            .iter()
            .map(|held| match held {
                Held::Collection(_, shared) => Some(shared.read_recursive()),
                _ => None,
            })
            .collect();
        let views: Vec<Option<View<'_>>> = held
            .iter()
            .zip(&locked)
            .map(|(held, locked)| match (held, locked) {
                (Held::Collection(id, _), Some(collection)) => {
                    Some(View::new(self, *id, collection))
                }
                (Held::String(string), _) => Some(View::String(*string)),
                _ => None,
            })
            .collect();
        Ok(f(&views))
    }
}

/// The value of a key of [`Keyspace::view_many`].
enum Held<'a> {
    Absent,
    String(StringView<'a>),
    Collection(u64, super::SharedCollection),
}
