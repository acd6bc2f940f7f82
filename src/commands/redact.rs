//! Arguments that MONITOR and the slow log must not show: passwords, and what users may do.

use super::Command;
use crate::config;
use crate::protocol::Args;

/// Stands for such an argument. Redis's text.
const REDACTED: &[u8] = b"(redacted)";

/// The arguments of a call, with [`REDACTED`] in position of secret ones.
pub(super) fn shown_arguments<'a>(command: &Command, args: Args<'a>) -> Vec<&'a [u8]> {
    let mut shown: Vec<&[u8]> = args.from(0).collect();
    let mut hide = |positions: std::ops::Range<usize>| {
        for position in positions {
            if let Some(argument) = shown.get_mut(position) {
                *argument = REDACTED;
            }
        }
    };
    match command.full_name {
        "auth" => hide(1..args.len()),
        "hello" => {
            let mut position = 2;
            while let Some(word) = args.get(position) {
                position += if word.eq_ignore_ascii_case(b"auth") {
                    hide(position + 1..position + 3);
                    3
                } else if word.eq_ignore_ascii_case(b"setname") {
                    2
                } else {
                    1
                };
            }
        }
        "config|set" => {
            for position in (2..args.len()).step_by(2) {
                if config::is_secret(&args[position]) {
                    hide(position + 1..position + 2);
                }
            }
        }
        "acl|setuser" | "acl|deluser" => hide(2..args.len()),
        "acl|getuser" => hide(2..3),
        _ => {}
    }
    shown
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
        let words = shown_arguments(sub.unwrap_or(command), args);
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
