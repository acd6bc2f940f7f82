//! How far a replica has followed its master, as the pool keeps it.

/// The bytes of a replication id: hexadecimal digits.
const ID_BYTES: usize = 40;

/// The version of the record's form.
const VERSION: u8 = 1;

/// The record: version, database, offset, id.
const RECORD_BYTES: usize = 2 + 8 + ID_BYTES;

/// The name of a data set's history. A master that begins another history takes another id.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct ReplicationId([u8; ID_BYTES]);

/// A place in a master's stream of commands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// The history.
    pub id: ReplicationId,
    /// The bytes of the stream whose commands the data set has.
    pub offset: u64,
    /// The database that the stream had selected there.
    pub db: usize,
}

impl ReplicationId {
    /// The id that a master has sent; `None` if it is none.
    pub fn parse(text: &[u8]) -> Option<Self> {
        let id: [u8; ID_BYTES] = text.try_into().ok()?;
        id.iter().all(u8::is_ascii_hexdigit).then_some(Self(id))
    }

    /// Its digits.
    pub fn as_str(&self) -> &str {
        str::from_utf8(&self.0).unwrap_or_default()
    }
}

impl std::fmt::Debug for ReplicationId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

impl Place {
    /// The record's bytes. All records have one length, so that one can take another one's room.
    pub fn encode(&self) -> [u8; RECORD_BYTES] {
        let mut bytes = [0; RECORD_BYTES];
        bytes[0] = VERSION;
        bytes[1] = u8::try_from(self.db).unwrap_or(u8::MAX);
        bytes[2..10].copy_from_slice(&self.offset.to_le_bytes());
        bytes[10..].copy_from_slice(&self.id.0);
        bytes
    }

    /// Reads a record. `None` if it is not one of this version, or names a database that is not there.
    pub fn decode(bytes: &[u8], databases: usize) -> Option<Self> {
        let (&[version, db], rest) = bytes.split_first_chunk()?;
        let (offset, id) = rest.split_first_chunk()?;
        let db = usize::from(db);
        let place = Self {
            id: ReplicationId::parse(id)?,
            offset: u64::from_le_bytes(*offset),
            db,
        };
        (version == VERSION && db < databases && i64::try_from(place.offset).is_ok())
            .then_some(place)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: &[u8] = b"0123456789abcdef0123456789abcdef01234567";

    #[test]
    fn records_come_back_and_others_do_not() {
        let id = ReplicationId::parse(ID).expect("an id");
        let place = Place {
            id,
            offset: 77,
            db: 15,
        };
        let bytes = place.encode();
        assert_eq!(Place::decode(&bytes, 16), Some(place));
        assert_eq!(Place::decode(&bytes, 15), None, "a database too many");
        for len in 0..bytes.len() {
            assert_eq!(Place::decode(&bytes[..len], 16), None, "{len} bytes");
        }
        assert_eq!(Place::decode(&[&bytes[..], b"0"].concat(), 16), None);
        for (at, byte) in [(0, 2), (9, 0x80), (10, b'x'), (49, b' ')] {
            let mut other = bytes;
            other[at] = byte;
            assert_eq!(Place::decode(&other, 16), None, "byte {at}");
        }
    }

    #[test]
    fn ids_have_forty_digits() {
        assert!(ReplicationId::parse(&ID[1..]).is_none());
        assert!(ReplicationId::parse(&[ID, b"0"].concat()).is_none());
        assert!(ReplicationId::parse(&[&ID[1..], b"?"].concat()).is_none());
    }
}
