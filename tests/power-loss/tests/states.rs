//! Some hundred states that a power cut may leave, of each scenario a part. `scripts/power-loss` looks at more.
//!
//! `PMEMKV_SEED` (a number, or `random`) chooses others.

use std::path::Path;

use common::TestResult;
use power_loss::campaign::{Plan, run};
use power_loss::record::record;
use power_loss::scenario;
use power_loss::states::Amount;

const SEED: u64 = 20_261;

/// Different states of each scenario, about. There are twenty-one.
const STATES: usize = 36;

/// How often other moments are tried until a fault is found that is there. Which of them show it depends on how the server's
/// threads ran.
const TURNS_UNTIL_FOUND: u64 = 10;

const AMOUNT: Amount = Amount {
    single: 2,
    torn: 1,
    random: 1,
};

fn check(name: &str) -> TestResult {
    let seed = match std::env::var("PMEMKV_SEED") {
        Ok(word) if word == "random" => rand::random(),
        Ok(number) => number.parse()?,
        Err(_) => SEED,
    };
    let plan = Plan {
        states: STATES,
        amount: AMOUNT,
        seed,
        keep: None,
        ends_at_fault: false,
    };
    let scenario = scenario::named(name).ok_or("no such scenario")?;
    let recording = record(&scenario)?;
    let report = run(
        &recording,
        &plan,
        Path::new(env!("CARGO_BIN_EXE_power-loss")),
    )?;
    assert!(report.faults.is_empty(), "PMEMKV_SEED={seed}: {report}");
    // Chance takes some states twice.
    assert!(report.states >= STATES / 2, "{report}");
    Ok(())
}

/// A server that forgets a barrier now and then must be found out.
#[test]
fn a_missing_barrier_is_found() -> TestResult {
    is_found_out("commits", "3")
}

/// Each second msync of a sync is that of the point. A point that is written without it names what is not there.
#[test]
fn a_missing_sync_is_found() -> TestResult {
    is_found_out("every-second", "3")
}

fn is_found_out(name: &str, dropped: &'static str) -> TestResult {
    let mut scenario = scenario::named(name).ok_or("no such scenario")?;
    scenario.dropped_fences = Some(dropped);
    let recording = record(&scenario)?;
    let program = Path::new(env!("CARGO_BIN_EXE_power-loss"));
    let mut looked_at = Vec::new();
    for turn in 0..TURNS_UNTIL_FOUND {
        let plan = Plan {
            states: STATES,
            amount: AMOUNT,
            seed: SEED + turn,
            keep: None,
            ends_at_fault: true,
        };
        let report = run(&recording, &plan, program)?;
        if !report.faults.is_empty() {
            return Ok(());
        }
        looked_at.push(report.to_string());
    }
    Err(format!("nothing is wrong: {}", looked_at.join("; ")).into())
}

/// Each scenario is a test of its own, by its name.
macro_rules! scenarios {
    ($($test:ident: $name:literal),* $(,)?) => {
        $(
            #[test]
            fn $test() -> TestResult {
                check($name)
            }
        )*

        #[test]
        fn every_scenario_is_tested() {
            let tested = [$($name),*];
            let all: Vec<_> = scenario::all().iter().map(|known| known.name).collect();
            assert_eq!(all, tested);
        }
    };
}

scenarios! {
    creation: "creation",
    commits: "commits",
    large_values: "large-values",
    segments: "segments",
    compaction: "compaction",
    generations: "generations",
    restarts: "restarts",
    expiry: "expiry",
    eviction: "eviction",
    on_disk: "on-disk",
    on_disk_together: "on-disk-together",
    every_second: "every-second",
    pairs_creation: "pairs-creation",
    pairs: "pairs",
    pairs_journal: "pairs-journal",
    streams: "streams",
    streams_in_pairs: "streams-in-pairs",
    collections: "collections",
    collections_in_pairs: "collections-in-pairs",
    libraries: "libraries",
    libraries_in_pairs: "libraries-in-pairs",
}
