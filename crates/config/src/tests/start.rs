//! Files and the command line.

use std::path::Path;

use super::super::{Config, ConfigError, DIRECTIVES, Kind};
use super::{TestResult, parse, value};
use redis_core::quoting::quote;

#[test]
fn defaults_pass_their_own_check() {
    for directive in DIRECTIVES {
        let default = String::from_utf8_lossy(&quote(directive.default.as_bytes())).into_owned();
        let text = format!("{} {default}", directive.name);
        if matches!(directive.kind, Kind::ReplicaOf) {
            continue;
        }
        let loaded = Config::from_text(text.as_bytes()).map_err(|error| error.to_string());
        let shown = loaded.map(|loaded| loaded.config.values.lock().get(directive.name).to_vec());
        assert_eq!(shown, Ok(directive.default.as_bytes().to_vec()), "{text}");
    }
}

#[test]
fn names_are_unique() {
    let mut names: Vec<&str> = DIRECTIVES
        .iter()
        .flat_map(|directive| [Some(directive.name), directive.alias])
        .flatten()
        .collect();
    let count = names.len();
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), count);
}

#[test]
fn the_default_file_is_the_default() -> TestResult {
    let path = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../../config/pmemkv-server.conf"
    );
    let loaded = parse(&[path])?;
    assert_eq!(loaded.warnings, Vec::<String>::new());
    assert_eq!(loaded.config_file.as_deref(), Some(Path::new(path)));
    assert_eq!(*loaded.config.settings(), *Config::default().settings());
    let text = std::fs::read_to_string(path)?;
    for directive in DIRECTIVES.iter().filter(|directive| !directive.is_idle()) {
        let line = format!("\n{} ", directive.name);
        assert!(text.contains(&line), "{} is missing", directive.name);
    }
    Ok(())
}

#[test]
fn the_command_line_reads_as_in_redis() -> TestResult {
    let cases: &[(&[&str], &str, &str)] = &[
        (&["--port", "7000"], "port", "7000"),
        (&["--port 7000"], "port", "7000"),
        (&["--PORT", "7000", "--hz", "20"], "hz", "20"),
        (&["--save", ""], "save", ""),
        (&["--save"], "save", ""),
        (&["--save", "--port", "7000"], "save", ""),
        (&["--save", "--port", "7000"], "port", "7000"),
        // Ours.
        (&["--repair"], "repair", "yes"),
        (&["--repair", "--port", "7000"], "repair", "yes"),
        (&["--repair", "no"], "repair", "no"),
        (&["--save", "900", "1", "300", "10"], "save", "900 1 300 10"),
        (
            &["--save", "900 1", "--save", "300 10"],
            "save",
            "900 1 300 10",
        ),
        (&["--save", "900 1", "--save", ""], "save", ""),
        (&["--requirepass", "--x y\" z"], "requirepass", "--x y\" z"),
        (&["--bind", "127.0.0.1", "-::1"], "bind", "127.0.0.1 -::1"),
        (&["--bind", "127.0.0.1 ::1"], "bind", "127.0.0.1 ::1"),
        (&["--maxmemory", "1GB"], "maxmemory", "1073741824"),
        (&["--unixsocketperm", "700"], "unixsocketperm", "700"),
        (
            &["--slaveof", "h", "1", "--accept-unsupported", "replicaof"],
            "replicaof",
            "h 1",
        ),
        (
            &[
                "--client-output-buffer-limit",
                "replica",
                "1kb",
                "2",
                "3",
                "pubsub",
                "4",
                "5",
                "6",
            ],
            "client-output-buffer-limit",
            "normal 0 0 0 slave 1024 2 3 pubsub 4 5 6",
        ),
        (
            &["--engine-config", "{\"size\": 1}"],
            "engine-config",
            "{\"size\": 1}",
        ),
    ];
    for (arguments, name, expected) in cases {
        let loaded = parse(arguments)?;
        assert_eq!(value(&loaded.config, name), *expected, "{arguments:?}");
    }
    Ok(())
}

