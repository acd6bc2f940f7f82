//! Many threads may use one database, whatever the engine.

use std::ops::ControlFlow::Continue;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use pmemkv::{Config, Database, Error};

use crate::common::{MIB, TestResult, on_each};

const THREADS: u32 = 4;
const ROUNDS: u32 = 2_000;

/// Puts, gets and removes keys of its own, and one key that all threads share.
fn work(db: &Database, thread: u32) -> Result<(), Error> {
    let own = |number: u32| [thread.to_be_bytes(), number.to_be_bytes()].concat();
    for round in 0..ROUNDS {
        let key = own(round % 100);
        let value = round.to_be_bytes().repeat(10);
        db.put(&key, &value)?;
        assert_eq!(db.get(&key)?, Some(value));
        db.put(b"shared", &[round.to_le_bytes()[0]; 100])?;
        // A torn value would hold two different bytes.
        let whole = db.get_with(b"shared", |value| {
            value.iter().all(|byte| *byte == value[0])
        })?;
        assert_eq!(whole, Some(true));
        if round % 3 == 0 {
            assert!(db.remove(&key)?);
            assert!(!db.exists(&key)?);
        }
    }
    Ok(())
}

#[test]
fn threads_share_every_engine_and_walks_run_beside_them() -> TestResult {
    on_each(64 * MIB, |fixture| {
        let db = &fixture.db;
        db.put(b"shared", &[0; 100])?;
        let done = AtomicBool::new(false);
        thread::scope(|scope| -> TestResult {
            let walker = scope.spawn(|| -> Result<u32, Error> {
                let mut walks = 0;
                while !done.load(Ordering::Relaxed) {
                    let mut keys = Vec::new();
                    let _ = db.get_all(|key, _| {
                        keys.push(key.to_vec());
                        Continue(())
                    })?;
                    let count = keys.len();
                    keys.sort();
                    keys.dedup();
                    assert_eq!(keys.len(), count, "a walk met a key twice");
                    db.count_all()?;
                    walks += 1;
                }
                Ok(walks)
            });
            let workers: Vec<_> = (0..THREADS)
                .map(|thread| scope.spawn(move || work(db, thread)))
                .collect();
            let results: Vec<_> = workers
                .into_iter()
                .map(thread::ScopedJoinHandle::join)
                .collect();
            done.store(true, Ordering::Relaxed);
            for result in results {
                result.map_err(|_| "a thread panicked")??;
            }
            let walks = walker.join().map_err(|_| "the walker panicked")??;
            assert!(walks > 0);
            Ok(())
        })
    })
}

#[test]
fn overwrites_in_place_are_seen_whole() -> TestResult {
    on_each(64 * MIB, |fixture| {
        let db = &fixture.db;
        db.put(b"log", &[0; 4096])?;
        if db.write_range(b"log", 0, b"").is_err() {
            return Ok(());
        }
        thread::scope(|scope| -> TestResult {
            let writers: Vec<_> = (1..=2_u8)
                .map(|writer| {
                    scope.spawn(move || -> Result<(), Error> {
                        for _ in 0..1_000 {
                            assert!(db.write_range(b"log", 0, &[writer; 512])?);
                        }
                        Ok(())
                    })
                })
                .collect();
            for _ in 0..1_000 {
                let whole = db.get_with(b"log", |value| {
                    value[..512].iter().all(|byte| *byte == value[0])
                })?;
                assert_eq!(whole, Some(true));
            }
            for writer in writers {
                writer.join().map_err(|_| "a writer panicked")??;
            }
            Ok(())
        })
    })
}

#[test]
fn a_database_moves_between_threads() -> TestResult {
    fn shared<T: Send + Sync>() {}
    fn sent<T: Send>() {}
    shared::<Database>();
    sent::<Config>();
    on_each(16 * MIB, |fixture| {
        thread::scope(|scope| {
            scope
                .spawn(|| fixture.db.put(b"key", b"from a thread"))
                .join()
        })
        .map_err(|_| "the thread panicked")??;
        assert_eq!(
            fixture.db.get(b"key")?.as_deref(),
            Some(&b"from a thread"[..])
        );
        Ok(())
    })
}

#[test]
fn a_close_waits_for_the_calls_that_run_and_ends_all_later_ones() -> TestResult {
    on_each(16 * MIB, |fixture| {
        let db = &fixture.db;
        db.put(b"key", b"value")?;
        let inside = AtomicBool::new(false);
        let ended = AtomicBool::new(false);
        thread::scope(|scope| -> TestResult {
            let walker = scope.spawn(|| {
                db.get_all(|_, value| {
                    assert_eq!(value, b"value");
                    assert_eq!(db.close(), Err(Error::Reentrant));
                    inside.store(true, Ordering::SeqCst);
                    thread::sleep(std::time::Duration::from_millis(20));
                    assert_eq!(value, b"value");
                    ended.store(true, Ordering::SeqCst);
                    Continue(())
                })
            });
            while !inside.load(Ordering::SeqCst) {
                thread::yield_now();
            }
            db.close()?;
            assert!(ended.load(Ordering::SeqCst));
            let flow = walker.join().expect("the walker ends")?;
            assert_eq!(flow, Continue(()));
            Ok(())
        })?;
        db.close()?;
        assert_eq!(db.put(b"key", b"value"), Err(Error::Closed));
        assert_eq!(db.get(b"key"), Err(Error::Closed));
        assert_eq!(db.exists(b"key"), Err(Error::Closed));
        assert_eq!(db.remove(b"key"), Err(Error::Closed));
        assert_eq!(db.count_all(), Err(Error::Closed));
        assert_eq!(db.get_all(|_, _| Continue(())), Err(Error::Closed));
        assert_eq!(db.write_range(b"key", 0, b"x"), Err(Error::Closed));
        assert_eq!(db.defrag(0.0, 100.0), Err(Error::Closed));
        assert_eq!(db.freeze(|| ()), Err(Error::Closed));
        Ok(())
    })
}
