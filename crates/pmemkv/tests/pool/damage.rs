//! A damaged pool opens or gives an error; it never crashes the process that opens it.

use std::error::Error;
use std::fs::{self, OpenOptions};
use std::os::unix::fs::{FileExt, MetadataExt};
use std::time::Duration;

use pmemkv::{Pool, PoolError, probe, probe_within, rehearse};

use crate::{MIB, TestResult, directory, header, persistent_engines};

/// A small pool with data in it, as bytes.
fn sample(engine: &str) -> Result<Vec<u8>, Box<dyn Error>> {
    let directory = directory()?;
    let path = directory.path().join("data.pool");
    let pool = Pool::create(&path, 9 * MIB, &header(engine, 2))?;
    for index in 0..2 {
        let db = pool.open_partition(index)?;
        for number in 0..300_u32 {
            db.put(&number.to_be_bytes(), &[1; 200])?;
        }
    }
    drop(pool);
    Ok(fs::read(&path)?)
}

#[test]
fn damage_anywhere_is_an_answer_and_no_crash() -> TestResult {
    for engine in persistent_engines() {
        let directory = directory()?;
        let path = directory.path().join("data.pool");
        let sound = sample(engine)?;
        fs::write(&path, &sound)?;
        probe(&path, engine)?;

        let file = OpenOptions::new().write(true).open(&path)?;
        let (mut opened, mut refused) = (0, 0);
        // Damages pages that hold data: every page of the headers, and samples of the heap.
        let pages: Vec<usize> = (0..sound.len() / 4096)
            .filter(|page| sound[page * 4096..][..4096].iter().any(|byte| *byte != 0))
            .collect();
        let step = (pages.len() / 8).max(1);
        let places = (0..4096)
            .step_by(512)
            .chain((4096..8192).step_by(256))
            .chain(pages.iter().step_by(step).map(|page| page * 4096))
            .chain(pages.iter().step_by(step).map(|page| page * 4096 + 1056));
        for (number, place) in places.enumerate() {
            let junk: Vec<u8> = match number % 3 {
                0 => vec![0xff; 64],
                1 => (0..=255).cycle().skip(number).take(512).collect(),
                _ => vec![0; 256],
            };
            file.write_all_at(&junk, place as u64)?;
            match probe_within(&path, engine, Duration::from_millis(60)) {
                Ok(()) => opened += 1,
                Err(_) => refused += 1,
            }
            let end = place + junk.len();
            file.write_all_at(&sound[place..end], place as u64)?;
        }
        // The probes have not changed the file.
        assert!(fs::read(&path)? == sound, "{engine}");
        assert!(refused > 10, "{engine}: {opened} opened, {refused} refused");
    }
    Ok(())
}

#[test]
fn a_crash_in_the_probe_is_named_damage() -> TestResult {
    let directory = directory()?;
    let path = directory.path().join("data.pool");
    let mut bytes = sample("cmap")?;
    // Makes the partitions' places, 1088 bytes after the layout's name in the root object, point out of the pool.
    let header = bytes
        .windows(5)
        .position(|window| window == b"pairs")
        .ok_or("no header in the pool")?;
    bytes[header + 1088..header + 1120].fill(0x5a);
    fs::write(&path, &bytes)?;
    let probed = probe(&path, "cmap");
    assert!(
        matches!(probed, Err(PoolError::Damaged { .. })),
        "{probed:?}"
    );
    Ok(())
}

#[test]
fn a_damaged_lane_is_refused_before_anything_is_written() -> TestResult {
    let directory = directory()?;
    let path = directory.path().join("data.pool");
    let sound = sample("cmap")?;
    // Lanes lie from byte 8192 on: a page of zeros, a capacity, a place of the next log.
    let damages: [(usize, &[u8]); 4] = [
        (8192 + 4096, &[0; 4096]),
        (8192 + 10 * 3072 + 960 + 16, &[0; 8]),
        (8192 + 960 + 8, &[0xff; 8]),
        (5120, &[1; 8]),
    ];
    for (at, bytes) in damages {
        let mut pool = sound.clone();
        pool[at..at + bytes.len()].copy_from_slice(bytes);
        fs::write(&path, pool)?;
        let opened = Pool::open(&path);
        assert!(
            matches!(&opened, Err(PoolError::Damaged { why, .. }) if why.contains("lane")),
            "{at}: {opened:?}"
        );
    }
    Ok(())
}

#[test]
fn a_trial_that_is_killed_from_outside_says_nothing_of_the_pool() -> TestResult {
    let directory = directory()?;
    let path = directory.path().join("data.pool");
    fs::write(&path, sample("cmap")?)?;
    let killed = rehearse(&path, "cmap", Duration::ZERO, &mut |_| {
        let me = nix::unistd::Pid::this();
        nix::sys::signal::kill(me, nix::sys::signal::Signal::SIGKILL)
            .map_err(|error| error.to_string())
    });
    assert!(
        matches!(&killed, Err(PoolError::Other { what, .. }) if what.contains("SIGKILL")),
        "{killed:?}"
    );
    // The other ways to end badly do.
    let crashed = rehearse(&path, "cmap", Duration::ZERO, &mut |_| {
        std::process::abort()
    });
    assert!(
        matches!(crashed, Err(PoolError::Damaged { .. })),
        "{crashed:?}"
    );
    let refused = rehearse(&path, "cmap", Duration::ZERO, &mut |_| {
        Err("as it is".to_owned())
    });
    assert!(
        matches!(&refused, Err(PoolError::Damaged { why, .. }) if why == "as it is"),
        "{refused:?}"
    );
    rehearse(&path, "cmap", Duration::ZERO, &mut |pool| {
        pool.set_word(0, 77);
        Ok(())
    })?;
    assert_ne!(Pool::open(&path)?.word(0), 77);
    Ok(())
}

#[test]
fn a_device_that_is_no_dax_device_is_no_pool() {
    for opened in [
        probe("/dev/null", "cmap"),
        Pool::open("/dev/null").map(drop),
    ] {
        assert!(
            matches!(&opened, Err(PoolError::NotAPool { why, .. }) if why.contains("DAX")),
            "{opened:?}"
        );
    }
}

#[test]
fn the_open_reserves_the_blocks_of_a_sparse_file() -> TestResult {
    let directory = directory()?;
    let path = directory.path().join("data.pool");
    let sound = sample("cmap")?;
    // The end of the pool is free memory, all zeros.
    let end = sound
        .iter()
        .rposition(|&byte| byte != 0)
        .map_or(0, |at| at + 1);
    fs::write(&path, &sound[..end])?;
    let file = OpenOptions::new().write(true).open(&path)?;
    file.set_len(sound.len() as u64)?;
    let blocks = || fs::metadata(&path).map(|metadata| metadata.blocks() * 512);
    assert!(blocks()? < sound.len() as u64);
    drop(Pool::open(&path)?);
    assert!(blocks()? >= sound.len() as u64);
    Ok(())
}

#[test]
fn the_heap_knows_what_engines_hold() -> TestResult {
    let directory = directory()?;
    let path = directory.path().join("data.pool");
    fs::write(&path, sample("cmap")?)?;
    let pool = Pool::open(&path)?;
    let allocated = pool.allocated();
    let database = pool.open_partition(1)?;
    let mut met = 0;
    let count = database.get_all_counted(|count, key, value| {
        assert_eq!(count, 300);
        assert!(allocated.holds(key) && allocated.holds(value));
        met += 1;
        std::ops::ControlFlow::Continue(())
    })?;
    assert_eq!((met, count), (300, 300));
    assert!(!allocated.holds(b"elsewhere"));
    Ok(())
}
