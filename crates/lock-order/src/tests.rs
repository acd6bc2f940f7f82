use std::panic::catch_unwind;
use std::thread;

use super::*;

/// What `f` panics with, on a thread of its own.
fn panic_of(f: impl FnOnce() + Send) -> Option<String> {
    thread::scope(|scope| {
        let caught = scope.spawn(f).join().err()?;
        Some(caught.downcast_ref::<String>()?.clone())
    })
}

#[test]
fn locks_in_their_order_are_taken_and_let_go_in_any() {
    let gate = RwLock::new(Rank::Gate, ());
    let shards: Vec<_> = (0..3)
        .map(|n| RwLock::numbered(Rank::Shard, n, n))
        .collect();
    let mailbox = Mutex::new(Rank::Mailbox, 7);
    let inside = gate.read();
    let first = shards[0].write();
    let last = shards[2].read();
    drop(first);
    assert_eq!(*mailbox.lock() + *last, 9);
    drop(inside);
    drop(last);
    // All is free again.
    drop(gate.write());
}

#[test]
fn a_lower_or_the_same_rank_panics_with_both_names() {
    let shards: Vec<_> = (0..3)
        .map(|n| RwLock::numbered(Rank::Shard, n, ()))
        .collect();
    let gate = RwLock::new(Rank::Gate, ());
    for (first, second) in [(2, 1), (1, 1)] {
        let text = panic_of(|| {
            let _first = shards[first].read();
            drop(shards[second].read());
        });
        let text = text.expect("it panics");
        assert!(text.contains(&format!("Shard {first}")), "{text}");
        assert!(text.contains(&format!("Shard {second}")), "{text}");
    }
    let text = panic_of(|| {
        let _shard = shards[0].write();
        drop(gate.read());
    });
    let text = text.expect("it panics");
    assert!(text.contains("Gate") && text.contains("Shard"), "{text}");
}

#[test]
fn what_does_not_wait_may_come_in_any_order() {
    let shards: Vec<_> = (0..3)
        .map(|n| RwLock::numbered(Rank::Shard, n, ()))
        .collect();
    let commit = Mutex::new(Rank::FrontCommit, ());
    let locked = commit.lock();
    let tried = shards[1].try_write();
    assert!(tried.is_some());
    drop(locked);
    // But who has it then waits for nothing before it.
    assert!(panic_of(|| drop(shards[0].read())).is_none());
    let _tried = tried;
    let below = catch_unwind(|| {
        let shard = RwLock::numbered(Rank::Shard, 0, ());
        drop(shard.read());
    });
    assert!(below.is_err());
}

#[test]
fn nobody_waits_for_others_with_a_lock_that_they_need() {
    let gate = RwLock::new(Rank::Gate, ());
    before_wait(Rank::Room);
    let text = panic_of(|| {
        let _inside = gate.read();
        before_wait(Rank::Room);
    });
    assert!(text.is_some_and(|text| text.contains("Room") && text.contains("Gate")));
    // The compaction needs shards, not the gate.
    let _inside = gate.read();
    before_wait(Rank::Compaction);
}

#[test]
fn a_lock_can_be_held_at_another_rank() {
    let commit = Mutex::new(Rank::FrontCommit, ());
    let shard = RwLock::new(Rank::Shard, ());
    let held = commit.lock_at(Rank::Hold);
    drop(shard.write());
    drop(held);
    assert!(
        panic_of(|| {
            let _shard = shard.write();
            drop(commit.lock_at(Rank::Hold));
        })
        .is_some()
    );
}
