//! Edits of a sorted set.

use super::{ElementEdits, Stored, stored};
use crate::collection::compact::InPlace;
use crate::collection::elements::{decode_score, encode_score};
use crate::collection::source::Source;
use crate::collection::{Collection, Encoding};
use crate::index::Located;
use crate::{Keyspace, KeyspaceError};

/// A locked sorted set, ready to be changed.
#[derive(Debug)]
pub enum ScoresEdit<'e> {
    /// By changes that are made when the call returns.
    Staged(StagedScores<'e>),
    /// In a copy of its record.
    InPlace(&'e mut InPlace),
}

impl ScoresEdit<'_> {
    /// How many members there are after the changes so far.
    pub fn len(&self) -> usize {
        match self {
            Self::Staged(scores) => scores.len(),
            Self::InPlace(scores) => scores.len(),
        }
    }

    /// Whether no member is left after the changes so far.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// A member's score after the changes so far; `None` if the set does not have the member.
    pub fn score(&self, member: &[u8]) -> Result<Option<f64>, KeyspaceError> {
        match self {
            Self::Staged(scores) => scores.score(member),
            Self::InPlace(scores) => Ok(scores.score(member)),
        }
    }

    /// Shows `f` a member's score after the changes so far, `None` if the set does not have the member, and gives the member
    /// the score that `f` returns beside its result, if any. It must not be NaN.
    pub fn change<R, E: From<KeyspaceError>>(
        &mut self,
        member: &[u8],
        f: impl FnOnce(Option<f64>) -> Result<(R, Option<f64>), E>,
    ) -> Result<R, E> {
        match self {
            Self::Staged(scores) => scores.change(member, f),
            Self::InPlace(scores) => {
                let old = scores.score(member);
                let (result, new) = f(old)?;
                if let Some(new) = new {
                    scores.set_score(member, new);
                }
                Ok(result)
            }
        }
    }

    /// Sets a member's score, which must not be NaN. Returns whether the member is new.
    pub fn set(&mut self, member: &[u8], score: f64) -> Result<bool, KeyspaceError> {
        match self {
            Self::Staged(scores) => scores.set(member, score),
            Self::InPlace(scores) => Ok(scores.set_score(member, score)),
        }
    }

    /// Removes a member; returns whether it existed.
    pub fn remove(&mut self, member: &[u8]) -> Result<bool, KeyspaceError> {
        match self {
            Self::Staged(scores) => scores.edit(member, None),
            Self::InPlace(scores) => Ok(scores.remove(member)),
        }
    }

    /// Removes a member whose score the caller knows.
    pub fn remove_scored(&mut self, member: &[u8], score: f64) -> Result<bool, KeyspaceError> {
        match self {
            Self::Staged(scores) => scores.remove_scored(member, score),
            Self::InPlace(scores) => Ok(scores.remove(member)),
        }
    }
}

/// A sorted set that is changed by staged changes.
#[derive(Debug)]
pub struct StagedScores<'e> {
    pub(crate) keyspace: &'e Keyspace,
    pub(crate) locked: &'e Collection,
    pub(crate) id: u64,
    pub(crate) edits: &'e mut ElementEdits,
}

impl StagedScores<'_> {
    fn len(&self) -> usize {
        self.locked.len().saturating_add_signed(self.edits.added)
    }

    fn score(&self, member: &[u8]) -> Result<Option<f64>, KeyspaceError> {
        let hash = self.keyspace.hashing.hash_of_element(member);
        if let Some(position) = self.edits.find(hash, member) {
            let value = self.edits.list[position].value.clone();
            Ok(value.and_then(|value| decode_score(&self.edits.bytes[value])))
        } else {
            let stored = scored(self.keyspace, self.locked, self.id, hash, member)?;
            Ok(stored.map(|stored| stored.score))
        }
    }

    /// See [`ScoresEdit::change`]. It looks the member up once.
    fn change<R, E: From<KeyspaceError>>(
        &mut self,
        member: &[u8],
        f: impl FnOnce(Option<f64>) -> Result<(R, Option<f64>), E>,
    ) -> Result<R, E> {
        let hash = self.keyspace.hashing.hash_of_element(member);
        if self.edits.find(hash, member).is_some() {
            let (result, new) = f(self.score(member)?)?;
            if let Some(new) = new {
                self.set(member, new)?;
            }
            return Ok(result);
        }
        let stored = scored(self.keyspace, self.locked, self.id, hash, member)?;
        let (result, new) = f(stored.map(|stored| stored.score))?;
        match new {
            // Which zero Redis keeps depends on the whole set.
            Some(new) if new == 0.0 => {
                self.set(member, new)?;
            }
            Some(new) => {
                let value = encode_score(new);
                self.edits
                    .set(self.id, (hash, member), Some(&value), || Ok(stored))?;
            }
            None => {}
        }
        Ok(result)
    }

    fn set(&mut self, member: &[u8], mut score: f64) -> Result<bool, KeyspaceError> {
        if score == 0.0 && score.is_sign_negative() && self.locked.encoding != Encoding::Full {
            let members = self.len() + usize::from(self.score(member)?.is_none());
            let changed = self.edits.list.iter();
            let longest = changed.map(|edit| self.edits.name(edit).len()).max();
            let longest = longest.unwrap_or(0).max(member.len());
            score = self
                .keyspace
                .form_limits()
                .kept_score(score, members, longest);
        }
        Ok(!self.edit(member, Some(score))?)
    }

    fn remove_scored(&mut self, member: &[u8], score: f64) -> Result<bool, KeyspaceError> {
        let hash = self.keyspace.hashing.hash_of_element(member);
        let (keyspace, locked, id) = (self.keyspace, self.locked, self.id);
        self.edits.set(id, (hash, member), None, || {
            let stored = stored(keyspace, locked, id, hash, member)?;
            Ok(stored.map(|located| Stored {
                located,
                expired: false,
                score,
            }))
        })
    }

    fn edit(&mut self, member: &[u8], score: Option<f64>) -> Result<bool, KeyspaceError> {
        let hash = self.keyspace.hashing.hash_of_element(member);
        let value = score.map(encode_score);
        let value = value.as_ref().map(<[u8; 8]>::as_slice);
        let (keyspace, locked, id) = (self.keyspace, self.locked, self.id);
        self.edits.set(id, (hash, member), value, || {
            scored(keyspace, locked, id, hash, member)
        })
    }
}

/// The same of a member, with its score.
fn scored(
    keyspace: &Keyspace,
    collection: &Collection,
    id: u64,
    hash: u64,
    member: &[u8],
) -> Result<Option<Stored>, KeyspaceError> {
    if let Some(body) = collection.body() {
        return Ok(body.score(member).map(|score| Stored {
            located: Located::in_key(),
            expired: false,
            score,
        }));
    }
    let Some(located) = stored(keyspace, collection, id, hash, member)? else {
        return Ok(None);
    };
    let score = Source::new(keyspace, id).read(member, located.location, decode_score)?;
    let score = score.ok_or(KeyspaceError::Failed("a member's score is damaged"))?;
    Ok(Some(Stored {
        located,
        expired: false,
        score,
    }))
}
