//! Bytes that come at one end and go at the other, in pieces of memory: they never take much more than there is of them, and none
//! are moved where there are more.

use std::collections::VecDeque;

/// All pieces but the last one are full.
const PIECE_BYTES: usize = 64 * 1024;

/// So many empty pieces are kept for the next bytes.
const SPARE_MAX: usize = 4;

/// The bytes.
#[derive(Debug, Default)]
pub(super) struct Pieces {
    /// The last one may have room.
    list: VecDeque<Vec<u8>>,
    /// How many bytes of the first piece are gone.
    gone: usize,
    len: usize,
    spare: Vec<Vec<u8>>,
}

impl Pieces {
    pub fn len(&self) -> usize {
        self.len
    }

    /// Adds bytes behind the last one.
    pub fn extend(&mut self, mut bytes: &[u8]) {
        self.len += bytes.len();
        while !bytes.is_empty() {
            let room = self
                .list
                .back()
                .map_or(0, |piece| PIECE_BYTES - piece.len());
            let (now, later) = bytes.split_at(room.min(bytes.len()));
            if let Some(piece) = self.list.back_mut() {
                piece.extend_from_slice(now);
            }
            if !later.is_empty() {
                let spare = self.spare.pop();
                let piece = spare.unwrap_or_else(|| Vec::with_capacity(PIECE_BYTES));
                self.list.push_back(piece);
            }
            bytes = later;
        }
    }

    /// Drops the first bytes, at most `count`.
    pub fn drop_first(&mut self, count: usize) {
        let count = count.min(self.len);
        self.len -= count;
        self.gone += count;
        while let Some(piece) = self.list.front()
            && self.gone >= piece.len()
        {
            self.gone -= piece.len();
            if let Some(mut piece) = self.list.pop_front()
                && self.spare.len() < SPARE_MAX
            {
                piece.clear();
                self.spare.push(piece);
            }
        }
    }

    /// Copies the bytes from the place `from` up to `to`, as far as there are any.
    pub fn copy(&self, from: usize, to: usize, into: &mut Vec<u8>) {
        let to = to.min(self.len) + self.gone;
        let mut at = from + self.gone;
        while at < to {
            let (number, start) = (at / PIECE_BYTES, at % PIECE_BYTES);
            let end = PIECE_BYTES.min(start + (to - at));
            into.extend_from_slice(&self.list[number][start..end]);
            at += end - start;
        }
    }

    /// All bytes, one slice behind the other.
    pub fn slices(&self) -> impl Iterator<Item = &[u8]> {
        let gone = std::iter::once(self.gone).chain(std::iter::repeat(0));
        (self.list.iter().zip(gone)).map(|(piece, gone)| &piece[gone..])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_are_like_one_buffer() {
        let (mut pieces, mut wanted) = (Pieces::default(), VecDeque::new());
        let mut random = 1u64;
        let mut next = |below: usize| {
            random = random
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1);
            usize::try_from(random >> 33).unwrap_or(0) % below
        };
        for round in 0..300 {
            let longest = if round % 10 == 0 { 150_000 } else { 2_000 };
            let bytes: Vec<u8> = (0..next(longest))
                .map(|_| next(256).to_le_bytes()[0])
                .collect();
            pieces.extend(&bytes);
            wanted.extend(bytes);
            if next(3) > 0 {
                let count = if next(20) == 0 {
                    usize::MAX
                } else {
                    next(90_000)
                };
                pieces.drop_first(count);
                wanted.drain(..count.min(wanted.len()));
            }
            assert_eq!(pieces.len(), wanted.len());
            let (from, to) = (next(wanted.len() + 1), next(wanted.len() + 9));
            let mut copied = vec![7];
            pieces.copy(from, to, &mut copied);
            let end = to.min(wanted.len()).max(from);
            assert!(
                copied[1..].iter().eq(wanted.range(from..end)),
                "{from} {to}"
            );
            if round % 50 == 0 {
                assert!(pieces.slices().flatten().eq(&wanted));
            }
        }
        let kept: usize = pieces.list.iter().map(Vec::capacity).sum();
        assert!(kept <= pieces.len() + 2 * PIECE_BYTES);
    }
}
