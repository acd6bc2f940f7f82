//! Pools that are synced each second: what a power cut leaves of them. A copy of the file stands for it, since it is another
//! file: the open goes by the last sync, as after another boot.

use std::fs;

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use super::*;

const PAGE_BYTES: usize = 4096;

type Model = HashMap<Vec<u8>, Vec<u8>>;

fn open_synced(folder: &Path) -> Result<World> {
    let options = Options {
        engine: "cmap".to_owned(),
        engine_config: None,
        pool_path: folder.join("pool"),
        pool_size_bytes: POOL_BYTES,
        layout: LayoutChoice::Packed,
        repair: false,
        every_second: true,
    };
    let (engine, options) = options.resolve()?;
    let Opened::Packed(store) = open_layout(engine, &options)? else {
        return Err("the other layout".into());
    };
    let world = World {
        store,
        index: Tiny::default(),
        generation: 0,
    };
    world.load()?;
    Ok(world)
}

fn image(folder: &Path) -> Result<Vec<u8>> {
    Ok(fs::read(folder.join("pool"))?)
}

/// The pool that has these bytes, as another file.
fn after_power_loss(bytes: &[u8], every_second: bool) -> Result<(tempfile::TempDir, World)> {
    let folder = folder()?;
    fs::write(folder.path().join("pool"), bytes)?;
    let world = if every_second {
        open_synced(folder.path())?
    } else {
        World::open(folder.path())?
    };
    Ok((folder, world))
}

fn holds(world: &World, model: &Model, what: &str) -> Result {
    let keys = world.index.0.lock().len();
    assert_eq!(keys, model.len(), "{what}");
    for (key, value) in model {
        assert!(
            world.value(key)?.as_ref() == Some(value),
            "{what}: {}",
            key.escape_ascii()
        );
    }
    Ok(())
}

/// Writes and removes; the model follows.
fn change(world: &World, model: &mut Model, rng: &mut StdRng, count: usize) -> Result {
    for _ in 0..count {
        let name = key(rng.random_range(0..400));
        if rng.random_ratio(1, 6) {
            world.remove(&name)?;
            model.remove(&name);
        } else {
            let most = if rng.random_ratio(1, 50) {
                60_000
            } else {
                3_000
            };
            let length = rng.random_range(0..most);
            let value = bytes(rng.random_range(0..1 << 30), length);
            world.put(&name, &value)?;
            model.insert(name, value);
        }
        if rng.random_ratio(1, 3) {
            world.commit_and_help()?;
        }
    }
    world.commit_and_help()
}

#[test]
fn a_power_cut_takes_what_came_after_the_last_sync_and_a_kill_takes_nothing() -> Result {
    let folder = folder()?;
    let world = open_synced(folder.path())?;
    world.put(b"a", b"1")?;
    world.commit()?;
    world.store.sync()?;
    world.put(b"b", b"2")?;
    world.put(b"a", b"3")?;
    world.commit()?;
    let cut = image(folder.path())?;
    drop(world);
    for every_second in [true, false] {
        let (place, mut lost) = after_power_loss(&cut, every_second)?;
        for _ in 0..2 {
            assert_eq!(lost.value(b"a")?.as_deref(), Some(&b"1"[..]));
            assert_eq!(lost.value(b"b")?, None);
            lost = lost.reopen(place.path())?;
        }
        lost.put(b"b", b"4")?;
        lost.commit()?;
        let lost = lost.reopen(place.path())?;
        assert_eq!(lost.value(b"b")?.as_deref(), Some(&b"4"[..]));
    }
    let killed = open_synced(folder.path())?;
    assert_eq!(killed.value(b"a")?.as_deref(), Some(&b"3"[..]));
    assert_eq!(killed.value(b"b")?.as_deref(), Some(&b"2"[..]));
    Ok(())
}

#[test]
fn an_end_in_order_is_a_sync() -> Result {
    let folder = folder()?;
    let world = open_synced(folder.path())?;
    world.put(b"a", b"1")?;
    world.store.close()?;
    drop(world);
    let (_place, world) = after_power_loss(&image(folder.path())?, true)?;
    assert_eq!(world.value(b"a")?.as_deref(), Some(&b"1"[..]));
    Ok(())
}

/// What a sync has covered was whole on the disk: where it is damaged, nobody cut it short.
#[test]
fn damage_to_the_last_commit_of_a_sync_is_refused_and_not_taken_back() -> Result {
    let folder = folder()?;
    let world = open_synced(folder.path())?;
    world.put(b"a", b"1")?;
    world.commit()?;
    world.put(b"b", b"the last commit")?;
    world.commit()?;
    world.store.close()?;
    drop(world);
    let mut cut = image(folder.path())?;
    let (_place, whole) = after_power_loss(&cut, true)?;
    assert_eq!(whole.value(b"b")?.as_deref(), Some(&b"the last commit"[..]));
    let at = memchr::memmem::find(&cut, b"the last commit").ok_or("the record is not there")?;
    cut[at] ^= 1;
    for every_second in [true, false] {
        match after_power_loss(&cut, every_second) {
            Ok(_) => return Err("the last commit is gone without a word".into()),
            Err(error) => eprintln!("{error}"),
        }
    }
    Ok(())
}

