//! Lists: elements in the order of their labels.
//!
//! Each element has a label: a number in its record's key, so that a restart finds the order again. A new element at
//! an end gets a label beyond the outermost one; an element between two neighbours gets the number halfway. If no
//! number is left there, the list gives new labels to as few neighbours as possible, in the same atomic step.

mod compact;
mod edit;

use std::collections::HashMap;
use std::ops::Range;

use smallvec::SmallVec;

pub(super) use compact::MORE_IN_LISTPACK_BYTES;
pub use edit::{ListEdit, StagedList};

use super::element_record_key;
use super::elements::{ID_BYTES, decode_label, encode_label};
use super::scratch::Scratch;
use super::sequence::Sequence;
use super::source::Source;
use crate::{KeyspaceError, Kind};
use store::{Location, Write};

/// The distance of labels between two elements that were pushed in sequence. It can be halved 20 times before
/// neighbours must move. At a million pushes a second to one end, the numbers last for 100 days; then the list is
/// relabelled.
const GAP: i64 = 1 << 20;

/// Labels lie between minus this and this.
const LABEL_MAX: i64 = 1 << 62;

/// An element's label and location.
#[derive(Clone, Copy, Debug, Default)]
pub struct ListItem {
    pub label: i64,
    pub location: Location,
}

/// The position of the element with this label; `None` if there is none.
pub fn find(items: &Sequence<ListItem>, name: &[u8]) -> Option<usize> {
    let label = decode_label(name)?;
    let position = items.partition_point(|item| item.label < label);
    items
        .get(position)
        .filter(|item| item.label == label)
        .map(|_| position)
}

/// An end of a list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// The end with the first element.
    Head,
    /// The end with the last element.
    Tail,
}

/// The label of an element that is pushed at an end; `None` where it would be too far out.
#[inline]
pub fn next_label(items: &Sequence<ListItem>, end: End) -> Option<i64> {
    let (first, last) = (items.first()?.label, items.last()?.label);
    if is_far(first) || is_far(last) {
        return None;
    }
    Some(match end {
        End::Head => first - GAP,
        End::Tail => last + GAP,
    })
}

/// Whether labels run out at this one.
fn is_far(label: i64) -> bool {
    label.abs() > LABEL_MAX - GAP * 1024
}

/// The name of the record of the element of list `id` that has this label.
#[inline]
pub fn name_of_label(id: u64, label: i64) -> [u8; 2 * ID_BYTES] {
    let mut name = [0; 2 * ID_BYTES];
    name[..ID_BYTES].copy_from_slice(&id.to_le_bytes());
    name[ID_BYTES..].copy_from_slice(&encode_label(label));
    name
}

/// The range of a value in the buffer of given values.
type Given = Range<usize>;

/// The planned change of a list. Positions are those before the change. One call uses only one of `set`, `insert` and
/// `removed`.
#[derive(Debug, Default)]
pub(in super::super) struct ListEdits {
    given: Scratch,
    /// How many elements leave at the head, and at the tail.
    popped: [usize; 2],
    /// New elements by end, in the order in which the command pushed them.
    pushed: [SmallVec<[Given; 1]>; 2],
    set: Vec<(usize, Given)>,
    /// Positions in ascending order.
    removed: Vec<usize>,
    insert: Option<(usize, Given)>,
    plan: ListPlan,
    /// Bytes of the list's listpack after the changes, if they are known.
    pub(super) listpack_bytes: Option<usize>,
}

/// A record that a change of a list writes.
#[derive(Debug)]
enum ListWrite {
    /// Writes an element under a label. `previous` is the location of the record that had the label before.
    Put {
        label: i64,
        previous: Option<Location>,
        value: Given,
    },
    Remove {
        label: i64,
        location: Location,
    },
}

impl ListWrite {
    fn label(&self) -> i64 {
        match *self {
            ListWrite::Put { label, .. } | ListWrite::Remove { label, .. } => label,
        }
    }
}

/// The labels of a new element and of the neighbours that move for it, in order.
#[derive(Debug)]
struct Spread {
    /// Position of the first neighbour, before the change.
    first: usize,
    /// Index of the new element's label among `labels`.
    new: usize,
    labels: Vec<i64>,
}

/// Inline space for one write, because most changes are of one element.
type ListWrites = SmallVec<[ListWrite; 1]>;

/// The writes that carry out a change of a list.
#[derive(Debug, Default)]
struct ListPlan {
    writes: ListWrites,
    /// The keys of the records.
    names: SmallVec<[[u8; 2 * ID_BYTES]; 1]>,
    spread: Option<Box<Spread>>,
}

impl ListEdits {
    fn give(&mut self, value: &[u8]) -> Given {
        let start = self.given.len();
        self.given.extend_from_slice(value);
        start..self.given.len()
    }

    pub fn len_after(&self, len: usize) -> usize {
        let gone = self.popped[0] + self.popped[1] + self.removed.len();
        let new = self.pushed[0].len() + self.pushed[1].len() + usize::from(self.insert.is_some());
        len - gone + new
    }

