//! Payloads of real servers, and what only looks like one.

mod generated;

use std::sync::Arc;

use super::{Stream, StreamConsumer, StreamEntry, StreamGroup, StreamId, StreamPending};
use crate::serialised::fuzzing::closed;
use crate::serialised::{
    FOOTER_BYTES, Object, Release, SerialisedError, decode, encode, encode_for,
};

/// What redis-server 7.0.15 dumps for [`real`] with `rdbcompression no`.
const REDIS_7: &str = "\
    13011000000000000000010000000000000001410000010000400007010201020181610281620200010301000100010101817802050102 \
    01010100010201827878030501020102010001030183787878040501020103010001040184787878780505010201040100010501857878 \
    7878780605010001060100010201816302dfff0282646403d000020801030106010101f1ff7f03f30000800005050102010801dfff02f4 \
    000000800000000009e0467979797979797979797979797979797979797979797979797979797979797979797979797979797979797979 \
    79797979797979797979797979797979797979797979797979794805010001080100010101846f6e6c7905897a7a7a7a7a7a7a7a7a0a06 \
    01ff07090102010702090305656d707479090181ffffffffffffffff00000167050181ffffffffffffffff040000000000000002000000 \
    00000000011943a429a201000001000000000000000300000000000000011943a429a20100000100000000000000040000000000000001 \
    0068e5cf8b010000412c000000000000000500000000000000011943a429a2010000010205616c6963651a43a429a20100000300000000 \
    000000020000000000000001000000000000000300000000000000010000000000000004000000000000000103626f621943a429a20100 \
    000100000000000000050000000000000001036f6464050081ffffffffffffffff0001c0071a43a429a2010000000a00ea4c571a623a1e \
    f0";

/// The same with `rdbcompression yes`; the times differ.
const REDIS_7_COMPRESSED: &str = "\
    13011000000000000000010000000000000001c340b041000800010000400007010220010a816102816202000103010020010501018178 \
    020520160001200c05020182787803400d0002200d0603018378787804400e402b02040184200e017805400f0004201e02050185200e03 \
    78780605200c00062003205a0c6302dfff0282646403d000020820350006205608f1ff7f03f3000080006039010801202101f400400f20 \
    000309e04679e03c000048408400082084090101846f6e6c7905897ac000030a0601ff07090102010702090305656d707479090181ffff \
    ffffffffffff00000167050181ffffffffffffffff040000000000000002000000000000000159eca329a2010000010000000000000003 \
    000000000000000159eca329a201000001000000000000000400000000000000010068e5cf8b010000412c000000000000000500000000 \
    0000000159eca329a2010000010205616c6963655eeca329a2010000030000000000000002000000000000000100000000000000030000 \
    0000000000010000000000000004000000000000000103626f6259eca329a20100000100000000000000050000000000000001036f6464 \
    050081ffffffffffffffff0001c0075feca329a2010000000a00dbd9c765091aa39b";

/// What redis-server 8.2.3 dumps for it, without version and checksum.
const REDIS_8_BODY: &str = "\
    15011000000000000000010000000000000001410000010000400007010201020181610281620200010301000100010101817802050102 \
    01010100010201827878030501020102010001030183787878040501020103010001040184787878780505010201040100010501857878 \
    7878780605010001060100010201816302dfff0282646403d000020801030106010101f1ff7f03f30000800005050102010801dfff02f4 \
    000000800000000009e0467979797979797979797979797979797979797979797979797979797979797979797979797979797979797979 \
    79797979797979797979797979797979797979797979797979794805010001080100010101846f6e6c7905897a7a7a7a7a7a7a7a7a0a06 \
    01ff07090102010702090305656d707479090181ffffffffffffffff00000167050181ffffffffffffffff040000000000000002000000 \
    00000000010643a429a201000001000000000000000300000000000000010643a429a20100000100000000000000040000000000000001 \
    0068e5cf8b010000412c000000000000000500000000000000010643a429a2010000010205616c6963650743a429a20100000743a429a2 \
    0100000300000000000000020000000000000001000000000000000300000000000000010000000000000004000000000000000103626f \
    620643a429a20100000643a429a20100000100000000000000050000000000000001036f6464050081ffffffffffffffff0001c0070743 \
    a429a2010000ffffffffffffffff00";

