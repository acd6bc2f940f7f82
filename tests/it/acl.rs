//! Users over TCP: their permissions, changes of these while clients are connected, and their files.

use std::process::Command;

use common::{Options, RawClient, Server, TestResult, Value};

const EVERYTHING: &str = "on nopass sanitize-payload ~* &* +@all";
/// SHA-256 of `p`.
const HASH_OF_P: &str = "#148de9c5a7a44d19e56cd9ae1a554bf67847afb0c58f6e12fa29ac7ddfca9940";
const WRONG: &str = "-WRONGPASS invalid username-password pair or user is disabled.";
const NO_GET: &str = "-NOPERM User alice has no permissions to run the 'get' command";

/// Sends lines and compares the replies.
fn check(client: &mut RawClient, calls: &[(&str, &str)]) -> TestResult {
    for (line, expected) in calls {
        let reply = format!("{:?}", client.line(line)?);
        assert_eq!(reply.replace("\\'", "'"), *expected, "{line}");
    }
    Ok(())
}

/// A client that has authenticated.
fn client_as(server: &Server, user: &str) -> TestResult<RawClient> {
    let mut client = server.raw()?;
    check(&mut client, &[(&format!("AUTH {user} p"), "+OK")])?;
    Ok(client)
}

fn users(client: &mut RawClient) -> TestResult<Vec<String>> {
    let list = client.line("ACL LIST")?;
    let lines = list.items().ok_or("no list")?.iter();
    Ok(lines.filter_map(Value::text).collect())
}

fn with_alice(server: &Server, rules: &str) -> TestResult<(RawClient, RawClient)> {
    let mut admin = server.raw()?;
    check(
        &mut admin,
        &[(&format!("ACL SETUSER alice on >p {rules}"), "+OK")],
    )?;
    Ok((admin, client_as(server, "alice")?))
}

#[test]
fn rules_hold_from_the_next_command_on() -> TestResult {
    let server = Server::start("vcmap")?;
    let (mut admin, mut alice) = with_alice(&server, "+get ~a*")?;
    check(
        &mut alice,
        &[
            ("GET a1", "$-1"),
            ("GET b", "-NOPERM No permissions to access a key"),
            (
                "SET a1 x",
                "-NOPERM User alice has no permissions to run the 'set' command",
            ),
            (
                "CONFIG GET x",
                "-NOPERM User alice has no permissions to run the 'config|get' command",
            ),
            (
                "CONFIG nosuch",
                "-ERR unknown subcommand 'nosuch'. Try CONFIG HELP.",
            ),
            ("GET", "-ERR wrong number of arguments for 'get' command"),
        ],
    )?;
    check(&mut admin, &[("ACL SETUSER alice -get +set", "+OK")])?;
    check(&mut alice, &[("GET a1", NO_GET), ("SET a1 x", "+OK")])?;
    check(&mut admin, &[("ACL SETUSER alice +@all ~* &*", "+OK")])?;
    check(
        &mut alice,
        &[
            ("GET a1", "\"x\""),
            ("ACL WHOAMI", "\"alice\""),
            // The call takes the rights from its own client: the server denies the calls behind it in the same batch.
            ("ACL SETUSER alice -get", "+OK"),
            ("GET a1", NO_GET),
            ("ACL SETUSER alice off", "+OK"),
            // A client that is connected already keeps its connection.
            ("SET a1 y", "+OK"),
        ],
    )?;
    let mut late = server.raw()?;
    check(&mut late, &[("AUTH alice p", WRONG)])?;
    for words in [
        ["ACL", "SETUSER", "alice", "reset"],
        ["SET", "a1", "z", "GET"],
    ] {
        alice.send(&words)?;
    }
    assert!(!alice.read()?.is_error());
    let denied = format!("{:?}", alice.read()?);
    assert!(denied.starts_with("-NOPERM"), "{denied}");
    check(
        &mut alice,
        &[("RESET", "+RESET"), ("ACL WHOAMI", "\"default\"")],
    )
}

