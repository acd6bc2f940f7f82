//! DUMP and RESTORE with a real redis-server: each server restores the other's dumps.

mod streams;

use std::collections::BTreeMap;

use common::{Options, RawClient, RedisServer, Server, TestResult, Value};
use pmemkv_server::serialised::{Object, decode, encode, fuzzing::closed};

type Elements = Vec<Vec<u8>>;

/// Elements of every width that the packed forms distinguish: integers around each boundary, and strings around theirs.
fn varied() -> Elements {
    let integers = [7u32, 8, 12, 13, 15, 16, 23, 24, 31, 32, 63]
        .into_iter()
        .map(|bits| 1i128 << bits)
        .flat_map(|power| [power - 1, power, -power, -power - 1])
        .chain(-2..14);
    let strings = [0, 1, 63, 64, 125, 126, 127, 128, 250, 254, 4095, 4096]
        .into_iter()
        .chain([16_377, 16_378, 16_379, 70_000])
        .map(|bytes| "s".repeat(bytes));
    integers
        .map(|integer| integer.to_string())
        .chain(strings)
        .chain(["007".into(), "-0".into(), "1.5".into(), "\0\r\n".into()])
        .map(String::into_bytes)
        .collect()
}

/// This many different elements.
fn numbered(prefix: &str, count: usize) -> Elements {
    (0..count)
        .map(|number| format!("{prefix}{number}").into_bytes())
        .collect()
}

/// Lists of elements, with sizes on both sides of Redis's thresholds.
fn collections() -> Vec<Elements> {
    let mut collections = vec![varied()];
    for count in [1, 2, 127, 128, 129, 511, 512, 513, 1000, 3000] {
        collections.push(numbered("", count));
        collections.push(numbered("member:", count));
        collections.push(numbered("1000000000", count));
    }
    // Long enough that DUMP compresses it.
    collections.push(numbered(&"long ".repeat(12), 100));
    collections
}

fn objects() -> Vec<Object> {
    let scores = [
        0.0,
        -0.0,
        1.0,
        -1.5,
        3.0e100,
        1e-300,
        0.1,
        f64::MIN,
        65_536.0,
    ];
    let scores = scores.into_iter().chain([f64::INFINITY, f64::NEG_INFINITY]);
    let mut objects: Vec<Object> = varied().into_iter().map(Object::String).collect();
    objects.push(Object::String((0..=255).cycle().take(300_000).collect()));
    for elements in collections() {
        objects.push(Object::List(elements.clone()));
        objects.push(Object::Set(elements.clone()));
        let backwards = elements.iter().rev().cloned();
        let fields = elements.iter().cloned().zip(backwards);
        objects.push(Object::Hash(fields.collect()));
        let members = elements.into_iter().zip(scores.clone().cycle());
        objects.push(Object::SortedSet(members.collect()));
    }
    objects
}

/// The arguments that make `object`, without the command's name and the key.
fn words(object: &Object) -> (&'static str, Elements) {
    match object.clone() {
        Object::String(value) => ("SET", vec![value]),
        Object::List(elements) => ("RPUSH", elements),
        Object::Set(members) => ("SADD", members),
        Object::Hash(fields) => {
            let words = fields.into_iter().flat_map(<[_; 2]>::from);
            ("HSET", words.collect())
        }
        Object::ExpiringHash(_) => panic!("hashes with deadlines are compared elsewhere"),
        Object::SortedSet(members) => {
            let words = members
                .into_iter()
                .flat_map(|(member, score)| [score.to_string().into_bytes(), member]);
            ("ZADD", words.collect())
        }
        Object::Stream(_) => panic!("streams are in a module of their own"),
    }
}

/// Elements in one fixed order, for comparison.
fn sorted(object: Object) -> Object {
    match object {
        Object::Set(mut members) => {
            members.sort();
            Object::Set(members)
        }
        Object::Hash(fields) => {
            let map: BTreeMap<_, _> = fields.into_iter().collect();
            Object::Hash(map.into_iter().collect())
        }
        Object::SortedSet(members) => {
            let map: BTreeMap<_, _> = members.into_iter().collect();
            Object::SortedSet(map.into_iter().collect())
        }
        other => other,
    }
}

