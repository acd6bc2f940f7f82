//! Pools keep their data, and no file, whatever its bytes, does more than give an error.

mod blocks;
mod damage;
mod paging;
mod trust;

use std::error::Error;
use std::fs::{self, File, OpenOptions};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use nix::fcntl::{Flock, FlockArg};
use pmemkv::{
    self, Backing, Config, Database, Durability, Error as EngineError, FORMAT_VERSION,
    FORMAT_WITH_EXTENTS, PARTITIONS_MAX, Pool, PoolError, PoolHeader, WORDS,
    durability_environment, engines, probe,
};
use tempfile::TempDir;

type TestResult = Result<(), Box<dyn Error>>;

const MIB: u64 = 1 << 20;

fn directory() -> std::io::Result<TempDir> {
    let shm = PathBuf::from("/dev/shm");
    let parent = if shm.is_dir() {
        shm
    } else {
        std::env::temp_dir()
    };
    tempfile::Builder::new()
        .prefix("pmemkv-test-")
        .tempdir_in(parent)
}

fn header(engine: &str, partitions: u32) -> PoolHeader {
    PoolHeader {
        format_version: FORMAT_VERSION,
        engine: engine.to_owned(),
        layout: "pairs".to_owned(),
        partitions,
        hash_seed: 0x0123_4567_89ab_cdef,
    }
}

/// The names in the directory, sorted.
fn names(directory: &Path) -> std::io::Result<Vec<String>> {
    let mut names = fs::read_dir(directory)?
        .map(|entry| entry.map(|entry| entry.file_name().to_string_lossy().into_owned()))
        .collect::<Result<Vec<_>, _>>()?;
    names.sort();
    Ok(names)
}

fn persistent_engines() -> impl Iterator<Item = &'static str> {
    engines::available()
        .into_iter()
        .filter(|engine| engine.persistent)
        .map(|engine| engine.name)
}

#[test]
fn several_engines_share_a_pool_and_outlive_it() -> TestResult {
    for engine in persistent_engines() {
        let directory = directory()?;
        let path = directory.path().join("data.pool");
        let pool = Pool::create(&path, 64 * MIB, &header(engine, 8))?;
        for index in 0..8 {
            let db = pool.open_partition(index)?;
            for number in 0..100_u32 {
                db.put(&number.to_be_bytes(), &(number + index).to_be_bytes())?;
            }
        }
        drop(pool);
        assert_eq!(names(directory.path())?, ["data.pool"]);

        probe(&path, engine)?;
        assert_eq!(Pool::read_header(&path)?, header(engine, 8));
        let pool = Pool::open(&path)?;
        assert_eq!(pool.header(), &header(engine, 8));
        pool.header().expect(engine, "pairs")?;
        for index in 0..8 {
            let db = pool.open_partition(index)?;
            assert_eq!(db.count_all()?, 100, "{engine}");
            let value = db.get(&7_u32.to_be_bytes())?;
            assert_eq!(value.as_deref(), Some(&(7 + index).to_be_bytes()[..]));
        }
    }
    Ok(())
}

#[test]
fn a_database_keeps_its_pool_open() -> TestResult {
    let directory = directory()?;
    let path = directory.path().join("data.pool");
    let db = Pool::create(&path, 16 * MIB, &header("cmap", 1))?.open_partition(0)?;
    db.put(b"key", b"value")?;
    assert!(matches!(Pool::open(&path), Err(PoolError::Busy(_))));
    assert_eq!(db.get(b"key")?.as_deref(), Some(&b"value"[..]));
    drop(db);
    Pool::open(&path)?;
    Ok(())
}

