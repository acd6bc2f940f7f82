//! Libraries of functions in the form of FUNCTION DUMP and FUNCTION RESTORE.
//!
//! | bytes | what |
//! |---|---|
//! | 1 | 245 |
//! | any | a library's text, as a string of the RDB format |
//! | | the same for each other library |
//! | 2 | the RDB version, little-endian |
//! | 8 | CRC-64 (Jones) of all before it, little-endian |

use std::borrow::Cow;

use super::encode::{LENGTH_BYTES_MAX, count};
use super::reader::Reader;
use super::{FOOTER_BYTES, Release, close, open};

/// Announces a library.
const LIBRARY: u8 = 245;
/// Announced a library before Redis 7.0 was released.
const LIBRARY_OF_OLD: u8 = 246;

/// Why a payload of libraries is refused, in Redis's words.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LibrariesError {
    /// It is too short, has a later version, or its checksum is wrong.
    #[error("ERR DUMP payload version or checksum are wrong")]
    Envelope,
    /// A library in a form that only a version before Redis 7.0 wrote.
    #[error("ERR Pre-GA function format not supported")]
    PreRelease,
    /// Something else than a library.
    #[error("ERR given type is not a function")]
    NoLibrary,
    /// No string follows, or the libraries take more memory than they may.
    #[error("ERR Failed loading library payload")]
    NoText,
}

/// The payload of libraries, from their texts. Redis 7.0 and later restore it.
pub fn encode_libraries<'a>(texts: impl Iterator<Item = &'a [u8]> + Clone) -> Vec<u8> {
    let bytes: usize = texts
        .clone()
        .map(|text| 1 + LENGTH_BYTES_MAX + text.len())
        .sum();
    let mut payload = Vec::with_capacity(bytes + FOOTER_BYTES);
    for text in texts {
        payload.push(LIBRARY);
        count(&mut payload, text.len());
        payload.extend_from_slice(text);
    }
    close(&mut payload, Release::Redis70.version());
    payload
}

/// The texts of a payload's libraries, read one after the other. The first error is the last item.
pub struct Libraries<'a> {
    reader: Reader<'a>,
    has_failed: bool,
}

impl std::fmt::Debug for Libraries<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Libraries").finish_non_exhaustive()
    }
}

/// Reads a payload, whose compressed texts may take up to `inflated_bytes_max` together.
pub fn decode_libraries(
    payload: &[u8],
    inflated_bytes_max: usize,
) -> Result<Libraries<'_>, LibrariesError> {
    let body = open(payload).ok_or(LibrariesError::Envelope)?;
    Ok(Libraries {
        reader: Reader::inflating(body, inflated_bytes_max),
        has_failed: false,
    })
}

impl<'a> Iterator for Libraries<'a> {
    type Item = Result<Cow<'a, [u8]>, LibrariesError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.has_failed {
            return None;
        }
        let read = match self.reader.byte()? {
            LIBRARY => self.reader.string().ok_or(LibrariesError::NoText),
            LIBRARY_OF_OLD => Err(LibrariesError::PreRelease),
            _ => Err(LibrariesError::NoLibrary),
        };
        self.has_failed = read.is_err();
        Some(read)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    type Read = Result<Vec<Vec<u8>>, LibrariesError>;

    fn read(payload: &[u8]) -> Read {
        decode_libraries(payload, 1000)?
            .map(|text| text.map(Cow::into_owned))
            .collect()
    }

    fn closed(body: &[u8]) -> Vec<u8> {
        super::super::fuzzing::closed(body)
    }

    #[test]
    fn texts_come_back() {
        for texts in [
            vec![],
            vec![b"#!lua name=a\nx".to_vec()],
            vec![b"a".repeat(70), Vec::new(), b"b".repeat(70_000)],
        ] {
            let payload = encode_libraries(texts.iter().map(Vec::as_slice));
            assert_eq!(read(&payload), Ok(texts));
            for cut in 0..payload.len().min(300) {
                assert_eq!(read(&payload[..cut]), Err(LibrariesError::Envelope));
            }
        }
    }

    #[test]
    fn the_payload_of_redis_server_reads() {
        // FUNCTION DUMP of redis-server 7.0.15, without a library and with a compressed one.
        assert_eq!(read(b"\n\x00]\x9b\\@\x0f\x7f\xa2\xda"), Ok(vec![]));
        let one = b"\xf5\xc3@W@\x94\x1f#!lua name=mylib\nredis.register_\x11function('first', \xe0\x00\x11\x14keys, args) \
                    return 'a\xe05\x00\x05' end)\n\x00\x9f\xa1<\xcc\x03\x1d\xf4\xeb";
        let text = [
            &b"#!lua name=mylib\nredis.register_function('first', function(keys, args) return '"[..],
            &b"a".repeat(63),
            b"' end)",
        ]
        .concat();
        assert_eq!(read(one), Ok(vec![text]));
        let compressed = closed(b"\xf5\xc3\x05\x0b\x01ab\xe0\x00\x01");
        assert_eq!(read(&compressed), Err(LibrariesError::NoText));
        let compressed = closed(b"\xf5\xc3\x06\x0b\x01ab\xe0\x00\x01");
        assert_eq!(read(&compressed), Ok(vec![b"abababababa".to_vec()]));
    }

    #[test]
    fn other_payloads_are_refused() {
        for (body, error) in [
            (&b"\xf6\x01a"[..], LibrariesError::PreRelease),
            (b"\x00\x01a", LibrariesError::NoLibrary),
            (b"\xf5", LibrariesError::NoText),
            (b"\xf5\x02a", LibrariesError::NoText),
            (b"\xf5\xc9", LibrariesError::NoText),
            (b"\xf5\x01a\x01", LibrariesError::NoLibrary),
        ] {
            assert_eq!(read(&closed(body)), Err(error), "{}", body.escape_ascii());
        }
        let mut libraries = decode_libraries(b"", 0);
        assert!(libraries.is_err());
        let payload = closed(b"\xf5\x01a\x01\x01");
        libraries = decode_libraries(&payload, 0);
        assert_eq!(libraries.expect("the checksum is right").count(), 2);
    }
}
