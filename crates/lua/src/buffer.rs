//! Output that a library collects outside of Lua's memory, within the same limit.

use crate::failure::Failure;

/// Bytes that grow up to a limit.
pub(crate) struct Buffer {
    bytes: Vec<u8>,
    limit: usize,
}

impl Buffer {
    /// An empty buffer.
    pub fn new(limit: usize) -> Self {
        Self {
            bytes: Vec::new(),
            limit,
        }
    }

    /// Appends bytes, or fails as Lua does when it has no memory left.
    #[inline]
    pub fn put(&mut self, bytes: &[u8]) -> Result<(), Failure> {
        if bytes.len() > self.limit - self.bytes.len() {
            return Err(Failure::Memory);
        }
        self.bytes.extend_from_slice(bytes);
        Ok(())
    }

    /// Appends zeros.
    pub fn put_zeros(&mut self, count: usize) -> Result<(), Failure> {
        if count > self.limit - self.bytes.len() {
            return Err(Failure::Memory);
        }
        self.bytes.resize(self.bytes.len() + count, 0);
        Ok(())
    }

    /// How many bytes there are.
    pub fn len(&self) -> usize {
        self.bytes.len()
    }

    /// The bytes.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }
}
