//! `power-loss N [scenario...]`: a campaign of about N states. `scripts/power-loss` builds and runs it.

#![forbid(unsafe_code)]

use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use common::TestResult;
use power_loss::campaign::{Plan, run};
use power_loss::states::Amount;
use power_loss::{checker, record, scenario};

const USAGE: &str = "usage: power-loss STATES [SCENARIO...]
Environment: PMEMKV_SEED (a number, or `random`), PMEMKV_KEEP (a folder for the pools that are wrong).";

fn main() -> TestResult<ExitCode> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    match words.first() {
        Some(word) if word == checker::COMMAND => {
            checker::serve(io::stdin().lock(), io::stdout().lock())?;
            Ok(ExitCode::SUCCESS)
        }
        Some(word) => {
            let states = word.parse().map_err(|_| USAGE)?;
            campaign(states, &words[1..])
        }
        None => Err(USAGE.into()),
    }
}

fn campaign(states: usize, names: &[String]) -> TestResult<ExitCode> {
    let scenarios = if names.is_empty() {
        scenario::all()
    } else {
        let find = |name: &String| {
            scenario::named(name).ok_or_else(|| {
                let all: Vec<_> = scenario::all().iter().map(|known| known.name).collect();
                format!("no scenario {name}; there are {}", all.join(", "))
            })
        };
        names.iter().map(find).collect::<Result<_, _>>()?
    };
    let seed = match std::env::var("PMEMKV_SEED") {
        Ok(word) if word == "random" => rand::random(),
        Ok(number) => number.parse()?,
        Err(_) => 1,
    };
    let keep = std::env::var_os("PMEMKV_KEEP").map(PathBuf::from);
    if let Some(folder) = &keep {
        std::fs::create_dir_all(folder)?;
    }
    let plan = Plan {
        states: states.div_ceil(scenarios.len()),
        amount: Amount {
            single: 12,
            torn: 6,
            random: 6,
        },
        seed,
        keep,
        ends_at_fault: false,
    };
    let program = std::env::current_exe()?;
    let mut out = io::stdout().lock();
    let (mut opened, mut wrong) = (0, 0);
    for scenario in scenarios {
        let recording = record::record(&scenario)?;
        let report = run(&recording, &plan, &program)?;
        writeln!(out, "{}: {report}", scenario.name)?;
        opened += report.states;
        wrong += report.faults.len();
    }
    writeln!(out, "seed {seed}: {opened} states, {wrong} wrong")?;
    Ok(if wrong == 0 {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}
