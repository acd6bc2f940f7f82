//! Sketches: their form, byte for byte, and what damaged ones do.

use proptest::prelude::*;

use super::REGISTERS;
use super::hash::Mark;
use super::sketch::{Draft, HEADER_BYTES, Ranks, Sketch};
use super::sparse::Corrupt;

const SPARSE_BYTES_MAX: usize = 3000;

/// The registers of a sketch that has seen x, y and z.
const XYZ: &[u8] = b"\x61\x84\x80\x58\xcd\x88\x45\xa0\x84\x08";

/// How many numbers a sketch has seen, and the estimate.
const ESTIMATES: &[(u32, u64)] = &[
    (0, 0),
    (1, 1),
    (2, 2),
    (3, 3),
    (10, 10),
    (100, 100),
    (1000, 1001),
    (5000, 4985),
    (20_000, 19_891),
    (100_000, 99_565),
];

fn sketch_of<E: AsRef<[u8]>>(elements: impl IntoIterator<Item = E>, bytes_max: usize) -> Vec<u8> {
    let mut draft = Draft::empty();
    for element in elements {
        let raised = draft.raise(Mark::of(element.as_ref()), bytes_max);
        assert!(raised.is_ok());
    }
    draft.finish()
}

fn numbers(count: u32) -> impl Iterator<Item = String> {
    (0..count).map(|number| number.to_string())
}

fn opened(bytes: &[u8]) -> Sketch<'_> {
    Sketch::from_bytes(bytes).expect("the bytes are a sketch's")
}

fn estimate(bytes: &[u8]) -> u64 {
    opened(bytes).estimate().expect("the sketch is whole")
}

fn ranks(bytes: &[u8]) -> Result<Box<Ranks>, Corrupt> {
    let mut ranks = Box::new([0; REGISTERS]);
    opened(bytes).merge_into(&mut ranks).map(|()| ranks)
}

/// The ranks that elements should give.
fn model(elements: &[Vec<u8>]) -> Box<Ranks> {
    let mut ranks = Box::new([0; REGISTERS]);
    for mark in elements.iter().map(|element| Mark::of(element)) {
        let rank = &mut ranks[mark.register];
        *rank = mark.rank.max(*rank);
    }
    ranks
}

/// A sparse sketch of these codes, which is out of date.
fn sparse(codes: &[u8]) -> Vec<u8> {
    [b"HYLL\x01\0\0\0\0\0\0\0\0\0\0\x80", codes].concat()
}

#[test]
fn the_form_is_that_of_redis() {
    let empty: [&str; 0] = [];
    assert_eq!(sketch_of(empty, SPARSE_BYTES_MAX), sparse(b"\x7f\xff"));
    // What redis-server 7.0 keeps after PFADD of x, y and z.
    assert_eq!(sketch_of(["x", "y", "z"], SPARSE_BYTES_MAX), sparse(XYZ));
}

#[test]
fn estimates_are_those_of_redis() {
    // What redis-server 7.0 answers to PFCOUNT of as many numbers, from 0 on.
    for &(count, expected) in ESTIMATES {
        // A long sparse sketch takes its time: here it gets no more elements than it needs to be long.
        let longer = (count <= 5000).then_some(12_000);
        for bytes_max in [0, SPARSE_BYTES_MAX].into_iter().chain(longer) {
            let sketch = sketch_of(numbers(count), bytes_max);
            assert_eq!(estimate(&sketch), expected, "{count} {bytes_max}");
        }
    }
}

#[test]
fn a_sketch_that_grows_becomes_dense() {
    let is_dense = |count, bytes_max| {
        let sketch = sketch_of(numbers(count), bytes_max);
        let dense = opened(&sketch).is_dense();
        assert!(dense || sketch.len() <= bytes_max.max(HEADER_BYTES + 2));
        dense
    };
    assert!(is_dense(1, 0));
    assert!(!is_dense(500, SPARSE_BYTES_MAX));
    assert!(is_dense(20_000, SPARSE_BYTES_MAX));
}

#[test]
fn ranks_beyond_the_sparse_form_make_it_dense() {
    for register in [0, 1, 5000, REGISTERS - 1] {
        for (rank, dense) in [(32, false), (33, true), (51, true)] {
            let mut draft = Draft::empty();
            let raised = draft.raise(Mark { register, rank }, SPARSE_BYTES_MAX);
            assert!(raised.is_ok());
            let bytes = draft.finish();
            assert_eq!(opened(&bytes).is_dense(), dense);
            let mut expected = Box::new([0; REGISTERS]);
            expected[register] = rank;
            assert_eq!(ranks(&bytes), Ok(expected));
        }
    }
}

#[test]
fn estimates_are_kept() {
    let bytes = sketch_of(numbers(100), SPARSE_BYTES_MAX);
    assert_eq!(opened(&bytes).cached(), None);
    let kept = opened(&bytes).with_estimate(100);
    assert_eq!(opened(&kept).cached(), Some(100));
    // An element that changes nothing leaves it, another one does not.
    let marks = |element: &str| std::iter::once(Mark::of(element.as_bytes()));
    let again = opened(&kept).with_marks(marks("7"), SPARSE_BYTES_MAX);
    assert_eq!(again, Ok(None));
    let more = opened(&kept).with_marks(marks("new"), SPARSE_BYTES_MAX);
    let (more, changes) = more.expect("whole").expect("changed");
    assert_eq!(changes, 1);
    assert_eq!(opened(&more).cached(), None);
    assert_eq!(more[8..16], [100, 0, 0, 0, 0, 0, 0, 0x80]);
}

