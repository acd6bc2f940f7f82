//! Scans of all accounts, which find what the lists must find.

use proptest::prelude::*;

use super::*;

const SEGMENTS: u32 = 24;

const SMALL: usize = 60_000;

impl Accounts {
    fn scan(&self) -> impl Iterator<Item = (u32, u64)> {
        (0u32..)
            .zip(self.all.iter())
            .map(|(segment, account)| (segment, account.serial.load(Ordering::Acquire)))
            .filter(|&(_, serial)| serial != 0)
    }

    fn scanned_oldest_serial(&self, but: Option<u32>) -> u64 {
        self.scan()
            .filter(|&(segment, _)| Some(segment) != but)
            .map(|(_, serial)| serial)
            .min()
            .unwrap_or(u64::MAX)
    }

    fn scanned_clearable(&self) -> Option<u32> {
        let (oldest, _) = self.scan().min_by_key(|&(_, serial)| serial)?;
        let bound = self.sealed_bound(oldest);
        let done = bound != 0 && self.scanned_oldest_serial(Some(oldest)) >= bound;
        done.then_some(oldest)
    }

    fn scanned_empty_one(&self, may_go: &dyn Fn(u32) -> bool) -> Option<u32> {
        self.scan()
            .map(|(segment, _)| segment)
            .find(|&segment| self.is_empty_in_scan(segment) && may_go(segment))
    }

    fn is_empty_in_scan(&self, segment: u32) -> bool {
        let account = self.account(segment);
        self.sealed_bound(segment) != 0
            && !self.is_unread(segment)
            && account.live.load(Ordering::Acquire) <= 0
            && (Some(segment) == self.scanned_clearable()
                || account.tombstone_bytes.load(Ordering::Acquire) <= 0)
    }

    fn scanned_gain(&self, segment: u32) -> i64 {
        let account = self.account(segment);
        let mut used = account.live.load(Ordering::Acquire);
        if Some(segment) != self.scanned_clearable() {
            used += account.tombstone_bytes.load(Ordering::Acquire);
        }
        let capacity = signed(self.capacity);
        let end = capacity - signed(readable(segment));
        capacity - end.min(capacity / 16) - used
    }

    fn scanned_gain_max(&self, gain_min: usize, may_go: &dyn Fn(u32) -> bool) -> Option<i64> {
        self.scan()
            .filter(|&(segment, _)| self.sealed_bound(segment) != 0 && may_go(segment))
            .map(|(segment, _)| self.scanned_gain(segment))
            .filter(|&gain| gain > signed(gain_min))
            .max()
    }
}

/// Some segments have an empty end.
fn readable(segment: u32) -> usize {
    SMALL - [0, 700, 3_000, 9_000][segment as usize % 4]
}

#[derive(Clone, Copy, Debug)]
enum Step {
    Begin(u32),
    Seal(u32, u64),
    Claim(u32, usize),
    Release(u32, usize),
    /// As a thread that loads does.
    ReleaseThenClaim(u32, usize),
    AddTombstone(u32, usize),
    DropTombstone(u32, usize),
    Keep(u32),
    LetGo(u32),
    FileKept,
    LetGoOfAll,
    FreeEmpty(u32),
    FreeVictim(u32),
    LeaveUnread,
}

fn step() -> impl Strategy<Value = Step> {
    let segment = 0..SEGMENTS;
    let bytes = prop_oneof![1usize..200, 1usize..9_000, Just(SMALL), Just(4_096)];
    prop_oneof![
        12 => segment.clone().prop_map(Step::Begin),
        12 => (segment.clone(), 1..4u64).prop_map(|(segment, above)| Step::Seal(segment, above)),
        25 => (segment.clone(), bytes.clone()).prop_map(|(segment, bytes)| Step::Claim(segment, bytes)),
        25 => (segment.clone(), bytes.clone()).prop_map(|(segment, bytes)| Step::Release(segment, bytes)),
        3 => (segment.clone(), bytes.clone()).prop_map(|(segment, bytes)| Step::ReleaseThenClaim(segment, bytes)),
        6 => (segment.clone(), bytes.clone()).prop_map(|(segment, bytes)| Step::AddTombstone(segment, bytes)),
        6 => (segment.clone(), bytes).prop_map(|(segment, bytes)| Step::DropTombstone(segment, bytes)),
        3 => segment.clone().prop_map(Step::Keep),
        3 => segment.clone().prop_map(Step::LetGo),
        1 => Just(Step::FileKept),
        1 => Just(Step::LetGoOfAll),
        4 => (0..4u32).prop_map(Step::FreeEmpty),
        4 => (0..4u32).prop_map(Step::FreeVictim),
        1 => Just(Step::LeaveUnread),
    ]
}