#[test]
fn the_command_line_helps() {
    for (argument, expected) in [
        ("-v", "pmemkv-server 0."),
        ("--version", "pmemkv-server 0."),
        ("-h", "Usage"),
        ("--help", "Usage"),
    ] {
        let Err(ConfigError::CommandLine(error)) = parse(&[argument]) else {
            panic!("{argument} did not end the start");
        };
        assert_eq!(error.exit_code(), 0);
        assert!(error.to_string().contains(expected), "{error}");
    }
}

#[test]
fn mistakes_stop_the_start() {
    let cases: &[(&[&str], usize, &str, &str)] = &[
        (
            &["--bogus", "1"],
            1,
            "bogus \"1\"",
            "Bad directive or wrong number of arguments",
        ),
        (
            &["--hz", "5", "--bogus"],
            2,
            "bogus",
            "Bad directive or wrong number of arguments",
        ),
        (
            &["--rename-command", "get"],
            1,
            "rename-command \"get\"",
            "Bad directive or wrong number of arguments",
        ),
        (
            &["--maxmemory", "abc"],
            1,
            "maxmemory \"abc\"",
            "argument must be a memory value",
        ),
        (
            &["--maxmemory"],
            1,
            "maxmemory",
            "wrong number of arguments",
        ),
        (
            &["--requirepass", "a", "b"],
            1,
            "requirepass (value hidden)",
            "wrong number of arguments",
        ),
        (
            &["--save", "900"],
            1,
            "save \"900\"",
            "Invalid save parameters",
        ),
        (
            &["--unixsocketperm", "999"],
            1,
            "unixsocketperm \"999\"",
            "argument couldn't be parsed as an octal number",
        ),
        (
            &["--unixsocketperm", "1777"],
            1,
            "unixsocketperm \"1777\"",
            "argument must be between 0 and 777 inclusive",
        ),
        (
            &["--appendfilename", "a/b"],
            1,
            "appendfilename \"a/b\"",
            "appendfilename can't be a path, just a filename",
        ),
        // Ours: a pool holds 16 databases.
        (
            &["--databases", "17"],
            1,
            "databases \"17\"",
            "argument must be between 1 and 16 inclusive",
        ),
        (
            &["--layout", "loose"],
            1,
            "layout \"loose\"",
            "argument(s) must be one of the following: auto, pairs, packed",
        ),
        (
            &["--engine-config", "[]"],
            1,
            "engine-config \"[]\"",
            "argument must be a JSON object",
        ),
        (
            &["--durability", "x"],
            1,
            "durability \"x\"",
            "argument(s) must be one of the following: auto, everysec, power, process",
        ),
    ];
    for (arguments, number, line, reason) in cases {
        let error = parse(arguments).expect_err("a mistake").to_string();
        let expected = format!(
            "*** FATAL CONFIG FILE ERROR (pmemkv-server {}) ***\n\
             Reading the configuration file, at line {number} of the command line\n\
             >>> '{line}'\n{reason}",
            env!("CARGO_PKG_VERSION")
        );
        assert_eq!(error, expected);
    }
}

