//! Closures that C calls: how they borrow C's bytes, and how their panics come back to the caller.

use std::any::Any;
use std::ffi::{c_char, c_int, c_void};
use std::ops::ControlFlow;
use std::panic::{self, AssertUnwindSafe};
use std::slice;

/// The bytes that C lends.
///
/// # Safety
/// `start` points to `length` readable bytes that do not change during `'a`, or `length` is 0.
pub(super) unsafe fn slice<'a>(start: *const c_char, length: usize) -> &'a [u8] {
    if length == 0 {
        // An empty value may come with a null pointer, which a slice must not have.
        return &[];
    }
    // SAFETY: the caller's promise.
    unsafe { slice::from_raw_parts(start.cast(), length) }
}

/// A closure that reads one value, once.
pub(super) struct ReadOnce<F, R> {
    read: Option<F>,
    result: Option<Result<R, Box<dyn Any + Send>>>,
}

impl<F: FnOnce(&[u8]) -> R, R> ReadOnce<F, R> {
    pub(super) fn new(read: F) -> Self {
        Self {
            read: Some(read),
            result: None,
        }
    }

    pub(super) fn arg(&mut self) -> *mut c_void {
        (&raw mut *self).cast()
    }

    /// What the closure returned, `None` if C never called it. Resumes the closure's panic, if there was one.
    pub(super) fn finish(self) -> Option<R> {
        match self.result? {
            Ok(result) => Some(result),
            Err(payload) => panic::resume_unwind(payload),
        }
    }

    pub(super) unsafe extern "C" fn trampoline(
        value: *const c_char,
        value_bytes: usize,
        arg: *mut c_void,
    ) {
        // SAFETY: `arg` is the `ReadOnce` whose owner is waiting inside pmemkv_get on this thread.
        let this = unsafe { &mut *arg.cast::<Self>() };
        // SAFETY: pmemkv lends the value for the length of this call.
        let value = unsafe { slice(value, value_bytes) };
        if let Some(read) = this.read.take() {
            this.result = Some(panic::catch_unwind(AssertUnwindSafe(|| read(value))));
        }
    }
}

/// A closure that visits pairs until it breaks.
pub(super) struct Visit<F> {
    closure: F,
    stopped: bool,
    panic: Option<Box<dyn Any + Send>>,
}

impl<F: FnMut(&[u8], &[u8]) -> ControlFlow<()>> Visit<F> {
    pub(super) fn new(closure: F) -> Self {
        Self {
            closure,
            stopped: false,
            panic: None,
        }
    }

    pub(super) fn arg(&mut self) -> *mut c_void {
        (&raw mut *self).cast()
    }

    /// Whether the closure ended the walk. Resumes the closure's panic, if there was one.
    pub(super) fn finish(self) -> ControlFlow<()> {
        if let Some(payload) = self.panic {
            panic::resume_unwind(payload);
        }
        if self.stopped {
            ControlFlow::Break(())
        } else {
            ControlFlow::Continue(())
        }
    }

    pub(super) unsafe extern "C" fn trampoline(
        key: *const c_char,
        key_bytes: usize,
        value: *const c_char,
        value_bytes: usize,
        arg: *mut c_void,
    ) -> c_int {
        // SAFETY: `arg` is the `Visit` whose owner is waiting inside the walk on this thread.
        let this = unsafe { &mut *arg.cast::<Self>() };
        if this.stopped {
            // An engine may go on after a stop, but must not reach the closure again.
            return 1;
        }
        // SAFETY: pmemkv lends the key for the length of this call.
        let key = unsafe { slice(key, key_bytes) };
        // SAFETY: pmemkv lends the value for the length of this call.
        let value = unsafe { slice(value, value_bytes) };
        match panic::catch_unwind(AssertUnwindSafe(|| (this.closure)(key, value))) {
            Ok(ControlFlow::Continue(())) => return 0,
            Ok(ControlFlow::Break(())) => {}
            Err(payload) => this.panic = Some(payload),
        }
        this.stopped = true;
        1
    }
}
