//! Opening a pool as the server does, and reading all of it. In the process of the checker: a pool may end it.

use std::path::Path;

use keyspace::{Access, Cursor, DATABASES, Keyspace, Kind, Stream, StreamId, View, now_ms};
use store::{LayoutChoice, Options};

use crate::contents::{Contents, Item, pair};

/// What goes wrong, said in words.
pub type Result<T, E = String> = std::result::Result<T, E>;

/// The key that [`goes_on`] writes.
const LATER: (usize, &[u8]) = (15, b"written later");

const ENGINE: &str = "cmap";

/// The smallest pool of the packed layout.
const MADE_POOL_BYTES: u64 = 32 << 20;

fn open_or_make(pool: &Path, size_bytes: u64) -> Result<Keyspace> {
    let options = Options {
        engine: ENGINE.to_owned(),
        engine_config: None,
        pool_path: pool.to_owned(),
        pool_size_bytes: size_bytes,
        layout: LayoutChoice::Auto,
        repair: false,
        every_second: false,
    };
    let opened = options
        .resolve()
        .and_then(|(engine, options)| store::open(engine, &options));
    let keyspace = opened
        .map(Keyspace::new)
        .map_err(|error| error.to_string())?;
    // As the server does, so that the record of libraries is found before the partitions are read.
    let found = keyspace.loading().at_end(|_| Ok(()));
    found.map_err(|error| error.to_string())?;
    Ok(keyspace)
}

/// Opens the store of a pool that is there.
fn open(pool: &Path) -> Result<Keyspace> {
    open_or_make(pool, 0)
}

/// Opens a pool and reads everything.
pub fn read(pool: &Path) -> Result<Contents> {
    contents(&open(pool)?)
}

/// Whether the pool, opened, takes a write and keeps it and all the rest through one more stop without an end.
pub fn goes_on(pool: &Path) -> Result<()> {
    let keyspace = open(pool)?;
    let (db, key) = LATER;
    let put = keyspace.update(db, key, access(), |slot| slot.put(Kind::String, b"v", None));
    put.and_then(|()| keyspace.commit())
        .map_err(|error| format!("a later write: {error}"))?;
    let before = contents(&keyspace)?;
    drop(keyspace);
    let after = read(pool)?;
    if !after.0.contains_key(&(db, key.to_vec())) {
        return Err("a later write is lost".to_owned());
    }
    match before.difference(&after) {
        None => Ok(()),
        Some(difference) => Err(format!("at the second open: {difference}")),
    }
}

/// What a start makes of a pool whose making was cut short. On a DAX device it lies where the pool belongs: the start
/// refuses it, after a look at it in a child process, or finds an empty pool. Elsewhere it has its temporary name still:
/// the next start removes it and makes a pool.
pub fn unfinished(pool: &Path) -> Result<Contents> {
    let leftover = pool.with_file_name(format!(
        ".{}.1.0.new",
        pool.file_name().unwrap_or_default().display()
    ));
    std::fs::copy(pool, &leftover).map_err(|error| error.to_string())?;
    if pmemkv::probe(pool, ENGINE).is_ok() {
        // What crashes here would have crashed the child.
        let contents = read(pool)?;
        if !contents.0.is_empty() {
            return Ok(contents);
        }
    }
    std::fs::remove_file(pool).map_err(|error| error.to_string())?;
    let keyspace = open_or_make(pool, MADE_POOL_BYTES)?;
    if leftover.exists() {
        return Err("the unfinished pool stays behind".to_owned());
    }
    contents(&keyspace)
}

fn access() -> Access {
    Access::by_server(now_ms())
}

