//! Which of the states that a power cut may leave are looked at.

use rand::Rng;
use rand::rngs::StdRng;
use rand::seq::{IndexedRandom, SliceRandom};

use crate::memory::Memory;
use crate::trace::{LINE_BYTES, Line};

/// What a processor writes back whole, however the line around it is torn.
const ATOM_BYTES: usize = 8;

/// With no more lines than these all of their subsets are taken.
const ALL_SUBSETS_MAX: usize = 4;

/// The lines that are more than durable, with what of them has reached the memory.
pub type State = Vec<(u32, Line)>;

/// What is kept or lost together, where chance does not decide on each line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Grain {
    /// A cache line of persistent memory.
    Line,
    /// A page of a file on a disk.
    Page,
}

impl Grain {
    /// The number of a line's unit.
    fn of(self, line: u32) -> u32 {
        match self {
            Grain::Line => line,
            Grain::Page => line / LINES_OF_PAGE,
        }
    }
}

/// A page has 4,096 bytes, a line 64.
const LINES_OF_PAGE: u32 = 64;

/// How many states of each sort are taken where there are more.
#[derive(Clone, Copy, Debug)]
pub struct Amount {
    /// Of those in which one line is kept, and of those in which one is lost.
    pub single: usize,
    /// Of those in which a line is torn.
    pub torn: usize,
    /// Of those in which chance decides on each line.
    pub random: usize,
}

/// States that a power cut may leave at this moment: nothing kept, all kept, each line or page alone kept or lost, some torn,
/// some at random. Lines that an earlier step left unflushed, such as locks, go with chance.
pub fn states(memory: &Memory, grain: Grain, amount: Amount, rng: &mut StdRng) -> Vec<State> {
    let lines: Vec<u32> = memory.fresh().collect();
    let mut fresh: Vec<u32> = lines.iter().map(|&line| grain.of(line)).collect();
    fresh.dedup();
    let mut states = Vec::new();
    let mut add = |kept: &dyn Fn(u32) -> bool, rng: &mut StdRng| {
        let stale_are_kept = rng.random::<bool>();
        states.push(state(memory, |line| {
            if lines.contains(&line) {
                kept(grain.of(line))
            } else {
                stale_are_kept
            }
        }));
    };
    if fresh.len() <= ALL_SUBSETS_MAX {
        for subset in 0..1u32 << fresh.len() {
            let is_kept = |unit| {
                let at = fresh.iter().position(|&other| other == unit);
                at.is_some_and(|at| subset >> at & 1 == 1)
            };
            add(&is_kept, rng);
        }
    } else {
        add(&|_| false, rng);
        add(&|_| true, rng);
        for &one in fresh.choose_multiple(rng, amount.single) {
            add(&|unit| unit == one, rng);
        }
        for &one in fresh.choose_multiple(rng, amount.single) {
            add(&|unit| unit != one, rng);
        }
    }
    // Nothing at all, and everything.
    states.push(Vec::new());
    states.push(state(memory, |_| true));
    for _ in 0..amount.torn {
        states.extend(torn(memory, &lines, rng));
    }
    for _ in 0..amount.random {
        states.push(random(memory, rng));
    }
    states
}

/// How many different states [`states`] gives, about.
pub fn expected(memory: &Memory, grain: Grain, amount: Amount) -> usize {
    let mut fresh: Vec<u32> = memory.fresh().map(|line| grain.of(line)).collect();
    fresh.dedup();
    let fresh = fresh.len();
    if fresh == 0 {
        return 1;
    }
    let systematic = if fresh <= ALL_SUBSETS_MAX {
        1 << fresh
    } else {
        2 + 2 * amount.single.min(fresh)
    };
    // The first is the same as the last one of the fence before.
    systematic - 1 + amount.torn + amount.random
}

fn state(memory: &Memory, kept: impl Fn(u32) -> bool) -> State {
    let pending = memory.pending().iter();
    pending
        .filter(|&(&line, _)| kept(line))
        .map(|(&line, pending)| (line, *pending.last()))
        .collect()
}

/// One line torn, the others kept, lost, or as chance has it.
fn torn(memory: &Memory, fresh: &[u32], rng: &mut StdRng) -> Option<State> {
    let &one = fresh.choose(rng)?;
    let durable = memory.durable_line(one);
    let values = memory.pending().get(&one)?.values();
    let last = values.choose(rng)?;
    let mut atoms: Vec<usize> = (0..LINE_BYTES)
        .step_by(ATOM_BYTES)
        .filter(|&at| durable[at..at + ATOM_BYTES] != last[at..at + ATOM_BYTES])
        .collect();
    if atoms.len() < 2 {
        return None;
    }
    atoms.shuffle(rng);
    let mut line = *durable;
    for &at in &atoms[..rng.random_range(1..atoms.len())] {
        line[at..at + ATOM_BYTES].copy_from_slice(&last[at..at + ATOM_BYTES]);
    }
    let mut state = match rng.random_range(0..3) {
        0 => Vec::new(),
        1 => state(memory, |_| true),
        _ => random(memory, rng),
    };
    state.retain(|&(other, _)| other != one);
    state.push((one, line));
    Some(state)
}

/// Each line as chance has it: lost, kept in any of its values, or each of its atoms by itself.
fn random(memory: &Memory, rng: &mut StdRng) -> State {
    let mut state = Vec::new();
    for (&number, pending) in memory.pending() {
        let value = *pending
            .values()
            .choose(rng)
            .expect("a pending line has a value");
        match rng.random_range(0..8) {
            0..3 => {}
            3..6 => state.push((number, value)),
            _ => {
                let mut line = *memory.durable_line(number);
                for at in (0..LINE_BYTES).step_by(ATOM_BYTES) {
                    let value = pending.values().choose(rng).unwrap_or(&value);
                    if rng.random::<bool>() {
                        line[at..at + ATOM_BYTES].copy_from_slice(&value[at..at + ATOM_BYTES]);
                    }
                }
                state.push((number, line));
            }
        }
    }
    state
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use rand::SeedableRng;

    use super::*;
    use crate::trace::Event;

    #[test]
    fn few_lines_are_taken_in_all_subsets_and_none_is_made_up() {
        let mut memory = Memory::new(&[0; 8 * LINE_BYTES]);
        for number in 1..4 {
            memory.apply(Event::Write(number, &[9; LINE_BYTES]));
        }
        let amount = Amount {
            single: 8,
            torn: 10,
            random: 10,
        };
        let mut rng = StdRng::seed_from_u64(1);
        let states = states(&memory, Grain::Line, amount, &mut rng);
        let whole = |line: &Line| line.iter().all(|&byte| byte == 9);
        let subsets: HashSet<Vec<u32>> = states
            .iter()
            .filter(|state| state.iter().all(|(_, line)| whole(line)))
            .map(|state| state.iter().map(|&(number, _)| number).collect())
            .collect();
        assert!(subsets.len() >= 8, "{subsets:?}");
        let mut torn = 0;
        for (number, line) in states.iter().flatten() {
            assert!((1..4).contains(number));
            let (atoms, _) = line.as_chunks::<ATOM_BYTES>();
            let is_atom = |atom: &[u8; ATOM_BYTES]| *atom == [9; 8] || *atom == [0; 8];
            assert!(atoms.iter().all(is_atom), "{line:?}");
            torn += usize::from(!whole(line));
        }
        assert!(torn > 5, "{torn}");
    }
}