#[test]
fn files_include_files() -> TestResult {
    let dir = tempfile::tempdir()?;
    let path = |name: &str| dir.path().join(name).display().to_string();
    let main = path("main.conf");
    let text = format!(
        "hz 20\ninclude {}\ninclude {}\n",
        path("[ab]*.conf"),
        path("none*.conf")
    );
    std::fs::write(&main, text)?;
    std::fs::write(path("b.conf"), "timeout 2\r\nsave 1 2\n")?;
    std::fs::write(path("a.conf"), "timeout 1\n  # nothing\n\nhz 30\n")?;
    let loaded = parse(&[&main, "--port", "7000"])?;
    for (name, expected) in [
        ("hz", "30"),
        ("timeout", "2"),
        ("port", "7000"),
        ("save", "1 2"),
    ] {
        assert_eq!(value(&loaded.config, name), expected, "{name}");
    }

    std::fs::write(path("b.conf"), "\nno-such-directive \"x y\"\n")?;
    let error = parse(&[&main]).expect_err("a bad directive").to_string();
    let place = format!(
        "at line 2 of {}\n>>> 'no-such-directive \"x y\"'\n",
        path("b.conf")
    );
    assert!(error.contains(&place), "{error}");

    std::fs::write(path("b.conf"), format!("include {}\n", path("b.conf")))?;
    let error = parse(&[&main]).expect_err("a circle").to_string();
    assert!(
        error.contains("files include each other too deeply"),
        "{error}"
    );

    std::fs::write(path("b.conf"), "include /no/such/file\n")?;
    let error = parse(&[&main]).expect_err("a missing file").to_string();
    assert!(error.starts_with("Fatal error, can't open config file '/no/such/file': No such file"));

    std::fs::write(path("b.conf"), "port \"1\n")?;
    let error = parse(&[&main]).expect_err("an open quote").to_string();
    assert!(
        error.ends_with("Unbalanced quotes in configuration line"),
        "{error}"
    );
    Ok(())
}

#[test]
fn one_warning_names_all_that_has_no_effect() -> TestResult {
    let text = b"io-threads 4\ndaemonize yes\nsave \"\"\nappendonly no\nslave-lazy-flush yes\nio-threads 3\nrdbcompression yes\nlist-max-ziplist-value 3";
    let loaded = Config::from_text(text)?;
    assert_eq!(
        loaded.warnings,
        [
            "these directives are accepted but have no effect in this server: io-threads, slave-lazy-flush"
        ]
    );
    assert_eq!(value(&loaded.config, "replica-lazy-flush"), "yes");
    Ok(())
}

#[test]
fn directives_of_other_versions_warn_unless_they_promise_something() -> TestResult {
    let text = b"gopher-enabled no\nhide-user-data-from-log yes\nLOOKAHEAD 16\nimport-mode no\nunixsocketgroup \"\"";
    let loaded = Config::from_text(text)?;
    assert_eq!(
        loaded.warnings,
        [
            "these directives are accepted but have no effect in this server: hide-user-data-from-log, lookahead"
        ]
    );
    for (line, reason) in [
        (
            "gopher-enabled yes",
            "this server does not have that: it takes no other value than no",
        ),
        (
            "unixsocketgroup redis",
            "this server does not have that: it takes no other value than \"\"",
        ),
        ("lookahead", "Bad directive or wrong number of arguments"),
    ] {
        let error = Config::from_text(line.as_bytes()).expect_err(line);
        assert!(error.to_string().ends_with(reason), "{error}");
    }
    Ok(())
}

#[test]
fn one_warning_says_what_holds_instead_of_saving() -> TestResult {
    let text = b"save 900 1\nsave 300 10\nappendonly yes\nappendfsync everysec";
    let loaded = Config::from_text(text)?;
    assert_eq!(
        loaded.warnings,
        [
            "this server writes no append-only file, whatever the configuration says: appendonly (line 3 of the text). \
             Instead every acknowledged write is in the pool already; the line 'durability' below tells what it survives"
        ]
    );
    assert_eq!(value(&loaded.config, "save"), "900 1 300 10");
    let points = loaded.config.settings().save_points.clone();
    assert_eq!(points, [(900, 1), (300, 10)]);
    // Files for earlier releases, which wrote no RDB file, say so.
    let known = Config::from_text(b"save 900 1\naccept-unsupported save")?;
    assert_eq!(known.warnings, Vec::<String>::new());
    Ok(())
}