/// Every fourth segment is pinned, or none.
fn not_pinned(pinned: u32) -> impl Fn(u32) -> bool {
    move |segment| pinned == 0 || segment % 4 != pinned
}

struct World {
    accounts: Accounts,
    next_serial: u64,
}

impl World {
    fn has_life(&self, segment: u32) -> bool {
        self.accounts.serial(segment) != 0
    }

    fn used(&self, segment: u32) -> (i64, i64) {
        let account = self.accounts.account(segment);
        (
            account.live.load(Ordering::Relaxed),
            account.tombstone_bytes.load(Ordering::Relaxed),
        )
    }

    /// As much of `bytes` as still fits.
    fn room(&self, segment: u32, bytes: usize) -> usize {
        let (live, tombstones) = self.used(segment);
        let room = signed(SMALL) - live - tombstones;
        bytes.min(usize::try_from(room).unwrap_or(0))
    }

    fn step(&mut self, step: Step) {
        let accounts = &self.accounts;
        match step {
            Step::Begin(segment) if !self.has_life(segment) => {
                accounts.begin(segment, self.next_serial);
                self.next_serial += 1;
            }
            Step::Seal(segment, above)
                if self.has_life(segment) && accounts.sealed_bound(segment) == 0 =>
            {
                let bound = accounts.serial(segment) + above;
                accounts.seal(segment, bound);
                self.next_serial = self.next_serial.max(bound);
            }
            Step::Claim(segment, bytes) if self.has_life(segment) => {
                accounts.claim(spot(segment, self.room(segment, bytes)));
            }
            Step::Release(segment, bytes) if self.has_life(segment) => {
                let (live, _) = self.used(segment);
                accounts.release(segment, bytes.min(usize::try_from(live).unwrap_or(0)));
            }
            Step::ReleaseThenClaim(segment, bytes) if self.has_life(segment) => {
                accounts.release(segment, bytes);
                accounts.claim(spot(segment, bytes));
            }
            Step::AddTombstone(segment, bytes) if self.has_life(segment) => {
                accounts.add_tombstone(spot(segment, self.room(segment, bytes)));
            }
            Step::DropTombstone(segment, bytes) if self.has_life(segment) => {
                let (_, tombstones) = self.used(segment);
                let bytes = bytes.min(usize::try_from(tombstones).unwrap_or(0));
                accounts.drop_tombstone(spot(segment, bytes));
            }
            Step::Keep(segment) if self.has_life(segment) => accounts.kept().keep(segment),
            Step::LetGo(segment) => accounts.let_go(segment),
            Step::FileKept => {
                let all: Vec<u32> = (0..SEGMENTS).collect();
                accounts.file_kept(&all);
            }
            Step::LetGoOfAll => accounts.let_go_of_all(),
            Step::FreeEmpty(pinned) => self.free_empty(pinned),
            Step::FreeVictim(pinned) => self.free_victim(pinned),
            Step::LeaveUnread => {
                // The open does that before a log begins its first segment, so it is done where none is open.
                let mut lives = accounts.scan();
                if lives.all(|(segment, _)| accounts.sealed_bound(segment) != 0) {
                    accounts.leave_unread();
                }
            }
            _ => {}
        }
    }

    fn free_empty(&self, pinned: u32) {
        let accounts = &self.accounts;
        let is_free = not_pinned(pinned);
        let may_go = |segment| is_free(segment) && !accounts.kept().has(segment);
        loop {
            let empty = accounts.empty_ones(5, &may_go);
            assert!(empty.len() <= 5);
            if empty.is_empty() {
                break;
            }
            // In this order, each is empty when its turn comes.
            for segment in empty {
                assert!(accounts.is_empty_in_scan(segment) && may_go(segment));
                accounts.end(segment);
            }
        }
        assert_eq!(accounts.scanned_empty_one(&may_go), None);
    }

