//! Segments of real engines.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use super::super::{Config, Error};
use super::*;

const BYTES: usize = 4096;

fn open(engine: &str, directory: &std::path::Path, create: bool) -> Result<Segments, Error> {
    let mut config = Config::new()?;
    if engine == "cmap" {
        config.put_path(directory.join("segments.pool"))?;
    } else {
        config.put_path(directory)?;
    }
    config.put_size(64 << 20)?;
    if create && engine == "cmap" {
        config.put_force_create(true)?;
    }
    Segments::open(Database::open(engine, config)?, BYTES, 0, 8, None)
}

fn text(segments: &Segments, number: u32, offset: usize, length: usize) -> Option<Vec<u8>> {
    segments.read(number, offset, length, <[u8]>::to_vec)
}

#[test]
fn appends_are_read_where_they_lie() -> Result<(), Error> {
    for engine in ["cmap", "vcmap"] {
        let directory = tempfile::tempdir().expect("a directory");
        let segments = open(engine, directory.path(), true)?;
        assert_eq!(segments.count(), 0);
        assert_eq!((segments.add(&[0; 64])?, segments.add(&[0; 64])?), (0, 1));
        assert_eq!(text(&segments, 0, 0, 1), None);
        segments.append(0, b"hello ", &[1; 24])?;
        segments.append(0, b"world", &[2; 24])?;
        assert_eq!(
            text(&segments, 0, 0, 11).as_deref(),
            Some(&b"hello world"[..])
        );
        assert_eq!(text(&segments, 0, 6, 5).as_deref(), Some(&b"world"[..]));
        assert_eq!(text(&segments, 0, 6, 6), None);
        assert_eq!(text(&segments, 0, usize::MAX, 2), None);
        assert_eq!(text(&segments, 1, 0, 1), None);
        assert_eq!(text(&segments, 7, 0, 0), None);
        let header = segments.header(0)?;
        // The first append writes the second entry, and each one the other.
        assert_eq!(
            (&header[..8], &header[8..32], &header[32..56], &header[56..]),
            (&[0; 8][..], &[2; 24][..], &[1; 24][..], &[0; 8][..])
        );
        let rest = vec![7; BYTES - SEGMENT_HEADER_BYTES - 11];
        segments.append(0, &rest, &[3; 24])?;
        assert!(segments.append(0, b"x", &[4; 24]).is_err());
        segments.reset(0, &[0; 64])?;
        assert_eq!(text(&segments, 0, 0, 1), None);
        segments.append(0, b"again", &[5; 24])?;
        assert_eq!(text(&segments, 0, 0, 5).as_deref(), Some(&b"again"[..]));
        segments.end(0, &[6; 24])?;
        assert_eq!(text(&segments, 0, 0, 1), None);
        segments.append(0, b"once more", &[7; 24])?;
        assert_eq!(text(&segments, 0, 0, 9).as_deref(), Some(&b"once more"[..]));
        let header = segments.header(0)?;
        assert_eq!(
            (&header[8..32], &header[32..56]),
            (&[6; 24][..], &[7; 24][..])
        );
    }
    Ok(())
}

#[test]
fn are_found_again() -> Result<(), Error> {
    let directory = tempfile::tempdir().expect("a directory");
    let segments = open("cmap", directory.path(), true)?;
    segments.add(&[0; 64])?;
    segments.append(0, b"kept", &[9; 24])?;
    drop(segments);
    let segments = open("cmap", directory.path(), false)?;
    assert_eq!(
        (segments.count(), &segments.header(0)?[32..56]),
        (1, &[9; 24][..])
    );
    assert_eq!(text(&segments, 0, 0, 4), None);
    segments.set_readable(0, 4)?;
    assert_eq!(text(&segments, 0, 0, 4).as_deref(), Some(&b"kept"[..]));
    assert!(segments.set_readable(0, 3).is_err());
    assert!(segments.set_readable(0, BYTES).is_err());
    Ok(())
}

