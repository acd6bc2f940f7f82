//! Streams of every shape, there and back.

use proptest::collection::{btree_map, vec};
use proptest::prelude::*;

use super::{decoded, ends_well, id, object};
use crate::serialised::stream::{
    Stream, StreamConsumer, StreamEntry, StreamGroup, StreamId, StreamPending,
};
use crate::serialised::{FOOTER_BYTES, Release, encode, encode_for};

fn bytes() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        vec(any::<u8>(), 0..12),
        vec(any::<u8>(), 60..70),
        any::<i64>().prop_map(|n| n.to_string().into_bytes()),
        (-40_000i64..40_000).prop_map(|n| n.to_string().into_bytes()),
        (0usize..200).prop_map(|length| vec![b'x'; length * length / 8]),
    ]
}

fn ids() -> impl Strategy<Value = StreamId> {
    prop_oneof![
        (0u64..9, 0u64..9).prop_map(|(ms, seq)| id(ms, seq)),
        any::<(u64, u64)>().prop_map(|(ms, seq)| id(ms, seq)),
    ]
}

fn names() -> impl Strategy<Value = Vec<Vec<u8>>> {
    prop_oneof![
        Just(vec![b"a".to_vec(), b"b".to_vec()]),
        Just(vec![b"a".to_vec()]),
        vec(bytes(), 1..5),
    ]
}

fn entries() -> impl Strategy<Value = Vec<StreamEntry>> {
    let one = (any::<bool>(), names(), vec(bytes(), 4));
    btree_map(ids(), one, 0..150).prop_map(|map| {
        let entry = |(id, (deleted, names, mut values)): (_, (_, Vec<_>, Vec<Vec<u8>>))| {
            values.truncate(names.len());
            values.resize(names.len(), b"more".to_vec());
            StreamEntry {
                id,
                deleted,
                names: names.into(),
                values,
            }
        };
        map.into_iter().map(entry).collect()
    })
}

fn group() -> impl Strategy<Value = StreamGroup> {
    let consumers = btree_map(bytes(), any::<(i64, i64)>(), 0..5);
    let pending = btree_map(ids(), any::<(prop::sample::Index, i64, u64)>(), 0..40);
    (ids(), any::<Option<u64>>(), consumers, pending).prop_map(
        |(last_id, read, consumers, pending)| {
            let consumers: Vec<_> = consumers
                .into_iter()
                .map(|(name, (seen_ms, active_ms))| StreamConsumer {
                    name,
                    seen_ms,
                    active_ms,
                })
                .collect();
            let pending = pending.into_iter().filter(|_| !consumers.is_empty());
            let pending = pending
                .map(|(id, (consumer, delivered_ms, deliveries))| StreamPending {
                    id,
                    consumer: consumer.index(consumers.len()),
                    delivered_ms,
                    deliveries,
                })
                .collect();
            StreamGroup {
                name: Vec::new(),
                last_id,
                entries_read: read.map(|read| read >> 1),
                consumers,
                pending,
            }
        },
    )
}

fn stream() -> impl Strategy<Value = Stream> {
    let groups = btree_map(bytes(), group(), 0..4);
    (entries(), ids(), ids(), ids(), any::<u64>(), groups).prop_map(
        |(entries, last_id, first_id, max_deleted_id, entries_added, groups)| {
            let last = entries.last().map_or(StreamId::MIN, |entry| entry.id);
            let first = entries.iter().find(|entry| !entry.deleted);
            Stream {
                last_id: last_id.max(last),
                first_id: first.map_or(first_id, |entry| entry.id),
                entries,
                max_deleted_id,
                entries_added,
                groups: groups
                    .into_iter()
                    .map(|(name, group)| StreamGroup { name, ..group })
                    .collect(),
            }
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn what_is_encoded_decodes(stream in stream()) {
        let payload = encode_for(&object(stream.clone()), Release::Redis72);
        prop_assert_eq!(decoded(&payload), Some(stream.clone()));
        // The older form lacks one thing.
        let mut older = stream.clone();
        for consumer in older.groups.iter_mut().flat_map(|group| &mut group.consumers) {
            consumer.active_ms = consumer.seen_ms;
        }
        prop_assert_eq!(decoded(&encode(&object(stream))), Some(older));
    }

    #[test]
    fn what_is_changed_ends_well(stream in stream(), place in any::<prop::sample::Index>(), byte in any::<u8>()) {
        let mut body = encode(&object(stream));
        body.truncate(body.len() - FOOTER_BYTES);
        let place = place.index(body.len());
        if place > 0 {
            body[place] = byte;
        }
        ends_well(&body);
    }
}