fn contents(keyspace: &Keyspace) -> Result<Contents> {
    let mut contents = Contents::default();
    for db in 0..DATABASES {
        for key in keys(keyspace, db)? {
            let at = |error: &dyn std::fmt::Display| {
                let key = key.escape_ascii();
                format!("database {db}, key {key}: {error}")
            };
            let info = keyspace
                .info(db, &key, access())
                .map_err(|error| at(&error))?;
            let deadline = info.and_then(|info| info.expires_at);
            let item = keyspace
                .view(db, &key, access(), |view| {
                    view.map(|view| item(view, deadline)).transpose()
                })
                .map_err(|error| at(&error))?;
            // None where its deadline has come in between.
            if let Some(item) = item.map_err(|error| at(&error))? {
                contents.0.insert((db, key), item);
            }
        }
    }
    let libraries = keyspace.libraries().read();
    let libraries = libraries.map_err(|error| error.to_string())?;
    let taken = contents.set_libraries(libraries.as_deref());
    taken.map_err(|error| format!("the record of libraries: {error}"))?;
    Ok(contents)
}

fn keys(keyspace: &Keyspace, db: usize) -> Result<Vec<Vec<u8>>> {
    let mut keys = Vec::new();
    let mut from = Some(Cursor::START);
    while let Some(cursor) = from {
        let step = keyspace
            .walk()
            .scan(db, cursor, 1_000, now_ms(), &mut |key, _| {
                keys.push(key.to_vec());
            });
        from = step.map_err(|error| error.to_string())?;
    }
    Ok(keys)
}

fn item(view: View<'_>, deadline: Option<i64>) -> Result<Item, keyspace::KeyspaceError> {
    let mut parts = Vec::new();
    let kind = match view {
        View::String(value) => return Ok(Item::string(deadline, &value.whole()?)),
        View::Hash(fields) => {
            fields.for_each(|name, value| parts.push(pair(name, value)))?;
            "hash"
        }
        View::Set(members) => {
            for name in members.names()? {
                parts.push(name?.into_vec());
            }
            "set"
        }
        View::List(list) => {
            list.for_range(0..list.len(), false, |element| {
                parts.push(element.to_vec());
                std::ops::ControlFlow::Continue(())
            })?;
            "list"
        }
        View::SortedSet(scores) => {
            for (member, _) in scores.range(0..scores.len()) {
                // From the pool, where the order is the index's.
                let score = scores.score(member)?.unwrap_or(f64::NAN);
                parts.push(pair(member, &score.to_le_bytes()));
            }
            "zset"
        }
        View::Stream(stream) => {
            parts = stream_parts(stream)?;
            "stream"
        }
    };
    if kind != "list" {
        parts.sort();
    }
    Ok(Item::collection(kind, deadline, &parts))
}

/// A stream's numbers, entries, groups and pending entries, without times.
fn stream_parts(stream: Stream<'_>) -> Result<Vec<Vec<u8>>, keyspace::KeyspaceError> {
    let show = |id: StreamId| format!("{}-{}", id.ms, id.seq);
    let mut parts = vec![
        pair(b"length", stream.len().to_string().as_bytes()),
        pair(b"last", show(stream.last_id()).as_bytes()),
        pair(b"deleted", show(stream.max_deleted_id()).as_bytes()),
        pair(b"added", stream.entries_added().to_string().as_bytes()),
    ];
    stream.for_range(StreamId::MIN, StreamId::MAX, false, |id, fields| {
        let fields: Vec<u8> = fields
            .iter()
            .flat_map(|(name, value)| pair(name, value))
            .collect();
        parts.push(pair(show(id).as_bytes(), &fields));
        std::ops::ControlFlow::Continue(())
    })?;
    for group in stream.groups() {
        parts.push(pair(group.name(), show(group.last_id()).as_bytes()));
        for (id, consumer, _, deliveries) in group.pending(StreamId::MIN, StreamId::MAX) {
            let about = format!("{} {deliveries} ", show(id));
            let about = [about.as_bytes(), consumer.name()].concat();
            parts.push(pair(group.name(), &about));
        }
        for consumer in group.consumers() {
            parts.push(pair(group.name(), &pair(b"consumer", consumer.name())));
        }
    }
    Ok(parts)
}
