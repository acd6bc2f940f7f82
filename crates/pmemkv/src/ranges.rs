//! Walks and counts over ranges of keys, in pmemkv's six shapes.

use std::ffi::{c_char, c_int, c_void};
use std::ops::ControlFlow;

use pmemkv_sys as sys;

use super::callback::Visit;
use super::database::{Access, Database};
use super::error::{Error, Status};

/// A range of keys, in the engine's order. Bounds are exclusive unless the name says `Equal`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Range<'a> {
    /// Every key; the only range of an unsorted engine.
    All,
    /// Keys greater than this one.
    Above(&'a [u8]),
    /// This key and greater ones.
    EqualAbove(&'a [u8]),
    /// Keys smaller than this one.
    Below(&'a [u8]),
    /// This key and smaller ones.
    EqualBelow(&'a [u8]),
    /// Keys greater than the first and smaller than the second.
    Between(&'a [u8], &'a [u8]),
}

impl Range<'_> {
    /// Whether `key` lies in the range.
    pub fn contains(&self, key: &[u8]) -> bool {
        match *self {
            Range::All => true,
            Range::Above(low) => key > low,
            Range::EqualAbove(low) => key >= low,
            Range::Below(_) | Range::EqualBelow(_) => !self.is_past(key),
            Range::Between(low, _) => key > low && !self.is_past(key),
        }
    }

    /// Whether `key` lies after the range's end, so that an ascending walk is over.
    pub fn is_past(&self, key: &[u8]) -> bool {
        match *self {
            Range::All | Range::Above(_) | Range::EqualAbove(_) => false,
            Range::Below(high) | Range::Between(_, high) => key >= high,
            Range::EqualBelow(high) => key > high,
        }
    }
}

type PairCallback =
    unsafe extern "C" fn(*const c_char, usize, *const c_char, usize, *mut c_void) -> c_int;

impl Database {
    /// Lends each pair of the range to the closure, in the engine's order, until it breaks. Returns whether it broke.
    ///
    /// On an unsorted engine no other call runs on the database meanwhile. Such an engine returns
    /// [`Error::NotSupported`] for every range but [`Range::All`].
    pub fn get_range(
        &self,
        range: Range<'_>,
        visit: impl FnMut(&[u8], &[u8]) -> ControlFlow<()>,
    ) -> Result<ControlFlow<()>, Error> {
        fn trampoline_of<F: FnMut(&[u8], &[u8]) -> ControlFlow<()>>(_: &Visit<F>) -> PairCallback {
            Visit::<F>::trampoline
        }
        let _running = self.enter(Access::Walk)?;
        let mut visit = Visit::new(visit);
        let trampoline = trampoline_of(&visit);
        let arg = visit.arg();
        let status = self.walk(range, trampoline, arg);
        let status = self.settle(status);
        let flow = visit.finish();
        match status {
            // blackhole returns `NotFound`.
            Status::StoppedByCallback | Status::NotFound => Ok(flow),
            status => status.into_result().map(|()| flow),
        }
    }

    /// Visits all pairs, and tells with each how many the engine says that there are; returns that number. No pair comes or
    /// goes meanwhile.
    pub fn get_all_counted(
        &self,
        mut visit: impl FnMut(usize, &[u8], &[u8]) -> ControlFlow<()>,
    ) -> Result<usize, Error> {
        fn trampoline_of<F: FnMut(&[u8], &[u8]) -> ControlFlow<()>>(_: &Visit<F>) -> PairCallback {
            Visit::<F>::trampoline
        }
        let _running = self.enter(Access::Walk)?;
        let mut count = 0;
        // SAFETY: the database is open and held; the out-pointer is a local.
        let status = unsafe { sys::library().pmemkv_count_all(self.raw(), &raw mut count) };
        self.settle(status).into_result()?;
        let mut visit = Visit::new(|key: &[u8], value: &[u8]| visit(count, key, value));
        let trampoline = trampoline_of(&visit);
        let arg = visit.arg();
        let status = self.walk(Range::All, trampoline, arg);
        let status = self.settle(status);
        let _ = visit.finish();
        match status {
            Status::StoppedByCallback | Status::NotFound => Ok(count),
            status => status.into_result().map(|()| count),
        }
    }

    fn walk(&self, range: Range<'_>, callback: PairCallback, arg: *mut c_void) -> c_int {
        let db = self.raw();
        let call = Some(callback);
        // In each: the database is open and held as a walk asks; the keys are slices; callback and arg are one pair.
        match range {
            Range::All => {
                // SAFETY: see above.
                unsafe { sys::library().pmemkv_get_all(db, call, arg) }
            }
            Range::Above(key) => {
                // SAFETY: see above.
                unsafe {
                    sys::library().pmemkv_get_above(db, key.as_ptr().cast(), key.len(), call, arg)
                }
            }
            Range::EqualAbove(key) => {
                // SAFETY: see above.
                unsafe {
                    sys::library().pmemkv_get_equal_above(
                        db,
                        key.as_ptr().cast(),
                        key.len(),
                        call,
                        arg,
                    )
                }
            }
            Range::Below(key) => {
                // SAFETY: see above.
                unsafe {
                    sys::library().pmemkv_get_below(db, key.as_ptr().cast(), key.len(), call, arg)
                }
            }
            Range::EqualBelow(key) => {
                // SAFETY: see above.
                unsafe {
                    sys::library().pmemkv_get_equal_below(
                        db,
                        key.as_ptr().cast(),
                        key.len(),
                        call,
                        arg,
                    )
                }
            }
            Range::Between(low, high) => {
                // SAFETY: see above.
                unsafe {
                    sys::library().pmemkv_get_between(
                        db,
                        low.as_ptr().cast(),
                        low.len(),
                        high.as_ptr().cast(),
                        high.len(),
                        call,
                        arg,
                    )
                }
            }
        }
    }

    /// How many keys the range has.
    pub fn count_range(&self, range: Range<'_>) -> Result<usize, Error> {
        // A hash table knows its size without walking.
        let access = match range {
            Range::All => Access::Read,
            _ => Access::Walk,
        };
        let _running = self.enter(access)?;
        let db = self.raw();
        let mut count = 0;
        let out = &raw mut count;
        // In each: the database is open and held as the call asks; the keys are slices; `out` is a local.
        let status = match range {
            Range::All => {
                // SAFETY: see above.
                unsafe { sys::library().pmemkv_count_all(db, out) }
            }
            Range::Above(key) => {
                // SAFETY: see above.
                unsafe {
                    sys::library().pmemkv_count_above(db, key.as_ptr().cast(), key.len(), out)
                }
            }
            Range::EqualAbove(key) => {
                // SAFETY: see above.
                unsafe {
                    sys::library().pmemkv_count_equal_above(db, key.as_ptr().cast(), key.len(), out)
                }
            }
            Range::Below(key) => {
                // SAFETY: see above.
                unsafe {
                    sys::library().pmemkv_count_below(db, key.as_ptr().cast(), key.len(), out)
                }
            }
            Range::EqualBelow(key) => {
                // SAFETY: see above.
                unsafe {
                    sys::library().pmemkv_count_equal_below(db, key.as_ptr().cast(), key.len(), out)
                }
            }
            Range::Between(low, high) => {
                // SAFETY: see above.
                unsafe {
                    sys::library().pmemkv_count_between(
                        db,
                        low.as_ptr().cast(),
                        low.len(),
                        high.as_ptr().cast(),
                        high.len(),
                        out,
                    )
                }
            }
        };
        self.settle(status).into_result().map(|()| count)
    }
}

/// The three calls of one shape.
macro_rules! shape {
    ($range:expr, $what:literal, $get:ident, $get_keys:ident, $count:ident, ($($key:ident),*)) => {
        impl Database {
            #[doc = concat!("Visits ", $what, "; see [`get_range`](Self::get_range).")]
            pub fn $get(
                &self,
                $($key: &[u8],)*
                visit: impl FnMut(&[u8], &[u8]) -> ControlFlow<()>,
            ) -> Result<ControlFlow<()>, Error> {
                self.get_range($range, visit)
            }

            #[doc = concat!("Visits the keys of ", $what, "; see [`get_range`](Self::get_range).")]
            pub fn $get_keys(
                &self,
                $($key: &[u8],)*
                mut visit: impl FnMut(&[u8]) -> ControlFlow<()>,
            ) -> Result<ControlFlow<()>, Error> {
                self.get_range($range, |key, _| visit(key))
            }

            #[doc = concat!("Counts ", $what, ".")]
            pub fn $count(&self, $($key: &[u8],)*) -> Result<usize, Error> {
                self.count_range($range)
            }
        }
    };
}

shape!(
    Range::All,
    "all pairs",
    get_all,
    get_keys_all,
    count_all,
    ()
);
shape!(
    Range::Above(key),
    "pairs whose key is greater than `key`",
    get_above,
    get_keys_above,
    count_above,
    (key)
);
shape!(
    Range::EqualAbove(key),
    "pairs whose key is `key` or greater",
    get_equal_above,
    get_keys_equal_above,
    count_equal_above,
    (key)
);
shape!(
    Range::Below(key),
    "pairs whose key is smaller than `key`",
    get_below,
    get_keys_below,
    count_below,
    (key)
);
shape!(
    Range::EqualBelow(key),
    "pairs whose key is `key` or smaller",
    get_equal_below,
    get_keys_equal_below,
    count_equal_below,
    (key)
);
shape!(
    Range::Between(low, high),
    "pairs whose key is greater than `low` and smaller than `high`",
    get_between,
    get_keys_between,
    count_between,
    (low, high)
);