#[test]
fn has_a_limit_and_says_what_it_cannot_use() -> Result<(), Error> {
    let directory = tempfile::tempdir().expect("a directory");
    let segments = open("vcmap", directory.path(), true)?;
    for _ in 0..8 {
        segments.add(&[0; 64])?;
    }
    assert!(matches!(segments.add(&[0; 64]), Err(Error::OutOfMemory(_))));
    assert!(matches!(
        open("vsmap", directory.path(), true),
        Err(Error::NotSupported(_))
    ));
    Ok(())
}

/// A reader that began before a reset never sees bytes from after it.
#[test]
fn readers_beside_resets_see_whole_lives() -> Result<(), Error> {
    let directory = tempfile::tempdir().expect("a directory");
    let segments = Arc::new(open("vcmap", directory.path(), true)?);
    segments.add(&[0; 64])?;
    let stop = Arc::new(AtomicBool::new(false));
    let reader = std::thread::spawn({
        let (segments, stop) = (Arc::clone(&segments), Arc::clone(&stop));
        move || {
            let mut met = 0;
            while !stop.load(Ordering::Relaxed) {
                let same = segments.read(0, 0, 1000, |bytes| {
                    bytes.iter().all(|byte| *byte == bytes[0])
                });
                assert_ne!(same, Some(false));
                met += usize::from(same.is_some());
            }
            met
        }
    });
    for life in 0..2_000u32 {
        let byte = life.to_le_bytes()[0];
        segments.append(0, &[byte; 1000], &[0; 24])?;
        if life % 2 == 0 {
            segments.reset(0, &[0; 64])?;
        } else {
            segments.end(0, &[0; 24])?;
        }
    }
    stop.store(true, Ordering::Relaxed);
    reader.join().expect("the reader saw nothing torn");
    Ok(())
}

#[test]
fn extents_hold_segments_like_others() -> Result<(), Error> {
    let directory = tempfile::tempdir().expect("a directory");
    let segments = open("cmap", directory.path(), true)?;
    segments.add(&[1; 64])?;
    assert_eq!(segments.add_extent(3, &[2; 64])?, 1);
    assert_eq!(segments.add(&[3; 64])?, 4);
    assert_eq!(segments.add_extent(2, &[4; 64])?, 5);
    assert!(matches!(
        segments.add_extent(2, &[0; 64]),
        Err(Error::OutOfMemory(_))
    ));
    assert_eq!(segments.count(), 7);
    for number in 0..7u8 {
        segments.append(number.into(), &[number; 40], &[number; 24])?;
    }
    // The engine replaces the header of the right one.
    segments.reset(2, &[9; 64])?;
    drop(segments);
    let segments = open("cmap", directory.path(), false)?;
    assert_eq!(segments.count(), 7);
    for (number, first) in [(0, 1), (1, 2), (2, 9), (3, 2), (4, 3), (5, 4), (6, 4)] {
        assert_eq!(segments.header(number)?[0], first, "{number}");
        segments.set_readable(number, 40)?;
        let byte = u8::try_from(number).expect("few");
        assert_eq!(text(&segments, number, 0, 40), Some(vec![byte; 40]));
    }
    Ok(())
}

#[test]
fn a_ledger_keeps_its_words() -> Result<(), Error> {
    let directory = tempfile::tempdir().expect("a directory");
    let segments = open("cmap", directory.path(), true)?;
    segments.add(&[0; 64])?;
    assert!(!segments.find_ledger()? && segments.ledger().is_empty());
    segments.open_ledger(100)?;
    segments.ledger()[99].store(7, Ordering::Release);
    drop(segments);
    let segments = open("cmap", directory.path(), false)?;
    assert_eq!(segments.count(), 1);
    assert!(segments.open_ledger(99).is_err());
    segments.open_ledger(100)?;
    assert_eq!(segments.ledger()[99].load(Ordering::Acquire), 7);
    Ok(())
}