#[test]
fn a_partition_has_one_user_and_one_engine() -> TestResult {
    let directory = directory()?;
    let pool = Pool::create(
        directory.path().join("data.pool"),
        16 * MIB,
        &header("cmap", 2),
    )?;
    let db = pool.open_partition(1)?;
    assert!(matches!(
        pool.open_partition(1),
        Err(EngineError::PartitionInUse(1))
    ));
    drop(db);
    drop(pool.open_partition(1)?);
    assert!(matches!(
        pool.open_partition(2),
        Err(EngineError::NoSuchPartition {
            index: 2,
            partitions: 2
        })
    ));
    let other = Database::open("stree", pool.partition_config(0)?);
    assert!(matches!(other, Err(EngineError::PartitionEngine { .. })));
    // Dropping the refused config has freed the partition.
    pool.open_partition(0)?;
    Ok(())
}

#[test]
fn the_most_partitions_fit_the_smallest_pool() -> TestResult {
    for engine in persistent_engines() {
        let directory = directory()?;
        let path = directory.path().join("data.pool");
        let bytes = Pool::size_bytes_min(PARTITIONS_MAX);
        let pool = Pool::create(&path, bytes, &header(engine, PARTITIONS_MAX))?;
        let databases = (0..PARTITIONS_MAX)
            .map(|index| pool.open_partition(index))
            .collect::<Result<Vec<_>, _>>()?;
        for db in &databases {
            db.put(b"key", b"value")?;
        }
        drop(databases);
        drop(pool);
        probe(&path, engine)?;
    }
    let directory = directory()?;
    let path = directory.path().join("data.pool");
    let pool = Pool::create(&path, Pool::size_bytes_min(1), &header("cmap", 1))?;
    pool.open_partition(0)?.put(b"key", b"value")?;
    Ok(())
}

#[test]
fn words_outlive_the_pool() -> TestResult {
    let directory = directory()?;
    let path = directory.path().join("data.pool");
    let pool = Pool::create(&path, 16 * MIB, &header("cmap", 1))?;
    assert_eq!(pool.words(0, WORDS), vec![0; WORDS]);
    pool.set_word(0, u64::MAX);
    pool.set_word(WORDS - 1, 7);
    let set: Vec<u64> = (100..140).collect();
    pool.set_words(10, &set);
    pool.set_words(10, &[]);
    drop(pool);
    let pool = Pool::open(&path)?;
    assert_eq!(pool.word(0), u64::MAX);
    assert_eq!(pool.word(WORDS - 1), 7);
    assert_eq!(pool.words(10, 40), set);
    assert_eq!((pool.word(9), pool.word(50)), (0, 0));
    Ok(())
}

#[test]
fn statistics_follow_what_is_stored() -> TestResult {
    let directory = directory()?;
    let path = directory.path().join("data.pool");
    let pool = Pool::create(&path, 32 * MIB, &header("cmap", 1))?;
    let empty = pool.stats()?;
    assert_eq!(empty.size_bytes, 32 * MIB);
    let db = pool.open_partition(0)?;
    db.put(b"key", &vec![1; 1 << 20])?;
    let filled = pool.stats()?;
    assert!(filled.allocated_bytes >= empty.allocated_bytes + MIB);
    drop((db, pool));
    let pool = Pool::open(&path)?;
    assert_eq!(pool.stats()?, filled);
    pool.open_partition(0)?.remove(b"key")?;
    assert!(pool.stats()?.allocated_bytes < MIB);
    Ok(())
}

