//! Releasing records: the store stops counting them, so that the compaction does not copy them.

use super::Packed;
use super::record::{Form, Parts, Spot};
use crate::{Location, RecordKey, StoreError};

impl Packed {
    /// Stops counting a record, and the parts of its value, as live.
    pub(super) fn release_with_parts(&self, location: Location) -> Result<(), StoreError> {
        let spot = Spot::from(location);
        if spot.large {
            for part in self.parts_of(spot)?.spots {
                self.let_go(part);
            }
        }
        self.let_go(spot);
        Ok(())
    }

    /// [`release_with_parts`](Self::release_with_parts) of many records. Threads share the accounts, so neighbours go in one.
    pub(super) fn release_many(&self, locations: &[Location]) -> Result<(), StoreError> {
        if self.front.is_held_here() {
            return locations
                .iter()
                .try_for_each(|&location| self.release_with_parts(location));
        }
        let spots: Vec<Spot> = locations.iter().map(|&location| location.into()).collect();
        for run in spots.chunk_by(|one, next| one.segment == next.segment) {
            let bytes = run.iter().map(|spot| spot.length).sum();
            self.space.release_bytes(run[0].segment, bytes);
            for spot in run.iter().filter(|spot| spot.large) {
                for part in self.parts_of(*spot)?.spots {
                    self.space.release(part);
                }
            }
        }
        Ok(())
    }

    /// Stops counting all records but these, and the parts of their values, as live.
    pub(super) fn release_all_but_kept(&self, kept: &[Location]) -> Result<(), StoreError> {
        let mut spots: Vec<Spot> = kept.iter().map(|&location| location.into()).collect();
        for at in 0..spots.len() {
            if spots[at].large {
                spots.extend(self.parts_of(spots[at])?.spots);
            }
        }
        self.space.release_everything();
        spots.into_iter().for_each(|spot| self.space.claim(spot));
        Ok(())
    }

    /// Stops counting a record as live. A transaction reuses the bytes of a record that it staged itself.
    pub(super) fn let_go(&self, spot: Spot) {
        self.space.release(spot);
        self.front.let_go(&self.space, spot);
    }

    /// [`release_with_parts`](Self::release_with_parts) of a record that is past its deadline: it serves
    /// as its key's tombstone, so it stays where it is.
    pub(super) fn release_expired(&self, location: Location) -> Result<(), StoreError> {
        let spot = Spot::from(location);
        self.space.release(spot);
        self.front.pin(&self.space, spot.segment);
        if spot.large {
            for part in self.parts_of(spot)?.spots {
                self.space.release(part);
                self.front.pin(&self.space, part.segment);
            }
        }
        self.space.add_tombstone(spot);
        Ok(())
    }

    /// Stops counting a record of a flushed database as live. The index dropped the record some time ago. Since then
    /// its segment may have been compacted and filled anew: then there is nothing to count. Nobody stages records of
    /// the database any more, nor of the collection whose id the name begins with, so what lies there and has such a name is
    /// the record.
    pub(super) fn release_flushed(
        &self,
        name: RecordKey<'_>,
        spot: Spot,
    ) -> Result<(), StoreError> {
        // Reading keeps the segment from being given back, so the account still belongs to the record's life of the
        // segment.
        let release = |part: bool, spot: Spot| {
            let found = self.try_record(spot, |record| {
                let form_fits = match record.form {
                    Form::Value(_) | Form::Large(_) => !part,
                    Form::Part => part,
                    Form::Tombstone => false,
                };
                let same = form_fits
                    && record.generation == name.generation
                    && record.key.starts_with(name.key);
                if same {
                    self.space.release(spot);
                }
                same.then(|| spot.large.then(|| Parts::decode(record.body)))
            });
            let parts = found.flatten()?;
            // A transaction forgets only flushed records that it staged itself, so no segment needs a pin.
            self.front.reuse(&self.space, spot);
            parts
        };
        let Some(parts) = release(false, spot) else {
            return Ok(());
        };
        for part in parts?.spots {
            release(true, part);
        }
        Ok(())
    }
}