fn call(client: &mut RawClient, words: &[&[u8]]) -> TestResult<Value> {
    let reply = client.call(words)?;
    if reply.is_error() {
        return Err(format!("{:?}: {reply:?}", words[0].escape_ascii().to_string()).into());
    }
    Ok(reply)
}

fn make(client: &mut RawClient, object: &Object) -> TestResult {
    let (name, elements) = words(object);
    call(client, &[b"DEL", b"made"])?;
    for chunk in elements.chunks(1000) {
        let mut words: Vec<&[u8]> = vec![name.as_bytes(), b"made"];
        words.extend(chunk.iter().map(Vec::as_slice));
        call(client, &words)?;
    }
    Ok(())
}

fn dump(client: &mut RawClient, key: &[u8]) -> TestResult<Vec<u8>> {
    let reply = call(client, &[b"DUMP", key])?;
    Ok(reply.bytes().ok_or("nothing dumped")?.to_vec())
}

/// Whether the key's value in Redis equals `made`.
fn same_digest(redis: &mut RawClient, key: &[u8]) -> TestResult {
    let digests = call(redis, &[b"DEBUG", b"DIGEST-VALUE", b"made", key])?;
    let digests = digests.items().ok_or("two digests")?;
    assert_eq!(digests[0], digests[1]);
    Ok(())
}

/// Dumps every object as Redis keeps it under `settings`, reads the dump, writes it again, and lets Redis restore that.
/// Returns the numbers of the dumped forms.
fn exchange(settings: &[(&str, &str)]) -> TestResult<Vec<u8>> {
    let redis = RedisServer::start_with(&["--enable-debug-command", "yes"])?;
    let mut client = redis.raw()?;
    for (name, value) in settings {
        call(
            &mut client,
            &[b"CONFIG", b"SET", name.as_bytes(), value.as_bytes()],
        )?;
    }
    let mut forms = Vec::new();
    for object in objects() {
        make(&mut client, &object)?;
        let dumped = dump(&mut client, b"made")?;
        forms.push(dumped[0]);
        let read = decode(&dumped)?;
        assert_eq!(sorted(read.clone()), sorted(object));

        // Write what was read, because Redis keeps a score of -0 in some forms and not in others.
        let payload = encode(&read);
        call(
            &mut client,
            &[b"RESTORE", b"restored", b"0", &payload, b"REPLACE"],
        )?;
        let again = decode(&dump(&mut client, b"restored")?)?;
        assert_eq!(sorted(again), sorted(read));
        same_digest(&mut client, b"restored")?;
    }
    forms.sort_unstable();
    forms.dedup();
    // Sets are in listpacks since Redis 7.2.
    forms.retain(|&form| form != 20);
    Ok(forms)
}

#[test]
fn every_form_of_a_fresh_redis() -> TestResult {
    let forms = exchange(&[])?;
    // Strings, sets, hashes, sorted sets; intsets; listpacks of hashes and of sorted sets; lists of listpacks.
    assert_eq!(forms, [0, 2, 4, 5, 11, 16, 17, 18]);
    Ok(())
}

#[test]
fn small_collections_in_large_forms() -> TestResult {
    let forms = exchange(&[
        ("hash-max-listpack-entries", "100000"),
        ("hash-max-listpack-value", "100000"),
        ("zset-max-listpack-entries", "100000"),
        ("zset-max-listpack-value", "100000"),
        ("set-max-intset-entries", "100000"),
        ("list-max-listpack-size", "30000"),
        ("rdbcompression", "no"),
    ])?;
    assert_eq!(forms, [0, 2, 11, 16, 17, 18]);
    Ok(())
}

