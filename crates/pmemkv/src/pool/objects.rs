//! What the pool's heap says is allocated. An engine whose bytes the heap takes for free would have them overwritten by the
//! next allocation.

use pmemkv_sys as sys;

use super::Pool;

/// One bit stands for so many bytes: the heap allocates in no smaller ones.
const UNIT_BYTES: usize = 64;

/// Which bytes of a pool belong to objects.
#[derive(Debug)]
pub struct Allocated {
    /// Where the pool is mapped.
    start: usize,
    units: Vec<u64>,
}

impl Pool {
    /// Walks over all objects of the heap. It trusts the heap: see [`rehearse`](crate::rehearse()).
    pub fn allocated(&self) -> Allocated {
        let mapped = self.inner.mapped();
        let units = mapped.len().div_ceil(UNIT_BYTES);
        let mut allocated = Allocated {
            start: mapped.start,
            units: vec![0; units.div_ceil(64)],
        };
        // SAFETY: the pool is open.
        let mut object = unsafe { sys::pmemobj_first(self.inner.pop.as_ptr()) };
        while object.off != 0 {
            // SAFETY: the heap gave the object's id.
            let bytes = unsafe { sys::pmemobj_alloc_usable_size(object) };
            let offset = usize::try_from(object.off).unwrap_or(usize::MAX);
            allocated.mark(offset, bytes);
            // SAFETY: as above.
            object = unsafe { sys::pmemobj_next(object) };
        }
        allocated
    }
}

impl Allocated {
    fn mark(&mut self, offset: usize, bytes: usize) {
        let end = offset.saturating_add(bytes).div_ceil(UNIT_BYTES);
        for unit in offset / UNIT_BYTES..end.min(self.units.len() * 64) {
            self.units[unit / 64] |= 1 << (unit % 64);
        }
    }

    /// Whether bytes that an engine lends lie in an object.
    pub fn holds(&self, bytes: &[u8]) -> bool {
        let start = bytes.as_ptr() as usize;
        [start, start + bytes.len().saturating_sub(1)]
            .into_iter()
            .all(|at| {
                let Some(offset) = at.checked_sub(self.start) else {
                    return false;
                };
                let unit = offset / UNIT_BYTES;
                self.units
                    .get(unit / 64)
                    .is_some_and(|bits| bits >> (unit % 64) & 1 != 0)
            })
    }
}
