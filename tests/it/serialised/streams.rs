//! Payloads of streams: what a real redis-server dumps, and what it restores.

use std::sync::Arc;

use super::{call, dump};
use common::{RawClient, RedisServer, TestResult, Value};
use pmemkv_server::serialised::{
    Object, Release, Stream, StreamEntry, StreamId, decode, encode, encode_for,
};

/// Calls that make streams, each with the number of times it runs; `#` stands for the number of the run.
type Recipe = &'static [(usize, &'static str)];

/// Streams of every shape, each under the key `made`.
const RECIPES: &[Recipe] = &[
    &[(1, "XADD made 1-1 f v")],
    // Nothing but groups, and nothing at all.
    &[(1, "XGROUP CREATE made g $ MKSTREAM")],
    &[(3, "XADD made #-1 f v"), (1, "XTRIM made MAXLEN 0")],
    // Nodes that end by the number of entries, with ids that differ in both parts.
    &[
        (350, "XADD made #-1 field value#"),
        (99, "XADD made 350-1# field value#"),
    ],
    // Nodes that end by size.
    &[(60, "XADD made #-# field LONG500 number #")],
    &[(5, "XADD made #-# field LONG70000 number #")],
    // Names that change.
    &[
        (50, "XADD made #-1 a # b -#"),
        (50, "XADD made 1000#-1 c#000000000 LONG63 c LONG64"),
    ],
    // Holes, at the beginning, in the middle and at the end.
    &[
        (250, "XADD made #-1 a #"),
        (105, "XDEL made #-1"),
        (9, "XDEL made 15#-1"),
        (1, "XDEL made 250-1"),
        (1, "XTRIM made MINID 110"),
    ],
    // A node of which every entry is deleted.
    &[
        (5, "XADD made #-1 a #"),
        (1, "XDEL made 5-1"),
        (1, "XTRIM made MINID 5"),
    ],
    &[
        (4, "XADD made #-1 a #"),
        (
            1,
            "XSETID made 900-7 ENTRIESADDED 70000 MAXDELETEDID 800-18446744073709551615",
        ),
    ],
    // The highest ids.
    &[
        (1, "XADD made 5-5 a b"),
        (1, "XADD made 18446744073709551615-18446744073709551615 a b"),
    ],
    // Groups, consumers, entries that were delivered, acknowledged, claimed, and deleted meanwhile.
    &[
        (300, "XADD made #-0 a #"),
        (20, "XGROUP CREATE made g# #-5"),
        (1, "XGROUP CREATE made 77 0"),
        (1, "XGROUP CREATE made all 0 ENTRIESREAD 5"),
        (1, "XREADGROUP GROUP all alice COUNT 150 STREAMS made >"),
        (1, "XREADGROUP GROUP all bob COUNT 100 STREAMS made >"),
        (1, "XREADGROUP GROUP all 12345 COUNT 100 STREAMS made 0"),
        (1, "XGROUP CREATECONSUMER made all idle"),
        (70, "XACK made all 1#-0"),
        (
            9,
            "XCLAIM made all bob 0 2#-0 RETRYCOUNT 70000 TIME 1600000000000",
        ),
        (9, "XDEL made 3#-0"),
        (9, "XREADGROUP GROUP g# only STREAMS made >"),
    ],
];

fn make(client: &mut RawClient, recipe: Recipe) -> TestResult {
    call(client, &[b"DEL", b"made"])?;
    for &(runs, line) in recipe {
        for run in 1..=runs {
            let line = line.replace('#', &run.to_string());
            let words: Vec<Vec<u8>> = line
                .split(' ')
                .map(|word| match word.strip_prefix("LONG") {
                    Some(bytes) => "long "
                        .bytes()
                        .cycle()
                        .take(bytes.parse().unwrap_or_default())
                        .collect(),
                    None => word.as_bytes().to_vec(),
                })
                .collect();
            let words: Vec<&[u8]> = words.iter().map(Vec::as_slice).collect();
            call(client, &words)?;
        }
    }
    Ok(())
}

fn stream_of(payload: &[u8]) -> TestResult<Stream> {
    match decode(payload)? {
        Object::Stream(stream) => Ok(*stream),
        other => Err(format!("{other:?}").into()),
    }
}

/// What XINFO and XRANGE tell of a stream, without the times that have passed since a consumer was seen.
fn told(client: &mut RawClient, key: &str) -> TestResult<Vec<Value>> {
    let mut told = Vec::new();
    for line in [
        "XINFO STREAM KEY FULL COUNT 0",
        "XRANGE KEY - +",
        "XINFO GROUPS KEY",
    ] {
        told.push(call(
            client,
            &line
                .replace("KEY", key)
                .split(' ')
                .map(str::as_bytes)
                .collect::<Vec<_>>(),
        )?);
    }
    Ok(told)
}

/// A redis-server of this program restores what the codec writes, and tells the same of it as of the original; the codec
/// writes what that server dumps, byte by byte.
#[test]
fn streams_move_between_redis_and_the_codec() -> TestResult {
    let redis = RedisServer::start()?;
    let mut client = redis.raw()?;
    for compression in ["no", "yes"] {
        call(
            &mut client,
            &[b"CONFIG", b"SET", b"rdbcompression", compression.as_bytes()],
        )?;
        for (number, &recipe) in RECIPES.iter().enumerate() {
            make(&mut client, recipe)?;
            let dumped = dump(&mut client, b"made")?;
            let stream = stream_of(&dumped)?;
            let release = match dumped[0] {
                21 => Release::Redis72,
                _ => Release::Redis70,
            };
            let payload = encode_for(&Object::Stream(Box::new(stream.clone())), release);
            if compression == "no" {
                assert_eq!(payload, dumped, "{number}");
            }
            call(
                &mut client,
                &[b"RESTORE", b"restored", b"0", &payload, b"REPLACE"],
            )?;
            assert_eq!(
                told(&mut client, "restored")?,
                told(&mut client, "made")?,
                "{number}"
            );
            assert_eq!(
                stream_of(&dump(&mut client, b"restored")?)?,
                stream,
                "{number}"
            );
        }
    }
    Ok(())
}

#[test]
fn what_redis_7_2_adds_is_lost_in_the_older_form_only() -> TestResult {
    let entry = StreamEntry {
        id: StreamId { ms: 1, seq: 2 },
        deleted: false,
        names: Arc::new([b"f".to_vec()]),
        values: vec![b"v".to_vec()],
    };
    let object = Object::Stream(Box::new(Stream {
        entries: vec![entry],
        last_id: StreamId { ms: 1, seq: 2 },
        first_id: StreamId { ms: 1, seq: 2 },
        ..Stream::default()
    }));
    let redis = RedisServer::start()?;
    let mut client = redis.raw()?;
    let newer = encode_for(&object, Release::Redis72);
    let reply = client.call(&[b"RESTORE".as_slice(), b"k", b"0", &newer])?;
    let text = "-ERR DUMP payload version or checksum are wrong";
    // A later redis-server than 7.0 takes it.
    assert!(
        !reply.is_error() || format!("{reply:?}") == text,
        "{reply:?}"
    );
    call(
        &mut client,
        &[b"RESTORE", b"k", b"0", &encode(&object), b"REPLACE"],
    )?;
    assert_eq!(decode(&dump(&mut client, b"k")?)?, object);
    Ok(())
}
