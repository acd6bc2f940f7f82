//! The examples run to their end and print what they promise.

use std::error::Error;
use std::process::{Command, Output};

use pmemkv::engines;

type TestResult = Result<(), Box<dyn Error>>;

/// Runs an example. Cargo builds a package's examples when it builds all of its tests, but not for a single test.
fn run(example: &str, arguments: &[&str]) -> Result<String, Box<dyn Error>> {
    let mut folder = std::env::current_exe()?;
    // From target/PROFILE/deps/NAME to target/PROFILE/examples.
    folder.pop();
    folder.pop();
    let program = folder.join("examples").join(example);
    if !program.exists() {
        let cargo = std::env::var_os("CARGO").ok_or("cargo did not start this test")?;
        let built = Command::new(cargo)
            .args(["build", "--quiet", "--locked", "--package", "pmemkv"])
            .args(["--example", example])
            .status()?;
        assert!(built.success(), "{example} does not build");
    }
    let Output {
        status,
        stdout,
        stderr,
    } = Command::new(&program)
        .args(arguments)
        .output()
        .map_err(|error| format!("{}: {error}", program.display()))?;
    if !status.success() {
        let stderr = String::from_utf8_lossy(&stderr);
        return Err(format!("{example} {arguments:?} ended with {status}: {stderr}").into());
    }
    Ok(String::from_utf8(stdout)?)
}

#[test]
fn first_stores_reads_counts_and_removes() -> TestResult {
    for engine in engines::available()
        .into_iter()
        .filter(|engine| engine.retains)
    {
        let printed = run("first", &[engine.name])?;
        for line in [
            "3 pairs",
            "first: one, again",
            "second: Some(14) bytes",
            "third is there: true",
            "third = three",
            "removed: true, still there: false",
            "2 pairs are left",
        ] {
            assert!(
                printed.lines().any(|printed| printed == line),
                "{}: no line {line:?} in {printed}",
                engine.name
            );
        }
        let counts = "above first: 2, below third: 2, between both: 1";
        assert_eq!(printed.contains(counts), engine.sorted, "{}", engine.name);
    }
    Ok(())
}

#[test]
fn baseline_measures_every_engine() -> TestResult {
    let printed = run("baseline", &["--count", "500"])?;
    for engine in engines::available() {
        let row = printed
            .lines()
            .find(|line| line.split_whitespace().next() == Some(engine.name))
            .ok_or_else(|| format!("no row of {} in {printed}", engine.name))?;
        let rates: Vec<f64> = row
            .split_whitespace()
            .skip(1)
            .map(str::parse)
            .collect::<Result<_, _>>()?;
        assert_eq!(rates.len(), 6, "{row}");
        assert!(rates.iter().all(|rate| *rate > 0.0), "{row}");
    }
    Ok(())
}

#[test]
fn iteration_walks_and_counts_all_six_shapes() -> TestResult {
    let printed = run("iteration", &[])?;
    for line in [
        "all: 6 (01 02 03 04 05 06)",
        "above 03: 3 (04 05 06)",
        "03 and above: 4 (03 04 05 06)",
        "below 03: 2 (01 02)",
        "03 and below: 3 (01 02 03)",
        "between 02 and 05: 2 (03 04)",
        "01 = month 01",
        "stopped early: true",
    ] {
        assert!(
            printed.lines().any(|printed| printed == line),
            "no line {line:?} in {printed}"
        );
    }
    Ok(())
}
