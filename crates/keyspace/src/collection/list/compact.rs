//! Changes of a compact list, and of what Redis would make of a list.

use super::{End, ListEdits, ListItem};
use crate::KeyspaceError;
use crate::collection::compact::{Item, Texts, push_text};
use crate::collection::elements::encode_label;
use crate::collection::limits::{LISTPACK_BYTES, element_bytes};
use crate::collection::sequence::Sequence;
use crate::collection::source::Source;
use crate::collection::{Encoding, FormLimits};

/// Redis's listpack never takes more bytes for an element than the compact form and this.
pub(in crate::collection) const MORE_IN_LISTPACK_BYTES: usize = 5;

impl ListEdits {
    /// Appends the entries of a compact list after the changes. Returns how many there are, and Redis's form of the list.
    /// Where that is a quicklist, the entries may be missing.
    pub(in crate::collection) fn rewrite(
        &self,
        old: Texts<'_>,
        limits: &FormLimits,
        out: &mut Vec<u8>,
    ) -> (Option<usize>, Encoding) {
        let given: usize = self.given_ranges().map(|range| range.len()).sum();
        let len = self.len_after(old.len());
        let encoding = if self.given_ranges().next().is_none() {
            Encoding::Compact
        } else {
            let count = old.len() + self.given_ranges().count();
            let around = LISTPACK_BYTES + given;
            let most = around + old.bytes().len() + MORE_IN_LISTPACK_BYTES * old.len();
            if limits.list_after(most, count) == Encoding::Compact {
                Encoding::Compact
            } else {
                // As Redis does, count what is there in its encoded form, and what comes as it is given.
                let each = old.items().map(|item| element_bytes(item.name));
                limits.list_after(around + each.sum::<usize>(), count)
            }
        };
        if encoding == Encoding::Full || given > limits.compact_bytes_max {
            return (None, encoding);
        }
        for value in self.pushed[End::Head as usize].iter().rev() {
            push_text(out, &self.given[value.clone()]);
        }
        if self.only_pushes() {
            out.extend_from_slice(old.bytes());
        } else {
            self.for_left(old, |element| push_text(out, element));
        }
        for value in &self.pushed[End::Tail as usize] {
            push_text(out, &self.given[value.clone()]);
        }
        (Some(len), encoding)
    }

    /// Makes these the edits of an empty list with elements: they push what the compact list has after the changes.
    pub(in crate::collection) fn leave_compact(&mut self, old: Texts<'_>) {
        let mut left = Vec::with_capacity(old.len() + 1);
        let mut bytes = Vec::new();
        self.for_left(old, |element| {
            let start = bytes.len();
            bytes.extend_from_slice(element);
            left.push(start..bytes.len());
        });
        let tail = std::mem::take(&mut self.pushed[End::Tail as usize]);
        let mut all = smallvec::SmallVec::with_capacity(left.len() + tail.len());
        for range in left {
            all.push(self.give(&bytes[range]));
        }
        all.extend(tail);
        self.pushed[End::Tail as usize] = all;
        self.popped = [0; 2];
        self.set.clear();
        self.removed.clear();
        self.insert = None;
        let bytes = self
            .given_ranges()
            .map(|range| element_bytes(&self.given[range]));
        self.listpack_bytes = Some(LISTPACK_BYTES + bytes.sum::<usize>());
    }

