//! A scenario's states, built, opened and judged.

use std::collections::HashSet;
use std::fmt;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::thread;

use common::TestResult;
use rand::rngs::StdRng;
use rand::seq::SliceRandom;
use rand::{Rng, SeedableRng};

use crate::checker::{Ask, Checker};
use crate::contents::Contents;
use crate::memory::Memory;
use crate::record::Recording;
use crate::scenario::Rule;
use crate::states::{Amount, State, expected, states};
use crate::trace::{Event, LINE_BYTES};

/// Checkers side by side.
const WORKERS: usize = 2;

/// One state of so many is used on after the check.
const GO_ON_SHARE: u32 = 8;

/// Faults that a report shows.
const FAULTS_SHOWN: usize = 5;

const PAGE_BYTES: usize = 4096;
const ZEROS: [u8; PAGE_BYTES] = [0; PAGE_BYTES];

/// How much is looked at.
#[derive(Clone, Debug)]
pub struct Plan {
    /// Different states, about.
    pub states: usize,
    /// How many of each sort at one fence.
    pub amount: Amount,
    /// Chance begins here.
    pub seed: u64,
    /// Where pools that are at fault are kept.
    pub keep: Option<PathBuf>,
}

/// What came of it.
#[derive(Debug, Default)]
pub struct Report {
    /// Different states that were opened.
    pub states: usize,
    /// Moments at which a power cut was tried, of so many.
    pub moments: (usize, usize),
    /// States that were wrong.
    pub faults: Vec<String>,
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (tried, all) = self.moments;
        let (states, faults) = (self.states, self.faults.len());
        write!(f, "{states} states at {tried} of {all} moments, {faults} wrong")?;
        for fault in self.faults.iter().take(FAULTS_SHOWN) {
            write!(f, "\n  {fault}")?;
        }
        Ok(())
    }
}

/// Tries power cuts at moments that chance chooses, until about as many states were opened as the plan asks for.
/// `program` becomes the checker.
pub fn run(recording: &Recording, plan: &Plan, program: &Path) -> TestResult<Report> {
    let (chosen, all) = choose(recording, plan);
    let mut report = Report {
        moments: (chosen.len(), all),
        ..Report::default()
    };
    let seen = Mutex::new(HashSet::new());
    let results = thread::scope(|scope| {
        let workers: Vec<_> = (0..WORKERS)
            .map(|number| {
                let (chosen, seen) = (&chosen, &seen);
                scope.spawn(move || {
                    let worker = Worker::new(recording, plan, program, number);
                    let run = worker.and_then(|worker| Ok(worker.run(chosen, seen)?));
                    run.map_err(|error| error.to_string())
                })
            })
            .collect();
        let joined = workers.into_iter().map(thread::ScopedJoinHandle::join);
        joined.collect::<Vec<_>>()
    });
    for result in results {
        let faults = result.map_err(|_| "a worker panicked")??;
        report.faults.extend(faults);
    }
    report.states = seen.lock().map_or(0, |seen| seen.len());
    Ok(report)
}

/// A place in the log at which the power may fail, and what the client knew there.
struct Moments<'a> {
    recording: &'a Recording,
    memory: Memory,
    /// The units that were answered, and those that were sent.
    answered: usize,
    sent: usize,
    /// Before it has its name, there is no pool.
    has_name: bool,
}

impl<'a> Moments<'a> {
    fn new(recording: &'a Recording) -> Self {
        Self {
            recording,
            memory: Memory::new(recording.base.clone()),
            answered: 0,
            sent: 0,
            has_name: !recording.base.is_empty(),
        }
    }

    /// Calls `f` with the number of each moment, counted from 0, when the memory and the client are as they were then.
    fn each(mut self, mut f: impl FnMut(usize, &Self) -> io::Result<()>) -> io::Result<usize> {
        let mut number = 0;
        for event in self.recording.trace.events() {
            let may_fail = matches!(event, Event::Fence(_) | Event::Answered(_) | Event::Link);
            match event {
                Event::Sent(state) => self.sent = state,
                Event::Answered(state) => self.answered = state,
                Event::Link => self.has_name = true,
                _ => {}
            }
            if may_fail && self.has_name {
                f(number, &self)?;
                number += 1;
            }
            self.memory.apply(event);
        }
        f(number, &self)?;
        Ok(number + 1)
    }
}

/// The numbers of the moments to try, and how many there are.
fn choose(recording: &Recording, plan: &Plan) -> (HashSet<usize>, usize) {
    let mut weights = Vec::new();
    let _ = Moments::new(recording).each(|_, moment| {
        weights.push(expected(&moment.memory, plan.amount));
        Ok(())
    });
    let mut order: Vec<usize> = (0..weights.len()).collect();
    order.shuffle(&mut StdRng::seed_from_u64(plan.seed));
    let mut states = 0;
    let chosen = order.into_iter().take_while(|&moment| {
        let wanted = states < plan.states;
        states += weights[moment];
        wanted
    });
    (chosen.collect(), weights.len())
}

