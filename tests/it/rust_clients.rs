//! The Rust crates `redis` and `fred` do real work, and go on after the server is killed and started again.

use std::collections::BTreeSet;
use std::thread;
use std::time::{Duration, Instant};

use common::{Server, TestResult};

const PATIENCE: Duration = Duration::from_secs(10);

mod redis_crate {
    use redis::{Commands, ConnectionLike, ExistenceCheck, RedisResult, SetExpiry, SetOptions};

    use super::*;

    fn lock(con: &mut impl ConnectionLike, token: &str, ms: u64) -> RedisResult<bool> {
        let options = SetOptions::default()
            .conditional_set(ExistenceCheck::NX)
            .with_expiration(SetExpiry::PX(ms));
        let set: Option<String> = con.set_options("lock", token, options)?;
        Ok(set.is_some())
    }

    /// Releases a lock without a script, by comparing the token under WATCH.
    fn unlock(con: &mut redis::Connection, token: &str) -> RedisResult<bool> {
        redis::transaction(con, &["lock"], |con, pipe| {
            let held: Option<String> = con.get("lock")?;
            if held.as_deref() != Some(token) {
                return Ok(Some(false));
            }
            let deleted: Option<(i64,)> = pipe.del("lock").query(con)?;
            Ok(deleted.map(|(count,)| count == 1))
        })
    }

    #[test]
    fn values_transactions_and_locks() -> TestResult {
        let server = Server::start("cmap")?;
        let mut con = server.connection()?;
        let mut other = server.connection()?;

        let () = con.set_ex("k", "v", 100)?;
        assert!((98..=100).contains(&con.ttl::<_, i64>("k")?));
        let () = con.mset(&(0..500).map(|i| (format!("m:{i}"), i)).collect::<Vec<_>>())?;
        let found: Vec<Option<i64>> = con.mget(&["m:1", "absent", "m:499"])?;
        assert_eq!(found, [Some(1), None, Some(499)]);
        let scanned: BTreeSet<String> = con.scan_match("m:*")?.collect::<Result<_, _>>()?;
        assert_eq!(scanned, (0..500).map(|i| format!("m:{i}")).collect());
        assert_eq!(con.unlink::<_, usize>(&scanned)?, 500);

        let (first, second): (i64, i64) = redis::pipe()
            .atomic()
            .set("n", 1)
            .ignore()
            .incr("n", 41)
            .incr("n", -2)
            .query(&mut con)?;
        assert_eq!((first, second), (42, 40));
        let mut tries = 0;
        let (sum,): (i64,) = redis::transaction(&mut con, &["n"], |con, pipe| {
            tries += 1;
            let seen: i64 = con.get("n")?;
            if tries == 1 {
                let () = other.set("n", 100)?;
            }
            pipe.set("n", seen + 1).ignore().get("n").query(con)
        })?;
        assert_eq!((tries, sum), (2, 101));

        assert!(lock(&mut con, "one", 10_000)?);
        assert!(!lock(&mut con, "two", 10_000)?);
        assert!(!unlock(&mut con, "two")?);
        assert!(unlock(&mut con, "one")?);
        assert!(lock(&mut con, "two", 40)?);
        let deadline = Instant::now() + PATIENCE;
        while !lock(&mut con, "three", 10_000)? {
            assert!(Instant::now() < deadline, "the lock does not expire");
            thread::sleep(Duration::from_millis(5));
        }
        assert!(!unlock(&mut con, "two")?);
        Ok(())
    }

    #[test]
    fn messages() -> TestResult {
        let server = Server::start("cmap")?;
        for protocol in ["", "?protocol=resp3"] {
            let url = format!("redis://127.0.0.1:{}/{protocol}", server.port());
            let mut listener = redis::Client::open(url)?.get_connection()?;
            let mut listener = listener.as_pubsub();
            listener.set_read_timeout(Some(PATIENCE))?;
            listener.subscribe("news")?;
            listener.psubscribe("n*")?;
            let mut con = server.connection()?;
            assert_eq!(con.publish::<_, _, i64>("news", b"\0\xff")?, 2);
            let mut seen = BTreeSet::new();
            for _ in 0..2 {
                let message = listener.get_message()?;
                assert_eq!(message.get_channel_name(), "news");
                assert_eq!(message.get_payload_bytes(), b"\0\xff");
                seen.insert(message.from_pattern());
            }
            assert_eq!(seen.len(), 2);
            assert_eq!(con.publish::<_, _, i64>("empty", "x")?, 0);
        }
        Ok(())
    }

    #[test]
    fn a_client_connects_again() -> TestResult {
        let mut server = Server::start("cmap")?;
        let port = server.port();
        let client = redis::Client::open(format!("redis://127.0.0.1:{port}/"))?;
        let mut con = client.get_connection()?;
        let () = con.set_ex("session", "kept", 100)?;
        let () = redis::pipe()
            .atomic()
            .set("a", 1)
            .set("b", 2)
            .query(&mut con)?;
        server.kill_9()?;
        assert!(con.get::<_, Option<String>>("session").is_err());
        assert!(!con.is_open());
        server.resume_on(port)?;
        let mut con = client.get_connection()?;
        let found: (String, i64, i64) = con.mget(&["session", "a", "b"])?;
        assert_eq!(found, ("kept".to_owned(), 1, 2));
        assert!((60..=100).contains(&con.ttl::<_, i64>("session")?));
        Ok(())
    }
}

