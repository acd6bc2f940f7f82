//! Read access to sorted sets.

use std::ops::Range;

use smallvec::SmallVec;

use super::fields::scan;
use crate::collection::Encoding;
use crate::collection::compact::{Texts, compare_scored};
use crate::collection::elements::decode_score;
use crate::collection::scores::ScoreIndex;
use crate::collection::source::Source;
use crate::{Cursor, KeyspaceError};

/// A sorted set.
#[derive(Clone, Copy, Debug)]
pub struct Scores<'a> {
    shape: ScoresShape<'a>,
}

#[derive(Clone, Copy, Debug)]
enum ScoresShape<'a> {
    Elements {
        source: Source<'a>,
        ranked: &'a ScoreIndex,
        encoding: Encoding,
    },
    Compact(Texts<'a>),
}

impl<'a> Scores<'a> {
    pub(super) fn new(source: Source<'a>, ranked: &'a ScoreIndex, encoding: Encoding) -> Self {
        let shape = ScoresShape::Elements {
            source,
            ranked,
            encoding,
        };
        Self { shape }
    }

    pub(super) fn compact(texts: Texts<'a>) -> Self {
        let shape = ScoresShape::Compact(texts);
        Self { shape }
    }

    /// The bytes of the elements of a compact one.
    pub(super) fn compact_bytes(&self) -> Option<usize> {
        match self.shape {
            ScoresShape::Elements { .. } => None,
            ScoresShape::Compact(texts) => Some(texts.bytes().len()),
        }
    }

    /// How many members there are.
    pub fn len(&self) -> usize {
        match self.shape {
            ScoresShape::Elements { ranked, .. } => ranked.len(),
            ScoresShape::Compact(texts) => texts.len(),
        }
    }

    /// Whether there are none; a stored sorted set always has one.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The form in which Redis would keep it.
    pub fn encoding(&self) -> Encoding {
        match self.shape {
            ScoresShape::Elements { encoding, .. } => encoding,
            ScoresShape::Compact(texts) => texts.encoding(),
        }
    }

    /// A member's score; `None` if the set does not have the member.
    pub fn score(&self, member: &[u8]) -> Result<Option<f64>, KeyspaceError> {
        let (source, ranked) = match self.shape {
            ScoresShape::Elements { source, ranked, .. } => (source, ranked),
            ScoresShape::Compact(texts) => return Ok(texts.find(member).map(|item| item.score())),
        };
        let hash = source.keyspace.hashing.hash_of_element(member);
        let Some(found) = ranked.members().get(hash, member, &source.names())? else {
            return Ok(None);
        };
        let score = source.read(member, found.location, decode_score)?;
        score
            .map(Some)
            .ok_or(KeyspaceError::Failed("a member's score is damaged"))
    }

    /// The rank of a member of the set, whose score the caller gives.
    pub fn rank(&self, score: f64, member: &[u8]) -> usize {
        match self.shape {
            ScoresShape::Elements { ranked, .. } => ranked.rank(score, member),
            ScoresShape::Compact(texts) => texts
                .items()
                .take_while(|item| {
                    compare_scored((item.score(), item.name), (score, member)).is_lt()
                })
                .count(),
        }
    }

    /// How many members satisfy `before`, which gets the score and the name. In the set's order, the members that
    /// satisfy it must come first.
    pub fn partition_point(&self, before: impl Fn(f64, &[u8]) -> bool) -> usize {
        match self.shape {
            ScoresShape::Elements { ranked, .. } => ranked.partition_point(before),
            ScoresShape::Compact(texts) => texts
                .items()
                .take_while(|item| before(item.score(), item.name))
                .count(),
        }
    }

    /// The members in a range of ranks, with their scores. The range is cut off at the end of the set.
    pub fn range(
        &self,
        ranks: Range<usize>,
    ) -> impl DoubleEndedIterator<Item = (&'a [u8], f64)> + use<'a> {
        match self.shape {
            ScoresShape::Elements { ranked, .. } => Ranked::Elements(ranked.range(ranks)),
            ScoresShape::Compact(texts) => {
                let items = texts.items().skip(ranks.start).take(ranks.len());
                let scored = items.map(|item| (item.name, item.score()));
                Ranked::Compact(scored.collect::<SmallVec<[_; 16]>>().into_iter())
            }
        }
    }

    /// One step of a scan: visits about `count` members from `cursor` on and returns the next cursor, `None` at the
    /// end.
    pub fn scan(
        &self,
        cursor: Cursor,
        count: usize,
        visit: impl FnMut(&[u8]),
    ) -> Result<Option<Cursor>, KeyspaceError> {
        if let ScoresShape::Elements {
            source,
            ranked,
            encoding: Encoding::Full,
        } = self.shape
        {
            let mut visit = visit;
            return scan(source, ranked.members(), cursor, count, |found| {
                visit(found.key);
            });
        }
        // A small collection is returned whole, as Redis does; the cursor does not matter.
        let members = self.range(0..self.len());
        members.map(|(member, _)| member).for_each(visit);
        Ok(None)
    }
}

/// Members of either form.
#[allow(clippy::large_enum_variant)] // It lives on the stack for one call.
enum Ranked<'a, E> {
    Elements(E),
    Compact(smallvec::IntoIter<[(&'a [u8], f64); 16]>),
}

impl<'a, E: DoubleEndedIterator<Item = (&'a [u8], f64)>> Iterator for Ranked<'a, E> {
    type Item = (&'a [u8], f64);

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        match self {
            Ranked::Elements(members) => members.next(),
            Ranked::Compact(members) => members.next(),
        }
    }
}

impl<'a, E: DoubleEndedIterator<Item = (&'a [u8], f64)>> DoubleEndedIterator for Ranked<'a, E> {
    #[inline]
    fn next_back(&mut self) -> Option<Self::Item> {
        match self {
            Ranked::Elements(members) => members.next_back(),
            Ranked::Compact(members) => members.next_back(),
        }
    }
}
