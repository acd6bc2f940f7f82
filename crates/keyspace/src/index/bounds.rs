//! Lower bounds of deadlines: of each leaf, of 64 leaves, of 64 times 64 leaves, and of all.
//!
//! A search for what is due reads the bounds of those groups alone that have a leaf with something due. A bound may be too early,
//! never too late: a change lowers the bounds above it at once, and only the search raises them.

use std::mem::size_of;

use super::super::Millis;
use super::entry::NEVER;

/// How many bounds one of the next level stands for.
const GROUP: usize = 64;

/// What a search does next.
pub(super) enum Next {
    /// It goes on. The bound of the leaf is this one.
    GoOn(Millis),
    /// It stops, and the leaf keeps its bound.
    Stop,
}

/// The bounds of an index.
#[derive(Debug)]
pub(super) struct Bounds {
    leaves: Vec<Millis>,
    groups: Vec<Millis>,
    blocks: Vec<Millis>,
    all: Millis,
}

/// Those of no leaf.
impl Default for Bounds {
    fn default() -> Self {
        Self::of(Vec::new())
    }
}

impl Bounds {
    /// Of leaves with these bounds.
    pub fn of(leaves: Vec<Millis>) -> Self {
        let groups: Vec<Millis> = leaves.chunks(GROUP).map(least).collect();
        let blocks: Vec<Millis> = groups.chunks(GROUP).map(least).collect();
        Self {
            all: least(&blocks),
            leaves,
            groups,
            blocks,
        }
    }

    /// Of so many leaves without deadlines.
    pub fn never(leaves: usize) -> Self {
        Self::of(vec![NEVER; leaves])
    }

    /// The bound of all leaves.
    #[inline]
    pub fn all(&self) -> Millis {
        self.all
    }

    /// The bounds of the leaves, by number.
    pub fn leaves(&self) -> &[Millis] {
        &self.leaves
    }

    /// Notes a deadline in a leaf.
    #[inline]
    pub fn note(&mut self, leaf: usize, deadline: Millis) {
        let lower = |bound: &mut Millis| *bound = deadline.min(*bound);
        lower(&mut self.leaves[leaf]);
        lower(&mut self.groups[leaf / GROUP]);
        lower(&mut self.blocks[leaf / GROUP / GROUP]);
        lower(&mut self.all);
    }

    /// Gives a leaf a bound that is no earlier than the one it has.
    pub fn raise(&mut self, leaf: usize, bound: Millis) {
        debug_assert!(bound >= self.leaves[leaf], "the bounds above are later");
        self.leaves[leaf] = bound;
    }

    /// Adds a leaf with this bound.
    pub fn push(&mut self, bound: Millis) {
        let leaf = self.leaves.len();
        if leaf == self.leaves.capacity() {
            self.leaves.reserve_exact((leaf / 8).max(1));
        }
        self.leaves.push(NEVER);
        if leaf.is_multiple_of(GROUP) {
            self.groups.push(NEVER);
        }
        if leaf.is_multiple_of(GROUP * GROUP) {
            self.blocks.push(NEVER);
        }
        self.note(leaf, bound);
    }

    /// Takes the last leaf away.
    pub fn pop(&mut self) {
        self.leaves.pop();
        self.groups.truncate(self.leaves.len().div_ceil(GROUP));
        self.blocks.truncate(self.groups.len().div_ceil(GROUP));
    }

    /// The leaves whose bound has passed.
    pub fn due(&self, now: Millis) -> impl Iterator<Item = usize> {
        let blocks = passed(&self.blocks, 0..self.blocks.len(), now);
        let groups = blocks.flat_map(move |block| passed(&self.groups, members(block), now));
        groups.flat_map(move |group| passed(&self.leaves, members(group), now))
    }

    /// Has `look` look at each leaf whose bound has passed, until it stops. Returns whether it has looked at all of them.
    pub fn search<E>(
        &mut self,
        now: Millis,
        mut look: impl FnMut(usize) -> Result<Next, E>,
    ) -> Result<bool, E> {
        for block in 0..self.blocks.len() {
            if self.blocks[block] > now {
                continue;
            }
            let groups = within(members(block), self.groups.len());
            for group in groups.clone() {
                if self.groups[group] > now {
                    continue;
                }
                let leaves = within(members(group), self.leaves.len());
                for leaf in leaves.clone() {
                    if self.leaves[leaf] > now {
                        continue;
                    }
                    match look(leaf)? {
                        Next::GoOn(bound) => self.leaves[leaf] = bound,
                        // What was not looked at keeps the bounds above it early.
                        Next::Stop => return Ok(false),
                    }
                }
                self.groups[group] = least(&self.leaves[leaves]);
            }
            self.blocks[block] = least(&self.groups[groups]);
        }
        self.all = least(&self.blocks);
        Ok(true)
    }

