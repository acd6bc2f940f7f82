//! Arguments that must show neither in MONITOR nor in the slow log: passwords, and what users may do; and to users that may
//! not read all keys, the arguments of calls with other keys than theirs.

use super::Command;
use crate::acl::REDACTED;
use crate::config;
use crate::protocol::Args;

/// How many arguments at the beginning of a call name the command.
pub(super) fn name_len(command: &Command) -> usize {
    1 + usize::from(command.full_name.contains('|'))
}

/// The arguments of a call for those that may see none of them but the command's name.
pub(super) fn hidden_arguments<'a>(command: &Command, args: Args<'a>) -> Vec<&'a [u8]> {
    let named = name_len(command);
    let arguments = args.from(0).enumerate();
    arguments
        .map(|(position, argument)| if position < named { argument } else { REDACTED })
        .collect()
}

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
            while let Some(argument) = args.get(position) {
                position += if argument.eq_ignore_ascii_case(b"auth") {
                    hide(position + 1..position + 3);
                    3
                } else if argument.eq_ignore_ascii_case(b"setname") {
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
        "migrate" => {
            let mut position = 6;
            while let Some(argument) = args.get(position) {
                position += if argument.eq_ignore_ascii_case(b"auth") {
                    hide(position + 1..position + 2);
                    2
                } else if argument.eq_ignore_ascii_case(b"auth2") {
                    hide(position + 1..position + 3);
                    3
                } else if argument.eq_ignore_ascii_case(b"keys") {
                    break;
                } else {
                    1
                };
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
        let arguments = OwnedArgs::new(line.split(' '));
        let args = arguments.args();
        let command = table().find(&args[0]).expect("a command");
        let sub = args
            .get(1)
            .and_then(|argument| table().find_subcommand(command, argument));
        let arguments = shown_arguments(sub.unwrap_or(command), args);
        String::from_utf8(arguments.join(&b' ')).expect("UTF-8")
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
            (
                "MIGRATE h 1 k 0 0 COPY AUTH2 u p KEYS auth a",
                "MIGRATE h 1 k 0 0 COPY AUTH2 (redacted) (redacted) KEYS auth a",
            ),
        ] {
            assert_eq!(shown(line), expected);
        }
    }
}
