//! Which keys users with key patterns meet where no word names one: ranges over a database, SORT's patterns, and the
//! calls of others in MONITOR and the slow log.

use common::{Options, RawClient, Server, TestResult, show};

fn check(client: &mut RawClient, calls: &[(&str, &str)]) -> TestResult {
    for (line, expected) in calls {
        assert_eq!(show(&client.line(line)?), *expected, "{line}");
    }
    Ok(())
}

/// A client that is `bob`, with these rules.
fn bob(server: &Server, rules: &str) -> TestResult<RawClient> {
    check(
        &mut server.raw()?,
        &[(&format!("ACL SETUSER bob reset on nopass {rules}"), "+OK")],
    )?;
    let mut bob = server.raw()?;
    check(&mut bob, &[("AUTH bob x", "+OK")])?;
    Ok(bob)
}

#[test]
fn ranges_hold_the_keys_that_the_user_may_name() -> TestResult {
    for store in ["cmap", "cmap/pairs", "vsmap"] {
        let server = Server::start(store)?;
        let mut admin = server.raw()?;
        check(
            &mut admin,
            &[
                ("MSET a 1 r:1 pub r:2 open secret TOP w:1 blind z 9", "+OK"),
                ("PMEMKV.COUNTALL", ":6"),
                ("PMEMKV.KEYSALL", "[a r:1 r:2 secret w:1 z]"),
            ],
        )?;
        // Values need reading, and names anything, as GET and EXISTS do.
        let mut client = bob(&server, "%R~r:* %W~w:* +@all")?;
        check(
            &mut client,
            &[
                ("GET secret", "-NOPERM No permissions to access a key"),
                ("GET w:1", "-NOPERM No permissions to access a key"),
                ("EXISTS w:1", ":1"),
                ("PMEMKV.GETALL", "[r:1 pub r:2 open]"),
                ("PMEMKV.GETALL LIMIT 1", "[r:1 pub]"),
                ("PMEMKV.GETABOVE r:1", "[r:2 open]"),
                ("PMEMKV.GETEQUALABOVE r:2 LIMIT 5", "[r:2 open]"),
                ("PMEMKV.GETBETWEEN r:2 z", "[]"),
                ("PMEMKV.GETBELOW secret", "[r:1 pub r:2 open]"),
                ("PMEMKV.KEYSALL", "[r:1 r:2 w:1]"),
                ("PMEMKV.KEYSABOVE r:2 LIMIT 1", "[w:1]"),
                ("PMEMKV.KEYSEQUALBELOW secret", "[r:1 r:2]"),
                ("PMEMKV.COUNTALL", ":3"),
                ("PMEMKV.COUNTABOVE r:2", ":1"),
                ("PMEMKV.COUNTBETWEEN r:2 w:1", ":0"),
                ("MULTI", "+OK"),
                ("PMEMKV.GETALL", "+QUEUED"),
                ("PMEMKV.COUNTALL", "+QUEUED"),
                ("EXEC", "[[r:1 pub r:2 open] :3]"),
            ],
        )?;
        // Patterns count with the commands of their own selector alone.
        let mut client = bob(
            &server,
            "~r:1 +pmemkv.getall (%R~secret +get) (%R~z +@read)",
        )?;
        check(
            &mut client,
            &[
                ("GET secret", "TOP"),
                ("PMEMKV.GETALL", "[r:1 pub z 9]"),
                ("PMEMKV.KEYSALL", "[z]"),
            ],
        )?;
        let mut client = bob(&server, "%R~* +@read")?;
        check(&mut client, &[("PMEMKV.COUNTALL", ":6")])?;
        let mut client = bob(&server, "+@all")?;
        check(
            &mut client,
            &[
                ("PMEMKV.GETALL", "[]"),
                ("PMEMKV.KEYSALL", "[]"),
                ("PMEMKV.COUNTALL", ":0"),
            ],
        )?;
    }
    Ok(())
}

#[test]
fn walks_over_a_database_are_dangerous_and_of_no_type() -> TestResult {
    let server = Server::start("cmap")?;
    let mut client = bob(&server, "~* +@string")?;
    let denied = "-NOPERM User bob has no permissions to run the 'pmemkv.getall' command";
    check(&mut client, &[("PMEMKV.GETALL", denied)])?;
    let mut client = bob(&server, "~* +@all -@dangerous")?;
    for command in [
        "pmemkv.getall",
        "pmemkv.countall",
        "pmemkv.stats",
        "pmemkv.defrag",
    ] {
        let denied = format!("-NOPERM User bob has no permissions to run the '{command}' command");
        check(&mut client, &[(command, &denied)])?;
    }
    check(&mut client, &[("PMEMKV.ENGINE", "cmap")])
}

#[test]
fn a_range_command_works_under_another_name() -> TestResult {
    let folder = tempfile::tempdir()?;
    let file = folder.path().join("renamed.conf");
    std::fs::write(&file, "rename-command pmemkv.getall everything\n")?;
    let options = Options::new("cmap").file(&file);
    let server = Server::start_with(options)?;
    check(
        &mut server.raw()?,
        &[
            ("SET k v", "+OK"),
            ("EVERYTHING", "[k v]"),
            ("everything LIMIT 0", "[]"),
        ],
    )
}