/// A ziplist, in which Redis before 7.0 kept small collections.
fn ziplist(elements: &[Vec<u8>]) -> TestResult<Vec<u8>> {
    let mut entries = Vec::new();
    let (mut last, mut before) = (0, 0);
    for element in elements {
        last = entries.len();
        if let Ok(before @ ..254) = u8::try_from(before) {
            entries.push(before);
        } else {
            entries.push(254);
            entries.extend_from_slice(&u32::try_from(before)?.to_le_bytes());
        }
        let text = String::from_utf8_lossy(element);
        let integer = text.parse::<i64>().ok();
        if let Some(integer) = integer.filter(|integer| integer.to_string() == text) {
            let bytes = integer.to_le_bytes();
            match integer {
                0..13 => entries.push(0xf1 + bytes[0]),
                -0x80..0x80 => entries.extend_from_slice(&[0xfe, bytes[0]]),
                -0x8000..0x8000 => entries.extend_from_slice(&[0xc0, bytes[0], bytes[1]]),
                -0x80_0000..0x80_0000 => {
                    entries.push(0xf0);
                    entries.extend_from_slice(&bytes[..3]);
                }
                -0x8000_0000..0x8000_0000 => {
                    entries.push(0xd0);
                    entries.extend_from_slice(&bytes[..4]);
                }
                _ => {
                    entries.push(0xe0);
                    entries.extend_from_slice(&bytes);
                }
            }
        } else {
            let length = u32::try_from(element.len())?.to_be_bytes();
            match element.len() {
                0..64 => entries.push(length[3]),
                64..16384 => entries.extend_from_slice(&[0x40 | length[2], length[3]]),
                _ => {
                    entries.push(0x80);
                    entries.extend_from_slice(&length);
                }
            }
            entries.extend_from_slice(element);
        }
        before = entries.len() - last;
    }
    let mut whole = u32::try_from(entries.len() + 11)?.to_le_bytes().to_vec();
    whole.extend_from_slice(&u32::try_from(last + 10)?.to_le_bytes());
    whole.extend_from_slice(&u16::try_from(elements.len())?.to_le_bytes());
    whole.append(&mut entries);
    whole.push(0xff);
    Ok(whole)
}

/// A body with one string, or with several strings after their number.
fn body(form: u8, strings: &[Vec<u8>], counted: bool) -> TestResult<Vec<u8>> {
    let mut body = vec![form];
    if counted {
        body.push(u8::try_from(strings.len())?);
    }
    for string in strings {
        body.push(0x80);
        body.extend_from_slice(&u32::try_from(string.len())?.to_be_bytes());
        body.extend_from_slice(string);
    }
    Ok(body)
}

#[test]
fn forms_of_earlier_versions_mean_the_same_to_redis() -> TestResult {
    let redis = RedisServer::start()?;
    let mut client = redis.raw()?;
    let varied = varied();
    let scored: Elements = varied
        .iter()
        .zip(
            ["-3.25", "7", "inf", "-inf", "1.5e+300"]
                .into_iter()
                .cycle(),
        )
        .flat_map(|(member, score)| [member.clone(), score.as_bytes().to_vec()])
        .collect();
    let (front, back) = varied.split_at(20);
    let nodes = [ziplist(front)?, ziplist(back)?];
    let texts = b"\x03\x03\x01a\xff\x01b\xfe\x01c\x06-1.5e3".to_vec();
    for body in [
        body(10, &[ziplist(&varied)?], false)?,
        body(12, &[ziplist(&scored)?], false)?,
        body(13, &[ziplist(&scored)?], false)?,
        body(14, &nodes, true)?,
        texts,
    ] {
        let payload = closed(&body);
        let read = sorted(decode(&payload)?);
        let words = [b"RESTORE".as_slice(), b"k", b"0", &payload, b"REPLACE"];
        call(&mut client, &words)?;
        let dumped = sorted(decode(&dump(&mut client, b"k")?)?);
        assert_eq!(dumped, read, "{}", body[0]);
    }
    Ok(())
}

#[test]
fn redis_refuses_the_same_payloads() -> TestResult {
    let redis = RedisServer::start()?;
    let mut client = redis.raw()?;
    let twice = || vec![b"a".to_vec(), b"a".to_vec()];
    // By default Redis does not check the names of short fields.
    let pair = (vec![b'f'; 100], b"b".to_vec());
    for object in [
        Object::List(vec![]),
        Object::Set(vec![]),
        Object::Hash(vec![]),
        Object::SortedSet(vec![]),
        Object::Set(twice()),
        Object::Hash(vec![pair.clone(), pair]),
        Object::SortedSet(vec![(b"a".to_vec(), 1.0), (b"a".to_vec(), 2.0)]),
        Object::SortedSet(vec![(b"a".to_vec(), f64::NAN)]),
    ] {
        let payload = encode(&object);
        assert!(decode(&payload).is_err(), "{object:?}");
        let reply = client.call(&[b"RESTORE".as_slice(), b"k", b"0", &payload])?;
        assert_eq!(format!("{reply:?}"), "-ERR Bad data format", "{object:?}");
    }
    Ok(())
}

