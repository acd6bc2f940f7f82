//! BITFIELD, whose call alone says whether it writes.

use crate::protocol::Args;

/// Whether a call of BITFIELD is one that only reads: what it may do to its key depends on it. A call that is wrong
/// counts as one that writes.
pub fn bitfield_only_reads(args: Args<'_>) -> bool {
    let mut at = 2;
    while let Some(word) = args.get(at) {
        let left = args.len() - at - 1;
        at += if word.eq_ignore_ascii_case(b"get") && left >= 2 {
            3
        } else if word.eq_ignore_ascii_case(b"overflow") && left >= 1 {
            2
        } else {
            return false;
        };
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::OwnedArgs;

    fn words(call: &str) -> OwnedArgs {
        OwnedArgs::new(call.split(' ').map(str::as_bytes))
    }

    #[test]
    fn tells_reading_from_writing() {
        let reads = |call| bitfield_only_reads(words(call).args());
        assert!(reads("bitfield k"));
        assert!(reads("bitfield k GET u8 0 overflow sat get u8 1"));
        assert!(!reads("bitfield k get u8 0 set u8 0 1"));
        assert!(!reads("bitfield k get u8"));
        assert!(!reads("bitfield k incrby u8 0 1"));
    }
}
