//! Changes of the collection of one key, for handlers: with the events that follow from them.

use super::{CommandError, Context};
use crate::keyspace::{
    ElementChange, EventClass, FieldsEdit, Kind, ListEdit, OneUpdate, ScoresEdit,
};

/// What a change of a collection returns: the call's result, and how many changes of data it made. Where it made
/// none, there is no event.
pub type Changed<R> = Result<(R, usize), CommandError>;

/// As [`Changed`], of a change of one element; `None` where the call has changed nothing yet and needs the other way.
pub type ChangedOne<R> = Result<Option<(R, usize)>, CommandError>;

impl Context<'_> {
    /// Has `f` change the hash of `key`, which is made where it is missing, and emits `event`. A hash
    /// that becomes empty is removed. `f` may run twice; see [`Database::update_one`](super::Database::update_one).
    #[inline]
    pub fn change_hash<R>(
        &mut self,
        key: &[u8],
        event: &'static str,
        mut f: impl FnMut(&mut FieldsEdit<'_>) -> Changed<R>,
    ) -> Result<R, CommandError> {
        let database = self.database();
        database.update_one(key, Kind::Hash, |keys| in_hash(keys, event, &mut f))
    }

    /// As [`change_hash`](Self::change_hash), for a call that mostly changes one element: see [`change_element`](super::Database::change_element).
    #[inline]
    pub fn change_in_hash<R>(
        &mut self,
        key: &[u8],
        event: &'static str,
        one: impl FnOnce(&mut ElementChange<'_>) -> ChangedOne<R>,
        mut f: impl FnMut(&mut FieldsEdit<'_>) -> Changed<R>,
    ) -> Result<R, CommandError> {
        let tells = (EventClass::HASH, event);
        self.database().change_element(
            key,
            Kind::Hash,
            &mut (),
            |(), element| told(element, tells, one),
            |(), keys| in_hash(keys, event, &mut f),
        )
    }

    /// Has `f` change the set of `key`; see [`change_hash`](Self::change_hash).
    #[inline]
    pub fn change_set<R>(
        &mut self,
        key: &[u8],
        event: &'static str,
        mut f: impl FnMut(&mut FieldsEdit<'_>) -> Changed<R>,
    ) -> Result<R, CommandError> {
        let database = self.database();
        database.update_one(key, Kind::Set, |keys| in_set(keys, event, &mut f))
    }

    /// As [`change_set`](Self::change_set), for a call that mostly changes one element: see [`change_element`](super::Database::change_element).
    #[inline]
    pub fn change_in_set<R>(
        &mut self,
        key: &[u8],
        event: &'static str,
        one: impl FnOnce(&mut ElementChange<'_>) -> ChangedOne<R>,
        mut f: impl FnMut(&mut FieldsEdit<'_>) -> Changed<R>,
    ) -> Result<R, CommandError> {
        let tells = (EventClass::SET, event);
        self.database().change_element(
            key,
            Kind::Set,
            &mut (),
            |(), element| told(element, tells, one),
            |(), keys| in_set(keys, event, &mut f),
        )
    }

    /// Has `f` change the list of `key`; see [`change_hash`](Self::change_hash).
    #[inline]
    pub fn change_list<R>(
        &mut self,
        key: &[u8],
        event: &'static str,
        mut f: impl FnMut(&mut ListEdit<'_>) -> Changed<R>,
    ) -> Result<R, CommandError> {
        let database = self.database();
        database.update_one(key, Kind::List, |keys| in_list(keys, event, &mut f))
    }

    /// As [`change_list`](Self::change_list), for a call that mostly changes one element: see [`change_element`](super::Database::change_element).
    #[inline]
    pub fn change_in_list<R>(
        &mut self,
        key: &[u8],
        event: &'static str,
        one: impl FnOnce(&mut ElementChange<'_>) -> ChangedOne<R>,
        mut f: impl FnMut(&mut ListEdit<'_>) -> Changed<R>,
    ) -> Result<R, CommandError> {
        let tells = (EventClass::LIST, event);
        self.database().change_element(
            key,
            Kind::List,
            &mut (),
            |(), element| told(element, tells, one),
            |(), keys| in_list(keys, event, &mut f),
        )
    }

    /// Has `f` change the sorted set of `key`; see [`change_hash`](Self::change_hash).
    #[inline]
    pub fn change_sorted_set<R>(
        &mut self,
        key: &[u8],
        event: &'static str,
        mut f: impl FnMut(&mut ScoresEdit<'_>) -> Changed<R>,
    ) -> Result<R, CommandError> {
        let database = self.database();
        database.update_one(key, Kind::SortedSet, |keys| {
            in_sorted_set(keys, event, &mut f)
        })
    }

    /// As [`change_sorted_set`](Self::change_sorted_set), for a call that mostly changes one element: see [`change_element`](super::Database::change_element).
    #[inline]
    pub fn change_in_sorted_set<R>(
        &mut self,
        key: &[u8],
        event: &'static str,
        one: impl FnOnce(&mut ElementChange<'_>) -> ChangedOne<R>,
        mut f: impl FnMut(&mut ScoresEdit<'_>) -> Changed<R>,
    ) -> Result<R, CommandError> {
        let tells = (EventClass::ZSET, event);
        self.database().change_element(
            key,
            Kind::SortedSet,
            &mut (),
            |(), element| told(element, tells, one),
            |(), keys| in_sorted_set(keys, event, &mut f),
        )
    }
}

/// Emits the event of the changes of the one key's collection, if there were any, and the event of the key's removal if
/// the collection has become empty.
#[inline]
fn tell_changes(
    keys: &mut OneUpdate<'_, '_>,
    class: EventClass,
    event: &'static str,
    changes: usize,
    is_empty: bool,
) {
    if changes > 0 {
        keys.set_dirty(changes);
        keys.event(class, event);
        if is_empty {
            keys.event(EventClass::GENERIC, "del");
        }
    }
}

#[inline]
fn in_hash<R>(
    keys: &mut OneUpdate<'_, '_>,
    event: &'static str,
    f: &mut impl FnMut(&mut FieldsEdit<'_>) -> Changed<R>,
) -> Result<R, CommandError> {
    let mut hash = keys.fields()?;
    let (result, changes) = f(&mut hash)?;
    let is_empty = hash.is_empty();
    tell_changes(keys, EventClass::HASH, event, changes, is_empty);
    Ok(result)
}

#[inline]
fn in_set<R>(
    keys: &mut OneUpdate<'_, '_>,
    event: &'static str,
    f: &mut impl FnMut(&mut FieldsEdit<'_>) -> Changed<R>,
) -> Result<R, CommandError> {
    let mut set = keys.fields()?;
    let (result, changes) = f(&mut set)?;
    let is_empty = set.is_empty();
    tell_changes(keys, EventClass::SET, event, changes, is_empty);
    Ok(result)
}

#[inline]
fn in_list<R>(
    keys: &mut OneUpdate<'_, '_>,
    event: &'static str,
    f: &mut impl FnMut(&mut ListEdit<'_>) -> Changed<R>,
) -> Result<R, CommandError> {
    let mut list = keys.list()?;
    let (result, changes) = f(&mut list)?;
    let is_empty = list.is_empty();
    tell_changes(keys, EventClass::LIST, event, changes, is_empty);
    Ok(result)
}

#[inline]
fn in_sorted_set<R>(
    keys: &mut OneUpdate<'_, '_>,
    event: &'static str,
    f: &mut impl FnMut(&mut ScoresEdit<'_>) -> Changed<R>,
) -> Result<R, CommandError> {
    let mut scores = keys.scores()?;
    let (result, changes) = f(&mut scores)?;
    let is_empty = scores.is_empty();
    tell_changes(keys, EventClass::ZSET, event, changes, is_empty);
    Ok(result)
}

/// Has `one` change an element, and tells of it if it has.
#[inline]
fn told<R>(
    element: &mut ElementChange<'_>,
    (class, event): (EventClass, &'static str),
    one: impl FnOnce(&mut ElementChange<'_>) -> ChangedOne<R>,
) -> Result<Option<R>, CommandError> {
    let Some((result, changes)) = one(element)? else {
        return Ok(None);
    };
    if changes > 0 {
        element.tell(class, event, changes);
    }
    Ok(Some(result))
}
