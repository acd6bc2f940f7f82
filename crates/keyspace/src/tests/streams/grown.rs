//! Streams that only grow, in real pools: what they take, and what a load does with records that count no longer.

use super::*;

/// Entries of a stream that only grows, each in a commit of its own, with closed nodes apart or among them.
fn grown(aside: bool, entries: u64) -> Result<()> {
    let folder = folder()
        .map_err(|error| KeyspaceError::from(store::StoreError::Engine(error.to_string())))?;
    let limits = NodeLimits {
        bytes: 4096,
        entries: 100,
    };
    let value = |number: u64| format!("{number:0100}");
    let keyspace = Arc::new(open_pool(folder.path(), LayoutChoice::Packed)?);
    for number in 1..=entries {
        let value = value(number);
        let pairs: [Pair<'_>; 1] = [(b"field", value.as_bytes())];
        keyspace.update_many(&[(0, &b"s"[..])], at(0), |keys| {
            if aside {
                keys.close_full_node(0, &pairs, limits)?;
            }
            keys.stream(0)?
                .append(StreamId::new(number, 0), &pairs, limits)
        })?;
        keyspace.commit()?;
        let time = std::time::Duration::from_micros(1);
        let _ = keyspace.store.work(&*keyspace, time)?;
    }
    let usage = keyspace.store.usage()?;
    let of = |name| {
        let mut details = usage.details.iter();
        let found = details.find(|(detail, _)| *detail == name);
        found.map_or(0, |&(_, count)| count)
    };
    // 106 bytes of an entry stay; all that it wrote is 260.
    let used = (of("segments") - of("segments_free")) * of("segment_bytes");
    let most = if aside { 145 } else { 300 };
    assert!(used < entries * most, "{usage:?}");
    assert_eq!(of("compaction_moved_bytes"), 0);
    // As after a crash.
    drop(keyspace);
    let keyspace = open_pool(folder.path(), LayoutChoice::Packed)?;
    let found = stored(&keyspace, b"s")?.ok_or(KeyspaceError::Failed("the stream is gone"))?;
    assert_eq!(found.entries.len() as u64, entries);
    for (id, fields) in found.entries {
        assert_eq!(fields, [(b"field".to_vec(), value(id.ms).into_bytes())]);
    }
    assert_eq!(keyspace.store.fill().bytes, of("live_bytes"));
    Ok(())
}

#[test]
fn full_nodes_leave_the_segments_that_clients_write() -> Result<()> {
    grown(true, 30_000)
}

/// More of them than a load keeps before it looks for those that count no longer.
#[test]
fn a_load_drops_the_records_that_closed_nodes_cover() -> Result<()> {
    grown(false, 15_000)
}