#[test]
fn clients_of_removed_users_are_disconnected() -> TestResult {
    let server = Server::start("vcmap")?;
    let (mut admin, mut alice) = with_alice(&server, "+@all ~*")?;
    check(&mut admin, &[("ACL SETUSER bob on >p +@all ~*", "+OK")])?;
    let mut bob = client_as(&server, "bob")?;
    let list = admin.line("CLIENT LIST")?.text().unwrap_or_default();
    for user in ["default", "alice", "bob"] {
        assert!(list.contains(&format!(" user={user} ")), "{list}");
    }
    check(
        &mut admin,
        &[
            ("CLIENT KILL USER nobody", "-ERR No such user 'nobody'"),
            (
                "ACL DELUSER default",
                "-ERR The 'default' user cannot be removed",
            ),
            ("ACL DELUSER alice nobody", ":1"),
            ("ACL USERS", "[\"bob\", \"default\"]"),
        ],
    )?;
    assert!(alice.is_closed()?);
    // The client still gets the reply.
    check(&mut bob, &[("ACL DELUSER bob", ":1")])?;
    assert!(bob.is_closed()?);
    let (_, mut alice) = with_alice(&server, "+@all ~*")?;
    check(
        &mut admin,
        &[("CLIENT KILL USER alice", ":1"), ("PING", "+PONG")],
    )?;
    assert!(alice.is_closed()?);
    Ok(())
}

#[test]
fn channels_are_guarded() -> TestResult {
    const NO_CHANNEL: &str = "-NOPERM No permissions to access a channel";
    let server = Server::start("vcmap")?;
    let rules = "+@pubsub +ping resetchannels &news.* &exactly?";
    let (mut admin, mut alice) = with_alice(&server, rules)?;
    check(
        &mut alice,
        &[
            ("PUBLISH news.1 x", ":0"),
            ("SPUBLISH news.1 x", ":0"),
            ("PUBLISH other x", NO_CHANNEL),
            ("SPUBLISH other x", NO_CHANNEL),
            ("SUBSCRIBE news.1 other", NO_CHANNEL),
            ("SSUBSCRIBE other", NO_CHANNEL),
            // A pattern is allowed only if it is one of the user's own.
            ("PSUBSCRIBE news.1", NO_CHANNEL),
            ("PSUBSCRIBE *", NO_CHANNEL),
            ("PSUBSCRIBE exactly?", "[\"psubscribe\", \"exactly?\", :1]"),
            ("SUBSCRIBE news.1", "[\"subscribe\", \"news.1\", :2]"),
        ],
    )?;
    let log = admin.line("ACL LOG")?;
    assert!(format!("{log:?}").contains("\"channel\""), "{log:?}");
    // Both may still listen, so the server disconnects nobody.
    check(&mut admin, &[("ACL SETUSER alice &more", "+OK")])?;
    check(&mut alice, &[("PING", "[\"pong\", \"\"]")])?;
    check(
        &mut admin,
        &[("ACL SETUSER alice resetchannels &news.*", "+OK")],
    )?;
    assert!(alice.is_closed()?, "the pattern is not allowed any more");
    Ok(())
}

#[test]
fn exec_asks_again() -> TestResult {
    let server = Server::start("vcmap")?;
    let (mut admin, mut alice) = with_alice(&server, "+@all ~*")?;
    check(
        &mut alice,
        &[
            ("MULTI", "+OK"),
            ("SET a 1", "+QUEUED"),
            ("GET a", "+QUEUED"),
        ],
    )?;
    check(&mut admin, &[("ACL SETUSER alice -get", "+OK")])?;
    let replies = alice.line("EXEC")?;
    let [set, get] = replies.items().ok_or("no list")? else {
        return Err(format!("{replies:?}").into());
    };
    assert_eq!(*set, Value::Simple(b"OK".to_vec()));
    assert_eq!(
        format!("{get:?}"),
        "-NOPERM ACLs rules changed between the moment the transaction was accumulated and the EXEC call. This \
         command is no longer allowed for the following reason: no permission to execute the command or subcommand"
    );
    check(
        &mut alice,
        &[
            ("MULTI", "+OK"),
            ("GET a", NO_GET),
            (
                "EXEC",
                "-EXECABORT Transaction discarded because of previous errors.",
            ),
        ],
    )?;
    let log = format!("{:?}", admin.line("ACL LOG")?);
    assert!(
        log.contains("\"context\", \"multi\"") && log.contains("\"count\", :2"),
        "{log}"
    );
    Ok(())
}