#[test]
fn promises_that_cannot_be_kept_stop_the_start() -> TestResult {
    let dir = tempfile::tempdir()?;
    let path = dir.path().join("redis.conf").display().to_string();
    for (line, name) in [
        ("cluster-enabled yes", "cluster-enabled"),
        ("loadmodule /x.so a", "loadmodule"),
    ] {
        std::fs::write(&path, format!("# first\n{line}\n"))?;
        let error = parse(&[&path]).expect_err(line).to_string();
        assert!(
            error.contains(&format!("'{line}' (line 2 of {path}): th")),
            "{error}"
        );
        assert!(
            error.ends_with(&format!("accept-unsupported {name}")),
            "{error}"
        );
        assert_eq!(error.lines().count(), 1, "{error}");
        // Whoever says so gets a server without it, whichever line comes first.
        std::fs::write(
            &path,
            format!("# first\n{line}\naccept-unsupported {name}\n"),
        )?;
        let loaded = parse(&[&path])?;
        let word = line.split(' ').next().unwrap_or_default().to_lowercase();
        assert!(
            loaded.warnings[0].ends_with(&format!(": {word}")),
            "{:?}",
            loaded.warnings
        );
        assert_eq!(value(&loaded.config, "accept-unsupported"), name);
    }
    // One line tells of all of them, with what it takes.
    let both = parse(&[
        "--cluster-enabled",
        "yes",
        "--loadmodule",
        "a",
        "--loadmodule",
        "b",
    ]);
    let error = both.expect_err("three").to_string();
    for part in [
        "'cluster-enabled \"yes\"' (line 1",
        "'loadmodule \"a\"'",
        "'loadmodule \"b\"' (line 3",
    ] {
        assert!(error.contains(part), "{error}");
    }
    assert!(
        error.ends_with("accept-unsupported cluster-enabled loadmodule"),
        "{error}"
    );
    // What is taken back is no promise.
    for text in [
        "replicaof a 1\nreplicaof no one",
        "cluster-enabled no",
        // Files for earlier releases say so.
        "min-slaves-to-write 1\naccept-unsupported min-replicas-to-write",
    ] {
        assert!(Config::from_text(text.as_bytes()).is_ok(), "{text}");
    }
    let several = Config::from_text(
        b"accept-unsupported slaveof\naccept-unsupported replicaof LOADMODULE appendfsync",
    )?;
    assert_eq!(
        value(&several.config, "accept-unsupported"),
        "replicaof loadmodule appendfsync"
    );
    let error = Config::from_text(b"accept-unsupported hz")
        .expect_err("no such")
        .to_string();
    assert!(
        error.ends_with("argument(s) must be one of the following: appendonly, cluster-enabled, appendfsync, loadmodule, save, min-replicas-to-write, replicaof"),
        "{error}"
    );
    Ok(())
}

#[test]
fn a_master_is_followed_unless_its_name_is_accepted_without_effect() -> TestResult {
    let master = |text: &str| -> TestResult<Option<(String, u16)>> {
        let settings = Config::from_text(text.as_bytes())?.config.settings();
        let master = settings.replication.master.clone();
        Ok(master.map(|master| (master.host, master.port)))
    };
    let followed = Some(("::1".to_owned(), 6380));
    assert_eq!(master("replicaof ::1 6380")?, followed);
    assert_eq!(master("SLAVEOF ::1 6380")?, followed);
    assert_eq!(master("slaveof ::1 6380\nreplicaof NO one")?, None);
    assert_eq!(
        master("replicaof ::1 6380\naccept-unsupported replicaof")?,
        None
    );
    Ok(())
}

#[test]
fn a_log_that_is_synced_always_is_a_promise() -> TestResult {
    let refusal = |text: &str| -> TestResult<Option<String>> {
        let loaded = Config::from_text(text.as_bytes())?;
        Ok(loaded.power_refusal().map(|error| error.to_string()))
    };
    let always = "appendonly yes\nappendfsync always";
    let error = refusal(always)?.ok_or("accepted")?;
    assert!(
        error.contains("'appendfsync always' (line 2 of the text): "),
        "{error}"
    );
    assert!(error.ends_with("accept-unsupported appendfsync"), "{error}");
    assert_eq!(refusal("appendfsync always")?, None);
    assert_eq!(refusal("appendonly yes\nappendfsync everysec")?, None);
    assert_eq!(
        refusal(&format!("{always}\naccept-unsupported appendfsync"))?,
        None
    );
    Ok(())
}
