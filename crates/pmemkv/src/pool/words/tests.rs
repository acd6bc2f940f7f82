//! Words that a crash has cut short, or that are damaged.

use std::path::Path;

use super::super::PoolHeader;
use super::*;

type Result<T = ()> = std::result::Result<T, PoolError>;

fn create(path: &Path, format_version: u32) -> Result<Pool> {
    let header = PoolHeader {
        format_version,
        engine: "cmap".to_owned(),
        layout: "pairs".to_owned(),
        partitions: 1,
        hash_seed: 0,
    };
    Pool::create(path, 16 << 20, &header)
}

/// What the open makes of words that `damage` has changed.
fn reopened(format: u32, damage: impl Fn(&Words<'_>)) -> Result<Pool> {
    let directory = tempfile::tempdir().expect("a directory for the pool");
    let path = directory.path().join("data.pool");
    let pool = create(&path, format)?;
    pool.set_words(0, &[1, 2, 3, 4]);
    pool.set_word(5, 6);
    damage(&pool.root());
    drop(pool);
    let pool = Pool::open(&path)?;
    assert_eq!(pool.root().redo.checksum.load(Ordering::Relaxed), 0);
    if format == FORMAT_VERSION {
        assert_eq!(load(&pool.root().first), load(&pool.root().second));
    }
    Ok(pool)
}

/// A word of a copy, or of its seal.
fn word_of<'a>(copy: &Copy<'a>, n: usize) -> &'a AtomicU64 {
    copy.words.get(n).unwrap_or_else(|| &copy.seal[n - WORDS])
}

fn store_redo(redo: &Redo, checksum: u64, start: u64, count: u64) {
    redo.start.store(start, Ordering::Relaxed);
    redo.count.store(count, Ordering::Relaxed);
    redo.words[0].store(20, Ordering::Relaxed);
    redo.words[1].store(30, Ordering::Relaxed);
    redo.checksum.store(checksum, Ordering::Relaxed);
}

#[test]
fn the_open_finishes_a_valid_set_and_forgets_any_other() -> Result {
    // The words above are the changes 2 and 3 of the pool; the former format did not count them.
    for (format, last, due) in [(FORMAT_VERSION, 3, 4), (FORMAT_WITHOUT_COPY, 0, 0)] {
        let words_after = |checksum, start, count| -> Result<Vec<u64>> {
            let pool = reopened(format, |words| {
                store_redo(words.redo, checksum, start, count);
            })?;
            Ok(pool.words(0, 4))
        };
        let valid = checksum_of_redo(1, &[20, 30], due);
        let count = 2 | due << 32;
        let old = vec![1, 2, 3, 4];
        assert_eq!(words_after(valid, 1, count)?, [1, 20, 30, 4]);
        assert_eq!(words_after(valid, 2, count)?, old);
        assert_eq!(words_after(valid, 1, count - 1)?, old);
        assert_eq!(words_after(valid ^ 2, 1, count)?, old);
        assert_eq!(words_after(7, u64::MAX, count)?, old);
        assert_eq!(words_after(7, 0, 65)?, old);
        assert_eq!(words_after(0, 1, count)?, old);
        if last > 0 {
            // A set of words of before, from a page that has gone back in time.
            let stale = checksum_of_redo(1, &[20, 30], last - 1);
            assert_eq!(words_after(stale, 1, 2 | (last - 1) << 32)?, old);
        }
    }
    Ok(())
}

