//! What the pool's heap says is allocated. An engine whose bytes the heap takes for free would have them overwritten by the
//! next allocation.

use std::sync::atomic::{AtomicU64, Ordering};

use pmemkv_sys as sys;

use super::Pool;

/// One bit stands for so many bytes: the heap allocates in no smaller ones.
const UNIT_BYTES: usize = 64;

/// Which bytes of a pool belong to objects.
#[derive(Debug)]
pub struct Allocated(Units);

/// Where an engine's pairs lie in a pool. Several threads note them at once, also while [`Pool::allocated`] looks at the
/// heap.
#[derive(Debug)]
pub struct Occupied(Units);

/// A bit for each unit of a pool.
#[derive(Debug)]
struct Units {
    /// Where the pool is mapped.
    start: usize,
    bits: Box<[AtomicU64]>,
}

impl Pool {
    /// Walks over all objects of the heap. It trusts the heap: see [`rehearse`](crate::rehearse()).
    pub fn allocated(&self) -> Allocated {
        let allocated = Units::of(self);
        // SAFETY: the pool is open.
        let mut object = unsafe { sys::library().pmemobj_first(self.inner.pop.as_ptr()) };
        while object.off != 0 {
            // SAFETY: the heap gave the object's id.
            let bytes = unsafe { sys::library().pmemobj_alloc_usable_size(object) };
            let offset = usize::try_from(object.off).unwrap_or(usize::MAX);
            let end = offset.saturating_add(bytes).div_ceil(UNIT_BYTES);
            for unit in offset / UNIT_BYTES..end.min(allocated.bits.len() * 64) {
                allocated.set_alone(unit);
            }
            // SAFETY: as above.
            object = unsafe { sys::library().pmemobj_next(object) };
        }
        Allocated(allocated)
    }

    /// No pairs yet.
    pub fn occupied(&self) -> Occupied {
        Occupied(Units::of(self))
    }
}

impl Units {
    fn of(pool: &Pool) -> Self {
        let mapped = pool.inner.mapped();
        let words = mapped.len().div_ceil(UNIT_BYTES).div_ceil(64);
        Self {
            start: mapped.start,
            bits: (0..words).map(|_| AtomicU64::new(0)).collect(),
        }
    }

    fn set(&self, unit: usize) {
        if let Some(bits) = self.bits.get(unit / 64) {
            let bit = 1 << (unit % 64);
            // Neighbours are mostly set together.
            if bits.load(Ordering::Relaxed) & bit == 0 {
                bits.fetch_or(bit, Ordering::Relaxed);
            }
        }
    }

    /// [`set`](Self::set) where no other thread sets any: a plain store costs less.
    fn set_alone(&self, unit: usize) {
        if let Some(bits) = self.bits.get(unit / 64) {
            let new = bits.load(Ordering::Relaxed) | 1 << (unit % 64);
            bits.store(new, Ordering::Relaxed);
        }
    }

    fn has(&self, unit: usize) -> bool {
        self.bits
            .get(unit / 64)
            .is_some_and(|bits| bits.load(Ordering::Relaxed) >> (unit % 64) & 1 != 0)
    }

    /// The units of the first and the last of some bytes; `None` where they lie outside of the pool.
    fn ends(&self, bytes: &[u8]) -> Option<[usize; 2]> {
        let start = (bytes.as_ptr() as usize).checked_sub(self.start)?;
        let last = start.checked_add(bytes.len().saturating_sub(1))?;
        let ends = [start, last].map(|at| at / UNIT_BYTES);
        (ends[1] < self.bits.len() * 64).then_some(ends)
    }
}

impl Allocated {
    /// Whether bytes that an engine lends lie in an object.
    pub fn holds(&self, bytes: &[u8]) -> bool {
        let ends = self.0.ends(bytes);
        ends.is_some_and(|ends| ends.into_iter().all(|unit| self.0.has(unit)))
    }

    /// Whether all that is occupied lies in objects.
    pub fn holds_all(&self, occupied: &Occupied) -> bool {
        let both = self.0.bits.iter().zip(&occupied.0.bits);
        both.into_iter().all(|(allocated, occupied)| {
            occupied.load(Ordering::Relaxed) & !allocated.load(Ordering::Relaxed) == 0
        })
    }
}

impl Occupied {
    /// Notes where bytes lie that an engine lends; `false` where they lie outside of the pool.
    pub fn note(&self, bytes: &[u8]) -> bool {
        let ends = self.0.ends(bytes);
        ends.into_iter().flatten().for_each(|unit| self.0.set(unit));
        ends.is_some()
    }
}
