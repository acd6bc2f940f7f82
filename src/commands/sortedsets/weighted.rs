//! Sets and sorted sets as sources of a new sorted set: each with a weight, the scores of a member added up, or the
//! lowest or highest of them. A set counts as a sorted set whose scores are 1.

use std::borrow::Cow;

use crate::commands::CommandError;
use crate::keyspace::{Fields, KeyspaceError, Scores, View};

/// How several scores of one member become one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Aggregate {
    Sum,
    Min,
    Max,
}

impl Aggregate {
    pub(super) fn of(self, a: f64, b: f64) -> f64 {
        match self {
            Aggregate::Sum => number(a + b),
            // 0 and -0 compare as equal, so the first one stays.
            Aggregate::Min => {
                if b < a {
                    b
                } else {
                    a
                }
            }
            Aggregate::Max => {
                if b > a {
                    b
                } else {
                    a
                }
            }
        }
    }
}

/// Turns the sum of opposite infinities, which is no number, into 0.
fn number(score: f64) -> f64 {
    if score.is_nan() { 0.0 } else { score }
}

/// One of the sources; `None` where its key is missing.
#[derive(Clone, Copy)]
pub(super) struct Source<'a> {
    members: Option<Members<'a>>,
    pub(super) weight: f64,
}

#[derive(Clone, Copy)]
enum Members<'a> {
    Set(Fields<'a>),
    Scored(Scores<'a>),
}

impl<'a> Source<'a> {
    pub(super) fn len(&self) -> usize {
        match self.members {
            None => 0,
            Some(Members::Set(set)) => set.len(),
            Some(Members::Scored(scores)) => scores.len(),
        }
    }

    /// A member's score, weighted.
    pub(super) fn score(&self, member: &[u8]) -> Result<Option<f64>, KeyspaceError> {
        let score = match self.members {
            None => None,
            Some(Members::Set(set)) => set.contains(member)?.then_some(1.0),
            Some(Members::Scored(scores)) => scores.score(member)?,
        };
        Ok(score.map(|score| number(score * self.weight)))
    }

    pub(super) fn for_each(
        &self,
        mut f: impl FnMut(Cow<'a, [u8]>, f64),
    ) -> Result<(), KeyspaceError> {
        match self.members {
            None => {}
            Some(Members::Set(set)) => {
                for member in set.names()? {
                    f(Cow::Owned(member?.into_vec()), number(self.weight));
                }
            }
            Some(Members::Scored(scores)) => {
                for (member, score) in scores.range(0..scores.len()) {
                    f(Cow::Borrowed(member), number(score * self.weight));
                }
            }
        }
        Ok(())
    }
}

/// The sources, each with weight 1. Redis checks their types before the arguments behind the keys.
pub(super) fn weighable<'a>(views: &[Option<View<'a>>]) -> Result<Vec<Source<'a>>, CommandError> {
    let sources = views.iter().map(|view| {
        let members = match view {
            None => None,
            Some(View::Set(set)) => Some(Members::Set(*set)),
            Some(View::SortedSet(scores)) => Some(Members::Scored(*scores)),
            Some(_) => return Err(CommandError::WrongType),
        };
        Ok(Source {
            members,
            weight: 1.0,
        })
    });
    sources.collect()
}

pub(super) fn is_source(view: View<'_>) -> bool {
    matches!(view, View::Set(_) | View::SortedSet(_))
}

/// Calls `each` with the members that all sources have, until it returns false. The smallest source comes first.
pub(super) fn each_common<'a>(
    sources: &[Source<'a>],
    aggregate: Aggregate,
    mut each: impl FnMut(Cow<'a, [u8]>, f64) -> bool,
) -> Result<(), CommandError> {
    let Some((smallest, others)) = sources.split_first() else {
        return Ok(());
    };
    let mut candidates = Vec::with_capacity(smallest.len());
    smallest.for_each(|member, score| candidates.push((member, score)))?;
    'members: for (member, mut score) in candidates {
        for other in others {
            let Some(theirs) = other.score(&member)? else {
                continue 'members;
            };
            score = aggregate.of(score, theirs);
        }
        if !each(member, score) {
            break;
        }
    }
    Ok(())
}