/// [`REDIS_7`] in the form of Redis 5, without what that does not hold.
const REDIS_5_BODY: &str = "\
    0f011000000000000000010000000000000001410000010000400007010201020181610281620200010301000100010101817802050102 \
    01010100010201827878030501020102010001030183787878040501020103010001040184787878780505010201040100010501857878 \
    7878780605010001060100010201816302dfff0282646403d000020801030106010101f1ff7f03f30000800005050102010801dfff02f4 \
    000000800000000009e0467979797979797979797979797979797979797979797979797979797979797979797979797979797979797979 \
    79797979797979797979797979797979797979797979797979794805010001080100010101846f6e6c7905897a7a7a7a7a7a7a7a7a0a06 \
    01ff0709010305656d707479090100000167050104000000000000000200000000000000011943a429a201000001000000000000000300 \
    000000000000011943a429a201000001000000000000000400000000000000010068e5cf8b010000412c00000000000000050000000000 \
    0000011943a429a2010000010205616c6963651a43a429a201000003000000000000000200000000000000010000000000000003000000 \
    00000000010000000000000004000000000000000103626f621943a429a20100000100000000000000050000000000000001036f646405 \
    000001c0071a43a429a201000000";

/// A node of which every entry is deleted, from redis-server 7.0.15 after `XDEL` of its last one and `XTRIM MINID`.
const ALL_DELETED: &str = "13011000000000000000010000000000000001c332404413440000001e00000105010101816102000103010020010\
    201010420090001e000090002e00009401f801d000480130101ff0005010000050105000a009dedf26c42359c02";

fn bytes_of(hex: &str) -> Vec<u8> {
    let digits: Vec<char> = hex.chars().filter(char::is_ascii_hexdigit).collect();
    let digit = |digit: char| u8::try_from(digit.to_digit(16).unwrap_or(0)).unwrap_or(0);
    digits
        .chunks_exact(2)
        .map(|pair| digit(pair[0]) << 4 | digit(pair[1]))
        .collect()
}

const fn id(ms: u64, seq: u64) -> StreamId {
    StreamId { ms, seq }
}

fn entry(ms: u64, seq: u64, deleted: bool, fields: &[(&str, &str)]) -> StreamEntry {
    let names: Vec<Vec<u8>> = fields.iter().map(|(name, _)| (*name).into()).collect();
    StreamEntry {
        id: id(ms, seq),
        deleted,
        names: names.into(),
        values: fields.iter().map(|(_, value)| (*value).into()).collect(),
    }
}

/// The stream of all these payloads. `base_ms` is when it was made; `seen` says how much later each consumer was seen.
fn real(base_ms: i64, seen: [i64; 3], active: [Option<i64>; 3]) -> Stream {
    let long = "y".repeat(70);
    let consumer = |name: &str, place: usize| StreamConsumer {
        name: name.into(),
        seen_ms: base_ms + seen[place],
        active_ms: active[place].map_or(-1, |later| base_ms + later),
    };
    let pending = |ms, consumer, delivered_ms, deliveries| StreamPending {
        id: id(ms, 1),
        consumer,
        delivered_ms,
        deliveries,
    };
    Stream {
        entries: vec![
            entry(1, 1, true, &[("a", "1"), ("b", "x")]),
            entry(2, 1, false, &[("a", "2"), ("b", "xx")]),
            entry(3, 1, false, &[("a", "3"), ("b", "xxx")]),
            entry(4, 1, false, &[("a", "4"), ("b", "xxxx")]),
            entry(5, 1, false, &[("a", "5"), ("b", "xxxxx")]),
            entry(7, 1, false, &[("c", "-1"), ("dd", "-4096")]),
            entry(7, 2, true, &[("a", "32767"), ("b", "8388608")]),
            entry(9, 0, false, &[("a", "2147483648"), ("b", &long)]),
            entry(9, 1, false, &[("only", "zzzzzzzzz")]),
        ],
        last_id: id(9, 1),
        first_id: id(2, 1),
        max_deleted_id: id(7, 2),
        entries_added: 9,
        groups: vec![
            StreamGroup {
                name: b"empty".to_vec(),
                last_id: id(9, 1),
                ..StreamGroup::default()
            },
            StreamGroup {
                name: b"g".to_vec(),
                last_id: id(5, 1),
                consumers: vec![consumer("alice", 0), consumer("bob", 1)],
                pending: vec![
                    pending(2, 0, base_ms, 1),
                    pending(3, 0, base_ms, 1),
                    pending(4, 0, 1_700_000_000_000, 300),
                    pending(5, 1, base_ms, 1),
                ],
                ..StreamGroup::default()
            },
            StreamGroup {
                name: b"odd".to_vec(),
                last_id: id(5, 0),
                consumers: vec![consumer("7", 2)],
                ..StreamGroup::default()
            },
        ],
    }
}

