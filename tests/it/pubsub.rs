//! Pub/sub over TCP, as far as the fixed conversations (tests/differential) do not test it.

use std::time::{Duration, Instant};

use common::{Options, RawClient, Server, TestResult, Value};

const STORES: [&str; 2] = ["cmap", "cmap/pairs"];

fn words(value: &Value) -> Vec<String> {
    let items = value.items().unwrap_or_default();
    items.iter().filter_map(Value::text).collect()
}

fn info(client: &mut RawClient, field: &str) -> TestResult<String> {
    let text = client.line("INFO all")?.text().unwrap_or_default();
    let line = text.lines().find_map(|line| line.strip_prefix(field));
    Ok(line
        .ok_or(format!("INFO lacks {field}"))?
        .trim_start_matches(':')
        .to_owned())
}

/// A client that publishes to itself gets the message after the reply, as in Redis 7.2.
#[test]
fn own_messages_come_after_the_reply() -> TestResult {
    for store in STORES {
        let server = Server::start(store)?;
        let mut client = server.raw()?;
        client.line("HELLO 3")?;
        client.line("SUBSCRIBE a")?;
        assert_eq!(client.line("PUBLISH a x")?, Value::Integer(1));
        assert_eq!(words(&client.read()?), ["message", "a", "x"]);
        client.line("MULTI")?;
        client.line("PUBLISH a y")?;
        client.line("SPUBLISH a y")?;
        let reply = client.line("EXEC")?;
        assert_eq!(
            reply.items(),
            Some(&[Value::Integer(1), Value::Integer(0)][..])
        );
        assert_eq!(words(&client.read()?), ["message", "a", "y"]);
    }
    Ok(())
}

#[test]
fn messages_keep_their_order_and_reach_every_listener() -> TestResult {
    let server = Server::start_with(Options::new("cmap").directive("worker-threads", "3"))?;
    let mut listeners = Vec::new();
    for number in 0..8 {
        let mut client = server.raw()?;
        if number % 2 == 0 {
            client.line("HELLO 3")?;
        }
        client.line("PSUBSCRIBE n*")?;
        listeners.push(client);
    }
    let port = server.port();
    let publishers: Vec<_> = (0..3)
        .map(|number| {
            std::thread::spawn(move || -> std::io::Result<()> {
                let mut client = RawClient::connect(port)?;
                for message in 0..500 {
                    let reply = client.line(&format!("PUBLISH news {number}:{message}"))?;
                    assert_eq!(reply, Value::Integer(8));
                }
                Ok(())
            })
        })
        .collect();
    let mut heard: Vec<Vec<String>> = Vec::new();
    for listener in &mut listeners {
        let mut messages = Vec::new();
        for _ in 0..1500 {
            messages.extend(words(&listener.read()?).pop());
        }
        heard.push(messages);
    }
    for publisher in publishers {
        publisher.join().map_err(|_| "a publisher panicked")??;
    }
    for messages in &heard {
        assert_eq!(messages, &heard[0], "one order for all");
    }
    for number in 0..3 {
        let start = format!("{number}:");
        let own = heard[0].iter().filter_map(|text| text.strip_prefix(&start));
        let expected = (0..500).map(|message| message.to_string());
        assert!(own.eq(expected), "a publisher's messages in their order");
    }
    Ok(())
}

#[test]
fn what_others_see_of_a_listener() -> TestResult {
    for store in STORES {
        let server = Server::start(store)?;
        let (mut listener, mut client) = (server.raw()?, server.raw()?);
        listener.line("CLIENT SETNAME ears")?;
        listener.send(&["SUBSCRIBE", "a", "b"])?;
        listener.send(&["PSUBSCRIBE", "c*"])?;
        listener.send(&["SSUBSCRIBE", "d"])?;
        for _ in 0..4 {
            listener.read()?;
        }
        let of_type = |client: &mut RawClient, kind: &str| -> TestResult<String> {
            let list = client.line(&format!("CLIENT LIST TYPE {kind}"))?;
            Ok(list.text().unwrap_or_default())
        };
        let line = of_type(&mut client, "pubsub")?;
        assert_eq!(line.lines().count(), 1);
        for field in ["name=ears", "flags=P ", "sub=2 psub=1 ssub=1", "redir=-1"] {
            assert!(line.contains(field), "{field} in {line}");
        }
        assert!(!of_type(&mut client, "normal")?.contains("ears"));
        for (field, expected) in [
            ("pubsub_channels", "2"),
            ("pubsub_patterns", "1"),
            ("pubsubshard_channels", "1"),
            ("pubsub_clients", "1"),
        ] {
            assert_eq!(info(&mut client, field)?, expected, "{field}");
        }
        assert_eq!(client.line("CLIENT KILL TYPE pubsub")?, Value::Integer(1));
        assert!(listener.is_closed()?);
        wait_for("its subscriptions end", || {
            Ok(info(&mut client, "pubsub_channels")? == "0"
                && info(&mut client, "pubsub_clients")? == "0"
                && info(&mut client, "pubsub_patterns")? == "0"
                && info(&mut client, "pubsubshard_channels")? == "0")
        })?;
        assert_eq!(client.line("PUBLISH a x")?, Value::Integer(0));
    }
    Ok(())
}

