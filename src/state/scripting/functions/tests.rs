//! Records that a pool may hold, and changes that the pool does not take.

use std::sync::atomic::Ordering;

use super::*;
use crate::serialised::fuzzing::closed;
use crate::store::faults::Faults;
use crate::store::memory::MemoryStore;

fn keyspace() -> Keyspace {
    Keyspace::new(Box::new(Arc::new(MemoryStore::new(1, false))))
}

fn library(name: &str, function: &str) -> Vec<u8> {
    format!("#!lua name={name}\nredis.register_function('{function}', function() return 1 end)")
        .into_bytes()
}

fn names(functions: &Functions) -> Vec<&str> {
    let libraries = functions.libraries();
    libraries
        .map(|library| str::from_utf8(&library.name).expect("a name is ASCII"))
        .collect()
}

/// What the start makes of a record, without and with `repair`: the error, and the libraries that the repair keeps.
fn start(record: &[u8]) -> (Option<String>, Vec<String>) {
    let keyspace = keyspace();
    let store = || {
        keyspace
            .libraries()
            .store(Some(record))
            .expect("there is room");
    };
    store();
    let mut functions = Functions::default();
    let refused = functions.start(&keyspace, false).err();
    assert!(refused.is_none() || functions.library_count() == 0);
    let mut repaired = Functions::default();
    repaired.start(&keyspace, true).expect("it is repaired");
    // The record is a good one now.
    let mut again = Functions::default();
    again.start(&keyspace, false).expect("it was repaired");
    assert_eq!(names(&repaired), names(&again));
    let kept = names(&again).iter().map(ToString::to_string).collect();
    (refused.map(|error| error.to_string()), kept)
}

fn record(texts: &[Vec<u8>]) -> Vec<u8> {
    encode_libraries(texts.iter().map(Vec::as_slice))
}

#[test]
fn a_whole_record_starts() {
    let texts = [library("b", "f"), library("a", "g")];
    assert_eq!(start(&record(&texts)), (None, vec!["a".into(), "b".into()]));
    assert_eq!(start(&record(&[])), (None, vec![]));
}

#[test]
fn a_wrong_record_is_refused_and_repaired() {
    let good = library("good", "f");
    for (record, why, kept) in [
        (
            b"nonsense".to_vec(),
            "payload version or checksum are wrong",
            0,
        ),
        (closed(b"\x00\x01a"), "given type is not a function", 0),
        (
            closed(&[b"\xf5\x41\x00".as_slice(), b"#!lua"].concat()),
            "Failed loading library payload",
            0,
        ),
        (
            record(&[b"#!lua name=bad\nthis is no Lua".to_vec(), good.clone()]),
            "Error compiling function",
            1,
        ),
        (
            record(&[good.clone(), b"#!lua name=bad\nreturn 1".to_vec()]),
            "No functions registered",
            1,
        ),
        (
            record(&[good.clone(), library("bad", "F")]),
            "Function F already exists",
            1,
        ),
        (
            record(&[good.clone(), library("good", "g")]),
            "Library 'good' already exists",
            1,
        ),
    ] {
        let (refused, left) = start(&record);
        let refused = refused.expect("it is refused");
        assert!(refused.contains(why), "{refused}");
        assert_eq!(left, vec!["good".to_owned(); kept], "{why}");
    }
}

#[test]
fn what_the_pool_does_not_take_does_not_happen() {
    let store = Arc::new(MemoryStore::new(1, false));
    let faults = Faults::over(Box::new(Arc::clone(&store)));
    let keyspace = Keyspace::new(Box::new(Arc::clone(&faults)));
    let mut functions = Functions::default();
    let change = functions.load(&library("a", "old"), false);
    let change = change.expect("it compiles");
    // Once there is no room, and then some is made.
    faults.failing_write.store(1, Ordering::Relaxed);
    functions.commit(&keyspace, change).expect("there is room");
    let change = functions.load(&library("a", "new"), true);
    let change = change.expect("it compiles");
    store.writes_left.store(0, Ordering::Relaxed);
    let refused = functions.commit(&keyspace, change);
    let refused = refused.map_err(|error| error.to_string());
    assert!(refused.is_err_and(|error| error.starts_with("OOM ")));
    assert!(functions.find(b"OLD").is_some() && functions.find(b"new").is_none());
    let change = functions.delete(b"a").expect("there is one");
    assert!(functions.commit(&keyspace, change).is_err());
    let mut stored = Functions::default();
    stored.start(&keyspace, false).expect("the record is whole");
    assert_eq!(names(&stored), ["a"]);
    assert!(stored.find(b"old").is_some());
}

#[test]
fn everything_has_a_limit() {
    let mut functions = Functions::default();
    let keyspace = keyspace();
    let many: Vec<Vec<u8>> = (0..=LIBRARIES_MAX)
        .map(|number| library(&format!("l{number}"), &format!("f{number}")))
        .collect();
    let mut restore = |count: usize| -> Result<(), CommandError> {
        let change = functions.restore(&record(&many[..count]), Policy::Flush)?;
        functions.commit(&keyspace, change)
    };
    restore(LIBRARIES_MAX).expect("so many may be");
    let refused = restore(LIBRARIES_MAX + 1).map_err(|error| error.to_string());
    assert_eq!(
        refused,
        Err("ERR there are more than 1000 libraries".into())
    );
    assert_eq!(functions.function_count(), LIBRARIES_MAX);
    let refused = functions.load(&many[LIBRARIES_MAX], false).map(drop);
    assert!(refused.is_err_and(|error| error.to_string().contains("more than 1000")));
    let long = format!("#!lua name=long\n--{}", "x".repeat(1 << 20));
    let refused = functions.load(long.as_bytes(), false).map(drop);
    assert!(refused.is_err_and(|error| error.to_string().contains("longer than")));
    // They can still go.
    let all = functions.flush();
    functions.commit(&keyspace, all).expect("it only removes");
    assert_eq!((functions.library_count(), functions.vm_bytes()), (0, 0));
}
