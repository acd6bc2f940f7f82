//! A replica's place is one step with the changes that it covers: whenever the process dies, nothing is applied twice or
//! left out.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use common::{RawClient, Server, TestResult, assert_replicated};

use crate::pair::{full_syncs, master_of, masters, options, wait_for_sync};
use crate::proxy::Proxy;
use crate::traffic;

/// How often a replica dies or loses its master in one run; `PMEMKV_ROUNDS` says another number.
const ROUNDS: usize = 4;

fn rounds() -> usize {
    let rounds = std::env::var("PMEMKV_ROUNDS").ok();
    rounds
        .and_then(|rounds| rounds.parse().ok())
        .unwrap_or(ROUNDS)
}

/// Writes to the master until it is told to stop; returns how many bursts.
fn write(port: u16, seed: u64, stop: &AtomicBool) -> Result<u64, String> {
    let text = |error: Box<dyn std::error::Error>| error.to_string();
    let mut client = RawClient::connect(port).map_err(|error| error.to_string())?;
    let mut rng = StdRng::seed_from_u64(seed);
    let mut number = 0;
    while !stop.load(Ordering::Relaxed) {
        number += 1;
        traffic::burst(&mut client, &mut rng, number).map_err(text)?;
        thread::sleep(Duration::from_millis(rng.random_range(0..12)));
    }
    Ok(number)
}

fn survives(program: &str, store: &str, seed: u64) -> TestResult {
    eprintln!("{program}, {store}, seed {seed}");
    let master = master_of(program, &[])?;
    let mut client = master.raw()?;
    let proxy = Proxy::start(master.port())?;
    let mut of_replica = options(store, proxy.port);
    if store == "cmap" {
        of_replica = of_replica.directive("index-file", "test.index");
    }
    let mut replica = Server::start_with(of_replica)?;
    wait_for_sync(&mut client, &replica)?;
    let stop = Arc::new(AtomicBool::new(false));
    let writer = {
        let (stop, port) = (Arc::clone(&stop), master.port());
        thread::spawn(move || write(port, seed, &stop))
    };
    let mut rng = StdRng::seed_from_u64(seed ^ 1);
    for _ in 0..rounds() {
        thread::sleep(Duration::from_millis(rng.random_range(20..700)));
        match rng.random_range(0..6) {
            0 => proxy.cut(),
            1 => {
                replica.terminate()?;
                thread::sleep(Duration::from_millis(rng.random_range(0..200)));
                replica.resume()?;
            }
            _ => {
                replica.kill_9()?;
                if rng.random_range(0..3) == 0 {
                    replica.resume_and_kill(Duration::from_millis(rng.random_range(0..400)))?;
                }
                replica.resume()?;
            }
        }
    }
    stop.store(true, Ordering::Relaxed);
    let bursts = writer.join().map_err(|_| "the writer panicked")??;
    assert!(bursts > 5, "only {bursts} bursts");
    wait_for_sync(&mut client, &replica)?;
    assert_replicated(&mut client, &mut replica.raw()?)
        .map_err(|error| format!("seed {seed}, {store}: {error}\n{}", replica.log()))?;
    // Each time it went on from its place.
    assert_eq!(full_syncs(&replica), 1, "seed {seed}: {}", replica.log());
    let log = replica.log();
    assert!(!log.contains("fails on this replica"), "seed {seed}: {log}");
    if store == "cmap" {
        // The place outlives a kill with the index.
        let taken_over = "the index of the last process is taken over";
        assert!(log.contains(taken_over), "seed {seed}: {log}");
    }
    replica.terminate()
}

#[test]
fn nothing_is_applied_twice_or_left_out() -> TestResult {
    let seed = std::env::var("PMEMKV_SEED").ok();
    let seed = seed.and_then(|seed| seed.parse().ok()).unwrap_or(1);
    for (number, (_, program)) in (0..).zip(masters()) {
        survives(&program, "cmap", seed + 2 * number)?;
        survives(&program, "cmap/pairs", seed + 2 * number + 1)?;
    }
    Ok(())
}
