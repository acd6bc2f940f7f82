//! A file as processes leave it, and as the next one finds it.

use super::*;

const OWNER_NUMBER: u64 = 7;
const SECRET_NUMBER: u64 = 99;

fn create(path: &Path, stream: &Stream) -> io::Result<Kept> {
    let kept = Kept::create(path, OWNER_NUMBER, 16 * 1024)?;
    kept.expect(SECRET_NUMBER);
    kept.begin(stream);
    kept.is_expected(SECRET_NUMBER);
    Ok(kept)
}

fn found(path: &Path) -> io::Result<Found> {
    Kept::open(path, OWNER_NUMBER, SECRET_NUMBER).map(|(_, found)| found)
}

#[test]
fn a_history_is_found_as_it_was_sealed() -> io::Result<()> {
    let folder = tempfile::tempdir()?;
    let path = folder.path().join("backlog");
    let mut stream = Stream::new();
    stream.keeps = true;
    stream.end = 1000;
    stream.bytes.extend(b"0123456789");
    stream.former = Some((stream.id.chars().rev().collect(), 995));
    let kept = create(&path, &stream)?;
    kept.append(1000, b"abc");
    kept.append(1003, b"def");
    let first = found(&path)?;
    assert_eq!((first.end, &first.bytes[..]), (1000, &b"0123456789"[..]));
    assert_eq!((&first.id, &first.former), (&stream.id, &stream.former));
    kept.seal(1006);
    let second = found(&path)?;
    assert_eq!(second.bytes, b"0123456789abcdef");
    // What is being written takes the room of the first bytes.
    let long: Vec<u8> = (0..16_380u32).map(|n| n.to_le_bytes()[0]).collect();
    kept.append(1006, &long);
    let third = found(&path)?;
    assert_eq!(third.end, 1006);
    assert_eq!(third.bytes, b"cdef");
    kept.seal(1006 + 16_380);
    let fourth = found(&path)?;
    assert_eq!(fourth.bytes.len(), 16 * 1024);
    assert_eq!(fourth.bytes[..4], b"cdef"[..]);
    assert_eq!(fourth.bytes[4..], long);
    let longer = vec![b'x'; 50_000];
    kept.append(17_386, &longer);
    kept.seal(67_386);
    let fifth = found(&path)?;
    assert_eq!(fifth.bytes, vec![b'x'; 16 * 1024]);
    // A process dies while it writes. What it has overwritten stays lost, also when the next one has gone on from before.
    kept.append(67_386, &[b'y'; 1000]);
    let (next, sixth) = Kept::open(&path, OWNER_NUMBER, SECRET_NUMBER)?;
    assert_eq!(sixth.bytes, vec![b'x'; 16 * 1024 - 1000]);
    next.append(67_386, b"z");
    next.seal(67_387);
    let seventh = found(&path)?;
    assert_eq!(seventh.bytes.len(), 16 * 1024 - 999);
    assert!(!seventh.bytes.contains(&b'y'));
    next.discard();
    assert!(found(&path).is_err());
    Ok(())
}

#[test]
fn keys_are_named_until_their_effects_are_sealed() -> io::Result<()> {
    let folder = tempfile::tempdir()?;
    let path = folder.path().join("backlog");
    let kept = create(&path, &Stream::new())?;
    let name = |db: usize, key: &str| (db, key.as_bytes().to_vec());
    let first = kept.begin_intent(Subject::Key(1, b"first key"));
    let second = kept.begin_intent(Subject::Key(0, b""));
    assert_eq!(found(&path)?.keys, [name(0, ""), name(1, "first key")]);
    kept.end(second, 5);
    kept.release(6);
    assert_eq!(found(&path)?.keys.len(), 2, "the first one is under way");
    kept.end(first, 6);
    kept.release(6);
    assert_eq!(found(&path)?.keys.len(), 2);
    kept.release(7);
    assert!(found(&path)?.keys.is_empty());
    // Round and round.
    for n in 0..40_000u64 {
        let key = n.to_string().repeat(20);
        let number = kept.begin_intent(Subject::Key(15, key.as_bytes()));
        kept.end(number, n + 10);
        if n % 7 == 0 {
            kept.release(n + 10);
            assert!(n % 700 != 0 || found(&path)?.keys == [name(15, &key)]);
        }
    }
    kept.release(u64::MAX);
    kept.begin_intent(Subject::Key(2, b"left"));
    // The next process names more behind it.
    let (next, left) = Kept::open(&path, OWNER_NUMBER, SECRET_NUMBER)?;
    assert_eq!(left.keys, [name(2, "left")]);
    let all = next.adopt_log();
    let own = next.begin_intent(Subject::Key(3, b"own"));
    assert_eq!(found(&path)?.keys, [name(2, "left"), name(3, "own")]);
    next.end(all, 1);
    next.release(2);
    assert_eq!(found(&path)?.keys, [name(3, "own")]);
    next.end(own, 2);
    next.begin_intent(Subject::All);
    let error = found(&path).map(|found| found.keys);
    let error = error.err().map(|error| error.to_string());
    assert!(error.is_some_and(|error| error.contains("about to change")));
    Ok(())
}

