//! Keyspace events over TCP, as far as the comparison with redis-server (tests/differential) does not test them.

use common::{Options, RawClient, Server, TestResult, Value};

const STORES: [&str; 2] = ["cmap", "cmap/pairs"];

fn heard(listener: &mut RawClient) -> TestResult<(String, String)> {
    let message = listener.read()?;
    let words: Vec<_> = message.items().unwrap_or_default().iter().collect();
    let text = |place: usize| words.get(place).and_then(|word| word.text());
    Ok((text(2).ok_or("no channel")?, text(3).ok_or("no message")?))
}

fn expect(listener: &mut RawClient, events: &[(&str, &str)]) -> TestResult {
    for &(channel, message) in events {
        let (got_channel, got_message) = heard(listener)?;
        assert_eq!(
            (got_channel.as_str(), got_message.as_str()),
            (channel, message)
        );
    }
    Ok(())
}

#[test]
fn only_configured_events_are_published() -> TestResult {
    for store in STORES {
        let server =
            Server::start_with(Options::new(store).directive("notify-keyspace-events", "Kg"))?;
        let (mut listener, mut client) = (server.raw()?, server.raw()?);
        listener.line("PSUBSCRIBE __key*")?;
        client.line("SET k v")?;
        client.line("EXPIRE k 1000")?;
        client.line("CONFIG SET notify-keyspace-events E$")?;
        client.line("SET k v")?;
        client.line("DEL k")?;
        client.line("CONFIG SET notify-keyspace-events A")?;
        client.line("SET k v")?;
        client.line("CONFIG SET notify-keyspace-events AnKE")?;
        client.line("SELECT 3")?;
        client.line("SETEX k 100 v")?;
        expect(
            &mut listener,
            &[
                ("__keyspace@0__:k", "expire"),
                ("__keyevent@0__:set", "k"),
                ("__keyspace@3__:k", "new"),
                ("__keyevent@3__:new", "k"),
                ("__keyspace@3__:k", "set"),
                ("__keyevent@3__:set", "k"),
                ("__keyspace@3__:k", "expire"),
                ("__keyevent@3__:expire", "k"),
            ],
        )?;
        let shown = client.line("CONFIG GET notify-keyspace-events")?;
        let shown = shown.items().and_then(|items| items.get(1)?.text());
        assert_eq!(shown.as_deref(), Some("AKE"));
    }
    Ok(())
}

#[test]
fn expired_keys() -> TestResult {
    for store in STORES {
        let server =
            Server::start_with(Options::new(store).directive("notify-keyspace-events", "Exn$"))?;
        let (mut listener, mut client) = (server.raw()?, server.raw()?);
        listener.line("PSUBSCRIBE __key*")?;
        client.line("SET k v PX 30")?;
        // No command touches the key.
        expect(
            &mut listener,
            &[
                ("__keyevent@0__:new", "k"),
                ("__keyevent@0__:set", "k"),
                ("__keyevent@0__:expired", "k"),
            ],
        )?;
        // A write is the first command that finds the key expired.
        client.line("DEBUG SET-ACTIVE-EXPIRE 0")?;
        client.line("SET k v PX 1")?;
        std::thread::sleep(std::time::Duration::from_millis(20));
        client.line("SET k w")?;
        // A subscriber hears nothing of a transaction before it is done.
        client.line("MULTI")?;
        client.line("SET m 1")?;
        client.line("SET n 1 PXAT 5")?;
        client.line("EXEC")?;
        let mut events = Vec::new();
        loop {
            let (channel, key) = heard(&mut listener)?;
            events.push(format!(
                "{} {key}",
                channel.trim_start_matches("__keyevent@0__:")
            ));
            if channel.ends_with("expired") && key == "n" {
                break;
            }
        }
        let start = if events[2].starts_with("expired") {
            ["new k", "set k", "expired k"]
        } else {
            panic!("{events:?}")
        };
        assert_eq!(events[..3], start);
        assert_eq!(
            events[3..],
            [
                "new k",
                "set k",
                "new m",
                "set m",
                "new n",
                "set n",
                "expired n"
            ]
        );
    }
    Ok(())
}

/// Events of one key arrive in the order of its changes, whichever client makes them.
#[test]
fn events_of_a_key_keep_their_order() -> TestResult {
    let server = Server::start_with(
        Options::new("cmap")
            .directive("notify-keyspace-events", "K$gn")
            .directive("worker-threads", "3"),
    )?;
    let mut listener = server.raw()?;
    listener.line("PSUBSCRIBE __key*")?;
    let port = server.port();
    let writers: Vec<_> = (0..3)
        .map(|_| {
            std::thread::spawn(move || -> std::io::Result<()> {
                let mut client = RawClient::connect(port)?;
                for _ in 0..300 {
                    client.line("SET k v")?;
                    client.line("DEL k")?;
                }
                Ok(())
            })
        })
        .collect();
    for writer in writers {
        writer.join().map_err(|_| "a writer panicked")??;
    }
    assert_eq!(
        server.raw()?.line("PUBLISH __key:end x")?,
        Value::Integer(1)
    );
    let mut exists = false;
    let mut is_new = false;
    let mut count = 0;
    loop {
        let (channel, event) = heard(&mut listener)?;
        if channel == "__key:end" {
            break;
        }
        count += 1;
        match event.as_str() {
            "new" => {
                assert!(!exists && !is_new, "new, but it was there");
                is_new = true;
            }
            "set" => {
                assert!(exists || is_new, "set without new");
                exists = true;
                is_new = false;
            }
            "del" => {
                assert!(exists && !is_new, "del, but it was not there");
                exists = false;
            }
            other => panic!("{other}"),
        }
    }
    assert!(count > 900, "only {count} events");
    Ok(())
}
