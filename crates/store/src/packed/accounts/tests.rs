//! The lists find what a scan of all accounts finds, and look at few of them.

mod model;

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use super::*;

const CAPACITY: usize = (1 << 20) - 1088;

/// The segments of a pool of 100 GB.
const MANY: u32 = 100_000;

/// As many as the compaction frees after one commit.
const AT_ONCE: usize = 64;

fn spot(segment: u32, length: usize) -> Spot {
    Spot {
        segment,
        offset: 0,
        length,
        large: false,
    }
}

/// So many segments of one log, sealed one after the other, with as many live bytes and bytes of tombstones as `used` says.
fn filled(segments: u32, mut used: impl FnMut(u32) -> (usize, usize)) -> Accounts {
    let accounts = Accounts::new(segments, CAPACITY);
    for segment in 0..segments {
        let (live, tombstones) = used(segment);
        let serial = u64::from(segment) + 1;
        accounts.begin(segment, serial);
        accounts.claim(spot(segment, live));
        accounts.add_tombstone(spot(segment, tombstones));
        accounts.seal(segment, serial + 1);
    }
    accounts
}

/// How many entries were looked at since the last call.
fn looks(accounts: &Accounts) -> u64 {
    std::mem::take(&mut accounts.lists.lock().looks)
}

/// Frees all empty segments in batches; how many there were.
fn free_empty(accounts: &Accounts) -> u32 {
    let mut freed = 0;
    loop {
        let empty = accounts.empty_ones(AT_ONCE, &|segment| !accounts.kept().has(segment));
        if empty.is_empty() {
            return freed;
        }
        for segment in empty {
            accounts.end(segment);
            freed += 1;
        }
    }
}

fn victim(accounts: &Accounts) -> Option<u32> {
    let made = u32::try_from(accounts.count()).unwrap_or(u32::MAX);
    accounts.victim(Waiting::ForCompaction, made, &|_| true, &|_| CAPACITY)
}

#[test]
fn freeing_all_looks_at_each_segment_a_few_times() {
    let accounts = filled(MANY, |_| (CAPACITY, 0));
    assert_eq!(free_empty(&accounts), 0);
    let mut rest = vec![CAPACITY; MANY as usize];
    let mut rng = StdRng::seed_from_u64(1);
    while !rest.is_empty() {
        // The lists are asked while keys are released, too.
        for (segment, left) in (0..).zip(&mut rest) {
            let released = rng.random_range(0..=*left);
            accounts.release(segment, released);
            *left -= released;
        }
        if rest.iter().sum::<usize>() < CAPACITY * 1_000 {
            for (segment, left) in (0..).zip(rest.drain(..)) {
                accounts.release(segment, left);
            }
        }
    }
    looks(&accounts);
    assert_eq!(free_empty(&accounts), MANY);
    let looked = looks(&accounts);
    assert!(looked <= u64::from(MANY) + 100, "{looked}");
    assert_eq!(accounts.oldest_serial(None), u64::MAX);
}

#[test]
fn tombstones_that_supersede_nothing_are_freed_in_their_order() {
    let accounts = filled(MANY, |segment| {
        (
            usize::from(segment == 0),
            CAPACITY - 1 - segment as usize % 9,
        )
    });
    assert_eq!(free_empty(&accounts), 0);
    let looked = looks(&accounts);
    assert!(looked <= 2, "the oldest keeps all others: {looked}");
    accounts.release(0, 1);
    assert_eq!(free_empty(&accounts), MANY);
    let looked = looks(&accounts);
    assert!(looked <= u64::from(MANY) + 100, "{looked}");
}

#[test]
fn a_victim_among_many_costs_some_hundred_looks() {
    let mut rng = StdRng::seed_from_u64(2);
    let mut used = vec![0; MANY as usize];
    let accounts = filled(MANY, |segment| {
        let live = rng.random_range(1..CAPACITY);
        used[segment as usize] = live;
        (live, 0)
    });
    let mut looked_max = 0;
    let mut looked_all = 0;
    for _ in 0..1_000 {
        let least = used.iter().min().copied().unwrap_or_default();
        let segment = victim(&accounts).expect("much is garbage");
        let place = &mut used[segment as usize];
        assert!(*place < least + (2 << STEP_BITS), "{place} {least}");
        accounts.release(segment, std::mem::replace(place, usize::MAX));
        accounts.end(segment);
        let looked = looks(&accounts);
        looked_max = looked.max(looked_max);
        looked_all += looked;
    }
    assert!(looked_max <= 300, "{looked_max}");
    assert!(looked_all <= 290_000, "{looked_all}");
}

#[test]
fn equal_segments_cost_no_more_than_others() {
    let accounts = filled(MANY, |_| (CAPACITY / 2, 0));
    assert!(victim(&accounts).is_some());
    let looked = looks(&accounts);
    assert!(looked <= 300, "{looked}");
}

#[test]
fn full_segments_are_looked_at_once() {
    // Each has less to gain than is worth it, and the last 10 KB of each are empty.
    let accounts = filled(MANY, |_| (CAPACITY - 10_000 - 5_000, 0));
    let readable = |_| CAPACITY - 10_000;
    let next = || accounts.victim(Waiting::ForCompaction, MANY, &|_| true, &readable);
    assert_eq!(next(), None);
    assert!(looks(&accounts) <= u64::from(MANY) + 1);
    accounts.release(70_000, 30_000);
    accounts.release(70_001, 40_000);
    assert_eq!(next(), Some(70_001));
    assert_eq!(next(), Some(70_001));
    let looked = looks(&accounts);
    assert!(looked <= 10, "{looked}");
    // What has gained less than a step is found when there is nothing else.
    accounts.claim(spot(70_000, 30_000));
    accounts.claim(spot(70_001, 40_000));
    accounts.claim(spot(5, 9_000));
    accounts.release(5, 9_000);
    assert_eq!(next(), None);
    let gain_min = CAPACITY / 64;
    let before = accounts.live_bytes_of(9);
    let steps_before = steps(before);
    let enough = gain_min + 1 - 5_000;
    accounts.release(9, enough);
    assert!(steps(accounts.live_bytes_of(9)) < steps_before);
    assert_eq!(next(), Some(9));
}

