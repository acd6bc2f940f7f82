//! Prefetching: asking the processor for memory ahead of its use.

/// Tells the processor to fetch the memory at `place` while the program goes on. It is a hint: it reads nothing and
/// never fails.
#[inline]
pub fn prefetch<T>(place: *const T) {
    #[cfg(target_arch = "x86_64")]
    {
        use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
        // SAFETY: the instruction accesses no memory as far as the program can tell, whatever the address.
        unsafe { _mm_prefetch::<_MM_HINT_T0>(place.cast()) };
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = place;
}
