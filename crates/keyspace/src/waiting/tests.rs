use std::collections::HashSet;
use std::sync::atomic::AtomicBool;
use std::thread;
use std::time::{Duration, Instant};

use super::*;
use crate::End;
use store::memory::MemoryStore;

/// Which client got which element, in order.
type Got = Vec<(u64, Vec<u8>)>;

type Result<T = (), E = KeyspaceError> = std::result::Result<T, E>;

/// Takes the first element of a list, and records which client got it.
#[derive(Debug)]
struct Taker {
    name: u64,
    key: Vec<u8>,
    kind: Kind,
    got: Arc<parking_lot::Mutex<Got>>,
    done: AtomicBool,
}

impl Waiter for Taker {
    fn kind(&self) -> Kind {
        self.kind
    }

    fn attempt(&self, keyspace: &Keyspace) -> bool {
        let access = Access {
            serves: true,
            patient: true,
            ..client()
        };
        let Ok(Some(element)) = pop(keyspace, 0, &self.key, access) else {
            return false;
        };
        self.got.lock().push((self.name, element));
        self.done.store(true, Ordering::Release);
        true
    }
}

fn client() -> Access {
    Access {
        client: 1,
        ..Access::by_server(0)
    }
}

fn fresh() -> Keyspace {
    Keyspace::new(Box::new(Arc::new(MemoryStore::new(1, false))))
}

fn push(keyspace: &Keyspace, db: usize, key: &[u8], elements: &[&[u8]]) -> Result {
    keyspace.update_many(&[(db, key)], client(), |slots| {
        let mut list = slots.list(0)?;
        for element in elements {
            list.push(End::Tail, element);
        }
        Ok(())
    })
}

fn pop(keyspace: &Keyspace, db: usize, key: &[u8], access: Access) -> Result<Option<Vec<u8>>> {
    keyspace.update_many(&[(db, key)], access, |slots| {
        let Some(view) = slots.view(0) else {
            return Ok(None);
        };
        let element = view.list()?.get(0, <[u8]>::to_vec)?;
        slots.list(0)?.pop(End::Head, 1);
        Ok(element)
    })
}

struct Scene {
    keyspace: Keyspace,
    got: Arc<parking_lot::Mutex<Got>>,
}

impl Scene {
    fn new() -> Self {
        Self {
            keyspace: fresh(),
            got: Arc::default(),
        }
    }

    fn wait(&self, name: u64, kind: Kind, keys: &[&[u8]]) -> Result<(Arc<Ticket>, Arc<Taker>)> {
        let taker = Arc::new(Taker {
            name,
            key: keys[0].to_vec(),
            kind,
            got: Arc::clone(&self.got),
            done: AtomicBool::new(false),
        });
        let waiter = Arc::<Taker>::clone(&taker);
        let ticket = self.keyspace.waiting().enter(0, keys, waiter, 0)?;
        Ok((ticket, taker))
    }

    fn served(&self) -> Got {
        self.keyspace.waiting().serve();
        std::mem::take(&mut *self.got.lock())
    }
}

#[test]
fn in_the_order_of_arrival() -> Result {
    let scene = Scene::new();
    for name in 1..=3 {
        scene.wait(name, Kind::List, &[b"k"])?;
    }
    assert!(!scene.keyspace.waiting().has_ready());
    push(&scene.keyspace, 0, b"other", &[b"x"])?;
    push(&scene.keyspace, 1, b"k", &[b"x"])?;
    assert!(!scene.keyspace.waiting().has_ready());
    push(&scene.keyspace, 0, b"k", &[b"a", b"b"])?;
    assert!(scene.keyspace.waiting().has_ready());
    assert_eq!(scene.served(), [(1, b"a".to_vec()), (2, b"b".to_vec())]);
    assert!(!scene.keyspace.waiting().has_ready());
    assert_eq!(scene.keyspace.waiting().keys_waited_for(), 1);
    push(&scene.keyspace, 0, b"k", &[b"c", b"d"])?;
    assert_eq!(scene.served(), [(3, b"c".to_vec())]);
    assert_eq!(scene.keyspace.waiting().keys_waited_for(), 0);
    Ok(())
}

#[test]
#[allow(clippy::redundant_closure_for_method_calls)] // The method's lifetimes do not fit the call.
fn only_for_values_of_their_type() -> Result {
    let scene = Scene::new();
    scene.wait(1, Kind::SortedSet, &[b"k"])?;
    scene.wait(2, Kind::List, &[b"k"])?;
    let put = scene
        .keyspace
        .update(0, b"k", client(), |slot| slot.put(Kind::String, b"v", None));
    put?;
    assert_eq!(scene.served(), []);
    let removed: Result<bool> = scene
        .keyspace
        .update(0, b"k", client(), |slot| slot.remove());
    assert!(removed?);
    assert!(!scene.keyspace.waiting().has_ready());
    push(&scene.keyspace, 0, b"k", &[b"a", b"b"])?;
    assert_eq!(scene.served(), [(2, b"a".to_vec())]);
    assert_eq!(scene.keyspace.waiting().keys_waited_for(), 1);
    Ok(())
}

