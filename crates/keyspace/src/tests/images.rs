//! Images show one moment, whatever commands change meanwhile: compared with a model, over a store in memory.

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use redis_core::serialised::Object;

use super::*;

const LIMIT_BYTES: usize = 1 << 20;

fn copy(view: View<'_>) -> Result<Object> {
    Ok(match view {
        View::String(string) => Object::String(string.whole()?.into_owned()),
        View::Hash(fields) => {
            let mut pairs = Vec::new();
            fields.for_each(|field, value| pairs.push((field.to_vec(), value.to_vec())))?;
            pairs.sort();
            Object::Hash(pairs)
        }
        _ => return Err(KeyspaceError::Failed("the test has no others")),
    })
}

type Contents = BTreeMap<(usize, Vec<u8>), (Object, Option<Millis>)>;

/// What the keys hold now.
fn contents(keyspace: &Keyspace) -> Result<Contents> {
    let now = now_ms();
    let mut contents = Contents::new();
    for db in 0..DATABASES {
        for key in scan_all(keyspace, db, 100, now)? {
            let expires_at = keyspace
                .info(db, &key, at(now))?
                .and_then(|info| info.expires_at);
            let value = keyspace.view(db, &key, at(now), |view| view.map(copy))?;
            if let Some(value) = value.transpose()? {
                contents.insert((db, key), (value, expires_at));
            }
        }
    }
    Ok(contents)
}

/// Adds keys of an image to what it has brought. Each comes once.
fn add(keys: &mut Vec<ImageKey>, read: &mut Contents) {
    for key in keys.drain(..) {
        let name = (key.db, key.key);
        let before = read.insert(name.clone(), (key.value, key.info.expires_at));
        assert_eq!(before, None, "{name:?} comes twice");
    }
}

/// One random change of a random key.
fn change(keyspace: &Keyspace, random: &mut StdRng) -> Result<()> {
    let db = random.random_range(0..3);
    let key = format!("key{}", random.random_range(0..400)).into_bytes();
    let other = format!("key{}", random.random_range(0..400)).into_bytes();
    let value = random.random::<u32>().to_string().into_bytes();
    let later = now_ms() + random.random_range(1_000_000..9_000_000);
    let access = at(now_ms());
    match random.random_range(0..10) {
        0..3 => keyspace.update(db, &key, access, |slot| {
            let expires_at = random.random_bool(0.5).then_some(later);
            slot.put(Kind::String, &value, expires_at)
        }),
        3 => keyspace.update(db, &key, access, |slot| slot.remove().map(drop)),
        4 => keyspace.update(db, &key, access, |slot| {
            slot.set_expiry(random.random_bool(0.7).then_some(later))
        }),
        5..8 => {
            let changed = keyspace.update_many(&[(db, &key)], access, |keys| {
                let mut hash = keys.fields(0, Kind::Hash)?;
                for n in 0..random.random_range(1..4) {
                    let field = [b'a' + n];
                    if random.random_bool(0.3) {
                        hash.remove(&field)?;
                    } else {
                        hash.put(&field, &value)?;
                    }
                }
                Ok(())
            });
            match changed {
                Err(KeyspaceError::WrongKind) => Ok(()),
                other => other,
            }
        }
        8 => keyspace.update_many(&[(db, &key), (2, &other)], access, |keys| {
            keys.put(0, Kind::String, &value, None);
            keys.remove(1);
            Ok(())
        }),
        _ => {
            if random.random_bool(0.1) {
                keyspace.databases().swap(0, 2)?;
            }
            Ok(())
        }
    }
}

#[test]
fn an_image_shows_its_moment() -> Result<()> {
    for seed in 0..8 {
        let (keyspace, _) = fresh(seed % 3 == 0);
        let random = &mut StdRng::seed_from_u64(seed);
        for _ in 0..random.random_range(0..3000) {
            change(&keyspace, random)?;
        }
        for _ in 0..3 {
            let expected = contents(&keyspace)?;
            keyspace.images().prepare()?;
            let mut image = keyspace
                .images()
                .begin(copy, LIMIT_BYTES)
                .expect("no other one is taken");
            let keys: u64 = image.sizes().iter().map(|sizes| sizes.keys).sum();
            assert_eq!(keys, expected.len() as u64);
            let (mut read, mut batch) = (Contents::new(), Vec::new());
            // From changes that are far faster than the walk to none.
            let pace = random.random_range(0..12);
            loop {
                for _ in 0..random.random_range(0..=pace) {
                    change(&keyspace, random)?;
                }
                let goes_on = image.next(&mut batch).expect("nothing disturbs it");
                add(&mut batch, &mut read);
                if !goes_on {
                    break;
                }
            }
            assert_eq!(read, expected, "seed {seed}");
            drop(image);
            assert!(!keyspace.images().is_taken());
        }
    }
    Ok(())
}

#[test]
fn another_image_a_flush_and_too_many_changes() -> Result<()> {
    let (keyspace, _) = fresh(false);
    for n in 0..2000 {
        put(&keyspace, 0, format!("key{n}").as_bytes(), b"value")?;
    }
    let begin = |limit| keyspace.images().begin(copy, limit);
    let mut image = begin(LIMIT_BYTES).expect("none is taken");
    assert!(matches!(begin(LIMIT_BYTES), Err(ImageError::Busy)));
    let mut batch = Vec::new();
    assert!(image.next(&mut batch).expect("it goes on"));
    keyspace.databases().flush(5)?;
    let error = image.next(&mut batch).expect_err("a database was emptied");
    assert!(matches!(error, ImageError::Flushed) && error.is_passing());
    assert!(image.next(&mut batch).is_err());
    drop(image);

    let mut image = begin(20_000).expect("none is taken");
    for n in 0..2000 {
        put(&keyspace, 0, format!("key{n}").as_bytes(), b"other")?;
    }
    let error = loop {
        match image.next(&mut batch) {
            Ok(true) => {}
            Ok(false) => panic!("nobody kept the limit"),
            Err(error) => break error,
        }
    };
    assert!(matches!(
        error,
        ImageError::TooMuchChanged {
            limit_bytes: 20_000
        }
    ));
    drop(image);
    // The commands went on.
    assert_eq!(get(&keyspace, 0, b"key1999", 0)?, Some(b"other".to_vec()));
    assert!(begin(LIMIT_BYTES).is_ok());
    Ok(())
}

#[test]
fn evicted_and_expired_keys() -> Result<()> {
    let (keyspace, _) = fresh(false);
    let now = now_ms();
    for n in 0..500 {
        put(&keyspace, 0, format!("key{n}").as_bytes(), b"value")?;
    }
    put_until(&keyspace, 0, b"gone", now - 1)?;
    let settings = config::Config::from_text(b"maxmemory 1\nmaxmemory-policy allkeys-random")
        .expect("these are directives");
    keyspace.eviction().configure(&settings.config.settings());
    let mut image = keyspace
        .images()
        .begin(copy, LIMIT_BYTES)
        .expect("none is taken");
    let (mut read, mut batch) = (Contents::new(), Vec::new());
    while image.next(&mut batch).expect("nothing disturbs it") {
        add(&mut batch, &mut read);
        for _ in 0..5 {
            keyspace.eviction().evict_some(now)?;
        }
    }
    add(&mut batch, &mut read);
    assert!(keyspace.databases().len(0)? < 400);
    assert_eq!(read.len(), 500);
    assert!(!read.contains_key(&(0, b"gone".to_vec())));
    Ok(())
}
