//! Which arguments of a call count as keys for the rules of users.

use common::{RawClient, Server, TestResult};

/// Sends lines and compares the replies.
fn check(client: &mut RawClient, calls: &[(&str, &str)]) -> TestResult {
    for (line, expected) in calls {
        let reply = format!("{:?}", client.line(line)?);
        assert_eq!(reply.replace("\\'", "'"), *expected, "{line}");
    }
    Ok(())
}

/// A client that may do everything, and one that may use only keys that begin with `a`.
fn with_alice(server: &Server) -> TestResult<(RawClient, RawClient)> {
    let (mut admin, mut alice) = (server.raw()?, server.raw()?);
    check(&mut admin, &[("ACL SETUSER alice on >p +@all ~a*", "+OK")])?;
    check(&mut alice, &[("AUTH alice p", "+OK")])?;
    Ok((admin, alice))
}

#[test]
fn a_destination_cannot_hide_behind_an_operand() -> TestResult {
    const DENIED: &str = "-NOPERM No permissions to access a key";
    let server = Server::start("vcmap")?;
    let (mut admin, mut alice) = with_alice(&server)?;
    check(
        &mut admin,
        &[("RPUSH a 1", ":1"), ("GEOADD ageo 0 0 m", ":1")],
    )?;
    for line in [
        "SORT a STORE b GET store",
        "SORT a STORE b BY store",
        "SORT a STORE b GET STORE GET store",
        "GEORADIUS ageo 0 0 1 m STORE STORE",
        "GEORADIUS ageo 0 0 1 m STOREDIST STOREDIST",
        "GEORADIUS ageo 0 0 1 m STORE a1 STORE b",
        "PFMERGE b",
    ] {
        check(&mut alice, &[(line, DENIED)])?;
    }
    check(&mut admin, &[("DBSIZE", ":2")])
}

#[test]
fn a_call_with_a_wrong_number_of_keys_is_left_to_the_command() -> TestResult {
    let server = Server::start("vcmap")?;
    let (_admin, mut alice) = with_alice(&server)?;
    let denied = "-NOPERM No permissions to access a key";
    check(
        &mut alice,
        &[
            ("ZUNION 5 a LEFT", "-ERR syntax error"),
            ("LMPOP 0 b LEFT", "-ERR numkeys should be greater than 0"),
            ("SINTERCARD x b", "-ERR numkeys should be greater than 0"),
            ("SINTERCARD 2x a b", denied),
            (
                "ZUNIONSTORE b x a",
                "-ERR value is not an integer or out of range",
            ),
            ("ZUNION 1 b", denied),
            ("ZUNIONSTORE b 1 a", denied),
        ],
    )
}
