//! CONFIG GET and SET.

use super::super::{Config, Durability, LogLevel};
use super::{TestResult, parse, set, value};

#[test]
#[allow(clippy::too_many_lines)] // A table.
fn config_set_answers_as_redis() {
    let config = Config::default();
    let cases = [
        ("maxmemory", "1.5gb", "argument must be a memory value"),
        ("maxmemory", "-1", "argument must be a memory value"),
        ("maxmemory", "1tb", "argument must be a memory value"),
        ("hz", "abc", "argument couldn't be parsed into an integer"),
        (
            "timeout",
            "01",
            "argument couldn't be parsed into an integer",
        ),
        (
            "timeout",
            "+1",
            "argument couldn't be parsed into an integer",
        ),
        (
            "timeout",
            " 1",
            "argument couldn't be parsed into an integer",
        ),
        (
            "timeout",
            "-0",
            "argument couldn't be parsed into an integer",
        ),
        ("timeout", "", "argument couldn't be parsed into an integer"),
        (
            "timeout",
            "-1",
            "argument must be between 0 and 2147483647 inclusive",
        ),
        (
            "timeout",
            "99999999999",
            "argument must be between 0 and 2147483647 inclusive",
        ),
        (
            "list-compress-depth",
            "99999999999999999999",
            "argument couldn't be parsed into an integer",
        ),
        (
            "list-max-listpack-size",
            "-9999999999",
            "argument must be between -2147483648 and 2147483647 inclusive",
        ),
        (
            "maxclients",
            "0",
            "argument must be between 1 and 4294967295 inclusive",
        ),
        (
            "proto-max-bulk-len",
            "1",
            "argument must be between 1048576 and 9223372036854775807 inclusive",
        ),
        (
            "auto-aof-rewrite-min-size",
            "9223372036854775808",
            "argument must be between 0 and 9223372036854775807 inclusive",
        ),
        (
            "maxmemory-policy",
            "foo",
            "argument(s) must be one of the following: volatile-lru, volatile-lfu, volatile-random, volatile-ttl, allkeys-lru, allkeys-lfu, allkeys-random, noeviction",
        ),
        ("appendonly", "1", "argument must be 'yes' or 'no'"),
        ("save", "900 1 300", "Invalid save parameters"),
        ("save", "900  1", "Invalid save parameters"),
        ("save", "0 1", "Invalid save parameters"),
        (
            "client-output-buffer-limit",
            "normal 1 2",
            "Wrong number of arguments in buffer limit configuration.",
        ),
        (
            "client-output-buffer-limit",
            "master 1 2 3",
            "Invalid client class specified in buffer limit configuration.",
        ),
        (
            "client-output-buffer-limit",
            "replica 1 2 3 slave 1 2 -3",
            "Error in hard, soft or soft_seconds setting in buffer limit configuration.",
        ),
        (
            "notify-keyspace-events",
            "q",
            "Invalid event class character. Use 'Ag$lshzxeKEtmdn'.",
        ),
        ("oom-score-adj-values", "1 2", "wrong number of arguments"),
        (
            "oom-score-adj-values",
            "a 2 3000",
            "Invalid oom-score-adj-values, elements must be between -2000 and 2000.",
        ),
        (
            "latency-tracking-info-percentiles",
            "50 x",
            "Invalid latency-tracking-info-percentiles parameters",
        ),
        (
            "latency-tracking-info-percentiles",
            "101 x",
            "latency-tracking-info-percentiles parameters should sit between [0.0,100.0]",
        ),
        (
            "maxmemory-clients",
            "101%",
            "percentage argument must be less or equal to 100",
        ),
        (
            "maxmemory-clients",
            "-1%",
            "argument must be a memory or percent value",
        ),
        (
            "shutdown-on-sigterm",
            "nosave save",
            "shutdown options SAVE and NOSAVE can't be used simultaneously",
        ),
        (
            "shutdown-on-sigterm",
            "",
            "argument(s) must be one of the following: default, save, nosave, now, force",
        ),
        (
            "proc-title-template",
            "{foo}",
            "template format is invalid or contains unknown variables",
        ),
        (
            "cluster-announce-hostname",
            "a b",
            "Hostnames may only contain alphanumeric characters, hyphens or dots",
        ),
        ("dir", "/tmp", "can't set protected config"),
        ("databases", "3", "can't set immutable config"),
        ("slaveof", "a 1", "can't set immutable config"),
        (
            "include",
            "a",
            "ERR Unknown option or number of arguments for CONFIG SET - 'include'",
        ),
        (
            "rename-command",
            "a",
            "ERR Unknown option or number of arguments for CONFIG SET - 'rename-command'",
        ),
    ];
    for (name, given, reason) in cases {
        assert_eq!(set(&config, name, given), reason, "{name} {given}");
    }
    assert_eq!(*config.settings(), *Config::default().settings());
    assert_eq!(config.version(), Config::default().version());
}

