//! When Redis changes the form of a collection, and when this server gives up the compact form.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use redis_core::numbers::parse_i64;

use super::Encoding;
use super::compact::HEADER_BYTES;
pub(super) use super::stream::{AROUND_BYTES as LISTPACK_BYTES, element_bytes};
use crate::{Keyspace, Kind};
use config::Settings;

/// The most bytes of elements of a compact collection, whatever the settings say: with a short key it lies in one piece in
/// every pool.
pub const COMPACT_BYTES_MAX: u64 = 16 << 10;

/// Bytes of a list's listpack for the values -1 to -5 of `list-max-listpack-size`.
const LIST_BYTES: [usize; 5] = [4 << 10, 8 << 10, 16 << 10, 32 << 10, 64 << 10];
/// A list whose size is limited by a number of elements has no more bytes than this in a listpack.
const LIST_BYTES_MAX: usize = 8 << 10;

/// Redis's directives on the forms of collections, and ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FormLimits {
    /// `hash-max-listpack-entries`
    pub hash_entries: usize,
    /// `hash-max-listpack-value`
    pub hash_value_bytes: usize,
    /// `set-max-intset-entries`
    pub set_integers: usize,
    /// `set-max-listpack-entries`
    pub set_entries: usize,
    /// `set-max-listpack-value`
    pub set_value_bytes: usize,
    /// `zset-max-listpack-entries`
    pub zset_entries: usize,
    /// `zset-max-listpack-value`
    pub zset_value_bytes: usize,
    /// `list-max-listpack-size`
    pub list_size: i64,
    /// `compact-bytes-max`
    pub compact_bytes_max: usize,
}

impl FormLimits {
    /// The limits that settings give.
    pub fn of(settings: &Settings) -> Self {
        let whole = |number: u64| usize::try_from(number).unwrap_or(usize::MAX);
        let forms = &settings.forms;
        Self {
            hash_entries: whole(forms.hash_entries),
            hash_value_bytes: whole(forms.hash_value_bytes),
            set_integers: whole(forms.set_integers).min(1 << 30),
            set_entries: whole(forms.set_entries),
            set_value_bytes: whole(forms.set_value_bytes),
            zset_entries: whole(forms.zset_entries),
            zset_value_bytes: whole(forms.zset_value_bytes),
            list_size: forms.list_size,
            compact_bytes_max: whole(forms.compact_bytes_max.min(COMPACT_BYTES_MAX)),
        }
    }

    /// Whether a collection may be one record of `bytes` bytes. The header does not count, so that as many integers of two
    /// bytes as an intset has by default come to the limit's default.
    pub fn is_compact(&self, bytes: usize, len: usize) -> bool {
        let entries_bytes = bytes.saturating_sub(HEADER_BYTES);
        entries_bytes <= self.compact_bytes_max && u16::try_from(len).is_ok()
    }

    /// The form of a hash, a set or a sorted set after an element was set that has `name` and, in a hash, a value of
    /// `value_bytes`. `len` counts the elements then; `encoding` is the form before. Redis never goes back to a smaller
    /// form.
    pub fn after(
        &self,
        kind: Kind,
        encoding: Encoding,
        len: usize,
        name: &[u8],
        value_bytes: usize,
    ) -> Encoding {
        if encoding == Encoding::Full {
            return encoding;
        }
        let fits = match kind {
            Kind::Hash => {
                len <= self.hash_entries && name.len().max(value_bytes) <= self.hash_value_bytes
            }
            Kind::SortedSet => len <= self.zset_entries && name.len() <= self.zset_value_bytes,
            _ => len <= self.set_entries && name.len() <= self.set_value_bytes,
        };
        if kind == Kind::Set && encoding == Encoding::Integers && parse_i64(name).is_some() {
            return if len <= self.set_integers {
                Encoding::Integers
            } else if len == 1 && fits {
                Encoding::Compact
            } else {
                Encoding::Full
            };
        }
        if fits {
            Encoding::Compact
        } else {
            Encoding::Full
        }
    }

    /// The score that Redis keeps in a sorted set with this many members and this longest member. Redis's compact form
    /// does not know -0.
    pub fn kept_score(&self, score: f64, members: usize, longest_bytes: usize) -> f64 {
        let compact = members <= self.zset_entries && longest_bytes <= self.zset_value_bytes;
        if score == 0.0 && compact { 0.0 } else { score }
    }

    /// The form in which a set begins that gets `members` members at once, of which the first is `name`.
    pub fn of_new_set(&self, members: usize, name: &[u8]) -> Encoding {
        if members <= self.set_integers && parse_i64(name).is_some() {
            Encoding::Integers
        } else if members <= self.set_entries {
            Encoding::Compact
        } else {
            Encoding::Full
        }
    }

    /// The form of a list whose listpack has `bytes` bytes and `len` elements, where it was in a listpack before.
    pub fn list_after(&self, bytes: usize, len: usize) -> Encoding {
        let (bytes_max, len_max) = self.of_list();
        if bytes <= bytes_max && len <= len_max {
            Encoding::Compact
        } else {
            Encoding::Full
        }
    }

    /// Whether Redis moves a list that lost elements from a quicklist back to a listpack.
    pub fn list_shrinks(&self, bytes: usize, len: usize) -> bool {
        let (bytes_max, len_max) = self.of_list();
        // Half of the limit, so that a list does not go to and fro.
        bytes <= bytes_max / 2 && (len_max == usize::MAX || len <= len_max / 2)
    }

