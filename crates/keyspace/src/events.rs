//! Tells the observer of changes, for keyspace notifications and for clients that cache keys.

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, OnceLock};

use super::databases::INCOMING;
use super::index::IndexKey;
use super::{Access, Millis};

/// A set of classes of keyspace events; the letters of `notify-keyspace-events`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct EventClass(u32);

#[allow(missing_docs)] // Each constant stands for a letter of `notify-keyspace-events`.
impl EventClass {
    /// K: events are published by key.
    pub const KEYSPACE: EventClass = EventClass(1);
    /// E: events are published by name.
    pub const KEYEVENT: EventClass = EventClass(1 << 1);
    pub const GENERIC: EventClass = EventClass(1 << 2);
    pub const STRING: EventClass = EventClass(1 << 3);
    pub const LIST: EventClass = EventClass(1 << 4);
    pub const SET: EventClass = EventClass(1 << 5);
    pub const HASH: EventClass = EventClass(1 << 6);
    pub const ZSET: EventClass = EventClass(1 << 7);
    pub const EXPIRED: EventClass = EventClass(1 << 8);
    pub const EVICTED: EventClass = EventClass(1 << 9);
    pub const STREAM: EventClass = EventClass(1 << 10);
    pub const KEY_MISS: EventClass = EventClass(1 << 11);
    pub const MODULE: EventClass = EventClass(1 << 12);
    pub const NEW: EventClass = EventClass(1 << 14);
    pub const NONE: EventClass = EventClass(0);
    /// A: all but K, E, m and n.
    pub const ALL: EventClass = EventClass(0b1_0111_1111_1100);

    /// Both sets together.
    #[must_use]
    pub const fn union(self, other: EventClass) -> EventClass {
        EventClass(self.0 | other.0)
    }

    /// Whether the two have a class in common.
    pub const fn intersects(self, other: EventClass) -> bool {
        self.0 & other.0 != 0
    }

    /// The classes of this set that are not in `other`.
    #[must_use]
    pub const fn without(self, other: EventClass) -> EventClass {
        EventClass(self.0 & !other.0)
    }

    /// The classes for the letters of `notify-keyspace-events`; unknown letters add no class.
    pub fn from_letters(letters: &str) -> Self {
        letters.chars().fold(Self::NONE, |set, letter| {
            set.union(match letter {
                'A' => Self::ALL,
                'K' => Self::KEYSPACE,
                'E' => Self::KEYEVENT,
                'g' => Self::GENERIC,
                '$' => Self::STRING,
                'l' => Self::LIST,
                's' => Self::SET,
                'h' => Self::HASH,
                'z' => Self::ZSET,
                'x' => Self::EXPIRED,
                'e' => Self::EVICTED,
                't' => Self::STREAM,
                'm' => Self::KEY_MISS,
                'd' => Self::MODULE,
                'n' => Self::NEW,
                _ => Self::NONE,
            })
        })
    }

    /// The set as a number, for an atomic.
    pub const fn bits(self) -> u32 {
        self.0
    }

    /// The set that [`bits`](Self::bits) turned into this number.
    pub const fn from_bits(bits: u32) -> Self {
        EventClass(bits)
    }
}

/// The server above the keyspace, which hears of changes. The keyspace calls it while it holds a shard's lock, so it
/// must not call the keyspace and must not wait.
pub trait Observer: Send + Sync {
    /// A key's value or deadline was changed, or the key was removed. `client` is the client that did it, 0 for the
    /// server itself.
    fn modified(&self, db: usize, key: &[u8], client: u64);

    /// One database was emptied, or (`None`) several were.
    fn flushed(&self, db: Option<usize>);

