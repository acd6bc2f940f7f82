//! Splitting a line into arguments, as configuration files and inline commands write them.

/// Splits a line at white space. `"..."` knows the escapes `\n \r \t \b \a \xHH`, and a backslash before any other byte
/// stands for that byte; `'...'` knows only `\'`. Returns `None` if a quote is not closed, or if anything but white space
/// follows a closing quote. A NUL byte ends the line.
pub fn split_args(line: &[u8]) -> Option<Vec<Vec<u8>>> {
    let line = line.split(|&byte| byte == 0).next().unwrap_or_default();
    let mut args = Vec::new();
    let mut at = 0;
    loop {
        while line.get(at).is_some_and(|&byte| is_space(byte)) {
            at += 1;
        }
        if at == line.len() {
            return Some(args);
        }
        let mut arg = Vec::new();
        at = read_arg(line, at, &mut arg)?;
        args.push(arg);
    }
}

/// Appends to `arg` the argument that begins at `at`; returns where it ends, or `None` if its quotes are wrong.
fn read_arg(line: &[u8], mut at: usize, arg: &mut Vec<u8>) -> Option<usize> {
    loop {
        match line.get(at) {
            None | Some(b' ' | b'\n' | b'\r' | b'\t') => return Some(at),
            Some(b'"') => return read_double_quoted(line, at + 1, arg),
            Some(b'\'') => return read_single_quoted(line, at + 1, arg),
            Some(&byte) => arg.push(byte),
        }
        at += 1;
    }
}

fn read_double_quoted(line: &[u8], mut at: usize, arg: &mut Vec<u8>) -> Option<usize> {
    loop {
        match line[at..] {
            [] => return None,
            [b'"', ref rest @ ..] => return ends_well(rest).then_some(at + 1),
            [b'\\', b'x', high, low, ..] if hex(high).is_some() && hex(low).is_some() => {
                arg.push(hex(high)? * 16 + hex(low)?);
                at += 4;
            }
            [b'\\', escaped, ..] => {
                arg.push(match escaped {
                    b'n' => b'\n',
                    b'r' => b'\r',
                    b't' => b'\t',
                    b'b' => 0x08,
                    b'a' => 0x07,
                    other => other,
                });
                at += 2;
            }
            [byte, ..] => {
                arg.push(byte);
                at += 1;
            }
        }
    }
}

fn read_single_quoted(line: &[u8], mut at: usize, arg: &mut Vec<u8>) -> Option<usize> {
    loop {
        match line[at..] {
            [] => return None,
            [b'\'', ref rest @ ..] => return ends_well(rest).then_some(at + 1),
            [b'\\', b'\'', ..] => {
                arg.push(b'\'');
                at += 2;
            }
            [byte, ..] => {
                arg.push(byte);
                at += 1;
            }
        }
    }
}

/// A closing quote must end the argument.
fn ends_well(rest: &[u8]) -> bool {
    rest.first().is_none_or(|&byte| is_space(byte))
}

/// White space by the definition of C's `isspace`.
fn is_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\n' | b'\r' | 0x0b | 0x0c)
}

fn hex(byte: u8) -> Option<u8> {
    char::from(byte)
        .to_digit(16)
        .and_then(|digit| u8::try_from(digit).ok())
}

/// Writes bytes in double quotes, so that [`split_args`] reads them back.
pub fn quote(bytes: &[u8]) -> Vec<u8> {
    let mut quoted = Vec::with_capacity(bytes.len() + 2);
    quoted.push(b'"');
    for &byte in bytes {
        match byte {
            b'"' | b'\\' => quoted.extend([b'\\', byte]),
            b'\n' => quoted.extend(b"\\n"),
            b'\r' => quoted.extend(b"\\r"),
            b'\t' => quoted.extend(b"\\t"),
            0x08 => quoted.extend(b"\\b"),
            0x07 => quoted.extend(b"\\a"),
            b' '..=b'~' => quoted.push(byte),
            other => quoted.extend(format!("\\x{other:02x}").into_bytes()),
        }
    }
    quoted.push(b'"');
    quoted
}

/// Writes bytes as they are if [`split_args`] reads them back the same, and in quotes otherwise.
pub fn quote_if_needed(bytes: &[u8]) -> Vec<u8> {
    let plain = |&byte: &u8| byte.is_ascii_graphic() && !matches!(byte, b'"' | b'\'' | b'\\');
    if !bytes.is_empty() && bytes.iter().all(plain) {
        bytes.to_vec()
    } else {
        quote(bytes)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{quote, quote_if_needed, split_args};

    /// A line, and its arguments if its quotes are closed.
    type Case = (&'static [u8], Option<&'static [&'static [u8]]>);

    #[test]
    fn splits_as_redis_does() {
        let cases: [Case; 20] = [
            (b"", Some(&[])),
            (b" \t\x0b\x0c ", Some(&[])),
            (b"set a b", Some(&[b"set", b"a", b"b"])),
            (b"  set\ta\x0bb \r\n", Some(&[b"set", b"a\x0bb"])),
            (b"\"\" ''", Some(&[b"", b""])),
            (b"\"a b\" 'c d'", Some(&[b"a b", b"c d"])),
            (b"\"\\n\\r\\t\\b\\a\\q\\\"\"", Some(&[b"\n\r\t\x08\x07q\""])),
            (b"\"\\x00\\xfF\\xg1\\x4\"", Some(&[b"\0\xffxg1x4"])),
            (b"'\\n\\'\\ '", Some(&[b"\\n'\\ "])),
            (b"a\"b c\"", Some(&[b"ab c"])),
            (b"a'b c' d", Some(&[b"ab c", b"d"])),
            (b"a\0b c", Some(&[b"a"])),
            (b"\"a", None),
            (b"'a", None),
            (b"\"a\"b", None),
            (b"'a'b", None),
            (b"'a\\\\'", None),
            (b"\"a\"'b'", None),
            (b"\"a\\", None),
            (b"\"a\\\"", None),
        ];
        for (line, expected) in cases {
            let found = split_args(line);
            let found: Option<Vec<&[u8]>> = found
                .as_ref()
                .map(|args| args.iter().map(Vec::as_slice).collect());
            assert_eq!(found.as_deref(), expected, "{}", line.escape_ascii());
        }
    }

    proptest! {
        #[test]
        fn reads_back_what_it_quotes(args: Vec<Vec<u8>>) {
            for write in [quote, quote_if_needed] {
                let line: Vec<Vec<u8>> = args.iter().map(|arg| write(arg)).collect();
                prop_assert_eq!(split_args(&line.join(&b' ')), Some(args.clone()));
            }
        }

        #[test]
        fn takes_any_bytes(line: Vec<u8>) {
            split_args(&line);
        }
    }
}
