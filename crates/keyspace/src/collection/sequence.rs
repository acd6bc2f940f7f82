//! A list of items by position, stored in consecutive chunks.
//!
//! Access to both ends costs O(1). To find a position in the middle, the sequence sums the chunks' lengths, several at
//! a time. The lengths lie close together: a million items have about 2,000 of them.

use std::collections::VecDeque;
use std::ops::Range;

/// Items that a chunk holds at most.
const CHUNK_MAX: usize = 512;

/// If there are more chunks than this, a new chunk allocates its full capacity at once.
const CHUNKS_FEW: usize = 16;

/// Lengths that are added before the sum is compared.
const LENGTHS_PER_SUM: usize = 64;

/// Where an item lies, or where one may come, until the sequence changes: the number of the chunk, and the position within it.
#[derive(Clone, Copy, Debug)]
pub struct Place {
    chunk: usize,
    within: usize,
}

/// Items by position.
#[derive(Debug)]
pub struct Sequence<T> {
    /// No chunk is empty.
    chunks: VecDeque<VecDeque<T>>,
    /// How long each chunk is.
    lengths: VecDeque<u32>,
    len: usize,
    /// Items that fit in the chunks' capacity.
    capacity: usize,
}

impl<T> Default for Sequence<T> {
    fn default() -> Self {
        Self {
            chunks: VecDeque::new(),
            lengths: VecDeque::new(),
            len: 0,
            capacity: 0,
        }
    }
}

impl<T> FromIterator<T> for Sequence<T> {
    fn from_iter<I: IntoIterator<Item = T>>(items: I) -> Self {
        let mut items = items.into_iter();
        let mut sequence = Self::default();
        loop {
            let chunk: VecDeque<T> = items.by_ref().take(CHUNK_MAX).collect();
            if chunk.is_empty() {
                return sequence;
            }
            sequence.len += chunk.len();
            sequence.capacity += chunk.capacity();
            sequence
                .lengths
                .push_back(u32::try_from(chunk.len()).unwrap_or(u32::MAX));
            sequence.chunks.push_back(chunk);
        }
    }
}

impl<T> Sequence<T> {
    /// How many items there are.
    pub fn len(&self) -> usize {
        self.len
    }

    /// The first item.
    pub fn first(&self) -> Option<&T> {
        self.chunks.front()?.front()
    }

    /// The last item.
    pub fn last(&self) -> Option<&T> {
        self.chunks.back()?.back()
    }

    /// The item at a position.
    pub fn get(&self, position: usize) -> Option<&T> {
        let (chunk, within) = self.locate(position)?;
        self.chunks[chunk].get(within)
    }

    /// The item at a position, mutable.
    pub fn get_mut(&mut self, position: usize) -> Option<&mut T> {
        let (chunk, within) = self.locate(position)?;
        self.chunks[chunk].get_mut(within)
    }

    /// Adds an item before all others.
    pub fn push_front(&mut self, item: T) {
        if self.lengths.front().is_none_or(|&len| is_full(len)) {
            self.expect_chunk();
            self.chunks.push_front(VecDeque::new());
            self.lengths.push_front(0);
        }
        self.add(0, |chunk| chunk.push_front(item));
    }

    /// Adds an item after all others.
    pub fn push_back(&mut self, item: T) {
        if self.lengths.back().is_none_or(|&len| is_full(len)) {
            self.expect_chunk();
            self.chunks.push_back(VecDeque::new());
            self.lengths.push_back(0);
        }
        self.add(self.chunks.len() - 1, |chunk| chunk.push_back(item));
    }

    /// Inserts an item at a position up to the length; the items from there on move back by one.
    pub fn insert(&mut self, position: usize, item: T) {
        if position == 0 {
            return self.push_front(item);
        }
        // Insert after the previous item, so that an item at the end goes into the last chunk.
        let Some((chunk, within)) = self.locate(position - 1) else {
            return self.push_back(item);
        };
        let within = within + 1;
        self.insert_at(Place { chunk, within }, item);
    }