#[test]
fn a_client_that_left_is_not_served() -> Result {
    let scene = Scene::new();
    let (first, _) = scene.wait(1, Kind::List, &[b"k", b"l", b"k"])?;
    scene.wait(2, Kind::List, &[b"k"])?;
    assert_eq!(scene.keyspace.waiting().keys_waited_for(), 2);
    scene.keyspace.waiting().leave(&first);
    assert_eq!(scene.keyspace.waiting().keys_waited_for(), 1);
    push(&scene.keyspace, 0, b"k", &[b"a"])?;
    assert_eq!(scene.served(), [(2, b"a".to_vec())]);
    let no_queues = |shard: &lock_order::RwLock<Shard>| shard.read().queues.is_none();
    assert!(scene.keyspace.shards.iter().all(no_queues));
    Ok(())
}

#[test]
fn existing_elements_are_found() -> Result {
    let scene = Scene::new();
    push(&scene.keyspace, 0, b"k", &[b"a"])?;
    scene.wait(1, Kind::List, &[b"k"])?;
    assert!(scene.keyspace.waiting().has_ready());
    assert_eq!(scene.served(), [(1, b"a".to_vec())]);
    Ok(())
}

#[test]
fn databases_are_swapped() -> Result {
    let scene = Scene::new();
    scene.wait(1, Kind::List, &[b"k"])?;
    scene.wait(2, Kind::List, &[b"l"])?;
    push(&scene.keyspace, 3, b"k", &[b"a"])?;
    scene.keyspace.databases().swap(0, 3)?;
    assert_eq!(scene.served(), [(1, b"a".to_vec())]);
    Ok(())
}

#[test]
fn other_clients_come_after_waiting_ones() -> Result {
    let scene = Scene::new();
    scene.wait(1, Kind::List, &[b"k"])?;
    push(&scene.keyspace, 0, b"k", &[b"a", b"b"])?;
    assert_eq!(
        pop(&scene.keyspace, 0, b"k", client())?,
        Some(b"b".to_vec())
    );
    assert_eq!(scene.got.lock().as_slice(), [(1, b"a".to_vec())]);

    // No client is served between the commands of a transaction.
    scene.wait(2, Kind::List, &[b"k"])?;
    let mut popped = Ok(None);
    scene.keyspace.atomically(&[(0, b"k")], &mut || {
        popped = push(&scene.keyspace, 0, b"k", &[b"c"])
            .and_then(|()| pop(&scene.keyspace, 0, b"k", client()));
    })?;
    assert_eq!(popped?, Some(b"c".to_vec()));
    assert_eq!(scene.served(), [(1, b"a".to_vec())]);
    Ok(())
}

#[test]
fn not_during_a_pause() -> Result {
    let scene = Scene::new();
    scene.wait(1, Kind::List, &[b"k"])?;
    scene.keyspace.expiry().hold(now_ms() + 100_000);
    push(&scene.keyspace, 0, b"k", &[b"a"])?;
    assert_eq!(scene.served(), []);
    assert!(scene.keyspace.waiting().has_ready());
    scene.keyspace.expiry().hold(0);
    assert_eq!(scene.served(), [(1, b"a".to_vec())]);
    Ok(())
}

/// Many threads push and others wait: one of them gets each element, and no waiting client stays unserved.
#[test]
fn nothing_is_lost_between_threads() -> Result {
    const THREADS: u64 = 3;
    const EACH: u64 = 999;
    let scene = Scene::new();
    let keys: [&[u8]; 3] = [b"a", b"b", b"c"];
    thread::scope(|scope| -> Result {
        let mut workers = Vec::new();
        for thread in 0..THREADS {
            let scene = &scene;
            workers.push(scope.spawn(move || -> Result {
                for n in 0..EACH {
                    let key = keys[usize::try_from(n % 3).unwrap_or_default()];
                    let element = (thread * EACH + n).to_le_bytes();
                    push(&scene.keyspace, 0, key, &[&element])?;
                    if scene.keyspace.waiting().has_ready() {
                        scene.keyspace.waiting().serve();
                    }
                }
                Ok(())
            }));
            workers.push(scope.spawn(move || -> Result {
                for n in 0..EACH {
                    let key = keys[usize::try_from((n + thread) % 3).unwrap_or_default()];
                    let (ticket, taker) = scene.wait(thread, Kind::List, &[key])?;
                    scene.keyspace.waiting().serve();
                    let deadline = Instant::now() + Duration::from_secs(20);
                    while !taker.done.load(Ordering::Acquire) {
                        assert!(Instant::now() < deadline, "nobody serves it");
                        thread::yield_now();
                    }
                    scene.keyspace.waiting().leave(&ticket);
                }
                Ok(())
            }));
        }
        for worker in workers {
            worker.join().expect("no thread panics")?;
        }
        Ok(())
    })?;
    let got = scene.got.lock();
    let different: HashSet<_> = got.iter().map(|(_, element)| element).collect();
    assert_eq!(different.len() as u64, THREADS * EACH);
    assert_eq!(got.len(), different.len());
    assert!(!scene.keyspace.waiting().has_ready());
    assert_eq!(scene.keyspace.waiting().keys_waited_for(), 0);
    Ok(())
}
