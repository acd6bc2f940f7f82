//! Trimming a stream: its first entries go.

use std::ops::ControlFlow;

use super::StreamId;
use super::edit::StreamEdit;
use super::shape::Node;
use super::view::read_node;
use crate::KeyspaceError;

/// What is to be trimmed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Trim {
    /// How far.
    pub to: TrimTo,
    /// Whether only whole nodes go.
    pub approximately: bool,
    /// The most entries that go; 0 is no limit.
    pub limit: u64,
    /// What becomes of entries that groups refer to.
    pub references: References,
}

/// What becomes of an entry that is to be deleted, and that groups refer to: it is pending, or not delivered yet.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum References {
    /// It is deleted, and stays pending.
    #[default]
    Keep,
    /// It is deleted, and is pending no longer.
    Delete,
    /// It is not deleted.
    Respect,
}

/// How far to trim.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TrimTo {
    /// So many entries stay.
    Length(u64),
    /// Entries with this id and higher ones stay.
    Id(StreamId),
}

/// A run of entries that trimming takes for one node.
struct Run {
    live: u64,
    last_ordinal: u64,
    last_id: StreamId,
}

impl StreamEdit<'_> {
    /// Trims the stream; returns how many entries are gone. Nothing of these entries is written: the head says up to
    /// which ordinal they are gone.
    pub fn trim(&mut self, trim: Trim) -> Result<u64, KeyspaceError> {
        match trim.references {
            References::Respect if self.has_groups() => self.trim_unreferenced(trim),
            References::Delete if self.has_groups() => {
                let removed = self.trim_all(trim)?;
                self.drop_references_of_first(removed)?;
                Ok(removed)
            }
            _ => self.trim_all(trim),
        }
    }

    fn trim_all(&mut self, trim: Trim) -> Result<u64, KeyspaceError> {
        let before = self.edits.len;
        let mut stopped = false;
        for node in self.shape.nodes.range(0..self.shape.nodes.len()) {
            let run = Run {
                live: node.live.into(),
                last_ordinal: node.last,
                last_id: node.last_id,
            };
            if self.trim_run(trim, before, &run) {
                continue;
            }
            if self.may_trim_within(trim, before, &run) && self.trim_within(trim, node)? {
                continue;
            }
            stopped = true;
            break;
        }
        if !stopped {
            self.trim_open(trim, before);
        }
        let removed = before - self.edits.len;
        if removed > 0 {
            self.edits.head_dirty = true;
            self.edits.modifies = true;
        }
        Ok(removed)
    }

    /// Whether trimming may go on with the next node, which has `live` entries.
    fn may_trim(&self, trim: Trim, before: u64, live: u64) -> bool {
        let removed = before - self.edits.len;
        let enough = matches!(trim.to, TrimTo::Length(len) if self.edits.len <= len);
        !enough && (trim.limit == 0 || removed + live <= trim.limit)
    }

    fn may_trim_within(&self, trim: Trim, before: u64, run: &Run) -> bool {
        !trim.approximately && self.may_trim(trim, before, run.live)
    }

    /// Trims a whole node, if trimming goes that far; returns whether it did.
    fn trim_run(&mut self, trim: Trim, before: u64, run: &Run) -> bool {
        let whole = self.may_trim(trim, before, run.live)
            && match trim.to {
                TrimTo::Length(len) => self.edits.len - run.live >= len,
                TrimTo::Id(id) => run.last_id < id,
            };
        if whole {
            self.edits.len -= run.live;
            self.edits.head.trimmed_through = run.last_ordinal;
        }
        whole
    }

    /// Whether trimming leaves the entry with this id, and so all that follow.
    fn stays(&self, trim: Trim, id: StreamId) -> bool {
        match trim.to {
            TrimTo::Length(len) => self.edits.len <= len,
            TrimTo::Id(least) => id >= least,
        }
    }

    /// Trims a part of a closed node. Returns whether nothing of it is left: then its last entries were deleted before.
    fn trim_within(&mut self, trim: Trim, node: &Node) -> Result<bool, KeyspaceError> {
        let base = self.edits.head.trimmed_through;
        let source = self.source;
        let mut live = node.live;
        read_node(&source, node.first, node.location, |mut entries| {
            while let Some(place) = entries.next()? {
                if place.ordinal <= base || node.is_deleted(place.index) {
                    continue;
                }
                if self.stays(trim, place.id) {
                    break;
                }
                live -= 1;
                self.edits.len -= 1;
                self.edits.head.trimmed_through = place.ordinal;
            }
            Ok(())
        })?;
        if live == 0 {
            self.edits.head.trimmed_through = node.last;
        } else {
            self.edits.cut = Some((node.first, live));
        }
        Ok(live == 0)
    }

    /// Trims the open entries: they are one node, and the new entry is in it, or is the next one.
    fn trim_open(&mut self, trim: Trim, before: u64) {
        let appended = self
            .edits
            .appended
            .as_ref()
            .map(|one| (one.ordinal, one.id));
        let mut entries: Vec<(u64, StreamId)> = self
            .shape
            .open
            .iter()
            .map(|entry| (entry.ordinal, entry.id))
            .collect();
        let mut runs = Vec::new();
        if self.edits.closes {
            runs.push(std::mem::take(&mut entries));
        }
        entries.extend(appended);
        runs.push(entries);
        for entries in runs {
            let Some(&(last_ordinal, last_id)) = entries.last() else {
                continue;
            };
            let run = Run {
                live: entries.len() as u64,
                last_ordinal,
                last_id,
            };
            if self.trim_run(trim, before, &run) {
                continue;
            }
            if self.may_trim_within(trim, before, &run) {
                for (ordinal, id) in entries {
                    if self.stays(trim, id) {
                        break;
                    }
                    self.edits.len -= 1;
                    self.edits.head.trimmed_through = ordinal;
                }
            }
            return;
        }
    }

    /// Has no group refer to the first `count` entries that the stream had, with the new one.
    fn drop_references_of_first(&mut self, count: u64) -> Result<(), KeyspaceError> {
        let mut ids = Vec::new();
        self.view()
            .for_range(StreamId::MIN, StreamId::MAX, false, |id, _| {
                if ids.len() as u64 == count {
                    return ControlFlow::Break(());
                }
                ids.push(id);
                ControlFlow::Continue(())
            })?;
        if (ids.len() as u64) < count {
            ids.extend(self.edits.appended.as_ref().map(|one| one.id));
        }
        for id in ids {
            self.drop_references(id);
        }
        Ok(())
    }

    /// Trims the entries that no group refers to.
    fn trim_unreferenced(&mut self, trim: Trim) -> Result<u64, KeyspaceError> {
        let before = self.edits.len;
        let nodes = self.shape.nodes.range(0..self.shape.nodes.len());
        let nodes = nodes.map(|node| (node.live.into(), node.first_id, node.last_id));
        let open = self.shape.open.front().zip(self.shape.open.back());
        let open = open.map(|(first, last)| (self.shape.open.len() as u64, first.id, last.id));
        // The new entry stays: no group has read it.
        for (live, first_id, last_id) in nodes
            .chain(open)
            .collect::<Vec<(u64, StreamId, StreamId)>>()
        {
            let is_whole = match trim.to {
                TrimTo::Length(len) => self.edits.len - live.min(self.edits.len) >= len,
                TrimTo::Id(id) => last_id < id,
            };
            if !self.may_trim(trim, before, live) || (trim.approximately && !is_whole) {
                break;
            }
            let mut ids = Vec::new();
            self.view().for_range(first_id, last_id, false, |id, _| {
                ids.push(id);
                ControlFlow::Continue(())
            })?;
            for id in ids {
                if self.stays(trim, id) {
                    break;
                }
                if !self.is_referenced(id) {
                    self.delete(id)?;
                }
            }
        }
        Ok(before - self.edits.len)
    }
}
