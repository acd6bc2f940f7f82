//! `--dump-config`: the values that a start with the same arguments would have, as a file.

use super::Config;
use super::directives::DIRECTIVES;
use super::rewrite::line_of;
use redis_core::quoting::quote_if_needed;

impl Config {
    /// Every directive with its value, a line each. Secrets, and the lines of users, are comments without their values.
    pub fn dump(&self) -> Vec<u8> {
        let values = self.values.lock();
        let mut text = Vec::new();
        for (place, directive) in DIRECTIVES.iter().enumerate() {
            let value = &values.shown[place];
            let is_secret = directive.sensitive && !value.is_empty();
            // It is where the server is started, and a file may not name "no directory".
            let is_unset = value.is_empty() && directive.name == "dir";
            if is_secret {
                text.extend(format!("# {} (value hidden)", directive.name).into_bytes());
            } else if is_unset {
                continue;
            } else {
                text.extend(line_of(directive, value));
            }
            text.push(b'\n');
        }
        for (old, new) in &values.rename_commands {
            text.extend(b"rename-command ");
            text.extend(quote_if_needed(old.as_bytes()));
            text.push(b' ');
            text.extend(quote_if_needed(new.as_bytes()));
            text.push(b'\n');
        }
        for user in &values.users {
            let name = user.first().map(|name| quote_if_needed(name));
            text.extend(b"# user ");
            text.extend(name.unwrap_or_default());
            text.extend(b" (rules hidden)\n");
        }
        text
    }
}