    /// Inserts an item at a place that a [`search`](Self::search) has found.
    pub fn insert_at(&mut self, place: Place, item: T) {
        let Place {
            mut chunk,
            mut within,
        } = place;
        if (chunk, within) == (0, 0) {
            return self.push_front(item);
        }
        if is_full(self.lengths[chunk]) {
            let half = CHUNK_MAX / 2;
            self.split(chunk, half);
            if within > half {
                chunk += 1;
                within -= half;
            }
        }
        self.add(chunk, |chunk| chunk.insert(within, item));
    }

    /// Removes and returns the first item.
    pub fn pop_front(&mut self) -> Option<T> {
        self.remove(0)
    }

    /// Removes and returns the last item.
    pub fn pop_back(&mut self) -> Option<T> {
        self.remove(self.len.checked_sub(1)?)
    }

    /// Removes and returns the item at a position.
    pub fn remove(&mut self, position: usize) -> Option<T> {
        let (chunk, within) = self.locate(position)?;
        self.remove_at(Place { chunk, within })
    }

    /// Removes and returns the item at a place that a [`search`](Self::search) has found.
    pub fn remove_at(&mut self, place: Place) -> Option<T> {
        let Place {
            chunk: number,
            within,
        } = self.settled(place);
        let chunk = self.chunks.get_mut(number)?;
        let item = chunk.remove(within)?;
        self.len -= 1;
        self.lengths[number] -= 1;
        let (before, len) = (chunk.capacity(), chunk.len());
        if len == 0 {
            self.chunks.remove(number);
            self.lengths.remove(number);
            self.capacity -= before;
            if self.len == 0 {
                *self = Self::default();
            }
        } else if before >= 16 && before >= 4 * len {
            chunk.shrink_to(2 * len);
            self.capacity -= before - chunk.capacity();
        }
        Some(item)
    }

    /// The items in a range of positions; the range is cut off at the end of the sequence.
    pub fn range(&self, range: Range<usize>) -> impl DoubleEndedIterator<Item = &T> {
        let end = range.end.min(self.len);
        let start = range.start.min(end);
        let (first, skipped) = self.locate(start).unwrap_or((self.chunks.len(), 0));
        let last = match end.checked_sub(1).and_then(|last| self.locate(last)) {
            Some((last, within)) if start < end => Some((last, within + 1)),
            _ => None,
        };
        let past = last.map_or(first, |(last, _)| last + 1);
        (first..past).flat_map(move |number| {
            let from = if number == first { skipped } else { 0 };
            let to = match last {
                Some((last, to)) if last == number => to,
                _ => self.chunks[number].len(),
            };
            self.chunks[number].range(from..to)
        })
    }

    /// How many items satisfy `before`. Those items must come first.
    pub fn partition_point(&self, before: impl Fn(&T) -> bool) -> usize {
        let Place { chunk, within } = self.search(before);
        self.start_of(chunk) + within
    }

    /// The place behind the items that satisfy `before`. Those items must come first.
    pub fn search(&self, before: impl Fn(&T) -> bool) -> Place {
        let (mut low, mut high) = (0, self.chunks.len());
        // Binary search for the last chunk whose first item satisfies `before`.
        while low < high {
            let middle = usize::midpoint(low, high);
            if self.chunks[middle].front().is_some_and(&before) {
                low = middle + 1;
            } else {
                high = middle;
            }
        }
        let Some(chunk) = low.checked_sub(1) else {
            return Place {
                chunk: 0,
                within: 0,
            };
        };
        let within = self.chunks[chunk].partition_point(before);
        Place { chunk, within }
    }

    /// The item at a place that a [`search`](Self::search) has found, mutable.
    pub fn at_mut(&mut self, place: Place) -> Option<&mut T> {
        let Place { chunk, within } = self.settled(place);
        self.chunks.get_mut(chunk)?.get_mut(within)
    }

    /// The items before and after the one at a place that a [`search`](Self::search) has found.
    pub fn beside(&self, place: Place) -> (Option<&T>, Option<&T>) {
        let Place { chunk, within } = self.settled(place);
        let Some(items) = self.chunks.get(chunk) else {
            return (self.last(), None);
        };
        let before = match within.checked_sub(1) {
            Some(before) => items.get(before),
            None => chunk
                .checked_sub(1)
                .and_then(|before| self.chunks[before].back()),
        };
        let after = match items.get(within + 1) {
            None => self.chunks.get(chunk + 1).and_then(VecDeque::front),
            after => after,
        };
        (before, after)
    }

