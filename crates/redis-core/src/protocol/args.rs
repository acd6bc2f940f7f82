//! The arguments of one command, borrowed from the connection's input buffer.

/// One command's arguments. Argument 0 is the command's name, as in Redis's `argv`.
///
/// A copy costs next to nothing: it is two slices.
#[derive(Clone, Copy)]
pub struct Args<'a> {
    buffer: &'a [u8],
    /// Start and end of each argument within `buffer`.
    ranges: &'a [(usize, usize)],
}

impl<'a> Args<'a> {
    /// The arguments that lie at `ranges` (start, end) within `buffer`.
    pub fn new(buffer: &'a [u8], ranges: &'a [(usize, usize)]) -> Self {
        Self { buffer, ranges }
    }

    /// How many arguments there are, the command's name included.
    #[allow(clippy::len_without_is_empty)] // A command has a name: it is never empty.
    pub fn len(&self) -> usize {
        self.ranges.len()
    }

    /// Argument `index`, or `None` past the end.
    pub fn get(&self, index: usize) -> Option<&'a [u8]> {
        let &(start, end) = self.ranges.get(index)?;
        self.buffer.get(start..end)
    }

    /// The call that begins at argument `first`, which must exist.
    #[must_use]
    pub fn tail(&self, first: usize) -> Self {
        Self::new(self.buffer, &self.ranges[first..])
    }

    /// About how many bytes the arguments take together.
    #[inline]
    pub fn bytes(&self) -> usize {
        match (self.ranges.first(), self.ranges.last()) {
            (Some(&(start, _)), Some(&(_, end))) => end.saturating_sub(start),
            _ => 0,
        }
    }

    /// The bytes from behind the command's name to the end of the last argument, if the arguments stand there in RESP's shortest
    /// form, each behind its length: whoever sends the call on may copy them. `None` otherwise.
    pub fn sent_behind_name(&self) -> Option<&'a [u8]> {
        let (&(_, start), rest) = self.ranges.split_first()?;
        let mut end = start;
        for &(next, next_end) in rest {
            let between = self.buffer.get(end..next)?;
            let digits = between.strip_prefix(b"\r\n$")?.strip_suffix(b"\r\n")?;
            if !says(digits, next_end.checked_sub(next)?) {
                return None;
            }
            end = next_end;
        }
        self.buffer.get(start..end)
    }

    /// All arguments from `first` on; none if `first` is past the end.
    pub fn from(&self, first: usize) -> Arguments<'a> {
        let ranges = self.ranges.get(first..).unwrap_or_default();
        Arguments {
            buffer: self.buffer,
            ranges: ranges.iter(),
        }
    }
}

/// Whether these are the digits of a number, without any that it does not need.
fn says(digits: &[u8], number: usize) -> bool {
    let mut rest = number;
    for (place, &digit) in digits.iter().rev().enumerate() {
        if (place > 0 && rest == 0) || u64::from(digit) != u64::from(b'0') + (rest % 10) as u64 {
            return false;
        }
        rest /= 10;
    }
    rest == 0 && !digits.is_empty()
}

impl std::ops::Index<usize> for Args<'_> {
    type Output = [u8];

    /// Argument `index`. A handler may index only arguments that its row's arity guarantees: the dispatcher has checked it.
    fn index(&self, index: usize) -> &[u8] {
        let (start, end) = self.ranges[index];
        &self.buffer[start..end]
    }
}

/// Iterator over a command's arguments; see [`Args::from`].
#[derive(Clone)]
pub struct Arguments<'a> {
    buffer: &'a [u8],
    ranges: std::slice::Iter<'a, (usize, usize)>,
}

impl<'a> Iterator for Arguments<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        let &(start, end) = self.ranges.next()?;
        Some(&self.buffer[start..end])
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        self.ranges.size_hint()
    }
}

impl ExactSizeIterator for Arguments<'_> {}

impl DoubleEndedIterator for Arguments<'_> {
    fn next_back(&mut self) -> Option<Self::Item> {
        let &(start, end) = self.ranges.next_back()?;
        Some(&self.buffer[start..end])
    }
}

/// Arguments that own their bytes: of a command that waits, or of one that the server itself makes.
#[derive(Debug)]
pub struct OwnedArgs {
    buffer: Vec<u8>,
    ranges: Vec<(usize, usize)>,
}

impl OwnedArgs {
    /// Copies `arguments` into one buffer.
    pub fn new<A: AsRef<[u8]>>(arguments: impl IntoIterator<Item = A>) -> Self {
        let mut owned = Self {
            buffer: Vec::new(),
            ranges: Vec::new(),
        };
        for argument in arguments {
            let start = owned.buffer.len();
            owned.buffer.extend_from_slice(argument.as_ref());
            owned.ranges.push((start, owned.buffer.len()));
        }
        owned
    }

    /// How much memory the arguments take.
    pub fn bytes(&self) -> usize {
        self.buffer.len() + self.ranges.len() * size_of::<(usize, usize)>()
    }

    /// The borrowed form that handlers take.
    pub fn args(&self) -> Args<'_> {
        Args::new(&self.buffer, &self.ranges)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The arguments of `text`, each of which lies between two bars.
    fn sent(text: &str) -> Option<String> {
        let (mut buffer, mut bars) = (Vec::new(), Vec::new());
        for byte in text.bytes() {
            match byte {
                b'|' => bars.push(buffer.len()),
                b'~' => buffer.extend_from_slice(b"\r\n"),
                byte => buffer.push(byte),
            }
        }
        let ranges: Vec<_> = bars
            .as_chunks::<2>()
            .0
            .iter()
            .map(|bar| (bar[0], bar[1]))
            .collect();
        let sent = Args::new(&buffer, &ranges).sent_behind_name()?;
        Some(String::from_utf8_lossy(sent).replace("\r\n", "~"))
    }

    #[test]
    fn only_calls_in_the_shortest_form_are_sent_on_as_they_are() {
        let same =
            |text: &str, wanted: &str| assert_eq!(sent(text).as_deref(), Some(wanted), "{text}");
        same("*1~$4~|PING|~", "");
        same("*3~$3~|SET|~$1~|k|~$0~||~*1", "~$1~k~$0~");
        same("$3~|GET|~$10~|0123456789|~", "~$10~0123456789");
        for text in [
            "",
            "|SET||k|",
            "$3~|GET|~$01~|k|~",
            "$3~|GET|~$+1~|k|~",
            "$3~|GET|~$2~|k|~",
            "$3~|GET|~$~||~",
            "$3~|GET|~$00~||~",
            "$3~|GET|~$1\n|k|~",
            "$3~|GET|~$11~|k|~",
            "|GET| |k|",
        ] {
            assert_eq!(sent(text), None, "{text}");
        }
    }
}
