//! Transactions over TCP, on every engine.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use common::{Options, RawClient, Server, TestResult, Value};

fn ok() -> Value {
    Value::Simple(b"OK".to_vec())
}

fn bulk(text: &str) -> Value {
    Value::Bulk(text.as_bytes().to_vec())
}

fn error_text(reply: &Value) -> String {
    match reply {
        Value::Error(text) => String::from_utf8_lossy(text).into_owned(),
        other => format!("no error: {other:?}"),
    }
}

/// Sends lines that the server must answer with OK or QUEUED.
fn send_all(client: &mut RawClient, lines: &[&str]) -> TestResult {
    for line in lines {
        let reply = client.line(line)?;
        let reply = reply.text().unwrap_or_else(|| format!("{reply:?}"));
        assert!(reply == "OK" || reply == "QUEUED", "{line}: {reply}");
    }
    Ok(())
}

fn runs_what_was_queued(server: &Server) -> TestResult {
    let client = &mut server.raw()?;
    let other = &mut server.raw()?;
    send_all(
        client,
        &[
            "FLUSHALL", "MULTI", "SET a 1", "INCR a", "GET a", "SELECT 1", "SET b x",
        ],
    )?;
    // Nothing has happened yet.
    assert!(other.line("GET a")?.is_null());
    assert_eq!(
        client.line("EXEC")?,
        Value::Array(vec![ok(), Value::Integer(2), bulk("2"), ok(), ok()])
    );
    // The selected database stays selected.
    assert_eq!(client.line("GET b")?, bulk("x"));
    assert_eq!(other.line("GET a")?, bulk("2"));
    send_all(client, &["MULTI", "SET b y", "DISCARD"])?;
    assert_eq!(client.line("GET b")?, bulk("x"));
    send_all(client, &["MULTI"])?;
    assert_eq!(client.line("EXEC")?, Value::Array(Vec::new()));
    Ok(())
}

fn an_error_does_not_undo_the_rest(server: &Server) -> TestResult {
    let client = &mut server.raw()?;
    send_all(
        client,
        &["SET s text", "MULTI", "SET a 1", "INCR s", "SET b 2"],
    )?;
    let reply = client.line("EXEC")?;
    let items = reply.items().ok_or("EXEC answers no array")?;
    assert_eq!(items[0], ok());
    assert!(items[1].is_error());
    assert_eq!(items[2], ok());
    assert_eq!(client.line("GET b")?, bulk("2"));
    Ok(())
}

fn refuses_after_a_bad_command(server: &Server) -> TestResult {
    let client = &mut server.raw()?;
    for bad in ["NONSENSE", "GET", "SHUTDOWN"] {
        send_all(client, &["DEL a", "MULTI", "SET a 1"][1..])?;
        assert!(client.line(bad)?.is_error());
        assert_eq!(
            error_text(&client.line("EXEC")?),
            "EXECABORT Transaction discarded because of previous errors."
        );
    }
    assert_eq!(error_text(&client.line("EXEC")?), "ERR EXEC without MULTI");
    Ok(())
}

/// The calls of another client between WATCH and EXEC, and whether the transaction still runs.
const CHANGES: &[(&[&str], bool)] = &[
    (&["SET w 2"], false),
    (&["SET w 1"], false),
    (&["GET w"], true),
    (&["SET other 1"], true),
    (&["SELECT 1", "SET w 2"], true),
    (&["DEL w"], false),
    (&["DEL gone"], true),
    (&["SET gone x"], false),
    (&["EXPIRE w 100"], false),
    (&["PERSIST w"], true),
    (&["RENAME other w"], false),
    (&["RENAME w other"], false),
    (&["COPY other w REPLACE"], false),
    (&["COPY w other REPLACE"], true),
    (&["MOVE w 1"], false),
    (&["MSET z 1 w 3"], false),
    (&["MSETNX w 1 new 2"], true),
    (&["APPEND w x"], false),
    (&["GETDEL w"], false),
    (&["GETEX w PERSIST"], true),
    (&["FLUSHDB"], false),
    (&["SELECT 1", "FLUSHDB"], true),
    (&["FLUSHALL"], false),
    (&["SWAPDB 0 1"], false),
    (&["SWAPDB 2 3"], true),
    (&["PEXPIRE w 1"], false),
    (&["MULTI", "SET w 9", "EXEC"], false),
    (&["MULTI", "SET w 9", "DISCARD"], true),
];

fn watches_for_every_change(server: &Server) -> TestResult {
    for (change, runs) in CHANGES {
        let (client, other) = (&mut server.raw()?, &mut server.raw()?);
        send_all(
            client,
            &["FLUSHALL", "SET w 1", "SET other 1", "WATCH w gone"],
        )?;
        for line in *change {
            let reply = other.line(line)?;
            assert!(!reply.is_error(), "{line}: {reply:?}");
        }
        send_all(client, &["MULTI", "SET result 1"])?;
        let reply = client.line("EXEC")?;
        assert_eq!(!reply.is_null(), *runs, "{change:?}: {reply:?}");
        // The watch is over in both cases.
        other.line("SET w 77")?;
        send_all(client, &["MULTI", "SET result 2"])?;
        assert_eq!(client.line("EXEC")?, Value::Array(vec![ok()]), "{change:?}");
    }
    Ok(())
}

