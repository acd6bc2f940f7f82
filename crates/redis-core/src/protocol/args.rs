//! The arguments of one command, borrowed from the connection's input buffer.

/// One command's words. Word 0 is the command's name, as in Redis's `argv`.
///
/// Copying it is free: it is two slices.
#[derive(Clone, Copy)]
pub struct Args<'a> {
    buffer: &'a [u8],
    /// Start and end of each word within `buffer`.
    words: &'a [(usize, usize)],
}

impl<'a> Args<'a> {
    /// Arguments whose words lie at `words` (start, end) within `buffer`.
    pub fn new(buffer: &'a [u8], words: &'a [(usize, usize)]) -> Self {
        Self { buffer, words }
    }

    /// How many words there are, the command's name included.
    #[allow(clippy::len_without_is_empty)] // A command has a name: it is never empty.
    pub fn len(&self) -> usize {
        self.words.len()
    }

    /// Word `index`, or `None` past the end.
    pub fn get(&self, index: usize) -> Option<&'a [u8]> {
        let &(start, end) = self.words.get(index)?;
        self.buffer.get(start..end)
    }

    /// The call that begins at word `first`, which must be there.
    #[must_use]
    pub fn tail(&self, first: usize) -> Self {
        Self::new(self.buffer, &self.words[first..])
    }

    /// About how many bytes the words take together.
    #[inline]
    pub fn bytes(&self) -> usize {
        match (self.words.first(), self.words.last()) {
            (Some(&(start, _)), Some(&(_, end))) => end.saturating_sub(start),
            _ => 0,
        }
    }

    /// All words from `first` on; none where `first` is past the end.
    pub fn from(&self, first: usize) -> Words<'a> {
        let words = self.words.get(first..).unwrap_or_default();
        Words {
            buffer: self.buffer,
            words: words.iter(),
        }
    }
}

impl std::ops::Index<usize> for Args<'_> {
    type Output = [u8];

    /// Word `index`. The arity check of dispatch guarantees the words that a handler names this way.
    fn index(&self, index: usize) -> &[u8] {
        let (start, end) = self.words[index];
        &self.buffer[start..end]
    }
}

/// Iterator over a command's words; see [`Args::from`].
#[derive(Clone)]
pub struct Words<'a> {
    buffer: &'a [u8],
    words: std::slice::Iter<'a, (usize, usize)>,
}

impl<'a> Iterator for Words<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        let &(start, end) = self.words.next()?;
        Some(&self.buffer[start..end])
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        self.words.size_hint()
    }
}

impl ExactSizeIterator for Words<'_> {}

impl DoubleEndedIterator for Words<'_> {
    fn next_back(&mut self) -> Option<Self::Item> {
        let &(start, end) = self.words.next_back()?;
        Some(&self.buffer[start..end])
    }
}

/// An owned command line: one that waits for its turn, or that the server itself makes.
#[derive(Debug)]
pub struct OwnedArgs {
    buffer: Vec<u8>,
    words: Vec<(usize, usize)>,
}

impl OwnedArgs {
    /// Copies `words` together.
    pub fn new<W: AsRef<[u8]>>(words: impl IntoIterator<Item = W>) -> Self {
        let mut owned = Self {
            buffer: Vec::new(),
            words: Vec::new(),
        };
        for word in words {
            let start = owned.buffer.len();
            owned.buffer.extend_from_slice(word.as_ref());
            owned.words.push((start, owned.buffer.len()));
        }
        owned
    }

    /// How much memory the words take.
    pub fn bytes(&self) -> usize {
        self.buffer.len() + self.words.len() * size_of::<(usize, usize)>()
    }

    /// The borrowed form that handlers take.
    pub fn args(&self) -> Args<'_> {
        Args::new(&self.buffer, &self.words)
    }
}
