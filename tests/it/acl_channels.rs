//! Permissions on channels: which calls the server refuses, and which clients it disconnects when rules change.

use common::{Options, RawClient, Server, TestResult, Value};

const NO_CHANNEL: &str = "-NOPERM No permissions to access a channel";

fn shown(value: &Value) -> String {
    format!("{value:?}").replace("\\'", "'")
}

/// Sends lines and compares the replies. If an expected reply ends in `...`, only its beginning counts.
fn check(client: &mut RawClient, calls: &[(&str, &str)]) -> TestResult {
    for (line, expected) in calls {
        let reply = shown(&client.line(line)?);
        match expected.strip_suffix("...") {
            Some(start) => assert!(reply.starts_with(start), "{line}: {reply}"),
            None => assert_eq!(reply, *expected, "{line}"),
        }
    }
    Ok(())
}

fn with_alice(server: &Server, rules: &str) -> TestResult<(RawClient, RawClient)> {
    let mut admin = server.raw()?;
    let line = format!("ACL SETUSER alice on nopass +@all ~* {rules}");
    check(&mut admin, &[(&line, "+OK")])?;
    let alice = client_as_alice(server)?;
    Ok((admin, alice))
}

fn client_as_alice(server: &Server) -> TestResult<RawClient> {
    let mut alice = server.raw()?;
    check(&mut alice, &[("AUTH alice x", "+OK")])?;
    Ok(alice)
}

#[test]
fn channels_are_checked_where_they_are_named() -> TestResult {
    let server = Server::start("vcmap")?;
    // A new user may use none: `acl-pubsub-default` is `resetchannels`.
    let (mut admin, mut alice) = with_alice(&server, "")?;
    for line in [
        "PUBLISH news x",
        "SPUBLISH news x",
        "SUBSCRIBE news",
        "SSUBSCRIBE news",
        "PSUBSCRIBE news",
    ] {
        check(&mut alice, &[(line, NO_CHANNEL)])?;
    }
    check(&mut admin, &[("ACL SETUSER alice &news.* &one", "+OK")])?;
    check(
        &mut alice,
        &[
            ("PUBLISH news.a x", ":0"),
            ("PUBLISH news x", NO_CHANNEL),
            ("SPUBLISH news.a x", ":0"),
            ("SPUBLISH two x", NO_CHANNEL),
            // One channel without permission is enough for a refusal.
            ("SUBSCRIBE news.a two", NO_CHANNEL),
            // A pattern must be literally one of the rules' patterns.
            ("PSUBSCRIBE news.a", NO_CHANNEL),
            ("PSUBSCRIBE news.a*", NO_CHANNEL),
            ("PSUBSCRIBE *", NO_CHANNEL),
            ("PSUBSCRIBE news.*", "[\"psubscribe\", \"news.*\", :1]"),
            ("SUBSCRIBE news.a", "[\"subscribe\", \"news.a\", :2]"),
            ("SUBSCRIBE one", "[\"subscribe\", \"one\", :3]"),
            ("SSUBSCRIBE one", "[\"ssubscribe\", \"one\", :1]"),
            // Unsubscribing needs no permission, and neither do arguments that are no channels.
            ("UNSUBSCRIBE two", "[\"unsubscribe\", \"two\", :3]"),
            ("PUNSUBSCRIBE two", "[\"punsubscribe\", \"two\", :3]"),
        ],
    )?;
    check(
        &mut admin,
        &[
            ("PUBLISH news.b x", ":1"),
            ("PUBLISH two x", ":0"),
            (
                "ACL DRYRUN alice PUBLISH two x",
                "\"User alice has no permissions to access the 'two' channel\"",
            ),
            ("ACL DRYRUN alice PUBLISH one x", "+OK"),
        ],
    )?;
    let log = admin.line("ACL LOG 1")?;
    let log = shown(&log);
    for part in [
        "\"reason\", \"channel\"",
        "\"object\", \"*\"",
        "\"context\", \"toplevel\"",
        "\"username\", \"alice\"",
    ] {
        assert!(log.contains(part), "{log}");
    }
    let info = admin.line("INFO stats")?.text().unwrap_or_default();
    assert!(
        info.contains("\r\nacl_access_denied_channel:11\r\n"),
        "{info}"
    );
    Ok(())
}

#[test]
fn new_users_may_use_all_channels_where_the_directive_says_so() -> TestResult {
    let options = Options::new("vcmap").directive("acl-pubsub-default", "allchannels");
    let server = Server::start_with(options)?;
    let (mut admin, mut alice) = with_alice(&server, "")?;
    check(&mut alice, &[("PUBLISH any x", ":0")])?;
    check(
        &mut admin,
        &[
            ("CONFIG SET acl-pubsub-default resetchannels", "+OK"),
            ("ACL SETUSER bob on nopass +@all", "+OK"),
            (
                "ACL DRYRUN bob PUBLISH any x",
                "\"User bob has no permissions to access the 'any' channel\"",
            ),
        ],
    )?;
    // A user that was made before keeps its rules.
    check(&mut alice, &[("PUBLISH any x", ":0")])
}

