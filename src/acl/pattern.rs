//! Patterns of keys, and the access that they allow.

use crate::glob;

/// What a call does to a key, or what a pattern allows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Access {
    pub(super) read: bool,
    pub(super) write: bool,
}

impl Access {
    pub(super) const ALL: Access = Access {
        read: true,
        write: true,
    };

    fn covers(self, other: Access) -> bool {
        (self.read || !other.read) && (self.write || !other.write)
    }
}

/// One of `~pattern`, `%R~pattern`, `%W~pattern`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct KeyPattern {
    pub(super) access: Access,
    pub(super) pattern: Vec<u8>,
}

impl KeyPattern {
    /// Parses a rule that begins with `~` or `%`; `None` if it is malformed.
    pub(super) fn parse(rule: &[u8]) -> Option<Self> {
        let (access, pattern) = match rule {
            [b'~', pattern @ ..] => (Access::ALL, pattern),
            [b'%', rest @ ..] => permissions(rest)?,
            _ => return None,
        };
        (!super::has_spaces(pattern)).then(|| Self {
            access,
            pattern: pattern.to_vec(),
        })
    }

    pub(super) fn allows(&self, key: &[u8], access: Access) -> bool {
        self.access.covers(access) && glob::matches(&self.pattern, key, false)
    }

    /// The rule that makes it.
    pub(super) fn describe(&self) -> Vec<u8> {
        let prefix: &[u8] = match self.access {
            Access { read: false, .. } => b"%W~",
            Access { write: false, .. } => b"%R~",
            // `~*` would mean all keys, and no other pattern may follow that.
            Access::ALL if self.pattern == b"*" => b"%RW~",
            Access::ALL => b"~",
        };
        [prefix, &self.pattern].concat()
    }
}

/// Parses the letters between `%` and `~`, each at most once. Returns the access, and the pattern that follows.
fn permissions(mut rule: &[u8]) -> Option<(Access, &[u8])> {
    let mut access = Access::default();
    while let Some((letter, rest)) = rule.split_first() {
        match letter.to_ascii_uppercase() {
            b'R' if !access.read => access.read = true,
            b'W' if !access.write => access.write = true,
            b'~' if access != Access::default() => return Some((access, rest)),
            _ => return None,
        }
        rule = rest;
    }
    // As in Redis, letters alone mean the empty pattern.
    (access != Access::default()).then_some((access, rule))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_key_patterns() {
        for (rule, described) in [
            ("~a*", "~a*"),
            ("~", "~"),
            ("%R~a", "%R~a"),
            ("%w~a", "%W~a"),
            ("%wR~a", "~a"),
            ("%RW~~", "~~"),
            ("%R", "%R~"),
        ] {
            let pattern = KeyPattern::parse(rule.as_bytes()).expect(rule);
            assert_eq!(pattern.describe(), described.as_bytes(), "{rule}");
        }
        for rule in ["%", "%~a", "%RR~a", "%x~a", "%R~a b", "~\t", "~a\0", "a"] {
            assert_eq!(KeyPattern::parse(rule.as_bytes()), None, "{rule}");
        }
    }
}