    pub fn is_empty(&self) -> bool {
        self.popped == [0; 2]
            && self.pushed.iter().all(SmallVec::is_empty)
            && self.set.is_empty()
            && self.removed.is_empty()
            && self.insert.is_none()
    }

    /// Plans the writes for a change of the list `id`. Values of elements that only get new labels are read from
    /// `source`.
    pub(super) fn plan(
        &mut self,
        items: &Sequence<ListItem>,
        source: &Source<'_>,
        id: u64,
    ) -> Result<(), KeyspaceError> {
        let Self {
            popped,
            pushed,
            set,
            removed,
            plan: ListPlan { writes, .. },
            ..
        } = self;
        let mut remove = |item: &ListItem| {
            writes.push(ListWrite::Remove {
                label: item.label,
                location: item.location,
            });
        };
        let len = items.len();
        match *popped {
            [0, 0] => {}
            [1, 0] => items.first().into_iter().for_each(&mut remove),
            [0, 1] => items.last().into_iter().for_each(&mut remove),
            [head, tail] => {
                items.range(0..head).for_each(&mut remove);
                items.range(len - tail..len).for_each(&mut remove);
            }
        }
        let removed = removed.iter().filter_map(|&at| items.get(at));
        removed.for_each(&mut remove);
        for (position, value) in set {
            if let Some(item) = items.get(*position) {
                writes.push(ListWrite::Put {
                    label: item.label,
                    previous: Some(item.location),
                    value: value.clone(),
                });
            }
        }
        // Do not reuse the labels of elements that leave: one step must not write a record twice.
        let label_of = |item: Option<&ListItem>| item.map(|item| item.label);
        let (first, last) = (label_of(items.first()), label_of(items.last()));
        let mut label = first.unwrap_or(0);
        for value in &pushed[End::Head as usize] {
            label -= GAP;
            writes.push(new(label, value));
        }
        // In an empty list, the first element pushed at the tail gets label 0.
        let mut label = last.unwrap_or(-GAP);
        for value in &pushed[End::Tail as usize] {
            label += GAP;
            writes.push(new(label, value));
        }
        if first.is_some_and(is_far) || last.is_some_and(is_far) {
            return Err(KeyspaceError::Failed(
                "the list has run out of positions: copy it to another key",
            ));
        }
        if let Some((position, value)) = self.insert.clone() {
            self.plan_insert(items, position, &value, source)?;
        }
        let ListPlan { writes, names, .. } = &mut self.plan;
        for write in writes {
            names.push(name_of_label(id, write.label()));
        }
        Ok(())
    }

    fn plan_insert(
        &mut self,
        items: &Sequence<ListItem>,
        position: usize,
        value: &Given,
        source: &Source<'_>,
    ) -> Result<(), KeyspaceError> {
        let spread = Spread::around(items, position);
        let mut writes = std::mem::take(&mut self.plan.writes);
        writes.push(new(spread.labels[spread.new], value));
        self.relabel(items, &spread, source, &mut writes)?;
        self.plan.writes = writes;
        self.plan.spread = Some(Box::new(spread));
        Ok(())
    }

