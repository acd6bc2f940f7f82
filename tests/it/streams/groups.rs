//! Clients that wait in XREAD and XREADGROUP.
//!
//! `PMEMKV_SUBJECT` does not apply: redis-server 7.0 has other errors for a group that goes away.

use std::time::{Duration, Instant};

use common::{RawClient, Server, TestResult, show};

const PATIENCE: Duration = Duration::from_secs(20);

/// Opens a connection, and returns once it waits in one call.
fn waiter(server: &Server, line: &str) -> TestResult<RawClient> {
    let mut client = server.raw()?;
    let mut control = server.raw()?;
    let before = blocked(&mut control)?;
    client.send(&line.split(' ').collect::<Vec<_>>())?;
    let until = Instant::now() + PATIENCE;
    while blocked(&mut control)? == before {
        assert!(Instant::now() < until, "{line} does not wait");
        std::thread::sleep(Duration::from_millis(5));
    }
    Ok(client)
}

fn blocked(control: &mut RawClient) -> TestResult<String> {
    let info = control.line("INFO clients")?.text().unwrap_or_default();
    let line = info
        .lines()
        .find(|line| line.starts_with("blocked_clients"));
    Ok(line.unwrap_or_default().to_owned())
}

#[test]
fn entries_go_to_those_that_wait() -> TestResult {
    let server = Server::start("cmap")?;
    let mut control = server.raw()?;
    control.line("XADD s 1-1 f v")?;
    control.line("XGROUP CREATE s g $")?;
    let mut first = waiter(&server, "XREADGROUP GROUP g a BLOCK 0 STREAMS s >")?;
    let mut second = waiter(&server, "XREADGROUP GROUP g b BLOCK 0 STREAMS s >")?;
    let mut reader = waiter(&server, "XREAD BLOCK 0 STREAMS other s 0 $")?;
    control.line("XADD s 2-1 f w")?;
    assert_eq!(show(&first.read()?), "[[s [[2-1 [f w]]]]]");
    assert_eq!(show(&reader.read()?), "[[s [[2-1 [f w]]]]]");
    control.line("XADD s 3-1 f x")?;
    assert_eq!(show(&second.read()?), "[[s [[3-1 [f x]]]]]");
    assert_eq!(
        show(&control.line("XPENDING s g")?),
        "[:2 2-1 3-1 [[a 1] [b 1]]]"
    );
    let mut third = waiter(&server, "XREAD BLOCK 50 STREAMS s $")?;
    assert_eq!(show(&third.read()?), "nil-array");
    Ok(())
}

/// A consumer cannot go on waiting where its stream or its group goes away; a reader without a group can.
#[test]
fn a_lost_group_ends_the_wait() -> TestResult {
    const NO_GROUP: &str =
        "-NOGROUP No such key 's' or consumer group 'g' in XREADGROUP with GROUP option";
    const WRONG_TYPE: &str = "-WRONGTYPE Operation against a key holding the wrong kind of value";
    let server = Server::start("cmap")?;
    let mut control = server.raw()?;
    for (lines, expected) in [
        (&["XGROUP DESTROY s g"][..], NO_GROUP),
        (&["DEL s"], NO_GROUP),
        (&["SET s v"], WRONG_TYPE),
        (&["RENAME s t"], NO_GROUP),
        (&["PEXPIRE s 1"], NO_GROUP),
        (&["FLUSHDB"], NO_GROUP),
        (&["SWAPDB 0 1"], NO_GROUP),
        (&["MULTI", "DEL s", "LPUSH s x", "EXEC"], WRONG_TYPE),
    ] {
        for line in ["FLUSHALL", "XADD s 1-1 f v", "XGROUP CREATE s g $"] {
            control.line(line)?;
        }
        let mut client = waiter(&server, "XREADGROUP GROUP g c BLOCK 0 STREAMS s >")?;
        let mut reader = waiter(&server, "XREAD BLOCK 0 STREAMS s $")?;
        for line in lines {
            control.line(line)?;
        }
        assert_eq!(show(&client.read()?), expected, "{lines:?}");
        for line in ["DEL s", "XADD s 9-1 f v"] {
            control.line(line)?;
        }
        assert_eq!(show(&reader.read()?), "[[s [[9-1 [f v]]]]]", "{lines:?}");
    }
    Ok(())
}
