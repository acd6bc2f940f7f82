//! The glob patterns of KEYS, SCAN and CONFIG GET.
//!
//! `*` matches any bytes and `?` one byte. `[abc]`, `[a-z]` and `[^a]` match one byte of a set, and `\` takes the next
//! byte literally. Odd patterns match as in Redis: an unclosed set ends with the pattern, a reversed range counts as the
//! right one, a backslash at the end stands for itself, and `[]` matches nothing.

/// Whether `string` matches `pattern` as a whole; `nocase` ignores the case of ASCII letters.
///
/// The worst case takes time in proportion to the product of the two lengths, since only the last `*` is tried again.
pub fn matches(pattern: &[u8], string: &[u8], nocase: bool) -> bool {
    // Redis compares while pattern and string have bytes left, so even `*` does not match an empty string. (KEYS and SCAN
    // compare nothing if the pattern is a single `*`.)
    if string.is_empty() {
        return pattern.is_empty();
    }
    let mut at = 0;
    let mut index = 0;
    // Where to go on if the pattern after the last `*` does not fit: that part of the pattern, and the next start in the
    // string.
    let mut retry: Option<(usize, usize)> = None;
    loop {
        if pattern.get(at) == Some(&b'*') {
            while pattern.get(at) == Some(&b'*') {
                at += 1;
            }
            if at == pattern.len() {
                return true;
            }
            retry = Some((at, index));
            continue;
        }
        if at == pattern.len() && index == string.len() {
            return true;
        }
        if at < pattern.len()
            && let Some(&byte) = string.get(index)
        {
            let (fits, next) = match_one(pattern, at, byte, nocase);
            if fits {
                at = next;
                index += 1;
                continue;
            }
        }
        let Some((after_star, start)) = retry else {
            return false;
        };
        if start >= string.len() {
            return false;
        }
        at = after_star;
        index = start + 1;
        retry = Some((after_star, index));
    }
}

/// Whether the pattern's element at `at`, which is not a `*`, matches the byte; and where the next element begins.
fn match_one(pattern: &[u8], at: usize, byte: u8, nocase: bool) -> (bool, usize) {
    match pattern[at] {
        b'?' => (true, at + 1),
        b'[' => match_set(pattern, at + 1, byte, nocase),
        b'\\' if at + 1 < pattern.len() => (same(pattern[at + 1], byte, nocase), at + 2),
        literal => (same(literal, byte, nocase), at + 1),
    }
}

/// Whether the set whose content begins at `at` contains the byte; and where the pattern goes on after the set.
fn match_set(pattern: &[u8], mut at: usize, byte: u8, nocase: bool) -> (bool, usize) {
    let negated = pattern.get(at) == Some(&b'^');
    if negated {
        at += 1;
    }
    let mut held = false;
    loop {
        let rest = &pattern[at.min(pattern.len())..];
        match *rest {
            [] => break,
            [b'\\', escaped, ..] => {
                held |= escaped == byte;
                at += 2;
            }
            [b']', ..] => {
                at += 1;
                break;
            }
            [first, b'-', last, ..] => {
                held |= in_range(first, last, byte, nocase);
                at += 3;
            }
            [one, ..] => {
                held |= same(one, byte, nocase);
                at += 1;
            }
        }
    }
    (held != negated, at)
}

fn in_range(first: u8, last: u8, byte: u8, nocase: bool) -> bool {
    let fold = |byte: u8| {
        if nocase {
            byte.to_ascii_lowercase()
        } else {
            byte
        }
    };
    // Redis puts the ends in order before it folds the case.
    let (low, high) = (first.min(last), first.max(last));
    (fold(low)..=fold(high)).contains(&fold(byte))
}

fn same(one: u8, other: u8, nocase: bool) -> bool {
    one == other || (nocase && one.eq_ignore_ascii_case(&other))
}

#[cfg(test)]
mod tests {
    use super::matches;

