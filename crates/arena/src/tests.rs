//! Tests of the arena: what a region holds after its process has ended at any moment.

use std::path::Path;

use super::*;

const IDENTITY: Identity = Identity {
    layout: 1,
    seed: 2,
    file: [3, 4],
    opens: 5,
    boot: [6, 7],
};

const OWNER: Owner = Owner {
    shard: 1,
    generation: 2,
};

fn open(path: &Path) -> (&'static Arena, Opening) {
    Arena::open(path, 64 << 20, &IDENTITY).expect("it can be opened")
}

fn word(arena: &Arena, at: usize) -> u64 {
    arena.slice(at, 1)[0].load(Ordering::Relaxed)
}

#[test]
fn what_was_not_published_is_taken_back() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("arena");
    let (arena, _) = open(&path);
    let mut region = Region::new(arena, OWNER, arena.mark());
    let first = region.take(Kind::Heads) * LINE_WORDS;
    for at in 0..EXTENT_WORDS {
        region.set(first + at, at as u64);
    }
    let mark = arena.begin_mark();
    region.note_mark(mark);
    // More than an extent of old values, and words that change again and again.
    for round in 1..6 {
        for at in 0..EXTENT_WORDS {
            region.set(first + at, (at * 10 + round) as u64);
        }
    }
    arena.publish(mark, Point::default());
    let unpublished = arena.begin_mark();
    region.note_mark(unpublished);
    region.set(first, 77);
    arena.release();
    // The next process is killed before it has published anything, too.
    for _ in 0..3 {
        let (arena, opening) = open(&path);
        let Opening::Left(_, mut found) = opening else {
            panic!("{opening:?}");
        };
        let mut region = Region::reopen(arena, found.pop().expect("a region")).expect("it fits");
        for at in 0..EXTENT_WORDS {
            assert_eq!(word(arena, first + at), at as u64);
            region.set(first + at, 1);
        }
        arena.release();
    }
}

#[test]
fn a_region_made_while_a_mark_is_begun_counts_by_the_mark_that_its_owner_has_noted() {
    for noted_first in [false, true] {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("arena");
        let (arena, _) = open(&path);
        arena.publish(arena.begin_mark(), Point::default());
        let before = arena.mark();
        let mark = arena.begin_mark();
        let noted = if noted_first { mark.number } else { before };
        let mut region = Region::new(arena, OWNER, noted);
        let first = region.take(Kind::Heads) * LINE_WORDS;
        region.set(first, 7);
        region.note_mark(mark);
        region.set(first + 1, 8);
        arena.publish(mark, Point::default());
        arena.release();
        let (arena, opening) = open(&path);
        let Opening::Left(_, mut found) = opening else {
            panic!("{opening:?}");
        };
        let _region = Region::reopen(arena, found.pop().expect("a region")).expect("it fits");
        let held = (word(arena, first), word(arena, first + 1));
        assert_eq!(held, if noted_first { (0, 0) } else { (7, 0) });
    }
}

#[test]
fn words_that_change_together_are_taken_back_together() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("arena");
    let (arena, _) = open(&path);
    let mut region = Region::new(arena, OWNER, arena.mark());
    let first = region.take(Kind::Heads) * LINE_WORDS;
    let extent = u32::try_from(first / EXTENT_WORDS).expect("an extent");
    let mark = arena.begin_mark();
    region.note_mark(mark);
    arena.publish(mark, Point::default());
    // An extent of old values has no whole number of threes, nor of twos behind one.
    region.set(first, 1);
    for round in 2..500 {
        let line = arena.lines(extent).line(round);
        let one = arena.run::<2>(first);
        region.set_all([
            (one.word(0), round as u64),
            (one.word(1), round as u64),
            (line.word(7), round as u64),
        ]);
        region.set_all([(line.word(5), round as u64), (line.word(6), 1)]);
        assert_eq!((one.get(0), line.get(7)), (round as u64, round as u64));
    }
    arena.release();
    let (arena, opening) = open(&path);
    let Opening::Left(_, mut found) = opening else {
        panic!("{opening:?}");
    };
    let _region = Region::reopen(arena, found.pop().expect("a region")).expect("it fits");
    for at in 0..EXTENT_WORDS {
        assert_eq!(word(arena, first + at), 0, "word {at}");
    }
}

#[test]
fn extents_are_given_out_again_only_behind_a_mark() {
    let folder = tempfile::tempdir().expect("a folder");
    let (arena, _) = open(&folder.path().join("arena"));
    let mut region = Region::new(arena, OWNER, arena.mark());
    let line = region.take(Kind::Blocks);
    drop(region);
    let mut other = Region::new(arena, OWNER, arena.mark());
    assert_ne!(other.take(Kind::Blocks), line);
    for _ in 0..2 {
        let mark = arena.begin_mark();
        arena.publish(mark, Point::default());
    }
    assert_eq!(other.take(Kind::Blocks), line);
}

#[test]
fn more_old_values_than_fit_are_a_risk_until_the_next_mark() {
    let folder = tempfile::tempdir().expect("a folder");
    let (arena, _) = open(&folder.path().join("arena"));
    let mut region = Region::new(arena, OWNER, arena.mark());
    let first = region.take(Kind::Heads) * LINE_WORDS;
    let publish = |region: &mut Region| {
        let mark = arena.begin_mark();
        region.note_mark(mark);
        arena.publish(mark, Point::default());
    };
    publish(&mut region);
    assert!(arena.is_settled());
    for value in 1..40_000 {
        region.set(first, value);
    }
    assert!(!arena.is_settled());
    publish(&mut region);
    assert!(arena.is_settled());
}

#[test]
fn an_arena_without_room_goes_on_and_does_not_count() {
    use nix::sys::resource::{Resource, setrlimit};
    use nix::sys::signal::{SigHandler, Signal, signal};
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("arena");
    // SAFETY: to ignore a signal runs no code.
    unsafe { signal(Signal::SIGXFSZ, SigHandler::SigIgn) }.expect("it can be ignored");
    setrlimit(Resource::RLIMIT_FSIZE, 4 << 20, 4 << 20).expect("it can be lowered");
    let (arena, _) = open(&path);
    let mut region = Region::new(arena, OWNER, arena.mark());
    arena.publish(arena.begin_mark(), Point::default());
    let mut last = 0;
    for number in 0..2_000 {
        last = region.take(Kind::Blocks) * LINE_WORDS;
        region.set(last, number);
    }
    assert_eq!(word(arena, last), 1_999);
    arena.publish(arena.begin_mark(), Point::default());
    arena.release();
    let (_, opening) = open(&path);
    assert!(matches!(opening, Opening::Fresh(_)), "{opening:?}");
}

#[test]
fn a_file_that_ends_too_early_is_noticed() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("arena");
    let (arena, _) = open(&path);
    let mut region = Region::new(arena, OWNER, arena.mark());
    for _ in 0..2_000 {
        region.take(Kind::Blocks);
    }
    arena.publish(arena.begin_mark(), Point::default());
    arena.release();
    let file = File::options()
        .write(true)
        .open(&path)
        .expect("it is there");
    file.set_len(PIECE_BYTES as u64).expect("it can be cut");
    let (_, opening) = open(&path);
    assert!(matches!(opening, Opening::Fresh(_)), "{opening:?}");
}