#[test]
fn a_batch_names_its_keys_until_its_last_effect_is_sealed() -> io::Result<()> {
    let folder = tempfile::tempdir()?;
    let path = folder.path().join("backlog");
    let kept = Arc::new(create(&path, &Stream::new())?);
    let key = |key: &'static str| Subject::Key(0, key.as_bytes());
    let named = || -> io::Result<Vec<String>> {
        let keys = found(&path)?.keys.into_iter();
        Ok(keys
            .map(|(_, key)| String::from_utf8_lossy(&key).into_owned())
            .collect())
    };
    let first = Intent::begin(Arc::clone(&kept), key("a"));
    let second = Intent::begin(Arc::clone(&kept), key("b"));
    assert!(first.add(kept.number, key("c")) && second.add(kept.number, key("d")));
    assert!(!first.add(kept.number + 1, key("of another file")));
    assert_eq!(named()?, ["a", "b", "c", "d"]);
    second.end(4);
    kept.release(5);
    assert_eq!(named()?, ["a", "b", "c", "d"], "the first one may be older");
    let third = Intent::begin(Arc::clone(&kept), key("e"));
    first.end(5);
    kept.release(5);
    assert_eq!(named()?.len(), 5);
    kept.release(6);
    assert_eq!(named()?, ["e"]);
    third.end(0);
    kept.release(6);
    assert!(named()?.is_empty());
    Ok(())
}

#[test]
fn a_hole_lasts_until_nothing_is_under_way() -> io::Result<()> {
    let folder = tempfile::tempdir()?;
    let path = folder.path().join("backlog");
    let kept = create(&path, &Stream::new())?;
    let key = vec![b'k'; KEY_BYTES_MAX];
    let numbers: Vec<u64> = (0..70)
        .map(|_| kept.begin_intent(Subject::Key(0, &key)))
        .collect();
    assert!(found(&path).is_err(), "more than the log takes");
    for number in &numbers[1..] {
        kept.end(*number, 3);
    }
    kept.release(4);
    assert!(found(&path).is_err());
    kept.end(numbers[0], 9);
    kept.release(10);
    assert!(found(&path)?.keys.is_empty());
    let number = kept.begin_intent(Subject::Key(3, b"k"));
    assert_eq!(found(&path)?.keys, [(3, b"k".to_vec())]);
    kept.end(number, 10);
    Ok(())
}

#[test]
fn files_of_others_are_refused() -> io::Result<()> {
    let folder = tempfile::tempdir()?;
    let path = folder.path().join("backlog");
    let kept = create(&path, &Stream::new())?;
    assert!(Kept::open(&path, OWNER_NUMBER + 1, SECRET_NUMBER).is_err());
    assert!(Kept::open(&path, OWNER_NUMBER, SECRET_NUMBER + 1).is_err());
    // While the pool gets another secret, either is right.
    kept.expect(5);
    assert!(Kept::open(&path, OWNER_NUMBER, 5).is_ok());
    assert!(found(&path).is_ok());
    kept.is_expected(5);
    assert!(found(&path).is_err());
    assert!(Kept::open(&path, OWNER_NUMBER, 0).is_err());
    // Damage: a range of words at a time.
    let words = kept.file.words();
    for at in [
        FORM,
        VALID,
        BACKLOG_BYTES,
        LOG_WORDS,
        BASE,
        WRITING,
        LOG_HEAD,
        ID,
    ] {
        let before = words[at].swap(u64::MAX - 3, Ordering::Relaxed);
        assert!(Kept::open(&path, OWNER_NUMBER, 5).is_err(), "word {at}");
        words[at].store(before, Ordering::Relaxed);
    }
    assert!(Kept::open(&path, OWNER_NUMBER, 5).is_ok());
    Ok(())
}