#[test]
fn creation_refuses_by_name_and_leaves_nothing() -> TestResult {
    let directory = directory()?;
    let at = |name: &str| directory.path().join(name);
    let create =
        |path: PathBuf, bytes, header: &PoolHeader| Pool::create(path, bytes, header).map(|_| ());
    let cmap = header("cmap", 4);

    let missing = create(at("no/such/data.pool"), 16 * MIB, &cmap);
    assert!(
        matches!(missing, Err(PoolError::NoSuchDirectory(_))),
        "{missing:?}"
    );
    let small = create(at("data.pool"), 8 * MIB, &cmap);
    assert!(
        matches!(small, Err(PoolError::TooSmall { .. })),
        "{small:?}"
    );
    let huge = create(at("data.pool"), 1 << 50, &cmap);
    assert!(
        matches!(huge, Err(PoolError::FileSystemFull { .. })),
        "{huge:?}"
    );
    let none = create(at("data.pool"), 16 * MIB, &header("cmap", 0));
    assert!(
        matches!(none, Err(PoolError::Partitions { .. })),
        "{none:?}"
    );
    let many = create(
        at("data.pool"),
        1 << 30,
        &header("cmap", PARTITIONS_MAX + 1),
    );
    assert!(
        matches!(many, Err(PoolError::Partitions { .. })),
        "{many:?}"
    );
    let named = create(at("data.pool"), 16 * MIB, &header("", 1));
    assert!(matches!(named, Err(PoolError::Name { .. })), "{named:?}");
    let volatile = create(at("data.pool"), 16 * MIB, &header("no-such-engine", 1));
    assert!(
        matches!(volatile, Err(PoolError::Partition { .. })),
        "{volatile:?}"
    );
    assert!(names(directory.path())?.is_empty());

    for (name, contents) in [("empty", &b""[..]), ("text", b"precious")] {
        fs::write(at(name), contents)?;
        let exists = create(at(name), 16 * MIB, &cmap);
        assert!(
            matches!(exists, Err(PoolError::AlreadyExists(_))),
            "{exists:?}"
        );
        assert_eq!(fs::read(at(name))?, contents);
    }
    std::os::unix::fs::symlink("nowhere", at("link"))?;
    let link = create(at("link"), 16 * MIB, &cmap);
    assert!(matches!(link, Err(PoolError::AlreadyExists(_))), "{link:?}");
    create(at("data.pool"), 16 * MIB, &cmap)?;
    let again = create(at("data.pool"), 16 * MIB, &cmap);
    assert!(
        matches!(again, Err(PoolError::AlreadyExists(_))),
        "{again:?}"
    );
    assert_eq!(
        names(directory.path())?,
        ["data.pool", "empty", "link", "text"]
    );
    let mode = fs::metadata(at("data.pool"))?.permissions().mode() & 0o777;
    assert_eq!(mode, 0o600);
    Ok(())
}

#[test]
fn what_a_dead_creator_left_is_removed_and_nothing_else() -> TestResult {
    let directory = directory()?;
    let at = |name: &str| directory.path().join(name);
    fs::write(at(".data.pool.4242.0.new"), b"half a pool")?;
    fs::write(at(".data.pool.mine.new"), b"another's")?;
    fs::write(at(".other.pool.4242.0.new"), b"another's")?;
    // A living creator holds a lock on its file.
    let path = at("living");
    let living = Pool::create(&path, 16 * MIB, &header("cmap", 1))?;
    fs::hard_link(&path, at(".data.pool.4243.0.new"))?;

    Pool::create(at("data.pool"), 16 * MIB, &header("cmap", 1))?;
    assert_eq!(
        names(directory.path())?,
        [
            ".data.pool.4243.0.new",
            ".data.pool.mine.new",
            ".other.pool.4242.0.new",
            "data.pool",
            "living"
        ]
    );
    drop(living);
    fs::remove_file(at("data.pool"))?;
    Pool::create(at("data.pool"), 16 * MIB, &header("cmap", 1))?;
    assert!(!at(".data.pool.4243.0.new").exists());
    assert_eq!(fs::metadata(&path)?.nlink(), 1);
    Pool::open(&path)?;
    Ok(())
}

