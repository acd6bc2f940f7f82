//! Directives that other versions of Redis, or Valkey, have and Redis 7.2 has not. They are no part of the table: CONFIG GET
//! does not show them. A file may have them, with a warning, if they only tune, limit or show something. What would promise
//! something stays unknown, and stops the start.

/// A directive of another version.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Elsewhere {
    /// Its name.
    name: &'static str,
    /// The only value that asks for nothing; `None` if no value promises anything.
    only: Option<&'static str>,
}

const fn any(name: &'static str) -> Elsewhere {
    Elsewhere { name, only: None }
}

const fn only(name: &'static str, value: &'static str) -> Elsewhere {
    Elsewhere {
        name,
        only: Some(value),
    }
}

const ALL: &[Elsewhere] = &[
    // Redis 6.2.
    only("gopher-enabled", "no"),
    // Redis 7.4 and 8.
    any("hide-user-data-from-log"),
    any("repl-rdb-channel"),
    any("replica-full-sync-buffer-limit"),
    any("cluster-slot-stats-enabled"),
    any("lookahead"),
    only("lua-enable-deprecated-api", "no"),
    // Valkey 8.
    any("events-per-io-thread"),
    any("prefetch-batch-max-size"),
    any("cluster-blacklist-ttl"),
    any("cluster-manual-failover-timeout"),
    any("cluster-announce-client-ipv4"),
    any("cluster-announce-client-ipv6"),
    any("availability-zone"),
    any("dual-channel-replication-enabled"),
    any("rdb-version-check"),
    any("active-defrag-cycle-us"),
    only("extended-redis-compatibility", "no"),
    only("import-mode", "no"),
    only("lua-enable-insecure-api", "no"),
    only("rdma-port", "0"),
    only("tls-auth-clients-user", "off"),
    only("unixsocketgroup", ""),
];

impl Elsewhere {
    /// The directive with this name, in any case.
    pub fn find(name: &[u8]) -> Option<Self> {
        let is_it = |one: &&Elsewhere| one.name.as_bytes().eq_ignore_ascii_case(name);
        ALL.iter().find(is_it).copied()
    }

    /// The reason to refuse these arguments, if there is one.
    pub fn refusal(self, args: &[&[u8]]) -> Option<String> {
        let asked = self.only.filter(|only| args != [only.as_bytes()])?;
        let value = if asked.is_empty() { "\"\"" } else { asked };
        Some(format!(
            "this server does not have that: it takes no other value than {value}"
        ))
    }

    /// Whether the value needs a warning.
    pub fn warns(self) -> bool {
        self.only.is_none()
    }
}

#[cfg(test)]
mod tests {
    use super::ALL;
    use crate::directives::find;

    #[test]
    fn they_are_not_in_the_table() {
        for one in ALL {
            assert_eq!(find(one.name.as_bytes()), None, "{}", one.name);
        }
    }
}
