//! A master's data set, an RDB file.

use rdb::{Decoded, Item, Keys, Limits, Reader, Value};
use smallvec::SmallVec;

use super::LinkError;
use super::payload::Payload;
use crate::commands::FullSync;
use crate::keyspace::{PREFETCHED, Use};
use crate::state::replication::Place;

/// About so many bytes are read before their keys are stored.
const BATCH_BYTES: usize = 64 * 1024;

/// Reads the data set of a payload up to its end, and gives it to `sync`; finds the database in which the stream goes on.
pub(super) fn read_data_set(
    payload: &mut Payload<'_, '_>,
    sync: &mut FullSync<'_>,
    place: &mut Place,
) -> Result<(), LinkError> {
    // Without a length, what the master says of its keys has no bound.
    let total = payload.total().unwrap_or(0);
    let mut reader = Reader::new(payload, Limits::default())?;
    let mut keys = Keys::default();
    loop {
        let item = reader.next_keys(&mut keys, BATCH_BYTES)?;
        if let Some(keys) = reader.take_sizes(total) {
            sync.expect(keys)?;
        }
        take_keys(&keys, sync)?;
        match item {
            Some(Item::End) => return Ok(()),
            Some(Item::Database(db)) => sync.select(db)?,
            Some(Item::Function(text)) => sync.function(text),
            Some(Item::Aux { name, value }) if name == b"repl-stream-db" => {
                let db = str::from_utf8(&value).ok();
                let db = db.and_then(|db| db.parse().ok());
                // The stream begins with a SELECT in any case.
                place.db = db.filter(|&db| sync.has(db)).unwrap_or(0);
            }
            None | Some(Item::Aux { .. } | Item::Key(_)) => {}
        }
    }
}

fn take_keys(keys: &Keys, sync: &mut FullSync<'_>) -> Result<(), LinkError> {
    let mut held = SmallVec::<[Decoded<'_>; PREFETCHED]>::new();
    for number in 0..keys.len() {
        held.extend(keys.decode(number)?);
        if keys.is_long(number) || held.len() == PREFETCHED || number + 1 == keys.len() {
            sync.prefetch(held.iter().map(|key| &*key.key));
            for key in held.drain(..) {
                let used = Use::of(key.idle_s, key.frequency);
                match &key.value {
                    Value::String(value) => sync.string(&key.key, value, key.expires_at, used)?,
                    Value::Collection(value) => {
                        sync.collection(&key.key, value, key.expires_at, used)?;
                    }
                }
            }
        }
    }
    Ok(())
}