#[test]
fn config_set_shows_values_as_redis() {
    let cases = [
        ("hz", "9999", "500"),
        ("hz", "0", "1"),
        ("maxmemory", "18446744073709551616", "18446744073709551615"),
        ("maxmemory", "", "0"),
        ("maxmemory", "gb", "0"),
        ("maxmemory-policy", "ALLKEYS-LRU", "allkeys-lru"),
        ("lazyfree-lazy-expire", "YES", "yes"),
        ("save", "", ""),
        (
            "accept-unsupported",
            "SLAVEOF loadmodule",
            "replicaof loadmodule",
        ),
        (
            "client-output-buffer-limit",
            "Normal 1Kb 2 3 SLAVE 1 2 3",
            "normal 1024 2 3 slave 1 2 3 pubsub 33554432 8388608 60",
        ),
        (
            "client-output-buffer-limit",
            "",
            "normal 0 0 0 slave 268435456 67108864 60 pubsub 33554432 8388608 60",
        ),
        ("notify-keyspace-events", "KEA", "AKE"),
        ("notify-keyspace-events", "AKEnm", "AKEm"),
        ("notify-keyspace-events", "g$lshzxetdK", "AK"),
        ("notify-keyspace-events", "mntdK", "tdnKm"),
        (
            "shutdown-on-sigterm",
            "force default NOW save save",
            "save now force",
        ),
        (
            "latency-tracking-info-percentiles",
            "50.123456 1e1 5.50",
            "50.123456 10 5.5",
        ),
        ("latency-tracking-info-percentiles", "", ""),
        ("maxmemory-clients", "10%", "10%"),
        ("maxmemory-clients", "0%", "0"),
        ("oom-score-adj", "yes", "yes"),
        ("lua-time-limit", "7", "7"),
    ];
    for (name, given, shown) in cases {
        let config = Config::default();
        assert_eq!(set(&config, name, given), "OK", "{name} {given}");
        assert_eq!(value(&config, name), shown, "{name} {given}");
    }
}

type Pairs = &'static [(&'static [u8], &'static [u8])];

#[test]
fn config_set_is_all_or_nothing() {
    let config = Config::default();
    let failed = |name: &str, reason: &str| {
        format!("ERR CONFIG SET failed (possibly related to argument '{name}') - {reason}")
    };
    let cases: [(Pairs, String); 6] = [
        (
            &[(b"hz", b"20"), (b"Maxmemory", b"abc")],
            failed("maxmemory", "argument must be a memory value"),
        ),
        (
            &[(b"hz", b"abc"), (b"DATABASES", b"3")],
            failed("DATABASES", "can't set immutable config"),
        ),
        (
            &[(b"HZ", b"20"), (b"hz", b"30")],
            failed("hz", "duplicate parameter"),
        ),
        (
            &[(b"hz", b"20"), (b"NoSuch", b"3")],
            "ERR Unknown option or number of arguments for CONFIG SET - 'NoSuch'".to_owned(),
        ),
        (
            &[(b"requirepass", b"s3cret"), (b"hz", b"x")],
            failed("hz", "argument couldn't be parsed into an integer"),
        ),
        (
            &[(b"lua-time-limit", b"x")],
            failed(
                "lua-time-limit",
                "argument couldn't be parsed into an integer",
            ),
        ),
    ];
    for (pairs, expected) in cases {
        let error = config.set(pairs).expect_err("one is wrong");
        assert_eq!(error.to_string(), expected);
        assert_eq!(value(&config, "hz"), "10");
        assert_eq!(value(&config, "requirepass"), "");
    }

    let changed = config.set(&[
        (b"slave-priority", b"3"),
        (b"replica-priority", b"4"),
        (b"hz", b"10"),
    ]);
    assert_eq!(changed, Ok(vec!["replica-priority"]));
    assert_eq!(value(&config, "slave-priority"), "4");
    assert!(config.version() > Config::default().version());

    let error = config.set_with(&[(b"maxclients", b"5")], true, |settings, changed| {
        assert_eq!(
            (settings.maxclients, changed),
            (5, ["maxclients"].as_slice())
        );
        Err(("maxclients", "no".to_owned()))
    });
    assert_eq!(
        error.map_err(|error| error.to_string()),
        Err(failed("maxclients", "no"))
    );
    assert_eq!(config.settings().maxclients, 10_000);
}