#[test]
fn a_creator_that_is_killed_leaves_no_pool() -> TestResult {
    use nix::sys::signal::{Signal, kill};
    use nix::sys::wait::waitpid;
    use nix::unistd::Pid;

    // A second run of this binary is the creator.
    if let Some(path) = std::env::var_os("PMEMKV_TEST_CREATE_AT") {
        Pool::create(PathBuf::from(path), 256 * MIB, &header("cmap", 512))?;
        return Ok(());
    }
    let directory = directory()?;
    let path = directory.path().join("data.pool");
    for milliseconds in [5, 20, 40, 60, 80, 120] {
        let child = std::process::Command::new(std::env::current_exe()?)
            .args(["--exact", "a_creator_that_is_killed_leaves_no_pool"])
            .env("PMEMKV_TEST_CREATE_AT", &path)
            .stdout(std::process::Stdio::null())
            .stderr(std::process::Stdio::null())
            .spawn()?;
        thread::sleep(Duration::from_millis(milliseconds));
        let pid = Pid::from_raw(i32::try_from(child.id())?);
        // The process may have ended before.
        let _ = kill(pid, Signal::SIGKILL);
        waitpid(pid, None)?;
        if path.exists() {
            // If there is a pool, it is complete.
            probe(&path, "cmap")?;
            assert_eq!(Pool::open(&path)?.header(), &header("cmap", 512));
            fs::remove_file(&path)?;
        }
    }
    Pool::create(&path, 32 * MIB, &header("cmap", 1))?;
    assert_eq!(names(directory.path())?, ["data.pool"]);
    Ok(())
}

#[test]
fn files_that_are_no_pools_are_refused_by_name() -> TestResult {
    let directory = directory()?;
    let path = directory.path().join("file");
    let text = b"not a pool at all. ".repeat(600_000);
    for contents in [&b""[..], b"x", &[0; 4096], &vec![0; 9 << 20], &text] {
        fs::write(&path, contents)?;
        let opened = Pool::open(&path).map(|_| ());
        assert!(
            matches!(opened, Err(PoolError::NotAPool { .. })),
            "{opened:?}"
        );
        let probed = probe(&path, "cmap");
        assert!(
            matches!(probed, Err(PoolError::NotAPool { .. })),
            "{probed:?}"
        );
        assert_eq!(fs::read(&path)?, contents);
    }
    let opened = Pool::open(directory.path()).map(|_| ());
    assert!(
        matches!(opened, Err(PoolError::NotAPool { .. })),
        "{opened:?}"
    );
    let opened = Pool::open(directory.path().join("absent")).map(|_| ());
    assert!(
        matches!(opened, Err(PoolError::NoSuchPool(_))),
        "{opened:?}"
    );
    let opened = Pool::open(directory.path().join("no/such")).map(|_| ());
    assert!(
        matches!(opened, Err(PoolError::NoSuchDirectory(_))),
        "{opened:?}"
    );

    // A pool that pmemkv made by itself.
    let foreign = directory.path().join("foreign.pool");
    let mut config = Config::new()?;
    config
        .put_path(&foreign)?
        .put_size(16 * MIB)?
        .put_force_create(true)?;
    drop(Database::open("cmap", config)?);
    let opened = Pool::open(&foreign).map(|_| ());
    let text = opened.expect_err("it opened").to_string();
    assert!(text.contains("pmemkv"), "{text}");
    Ok(())
}

#[test]
fn a_pool_that_does_not_fit_is_refused_by_name() -> TestResult {
    let directory = directory()?;
    let path = directory.path().join("data.pool");
    let pool = Pool::create(&path, 16 * MIB, &header("cmap", 2))?;
    assert!(matches!(
        pool.header().expect("stree", "pairs"),
        Err(PoolError::OtherEngine { .. })
    ));
    assert!(matches!(
        pool.header().expect("cmap", "packed"),
        Err(PoolError::OtherLayout { .. })
    ));
    assert!(matches!(Pool::open(&path), Err(PoolError::Busy(_))));
    assert!(matches!(probe(&path, "cmap"), Err(PoolError::Busy(_))));
    drop(pool);
    // A process that is about to end still has it.
    let file =
        Flock::lock(File::open(&path)?, FlockArg::LockExclusive).map_err(|(_, error)| error)?;
    let ending = thread::spawn(move || {
        thread::sleep(Duration::from_millis(300));
        drop(file);
    });
    probe(&path, "cmap")?;
    ending.join().map_err(|_| "it panicked")?;
    assert!(matches!(
        probe(&path, "stree"),
        Err(PoolError::OtherEngine { .. })
    ));
    probe(&path, "cmap")?;

    let newer = directory.path().join("newer.pool");
    let from_the_future = PoolHeader {
        format_version: FORMAT_WITH_EXTENTS + 1,
        ..header("cmap", 1)
    };
    drop(Pool::create(&newer, 16 * MIB, &from_the_future)?);
    let opened = Pool::open(&newer).map(|_| ());
    assert!(
        matches!(opened, Err(PoolError::NewerFormat { .. })),
        "{opened:?}"
    );

    let file = OpenOptions::new().write(true).open(&path)?;
    for bytes in [16 * MIB - 4096, 9 * MIB, 4096, 100] {
        file.set_len(bytes)?;
        for opened in [Pool::open(&path).map(|_| ()), probe(&path, "cmap")] {
            assert!(
                matches!(opened, Err(PoolError::Truncated { .. })),
                "{bytes}: {opened:?}"
            );
        }
    }
    Ok(())
}

