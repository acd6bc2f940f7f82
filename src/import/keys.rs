//! Keys of RDB files: one thread reads them, others store them.

use std::sync::atomic::Ordering;
use std::thread;

use rdb::{Item, Limits, Reader};

use super::files::Input;
use super::handover::{Batch, Handover};
use super::storing::Stored;
use super::{Refusal, Work};
use crate::keyspace::Presence;

/// About so many bytes of the file are stored by one thread at a time.
const BATCH_BYTES: usize = 32 * 1024;

/// More threads than these would only wait for the store.
pub(super) const THREADS_MAX: usize = 4;

impl Work<'_> {
    /// Stores the keys of an RDB file; returns the input behind it.
    pub(super) fn keys<'i>(&mut self, input: Input<'i>) -> Result<Input<'i>, Refusal> {
        let settings = self.server.config.settings();
        let mut reader = Reader::new(input, Limits::default())?.checking_sum(settings.rdb_checksum);
        let (version, of_valkey) = (reader.version(), reader.is_valkey());
        tracing::info!(version, of_valkey, "an RDB file");
        self.db = 0;
        let handover = Handover::default();
        let storing = self.storing();
        let threads = thread::available_parallelism().map_or(1, std::num::NonZero::get);
        let (stored, read) = thread::scope(|scope| {
            let start = || {
                thread::Builder::new()
                    .name("import-store".into())
                    .spawn_scoped(scope, || storing.run(&handover))
            };
            let threads = (0..threads.min(THREADS_MAX)).map(|_| start());
            let threads: Vec<_> = threads.collect();
            let mut read = Ok(());
            let mut running = Vec::new();
            for one in threads {
                match one {
                    Ok(one) => running.push(one),
                    Err(error) => read = Err(Refusal::Io(error)),
                }
            }
            let read = read.and_then(|()| self.read(&mut reader, settings.databases, &handover));
            handover.end();
            let mut stored = Stored::default();
            for one in running {
                match one.join() {
                    Ok(one) => stored.add(one),
                    Err(panic) => std::panic::resume_unwind(panic),
                }
            }
            (stored, read)
        });
        stored.tell(&mut self.summary);
        // What was stored lies before what could not be read.
        handover.into_failure().map_or(Ok(()), Err)?;
        read?;
        self.commit()?;
        let (empty_keys, module_items) = (stored.empty, reader.module_items());
        if empty_keys > 0 {
            tracing::warn!(empty_keys, "skipped keys of collections without elements");
        }
        if module_items > 0 {
            tracing::warn!(
                module_items,
                "skipped data of modules that belongs to no key"
            );
        }
        Ok(reader.into_inner())
    }

    /// Reads a file to its end and hands its keys over, or until that is useless.
    fn read(
        &mut self,
        reader: &mut Reader<Input<'_>>,
        databases: usize,
        handover: &Handover,
    ) -> Result<(), Refusal> {
        loop {
            let mut keys = handover.spare();
            let item = reader.next_keys(&mut keys, BATCH_BYTES)?;
            let total = self.shared.total.load(Ordering::Relaxed);
            if let Some(keys) = reader.take_sizes(total) {
                self.expect(keys)?;
            }
            let goes_on = keys.is_empty() || handover.put(Batch { db: self.db, keys });
            if !goes_on {
                return Ok(());
            }
            self.shared.check()?;
            match item {
                None | Some(Item::Aux { .. } | Item::Key(_)) => {}
                Some(Item::End) => return Ok(()),
                Some(Item::Function(text)) => {
                    self.libraries.push(text);
                    self.summary.libraries += 1;
                }
                Some(Item::Database(number)) => self.select(number, databases)?,
            }
        }
    }

    /// Makes the index of the present database large enough for the keys that the file says it has.
    fn expect(&self, keys: u64) -> Result<(), Refusal> {
        let _inside = Presence::beside(self.keyspace.gate());
        let keys = usize::try_from(keys).unwrap_or(0);
        Ok(self.keyspace.databases().expect(self.db, keys)?)
    }

    fn select(&mut self, number: u64, databases: usize) -> Result<(), Refusal> {
        let db = usize::try_from(number).ok().filter(|&db| db < databases);
        self.db = db.ok_or_else(|| {
            Refusal::Text(format!(
                "it has a database {number}, and this server has {databases}"
            ))
        })?;
        Ok(())
    }
}
