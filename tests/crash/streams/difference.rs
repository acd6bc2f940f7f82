//! What two databases of streams have not in common.

use super::model::{Stream, Streams};

impl Streams {
    /// The first key for which `found` differs.
    pub fn difference(&self, found: &Self) -> Option<String> {
        let mut keys = self.0.keys().chain(found.0.keys());
        keys.find_map(|key| {
            let (expected, found) = (self.0.get(key), found.0.get(key));
            (expected != found).then(|| match (expected, found) {
                (Some(expected), Some(found)) => format!("{key}: {}", expected.told_apart(found)),
                _ => format!("{key} holds {found:?} instead of {expected:?}"),
            })
        })
    }
}

impl Stream {
    fn told_apart(&self, found: &Self) -> String {
        let extra: Vec<_> = found
            .entries
            .keys()
            .filter(|id| !self.entries.contains_key(id))
            .collect();
        let lost: Vec<_> = self
            .entries
            .keys()
            .filter(|id| !found.entries.contains_key(id))
            .collect();
        let numbers = |s: &Self| (s.last_id, s.max_deleted_id, s.added, s.entries.len());
        let text = format!(
            "lost {lost:?}, too many {extra:?}; last id, deleted id, added, length {:?} instead of {:?}",
            numbers(found),
            numbers(self)
        );
        if self.groups != found.groups {
            return format!(
                "{text}; groups {:?} instead of {:?}",
                found.groups, self.groups
            );
        }
        text
    }
}