fn wait_for(what: &str, mut holds: impl FnMut() -> TestResult<bool>) -> TestResult {
    let until = Instant::now() + Duration::from_secs(10);
    while !holds()? {
        if Instant::now() > until {
            return Err(format!("never: {what}").into());
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    Ok(())
}

/// The server disconnects a listener that does not read at the hard limit; the publisher does not wait, and other
/// listeners get everything.
#[test]
fn a_slow_listener_is_disconnected_and_delays_no_client() -> TestResult {
    let server = Server::start("cmap")?;
    let (mut slow, mut client) = (server.raw()?, server.raw()?);
    client.call(&[
        "CONFIG",
        "SET",
        "client-output-buffer-limit",
        "pubsub 1mb 0 0",
    ])?;
    slow.line("SUBSCRIBE a")?;
    let port = server.port();
    let reader = std::thread::spawn(move || -> std::io::Result<usize> {
        let mut client = RawClient::connect(port)?;
        client.line("SUBSCRIBE a")?;
        let mut count = 0;
        while words(&client.read()?).pop().as_deref() != Some("end") {
            count += 1;
        }
        Ok(count)
    });
    wait_for("both listen", || {
        Ok(client.line("PUBSUB NUMSUB a")?.items().map(<[_]>::to_vec)
            == Some(vec![Value::Bulk(b"a".to_vec()), Value::Integer(2)]))
    })?;
    let message = "x".repeat(16 * 1024);
    let mut sent = 0;
    let mut both = true;
    let started = Instant::now();
    while both && sent < 4000 {
        both = client.line(&format!("PUBLISH a {message}"))? == Value::Integer(2);
        sent += 1;
    }
    assert!(!both, "the slow one is never ended");
    assert!(started.elapsed() < Duration::from_secs(20));
    client.line("PUBLISH a end")?;
    assert_eq!(reader.join().map_err(|_| "the reader panicked")??, sent);
    let field = "client_output_buffer_limit_disconnections";
    assert_eq!(info(&mut client, field)?, "1");
    assert!(server.log().contains("client-output-buffer-limit"));
    Ok(())
}

#[test]
fn the_soft_limit_gives_time() -> TestResult {
    let server = Server::start("cmap")?;
    let (mut slow, mut client) = (server.raw()?, server.raw()?);
    client.call(&[
        "CONFIG",
        "SET",
        "client-output-buffer-limit",
        "pubsub 0 512kb 1",
    ])?;
    slow.line("SUBSCRIBE a")?;
    let message = "x".repeat(512 * 1024);
    for _ in 0..40 {
        let reply = client.line(&format!("PUBLISH a {message}"))?;
        assert_eq!(reply, Value::Integer(1), "within its time");
    }
    wait_for("it is ended", || {
        Ok(client.line("PUBLISH a x")? == Value::Integer(0))
    })?;
    let field = "client_output_buffer_limit_disconnections";
    assert_eq!(info(&mut client, field)?, "1");
    Ok(())
}

#[test]
fn idle_listeners_stay_connected() -> TestResult {
    let server = Server::start_with(Options::new("cmap").directive("timeout", "1"))?;
    let (mut listener, mut idle) = (server.raw()?, server.raw()?);
    listener.line("SUBSCRIBE a")?;
    idle.line("PING")?;
    assert!(idle.is_closed()?, "an idle client is ended");
    std::thread::sleep(Duration::from_millis(500));
    assert_eq!(server.raw()?.line("PUBLISH a x")?, Value::Integer(1));
    assert_eq!(words(&listener.read()?), ["message", "a", "x"]);
    listener.line("UNSUBSCRIBE")?;
    assert!(listener.is_closed()?, "one that listens no longer too");
    Ok(())
}