#[test]
fn a_pool_of_another_user_is_no_permission() -> TestResult {
    let directory = directory()?;
    let path = directory.path().join("data.pool");
    drop(Pool::create(&path, 16 * MIB, &header("cmap", 1))?);
    fs::set_permissions(&path, fs::Permissions::from_mode(0o000))?;
    // The superuser may read every file, so the test can show nothing then.
    if File::open(&path).is_err() {
        let opened = Pool::open(&path).map(|_| ());
        assert!(
            matches!(opened, Err(PoolError::NoPermission(_))),
            "{opened:?}"
        );
        let probed = probe(&path, "cmap");
        assert!(
            matches!(probed, Err(PoolError::NoPermission(_))),
            "{probed:?}"
        );
    }
    Ok(())
}

#[test]
fn settings_of_libpmem_are_not_chosen_beside_other_threads() -> TestResult {
    // The test harness runs this in a thread of its own.
    let Err(error) = pmemkv::load(&[("PMEM_NO_FLUSH", "1")]) else {
        return Err("the environment was set".into());
    };
    assert!(error.to_string().contains("another thread"), "{error}");
    assert_eq!(std::env::var_os("PMEM_NO_FLUSH"), None);
    pmemkv::load(&[])?;
    let Err(error) = pmemkv::load(&[("PMEM_NO_FLUSH", "1")]) else {
        return Err("the environment was set".into());
    };
    assert!(error.to_string().contains("loaded already"), "{error}");
    Ok(())
}

#[test]
fn the_backing_decides_the_environment() -> TestResult {
    let directory = directory()?;
    if directory.path().starts_with("/dev/shm") {
        assert_eq!(pmemkv::backing(directory.path()), Backing::Tmpfs);
        assert_eq!(
            pmemkv::backing(directory.path().join("new.pool")),
            Backing::Tmpfs
        );
    }
    assert_eq!(
        pmemkv::backing("/proc/self/no such file"),
        Backing::Ordinary
    );
    let fast = vec![
        ("PMEM_IS_PMEM_FORCE", "1"),
        ("PMEM_NO_FLUSH", "1"),
        ("PMEM_NO_MOVNT", "1"),
    ];
    for (backing, durability, expected) in [
        (Backing::Tmpfs, Durability::Auto, &fast),
        (Backing::Hugetlbfs, Durability::Power, &fast),
        (Backing::Ordinary, Durability::Auto, &fast),
        (Backing::Ordinary, Durability::Process, &fast),
        (Backing::Ordinary, Durability::Power, &Vec::new()),
        (Backing::Dax, Durability::Auto, &Vec::new()),
        (Backing::Dax, Durability::Power, &Vec::new()),
        (Backing::Dax, Durability::Process, &fast),
    ] {
        let environment = durability_environment(backing, durability);
        assert_eq!(&environment, expected, "{backing:?} {durability:?}");
    }
    Ok(())
}
