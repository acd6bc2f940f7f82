//! A pool on a disk whose pages are not in memory: what commands wait for is read ahead of them.

use std::fs::File;
use std::path::Path;
use std::thread;
use std::time::Duration;

use common::{Options, RawClient, Server, TestResult, Value, encode};
use nix::fcntl::{PosixFadviseAdvice, posix_fadvise};

const KEYS: usize = 20_000;
const CLIENTS: usize = 6;
const PIPELINE: usize = 16;
const LARGE_BYTES: usize = 300_000;
/// More than the parts of the large value, which are asked for in any case.
const ASKED_FOR_MIN: usize = 100;
/// How often a start on a cold pool is tried. On a fast disk all pages may be there before the server looks.
const ROUNDS: usize = 8;

fn value(number: usize) -> String {
    format!("{number:01000}")
}

fn words(line: &str) -> Vec<Vec<u8>> {
    line.split(' ')
        .map(|word| word.as_bytes().to_vec())
        .collect()
}

fn info(client: &mut RawClient) -> TestResult<String> {
    let info = client.call(&["INFO", "pmemkv"])?;
    Ok(String::from_utf8_lossy(info.bytes().unwrap_or_default()).into_owned())
}

fn asked_for(client: &mut RawClient) -> TestResult<usize> {
    let info = info(client)?;
    let figure = |line: &str| line.strip_prefix("records_asked_for:")?.trim().parse().ok();
    info.lines()
        .find_map(figure)
        .ok_or_else(|| "no figure".into())
}

fn forget_pages(pool: &Path) -> TestResult {
    let file = File::open(pool)?;
    file.sync_all()?;
    posix_fadvise(&file, 0, 0, PosixFadviseAdvice::POSIX_FADV_DONTNEED)?;
    Ok(())
}

/// Reads every key, and changes some: key `n` by the client `n % CLIENTS`.
fn read_all(mut client: RawClient, number: usize) -> Result<(), String> {
    // Neighbours in the pool are far apart in this order.
    let keys: Vec<usize> = (0..KEYS)
        .map(|at| at * 7_919 % KEYS)
        .filter(|key| key % CLIENTS == number)
        .collect();
    for keys in keys.chunks(PIPELINE) {
        let mut calls = Vec::new();
        for key in keys {
            encode(&mut calls, &words(&format!("GET key:{key}")));
            encode(&mut calls, &words(&format!("APPEND key:{key} x")));
            encode(
                &mut calls,
                &words(&format!("SETRANGE key:{key} 0 {}", value(*key))),
            );
        }
        client
            .send_bytes(&calls)
            .map_err(|error| error.to_string())?;
        for key in keys {
            let got = client.read().map_err(|error| error.to_string())?;
            if !got
                .bytes()
                .is_some_and(|bytes| bytes.starts_with(value(*key).as_bytes()))
            {
                return Err(format!("key:{key}: {got:?}"));
            }
            for _ in 0..2 {
                let changed = client.read().map_err(|error| error.to_string())?;
                if !matches!(changed, Value::Integer(1_001..)) {
                    return Err(format!("key:{key}: {changed:?}"));
                }
            }
        }
    }
    Ok(())
}

#[test]
fn commands_on_a_cold_pool_have_their_pages_read_ahead() -> TestResult {
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR"))?;
    let pool = folder.path().join("cold.pool");
    let options = Options::new("cmap")
        .pool_size("192mb")
        .directive("index-file", "cold.index")
        .directive("worker-threads", "1")
        .directive("pool-path", &pool.display().to_string());
    let mut server = Server::start_with(options)?;
    let mut client = server.raw()?;
    for key in 0..KEYS {
        client.call(&["SET", &format!("key:{key}"), &value(key)])?;
    }
    let large = "large ".repeat(LARGE_BYTES / 6);
    client.call(&["SET", "large", &large])?;
    let is_on_disk = info(&mut client)?.contains("a sync each second");
    let mut asked = 0;
    for _ in 0..ROUNDS {
        // The next start finds a point of the index, and does not read the pool.
        thread::sleep(Duration::from_millis(600));
        server.terminate()?;
        forget_pages(&pool)?;
        server.resume()?;
        forget_pages(&pool)?;
        let clients: Vec<RawClient> = (0..CLIENTS)
            .map(|_| server.raw())
            .collect::<TestResult<_>>()?;
        thread::scope(|scope| {
            let read = |(number, client)| scope.spawn(move || read_all(client, number));
            let readers: Vec<_> = clients.into_iter().enumerate().map(read).collect();
            readers
                .into_iter()
                .try_for_each(|reader| reader.join().map_err(|_| "a reader panicked")?)
        })?;
        let mut client = server.raw()?;
        let found = client.call(&["GET", "large"])?;
        assert_eq!(found.bytes(), Some(large.as_bytes()));
        asked = asked_for(&mut client)?;
        let piece = client.call(&["GETRANGE", "large", "0", "199999"])?;
        assert_eq!(piece.bytes(), Some(&large.as_bytes()[..200_000]));
        assert_eq!(asked_for(&mut client)? > asked, is_on_disk);
        if !is_on_disk || asked >= ASKED_FOR_MIN {
            break;
        }
    }
    assert_eq!(asked >= ASKED_FOR_MIN, is_on_disk, "{asked} asked for");
    Ok(())
}