#[test]
fn denials_are_logged_and_counted() -> TestResult {
    let server = Server::start("vcmap")?;
    let (mut admin, mut alice) = with_alice(&server, "+get ~a")?;
    for line in [
        "GET b",
        "SET a 1",
        "GET b",
        "GET c",
        "AUTH nobody x",
        "HELLO 2 AUTH alice x",
    ] {
        assert!(alice.line(line)?.is_error(), "{line}");
    }
    let log = admin.line("ACL LOG")?;
    let entries = log.items().ok_or("no list")?;
    let shown: Vec<String> = entries.iter().map(|entry| format!("{entry:?}")).collect();
    for (entry, expected) in shown.iter().zip([
        r#""reason", "auth", "context", "toplevel", "object", "HELLO", "username", "alice""#,
        r#""reason", "auth", "context", "toplevel", "object", "AUTH", "username", "nobody""#,
        r#""reason", "key", "context", "toplevel", "object", "c", "username", "alice""#,
        r#""count", :2, "reason", "key", "context", "toplevel", "object", "b", "username", "alice""#,
        r#""reason", "command", "context", "toplevel", "object", "set", "username", "alice""#,
    ]) {
        assert!(entry.contains(expected), "{entry}");
        assert!(entry.contains("user=alice "), "{entry}");
    }
    assert_eq!(shown.len(), 5);
    let info = admin.line("INFO stats")?.text().unwrap_or_default();
    for field in ["auth:2", "cmd:1", "key:3", "channel:0"] {
        assert!(
            info.contains(&format!("acl_access_denied_{field}\r\n")),
            "{info}"
        );
    }
    check(
        &mut admin,
        &[
            ("CONFIG SET acllog-max-len 1", "+OK"),
            ("AUTH nobody x", WRONG),
            ("ACL LOG RESET", "+OK"),
            ("ACL LOG", "[]"),
        ],
    )
}

#[test]
fn the_password_of_the_default_user() -> TestResult {
    let server = Server::start_with(Options::new("vcmap").directive("requirepass", "p"))?;
    let mut early = server.raw()?;
    check(&mut early, &[("PING", "-NOAUTH Authentication required.")])?;
    let mut admin = client_as(&server, "default")?;
    let list = users(&mut admin)?;
    assert_eq!(
        list,
        [format!(
            "user default on sanitize-payload {HASH_OF_P} ~* &* +@all"
        )]
    );
    check(
        &mut admin,
        &[
            // SETUSER adds a password; the directive still shows its own value.
            ("ACL SETUSER default >q", "+OK"),
            ("AUTH q", "+OK"),
            ("AUTH p", "+OK"),
            ("CONFIG GET requirepass", "[\"requirepass\", \"p\"]"),
            // Setting the directive makes its password the only one.
            ("CONFIG SET requirepass r", "+OK"),
            ("AUTH q", WRONG),
            ("AUTH r", "+OK"),
            ("ACL SETUSER default nopass", "+OK"),
            (
                "AUTH r",
                "-ERR AUTH <password> called without any password configured for the default user. Are you sure \
                 your configuration is correct?",
            ),
        ],
    )?;
    // A client that lacked the password may go on without one, until a password is set again.
    check(&mut early, &[("PING", "+PONG")])?;
    check(
        &mut admin,
        &[("ACL SETUSER default off", "+OK"), ("PING", "+PONG")],
    )?;
    check(
        &mut early,
        &[
            ("PING", "-NOAUTH Authentication required."),
            ("AUTH default x", WRONG),
        ],
    )
}

#[test]
fn an_acl_file_is_saved_and_loaded() -> TestResult {
    let mut server = Server::start_with(Options::new("vcmap").directive("save", ""))?;
    let file = server.dir().join("users.acl");
    std::fs::write(&file, format!("user alice on +get ~a* {HASH_OF_P}\n\n"))?;
    server.set_options(Options::new("vcmap").directive("aclfile", "users.acl"));
    server.restart()?;

    let mut admin = server.raw()?;
    let alice_line =
        format!("user alice on sanitize-payload {HASH_OF_P} ~a* resetchannels -@all +get");
    let default_line = format!("user default {EVERYTHING}");
    assert_eq!(
        users(&mut admin)?,
        [alice_line.clone(), default_line.clone()]
    );
    let mut alice = client_as(&server, "alice")?;
    check(
        &mut admin,
        &[
            ("ACL SETUSER bob on >p +@read (+set ~x %R~y)", "+OK"),
            ("ACL SAVE", "+OK"),
        ],
    )?;
    let bob_line = format!(
        "user bob on sanitize-payload {HASH_OF_P} resetchannels -@all +@read (~x %R~y resetchannels -@all +set)"
    );
    let saved = format!("{alice_line}\n{bob_line}\n{default_line}\n");
    assert_eq!(std::fs::read_to_string(&file)?, saved);

    server.restart()?;
    admin = server.raw()?;
    assert_eq!(
        users(&mut admin)?,
        [alice_line, bob_line, default_line.clone()]
    );

    // A bad file changes nothing.
    let mut bob = client_as(&server, "bob")?;
    alice.is_closed()?;
    alice = client_as(&server, "alice")?;
    std::fs::write(
        &file,
        "user alice on +nosuch >x foo bar\nuser alice on\nbob\nuser c (+get\n",
    )?;
    check(
        &mut admin,
        &[(
            "ACL LOAD",
            "-ERR users.acl:1: Error in applying operation '+nosuch': Unknown command or category name in ACL. \
             users.acl:1: Syntax error. WARNING: Duplicate user 'alice' found on line 2. users.acl:3 should start with \
             user keyword followed by the username. users.acl:4: Unmatched parenthesis in selector definition.WARNING: \
             ACL errors detected, no change to the previously active ACL rules was performed",
        )],
    )?;
    check(&mut alice, &[("GET a", "$-1")])?;

    // A user that stays has the new rules; the server disconnects the clients of a removed user.
    std::fs::write(&file, "user alice on nopass -get +ping\r\n")?;
    check(&mut admin, &[("ACL LOAD", "+OK")])?;
    check(&mut alice, &[("GET a", NO_GET), ("PING", "+PONG")])?;
    assert!(bob.is_closed()?);
    std::fs::remove_file(&file)?;
    check(
        &mut admin,
        &[(
            "ACL LOAD",
            "-ERR Error loading ACLs, opening file 'users.acl': No such file or directory",
        )],
    )
}