    /// A pattern, keys that it matches and keys that it does not match, from KEYS of Redis 7.0.
    const SEEN: &[(&str, &[&str], &[&str])] = &[
        ("[", &[], &["b", "*^", "Z-", "[^"]),
        ("[^", &["*", "-", "?", "Z", "["], &["*^", "*a", "-*", "]a"]),
        ("[a", &["a"], &["?", "^", "c", "-b"]),
        ("[^a", &["*", "-", "?", "Z", "["], &["", "-c", "\\b", "]["]),
        ("[a-", &["-", "a"], &["*-", "*Z", "?[", "\\b"]),
        ("[a-]", &["]", "^", "a"], &["?", "?[", "Z^", "[^"]),
        ("[]", &[], &["-", "b", "c", "-b"]),
        ("[^]", &["*", "-", "?", "Z", "["], &["Z?", "a*", "a?", "aa"]),
        ("[]a]", &[], &["", "Z", "?[", "\\]"]),
        ("\\", &["\\"], &["-", "a", "b", "?["]),
        ("a\\", &["a\\"], &["*-", "Z?", "]*", "?^\\"]),
        ("[\\", &["\\"], &["\\-", "^]", "^^", "ab"]),
        ("[a\\", &["\\", "a"], &["b", "\\]", "]a", "a?"]),
        ("[\\]]", &["]"], &["[", "*a", "-*", "[a"]),
        ("[c-a]", &["a", "b", "c"], &["", "[", "*-", "-^"]),
        ("[-a]", &["-", "a"], &["*", "^", "*Z", "-^"]),
        ("[a-\\]]", &["\\]", "^]", "a]"], &["b", "*Z", "?a", "[-"]),
        ("*[", &[], &["Z", "^^", "a*", "a\\"]),
        ("**", &["*", "-", "?", "Z", "["], &[""]),
        ("", &[""], &["a"]),
        ("?*", &["*", "-", "?", "Z", "["], &[]),
        ("[*]", &["*"], &["a", "c", "*^", "?a"]),
        ("\\*", &["*"], &["\\", "]", "b", "*a"]),
        (
            "[^^]",
            &["*", "-", "?", "Z", "["],
            &["Z?", "\\]", "][", "]b"],
        ),
        (
            "[--b]",
            &["-", "?", "Z", "[", "\\"],
            &["*^", "?Z", "Z^", "]*"],
        ),
        (
            "a?",
            &["a*", "a?", "a\\", "a]", "aa"],
            &["Z", "]", "^", "c"],
        ),
    ];

    #[test]
    fn matches_what_redis_matches() {
        for (pattern, hits, misses) in SEEN {
            for key in *hits {
                assert!(
                    matches(pattern.as_bytes(), key.as_bytes(), false),
                    "{pattern} {key}"
                );
            }
            for key in *misses {
                assert!(
                    !matches(pattern.as_bytes(), key.as_bytes(), false),
                    "{pattern} {key}"
                );
            }
        }
    }

    #[test]
    fn ignores_case_outside_escapes() {
        let cases = [
            ("MAX*", "maxmemory", true),
            ("[M]ax*", "maxmemory", true),
            ("[L-N]ax*", "maxmemory", true),
            ("\\Max*", "maxmemory", true),
            ("[\\M]ax*", "maxmemory", false),
        ];
        for (pattern, string, expected) in cases {
            assert_eq!(
                matches(pattern.as_bytes(), string.as_bytes(), true),
                expected,
                "{pattern}"
            );
        }
        assert!(!matches(b"MAX*", b"maxmemory", false));
    }

    #[test]
    fn many_stars_end_soon() {
        let pattern = b"a*".repeat(5000);
        let mut string = vec![b'a'; 20_000];
        assert!(matches(&pattern, &string, false));
        string.push(b'c');
        assert!(!matches(&[pattern, b"b".to_vec()].concat(), &string, false));
    }
}