    /// The place of the item itself: the end of a chunk is the beginning of the next one.
    fn settled(&self, place: Place) -> Place {
        match self.lengths.get(place.chunk) {
            Some(&len) if place.within >= len as usize => Place {
                chunk: place.chunk + 1,
                within: 0,
            },
            _ => place,
        }
    }

    /// DRAM that the sequence occupies, bytes, without what its items own elsewhere.
    pub fn memory_bytes(&self) -> usize {
        self.capacity * size_of::<T>()
            + self.chunks.capacity() * size_of::<VecDeque<T>>()
            + self.lengths.capacity() * size_of::<u32>()
            + size_of::<Self>()
    }

    /// Prepares for a new chunk. The table of chunks starts with space for one, because most lists are short.
    fn expect_chunk(&mut self) {
        if self.chunks.is_empty() {
            self.chunks.reserve_exact(1);
            self.lengths.reserve_exact(1);
        }
    }

    fn add(&mut self, number: usize, add: impl FnOnce(&mut VecDeque<T>)) {
        let many = self.chunks.len() > CHUNKS_FEW;
        let chunk = &mut self.chunks[number];
        let before = chunk.capacity();
        if chunk.len() == before {
            // Double the capacity up to the size of a chunk. With many chunks, one full chunk more does not matter.
            let more = if many { CHUNK_MAX } else { before.max(4) };
            chunk.reserve_exact(more.min(CHUNK_MAX - before.min(CHUNK_MAX - 4)));
        }
        add(chunk);
        self.capacity += chunk.capacity() - before;
        self.lengths[number] += 1;
        self.len += 1;
    }

    fn split(&mut self, number: usize, at: usize) {
        let chunk = &mut self.chunks[number];
        let before = chunk.capacity();
        let rest = chunk.split_off(at);
        self.capacity += chunk.capacity() + rest.capacity() - before;
        let moved = u32::try_from(rest.len()).unwrap_or(0);
        self.lengths[number] -= moved;
        self.chunks.insert(number + 1, rest);
        self.lengths.insert(number + 1, moved);
    }

    /// The position of a chunk's first item.
    fn start_of(&self, number: usize) -> usize {
        let (front, back) = self.lengths.as_slices();
        let in_front = number.min(front.len());
        sum(&front[..in_front]) + sum(&back[..number - in_front])
    }

    /// Finds the chunk of a position, and the position within it. Starts at the nearer end.
    fn locate(&self, position: usize) -> Option<(usize, usize)> {
        if position >= self.len {
            return None;
        }
        let from_end = self.len - 1 - position;
        if let Some(&last) = self.lengths.back()
            && from_end < last as usize
        {
            return Some((self.chunks.len() - 1, last as usize - 1 - from_end));
        }
        if self
            .lengths
            .front()
            .is_some_and(|&first| position < first as usize)
        {
            return Some((0, position));
        }
        let (front, back) = self.lengths.as_slices();
        let mut left = position;
        let mut number = 0;
        for lengths in [front, back] {
            for lengths in lengths.chunks(LENGTHS_PER_SUM) {
                let together = sum(lengths);
                if left >= together {
                    left -= together;
                    number += lengths.len();
                    continue;
                }
                for &len in lengths {
                    if left < len as usize {
                        return Some((number, left));
                    }
                    left -= len as usize;
                    number += 1;
                }
            }
        }
        None
    }
}

fn is_full(len: u32) -> bool {
    len as usize >= CHUNK_MAX
}

