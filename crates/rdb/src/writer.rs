//! Writes a file.

use std::io::{self, Write};

use redis_core::serialised::{
    Checksum, Object, Release, Strings, encode_number, encode_string, encode_value,
};

use crate::opcode;

/// Bytes are given to the output in pieces of about this size.
const PIECE_BYTES: usize = 64 * 1024;

/// The version of the format.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Version {
    /// Version 10: Redis 7.0 and all later ones read it. It does not say when a stream's consumer was last active.
    Redis70,
    /// Version 11: Redis 7.2 and later and every Valkey read it.
    Redis72,
}

impl Version {
    /// The version of this number.
    pub fn of(number: u32) -> Option<Self> {
        match number {
            10 => Some(Self::Redis70),
            11 => Some(Self::Redis72),
            _ => None,
        }
    }

    fn release(self) -> Release {
        match self {
            Self::Redis70 => Release::Redis70,
            Self::Redis72 => Release::Redis72,
        }
    }
}

/// How a file is written.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// The version.
    pub version: Version,
    /// Whether long strings are compressed.
    pub compresses: bool,
    /// Whether a checksum stands at the end, or 0.
    pub sums: bool,
}

/// A key that is to be written.
#[derive(Clone, Copy, Debug)]
pub struct KeyRef<'a> {
    /// The key.
    pub key: &'a [u8],
    /// The value. A collection has elements.
    pub value: &'a Object,
    /// The deadline in milliseconds since the Unix epoch.
    pub expires_at: Option<i64>,
    /// For how many seconds the key was not used.
    pub idle_s: Option<u64>,
    /// How often the key was used, on LFU's logarithmic scale.
    pub frequency: Option<u8>,
}

/// Writes a file to any output, in pieces of 64 KiB. The caller writes notes first, then libraries of functions, then each
/// database's number and its keys.
#[derive(Debug)]
pub struct Writer<W> {
    output: W,
    piece: Vec<u8>,
    checksum: Option<Checksum>,
    release: Release,
    strings: Strings,
    bytes: u64,
}

impl<W: Write> Writer<W> {
    /// Begins a file.
    pub fn new(output: W, options: Options) -> Self {
        let number = match options.version {
            Version::Redis70 => 10,
            Version::Redis72 => 11,
        };
        Self {
            output,
            piece: format!("REDIS{number:04}").into_bytes(),
            checksum: options.sums.then(Checksum::default),
            release: options.version.release(),
            strings: if options.compresses {
                Strings::Compressed
            } else {
                Strings::Plain
            },
            bytes: 0,
        }
    }

    /// How many bytes were written.
    pub fn bytes(&self) -> u64 {
        self.bytes + self.piece.len() as u64
    }

    /// Writes a note about the server.
    pub fn aux(&mut self, name: &str, value: &str) -> io::Result<()> {
        self.piece.push(opcode::AUX);
        encode_string(&mut self.piece, name.as_bytes(), Strings::Plain);
        encode_string(&mut self.piece, value.as_bytes(), Strings::Plain);
        self.give_full_piece()
    }

    /// Writes the text of a library of functions.
    pub fn function(&mut self, text: &[u8]) -> io::Result<()> {
        self.piece.push(opcode::FUNCTION);
        encode_string(&mut self.piece, text, self.strings);
        self.give_full_piece()
    }

    /// Says to which database the keys belong that follow.
    pub fn database(&mut self, number: usize) -> io::Result<()> {
        self.piece.push(opcode::DATABASE);
        encode_number(&mut self.piece, number as u64);
        self.give_full_piece()
    }

    /// Says how many keys the database has, and how many of them have a deadline, so that a reader can make room.
    pub fn sizes(&mut self, keys: u64, expiring: u64) -> io::Result<()> {
        self.piece.push(opcode::SIZES);
        encode_number(&mut self.piece, keys);
        encode_number(&mut self.piece, expiring);
        self.give_full_piece()
    }

    /// Writes a key with its value.
    pub fn key(&mut self, key: &KeyRef<'_>) -> io::Result<()> {
        let piece = &mut self.piece;
        if let Some(deadline) = key.expires_at {
            piece.push(opcode::EXPIRES_MS);
            piece.extend_from_slice(&deadline.to_le_bytes());
        }
        if let Some(idle_s) = key.idle_s {
            piece.push(opcode::IDLE);
            encode_number(piece, idle_s);
        }
        if let Some(frequency) = key.frequency {
            piece.extend_from_slice(&[opcode::FREQUENCY, frequency]);
        }
        piece.push(key.value.form(self.release));
        encode_string(piece, key.key, self.strings);
        encode_value(piece, key.value, self.release, self.strings);
        self.give_full_piece()
    }

    /// Writes the end mark and gives all bytes to the output, which is not flushed.
    pub fn finish(mut self) -> io::Result<W> {
        self.piece.push(opcode::END);
        self.give()?;
        let sum = self.checksum.take().map_or(0, |checksum| checksum.value());
        self.output.write_all(&sum.to_le_bytes())?;
        Ok(self.output)
    }

    fn give_full_piece(&mut self) -> io::Result<()> {
        if self.piece.len() < PIECE_BYTES {
            return Ok(());
        }
        self.give()
    }

    fn give(&mut self) -> io::Result<()> {
        if let Some(checksum) = &mut self.checksum {
            checksum.add(&self.piece);
        }
        self.output.write_all(&self.piece)?;
        self.bytes += self.piece.len() as u64;
        self.piece.clear();
        self.piece.shrink_to(16 * PIECE_BYTES);
        Ok(())
    }
}
