//! A replica that a test plays.

use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use common::{TestResult, encode};

/// A replica's side of a link.
pub struct Replica {
    stream: TcpStream,
    input: Vec<u8>,
    /// How many bytes of the history it has.
    pub offset: u64,
    /// The history.
    pub id: String,
}

impl Replica {
    /// Connects.
    pub fn connect(port: u16) -> TestResult<Self> {
        let stream = TcpStream::connect(("127.0.0.1", port))?;
        stream.set_read_timeout(Some(Duration::from_secs(20)))?;
        Ok(Self {
            stream,
            input: Vec::new(),
            offset: 0,
            id: String::new(),
        })
    }

    /// Connects and gets a copy; returns it too.
    pub fn follow(port: u16) -> TestResult<(Self, Vec<u8>)> {
        let mut replica = Self::connect(port)?;
        replica.send("REPLCONF listening-port 7000 capa eof capa psync2")?;
        assert_eq!(replica.line()?, "+OK");
        replica.send("PSYNC ? -1")?;
        let copy = replica.copy()?;
        replica.acknowledge()?;
        Ok((replica, copy))
    }

    /// Reads the answer to PSYNC, and the copy behind it.
    pub fn copy(&mut self) -> TestResult<Vec<u8>> {
        let answer = self.line()?;
        let words: Vec<&str> = answer.split(' ').collect();
        let ["+FULLRESYNC", id, offset] = words[..] else {
            return Err(answer.into());
        };
        (self.id, self.offset) = (id.to_owned(), offset.parse()?);
        self.payload()
    }

    /// Reads a copy, framed in either way.
    pub fn payload(&mut self) -> TestResult<Vec<u8>> {
        let offset = self.offset;
        let frame = self.line()?;
        // The copy is no part of the stream.
        self.offset = offset;
        if let Some(mark) = frame.strip_prefix("$EOF:") {
            while !self.input.ends_with(mark.as_bytes()) {
                self.read()?;
            }
            let mut copy = std::mem::take(&mut self.input);
            copy.truncate(copy.len() - mark.len());
            return Ok(copy);
        }
        let length: usize = frame.strip_prefix('$').ok_or("no length")?.parse()?;
        while self.input.len() < length {
            self.read()?;
        }
        Ok(self.input.drain(..length).collect())
    }

    /// Asks to go on from where it is; returns the answer.
    pub fn resume(port: u16, id: &str, offset: u64) -> TestResult<(Self, String)> {
        let mut replica = Self::connect(port)?;
        replica.send("REPLCONF listening-port 7000 capa eof capa psync2")?;
        assert_eq!(replica.line()?, "+OK");
        replica.send(&format!("PSYNC {id} {}", offset + 1))?;
        let answer = replica.line()?;
        (replica.id, replica.offset) = (id.to_owned(), offset);
        if answer.starts_with("+FULLRESYNC") {
            replica.payload()?;
        }
        Ok((replica, answer))
    }

    /// Sends a command, its words separated by spaces.
    pub fn send(&mut self, line: &str) -> io::Result<()> {
        let words: Vec<&str> = line.split(' ').collect();
        let mut bytes = Vec::new();
        encode(&mut bytes, &words);
        self.stream.write_all(&bytes)
    }

    /// Tells how much it has.
    pub fn acknowledge(&mut self) -> io::Result<()> {
        self.send(&format!("REPLCONF ACK {}", self.offset))
    }

    fn read(&mut self) -> io::Result<()> {
        let mut bytes = [0; 4096];
        let read = self.stream.read(&mut bytes)?;
        if read == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        self.input.extend_from_slice(&bytes[..read]);
        Ok(())
    }

    /// The next line that is not empty, without its end: empty ones are signs of life.
    pub fn line(&mut self) -> TestResult<String> {
        loop {
            let end = loop {
                match self.input.iter().position(|&byte| byte == b'\n') {
                    Some(end) => break end,
                    None => self.read()?,
                }
            };
            self.offset += end as u64 + 1;
            let line: Vec<u8> = self.input.drain(..=end).collect();
            let line = String::from_utf8_lossy(&line).trim_end().to_owned();
            if !line.is_empty() {
                return Ok(line);
            }
        }
    }

    /// The next command of the stream, its words joined by spaces.
    pub fn command(&mut self) -> TestResult<String> {
        let count: usize = self.line()?.strip_prefix('*').ok_or("no array")?.parse()?;
        let mut words = Vec::new();
        for _ in 0..count {
            let length: usize = self.line()?.strip_prefix('$').ok_or("no string")?.parse()?;
            while self.input.len() < length + 2 {
                self.read()?;
            }
            let word: Vec<u8> = self.input.drain(..length + 2).collect();
            self.offset += length as u64 + 2;
            words.push(word[..length].escape_ascii().to_string());
        }
        Ok(words.join(" "))
    }

    /// The commands up to one that publishes on `channel`. Leaves out PING and GETACK.
    pub fn until(&mut self, channel: &str) -> TestResult<Vec<String>> {
        let mut commands = Vec::new();
        loop {
            let command = self.command()?;
            if command.starts_with(&format!("publish {channel}")) {
                return Ok(commands);
            }
            if command != "PING" && !command.starts_with("REPLCONF") {
                commands.push(command);
            }
        }
    }

    /// Whether the server closes the link soon.
    pub fn is_closed(&mut self) -> bool {
        loop {
            match self.read() {
                Ok(()) => self.input.clear(),
                Err(error) => {
                    return !matches!(
                        error.kind(),
                        io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut
                    );
                }
            }
        }
    }
}