fn watches_databases_after_a_swap_or_flush(server: &Server) -> TestResult {
    let (client, other) = (&mut server.raw()?, &mut server.raw()?);
    // A key that did not exist when its database was flushed: a later change still counts.
    send_all(client, &["FLUSHALL", "WATCH w"])?;
    send_all(other, &["FLUSHDB", "SET w 1"])?;
    send_all(client, &["MULTI", "SET a 1"])?;
    assert!(client.line("EXEC")?.is_null());
    // A watch refers to a database's number, not to its contents.
    send_all(client, &["FLUSHALL", "WATCH w"])?;
    send_all(other, &["SWAPDB 0 1", "SET w 1"])?;
    send_all(client, &["MULTI", "SET a 1"])?;
    assert!(client.line("EXEC")?.is_null());
    send_all(client, &["WATCH w", "UNWATCH"])?;
    send_all(other, &["SET w 2"])?;
    send_all(client, &["MULTI", "SET a 1"])?;
    assert_eq!(client.line("EXEC")?, Value::Array(vec![ok()]));
    Ok(())
}

fn watches_deadlines(server: &Server) -> TestResult {
    let (client, other) = (&mut server.raw()?, &mut server.raw()?);
    // The deadline has passed since the WATCH: that is a change, whether or not the server has removed the key.
    for wait_ms in [205, 600] {
        send_all(client, &["SET w 1 PX 200", "WATCH w"])?;
        thread::sleep(Duration::from_millis(wait_ms));
        send_all(client, &["MULTI", "SET a 1"])?;
        assert!(client.line("EXEC")?.is_null(), "after {wait_ms} ms");
    }
    // The deadline passed before the WATCH: the removal is no change. Active expiry is off, so that the key is still
    // there.
    send_all(other, &["DEBUG SET-ACTIVE-EXPIRE 0"])?;
    send_all(client, &["SET w 1 PX 1"])?;
    thread::sleep(Duration::from_millis(5));
    send_all(client, &["WATCH w"])?;
    send_all(other, &["DEBUG SET-ACTIVE-EXPIRE 1"])?;
    thread::sleep(Duration::from_millis(300));
    send_all(client, &["MULTI", "SET a 1"])?;
    assert_eq!(client.line("EXEC")?, Value::Array(vec![ok()]));
    Ok(())
}

/// Transfers between two keys whose sum never changes: every way to read both shows the sum.
fn no_client_sees_the_middle(server: &Server) -> TestResult {
    let client = &mut server.raw()?;
    send_all(client, &["FLUSHALL", "MSET a 500 b 500"])?;
    let done = AtomicBool::new(false);
    thread::scope(|scope| -> TestResult {
        let readers: Vec<_> = ["MGET a b", "EXEC"]
            .into_iter()
            .map(|way| {
                let done = &done;
                let reader = server.raw().map_err(|error| error.to_string());
                scope.spawn(move || -> Result<usize, String> {
                    let mut reader = reader?;
                    let mut read = 0;
                    while !done.load(Ordering::Relaxed) {
                        let reply = if way == "EXEC" {
                            reader
                                .send_bytes(b"MULTI\r\nGET a\r\nGET b\r\nEXEC\r\n")
                                .map_err(|error| error.to_string())?;
                            (0..3)
                                .try_for_each(|_| reader.read().map(drop))
                                .and_then(|()| reader.read())
                        } else {
                            reader.line(way)
                        };
                        let reply = reply.map_err(|error| error.to_string())?;
                        let sum: i64 = reply
                            .items()
                            .unwrap_or_default()
                            .iter()
                            .filter_map(|item| item.text()?.parse::<i64>().ok())
                            .sum();
                        if sum != 1000 {
                            return Err(format!("{way}: {reply:?}"));
                        }
                        read += 1;
                    }
                    Ok(read)
                })
            })
            .collect();
        let mut result = Ok(());
        for _ in 0..1500 {
            client.send_bytes(b"MULTI\r\nDECRBY a 7\r\nINCRBY b 7\r\nEXEC\r\n")?;
            for _ in 0..4 {
                client.read()?;
            }
        }
        done.store(true, Ordering::Relaxed);
        for reader in readers {
            let read = reader.join().expect("the reader does not panic");
            match read {
                Ok(read) => assert!(read > 0),
                Err(error) => result = Err(error.into()),
            }
        }
        result
    })
}

