//! Reading streams for XREAD and XREADGROUP, at once or for a client that waits.

use super::effects::GroupEffects;
use super::entries::Collected;
use super::no_group;
use crate::commands::{CommandError, Database};
use crate::keyspace::{
    EventClass, GroupState, Kind, OneUpdate, PendingState, StreamEdit, StreamId, Update, View,
};
use crate::protocol::Reply;

/// From where a stream is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::commands) enum From {
    /// The entries behind this id.
    After(StreamId),
    /// `>`: the entries that the group has not delivered yet.
    New,
}

/// The group that reads.
#[derive(Clone, Debug)]
pub(in crate::commands) struct Reader {
    pub group: Vec<u8>,
    pub consumer: Vec<u8>,
    pub no_ack: bool,
}

/// A call that waits for entries.
#[derive(Debug)]
pub(in crate::commands) struct ReadCall {
    pub keys: Vec<Vec<u8>>,
    pub from: Vec<From>,
    /// The most entries of each stream; 0 is no limit.
    pub count: usize,
    pub reader: Option<Reader>,
}

/// The entries of a stream, by its position in the call.
pub(super) type Served = Vec<(usize, Collected)>;

/// Reads the streams that have entries.
pub(super) fn serve_read(
    views: &[Option<View<'_>>],
    from: &[From],
    count: usize,
    collected: &mut dyn FnMut() -> Collected,
) -> Result<Served, CommandError> {
    let mut served = Served::new();
    for (i, (view, from)) in views.iter().zip(from).enumerate() {
        let (Some(view), From::After(id)) = (view, from) else {
            continue;
        };
        let stream = view.stream()?;
        if stream.last_entry_id()?.is_some_and(|last| last > *id)
            && let Some(start) = id.next()
        {
            let mut entries = collected();
            entries.add_range(stream, (start, StreamId::MAX), false, count)?;
            served.push((i, entries));
        }
    }
    Ok(served)
}

/// The locked keys of a call by a group.
pub(super) enum GroupKeys<'k, 'u, 'a> {
    One(&'k mut OneUpdate<'u, 'a>),
    Several(&'k mut Update<'a>),
}

impl GroupKeys<'_, '_, '_> {
    /// Locks the keys of a call, of which most have one, and runs `f` on them.
    pub(super) fn lock<R>(
        database: Database<'_>,
        names: &[&[u8]],
        mut f: impl FnMut(&mut GroupKeys<'_, '_, '_>) -> Result<R, CommandError>,
    ) -> Result<R, CommandError> {
        match names {
            [key] => database.update_one(key, Kind::Stream, |key| f(&mut GroupKeys::One(key))),
            _ => database.update_many(names.iter().copied(), |keys| {
                f(&mut GroupKeys::Several(keys))
            }),
        }
    }

    /// Whether key `i` is there.
    pub(super) fn has(&self, i: usize) -> bool {
        match self {
            Self::One(key) => key.exists(),
            Self::Several(keys) => keys.info(i).is_some(),
        }
    }

    fn view(&self, i: usize) -> Option<View<'_>> {
        match self {
            Self::One(key) => key.view(),
            Self::Several(keys) => keys.view(i),
        }
    }

    fn stream(&mut self, i: usize) -> Result<StreamEdit<'_>, CommandError> {
        Ok(match self {
            Self::One(key) => key.stream()?,
            Self::Several(keys) => keys.stream(i)?,
        })
    }

    fn event(&mut self, i: usize, name: &'static str) {
        match self {
            Self::One(key) => key.event(EventClass::STREAM, name),
            Self::Several(keys) => keys.event(i, EventClass::STREAM, name),
        }
    }

    fn set_dirty(&mut self, changes: usize) {
        match self {
            Self::One(key) => key.set_dirty(changes),
            Self::Several(keys) => keys.set_dirty(changes),
        }
    }
}

/// Checks that key `i` is a stream that has the group.
pub(super) fn check_group(
    keys: &GroupKeys<'_, '_, '_>,
    i: usize,
    key: &[u8],
    reader: &Reader,
) -> Result<(), CommandError> {
    let stream = keys.view(i).map(View::stream).transpose()?;
    match stream.and_then(|stream| stream.group(&reader.group)) {
        Some(_) => Ok(()),
        None => Err(no_group(
            key,
            &reader.group,
            " in XREADGROUP with GROUP option",
        )),
    }
}