mod fred_crate {
    use fred::clients::SubscriberClient;
    use fred::prelude::*;
    use fred::types::RespVersion;
    use tokio::time::timeout;

    use super::*;
    use common::Server;

    fn builder(port: u16, version: RespVersion) -> Builder {
        let config = Config {
            server: ServerConfig::new_centralized("127.0.0.1", port),
            version,
            ..Config::default()
        };
        let mut builder = Builder::from_config(config);
        builder.set_policy(ReconnectPolicy::new_constant(0, 50));
        builder
    }

    async fn connect(port: u16, version: RespVersion) -> TestResult<Client> {
        let client = builder(port, version).build()?;
        timeout(PATIENCE, client.init()).await??;
        Ok(client)
    }

    async fn work(port: u16, version: RespVersion) -> TestResult {
        let client = connect(port, version).await?;
        let _: () = client.flushall(false).await?;
        let _: () = client
            .set(
                "k",
                "v",
                Some(Expiration::EX(100)),
                Some(SetOptions::NX),
                false,
            )
            .await?;
        let ttl: i64 = client.ttl("k").await?;
        assert!((98..=100).contains(&ttl), "{ttl}");
        let pairs: Vec<(String, i64)> = (0..500).map(|i| (format!("m:{i}"), i)).collect();
        let _: () = client.mset(pairs).await?;
        let found: Vec<Option<i64>> = client.mget(vec!["m:1", "absent", "m:499"]).await?;
        assert_eq!(found, [Some(1), None, Some(499)]);

        let mut scanned = BTreeSet::new();
        let mut cursor = "0".to_owned();
        loop {
            let (next, keys): (String, Vec<String>) =
                client.scan_page(cursor, "m:*", Some(50), None).await?;
            scanned.extend(keys);
            if next == "0" {
                break;
            }
            cursor = next;
        }
        assert_eq!(scanned, (0..500).map(|i| format!("m:{i}")).collect());

        let pipeline = client.pipeline();
        for i in 0..100 {
            let _: () = pipeline.incr_by("n", i).await?;
        }
        let sums: Vec<i64> = pipeline.all().await?;
        assert_eq!(sums.last(), Some(&4950));

        let transaction = client.multi();
        let _: () = transaction.set("a", 1, None, None, false).await?;
        let _: () = transaction.incr_by("a", 41).await?;
        let _: () = transaction.get("a").await?;
        let replies: (String, i64, String) = transaction.exec(true).await?;
        assert_eq!(replies, ("OK".to_owned(), 42, "42".to_owned()));
        client.quit().await?;
        Ok(())
    }

    #[tokio::test]
    async fn values_and_transactions() -> TestResult {
        let server = Server::start("cmap")?;
        for version in [RespVersion::RESP2, RespVersion::RESP3] {
            work(server.port(), version).await?;
        }
        Ok(())
    }

    #[tokio::test]
    async fn invalidations() -> TestResult {
        let server = Server::start("cmap")?;
        let tracking = connect(server.port(), RespVersion::RESP3).await?;
        let client = connect(server.port(), RespVersion::RESP3).await?;
        let _: () = client.set("k", "v", None, None, false).await?;
        let mut invalidations = tracking.invalidation_rx();
        tracking
            .start_tracking(None, false, false, false, false)
            .await?;
        let _: String = tracking.get("k").await?;
        let _: () = client.set("k", "w", None, None, false).await?;
        let invalidation = timeout(PATIENCE, invalidations.recv()).await??;
        assert_eq!(invalidation.keys, ["k".into()]);
        Ok(())
    }

    #[tokio::test]
    async fn a_client_and_its_subscriptions_come_back() -> TestResult {
        let mut server = Server::start("cmap")?;
        let port = server.port();
        let client = connect(port, RespVersion::RESP3).await?;
        let subscriber: SubscriberClient =
            builder(port, RespVersion::RESP3).build_subscriber_client()?;
        timeout(PATIENCE, subscriber.init()).await??;
        // The client subscribes again after each new connection.
        let manager = subscriber.manage_subscriptions();
        subscriber.subscribe("news").await?;
        let mut messages = subscriber.message_rx();
        let heard: i64 = client.publish("news", "one").await?;
        assert_eq!(heard, 1);
        let message = timeout(PATIENCE, messages.recv()).await??;
        assert_eq!(message.value.as_bytes(), Some(b"one".as_slice()));

        let expiry = Some(Expiration::EX(100));
        let _: () = client.set("session", "kept", expiry, None, false).await?;
        server.kill_9()?;
        server.resume_on(port)?;
        let kept: String = timeout(PATIENCE, client.get("session")).await??;
        assert_eq!(kept, "kept");
        let again = async {
            while client.publish::<i64, _, _>("news", "two").await? == 0 {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
            Ok::<_, Error>(())
        };
        timeout(PATIENCE, again).await??;
        let message = timeout(PATIENCE, messages.recv()).await??;
        assert_eq!(message.value.as_bytes(), Some(b"two".as_slice()));
        manager.abort();
        Ok(())
    }
}