    fn free_victim(&self, pinned: u32) {
        let accounts = &self.accounts;
        let is_free = not_pinned(pinned);
        let may_go = |segment| is_free(segment) && !accounts.kept().has(segment);
        for gain_min in [SMALL / 64, SMALL / 2] {
            let found = accounts.most_gained(Waiting::ForCompaction, gain_min, &is_free, &readable);
            assert!(found.is_none_or(may_go));
            let gain = found.map(|segment| accounts.scanned_gain(segment));
            assert_eq!(gain, accounts.scanned_gain_max(gain_min, &may_go));
        }
        let all: Vec<u32> = (0..SEGMENTS).collect();
        accounts.file_kept(&all);
        let is_kept = |segment| accounts.kept().has(segment);
        let found = accounts.most_gained(Waiting::ForBackup, SMALL / 64, &|_| true, &readable);
        let gain = found.map(|segment| accounts.scanned_gain(segment));
        assert!(found.is_none_or(is_kept));
        assert_eq!(gain, accounts.scanned_gain_max(SMALL / 64, &is_kept));

        let waiting = Waiting::ForCompaction;
        let victim = accounts.victim(waiting, SEGMENTS, &is_free, &readable);
        let oldest = accounts.scanned_oldest_serial(None);
        let tombstone_bytes = unsigned(signed(
            accounts
                .scan()
                .map(|(segment, _)| usize::try_from(self.used(segment).1).unwrap_or(0))
                .sum(),
        ));
        assert_eq!(accounts.tombstone_bytes(), tombstone_bytes);
        let forced = (tombstone_bytes > (SEGMENTS as usize * SMALL / 16) as u64)
            .then(|| accounts.with_serial(oldest))
            .flatten()
            .filter(|&segment| accounts.sealed_bound(segment) != 0 && may_go(segment));
        if forced.is_some() {
            assert_eq!(victim, forced);
        }
        if let Some(victim) = victim {
            let (live, tombstones) = self.used(victim);
            accounts.release(victim, usize::try_from(live).unwrap_or(0));
            let tombstones = usize::try_from(tombstones).unwrap_or(0);
            accounts.drop_tombstone(spot(victim, tombstones));
            accounts.end(victim);
        }
    }

    /// What must be so after each step.
    fn check(&self) {
        let accounts = &self.accounts;
        let oldest = accounts.scanned_oldest_serial(None);
        assert_eq!(accounts.oldest_serial(None), oldest);
        let first = accounts.with_serial(oldest);
        let others = accounts.scanned_oldest_serial(first);
        assert_eq!(accounts.oldest_serial(first), others);
        let live: i64 = accounts
            .scan()
            .map(|(segment, _)| self.used(segment).0)
            .sum();
        assert_eq!(accounts.live_bytes(), unsigned(live));
        let lists = accounts.lists.lock();
        for segment in 0..SEGMENTS {
            let is_sealed = self.has_life(segment) && accounts.sealed_bound(segment) != 0;
            assert_eq!(lists.is_listed(segment), is_sealed, "{segment}");
        }
        // Each one is met in the list that it says it is in, and in none that is too high.
        let mut met = 0;
        for waiting in [Waiting::ForCompaction, Waiting::ForBackup] {
            for class in 0..lists.classes {
                let mut next = lists.first(Place::Class(waiting, class));
                while let Some(segment) = next {
                    met += 1;
                    assert!(lists.is_at(segment, Place::Class(waiting, class)));
                    let Place::Class(_, now) = accounts.place(segment) else {
                        unreachable!("the place is a class");
                    };
                    assert!(class <= now, "{segment} is in {class} instead of {now}");
                    let (live, tombstones) = self.used(segment);
                    assert!(bytes_min(now) <= live + tombstones || live + tombstones == 0);
                    next = lists.next(segment);
                }
            }
        }
        let sealed = accounts
            .scan()
            .filter(|&(segment, _)| accounts.sealed_bound(segment) != 0);
        assert_eq!(met + lists.full, sealed.count());
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn the_lists_find_what_a_scan_finds(steps in prop::collection::vec(step(), 1..400)) {
        let mut world = World {
            accounts: Accounts::new(SEGMENTS, SMALL),
            next_serial: 1,
        };
        for step in steps {
            world.step(step);
            world.check();
        }
    }
}