/// Reads the streams for a consumer of the group, which all of them have.
pub(super) fn serve_group(
    keys: &mut GroupKeys<'_, '_, '_>,
    (database, names): (Database<'_>, &[&[u8]]),
    reader: &Reader,
    from: &[From],
    (count, now): (usize, i64),
    collected: &mut dyn FnMut() -> Collected,
) -> Result<Served, CommandError> {
    database.begin_effects();
    let mut served = Served::new();
    let mut changes = 0;
    for (i, &from) in from.iter().enumerate() {
        let mut stream = keys.stream(i)?;
        let Some(group) = stream.group(&reader.group) else {
            continue;
        };
        let consumer = stream.consumer(group, &reader.consumer);
        let created = consumer.is_none();
        let consumer =
            consumer.unwrap_or_else(|| stream.create_consumer(group, &reader.consumer, now));
        let effects = GroupEffects {
            database,
            key: names[i],
            group: &reader.group,
        };
        if created {
            effects.create_consumer(&reader.consumer);
        }
        let mut entries = collected();
        let has_reply = match from {
            From::After(id) => {
                stream.touch_consumer(group, consumer, now, false);
                read_history(
                    &mut stream,
                    (group, consumer),
                    id,
                    (count, now),
                    (&mut entries, effects, &reader.consumer),
                )?;
                true
            }
            From::New => {
                let last_id = stream.group_state(group).last_id;
                let has_new = stream
                    .view()
                    .last_entry_id()?
                    .is_some_and(|last| last > last_id);
                if has_new {
                    let ids = deliver(&mut stream, group, count, &mut entries)?;
                    if !reader.no_ack {
                        let pending = PendingState {
                            consumer,
                            delivered_at: now,
                            deliveries: 1,
                        };
                        for &id in &ids {
                            stream.set_pending(group, id, pending);
                        }
                        let last_id = stream.group_state(group).last_id;
                        effects.claim(&reader.consumer, &ids, pending, last_id);
                    }
                    effects.set_state(stream.group_state(group));
                }
                stream.touch_consumer(group, consumer, now, has_new && !reader.no_ack);
                has_new
            }
        };
        if created {
            changes += 1;
            keys.event(i, "xgroup-createconsumer");
        }
        if has_reply {
            changes += 1;
            served.push((i, entries));
        }
    }
    keys.set_dirty(changes);
    Ok(served)
}

/// Collects the entries that a group has not delivered yet, and notes that they are delivered.
fn deliver(
    stream: &mut StreamEdit<'_>,
    group: u32,
    count: usize,
    entries: &mut Collected,
) -> Result<Vec<StreamId>, CommandError> {
    let GroupState {
        mut last_id,
        mut entries_read,
    } = stream.group_state(group);
    let view = stream.view();
    let start = last_id.next().unwrap_or(StreamId::MAX);
    let ids = entries.add_range(view, (start, StreamId::MAX), false, count)?;
    for &id in &ids {
        let is_known =
            entries_read >= 0 && last_id >= view.first_id() && !view.has_deleted_from(last_id);
        if is_known {
            entries_read += 1;
        } else if view.entries_added() > 0 {
            entries_read = view.entries_up_to(id).map_or(-1, u64::cast_signed);
        }
        last_id = id;
    }
    let state = GroupState {
        last_id,
        entries_read,
    };
    stream.set_group_state(group, state);
    Ok(ids)
}

/// Collects the pending entries of a consumer behind an id, and counts them as delivered once more.
fn read_history(
    stream: &mut StreamEdit<'_>,
    (group, consumer): (u32, u32),
    after: StreamId,
    (count, now): (usize, i64),
    (entries, effects, name): (&mut Collected, GroupEffects<'_>, &[u8]),
) -> Result<(), CommandError> {
    let start = after.next().unwrap_or(StreamId::MIN);
    let most = if count == 0 { usize::MAX } else { count };
    let view = stream.view();
    for id in stream.pending_ids(group, Some(consumer), start, most) {
        if entries.add_range(view, (id, id), false, 1)?.is_empty() {
            entries.push_deleted(id);
        } else if let Some(pending) = stream.pending(group, id) {
            let pending = PendingState {
                delivered_at: now,
                deliveries: pending.deliveries.saturating_add(1),
                ..pending
            };
            stream.set_pending(group, id, pending);
            let last_id = stream.group_state(group).last_id;
            effects.claim(name, &[id], pending, last_id);
        }
    }
    Ok(())
}

impl ReadCall {
    /// The streams.
    pub fn keys(&self) -> Vec<&[u8]> {
        self.keys.iter().map(Vec::as_slice).collect()
    }

    /// Whether the call ends if a stream goes away: its group goes with it.
    pub fn by_group(&self) -> bool {
        self.reader.is_some()
    }

    /// Tries the call; `None` if no stream has an entry for it.
    pub fn attempt(&self, database: Database<'_>) -> Result<Option<Reply>, CommandError> {
        let names = self.keys();
        let mut collected = || Collected::Data(Vec::new());
        let served = match &self.reader {
            None => database.view_many(names.iter().copied(), |views| {
                // Another type has nothing for it.
                let views: Vec<_> = views
                    .iter()
                    .map(|view| view.filter(|view| view.stream().is_ok()))
                    .collect();
                serve_read(&views, &self.from, self.count, &mut collected)
            })??,
            Some(reader) => GroupKeys::lock(database, &names, |keys| {
                for (i, key) in names.iter().enumerate() {
                    check_group(keys, i, key, reader)?;
                }
                let now = database.access.clock();
                let target = (database, &names[..]);
                let from = &self.from;
                serve_group(
                    keys,
                    target,
                    reader,
                    from,
                    (self.count, now),
                    &mut collected,
                )
            })?,
        };
        if served.is_empty() {
            return Ok(None);
        }
        let pairs = served.into_iter().map(|(i, entries)| {
            let entries = match entries {
                Collected::Data(entries) => entries,
                Collected::Encoded(..) => Vec::new(),
            };
            (Reply::bulk(names[i]), Reply::Array(entries))
        });
        Ok(Some(Reply::Pairs(pairs.collect())))
    }
}