#[test]
fn users_of_the_configuration() -> TestResult {
    let folder = tempfile::tempdir()?;
    let path = folder.path().join("users.conf");
    let include = path.display().to_string();
    std::fs::write(
        &path,
        "user alice on >p +get \"~a*\" (+set ~b)\nuser default on >p allkeys +@all\n",
    )?;
    let server = Server::start_with(Options::new("vcmap").directive("include", &include))?;
    let mut admin = client_as(&server, "default")?;
    assert_eq!(
        users(&mut admin)?,
        [
            format!(
                "user alice on sanitize-payload {HASH_OF_P} ~a* resetchannels -@all +get (~b resetchannels -@all +set)"
            ),
            format!("user default on sanitize-payload {HASH_OF_P} ~* resetchannels +@all"),
        ]
    );
    let mut alice = client_as(&server, "alice")?;
    check(&mut alice, &[("SET b 1", "+OK"), ("GET a", "$-1")])?;
    assert!(!server.log().contains(">p"));
    drop(server);

    for (lines, arguments, text) in [
        (
            "user alice (+get",
            &[][..],
            "Error in user declaration 'alice': Wrong format",
        ),
        (
            "user alice +nosuch",
            &[],
            "'alice': Unknown command or category name in ACL",
        ),
        (
            "user alice on\nuser alice off",
            &[],
            "'alice': Duplicate user found.",
        ),
        (
            "user alice on",
            &["--aclfile", "users.acl"],
            "names an aclfile",
        ),
        (
            "",
            &["--aclfile", "users.acl"],
            "opening file 'users.acl': No such file or directory",
        ),
    ] {
        std::fs::write(&path, lines)?;
        let output = Command::new(common::program())
            .args([
                "--port",
                "0",
                "--engine",
                "vcmap",
                "--pool-size",
                "64mb",
                "--include",
                &include,
            ])
            .args(arguments)
            .current_dir(folder.path())
            .output()?;
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(
            !output.status.success() && said.contains(text),
            "{lines}: {said}"
        );
    }
    Ok(())
}

#[test]
fn passwords_and_categories() -> TestResult {
    let server = Server::start("vcmap")?;
    let mut client = server.raw()?;
    for (line, digits) in [
        ("ACL GENPASS", 64),
        ("ACL GENPASS 5", 2),
        ("ACL GENPASS 4096", 1024),
    ] {
        let password = client.line(line)?.text().ok_or("no text")?;
        assert_eq!(password.len(), digits);
        assert!(
            password
                .bytes()
                .all(|byte| b"0123456789abcdef".contains(&byte))
        );
        assert!(digits == 2 || client.line(line)?.text() != Some(password));
    }
    let transaction = client.line("ACL CAT transaction")?;
    let mut names: Vec<String> = transaction
        .items()
        .ok_or("no list")?
        .iter()
        .filter_map(Value::text)
        .collect();
    names.sort();
    assert_eq!(names, ["discard", "exec", "multi", "unwatch", "watch"]);
    let admin = format!("{:?}", client.line("ACL CAT Admin")?);
    assert!(
        admin.contains("acl|setuser") && !admin.contains("acl|whoami"),
        "{admin}"
    );
    check(
        &mut client,
        &[
            ("CONFIG SET acl-pubsub-default allchannels", "+OK"),
            ("ACL SETUSER new", "+OK"),
        ],
    )?;
    let list = users(&mut client)?;
    assert!(
        list.contains(&"user new off sanitize-payload &* -@all".to_owned()),
        "{list:?}"
    );
    Ok(())
}
