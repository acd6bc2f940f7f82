//! The cursors of SCAN, HSCAN, SSCAN and ZSCAN over TCP: numbers that every client can represent and that stay valid
//! after a restart.

use std::collections::BTreeMap;

use common::{RawClient, Server, TestResult, Value, on_every_engine, show};

/// Elements of each collection, and keys besides the collections.
const ELEMENTS: usize = 3_000;

/// A walk with more pages than this counts as endless.
const PAGES_MAX: usize = 2 * ELEMENTS;

/// The calls of one of the commands.
#[derive(Clone, Copy)]
struct Walk {
    /// The arguments before the cursor.
    call: &'static str,
    /// The arguments before the name of an element to add.
    add: &'static str,
    /// The arguments before the name of an element to remove.
    remove: &'static str,
    /// The argument after the name of an element to add.
    value: &'static str,
    /// Items of the reply for each element.
    words: usize,
}

const WALKS: [Walk; 4] = [
    Walk {
        call: "SCAN",
        add: "SET ",
        remove: "DEL ",
        value: " 1",
        words: 1,
    },
    Walk {
        call: "HSCAN hash",
        add: "HSET hash ",
        remove: "HDEL hash ",
        value: " 1",
        words: 2,
    },
    Walk {
        call: "SSCAN set",
        add: "SADD set ",
        remove: "SREM set ",
        value: "",
        words: 1,
    },
    Walk {
        call: "ZSCAN zset",
        add: "ZADD zset 1 ",
        remove: "ZREM zset ",
        value: "",
        words: 2,
    },
];

impl Walk {
    fn fill(self, client: &mut RawClient) -> TestResult {
        for number in 0..ELEMENTS {
            let reply = client.line(&format!("{}e{number}{}", self.add, self.value))?;
            assert!(!reply.is_error(), "{}", show(&reply));
        }
        Ok(())
    }

    /// One page: the next cursor, and the names on the page.
    fn page(self, client: &mut RawClient, cursor: &str, count: usize) -> TestResult<Page> {
        let reply = client.line(&format!("{} {cursor} COUNT {count}", self.call))?;
        let [next, elements] = reply.items().ok_or_else(|| show(&reply))? else {
            return Err(show(&reply).into());
        };
        let names = elements.items().ok_or("elements")?.iter();
        Ok(Page {
            next: next.text().ok_or("a cursor")?,
            names: names.step_by(self.words).filter_map(Value::text).collect(),
        })
    }
}

struct Page {
    next: String,
    names: Vec<String>,
}

/// Carries a cursor as clients do: as a signed 64-bit integer, then as a JavaScript number.
#[allow(clippy::cast_precision_loss)] // The loss is what is looked for.
fn carried(cursor: &str) -> TestResult<String> {
    let number: i64 = cursor.parse()?;
    assert!((0..1 << 48).contains(&number), "{cursor}");
    Ok((number as f64).to_string())
}

/// Walks to the end while elements are added and removed. With `restart`, the server is killed and started again during
/// the walk.
fn walks_to_the_end(server: &mut Server, walk: Walk, count: usize, restart: bool) -> TestResult {
    let mut client = server.raw()?;
    let mut met: BTreeMap<String, usize> = BTreeMap::new();
    let mut cursor = "0".to_owned();
    for page in 0..PAGES_MAX {
        let Page { next, names } = walk.page(&mut client, &cursor, count)?;
        for name in names {
            *met.entry(name).or_default() += 1;
        }
        cursor = carried(&next)?;
        if cursor == "0" {
            break;
        }
        client.line(&format!("{}other{page}{}", walk.add, walk.value))?;
        client.line(&format!("{}other{}", walk.remove, page / 2))?;
        if restart && page == 10 {
            server.kill_9()?;
            server.resume()?;
            client = server.raw()?;
        }
    }
    assert_eq!(cursor, "0", "{} does not end", walk.call);
    for number in 0..ELEMENTS {
        let times = met.get(&format!("e{number}"));
        assert_eq!(times, Some(&1), "{}: element {number}", walk.call);
    }
    assert!(met.values().all(|&times| times == 1), "{}", walk.call);
    Ok(())
}

/// Like Redis, the server takes every unsigned number as a cursor and goes on from there.
fn any_number_leads_to_the_end(client: &mut RawClient, walk: Walk) -> TestResult {
    for start in [
        "007",
        "281474976710655",
        "281474976710656",
        "9007199254740993",
        "9223372036854775807",
        "18446744073709551615",
        "-1",
    ] {
        let mut cursor = start.to_owned();
        for _ in 0..PAGES_MAX {
            cursor = carried(&walk.page(client, &cursor, 100)?.next)?;
            if cursor == "0" {
                break;
            }
        }
        assert_eq!(cursor, "0", "{} {start}", walk.call);
    }
    // A cursor behind all elements finds none.
    let last = walk.page(client, "18446744073709551615", 10)?;
    assert_eq!((last.next.as_str(), last.names.len()), ("0", 0));
    for word in ["x", "18446744073709551616", "1.0", "1e3", "-", "0x10"] {
        let reply = client.line(&format!("{} {word}", walk.call))?;
        assert_eq!(show(&reply), "-ERR invalid cursor", "{} {word}", walk.call);
    }
    let all = walk.page(client, "0", 9_223_372_036_854_775_807)?;
    assert!(all.next == "0" && all.names.len() >= ELEMENTS);
    Ok(())
}

/// The server returns small collections whole, whatever the cursor.
fn small_collections(client: &mut RawClient) -> TestResult {
    for line in [
        "HSET h a 1 b 2",
        "SADD s a b",
        "SADD i 1 2",
        "ZADD z 1 a 2 b",
    ] {
        client.line(line)?;
    }
    for cursor in ["0", "5", "281474976710656", "18446744073709551615"] {
        for (call, page) in [
            ("HSCAN h", "[0 [a 1 b 2]]"),
            ("SSCAN s", "[0 [a b]]"),
            ("SSCAN i", "[0 [1 2]]"),
            ("ZSCAN z", "[0 [a 1 b 2]]"),
            ("HSCAN none", "[0 []]"),
        ] {
            let reply = client.line(&format!("{call} {cursor} COUNT 1"))?;
            assert_eq!(show(&reply), page, "{call} {cursor}");
        }
    }
    Ok(())
}

fn on(store: &str) -> TestResult {
    let mut server = Server::start(store)?;
    let mut client = server.raw()?;
    for walk in WALKS {
        walk.fill(&mut client)?;
        for count in [10, 250] {
            walks_to_the_end(&mut server, walk, count, false)?;
        }
        any_number_leads_to_the_end(&mut client, walk)?;
    }
    small_collections(&mut client)
}

fn survives_kill_9(store: &str) -> TestResult {
    let mut server = Server::start(store)?;
    for walk in WALKS {
        walk.fill(&mut server.raw()?)?;
        walks_to_the_end(&mut server, walk, 50, true)?;
    }
    Ok(())
}

on_every_engine!(on, persistent: survives_kill_9);
