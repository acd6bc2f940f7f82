//! A scenario's states, built, opened and judged.

use std::collections::HashSet;
use std::fmt;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use common::TestResult;
use rand::rngs::StdRng;
use rand::seq::SliceRandom;
use rand::{Rng, SeedableRng};

use crate::checker::{Ask, Checker};
use crate::contents::Contents;
use crate::memory::Memory;
use crate::record::{Recording, environment};
use crate::scenario::Rule;
use crate::states::{Amount, State, expected, states};
use crate::trace::{Event, LINE_BYTES, Trace};

/// Checkers side by side.
const WORKERS: usize = 2;

/// One state of so many is used on after the check.
const GO_ON_SHARE: u32 = 8;

/// After one state of so many the power fails again while it is opened.
const TWICE_SHARE: u32 = 24;

/// Moments of such an opening at which it does, and states at each.
const TWICE_MOMENTS: usize = 3;
const TWICE_AMOUNT: Amount = Amount {
    single: 1,
    torn: 1,
    random: 1,
};

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
    /// Whether the first fault ends it.
    pub ends_at_fault: bool,
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
        write!(
            f,
            "{states} states at {tried} of {all} moments, {faults} wrong"
        )?;
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
    let is_over = AtomicBool::new(false);
    let results = thread::scope(|scope| {
        let workers: Vec<_> = (0..WORKERS)
            .map(|number| {
                let (chosen, seen, is_over) = (&chosen, &seen, &is_over);
                scope.spawn(move || {
                    let worker = Worker::new(recording, plan, program, number);
                    let run = worker.and_then(|worker| Ok(worker.run(chosen, seen, is_over)?));
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
    /// The units that must be there.
    promised: usize,
    /// Before it has its name, there is no pool.
    has_name: bool,
}

impl<'a> Moments<'a> {
    fn new(recording: &'a Recording) -> Self {
        Self {
            recording,
            memory: Memory::new(&recording.base),
            answered: 0,
            sent: 0,
            promised: 0,
            has_name: !recording.base.is_empty(),
        }
    }

    /// What is to be held against a state.
    fn known(&self) -> u64 {
        (self.answered << 40 ^ self.promised << 20 ^ self.sent) as u64
    }

    /// Calls `f` with the number of each moment, counted from 0, when the memory and the client are as they were then.
    fn each(mut self, mut f: impl FnMut(usize, &Self) -> io::Result<()>) -> io::Result<usize> {
        let mut number = 0;
        for event in self.recording.trace.events() {
            let may_fail = matches!(
                event,
                Event::Fence(_) | Event::Answered(_) | Event::Synced(_) | Event::Link
            );
            match event {
                Event::Sent(state) => self.sent = state,
                Event::Answered(state) => {
                    self.answered = state;
                    if !self.recording.every_second {
                        self.promised = state;
                    }
                }
                Event::Synced(state) => self.promised = state,
                Event::Link => self.has_name = true,
                _ => {}
            }
            if may_fail {
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
        weights.push(expected(&moment.memory, recording.grain, plan.amount));
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
    program: PathBuf,
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
            program: program.to_owned(),
            checker: Checker::new(program),
            folder: common::temporary_folder()?,
            faults: Vec::new(),
            pages: Vec::new(),
        })
    }

    fn run(
        mut self,
        chosen: &HashSet<usize>,
        seen: &Mutex<HashSet<u64>>,
        is_over: &AtomicBool,
    ) -> io::Result<Vec<String>> {
        let (plan, number) = (self.plan, self.number);
        let moments = Moments::new(self.recording);
        moments.each(|moment, at| {
            let is_mine = moment % WORKERS == number && chosen.contains(&moment);
            if !is_mine || is_over.load(Ordering::Relaxed) {
                return Ok(());
            }
            let mut rng = StdRng::seed_from_u64(plan.seed ^ (moment as u64) << 16);
            for state in states(&at.memory, self.recording.grain, plan.amount, &mut rng) {
                let lines = state.iter().map(|(number, line)| (*number, line));
                // What is to be held against the state is part of what it is.
                let hash = at.memory.hash_with(lines) ^ at.known();
                let is_new = seen.lock().is_ok_and(|mut seen| seen.insert(hash));
                if !is_new {
                    continue;
                }
                let ask = match at.has_name {
                    false => Ask::Unfinished,
                    true if rng.random_ratio(1, GO_ON_SHARE) => Ask::AndGoOn,
                    true => Ask::Contents,
                };
                self.judge(moment, at, &state, ask)?;
                if at.has_name && rng.random_ratio(1, TWICE_SHARE) {
                    self.fail_twice(moment, at, &state, &mut rng, seen)?;
                }
                if plan.ends_at_fault && !self.faults.is_empty() {
                    is_over.store(true, Ordering::Relaxed);
                    break;
                }
            }
            Ok(())
        })?;
        Ok(self.faults)
    }

    fn judge(
        &mut self,
        moment: usize,
        at: &Moments<'_>,
        state: &State,
        ask: Ask,
    ) -> io::Result<()> {
        let pool = self.folder.path().join("pool");
        self.build(&pool, at.memory.durable(), state)?;
        let found = self.checker.check(ask, &pool)?;
        let fault = self.fault(at, found);
        self.note(fault, moment, at, |worker, place| {
            worker.build(place, at.memory.durable(), state)
        })
    }

    /// Lets the power fail once more while the pool is opened, and so repaired, after it has failed here.
    fn fail_twice(
        &mut self,
        moment: usize,
        at: &Moments<'_>,
        state: &State,
        rng: &mut StdRng,
        seen: &Mutex<HashSet<u64>>,
    ) -> io::Result<()> {
        let name = |name| self.folder.path().join(name);
        let (pool, log, shadow) = (name("twice"), name("twice.log"), name("twice.shadow"));
        self.build(&pool, at.memory.durable(), state)?;
        self.build(&shadow, at.memory.durable(), state)?;
        let base = std::fs::read(&pool)?;
        std::fs::write(&log, [])?;
        let watched = environment(&pool, &log, &shadow);
        let found = Checker::new(&self.program)
            .with(watched)
            .check(Ask::Contents, &pool)?;
        if found.is_err() {
            // The state by itself is at fault, and noted.
            return Ok(());
        }
        let opening = Recording {
            base,
            trace: Trace::read(&log)?,
            states: Vec::new(),
            rule: self.recording.rule,
            grain: self.recording.grain,
            every_second: self.recording.every_second,
        };
        let count = Moments::new(&opening).each(|_, _| Ok(()))?;
        let chosen: HashSet<usize> = (0..TWICE_MOMENTS)
            .map(|_| rng.random_range(0..count))
            .collect();
        Moments::new(&opening).each(|number, second| {
            if !chosen.contains(&number) {
                return Ok(());
            }
            for state in states(&second.memory, self.recording.grain, TWICE_AMOUNT, rng) {
                let lines = state.iter().map(|(number, line)| (*number, line));
                let hash = second.memory.hash_with(lines) ^ at.known();
                if !seen.lock().is_ok_and(|mut seen| seen.insert(hash)) {
                    continue;
                }
                self.build(&pool, second.memory.durable(), &state)?;
                let found = self.checker.check(Ask::Contents, &pool)?;
                let fault = self.fault(at, found);
                let fault = fault
                    .map(|fault| format!("after a second cut, at {number} of {count}: {fault}"));
                self.note(fault, moment, at, |worker, place| {
                    worker.build(place, second.memory.durable(), &state)
                })?;
            }
            Ok(())
        })?;
        Ok(())
    }

    fn note(
        &mut self,
        fault: Option<String>,
        moment: usize,
        at: &Moments<'_>,
        build: impl FnOnce(&mut Self, &Path) -> io::Result<()>,
    ) -> io::Result<()> {
        let Some(fault) = fault else {
            return Ok(());
        };
        let (answered, sent) = (at.answered, at.sent);
        let mut text =
            format!("moment {moment}, {answered} steps answered of {sent} sent: {fault}");
        if let Some(keep) = &self.plan.keep {
            let place = keep.join(format!(
                "{}-{}-{moment}.pool",
                self.number,
                self.faults.len()
            ));
            build(self, &place)?;
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
        let states = &self.recording.states[at.promised.min(last)..=at.sent.min(last)];
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
