//! Scans page by page while the table grows and shrinks, with cursors as clients carry them.

use super::*;

/// The number of pages after which the table stops changing. A scan of a table that grows faster than the scan might
/// not end.
const CHANGES_MAX: usize = 80;

/// A table of four-byte numbers.
struct Numbers<'h> {
    table: Table<'h>,
    /// The lowest hash of the table's shard.
    first_hash: u64,
    /// The added numbers besides those that stay, oldest first.
    passing: Vec<u32>,
    next: u32,
}

impl<'h> Numbers<'h> {
    /// A table of the keys from 0 to `stays`.
    fn new(skip_bits: u32, first_hash: u64, hasher: HashKey<'h>, stays: u32) -> Self {
        let mut table = Self {
            table: Table::new(skip_bits, Naming::InRecords, hasher),
            first_hash,
            passing: Vec::new(),
            next: stays,
        };
        (0..stays).for_each(|number| table.insert(number));
        table
    }

    fn insert(&mut self, number: u32) {
        self.table
            .insert(&number.to_be_bytes(), number.into(), None);
    }

    /// Adds this many keys, or removes the oldest of the added ones.
    fn change(&mut self, by: i32) {
        let many = by.unsigned_abs();
        if by > 0 {
            (self.next..self.next + many).for_each(|number| self.insert(number));
            self.passing.extend(self.next..self.next + many);
            self.next += many;
        } else {
            let going = self.passing.len().min(many as usize);
            for number in self.passing.drain(..going) {
                assert!(self.table.remove(&number.to_be_bytes()).is_some());
            }
        }
    }

    /// Scans the table in pages of `count` keys, and makes the next of `changes` after each page. Checks that the scan
    /// visits the keys from 0 to `stays` once and all others at most once. Returns how many keys the largest page had.
    fn walk(&mut self, stays: u32, count: usize, changes: &[i32]) -> usize {
        let mut met: Vec<u8> = Vec::new();
        let mut largest = 0;
        let mut cursor = Cursor::at(self.first_hash);
        for page in 0.. {
            let mut here = 0;
            let next = self.table.scan(cursor, count, &mut |found| {
                let key = found.key.try_into().expect("four bytes");
                let number = u32::from_be_bytes(key) as usize;
                if met.len() <= number {
                    met.resize(number + 1, 0);
                }
                met[number] += 1;
                here += 1;
            });
            largest = largest.max(here);
            let Some(next) = next else {
                break;
            };
            assert!(here >= count, "a page of {here} keys, wanted were {count}");
            let next = next.carried();
            assert!(next > cursor, "the walk stands still at {next:?}");
            cursor = next;
            if page < CHANGES_MAX {
                self.change(changes[page % changes.len()]);
            }
        }
        met.resize(met.len().max(stays as usize), 0);
        assert!(met[..stays as usize].iter().all(|&times| times == 1));
        assert!(met.iter().all(|&times| times <= 1));
        largest
    }
}

/// A hash of all 64 bits; the same at each run.
fn spread(key: &[u8]) -> u64 {
    xxhash_rust::xxh3::xxh3_64(key)
}

fn in_shard(key: &[u8]) -> u64 {
    (spread(key) >> SKIP_BITS) | (5 << (64 - SKIP_BITS))
}

/// Seven keys of different hashes share one cursor.
fn in_sevens(key: &[u8]) -> u64 {
    let number = u32::from_be_bytes(key.try_into().expect("four bytes"));
    (spread(&(number / 7).to_be_bytes()) & !0xffff) | u64::from(number % 7 * 9_000)
}

/// All keys have the cursor 0.
fn all_at_the_start(key: &[u8]) -> u64 {
    spread(key) & 0xffff
}

/// All keys have the last cursor.
fn all_at_the_end(key: &[u8]) -> u64 {
    spread(key) | !0xffff
}

/// Hashes that leave the index only four bits of a cursor to separate the keys.
fn below_44_bits(key: &[u8]) -> u64 {
    (spread(key) >> 44) | 0xabc << 52
}

/// The changes of the table after the pages of a scan.
fn changes() -> impl Strategy<Value = Vec<i32>> {
    let change = prop_oneof![-600..600i32, -30..30i32];
    prop::collection::vec(change, 1..12)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn a_walk_meets_what_stays_once(
        stays in prop_oneof![0..80u32, 0..4_000u32],
        count in prop_oneof![1..30usize, 1..2_000usize],
        changes in changes(),
    ) {
        // Pages are small enough that the table changes during most of the scan.
        let count = count.max(stays as usize / 60);
        for (skip_bits, first_hash, hasher) in [
            (0, 0, &spread as HashKey<'_>),
            (SKIP_BITS, 5 << (64 - SKIP_BITS), &in_shard),
            (0, 0, &in_sevens),
        ] {
            let mut table = Numbers::new(skip_bits, first_hash, hasher, stays);
            table.change(changes[0]);
            let largest = table.walk(stays, count, &changes);
            prop_assert!(largest < count + 7, "a page of {} keys, wanted were {}", largest, count);
        }
    }

    #[test]
    fn keys_of_one_cursor_are_one_page(stays in 0..600u32, count in 1..40usize, changes in changes()) {
        for hasher in [&all_at_the_start as HashKey<'_>, &all_at_the_end] {
            let mut table = Numbers::new(0, 0, hasher, stays);
            let largest = table.walk(stays, count, &changes);
            prop_assert_eq!(largest, stays as usize);
        }
    }

    #[test]
    fn no_leaf_begins_between_two_cursors(stays in 0..3_000u32, count in 1..40usize, changes in changes()) {
        let mut table = Numbers::new(44, 0xabc << 52, &below_44_bits, stays);
        table.walk(stays, count, &changes);
    }
}

#[test]
fn a_walk_of_a_million_keys() {
    const STAYS: u32 = 1_000_000;

    let mut table = Numbers::new(0, 0, &spread, STAYS);
    let largest = table.walk(STAYS, 50_000, &[90_000, 10_000, -60_000, -40_000]);
    assert_eq!(largest, 50_000);
}

/// A scan ends, whatever cursor the client sends.
#[test]
fn a_walk_from_any_number_ends() {
    let table = Numbers::new(0, 0, &spread, 2_000);
    let mut last = usize::MAX;
    for number in [0, 1, 1 << 40, (1 << 48) - 1, 1 << 48, 1 << 63, u64::MAX] {
        let mut pages = 0;
        let mut next = Some(Cursor::from_number(number));
        while let Some(cursor) = next {
            next = table.table.scan(cursor, 10, &mut |_| {});
            assert!(next.is_none_or(|next| next > cursor));
            pages += 1;
        }
        assert!(pages <= 201, "{pages} pages from {number}");
        last = last.min(pages);
    }
    assert_eq!(last, 1, "the greatest number is behind all keys");
}