/// The stream as the real servers had it, each with the times of its run.
fn of_redis_7() -> Stream {
    real(REDIS_7_MS, [1, 0, 1], [Some(1), Some(0), Some(1)])
}

fn of_redis_8() -> Stream {
    real(REDIS_8_MS, [1, 0, 1], [Some(1), Some(0), None])
}

const REDIS_7_MS: i64 = 0x01a2_29a4_4319;
const REDIS_8_MS: i64 = 0x01a2_29a4_4306;

fn object(stream: Stream) -> Object {
    Object::Stream(Box::new(stream))
}

fn decoded(payload: &[u8]) -> Option<Stream> {
    match decode(payload) {
        Ok(Object::Stream(stream)) => Some(*stream),
        Ok(other) => panic!("{other:?}"),
        Err(SerialisedError::Format) => None,
        Err(SerialisedError::Envelope) => panic!("the envelope is right"),
    }
}

#[test]
fn payloads_of_real_servers() {
    assert_eq!(decoded(&bytes_of(REDIS_7)), Some(of_redis_7()));
    let base_ms = 0x01a2_29a3_ec59;
    let same = real(base_ms, [5, 0, 6], [Some(5), Some(0), Some(6)]);
    assert_eq!(decoded(&bytes_of(REDIS_7_COMPRESSED)), Some(same));
    let body = bytes_of(REDIS_8_BODY);
    assert_eq!(decoded(&closed(&body)), Some(of_redis_8()));
}

#[test]
fn the_encoder_writes_the_bytes_of_redis() {
    assert_eq!(encode(&object(of_redis_7())), bytes_of(REDIS_7));
    let payload = encode_for(&object(of_redis_8()), Release::Redis72);
    let (body, footer) = payload.split_at(payload.len() - FOOTER_BYTES);
    assert_eq!(body, bytes_of(REDIS_8_BODY));
    assert_eq!(footer[..2], [11, 0]);
}

#[test]
fn redis_5_knows_less() {
    let mut expected = of_redis_7();
    expected.max_deleted_id = StreamId::MIN;
    expected.entries_added = 7;
    expected.groups[0].entries_read = Some(7);
    assert_eq!(decoded(&closed(&bytes_of(REDIS_5_BODY))), Some(expected));
}

#[test]
fn a_node_may_have_deleted_entries_only() {
    let stream = decoded(&bytes_of(ALL_DELETED)).expect("Redis wrote it");
    assert_eq!(stream.entries.len(), 5);
    assert!(stream.is_empty());
    assert_eq!((stream.first_id, stream.last_id), (StreamId::MIN, id(5, 1)));
    assert_eq!(decoded(&encode(&object(stream.clone()))), Some(stream));
}

/// Whatever a payload says, what was read is a stream that can be written again.
fn ends_well(body: &[u8]) {
    if let Some(stream) = decoded(&closed(body)) {
        let rises = stream.entries.is_sorted_by(|a, b| a.id < b.id);
        assert!(
            rises
                && stream
                    .entries
                    .iter()
                    .all(|e| e.names.len() == e.values.len())
        );
        for group in &stream.groups {
            let known = |pending: &StreamPending| pending.consumer < group.consumers.len();
            assert!(group.pending.iter().all(known));
        }
        let again = decoded(&encode_for(&object(stream.clone()), Release::Redis72));
        assert_eq!(again, Some(stream));
    }
}