    /// The records to write.
    pub(super) fn writes(&self, partition: usize) -> impl Iterator<Item = Write<'_>> {
        let ListPlan { writes, names, .. } = &self.plan;
        writes.iter().zip(names).map(move |(write, name)| {
            let record = element_record_key(partition, name);
            match write {
                ListWrite::Put {
                    previous, value, ..
                } => Write::Put {
                    record,
                    previous: *previous,
                    kind: Kind::List.into(),
                    expires_at: None,
                    value: &self.given[value.clone()],
                },
                ListWrite::Remove { location, .. } => Write::Remove {
                    record,
                    location: *location,
                },
            }
        })
    }

    /// Gives the neighbours in `spread` their new labels. The new element's write must be the last one.
    fn relabel(
        &mut self,
        items: &Sequence<ListItem>,
        spread: &Spread,
        source: &Source<'_>,
        writes: &mut ListWrites,
    ) -> Result<(), KeyspaceError> {
        let neighbours = spread.labels.len() - 1;
        let moving = || items.range(spread.first..spread.first + neighbours);
        // Starts with all old labels of the neighbours; in the end only those remain that no element has any more.
        let mut left: HashMap<i64, Location> =
            moving().map(|item| (item.label, item.location)).collect();
        if let Some(ListWrite::Put {
            label, previous, ..
        }) = writes.last_mut()
        {
            *previous = left.remove(label);
        }
        let mut labels = spread.labels.clone();
        labels.remove(spread.new);
        for (item, label) in moving().zip(labels) {
            let previous = left.remove(&label);
            if item.label != label {
                let name = encode_label(item.label);
                let value = source.read(&name, item.location, |value| self.give(value))?;
                writes.push(ListWrite::Put {
                    label,
                    previous,
                    value,
                });
            }
        }
        writes.extend(
            left.into_iter()
                .map(|(label, location)| ListWrite::Remove { label, location }),
        );
        Ok(())
    }

    /// Applies the written change to the list in DRAM. `locations` are those of the [`writes`](Self::writes). Returns
    /// how many of the locations belonged to this list.
    pub(super) fn apply(&self, items: &mut Sequence<ListItem>, locations: &[Location]) -> usize {
        let plan = &self.plan;
        let mut puts = plan
            .writes
            .iter()
            .zip(locations)
            .filter(|(write, _)| matches!(write, ListWrite::Put { .. }))
            .map(|(write, &location)| ListItem {
                label: write.label(),
                location,
            });
        for (position, _) in &self.set {
            if let (Some(item), Some(new)) = (items.get_mut(*position), puts.next()) {
                *item = new;
            }
        }
        for &position in self.removed.iter().rev() {
            items.remove(position);
        }
        let [head, tail] = self.popped;
        for _ in 0..head {
            items.pop_front();
        }
        for _ in 0..tail {
            items.pop_back();
        }
        let [at_head, at_tail] = &self.pushed;
        for item in puts.by_ref().take(at_head.len()) {
            items.push_front(item);
        }
        for item in puts.by_ref().take(at_tail.len()) {
            items.push_back(item);
        }
        if let Some(spread) = &plan.spread {
            let moved: HashMap<i64, Location> =
                puts.map(|item| (item.label, item.location)).collect();
            let new = spread.first + spread.new;
            items.insert(new, ListItem::default());
            for (position, &label) in (spread.first..).zip(&spread.labels) {
                if let (Some(item), Some(&location)) = (items.get_mut(position), moved.get(&label))
                {
                    *item = ListItem { label, location };
                }
            }
        }
        plan.writes.len()
    }
}

fn new(label: i64, value: &Given) -> ListWrite {
    ListWrite::Put {
        label,
        previous: None,
        value: value.clone(),
    }
}

impl Spread {
    /// Chooses labels for a new element before the one at `position` (neither the first nor past the last), and for as
    /// few of its neighbours as give it space.
    fn around(items: &Sequence<ListItem>, position: usize) -> Self {
        let label = |at: usize| items.get(at).map_or(0, |item| item.label);
        let mut each_side = 0;
        loop {
            let first = position.saturating_sub(each_side);
            let past = (position + each_side).min(items.len());
            let count = i64::try_from(past - first + 1).unwrap_or(i64::MAX);
            // There is always space beyond the ends.
            let distance = GAP.saturating_mul(count);
            let low = match first {
                0 => label(0) - distance,
                _ => label(first - 1),
            };
            let high = if past < items.len() {
                label(past)
            } else {
                label(items.len() - 1) + distance
            };
            let step = (high - low) / (count + 1);
            // Neighbours that move should not have to move again soon.
            let step_min = if each_side == 0 { 1 } else { 16 };
            if step >= step_min {
                return Self {
                    first,
                    new: position - first,
                    labels: (1..=count).map(|n| low + n * step).collect(),
                };
            }
            each_side = (each_side * 2).max(2);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn item(label: i64) -> ListItem {
        ListItem {
            label,
            location: Location(label.cast_unsigned()),
        }
    }

    #[test]
    fn a_new_element_gets_a_label_between_its_neighbours_as_long_as_there_is_one() {
        let items: Sequence<ListItem> = [0, 10, 12, 13].into_iter().map(item).collect();
        for (position, expected) in [(1, 5), (2, 11)] {
            let spread = Spread::around(&items, position);
            assert_eq!((spread.first, spread.new), (position, 0));
            assert_eq!(spread.labels, [expected]);
        }
    }

    #[test]
    fn crowded_neighbours_move_apart_and_stay_in_order() {
        let crowd = [-GAP, 0].into_iter().chain(1..1000).chain([GAP * 2]);
        let items: Sequence<ListItem> = crowd.map(item).collect();
        for position in 1..items.len() {
            let spread = Spread::around(&items, position);
            let neighbours = spread.labels.len() - 1;
            let before = items.range(0..spread.first).map(|item| item.label);
            let after = items
                .range(spread.first + neighbours..items.len())
                .map(|item| item.label);
            let all: Vec<i64> = before
                .chain(spread.labels.iter().copied())
                .chain(after)
                .collect();
            assert_eq!(all.len(), items.len() + 1);
            assert!(all.is_sorted_by(|a, b| a < b), "{position}: {all:?}");
            assert_eq!(spread.first + spread.new, position);
        }
    }

    #[test]
    fn elements_are_found_by_label() {
        let items: Sequence<ListItem> = (0..2000).map(|n| item(n * 3)).collect();
        assert_eq!(find(&items, &encode_label(600)), Some(200));
        assert_eq!(find(&items, &encode_label(601)), None);
        assert_eq!(find(&items, b"other"), None);
    }
}
