//! SET and DELEX, whose call alone says whether it reads the key's former string.

use crate::protocol::Args;

/// The options by which SET and DELEX look at the string that is there.
const COMPARISONS: &[&[u8]] = &[b"ifeq", b"ifne", b"ifdeq", b"ifdne"];

/// Whether a call of SET answers the key's former string, or compares it.
pub fn set_reads(args: Args<'_>) -> bool {
    args.from(3).any(|word| {
        word.eq_ignore_ascii_case(b"get")
            || COMPARISONS
                .iter()
                .any(|option| word.eq_ignore_ascii_case(option))
    })
}

/// Whether a call of DELEX compares the key's string; without an option it only removes the key.
pub fn delex_reads(args: Args<'_>) -> bool {
    args.len() > 2
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
        let set = |call| set_reads(words(call).args());
        assert!(!set("set k v"));
        assert!(!set("set get get"));
        assert!(!set("set k v NX EX 5"));
        assert!(set("set k v ex 5 Get"));
        assert!(set("set k v ifEq v"));
        assert!(set("set k v IFDNE 0123456789abcdef"));
        assert!(!delex_reads(words("delex k").args()));
        assert!(delex_reads(words("delex k IFEQ v").args()));
    }
}