#[test]
fn cut_payloads_are_refused() {
    for body in [REDIS_5_BODY, REDIS_7, REDIS_7_COMPRESSED, REDIS_8_BODY] {
        let mut body = bytes_of(body);
        if decode(&body).is_ok() {
            body.truncate(body.len() - FOOTER_BYTES);
        }
        assert!(decoded(&closed(&body)).is_some());
        for cut in 0..body.len() {
            assert_eq!(decoded(&closed(&body[..cut])), None, "{cut}");
        }
        body.push(0);
        assert_eq!(decoded(&closed(&body)), None);
    }
}

#[test]
fn changed_payloads_end_well() {
    for body in [REDIS_5_BODY, REDIS_7_COMPRESSED, REDIS_8_BODY] {
        let body = bytes_of(body);
        for place in 1..body.len() {
            for change in [1, 2, 4, 8, 16, 32, 64, 128] {
                let mut changed = body.clone();
                changed[place] ^= change;
                ends_well(&changed);
            }
        }
    }
}

/// A change of a stream's body.
type Change = fn(&mut Stream);

#[test]
fn inconsistent_streams_are_refused() {
    let refused: [(&str, Change); 8] = [
        ("an id twice", |s| s.entries[3].id = s.entries[2].id),
        ("ids that fall", |s| s.entries[3].id = id(2, 9)),
        ("a last id below an entry's", |s| s.last_id = id(9, 0)),
        ("an entry without fields", |s| {
            s.entries[3].names = Vec::new().into();
            s.entries[3].values.clear();
        }),
        ("a group twice", |s| s.groups[1].name = b"odd".to_vec()),
        ("a consumer twice", |s| {
            s.groups[1].consumers[1].name = b"alice".to_vec();
        }),
        ("a pending entry twice", |s| {
            s.groups[1].pending[1].id = id(2, 1);
        }),
        ("a pending entry of nobody", |s| {
            s.groups[1].pending[1].consumer = 2;
        }),
    ];
    for (what, change) in refused {
        let mut stream = of_redis_8();
        change(&mut stream);
        assert_eq!(decoded(&encode(&object(stream))), None, "{what}");
    }
    let taken: [(&str, Change); 4] = [
        ("nothing", |s| s.entries.clear()),
        ("a last id above all entries", |s| s.last_id = StreamId::MAX),
        ("entries read", |s| {
            s.groups[0].entries_read = Some(i64::MAX.cast_unsigned());
        }),
        ("an entry that is pending but deleted", |s| {
            s.entries[1].deleted = true;
        }),
    ];
    for (what, change) in taken {
        let mut stream = of_redis_8();
        change(&mut stream);
        if let Some(first) = stream.entries.iter().find(|entry| !entry.deleted) {
            stream.first_id = first.id;
        }
        let payload = encode_for(&object(stream.clone()), Release::Redis72);
        assert_eq!(decoded(&payload), Some(stream), "{what}");
    }
}

#[test]
fn a_wrong_first_id_does_not_count() {
    let mut stream = of_redis_7();
    stream.first_id = id(9, 0);
    assert_eq!(decoded(&encode(&object(stream))), Some(of_redis_7()));
}

/// A payload of one node: its elements, each with its length behind it, and the number of entries.
fn with_node(elements: &[u8], length: u8) -> Vec<u8> {
    let mut node = u32::try_from(elements.len() + 7)
        .unwrap_or(u32::MAX)
        .to_le_bytes()
        .to_vec();
    // The number of elements is not told.
    node.extend_from_slice(&[0xff, 0xff]);
    node.extend_from_slice(elements);
    node.push(0xff);
    let mut body = vec![19, 1, 16];
    body.extend_from_slice(&id(5, 5).to_be_bytes());
    body.push(u8::try_from(node.len()).unwrap_or_default());
    body.append(&mut node);
    body.extend_from_slice(&[length, 9, 9, 5, 5, 0, 0, length, 0]);
    closed(&body)
}

