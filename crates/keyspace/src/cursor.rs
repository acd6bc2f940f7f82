//! The cursors of SCAN, HSCAN, SSCAN and ZSCAN.

/// Where a scan goes on: the upper 48 bits of a hash.
///
/// A number of 48 bits survives every client. Many clients keep a cursor as a signed 64-bit integer, and JavaScript
/// keeps it as a floating-point number, which is exact below 2^53 only.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub struct Cursor(u64);

impl Cursor {
    /// How many upper bits of a hash make a cursor.
    pub const BITS: u32 = 48;

    /// Where each scan begins. No scan returns it to go on from, since it means the end in a reply.
    pub const START: Self = Self(0);

    /// The cursor that a client sent; any number is one, as in Redis.
    ///
    /// A number of 2^48 or more is read as a whole hash. The server once handed out whole hashes, so a scan that began
    /// before an upgrade goes on where it stood.
    pub const fn from_number(number: u64) -> Self {
        if number >> Self::BITS == 0 {
            Self(number)
        } else {
            Self::at(number)
        }
    }

    /// The number that a client is given, below 2^48.
    pub const fn number(self) -> u64 {
        self.0
    }

    /// The cursor that leads to a hash, and to the others with the same upper bits.
    pub const fn at(hash: u64) -> Self {
        Self(hash >> (u64::BITS - Self::BITS))
    }

    /// The lowest hash that the cursor leads to.
    pub const fn first_hash(self) -> u64 {
        self.0 << (u64::BITS - Self::BITS)
    }

    /// Carries a cursor that a page returned as clients do: as a JavaScript number, then as a signed 64-bit integer.
    #[cfg(test)]
    #[allow(clippy::cast_precision_loss)] // The loss is what the tests look for.
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
    pub(super) fn carried(self) -> Self {
        assert!(
            self > Self::START,
            "a page goes on from the cursor that means the end"
        );
        assert!(self.number() < 1 << 48, "{} is too large", self.number());
        let number = self.number() as f64 as u64;
        let number: Option<i64> = number.to_string().parse().ok();
        Self::from_number(number.expect("a signed integer").cast_unsigned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_number_is_a_cursor_below_2_to_the_48() {
        for (number, cursor) in [
            (0, 0),
            (1, 1),
            ((1 << 48) - 1, (1 << 48) - 1),
            (1 << 48, 1 << 32),
            ((1 << 48) + 1, 1 << 32),
            (1 << 63, 1 << 47),
            (u64::MAX, (1 << 48) - 1),
        ] {
            assert_eq!(Cursor::from_number(number).number(), cursor, "{number}");
        }
    }

    #[test]
    fn a_cursor_leads_to_the_hashes_that_it_was_made_of() {
        for hash in [0, 0xffff, 0x1_0000, 0x1234_5678_9abc_def0, u64::MAX] {
            let cursor = Cursor::at(hash);
            assert_eq!(cursor.first_hash(), hash & !0xffff);
            assert_eq!(Cursor::from_number(cursor.number()), cursor);
        }
    }
}