struct Worker<'a> {
    recording: &'a Recording,
    plan: &'a Plan,
    number: usize,
    checker: Checker,
    folder: tempfile::TempDir,
    faults: Vec<String>,
    /// Pages that are not all zeros, or were not at some time.
    pages: Vec<bool>,
}

impl<'a> Worker<'a> {
    fn new(
        recording: &'a Recording,
        plan: &'a Plan,
        program: &Path,
        number: usize,
    ) -> TestResult<Self> {
        Ok(Self {
            recording,
            plan,
            number,
            checker: Checker::new(program),
            folder: common::temporary_folder()?,
            faults: Vec::new(),
            pages: Vec::new(),
        })
    }

    fn run(mut self, chosen: &HashSet<usize>, seen: &Mutex<HashSet<u64>>) -> io::Result<Vec<String>> {
        let (plan, number) = (self.plan, self.number);
        let moments = Moments::new(self.recording);
        moments.each(|moment, at| {
            if moment % WORKERS != number || !chosen.contains(&moment) {
                return Ok(());
            }
            let mut rng = StdRng::seed_from_u64(plan.seed ^ (moment as u64) << 16);
            for state in states(&at.memory, plan.amount, &mut rng) {
                let lines = state.iter().map(|(number, line)| (*number, line));
                // What is to be held against the state is part of what it is.
                let hash = at.memory.hash_with(lines) ^ ((at.answered << 20 ^ at.sent) as u64);
                let is_new = seen.lock().is_ok_and(|mut seen| seen.insert(hash));
                if is_new {
                    let on = rng.random_ratio(1, GO_ON_SHARE);
                    self.judge(moment, at, &state, on)?;
                }
            }
            Ok(())
        })?;
        Ok(self.faults)
    }

    fn judge(&mut self, moment: usize, at: &Moments<'_>, state: &State, on: bool) -> io::Result<()> {
        let pool = self.folder.path().join("pool");
        self.build(&pool, at.memory.durable(), state)?;
        let ask = if on { Ask::AndGoOn } else { Ask::Contents };
        let found = self.checker.check(ask, &pool)?;
        let Some(fault) = self.fault(at, found) else {
            return Ok(());
        };
        let mut text = format!(
            "moment {moment}, {} of {} pending lines kept, {} to {} of the steps: {fault}",
            state.len(),
            at.memory.pending().len(),
            at.answered,
            at.sent
        );
        if let Some(keep) = &self.plan.keep {
            let place = keep.join(format!("{}-{moment}.pool", self.faults.len()));
            self.build(&place, at.memory.durable(), state)?;
            text = format!("{text} ({})", place.display());
        }
        self.faults.push(text);
        Ok(())
    }

    fn fault(&self, at: &Moments<'_>, found: Result<Contents, String>) -> Option<String> {
        let now = store::now_ms();
        let found = match found {
            Ok(found) => found.lasting(now),
            Err(why) => return Some(why),
        };
        let last = self.recording.states.len() - 1;
        let states = &self.recording.states[at.answered.min(last)..=at.sent.min(last)];
        let states: Vec<Contents> = states
            .iter()
            .map(|state| state.clone().lasting(now))
            .collect();
        match self.recording.rule {
            Rule::EachKey => Contents::difference_by_keys(&states, &found),
            Rule::Whole if states.contains(&found) => None,
            Rule::Whole => {
                let differences = states.iter().filter_map(|state| state.difference(&found));
                Some(differences.collect::<Vec<_>>().join("; or "))
            }
        }
    }

    /// Writes the pool that a power cut leaves.
    fn build(&mut self, path: &Path, durable: &[u8], state: &State) -> io::Result<()> {
        let pages = durable.chunks(PAGE_BYTES);
        self.pages.resize(pages.len(), false);
        let file = File::create(path)?;
        file.set_len(durable.len() as u64)?;
        let mut start = None;
        for (number, page) in pages.enumerate() {
            self.pages[number] = self.pages[number] || page != &ZEROS[..page.len()];
            match (self.pages[number], start) {
                (true, None) => start = Some(number),
                (false, Some(from)) => {
                    write_pages(&file, durable, from, number)?;
                    start = None;
                }
                _ => {}
            }
        }
        if let Some(from) = start {
            write_pages(&file, durable, from, self.pages.len())?;
        }
        for (number, line) in state {
            file.write_all_at(line, u64::from(*number) * LINE_BYTES as u64)?;
        }
        Ok(())
    }
}

fn write_pages(file: &File, durable: &[u8], from: usize, to: usize) -> io::Result<()> {
    let (from, to) = (from * PAGE_BYTES, (to * PAGE_BYTES).min(durable.len()));
    file.write_all_at(&durable[from..to], from as u64)
}