#[test]
fn values_move_between_the_servers() -> TestResult {
    let redis = RedisServer::start_with(&["--enable-debug-command", "yes"])?;
    let mut theirs = redis.raw()?;
    for store in ["cmap", "cmap/pairs"] {
        let mut server = Server::start(store)?;
        let mut ours = server.raw()?;
        // Not the largest ones: restoring them takes long where each element is a pmemkv pair of its own.
        let mut objects = objects();
        objects.retain(|object| words(object).1.len() < 1030);
        for (number, object) in objects.iter().enumerate() {
            let key = format!("k{number}");
            make(&mut theirs, object)?;
            let payload = dump(&mut theirs, b"made")?;
            // First over a value of another type, then over one of the same type.
            for _ in 0..2 {
                let words = [
                    b"RESTORE".as_slice(),
                    key.as_bytes(),
                    b"0",
                    &payload,
                    b"REPLACE",
                ];
                call(&mut ours, &words)?;
            }
            let other = format!("k{}", number + 1);
            let words = [b"RESTORE".as_slice(), other.as_bytes(), b"0", &payload];
            call(&mut ours, &words)?;
            let payload = dump(&mut ours, key.as_bytes())?;
            let words = [b"RESTORE".as_slice(), b"back", b"0", &payload, b"REPLACE"];
            call(&mut theirs, &words)?;
            same_digest(&mut theirs, b"back")?;
        }
        // Restored values are durable, and so are their deadlines.
        let payload = encode(&Object::List(vec![b"v".to_vec()]));
        let words = [
            b"RESTORE".as_slice(),
            b"dead",
            b"99999999999999",
            &payload,
            b"ABSTTL",
        ];
        call(&mut ours, &words)?;
        server.kill_9()?;
        server.resume()?;
        let mut ours = server.raw()?;
        for (number, object) in objects.iter().enumerate() {
            let again = decode(&dump(&mut ours, format!("k{number}").as_bytes())?)?;
            assert_eq!(sorted(again), sorted(object.clone()), "{number}");
        }
        assert_eq!(
            ours.line("PEXPIRETIME dead")?,
            Value::Integer(99_999_999_999_999)
        );
    }
    Ok(())
}

#[test]
fn idle_times_are_set_where_they_are_kept() -> TestResult {
    let server = Server::start_with(Options::new("cmap").directive("maxmemory", "100mb"))?;
    let mut client = server.raw()?;
    let payload = encode(&Object::String(b"v".to_vec()));
    let idle = |client: &mut RawClient, option: &str, value: &str| -> TestResult<Value> {
        let (option, value) = (option.as_bytes(), value.as_bytes());
        let words = [
            b"RESTORE".as_slice(),
            b"k",
            b"0",
            &payload,
            b"REPLACE",
            option,
            value,
        ];
        call(client, &words)?;
        Ok(client.line("OBJECT IDLETIME k")?)
    };
    for (seconds, expected) in [("5000", 5000), ("0", 0), ("100", 100)] {
        let told = idle(&mut client, "IDLETIME", seconds)?.integer();
        assert!(
            (expected..expected + 3).contains(&told.ok_or("no number")?),
            "{told:?}"
        );
    }
    // An idle time that reaches back before the epoch becomes the longest possible one.
    let told = idle(&mut client, "IDLETIME", "9223372036854775807")?.integer();
    assert!(told > Some(1_700_000_000), "{told:?}");
    assert!(idle(&mut client, "FREQ", "7")?.integer() < Some(3));

    call(
        &mut client,
        &[b"CONFIG", b"SET", b"maxmemory-policy", b"allkeys-lfu"],
    )?;
    client.line("DEL k")?;
    assert!(idle(&mut client, "IDLETIME", "5000")?.is_error());
    assert_eq!(client.line("OBJECT FREQ k")?, Value::Integer(5));
    for (option, value, expected) in [
        ("FREQ", "200", 200),
        ("FREQ", "0", 0),
        ("FREQ", "255", 255),
        // Only the policy's own kind of use counts.
        ("IDLETIME", "5000", 255),
    ] {
        assert!(idle(&mut client, option, value)?.is_error());
        assert_eq!(
            client.line("OBJECT FREQ k")?,
            Value::Integer(expected),
            "{option} {value}"
        );
    }
    Ok(())
}
