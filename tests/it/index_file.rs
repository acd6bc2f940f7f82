//! The directive `index-file`: the next start takes the index over where it fits, and reads the pool where it does not.

use std::time::{Duration, Instant};

use common::{Options, Server, TestResult, Value};

const TAKEN_OVER: &str = "the index of the last process is taken over";

fn options() -> Options {
    Options::new("cmap").directive("index-file", "test.index")
}

fn times_taken_over(server: &Server) -> usize {
    server.log().matches(TAKEN_OVER).count()
}

fn fill(server: &Server) -> TestResult {
    let mut client = server.raw()?;
    for n in 0..500 {
        client.call(&["SET", &format!("key:{n}"), &n.to_string()])?;
    }
    client.call(&["HSET", "hash", "field", "value"])?;
    client.call(&["SET", "brief", "value", "PX", "1"])?;
    client.call(&["SET", "long", "value", "EX", "1000"])?;
    client.call(&["SET", "large", &"x".repeat(300_000)])?;
    Ok(())
}

fn check(server: &Server) -> TestResult {
    let mut client = server.raw()?;
    assert_eq!(
        client.call(&["GET", "key:499"])?,
        Value::Bulk(b"499".to_vec())
    );
    assert_eq!(client.call(&["GET", "brief"])?, Value::NullBulk);
    assert_eq!(
        client.call(&["HGET", "hash", "field"])?,
        Value::Bulk(b"value".to_vec())
    );
    assert_eq!(client.call(&["STRLEN", "large"])?, Value::Integer(300_000));
    assert!(matches!(
        client.call(&["TTL", "long"])?,
        Value::Integer(1..=1_000)
    ));
    // A key past its deadline counts until the background removes it.
    let until = Instant::now() + Duration::from_secs(10);
    while client.call(&["DBSIZE"])? != Value::Integer(503) {
        assert!(Instant::now() < until, "{:?}", client.call(&["DBSIZE"])?);
        std::thread::sleep(Duration::from_millis(10));
    }
    Ok(())
}

#[test]
fn a_start_takes_the_index_over() -> TestResult {
    let mut server = Server::start_with(options())?;
    fill(&server)?;
    server.kill_9()?;
    server.resume()?;
    check(&server)?;
    server.restart()?;
    check(&server)?;
    assert_eq!(times_taken_over(&server), 2, "{}", server.log());
    // A server without the file has had the pool in between.
    server.terminate()?;
    server.set_options(Options::new("cmap"));
    server.resume()?;
    server.raw()?.call(&["SET", "key:499", "499"])?;
    server.terminate()?;
    server.set_options(options());
    server.resume()?;
    check(&server)?;
    assert_eq!(times_taken_over(&server), 2, "{}", server.log());
    server.terminate()
}

#[test]
fn a_crash_spoils_the_index() -> TestResult {
    let mut server = Server::start_with(options())?;
    fill(&server)?;
    let pid = nix::unistd::Pid::from_raw(i32::try_from(server.pid())?);
    nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGSEGV)?;
    let ended = server.wait_for_exit();
    assert!(ended.is_err(), "a crash is no orderly end");
    server.resume()?;
    check(&server)?;
    assert_eq!(times_taken_over(&server), 0, "{}", server.log());
    server.terminate()
}

#[test]
fn what_no_index_names_makes_the_start_read_the_pool() -> TestResult {
    let others: [&[&str]; 3] = [
        &["HSET", "other", "field", &"x".repeat(5_000)],
        &["XADD", "other", "*", "field", "value"],
        &[
            "FUNCTION",
            "LOAD",
            "#!lua name=one\nredis.register_function('f', function() return 'here' end)",
        ],
    ];
    for other in others {
        let mut server = Server::start_with(options())?;
        fill(&server)?;
        let mut client = server.raw()?;
        let reply = client.call(other)?;
        assert!(!matches!(reply, Value::Error(_)), "{reply:?}");
        let shown = match other[0] {
            "HSET" => vec!["HLEN", "other"],
            "XADD" => vec!["XLEN", "other"],
            _ => vec!["FCALL", "f", "0"],
        };
        let before = client.call(&shown)?;
        server.kill_9()?;
        server.resume()?;
        let mut client = server.raw()?;
        assert_eq!(client.call(&shown)?, before);
        assert_eq!(
            client.call(&["GET", "key:499"])?,
            Value::Bulk(b"499".to_vec())
        );
        assert_eq!(times_taken_over(&server), 0, "{}", server.log());
        server.terminate()?;
    }
    Ok(())
}

#[test]
fn a_place_that_cannot_be_used_is_a_warning() -> TestResult {
    let first = Server::start_with(options())?;
    let taken = first.dir().join("test.index").display().to_string();
    for place in ["/proc/no/such/folder", taken.as_str()] {
        let nowhere = Options::new("cmap").directive("index-file", place);
        let mut server = Server::start_with(nowhere)?;
        assert!(
            server.log().contains("the index is not kept"),
            "{}",
            server.log()
        );
        fill(&server)?;
        server.kill_9()?;
        server.resume()?;
        check(&server)?;
        server.terminate()?;
    }
    Ok(())
}