#[test]
fn a_gain_below_a_step_is_found_among_the_full_ones() {
    let gain_min = CAPACITY / 64;
    let accounts = filled(MANY, |_| (CAPACITY - gain_min, 0));
    assert_eq!(victim(&accounts), None);
    assert!(accounts.lists.lock().full > MANY as usize / 2);
    let within_a_step = (0..64).find(|&bytes| {
        let live = signed(CAPACITY - gain_min) - bytes;
        steps(live) != steps(live - 1)
    });
    assert_eq!(within_a_step, None, "one byte crosses no step");
    accounts.release(77_777, 1);
    assert_eq!(victim(&accounts), Some(77_777));
    accounts.claim(spot(77_777, 1));
    assert_eq!(victim(&accounts), None);
}

#[test]
fn what_a_backup_keeps_costs_the_compaction_nothing() {
    let accounts = filled(MANY, |_| (CAPACITY, 0));
    let kept: Vec<u32> = (0..MANY).filter(|segment| segment % 1_000 != 7).collect();
    for &segment in &kept {
        accounts.kept().keep(segment);
    }
    accounts.file_kept(&kept);
    looks(&accounts);
    for segment in 0..MANY {
        accounts.release(segment, CAPACITY);
    }
    let free = MANY - u32::try_from(kept.len()).expect("some");
    assert_eq!(free_empty(&accounts), free);
    let looked = looks(&accounts);
    assert!(looked <= u64::from(free) + 10, "{looked}");
    assert_eq!(victim(&accounts), None);
    let for_backup = || accounts.victim(Waiting::ForBackup, MANY, &|_| true, &|_| CAPACITY);
    assert!(for_backup().is_some_and(|segment| accounts.kept().has(segment)));
    let looked = looks(&accounts);
    assert!(looked <= 3, "{looked}");
    accounts.let_go(kept[5]);
    assert_eq!(free_empty(&accounts), 1);
    accounts.let_go_of_all();
    assert_eq!(for_backup(), None);
    assert_eq!(free_empty(&accounts), MANY - free - 1);
}

#[test]
fn kept_segments_that_nobody_has_filed_are_met_once() {
    let accounts = filled(MANY, |_| (0, 0));
    for segment in 0..MANY {
        accounts.kept().keep(segment);
    }
    for _ in 0..10 {
        assert_eq!(free_empty(&accounts), 0);
        assert_eq!(victim(&accounts), None);
    }
    let looked = looks(&accounts);
    assert!(looked <= u64::from(MANY) + 100, "{looked}");
}

#[test]
fn segments_of_an_earlier_process_are_filed_as_they_were_counted() {
    let accounts = Accounts::new(MANY, CAPACITY);
    for segment in 0..MANY {
        let serial = u64::from(segment) + 1;
        accounts.found_life(segment, serial, serial + 1, true);
    }
    // Threads that load release older records before they add what a segment holds.
    for segment in 0..MANY {
        accounts.release(segment, 9_000);
        accounts.claim(spot(segment, 9_000 + usize::from(segment % 2 == 0)));
    }
    assert_eq!(free_empty(&accounts), MANY / 2);
    let looked = looks(&accounts);
    assert!(looked <= 2 * u64::from(MANY), "{looked}");
    assert!(victim(&accounts).is_some());
}

#[test]
fn unread_segments_are_not_empty() {
    let accounts = Accounts::new(2, CAPACITY);
    accounts.found_life(0, 1, 2, true);
    accounts.found_life(1, 2, 3, true);
    accounts.leave_unread();
    assert_eq!(free_empty(&accounts), 0);
    assert!(victim(&accounts).is_some());
    accounts.end(0);
    accounts.begin(0, 3);
    accounts.seal(0, 4);
    assert_eq!(free_empty(&accounts), 1);
    assert_eq!(accounts.oldest_serial(None), 2);
    assert_eq!(accounts.with_serial(2), Some(1));
    assert_eq!(accounts.with_serial(3), None);
}

#[test]
fn threads_that_release_at_once_leave_every_segment_where_it_belongs() {
    const SEGMENTS: u32 = 40;
    const RECORD: usize = 1_000;
    for seed in 0..20 {
        let accounts = filled(SEGMENTS, |_| (CAPACITY / RECORD * RECORD, 0));
        std::thread::scope(|scope| {
            for thread in 0..4 {
                let accounts = &accounts;
                scope.spawn(move || {
                    let mut rng = StdRng::seed_from_u64(seed * 4 + thread);
                    let mut rest = [CAPACITY / RECORD / 4; SEGMENTS as usize];
                    let mut left: usize = rest.iter().sum();
                    while left > 0 {
                        let segment = rng.random_range(0..SEGMENTS);
                        let rest = &mut rest[segment as usize];
                        if *rest > 0 {
                            *rest -= 1;
                            left -= 1;
                            accounts.release(segment, RECORD);
                        }
                    }
                });
            }
            for _ in 0..50 {
                victim(&accounts);
            }
        });
        let odd = CAPACITY / RECORD % 4 * RECORD;
        for segment in 0..SEGMENTS {
            let place = accounts.place(segment);
            assert!(accounts.lists.lock().is_at(segment, place), "{segment}");
            accounts.release(segment, odd);
        }
        assert_eq!(free_empty(&accounts), SEGMENTS);
    }
}