#[test]
fn a_transaction_names_channels_too() -> TestResult {
    let server = Server::start("vcmap")?;
    let (mut admin, mut alice) = with_alice(&server, "&one")?;
    check(
        &mut alice,
        &[
            ("MULTI", "+OK"),
            ("PUBLISH two x", NO_CHANNEL),
            (
                "EXEC",
                "-EXECABORT Transaction discarded because of previous errors.",
            ),
            ("MULTI", "+OK"),
            ("PUBLISH one x", "+QUEUED"),
        ],
    )?;
    check(&mut admin, &[("ACL SETUSER alice resetchannels", "+OK")])?;
    check(&mut alice, &[("EXEC", "[-NOPERM ACLs rules changed...")])
}

#[test]
fn listeners_that_lose_a_channel_are_disconnected() -> TestResult {
    let server = Server::start("vcmap")?;
    let (mut admin, mut silent) = with_alice(&server, "&a &b* (&s +ssubscribe)")?;
    let mut listening = Vec::new();
    for line in [
        "SUBSCRIBE a",
        "SUBSCRIBE b1",
        "PSUBSCRIBE b*",
        "SSUBSCRIBE s",
    ] {
        let mut client = client_as_alice(&server)?;
        assert!(!client.line(line)?.is_error(), "{line}");
        listening.push(client);
    }
    let mut other = server.raw()?;
    other.line("SUBSCRIBE a b1")?;
    // A listener keeps a channel that another rule still allows.
    check(
        &mut admin,
        &[
            ("ACL SETUSER alice &c", "+OK"),
            ("ACL SETUSER alice resetchannels &a &b1 &b*", "+OK"),
            ("PUBLISH b1 x", ":3"),
            ("PUBLISH a x", ":2"),
            ("SPUBLISH s x", ":1"),
            ("ACL SETUSER alice clearselectors", "+OK"),
        ],
    )?;
    for client in &mut listening[..3] {
        assert_eq!(
            client
                .read()?
                .items()
                .map(|items| items[0].text().is_some()),
            Some(true)
        );
    }
    assert!(shown(&listening[3].read()?).contains("smessage"));
    assert!(listening[3].is_closed()?);
    // A pattern is not a channel: the user may still listen to `b1`, but no longer to `b*`.
    check(
        &mut admin,
        &[("ACL SETUSER alice resetchannels &b1 &b?", "+OK")],
    )?;
    assert!(listening[0].is_closed()?);
    assert!(listening[2].is_closed()?);
    check(&mut admin, &[("PUBLISH b1 x", ":2")])?;
    assert!(shown(&listening[1].read()?).contains("\"b1\""));
    // A client without subscriptions stays connected, and so do other users' clients.
    check(&mut silent, &[("PING", "+PONG")])?;
    check(
        &mut admin,
        &[("ACL SETUSER alice off resetchannels", "+OK")],
    )?;
    assert!(listening[1].is_closed()?);
    check(&mut silent, &[("PING", "+PONG")])?;
    other.line("UNSUBSCRIBE")?;
    Ok(())
}

#[test]
fn a_client_that_revokes_its_own_channels_gets_the_reply() -> TestResult {
    let server = Server::start("vcmap")?;
    let (_admin, mut alice) = with_alice(&server, "&a")?;
    alice.line("HELLO 3")?;
    alice.line("SUBSCRIBE a")?;
    check(&mut alice, &[("ACL SETUSER alice resetchannels", "+OK")])?;
    assert!(alice.is_closed()?);
    Ok(())
}

#[test]
fn a_file_that_takes_channels_away_disconnects_too() -> TestResult {
    let file = tempfile::NamedTempFile::new()?;
    let path = file.path().to_str().ok_or("a path in UTF-8")?;
    let write = |rules: &str| {
        let default = "user default on nopass ~* &* +@all\n";
        std::fs::write(
            path,
            format!("{default}user alice on nopass ~* +@all {rules}\n"),
        )
    };
    write("&a &b")?;
    let server = Server::start_with(Options::new("vcmap").directive("aclfile", path))?;
    let mut admin = server.raw()?;
    let (mut first, mut second) = (client_as_alice(&server)?, client_as_alice(&server)?);
    first.line("SUBSCRIBE a")?;
    second.line("SUBSCRIBE b")?;
    write("&b")?;
    check(&mut admin, &[("ACL LOAD", "+OK")])?;
    assert!(first.is_closed()?);
    check(&mut admin, &[("PUBLISH b x", ":1"), ("PUBLISH a x", ":0")])
}