/// Several clients count by WATCH, GET, MULTI, SET, EXEC, and no increment is lost.
fn optimistic_counting_loses_nothing(server: &Server) -> TestResult {
    const CLIENTS: usize = 4;
    const STEPS: usize = 50;
    server.raw()?.line("SET counter 0")?;
    thread::scope(|scope| {
        for _ in 0..CLIENTS {
            scope.spawn(move || {
                let count = || -> TestResult {
                    let mut client = server.raw()?;
                    for _ in 0..STEPS {
                        loop {
                            send_all(&mut client, &["WATCH counter"])?;
                            let value: i64 = client
                                .line("GET counter")?
                                .text()
                                .unwrap_or_default()
                                .parse()?;
                            let set = format!("SET counter {}", value + 1);
                            send_all(&mut client, &["MULTI", &set])?;
                            if !client.line("EXEC")?.is_null() {
                                break;
                            }
                        }
                    }
                    Ok(())
                };
                count().expect("the client counts");
            });
        }
    });
    let wanted = (CLIENTS * STEPS).to_string();
    assert_eq!(server.raw()?.line("GET counter")?, bulk(&wanted));
    Ok(())
}

fn slow_commands_run_inside(server: &Server) -> TestResult {
    let client = &mut server.raw()?;
    send_all(
        client,
        &[
            "FLUSHALL", "MULTI", "SET a 1", "KEYS *", "FLUSHDB", "SET b 2", "DBSIZE",
        ],
    )?;
    assert_eq!(
        client.line("EXEC")?,
        Value::Array(vec![
            ok(),
            Value::Array(vec![bulk("a")]),
            ok(),
            ok(),
            Value::Integer(1)
        ])
    );
    assert!(client.line("GET a")?.is_null());
    Ok(())
}

fn large_transactions(server: &Server) -> TestResult {
    let client = &mut server.raw()?;
    let value = "x".repeat(300_000);
    send_all(client, &["FLUSHALL", "MULTI"])?;
    for n in 0..60 {
        assert_eq!(
            client.call(&["SET", &format!("large:{n}"), &value])?,
            Value::Simple(b"QUEUED".to_vec())
        );
    }
    let reply = client.line("EXEC")?;
    assert_eq!(reply.items().map(<[Value]>::len), Some(60));
    assert_eq!(client.line("GET large:59")?, bulk(&value));
    Ok(())
}

fn resets_and_goodbyes(server: &Server) -> TestResult {
    let client = &mut server.raw()?;
    send_all(client, &["DEL r", "MULTI", "SET r 1"][1..])?;
    assert_eq!(client.line("RESET")?, Value::Simple(b"RESET".to_vec()));
    assert_eq!(error_text(&client.line("EXEC")?), "ERR EXEC without MULTI");
    // A client that disconnects in the middle leaves nothing behind.
    let gone = &mut server.raw()?;
    send_all(gone, &["WATCH r", "MULTI", "SET r 1"])?;
    assert_eq!(gone.line("QUIT")?, ok());
    assert!(client.line("GET r")?.is_null());
    Ok(())
}

fn check(store: &str) -> TestResult {
    let options = Options::new(store)
        .pool_size("512mb")
        .directive("enable-debug-command", "yes")
        .directive("worker-threads", "3");
    let server = Server::start_with(options)?;
    runs_what_was_queued(&server)?;
    an_error_does_not_undo_the_rest(&server)?;
    refuses_after_a_bad_command(&server)?;
    watches_for_every_change(&server)?;
    watches_databases_after_a_swap_or_flush(&server)?;
    watches_deadlines(&server)?;
    no_client_sees_the_middle(&server)?;
    optimistic_counting_loses_nothing(&server)?;
    slow_commands_run_inside(&server)?;
    large_transactions(&server)?;
    resets_and_goodbyes(&server)
}

#[test]
fn transactions_on_cmap() -> TestResult {
    check("cmap")
}

#[test]
fn transactions_on_cmap_in_pairs() -> TestResult {
    check("cmap/pairs")
}

#[test]
fn transactions_on_stree() -> TestResult {
    check("stree")
}

#[test]
fn transactions_on_vcmap() -> TestResult {
    check("vcmap")
}

#[test]
fn transactions_on_vcmap_in_pairs() -> TestResult {
    check("vcmap/pairs")
}

#[test]
fn transactions_on_vsmap() -> TestResult {
    check("vsmap")
}

/// The time for watching a key does not grow with the number of watched keys.
#[test]
fn a_hundred_thousand_keys_are_watched() -> TestResult {
    let server = Server::start("vcmap")?;
    let mut client = server.raw()?;
    let mut other = server.raw()?;
    let mut words = vec!["WATCH".to_owned()];
    words.extend((0..100_000).map(|n| format!("key:{n}")));
    assert_eq!(client.call(&words)?, ok());
    // The second time, the client watches the keys already.
    assert_eq!(client.call(&words)?, ok());
    assert_eq!(other.line("SET key:99999 x")?, ok());
    assert_eq!(client.line("MULTI")?, ok());
    assert!(client.line("EXEC")?.is_null());
    assert_eq!(client.call(&words)?, ok());
    drop(client);
    assert_eq!(other.line("SET key:1 x")?, ok());
    Ok(())
}