    /// DRAM that the bounds occupy, bytes.
    pub fn memory_bytes(&self) -> usize {
        let bounds = self.leaves.capacity() + self.groups.capacity() + self.blocks.capacity();
        bounds * size_of::<Millis>()
    }
}

fn least(bounds: &[Millis]) -> Millis {
    bounds.iter().copied().min().unwrap_or(NEVER)
}

/// The numbers on the level below.
fn members(number: usize) -> std::ops::Range<usize> {
    number * GROUP..(number + 1) * GROUP
}

fn within(range: std::ops::Range<usize>, len: usize) -> std::ops::Range<usize> {
    range.start..range.end.min(len)
}

fn passed(
    bounds: &[Millis],
    range: std::ops::Range<usize>,
    now: Millis,
) -> impl Iterator<Item = usize> {
    let range = within(range, bounds.len());
    (range.start..)
        .zip(&bounds[range])
        .filter(move |&(_, &bound)| bound <= now)
        .map(|(number, _)| number)
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use proptest::prelude::*;

    use super::*;

    /// Four million keys, as a shard of a thousand million has.
    const LEAVES: usize = 250_000;

    fn collect(bounds: &mut Bounds, now: Millis, limit: usize) -> (Vec<usize>, bool) {
        let mut found = Vec::new();
        let done = bounds.search(now, |leaf| {
            if found.len() == limit {
                return Ok::<_, Infallible>(Next::Stop);
            }
            found.push(leaf);
            Ok(Next::GoOn(NEVER))
        });
        (found, matches!(done, Ok(true)))
    }

    #[test]
    fn what_a_search_has_found_is_behind_it() {
        let mut bounds = Bounds::never(LEAVES);
        assert_eq!(bounds.all(), NEVER);
        for leaf in (0..LEAVES).rev().step_by(100) {
            bounds.note(leaf, 5);
        }
        assert_eq!(bounds.all(), 5);
        assert!(collect(&mut bounds, 4, 10).0.is_empty());
        let mut all = 0;
        loop {
            // Each search begins where the last one has stopped, but for the group there.
            let passed = bounds.groups.iter().take_while(|&&one| one > 5).count();
            assert!((passed + 1) * GROUP >= all * 100, "{passed} {all}");
            let (found, done) = collect(&mut bounds, 5, 10);
            all += found.len();
            if done {
                break;
            }
        }
        assert_eq!(all, LEAVES / 100);
        assert_eq!(bounds.all(), NEVER);
    }

    #[derive(Debug, Clone)]
    enum Step {
        Note(usize, Millis),
        Push(Millis),
        Pop,
        Search(Millis, usize),
    }

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            4 => (any::<usize>(), 0..100i64).prop_map(|(leaf, at)| Step::Note(leaf, at)),
            2 => (0..100i64).prop_map(Step::Push),
            1 => Just(Step::Pop),
            2 => (0..100i64, 0..20usize).prop_map(|(now, limit)| Step::Search(now, limit)),
        ]
    }

    proptest! {
        #[test]
        fn nothing_due_is_missed(
            first in prop::collection::vec(0..100i64, 1..9_000),
            steps in prop::collection::vec(step(), 0..60),
        ) {
            let mut model = first.clone();
            let mut bounds = Bounds::of(first);
            for step in steps {
                match step {
                    Step::Note(..) | Step::Pop if model.is_empty() => {}
                    Step::Note(leaf, at) => {
                        let leaf = leaf % model.len();
                        model[leaf] = model[leaf].min(at);
                        bounds.note(leaf, at);
                    }
                    Step::Push(at) => {
                        model.push(at);
                        bounds.push(at);
                    }
                    Step::Pop => {
                        model.pop();
                        bounds.pop();
                    }
                    Step::Search(now, limit) => {
                        let due: Vec<usize> = (0..model.len()).filter(|&n| model[n] <= now).collect();
                        prop_assert_eq!(&bounds.due(now).collect::<Vec<_>>(), &due);
                        let (found, done) = collect(&mut bounds, now, limit);
                        prop_assert_eq!(&found, &due[..due.len().min(limit)]);
                        prop_assert_eq!(done, found.len() == due.len());
                        for leaf in found {
                            model[leaf] = NEVER;
                        }
                    }
                }
                prop_assert_eq!(bounds.leaves(), &model[..]);
                prop_assert!(bounds.all() <= least(&model));
            }
        }
    }
}