#[test]
fn one_whole_copy_is_enough_and_the_later_one_counts() -> Result {
    let flip = |word: &AtomicU64| word.store(word.load(Ordering::Relaxed) ^ 8, Ordering::Relaxed);
    let expected = vec![1, 2, 3, 4, 0, 6];
    for n in [0, 40, CHECK, CHANGE] {
        let pool = reopened(FORMAT_VERSION, |words| flip(word_of(&words.first, n)))?;
        assert_eq!(pool.words(0, 6), expected, "{n}");
        assert!(
            pool.mended()
                .is_some_and(|what| what.contains("taken from"))
        );
        let pool = reopened(FORMAT_VERSION, |words| flip(word_of(&words.second, n)))?;
        assert_eq!(pool.words(0, 6), expected, "{n}");
        assert!(pool.mended().is_some());
    }
    // What an earlier change has left in one of the two.
    let stale = |copy: &Copy<'_>| {
        let mut image = load(copy);
        image[5] = 0;
        seal(&mut image, 2);
        for (place, word) in copy.words.iter().chain(copy.seal).zip(image) {
            place.store(word, Ordering::Relaxed);
        }
    };
    let pool = reopened(FORMAT_VERSION, |words| stale(&words.first))?;
    assert_eq!(pool.words(0, 6), expected);
    let pool = reopened(FORMAT_VERSION, |words| stale(&words.second))?;
    assert_eq!(pool.words(0, 6), expected);
    assert_eq!(reopened(FORMAT_VERSION, |_| ())?.mended(), None);

    let both = reopened(FORMAT_VERSION, |words| {
        flip(&words.first.words[3]);
        flip(&words.second.words[4]);
    });
    assert!(matches!(both, Err(PoolError::Damaged { .. })));
    Ok(())
}

#[test]
fn a_set_that_was_cut_short_anywhere_is_finished() -> Result {
    for half in 0..2 {
        let pool = reopened(FORMAT_VERSION, |words| {
            let values = [20, 30];
            store_redo(words.redo, checksum_of_redo(1, &values, 4), 1, 2 | 4 << 32);
            if half == 0 {
                words.first.words[1].store(20, Ordering::Relaxed);
                return;
            }
            let mut image = load(&words.first);
            image[1..3].copy_from_slice(&values);
            seal(&mut image, 4);
            for (place, word) in words.first.words.iter().chain(words.first.seal).zip(image) {
                place.store(word, Ordering::Relaxed);
            }
            words.second.words[2].store(30, Ordering::Relaxed);
        })?;
        assert_eq!(pool.words(0, 6), [1, 20, 30, 4, 0, 6], "{half}");
        assert_eq!(pool.mended(), None);
    }
    Ok(())
}

#[test]
fn numbers_of_changes_wrap() {
    assert!(is_before(1, 2) && !is_before(2, 1) && !is_before(5, 5));
    let last = u64::from(u32::MAX);
    assert!(next(last) == 0 && is_before(last, 0) && !is_before(0, last));
}

#[test]
fn a_pool_of_the_second_format_is_upgraded() -> Result {
    let directory = tempfile::tempdir().expect("a directory for the pool");
    let path = directory.path().join("data.pool");
    let pool = create(&path, 2)?;
    pool.set_words(0, &[1, 2, 3]);
    drop(pool);
    let pool = Pool::open(&path)?;
    assert!(pool.has_copy() && pool.header().format_version == 2);
    pool.upgrade();
    pool.set_word(1, 20);
    drop(pool);
    let pool = Pool::open(&path)?;
    assert_eq!(pool.header().format_version, FORMAT_VERSION);
    assert_eq!(pool.words(0, 3), [1, 20, 3]);
    Ok(())
}

#[test]
fn a_pool_of_the_former_format_is_upgraded() -> Result {
    let directory = tempfile::tempdir().expect("a directory for the pool");
    let path = directory.path().join("data.pool");
    let pool = create(&path, FORMAT_WITHOUT_COPY)?;
    pool.set_words(0, &[1, 2, 3]);
    drop(pool);
    let pool = Pool::open(&path)?;
    assert!(!pool.has_copy() && pool.header().format_version == FORMAT_WITHOUT_COPY);
    pool.set_word(1, 20);
    pool.upgrade();
    pool.set_word(2, 30);
    drop(pool);
    let pool = Pool::open(&path)?;
    assert!(pool.has_copy() && pool.header().format_version == FORMAT_VERSION);
    assert_eq!(pool.words(0, 3), [1, 20, 30]);
    assert_eq!(pool.mended(), None);
    Ok(())
}