fn sum(lengths: &[u32]) -> usize {
    // The lengths of 64 chunks, 512 items each, add up within a u32; a longer sum might overflow.
    lengths
        .chunks(LENGTHS_PER_SUM)
        .map(|some| some.iter().sum::<u32>() as usize)
        .sum()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[derive(Clone, Debug)]
    enum Step {
        PushFront,
        PushBack,
        PopFront,
        PopBack,
        Insert(prop::sample::Index),
        Remove(prop::sample::Index),
    }

    fn steps() -> impl Strategy<Value = Vec<(Step, usize)>> {
        let step = prop_oneof![
            3 => Just(Step::PushFront),
            3 => Just(Step::PushBack),
            1 => Just(Step::PopFront),
            1 => Just(Step::PopBack),
            3 => any::<prop::sample::Index>().prop_map(Step::Insert),
            2 => any::<prop::sample::Index>().prop_map(Step::Remove),
        ];
        prop::collection::vec((step, 1..700usize), 1..40)
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(40))]

        #[test]
        fn it_does_what_a_vector_does(steps in steps(), range in any::<(prop::sample::Index, prop::sample::Index)>()) {
            let mut sequence = Sequence::default();
            let mut model: VecDeque<usize> = VecDeque::new();
            let mut next = 0;
            for (step, times) in steps {
                for _ in 0..times {
                    next += 1;
                    match &step {
                        Step::PushFront => { sequence.push_front(next); model.push_front(next); }
                        Step::PushBack => { sequence.push_back(next); model.push_back(next); }
                        Step::PopFront => prop_assert_eq!(sequence.pop_front(), model.pop_front()),
                        Step::PopBack => prop_assert_eq!(sequence.pop_back(), model.pop_back()),
                        Step::Insert(at) => {
                            let at = at.index(model.len() + 1);
                            sequence.insert(at, next);
                            model.insert(at, next);
                        }
                        Step::Remove(at) if !model.is_empty() => {
                            let at = at.index(model.len());
                            prop_assert_eq!(sequence.remove(at), model.remove(at));
                        }
                        Step::Remove(_) => prop_assert_eq!(sequence.remove(0), None),
                    }
                }
                prop_assert_eq!(sequence.len(), model.len());
                prop_assert_eq!(sequence.capacity, sequence.chunks.iter().map(VecDeque::capacity).sum::<usize>());
            }
            prop_assert!(sequence.range(0..model.len()).eq(&model));
            prop_assert!(sequence.range(0..model.len()).rev().eq(model.iter().rev()));
            let (a, b) = (range.0.index(model.len() + 1), range.1.index(model.len() + 1));
            let (start, end) = (a.min(b), a.max(b));
            prop_assert!(sequence.range(start..end).eq(model.range(start..end)));
            prop_assert!(sequence.range(start..end).rev().eq(model.range(start..end).rev()));
            for position in [0, start, end, model.len()] {
                prop_assert_eq!(sequence.get(position), model.get(position));
            }
        }

        #[test]
        fn sorted_items_come_and_go_where_a_search_finds_their_place(numbers in prop::collection::vec(0..2000u32, 1..2500)) {
            let mut sequence = Sequence::default();
            let mut model: Vec<u32> = Vec::new();
            for number in numbers {
                let at = model.partition_point(|&item| item < number);
                let place = sequence.search(|&item| item < number);
                if model.get(at) == Some(&number) {
                    let beside = (at.checked_sub(1).map(|before| &model[before]), model.get(at + 1));
                    prop_assert_eq!(sequence.beside(place), beside);
                    prop_assert_eq!(sequence.at_mut(place).copied(), Some(number));
                    // Others stay, so that chunks become full.
                    if number % 3 == 0 {
                        model.remove(at);
                        prop_assert_eq!(sequence.remove_at(place), Some(number));
                    }
                } else {
                    prop_assert_eq!(sequence.partition_point(|&item| item < number), at);
                    model.insert(at, number);
                    sequence.insert_at(place, number);
                }
            }
            prop_assert!(sequence.range(0..model.len()).eq(&model));
            prop_assert_eq!(sequence.capacity, sequence.chunks.iter().map(VecDeque::capacity).sum::<usize>());
        }

        #[test]
        fn a_sorted_one_is_searched(len in 0..3000usize, wanted in 0..3200usize) {
            let sequence: Sequence<usize> = (0..len).collect();
            prop_assert_eq!(sequence.partition_point(|&item| item < wanted), wanted.min(len));
        }
    }
}
