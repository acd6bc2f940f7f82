//! A pool that this boot has opened is trusted, until anything but its mapping changes the file.

use std::fs::{self, File, OpenOptions};
use std::os::unix::fs::{FileExt, PermissionsExt};
use std::path::Path;
use std::thread::sleep;
use std::time::Duration;

use pmemkv::{Backing, Pool, backing};

use crate::{MIB, TestResult, directory, header};

/// The kernel's clock for file times advances in steps of up to ten milliseconds.
const TICK: Duration = Duration::from_millis(30);

fn make(path: &Path) -> TestResult {
    let pool = Pool::create(path, 9 * MIB, &header("cmap", 1))?;
    pool.open_partition(0)?.put(b"key", b"value")?;
    pool.trust();
    sleep(TICK);
    pool.note_alive();
    Ok(())
}

#[test]
fn what_a_mapping_stores_keeps_the_trust() -> TestResult {
    let directory = directory()?;
    let path = directory.path().join("data.pool");
    make(&path)?;
    if backing(&path) != Backing::Tmpfs {
        assert!(!Pool::take_trust(&path), "the times tell nothing here");
        return Ok(());
    }
    sleep(TICK);
    let pool = Pool::open(&path)?;
    pool.open_partition(0)?.put(b"more", &vec![7; 20_000])?;
    pool.set_word(60, 1);
    pool.trust();
    sleep(TICK);
    pool.note_alive();
    drop(pool);
    assert!(Pool::take_trust(&path));
    assert!(!Pool::take_trust(&path), "the note was taken away");
    Ok(())
}

type Change = fn(&Path) -> TestResult;

#[test]
fn any_other_change_of_the_file_ends_it() -> TestResult {
    let directory = directory()?;
    let path = directory.path().join("data.pool");
    let changes: [(&str, Change); 6] = [
        ("the same bytes", |path| {
            let file = OpenOptions::new().read(true).write(true).open(path)?;
            let mut byte = [0];
            file.read_exact_at(&mut byte, 5 << 20)?;
            Ok(file.write_all_at(&byte, 5 << 20)?)
        }),
        ("longer", |path| {
            let file = OpenOptions::new().write(true).open(path)?;
            Ok(file.set_len(10 * MIB)?)
        }),
        ("an old time", |path| {
            let file = File::open(path)?;
            let metadata = file.metadata()?;
            let byte = [0];
            OpenOptions::new()
                .write(true)
                .open(path)?
                .write_all_at(&byte, 6 << 20)?;
            Ok(file.set_modified(metadata.modified()?)?)
        }),
        ("permissions", |path| {
            Ok(fs::set_permissions(
                path,
                fs::Permissions::from_mode(0o640),
            )?)
        }),
        ("a copy", |path| {
            let copy = path.with_extension("copy");
            fs::copy(path, &copy)?;
            Ok(fs::rename(copy, path)?)
        }),
        ("nothing there", |path| Ok(fs::remove_file(path)?)),
    ];
    for (what, change) in changes {
        let _ = fs::remove_file(&path);
        make(&path)?;
        sleep(TICK);
        change(&path)?;
        assert!(!Pool::take_trust(&path), "{what}");
    }
    Ok(())
}

#[test]
fn only_so_many_pools_are_trusted_at_a_time() -> TestResult {
    let directory = directory()?;
    let open = (0..9)
        .map(|number| {
            let path = directory.path().join(format!("{number}.pool"));
            make(&path)?;
            let pool = Pool::open(&path)?;
            pool.trust();
            Ok((path, pool))
        })
        .collect::<Result<Vec<_>, Box<dyn std::error::Error>>>()?;
    drop(open);
    // Closed pools have left their places.
    let path = directory.path().join("last.pool");
    make(&path)?;
    assert_eq!(Pool::take_trust(&path), backing(&path) == Backing::Tmpfs);
    Ok(())
}