    /// Something happened to a key. The keyspace reports only events of the classes that were asked for.
    fn event(&self, class: EventClass, name: &'static str, db: usize, key: &[u8]);

    /// Data changed, for replicas: everything that must happen on them too is told here, in the order in which it
    /// happened to each key. Asked for by [`Events::follow`].
    fn followed(&self, _: Followed<'_>) {}

    /// A key may be about to change, or whole databases (`None`), and [`followed`](Self::followed) will be told if it has. This
    /// comes before anything of the change is stored. Asked for by [`Events::follow`] too.
    fn intended(&self, _: Option<(usize, &[u8])>) {}

    /// All keys whose deadlines are not after this time are gone, and were told. Asked for by [`Events::follow`] too.
    fn expired(&self, _: Millis) {}
}

/// A change of data that replicas must make too.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Followed<'k> {
    /// A call changed this key, or one of its collection's elements, or a group of its stream; or it removed the key.
    Changed(usize, &'k [u8]),
    /// The key is gone, and no call removed it: it was past its deadline, or was evicted.
    Gone(usize, &'k [u8]),
    /// These fields of the key's hash are gone, and no call removed them: they were past their deadlines.
    FieldsGone(usize, &'k [u8], &'k [IndexKey]),
    /// A call changed whole databases.
    Databases,
}

/// The observer, and which changes it asked for.
pub struct Events {
    /// Set once, since each change asks for it while replicas follow: a lock would cost more than most of what the observer does.
    observer: OnceLock<Arc<dyn Observer>>,
    /// The [`EventClass`]es, and the bits [`MODIFICATIONS`] and [`FOLLOWED`].
    wanted: AtomicU32,
}

/// This bit is set if the observer wants to hear of modifications.
const MODIFICATIONS: u32 = 1 << 31;

/// This bit is set if the observer wants to hear what replicas must do.
const FOLLOWED: u32 = 1 << 30;

impl Default for Events {
    fn default() -> Self {
        Self {
            observer: OnceLock::new(),
            wanted: AtomicU32::new(0),
        }
    }
}

impl std::fmt::Debug for Events {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Events").finish_non_exhaustive()
    }
}

impl Events {
    /// Sets the observer, once. It hears nothing until it asks for something.
    pub fn set_observer(&self, observer: Arc<dyn Observer>) {
        let is_first = self.observer.set(observer).is_ok();
        assert!(is_first, "a keyspace has one observer");
    }

    /// Switches [`Observer::modified`] and [`Observer::flushed`] on or off.
    pub fn observe_modifications(&self, wanted: bool) {
        if wanted {
            self.wanted.fetch_or(MODIFICATIONS, Ordering::AcqRel);
        } else {
            self.wanted.fetch_and(!MODIFICATIONS, Ordering::AcqRel);
        }
    }

    /// Asks for [`Observer::event`] of exactly these classes.
    pub fn observe(&self, classes: EventClass) {
        let wanted = &self.wanted;
        let _ = wanted.fetch_update(Ordering::AcqRel, Ordering::Acquire, |old| {
            Some(old & (MODIFICATIONS | FOLLOWED) | classes.bits())
        });
    }

    /// Switches [`Observer::followed`] on or off. The caller is alone in the gate, so that no call is told of in part.
    pub fn follow(&self, wanted: bool) {
        if wanted {
            self.wanted.fetch_or(FOLLOWED, Ordering::AcqRel);
        } else {
            self.wanted.fetch_and(!FOLLOWED, Ordering::AcqRel);
        }
    }

    /// Whether the observer wants to hear what replicas must do.
    #[inline]
    pub fn is_followed(&self) -> bool {
        self.wanted.load(Ordering::Relaxed) & FOLLOWED != 0
    }

    /// Whether the observer wants events of one of these classes.
    #[inline]
    pub fn wants(&self, classes: EventClass) -> bool {
        self.wanted.load(Ordering::Relaxed) & classes.bits() != 0
    }

    /// Whether the observer wants events of any class.
    pub(super) fn wants_any(&self) -> bool {
        self.wanted.load(Ordering::Relaxed) & !(MODIFICATIONS | FOLLOWED) != 0
    }

    /// Whether the observer wants modifications, or events of any class.
    #[inline]
    pub(super) fn is_observed(&self) -> bool {
        self.wanted.load(Ordering::Relaxed) & !FOLLOWED != 0
    }

    /// Reports an event if the observer wants it.
    #[inline]
    pub fn emit(&self, class: EventClass, name: &'static str, db: usize, key: &[u8]) {
        if self.wants(class) {
            self.tell(db, |observer| observer.event(class, name, db, key));
        }
    }

    /// Reports that a key was modified if the observer wants that.
    #[inline]
    pub(super) fn tell_modified(&self, db: usize, key: &[u8], access: Access, exists: bool) {
        let wanted = self.wanted.load(Ordering::Relaxed);
        if wanted & (MODIFICATIONS | FOLLOWED) == 0 {
            return;
        }
        if wanted & MODIFICATIONS != 0 {
            self.tell(db, |observer| observer.modified(db, key, access.client));
        }
        if access.client != 0 {
            self.tell_followed(Followed::Changed(db, key));
        } else if !exists {
            self.tell_followed(Followed::Gone(db, key));
        }
    }

    /// Reports what replicas must do too, if the observer wants that. The caller has locked the key's shard, or all.
    #[inline]
    pub(super) fn tell_followed(&self, change: Followed<'_>) {
        if self.is_followed() {
            let db = match change {
                Followed::Changed(db, _) | Followed::Gone(db, _) | Followed::FieldsGone(db, ..) => {
                    db
                }
                Followed::Databases => 0,
            };
            self.tell(db, |observer| observer.followed(change));
        }
    }

    /// Reports that a key may be about to change, or whole databases (`None`), if the observer wants what replicas must do.
    /// Called before anything is stored, while the key's shard is locked, or all.
    #[inline]
    pub(super) fn tell_intent(&self, subject: Option<(usize, &[u8])>) {
        if self.is_followed() {
            let db = subject.map_or(0, |(db, _)| db);
            self.tell(db, |observer| observer.intended(subject));
        }
    }

    /// Reports that all keys past their deadlines are gone.
    pub(super) fn tell_expired(&self, time: Millis) {
        if self.is_followed() {
            self.tell(0, |observer| observer.expired(time));
        }
    }

    /// Reports that databases were emptied if the observer wants that.
    pub(super) fn tell_flushed(&self, db: Option<usize>) {
        if self.wanted.load(Ordering::Relaxed) & MODIFICATIONS != 0 {
            self.tell(db.unwrap_or_default(), |observer| observer.flushed(db));
        }
        self.tell_followed(Followed::Databases);
    }

    // Inlined, so that each argument is made where the observer takes it: moving one there first would wait for the stores that made it.
    #[inline]
    fn tell(&self, db: usize, tell: impl FnOnce(&dyn Observer)) {
        // Contents that will replace a database's are nobody's yet.
        if db < INCOMING
            && let Some(observer) = self.observer.get()
        {
            tell(&**observer);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn letters_stand_for_classes() {
        let all = EventClass::from_letters("g$lshzxetd");
        assert_eq!(EventClass::ALL, all);
        assert_eq!(EventClass::from_letters("A"), all);
        let some = EventClass::from_letters("KEmn");
        assert!(!some.intersects(all));
        for class in ["K", "E", "m", "n"] {
            assert!(some.intersects(EventClass::from_letters(class)));
        }
        let without = some.without(EventClass::KEYSPACE);
        assert!(!without.intersects(EventClass::KEYSPACE) && without.intersects(EventClass::NEW));
    }
}