#[test]
fn sort_reads_other_keys_only_by_a_selector_that_lets_it() -> TestResult {
    let server = Server::start("cmap")?;
    let mut admin = server.raw()?;
    check(
        &mut admin,
        &[("SET s:1 TOP", "+OK"), ("RPUSH mine 1", ":1")],
    )?;
    let by = "-ERR BY option of SORT denied due to insufficient ACL permissions.";
    let get = "-ERR GET option of SORT denied due to insufficient ACL permissions.";
    // To ask for the type of every key is not to read them.
    let mut client = bob(&server, "~mine +@all (+type ~*)")?;
    check(
        &mut client,
        &[
            ("TYPE s:1", "+string"),
            ("SORT mine GET s:*", get),
            ("SORT mine BY s:*", by),
            ("SORT_RO mine GET s:*", get),
            ("SORT mine BY nosort", "[1]"),
        ],
    )?;
    let mut client = bob(&server, "~mine +@all (+sort %R~*)")?;
    check(
        &mut client,
        &[
            ("SORT mine GET s:*", "[TOP]"),
            ("SORT_RO mine GET s:*", get),
        ],
    )
}

#[test]
fn monitor_shows_the_words_of_calls_whose_keys_the_user_may_read() -> TestResult {
    let server = Server::start("cmap")?;
    let mut admin = server.raw()?;
    let mut client = bob(&server, "%R~r:* %W~w:* &news +@all (+get ~*)")?;
    check(&mut client, &[("MONITOR", "+OK")])?;
    let calls = [
        ("SET r:1 pub", "SET r:1 pub"),
        ("SET secret TOP", "SET (redacted) (redacted)"),
        ("SET w:1 TOP", "SET (redacted) (redacted)"),
        (
            "MSET r:1 pub secret TOP",
            "MSET (redacted) (redacted) (redacted) (redacted)",
        ),
        ("OBJECT ENCODING secret", "OBJECT ENCODING (redacted)"),
        ("PUBLISH news x", "PUBLISH news x"),
        ("PUBLISH other TOP", "PUBLISH (redacted) (redacted)"),
        (
            "COMMAND GETKEYS SET k TOP",
            "COMMAND GETKEYS (redacted) (redacted) (redacted)",
        ),
        ("PING x", "PING x"),
    ];
    for (call, shown) in calls {
        admin.line(call)?;
        let line = client.read()?.text().unwrap_or_default();
        let (_, words) = line.split_once("] ").unwrap_or_default();
        assert_eq!(words.replace('"', ""), shown, "{line}");
    }
    Ok(())
}

#[test]
fn the_slow_log_shows_the_words_of_calls_whose_keys_the_user_may_read() -> TestResult {
    let server =
        Server::start_with(Options::new("cmap").directive("slowlog-log-slower-than", "0"))?;
    let mut admin = server.raw()?;
    let mut client = bob(&server, "%R~r:* &news +@all")?;
    let long = "x".repeat(200);
    let cut = format!("{}... (72 more bytes)", "x".repeat(128));
    let many = vec!["r:1"; 40].join(" ");
    let first = vec!["r:1"; 30].join(" ");
    let hidden = vec!["(redacted)"; 31].join(" ");
    let calls = [
        ("SET r:1 pub".to_owned(), "SET r:1 pub".to_owned()),
        ("SET secret TOP".into(), "SET (redacted) (redacted)".into()),
        (format!("SET r:1 {long}"), format!("SET r:1 {cut}")),
        // What was left out may have been anything.
        (
            format!("SET r:{long} x"),
            "SET (redacted) (redacted)".into(),
        ),
        (format!("MGET {many}"), format!("MGET {hidden}")),
        (
            "ACL DRYRUN bob SET secret TOP".into(),
            "ACL DRYRUN (redacted) (redacted) (redacted) (redacted)".into(),
        ),
        (
            "PUBLISH other TOP".into(),
            "PUBLISH (redacted) (redacted)".into(),
        ),
        ("PING x".into(), "PING x".into()),
    ];
    for (call, shown) in &calls {
        check(&mut admin, &[("SLOWLOG RESET", "+OK")])?;
        admin.line(call)?;
        let entries = client.line("SLOWLOG GET -1")?;
        let entry = entries.items().and_then(<[_]>::first).ok_or("an entry")?;
        let words = &entry.items().ok_or("fields")?[3];
        assert_eq!(show(words), format!("[{shown}]"), "{call}");
    }
    // Those that may read every key see all that is kept.
    admin.line(&format!("MGET {many}"))?;
    let entries = format!("{:?}", admin.line("SLOWLOG GET 1")?).replace(['"', ','], "");
    assert!(
        entries.contains(&format!("MGET {first} ... (10 more arguments)")),
        "{entries}"
    );
    Ok(())
}