    /// Determines Redis's form of a list with elements after the changes; `before` is the form now. `listpack_bytes` is
    /// what the list takes in a listpack now, if that is known.
    pub(in crate::collection) fn measure(
        &mut self,
        items: &Sequence<ListItem>,
        before: Encoding,
        listpack_bytes: Option<usize>,
        source: &Source<'_>,
        limits: &FormLimits,
    ) -> Result<Encoding, KeyspaceError> {
        let (len, len_after) = (items.len(), self.len_after(items.len()));
        self.listpack_bytes = None;
        if before == Encoding::Full && len_after > limits.list_entries_max() / 2 {
            // So many elements fit in no listpack that is half full.
            return Ok(before);
        }
        let measured =
            |item: &ListItem| source.read(&encode_label(item.label), item.location, element_bytes);
        let encoded: usize = self
            .given_ranges()
            .map(|range| element_bytes(&self.given[range]))
            .sum();
        let leaves = |at: usize| {
            at < self.popped[0]
                || at >= len - self.popped[1]
                || self.removed.binary_search(&at).is_ok()
                || self.set.iter().any(|(set, _)| *set == at)
        };
        let whole = match listpack_bytes {
            None if before == Encoding::Compact => {
                let each = items.range(0..len).map(measured);
                Some(LISTPACK_BYTES + each.sum::<Result<usize, _>>()?)
            }
            known => known,
        };
        let bytes_after = if let Some(whole) = whole {
            let mut gone = 0;
            let [head, tail] = self.popped;
            for item in items.range(0..head).chain(items.range(len - tail..len)) {
                gone += measured(item)?;
            }
            let set = self.set.iter().map(|(at, _)| at);
            for item in self
                .removed
                .iter()
                .chain(set)
                .filter_map(|&at| items.get(at))
            {
                gone += measured(item)?;
            }
            (whole + encoded).saturating_sub(gone)
        } else {
            let stay = items.range(0..len).enumerate();
            let stay = stay.filter(|&(at, _)| !leaves(at));
            let each = stay.map(|(_, item)| measured(item));
            LISTPACK_BYTES + encoded + each.sum::<Result<usize, _>>()?
        };
        self.listpack_bytes = Some(bytes_after);
        let mut encoding = before;
        if let (Encoding::Compact, Some(whole)) = (before, whole)
            && encoded > 0
        {
            let given: usize = self.given_ranges().map(|range| range.len()).sum();
            encoding = limits.list_after(whole + given, len + self.given_ranges().count());
        }
        let shrinks = self.popped != [0; 2] || !self.removed.is_empty() || !self.set.is_empty();
        if encoding == Encoding::Full && shrinks && limits.list_shrinks(bytes_after, len_after) {
            encoding = Encoding::Compact;
        }
        Ok(encoding)
    }

    fn only_pushes(&self) -> bool {
        self.popped == [0; 2]
            && self.set.is_empty()
            && self.removed.is_empty()
            && self.insert.is_none()
    }

    /// The ranges of all given values.
    pub(super) fn given_ranges(&self) -> impl Iterator<Item = std::ops::Range<usize>> {
        let pushed = self.pushed.iter().flatten().cloned();
        let set = self.set.iter().map(|(_, value)| value.clone());
        let inserted = self.insert.iter().map(|(_, value)| value.clone());
        pushed.chain(set).chain(inserted)
    }

    /// Calls `f` with each element between the pushed ones: those of the old list that stay, as the changes set them, and
    /// the inserted one.
    fn for_left(&self, old: Texts<'_>, mut f: impl FnMut(&[u8])) {
        let mut removed = self.removed.iter().peekable();
        let stay = self.popped[0]..old.len().saturating_sub(self.popped[1]);
        for (position, Item { name, .. }) in old.items().enumerate() {
            if let Some((at, value)) = &self.insert
                && *at == position
            {
                f(&self.given[value.clone()]);
            }
            let is_removed = removed.next_if(|&&at| at == position).is_some();
            if is_removed || !stay.contains(&position) {
                continue;
            }
            // If a call sets an element twice, the last value counts.
            let mut set = self.set.iter().rev();
            match set.find(|(at, _)| *at == position) {
                Some((_, value)) => f(&self.given[value.clone()]),
                None => f(name),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Kind;
    use crate::collection::compact::item_bytes;

    #[test]
    fn an_element_is_hardly_longer_in_a_listpack() {
        let texts = (0..20_000).map(|length| vec![b'x'; length]);
        let numbers = (0..64).flat_map(|bits| {
            let number = 1i64 << bits;
            [number, number.wrapping_sub(1)]
        });
        let numbers = numbers.flat_map(|number| [number, number.wrapping_neg()]);
        let numbers = numbers.map(|number| number.to_string().into_bytes());
        for name in texts.chain(numbers) {
            let item = Item {
                name: &name,
                value: &[],
            };
            let most = item_bytes(Kind::List, item) + MORE_IN_LISTPACK_BYTES;
            assert!(element_bytes(&name) <= most, "{}", name.escape_ascii());
        }
    }
}