#[test]
fn config_set_refuses_what_cannot_be_kept() -> TestResult {
    let config = Config::default();
    let how = ". To set it without effect, add its name to accept-unsupported";
    let name = "appendonly";
    let reason =
        "this server has no append-only file: every acknowledged write is in the pool already";
    let both: &[(&[u8], &[u8])] = &[(b"hz", b"20"), (name.as_bytes(), b"yes")];
    let error = config.set(both).expect_err("refused").to_string();
    assert_eq!(
        error,
        format!("ERR CONFIG SET failed (possibly related to argument '{name}') - {reason}{how}")
    );
    assert_eq!(value(&config, "hz"), "10");
    let shown = value(&config, name);
    assert_eq!(set(&config, name, &shown), "OK", "{name}");
    // A start with a file of Redis's can still be changed.
    let config = Config::from_text(b"save 900 1\nappendonly yes")?.config;
    assert_eq!(set(&config, "timeout", "1"), "OK");
    assert_eq!(set(&config, "save", "900 1"), "OK");
    assert_eq!(set(&config, "appendonly", "no"), "OK");
    Ok(())
}

#[test]
fn config_get_matches_patterns() {
    let config = Config::default();
    let names = |patterns: &[&[u8]]| -> Vec<String> {
        config
            .get(patterns)
            .into_iter()
            .map(|(name, _)| name)
            .collect()
    };
    assert_eq!(
        names(&[b"save", b"maxmemory", b"save", b"s[a]v*", b"SAVE"]),
        ["save", "maxmemory"]
    );
    assert_eq!(
        names(&[b"*-PRIORITY"]),
        ["replica-priority", "slave-priority"]
    );
    assert_eq!(names(&[b"slave-p*"]), ["slave-priority"]);
    assert_eq!(names(&[b"key-load-d*", b"no-such"]), Vec::<String>::new());
    assert_eq!(names(&[b"KEY-LOAD-DELAY"]), ["KEY-LOAD-DELAY"]);
    assert!(!value(&config, "dir").is_empty());
    assert!(names(&[b"*"]).len() > 200);
}

#[test]
fn settings_follow() -> TestResult {
    let loaded = parse(&[
        "--requirepass",
        "s3cret",
        "--loglevel",
        "warning",
        "--durability",
        "power",
        "--timeout",
        "5",
        "--pool-size",
        "2gb",
        "--bind",
        "-::1",
        "--rename-command",
        "flushall",
        "",
    ])?;
    let settings = loaded.config.settings();
    assert_eq!(
        settings
            .requirepass
            .as_ref()
            .map(|password| password.to_vec()),
        Some(b"s3cret".to_vec())
    );
    assert_eq!(settings.loglevel, LogLevel::Warning);
    assert_eq!(settings.durability, Durability::Power);
    assert_eq!(settings.timeout, Some(std::time::Duration::from_secs(5)));
    assert_eq!(settings.pool_size_bytes, 2 << 30);
    assert!(settings.bind[0].optional && settings.bind[0].address == "::1");
    assert_eq!(
        settings.rename_commands,
        [("flushall".to_owned(), String::new())]
    );
    assert!(!format!("{loaded:?}").contains("s3cret"));
    loaded
        .config
        .set(&[(b"requirepass", b""), (b"loglevel", b"NOTHING")])?;
    assert_eq!(loaded.config.settings().requirepass, None);
    assert_eq!(loaded.config.settings().loglevel, LogLevel::Nothing);
    assert_eq!(settings.loglevel, LogLevel::Warning);
    Ok(())
}
