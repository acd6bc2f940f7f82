//! Custom orders of keys for sorted engines.

use std::any::Any;
use std::cell::Cell;
use std::cmp::Ordering;
use std::ffi::{CStr, CString, c_char, c_int, c_void};
use std::fmt;
use std::panic::{self, AssertUnwindSafe};
use std::sync::Arc;

use pmemkv_sys as sys;

use super::callback::slice;
use super::error::Error;

type Compare = dyn Fn(&[u8], &[u8]) -> Ordering + Send + Sync;

thread_local! {
    /// The panic of a comparator that ran inside the C call which this thread is making.
    static PANIC: Cell<Option<Box<dyn Any + Send>>> = const { Cell::new(None) };
}

/// A named order of keys. The engine stores its name with the data: a later open must bring a comparator of the same
/// name.
///
/// The function must be a total order, and the same one for ever, because it decides where a key lies. If it panics,
/// the panic resumes in the caller after the C library has returned. For the rest of that call keys compare in byte
/// order. So the call never returns another key's value, but a key that it puts may lie where later look-ups miss it.
#[derive(Clone)]
pub struct Comparator {
    state: Arc<State>,
}

struct State {
    name: CString,
    compare: Box<Compare>,
}

impl Comparator {
    /// An order with this name.
    ///
    /// # Errors
    /// [`Error::Nul`] if the name holds a NUL byte.
    pub fn new(
        name: &str,
        compare: impl Fn(&[u8], &[u8]) -> Ordering + Send + Sync + 'static,
    ) -> Result<Self, Error> {
        let name = CString::new(name).map_err(|_| Error::Nul("a comparator's name"))?;
        Ok(Self {
            state: Arc::new(State {
                name,
                compare: Box::new(compare),
            }),
        })
    }

    /// The name that the engine stores with the data.
    pub fn name(&self) -> &CStr {
        &self.state.name
    }

    /// The C object of this comparator. It points into `self`'s shared state, which must outlive it.
    pub(super) fn to_raw(&self) -> *mut sys::pmemkv_comparator {
        let arg = Arc::as_ptr(&self.state).cast_mut().cast::<c_void>();
        // SAFETY: the name is copied; `trampoline` reads `arg` as the `State` that it is, and the caller keeps that
        // alive.
        unsafe {
            sys::library().pmemkv_comparator_new(Some(trampoline), self.state.name.as_ptr(), arg)
        }
    }
}

impl fmt::Debug for Comparator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Comparator").field(&self.state.name).finish()
    }
}

/// Resumes the panic of a comparator that ran in the C call just made, if there was one.
pub(super) fn resume_panic() {
    if let Some(payload) = PANIC.take() {
        panic::resume_unwind(payload);
    }
}

unsafe extern "C" fn trampoline(
    key1: *const c_char,
    key1_bytes: usize,
    key2: *const c_char,
    key2_bytes: usize,
    arg: *mut c_void,
) -> c_int {
    // SAFETY: `arg` is the `State` given to pmemkv_comparator_new; the database's comparator keeps it alive.
    let state = unsafe { &*arg.cast::<State>() };
    // SAFETY: pmemkv lends the key for the length of this call.
    let key1 = unsafe { slice(key1, key1_bytes) };
    // SAFETY: as for the first key.
    let key2 = unsafe { slice(key2, key2_bytes) };
    let earlier = PANIC.take();
    let order = if earlier.is_some() {
        PANIC.set(earlier);
        key1.cmp(key2)
    } else {
        panic::catch_unwind(AssertUnwindSafe(|| (state.compare)(key1, key2))).unwrap_or_else(
            |payload| {
                PANIC.set(Some(payload));
                key1.cmp(key2)
            },
        )
    };
    order as c_int
}
