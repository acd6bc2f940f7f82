//! Buffers for the bytes of one change. The thread's next change uses them again.

use std::cell::RefCell;
use std::ops::{Deref, DerefMut};

/// A buffer with more capacity than this is freed.
const KEPT_BYTES_MAX: usize = 1 << 16;

/// A change needs a copy of the old value, one of what it is given, and the new value.
const KEPT_MAX: usize = 3;

thread_local! {
    static KEPT: RefCell<Vec<Vec<u8>>> = const { RefCell::new(Vec::new()) };
}

/// A byte buffer, empty at first.
#[derive(Debug)]
pub(crate) struct Scratch(Vec<u8>);

impl Default for Scratch {
    fn default() -> Self {
        Self(KEPT.with_borrow_mut(Vec::pop).unwrap_or_default())
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        if (1..=KEPT_BYTES_MAX).contains(&self.0.capacity()) {
            KEPT.with_borrow_mut(|kept| {
                if kept.len() < KEPT_MAX {
                    self.0.clear();
                    kept.push(std::mem::take(&mut self.0));
                }
            });
        }
    }
}

impl Deref for Scratch {
    type Target = Vec<u8>;

    fn deref(&self) -> &Vec<u8> {
        &self.0
    }
}

impl DerefMut for Scratch {
    fn deref_mut(&mut self) -> &mut Vec<u8> {
        &mut self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_buffer_comes_back_empty_and_two_at_once_are_apart() {
        let mut first = Scratch::default();
        first.extend_from_slice(b"first");
        let mut second = Scratch::default();
        second.extend_from_slice(b"second");
        assert_eq!((&first[..], &second[..]), (&b"first"[..], &b"second"[..]));
        drop((first, second));
        let again = Scratch::default();
        assert!(again.is_empty() && again.capacity() > 0);
    }

    #[test]
    fn a_large_buffer_is_not_kept() {
        let mut large = Scratch::default();
        large.resize(KEPT_BYTES_MAX + 1, 0);
        drop(large);
        assert!(Scratch::default().capacity() <= KEPT_BYTES_MAX);
    }
}
