//! Damage of every kind in every part of a pool: nothing wrong is served in silence, and no server crashes.
//!
//! A sample is a pool that a server has left, with earlier states of it and a model of what it holds. A round damages a
//! copy, starts a server on it, and compares all that the server serves with the model; then it writes, compares again,
//! starts once more and compares again. `scripts/damage` runs many rounds; `PMEMKV_DAMAGE_ROUNDS`, `PMEMKV_SEED` and
//! `PMEMKV_DAMAGE_ONLY` (the number of one round) change what runs, and `PMEMKV_DAMAGE_SERVER` names another program.

mod calls;
mod kinds;
mod sample;
mod server;
mod tally;

use std::fs;
use std::time::{Duration, Instant};

use common::TestResult;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use kinds::{Damage, KINDS};
use sample::{Model, Sample};
use server::{Ended, Subject};
use tally::{Outcome, Tally};

/// How long the small form goes on: on a busy machine it does fewer rounds.
const SMALL_TIME_MAX: Duration = Duration::from_secs(15);

/// Rounds for each sample; a new sample costs about as much as twenty.
const ROUNDS_PER_SAMPLE: usize = 125;

/// Where a pool lies. On a disk it has extents and points, which pools in memory have not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    Memory,
    Disk,
}

#[test]
fn crash_by_damage() -> TestResult {
    campaign("packed", 30)
}

#[test]
fn crash_by_damage_in_pairs() -> TestResult {
    campaign("pairs", 30)
}

fn campaign(layout: &'static str, rounds: usize) -> TestResult {
    let number = |name| std::env::var(name).ok().map(|text| text.parse::<usize>());
    let asked = number("PMEMKV_DAMAGE_ROUNDS").transpose()?;
    let rounds = asked.unwrap_or(rounds);
    let begun = Instant::now();
    let only = number("PMEMKV_DAMAGE_ONLY").transpose()?;
    let (seed, _) = crate::seed_and_rounds(0)?;
    let mut tally = Tally::default();
    let mut sample = None;
    for round in 0..rounds {
        // Each round has a seed of its own, so that one of them can be repeated alone.
        let batch = (round / ROUNDS_PER_SAMPLE) as u64;
        if round % ROUNDS_PER_SAMPLE == 0
            && only.is_none_or(|only| only / ROUNDS_PER_SAMPLE == round / ROUNDS_PER_SAMPLE)
        {
            let mut rng = StdRng::seed_from_u64(seed ^ batch << 32);
            let place = if layout == "packed" && batch % 4 >= 2 {
                Place::Disk
            } else {
                Place::Memory
            };
            sample = Some(Sample::make(layout, place, &mut rng, batch % 2 == 1)?);
        }
        if only.is_some_and(|only| only != round) {
            continue;
        }
        if asked.is_none() && begun.elapsed() > SMALL_TIME_MAX {
            break;
        }
        let sample = sample.as_ref().ok_or("no sample")?;
        let mut rng = StdRng::seed_from_u64(seed.wrapping_add(round as u64) ^ 0x5eed);
        let kind = KINDS[round % KINDS.len()];
        let damage = kind.make(sample, &mut rng);
        let outcome = check(sample, &damage, &mut rng, only.is_some()).map_err(|error| {
            format!(
                "PMEMKV_SEED={seed}, round {round}, {}: {error}",
                damage.what
            )
        })?;
        if only.is_some() || outcome.is_bad() || std::env::var_os("PMEMKV_DAMAGE_ALL").is_some() {
            let place = sample.place;
            eprintln!(
                "{layout} in {place:?} round {round}: {}: {outcome}",
                damage.what
            );
        }
        tally.add(kind.name, &outcome);
    }
    eprint!("{layout}, seed {seed}:\n{tally}");
    assert!(
        only.is_some() || !tally.has_bad(),
        "{layout}: PMEMKV_SEED={seed}: see above"
    );
    Ok(())
}

/// What a server makes of the damage; where it refuses it, what a start with repair makes of it.
fn check(
    sample: &Sample,
    damage: &Damage,
    rng: &mut StdRng,
    is_shown: bool,
) -> TestResult<Outcome> {
    let subject = Subject::new(sample.layout, sample.place)?;
    fs::write(subject.pool_path(), &damage.pool)?;
    let model = sample.model.clone();
    let salt = rng.random::<u32>();
    let outcome = match serve(&subject, model, salt, &[])? {
        Outcome::Refused(why) if sample.layout == "packed" => {
            match serve(&subject, sample.model.clone(), salt, &["--repair", "yes"])? {
                Outcome::Refused(_) => Outcome::Refused(why),
                Outcome::Right => Outcome::RepairedRight,
                Outcome::Silent(what) if subject.log_tells_of_loss() => Outcome::Repaired(what),
                bad => Outcome::InRepair(Box::new(bad)),
            }
        }
        other => other,
    };
    if is_shown {
        eprintln!("{}", subject.log());
    }
    Ok(outcome)
}

/// Starts, compares, writes, compares, starts again, compares.
fn serve(
    subject: &Subject,
    mut model: Model,
    salt: u32,
    directives: &[&str],
) -> TestResult<Outcome> {
    for is_second in [false, true] {
        let mut server = match subject.start(directives)? {
            Ok(server) => server,
            Err(Ended::Refused(why)) if is_second => {
                return Ok(Outcome::ToldLater(format!(
                    "refused by the second start: {why}"
                )));
            }
            Err(Ended::Refused(why)) => return Ok(Outcome::Refused(why)),
            Err(Ended::Crashed(how)) => {
                return Ok(Outcome::Crashed(format!("at the start: {how}")));
            }
        };
        let outcome = match server.compare(&model) {
            Ok(Outcome::Right) if !is_second => match server.write(&mut model, salt) {
                Ok(()) => server.compare(&model),
                Err(error) => Err(error),
            },
            other => other,
        };
        let ended = server.end();
        let outcome = match (outcome, ended) {
            (_, Err(how)) => return Ok(Outcome::Crashed(how)),
            (Err(error), Ok(())) => return Ok(Outcome::Told(error.to_string())),
            (Ok(outcome), Ok(())) => outcome,
        };
        if !matches!(outcome, Outcome::Right) {
            return Ok(outcome);
        }
    }
    Ok(Outcome::Right)
}
