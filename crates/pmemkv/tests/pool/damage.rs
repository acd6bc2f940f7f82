//! A damaged pool opens or gives an error; it never crashes the process that opens it.

use std::error::Error;
use std::fs::{self, OpenOptions};
use std::os::unix::fs::FileExt;
use std::time::Duration;

use pmemkv::{Pool, PoolError, probe, probe_within};

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