#[test]
fn other_strings_are_no_sketches() {
    let dense = sketch_of(numbers(1), 0);
    assert!(Sketch::from_bytes(&dense).is_some());
    assert!(Sketch::from_bytes(&dense[1..]).is_none());
    assert!(Sketch::from_bytes(&dense[..dense.len() - 1]).is_none());
    assert!(Sketch::from_bytes(b"HYLL\x01\0\0\0\0\0\0\0\0\0\0").is_none());
    assert!(Sketch::from_bytes(b"HYLL\x02\0\0\0\0\0\0\0\0\0\0\0").is_none());
    assert!(Sketch::from_bytes(b"HYLl\x01\0\0\0\0\0\0\0\0\0\0\0").is_none());
    assert!(Sketch::from_bytes(b"").is_none());
}

#[test]
fn corrupt_registers_are_found() {
    let element = || {
        std::iter::once(Mark {
            register: 9000,
            rank: 5,
        })
    };
    // Too few registers: none at all, one too few, and a code that is cut off.
    for codes in [&b""[..], b"\x7f\xfe", b"\x7f"] {
        let bytes = sparse(codes);
        assert_eq!(opened(&bytes).estimate(), Err(Corrupt), "{codes:?}");
        assert_eq!(ranks(&bytes), Err(Corrupt), "{codes:?}");
    }
    let bytes = sparse(b"\x5f\xff");
    assert_eq!(opened(&bytes).with_marks(element(), 3000), Err(Corrupt));
    // Too many.
    for codes in [&b"\x7f\xff\x00"[..], b"\x7f\xff\x80", b"\x7f\xff\x7f\xff"] {
        let bytes = sparse(codes);
        assert_eq!(opened(&bytes).estimate(), Err(Corrupt), "{codes:?}");
        assert_eq!(ranks(&bytes), Err(Corrupt), "{codes:?}");
        // Such a one can't become dense.
        assert_eq!(opened(&bytes).with_marks(element(), 0), Err(Corrupt));
    }
}

proptest! {
    #[test]
    fn registers_hold_the_highest_ranks(
        elements in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..24), 0..300),
        bytes_max in prop::sample::select(vec![0, 30, 200, SPARSE_BYTES_MAX, 16_000]),
    ) {
        let bytes = sketch_of(&elements, bytes_max);
        prop_assert_eq!(ranks(&bytes), Ok(model(&elements)));
    }

    #[test]
    fn all_at_once_is_one_after_the_other(
        first in prop::collection::vec(0_u16..2000, 0..100),
        second in prop::collection::vec(0_u16..2000, 0..100),
        bytes_max in prop::sample::select(vec![0, 100, SPARSE_BYTES_MAX]),
    ) {
        let first: Vec<_> = first.iter().map(ToString::to_string).collect();
        let second: Vec<_> = second.iter().map(ToString::to_string).collect();
        let before = sketch_of(&first, bytes_max);
        let marks = second.iter().map(|element| Mark::of(element.as_bytes()));
        let after = opened(&before).with_marks(marks, bytes_max);
        let together = sketch_of(first.iter().chain(&second), bytes_max);
        match after {
            Ok(Some((after, _))) => prop_assert_eq!(after, together),
            Ok(None) => prop_assert_eq!(before, together),
            Err(Corrupt) => prop_assert!(false, "a sketch is corrupt"),
        }
    }

    #[test]
    fn no_bytes_make_it_panic(
        mut bytes in prop::collection::vec(any::<u8>(), 0..200),
        codes in prop::collection::vec(prop::sample::select(vec![0x00, 0x3f, 0x40, 0x7f, 0x80, 0xff]), 0..60),
        form in 0_u8..3,
        marks in prop::collection::vec((0..REGISTERS, 1_u8..=51), 0..20),
        bytes_max in prop::sample::select(vec![0, 40, SPARSE_BYTES_MAX, 20_000]),
    ) {
        let header = [b"HYLL".as_slice(), &[form], &[0; 11]].concat();
        let marks = || marks.iter().map(|&(register, rank)| Mark { register, rank });
        bytes.extend(codes);
        let mut dense = [&header, bytes.as_slice()].concat();
        dense.resize(HEADER_BYTES + REGISTERS * 6 / 8, 0xff);
        for bytes in [bytes.clone(), [&header, bytes.as_slice()].concat(), dense] {
            let Some(sketch) = Sketch::from_bytes(&bytes) else {
                continue;
            };
            let is_whole = sketch.estimate().is_ok();
            prop_assert_eq!(ranks(&bytes).is_ok(), is_whole);
            let mut draft = Draft::copy(sketch);
            prop_assert_eq!(draft.make_dense().is_ok(), is_whole);
            let changed = sketch.with_marks(marks(), bytes_max);
            if is_whole {
                let changed = changed.expect("whole").map_or_else(|| bytes.clone(), |(bytes, _)| bytes);
                let mut expected = ranks(&bytes).expect("whole");
                for mark in marks() {
                    expected[mark.register] = mark.rank.max(expected[mark.register]);
                }
                prop_assert_eq!(ranks(&changed), Ok(expected));
            }
        }
    }
}
