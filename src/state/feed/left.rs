//! What a stopping master leaves for the next start: its history, so that replicas go on without a copy.
//!
//! It lies where a replica's place would lie, and the start takes it away before anything changes. So a process that dies leaves
//! none: nobody could tell which of its last changes replicas have.

use super::Feed;
use crate::config::Settings;
use crate::keyspace::{Keyspace, KeyspaceError};
use crate::state::replication::{Place, ReplicationId};

/// The version of the record's form. A replica's place has another one.
const VERSION: u8 = 2;

/// How much of the stream is left at most: what replicas may have missed at the very end.
const TAIL_BYTES_MAX: usize = 8 * 1024;

/// The bytes of a history's id.
const ID_BYTES: usize = 40;

/// A history that an earlier process has left.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Left {
    /// Its id.
    pub id: String,
    /// How many bytes it has.
    pub end: u64,
    /// Its last bytes.
    pub tail: Vec<u8>,
}

impl Left {
    /// The record's bytes.
    fn encode(&self) -> Vec<u8> {
        let mut bytes = vec![VERSION];
        bytes.extend_from_slice(&self.end.to_le_bytes());
        bytes.extend_from_slice(self.id.as_bytes());
        bytes.extend_from_slice(&self.tail);
        bytes
    }

    /// The place at its end, for a server that follows another one now.
    pub fn place(&self) -> Option<Place> {
        Some(Place {
            id: ReplicationId::parse(self.id.as_bytes())?,
            offset: self.end,
            db: 0,
        })
    }

    /// Reads a record; `None` if it is another one.
    pub fn decode(bytes: &[u8]) -> Option<Self> {
        let (&[version], rest) = bytes.split_first_chunk()?;
        let (end, rest) = rest.split_first_chunk()?;
        let (id, tail) = rest.split_first_chunk::<ID_BYTES>()?;
        let end = u64::from_le_bytes(*end);
        let is_id = id.iter().all(u8::is_ascii_hexdigit);
        let fits = tail.len() <= TAIL_BYTES_MAX && tail.len() as u64 <= end;
        (version == VERSION && is_id && fits && i64::try_from(end).is_ok()).then(|| Self {
            id: String::from_utf8_lossy(id).into_owned(),
            end,
            tail: tail.to_vec(),
        })
    }
}

impl Feed {
    /// Leaves the history to the next start, if replicas have followed it. The server stops: no client is left, the feed's thread
    /// has ended, and nothing changes any more.
    ///
    /// # Errors
    /// Those of the store. Then replicas need copies.
    pub fn leave(&self, keyspace: &Keyspace) -> Result<(), KeyspaceError> {
        // A slow command of a client that is gone may still run.
        let Ok(alone) = keyspace.gate().enter_alone(false) else {
            return Ok(());
        };
        let stream = self.stream.lock();
        let left = stream
            .leave(TAIL_BYTES_MAX)
            .filter(|_| stream.has_all_before(self.next_ticket()));
        drop(stream);
        if let Some(left) = left {
            // What happens from now on nobody follows.
            keyspace.events().follow(false);
            keyspace.place().store(Some(&left.encode()))?;
            keyspace.commit()?;
            self.drop_file();
        }
        drop(alone);
        Ok(())
    }

    /// Does not go on with a history that an earlier process has left: the data will be others. No command runs.
    ///
    /// # Errors
    /// Those of the store.
    pub fn forget_left(&self, keyspace: &Keyspace) -> Result<(), KeyspaceError> {
        keyspace.events().follow(false);
        self.drop_file();
        self.stream.lock().forget(false);
        *self.alone_since.lock() = None;
        keyspace.place().store(None)?;
        keyspace.commit()
    }

    /// Goes on with a history that an earlier process has left. Nothing has changed since, and no command runs.
    pub fn go_on(&self, keyspace: &Keyspace, left: Left, settings: &Settings) {
        let end = left.end;
        self.stream.lock().go_on(left);
        if let Some(file) = self.prepare_file(settings) {
            self.keep_in(keyspace, file, settings);
        }
        keyspace.events().follow(true);
        *self.alone_since.lock() = Some(std::time::Instant::now());
        self.grown.send_replace(end);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_come_back_and_others_do_not() {
        let left = Left {
            id: "0123456789abcdef0123456789abcdef01234567".to_owned(),
            end: 77,
            tail: b"*1\r\n$4\r\nPING\r\n".to_vec(),
        };
        let bytes = left.encode();
        assert_eq!(Left::decode(&bytes), Some(left.clone()));
        for len in 0..1 + 8 + ID_BYTES {
            assert_eq!(Left::decode(&bytes[..len]), None, "{len} bytes");
        }
        for (at, byte) in [(0, 1), (8, 0x80), (9, b'x')] {
            let mut other = bytes.clone();
            other[at] = byte;
            assert_eq!(Left::decode(&other), None, "byte {at}");
        }
        let too_short = Left { end: 3, ..left };
        assert_eq!(Left::decode(&too_short.encode()), None);
    }
}