/// Without the last sync's point an open would go by the sync before, or by nothing.
#[test]
fn damage_to_the_point_of_the_last_sync_is_refused() -> Result {
    let folder = folder()?;
    // Counts of opens are words like others: damage to one copy of them must not hide the point.
    for _ in 0..3 {
        let world = open_synced(folder.path())?;
        world.put(b"before", b"1")?;
        world.commit()?;
    }
    let world = open_synced(folder.path())?;
    let mut model = Model::from([(b"before".to_vec(), b"1".to_vec())]);
    for n in 0..4 {
        world.put(b"a", &[n])?;
        model.insert(b"a".to_vec(), vec![n]);
        world.commit()?;
        world.store.sync()?;
    }
    world.put(b"a", b"after the last sync")?;
    world.commit()?;
    let cut = image(folder.path())?;
    drop(world);
    let root = cut[6144..].first_chunk().ok_or("a short pool")?;
    let root = usize::try_from(u64::from_le_bytes(*root))?;
    let mut refused = 0;
    // The root object has some four pages.
    for page in root / PAGE_BYTES..root / PAGE_BYTES + 6 {
        let mut damaged = cut.clone();
        damaged[page * PAGE_BYTES..(page + 1) * PAGE_BYTES].fill(0);
        for every_second in [true, false] {
            match after_power_loss(&damaged, every_second) {
                Ok((_place, world)) => holds(&world, &model, &format!("page {page:#x}"))?,
                Err(error) => {
                    eprintln!("{page:#x}: {error}");
                    refused += 1;
                }
            }
        }
    }
    assert!(refused > 0, "no page has a point");
    Ok(())
}

/// What another program, or this one without syncs, does to the pool later is not taken back.
#[test]
fn a_sync_of_before_an_open_without_syncs_is_forgotten() -> Result {
    let folder = folder()?;
    let world = open_synced(folder.path())?;
    world.put(b"a", b"1")?;
    world.store.close()?;
    drop(world);
    let world = World::open(folder.path())?;
    world.put(b"a", b"2")?;
    world.commit()?;
    drop(world);
    let (_place, world) = after_power_loss(&image(folder.path())?, true)?;
    assert_eq!(world.value(b"a")?.as_deref(), Some(&b"2"[..]));
    Ok(())
}

#[test]
fn a_freed_segment_is_used_again_only_after_a_sync() -> Result {
    let folder = folder()?;
    let world = open_synced(folder.path())?;
    for round in 0..6 {
        for n in 0..300 {
            world.put(&key(n), &bytes(n + round, 1_000))?;
        }
        world.commit()?;
    }
    world.store.sync()?;
    let synced = world.store.space.synced().ok_or("not synced")?;
    let segment = (0..8)
        .find(|&segment| world.store.space.sealed_bound(segment) != 0)
        .ok_or("none is sealed")?;
    world.store.move_all(&world.index, segment)?;
    world.store.give_back_for_test(segment)?;
    assert_eq!(synced.waiting(), 1);
    let free = world.figures().segments_free;
    world.store.sync()?;
    assert_eq!(synced.waiting(), 0);
    assert_eq!(world.figures().segments_free, free + 1);
    let point = synced.report().count;
    world.store.sync()?;
    assert_eq!(synced.report().count, point, "nothing had changed");
    Ok(())
}

/// The operating system writes pages back as it likes: each may be of the last sync, or of any later time.
#[test]
fn pages_of_many_moments_are_taken_back_to_the_last_sync() -> Result {
    for seed in 0..3 {
        let mut rng = StdRng::seed_from_u64(seed);
        let folder = folder()?;
        let world = open_synced(folder.path())?;
        // All segments at once: what the engine does to make one is ordered by itself.
        while world.store.space.make().is_ok() {}
        let mut model = Model::new();
        let mut cuts = Vec::new();
        for _ in 0..6 {
            change(&world, &mut model, &mut rng, 500)?;
            world.store.sync()?;
            let count = world.store.syncs().map(|report| report.count);
            let kept = model.clone();
            let before = image(folder.path())?;
            change(&world, &mut model, &mut rng, 300)?;
            let between = image(folder.path())?;
            change(&world, &mut model, &mut rng, 300)?;
            let after = image(folder.path())?;
            // Where room was short, syncs came in between, and the model of the last one is not known here.
            if world.store.syncs().map(|report| report.count) != count {
                continue;
            }
            let mut mixed = before.clone();
            for (page, place) in mixed.chunks_mut(PAGE_BYTES).enumerate() {
                let at = page * PAGE_BYTES;
                match rng.random_range(0..3) {
                    0 => {}
                    1 => place.copy_from_slice(&between[at..at + place.len()]),
                    _ => place.copy_from_slice(&after[at..at + place.len()]),
                }
            }
            cuts.push((mixed, kept));
        }
        assert!(cuts.len() > 1, "{}", cuts.len());
        // A process cannot have two copies of a pool open.
        drop(world);
        for (round, (mixed, kept)) in cuts.iter().enumerate() {
            let (_place, lost) = after_power_loss(mixed, round % 2 == 0)?;
            holds(&lost, kept, &format!("seed {seed}, cut {round}"))?;
        }
        let world = open_synced(folder.path())?;
        holds(&world, &model, "a kill")?;
    }
    Ok(())
}