    /// The largest number of elements that a list in a listpack can have.
    pub fn list_entries_max(&self) -> usize {
        let (bytes_max, len_max) = self.of_list();
        len_max.min(bytes_max / 2)
    }

    fn of_list(&self) -> (usize, usize) {
        if let Ok(len) = usize::try_from(self.list_size) {
            return (LIST_BYTES_MAX, len.max(1));
        }
        let level = usize::try_from(self.list_size.saturating_neg() - 1);
        let level = level.unwrap_or(usize::MAX).min(LIST_BYTES.len() - 1);
        (LIST_BYTES[level], usize::MAX)
    }
}

impl Default for FormLimits {
    /// The limits by the defaults of the directives.
    fn default() -> Self {
        Self {
            hash_entries: 512,
            hash_value_bytes: 64,
            set_integers: 512,
            set_entries: 128,
            set_value_bytes: 64,
            zset_entries: 128,
            zset_value_bytes: 64,
            list_size: -2,
            compact_bytes_max: 1024,
        }
    }
}

/// The limits, which CONFIG SET may change at any time, and whether there may be compact collections.
#[derive(Debug)]
pub struct State {
    limits: [AtomicU64; 9],
    any_compact: AtomicBool,
}

impl Default for State {
    fn default() -> Self {
        let state = Self {
            limits: std::array::from_fn(|_| AtomicU64::new(0)),
            any_compact: AtomicBool::new(false),
        };
        state.set(&FormLimits::default());
        state
    }
}

impl State {
    /// Sets the limits.
    pub fn set(&self, limits: &FormLimits) {
        let numbers = [
            limits.hash_entries as u64,
            limits.hash_value_bytes as u64,
            limits.set_integers as u64,
            limits.set_entries as u64,
            limits.set_value_bytes as u64,
            limits.zset_entries as u64,
            limits.zset_value_bytes as u64,
            limits.list_size.cast_unsigned(),
            limits.compact_bytes_max as u64,
        ];
        for (one, number) in self.limits.iter().zip(numbers) {
            one.store(number, Ordering::Relaxed);
        }
    }

    /// Records that a key has a value of that kind.
    #[inline]
    pub fn note_kind(&self, kind: Kind) {
        if kind.is_compact() && !self.any_compact() {
            self.any_compact.store(true, Ordering::Relaxed);
        }
    }

    /// Whether a key may ever have had a compact collection since the start.
    #[inline]
    pub fn any_compact(&self) -> bool {
        self.any_compact.load(Ordering::Relaxed)
    }

    /// A list of more elements does not become smaller in Redis's form: so many fit in no listpack that is half full.
    #[inline]
    pub fn list_entries_few(&self) -> usize {
        let list_size = self.limits[7].load(Ordering::Relaxed).cast_signed();
        let limits = FormLimits {
            list_size,
            ..FormLimits::default()
        };
        limits.list_entries_max() / 2
    }

    /// The limits now.
    #[inline]
    pub fn get(&self) -> FormLimits {
        let number = |n: usize| self.limits[n].load(Ordering::Relaxed);
        let whole = |n: usize| usize::try_from(number(n)).unwrap_or(usize::MAX);
        FormLimits {
            hash_entries: whole(0),
            hash_value_bytes: whole(1),
            set_integers: whole(2),
            set_entries: whole(3),
            set_value_bytes: whole(4),
            zset_entries: whole(5),
            zset_value_bytes: whole(6),
            list_size: number(7).cast_signed(),
            compact_bytes_max: whole(8),
        }
    }
}

impl Keyspace {
    /// Sets the limits of the forms of collections. They hold for later changes.
    pub fn limit_forms(&self, settings: &Settings) {
        self.forms.set(&FormLimits::of(settings));
    }

    /// The limits of the forms of collections.
    pub fn form_limits(&self) -> FormLimits {
        self.forms.get()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_defaults_are_those_of_the_directives() {
        let settings = config::Config::default();
        assert_eq!(FormLimits::of(&settings.settings()), FormLimits::default());
    }

    #[test]
    fn limits_come_back() {
        let limits = FormLimits {
            list_size: -5,
            compact_bytes_max: 77,
            ..FormLimits::default()
        };
        let state = State::default();
        state.set(&limits);
        assert_eq!(state.get(), limits);
    }

    #[test]
    fn a_list_is_limited_by_bytes_or_by_elements() {
        let limits = |list_size| FormLimits {
            list_size,
            ..FormLimits::default()
        };
        for (size, bytes_max) in [(-1, 4096), (-2, 8192), (-5, 65536), (-9, 65536)] {
            assert_eq!(limits(size).list_after(bytes_max, 9), Encoding::Compact);
            assert_eq!(limits(size).list_after(bytes_max + 1, 9), Encoding::Full);
        }
        assert_eq!(limits(3).list_after(100, 3), Encoding::Compact);
        assert_eq!(limits(3).list_after(100, 4), Encoding::Full);
        assert_eq!(limits(3).list_after(8193, 1), Encoding::Full);
        assert_eq!(limits(0).list_after(100, 1), Encoding::Compact);
        assert!(limits(4).list_shrinks(100, 2) && !limits(4).list_shrinks(100, 3));
        assert!(limits(-2).list_shrinks(4096, 1000) && !limits(-2).list_shrinks(4097, 9));
    }
}