#[test]
fn nodes_say_what_they_hold() {
    let elements =
        |numbers: &[u8]| -> Vec<u8> { numbers.iter().flat_map(|&number| [number, 1]).collect() };
    // One entry, none deleted, one name; then the flag of shared names, the id, the value, and how many elements that was.
    let good = [1, 0, 1, 7, 0, 2, 0, 0, 8, 4];
    let stream = decoded(&with_node(&elements(&good), 1)).expect("a good node");
    assert_eq!(stream.entries, [entry(5, 5, false, &[("7", "8")])]);
    assert_eq!(decoded(&with_node(&elements(&good), 2)), None);
    let own_names = [1, 0, 1, 7, 0, 0, 0, 0, 1, 6, 8, 6];
    let stream = decoded(&with_node(&elements(&own_names), 1)).expect("a good node");
    assert_eq!(stream.entries, [entry(5, 5, false, &[("6", "8")])]);
    let deleted = [0, 1, 1, 7, 0, 3, 0, 0, 8, 4];
    let stream = decoded(&with_node(&elements(&deleted), 0)).expect("a good node");
    assert_eq!(stream.entries, [entry(5, 5, true, &[("7", "8")])]);
    for bad in [
        // Numbers of entries.
        &[2, 0, 1, 7, 0, 2, 0, 0, 8, 4][..],
        &[0, 1, 1, 7, 0, 2, 0, 0, 8, 4],
        &[1, 1, 1, 7, 0, 2, 0, 0, 8, 4],
        &[0, 0, 1, 7, 0],
        // Numbers of names, and the mark behind them.
        &[1, 0, 0, 0, 2, 0, 0, 3],
        &[1, 0, 127, 7, 0, 2, 0, 0, 8, 4],
        &[1, 0, 1, 7, 1, 2, 0, 0, 8, 4],
        // Flags that there are not.
        &[1, 0, 1, 7, 0, 6, 0, 0, 8, 4],
        // Numbers of elements, too few elements, too many.
        &[1, 0, 1, 7, 0, 2, 0, 0, 8, 3],
        &[1, 0, 1, 7, 0, 2, 0, 0, 8],
        &[1, 0, 1, 7, 0, 2, 0, 0, 8, 4, 9],
        &[1, 0, 1, 7, 0, 0, 0, 0, 0, 4],
        &[1, 0, 1, 7, 0, 0, 0, 0, 100, 6, 8, 6],
        &[],
    ] {
        let payload = with_node(&elements(bad), 1);
        assert_eq!(decoded(&payload), None, "{bad:?}");
    }
    // An id whose two parts go around.
    let mut around = elements(&[1, 0, 1, 7, 0, 2]);
    around.extend_from_slice(b"\xdf\xff\x02\xdf\xfa\x02\x08\x01\x04\x01");
    let stream = decoded(&with_node(&around, 1)).expect("the id is 4-18446744073709551615");
    assert_eq!(stream.entries[0].id, id(4, u64::MAX));
}

#[test]
fn shared_names_stay_within_bounds() {
    let names: Arc<[Vec<u8>]> = vec![vec![b'n'; 1000]].into();
    let entries = (1..=1000).map(|ms| StreamEntry {
        id: id(ms, 0),
        deleted: false,
        names: Arc::clone(&names),
        values: vec![b"v".to_vec()],
    });
    let stream = Stream {
        entries: entries.collect(),
        last_id: id(1000, 0),
        first_id: id(1, 0),
        ..Stream::default()
    };
    let payload = encode(&object(stream.clone()));
    // Each node holds the name once, and each entry has it.
    assert!(payload.len() < 30_000, "{}", payload.len());
    let body = &payload[..payload.len() - FOOTER_BYTES];
    let within = |bytes| crate::serialised::decode::body(body, bytes);
    assert_eq!(within(1_000_000), Some(object(stream)));
    assert_eq!(within(999_999), None);
}
