//! Words that must show neither in MONITOR nor in the slow log: passwords, and what users may do; and to users that may
//! not read all keys, the words of calls with other keys than theirs.

use super::Command;
use crate::acl::REDACTED;
use crate::config;
use crate::protocol::Args;

/// How many words at the beginning of a call name the command.
pub(super) fn name_words(command: &Command) -> usize {
    1 + usize::from(command.full_name.contains('|'))
}

/// The words of a call for those that may see none of them but the command's name.
pub(super) fn hidden_words<'a>(command: &Command, args: Args<'a>) -> Vec<&'a [u8]> {
    let named = name_words(command);
    let words = args.from(0).enumerate();
    words
        .map(|(place, word)| if place < named { word } else { REDACTED })
        .collect()
}

/// The words of a call, with [`REDACTED`] in place of secret ones.
pub(super) fn shown_words<'a>(command: &Command, args: Args<'a>) -> Vec<&'a [u8]> {
    let mut words: Vec<&[u8]> = args.from(0).collect();
    let mut hide = |places: std::ops::Range<usize>| {
        for place in places {
            if let Some(word) = words.get_mut(place) {
                *word = REDACTED;
            }
        }
    };
    match command.full_name {
        "auth" => hide(1..args.len()),
        "hello" => {
            let mut place = 2;
            while let Some(word) = args.get(place) {
                place += if word.eq_ignore_ascii_case(b"auth") {
                    hide(place + 1..place + 3);
                    3
                } else if word.eq_ignore_ascii_case(b"setname") {
                    2
                } else {
                    1
                };
            }
        }
        "config|set" => {
            for place in (2..args.len()).step_by(2) {
                if config::is_secret(&args[place]) {
                    hide(place + 1..place + 2);
                }
            }
        }
        "acl|setuser" | "acl|deluser" => hide(2..args.len()),
        "acl|getuser" => hide(2..3),
        _ => {}
    }
    words
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalog::table;
    use crate::protocol::OwnedArgs;

    fn shown(line: &str) -> String {
        let words = OwnedArgs::new(line.split(' '));
        let args = words.args();
        let command = table().find(&args[0]).expect("a command");
        let sub = args
            .get(1)
            .and_then(|word| table().find_subcommand(command, word));
        let words = shown_words(sub.unwrap_or(command), args);
        String::from_utf8(words.join(&b' ')).expect("UTF-8")
    }

    #[test]
    fn passwords_are_hidden() {
        for (line, expected) in [
            ("AUTH x", "AUTH (redacted)"),
            ("auth u x", "auth (redacted) (redacted)"),
            (
                "HELLO 3 AUTH u x SETNAME y",
                "HELLO 3 AUTH (redacted) (redacted) SETNAME y",
            ),
            (
                "HELLO 3 SETNAME auth AUTH u x",
                "HELLO 3 SETNAME auth AUTH (redacted) (redacted)",
            ),
            (
                "CONFIG SET maxclients 3 RequirePass x",
                "CONFIG SET maxclients 3 RequirePass (redacted)",
            ),
            ("SET auth x", "SET auth x"),
        ] {
            assert_eq!(shown(line), expected);
        }
    }
}
