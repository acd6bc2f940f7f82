//! Fixed conversations of several clients with both servers: all replies and messages must be equal.

use std::collections::BTreeMap;

use common::{RawClient, RedisServer, Server, TestResult, Value};

/// Plays a script on both servers and compares all that comes back.
///
/// A line is `client: CALL | values`: the client sends the call, if there is one, and reads this many values.
/// `{client}` in a call is that client's id. At the end every client sends a PING, so that no reply stays unread.
pub fn compare(script: &str) -> TestResult {
    let (ours, real) = (Server::start("cmap")?, RedisServer::start()?);
    let of_ours = play(ours.port(), script)?;
    let of_real = play(real.port(), script)?;
    for ((line, ours), (_, real)) in of_ours.iter().zip(&of_real) {
        assert_eq!(ours, real, "ours, redis-server, at: {line}");
    }
    assert_eq!(of_ours.len(), of_real.len());
    Ok(())
}

struct Client {
    connection: RawClient,
    id: i64,
}

pub(super) fn play(port: u16, script: &str) -> TestResult<Vec<(String, Value)>> {
    let mut clients: BTreeMap<&str, Client> = BTreeMap::new();
    let mut told = Vec::new();
    let lines = script.lines().map(str::trim);
    let lines: Vec<_> = lines.filter(|line| !line.is_empty()).collect();
    for line in &lines {
        let name = line.split(':').next().unwrap_or_default();
        if !clients.contains_key(name) {
            let mut connection = RawClient::connect(port)?;
            let id = connection.line("CLIENT ID")?.integer().ok_or("no id")?;
            clients.insert(name, Client { connection, id });
        }
    }
    let ids: BTreeMap<_, _> = clients.iter().map(|(&name, c)| (name, c.id)).collect();
    let end: Vec<String> = ids
        .keys()
        .map(|name| format!("{name}: PING end | 1"))
        .collect();
    for line in lines.into_iter().chain(end.iter().map(String::as_str)) {
        let (name, rest) = line.split_once(": ").ok_or("a line without its client")?;
        let (call, values) = rest.rsplit_once("| ").ok_or("a line without its values")?;
        if call.trim() == "QUIT" {
            clients.remove(name);
            // The server must see the end of the connection before the next call.
            std::thread::sleep(std::time::Duration::from_millis(50));
            continue;
        }
        let Some(client) = clients.get_mut(name) else {
            continue;
        };
        let mut call = call.trim().to_owned();
        for (name, id) in &ids {
            call = call.replace(&format!("{{{name}}}"), &id.to_string());
        }
        if !call.is_empty() {
            client
                .connection
                .send(&call.split(' ').collect::<Vec<_>>())?;
        }
        for _ in 0..values.parse()? {
            let value = client
                .connection
                .read()
                .map_err(|error| format!("{line}: {error}"))?;
            told.push((line.to_owned(), comparable(line, value, &ids)));
        }
    }
    Ok(told)
}

/// Ids and versions differ between the servers.
fn comparable(line: &str, value: Value, ids: &BTreeMap<&str, i64>) -> Value {
    let greets = |name: &Value| name.bytes() == Some(b"server");
    let breaks = |items: &[Value]| {
        let first = items.first().and_then(Value::bytes);
        first == Some(b"tracking-redir-broken")
    };
    match value {
        Value::Map(pairs) if pairs.iter().any(|(name, _)| greets(name)) => {
            Value::Simple(b"a greeting".to_vec())
        }
        Value::Push(items) if breaks(&items) => Value::Push(
            items
                .into_iter()
                .map(|item| without_ids(item, ids))
                .collect(),
        ),
        value if line.contains("CLIENT") => without_ids(value, ids),
        value => value,
    }
}

fn without_ids(value: Value, ids: &BTreeMap<&str, i64>) -> Value {
    match value {
        Value::Integer(number) => match ids.iter().find(|(_, id)| **id == number) {
            Some((name, _)) => Value::Simple(format!("id of {name}").into_bytes()),
            None => Value::Integer(number),
        },
        Value::Array(items) => Value::Array(
            items
                .into_iter()
                .map(|item| without_ids(item, ids))
                .collect(),
        ),
        Value::Map(pairs) => Value::Map(
            pairs
                .into_iter()
                .map(|(name, value)| (name, without_ids(value, ids)))
                .collect(),
        ),
        other => other,
    }
}

/// Subscribing in RESP2.
pub const SUBSCRIBING: &str = "
    s: SUBSCRIBE a b a | 3
    s: PSUBSCRIBE n* n* | 2
    s: SSUBSCRIBE s1 | 1
    p: PUBLISH a hello | 1
    s: | 1
    p: PUBLISH news hi | 1
    s: | 1
    p: SPUBLISH s1 x | 1
    s: | 1
    p: PUBLISH s1 x | 1
    p: SPUBLISH a x | 1
    p: PUBLISH nobody x | 1
    p: PUBSUB NUMSUB a b c a | 1
    p: PUBSUB NUMSUB | 1
    p: PUBSUB NUMPAT | 1
    p: PUBSUB CHANNELS a | 1
    p: PUBSUB CHANNELS x* | 1
    p: PUBSUB SHARDCHANNELS | 1
    p: PUBSUB SHARDCHANNELS x | 1
    p: PUBSUB SHARDNUMSUB s1 s2 | 1
    p: PUBSUB SHARDNUMSUB | 1
    p: PUBSUB CHANNELS a b | 1
    p: PUBSUB NUMPAT x | 1
    p: PUBSUB nonsense | 1
    p: PUBSUB | 1
    p: PUBLISH a | 1
    p: SUBSCRIBE | 1
    p: SSUBSCRIBE | 1
    p: SPUBLISH | 1
    s: GET k | 1
    s: CLIENT ID | 1
    s: PUBLISH a x | 1
    s: nonsense | 1
    s: GET | 1
    s: PING | 1
    s: PING x | 1
    s: PING x y | 1
    s: HELLO 3 | 1
    s: MULTI | 1
    s: UNSUBSCRIBE b | 1
    s: UNSUBSCRIBE b nosuch | 2
    s: UNSUBSCRIBE | 1
    s: UNSUBSCRIBE | 1
    s: SUNSUBSCRIBE | 1
    s: SUNSUBSCRIBE | 1
    s: GET k | 1
    s: PUNSUBSCRIBE n* | 1
    s: PUNSUBSCRIBE | 1
    s: PUNSUBSCRIBE a b | 2
    s: GET k | 1
    s: UNSUBSCRIBE | 1
    s: SUNSUBSCRIBE x | 1
    p: PUBLISH a x | 1
    s: SUBSCRIBE a | 1
    s: RESET | 1
    p: PUBLISH a x | 1
    s: GET k | 1
    s: SUBSCRIBE a | 1
    s: QUIT | 0
    p: PUBLISH a x | 1
    p: PUBSUB CHANNELS | 1
";

/// The same in RESP3, where messages are pushes and clients may send every command.
pub const PUSHING: &str = "
    s: HELLO 3 | 1
    s: SUBSCRIBE a b | 2
    s: PSUBSCRIBE a* | 1
    s: SET k v | 1
    s: GET k | 1
    s: PING | 1
    p: PUBLISH a hello | 1
    s: | 2
    s: SSUBSCRIBE c | 1
    p: SPUBLISH c x | 1
    s: | 1
    s: UNSUBSCRIBE nosuch | 1
    s: UNSUBSCRIBE a b | 2
    s: UNSUBSCRIBE | 1
    s: PUNSUBSCRIBE | 1
    s: PUNSUBSCRIBE | 1
    s: SUNSUBSCRIBE | 1
    s: SUNSUBSCRIBE | 1
    s: CLIENT REPLY OFF | 0
    s: SUBSCRIBE quiet | 1
    s: GET k | 0
    p: PUBLISH quiet x | 1
    s: | 1
    s: CLIENT REPLY ON | 1
    s: MULTI | 1
    s: SUBSCRIBE m | 1
    s: GET k | 1
    s: EXEC | 1
    s: CLIENT REPLY SKIP | 0
    s: GET k | 0
    s: RESET | 1
    p: PUBLISH quiet x | 1
    p: PUBLISH m x | 1
";

/// In transactions.
pub const QUEUEING: &str = "
    s: MULTI | 1
    s: SUBSCRIBE a | 1
    s: GET k | 1
    s: EXEC | 1
    s: GET k | 1
    s: UNSUBSCRIBE | 1
    s: MULTI | 1
    s: SSUBSCRIBE a | 1
    s: SPUBLISH a x | 1
    s: EXEC | 1
    s: MULTI | 1
    s: UNSUBSCRIBE | 1
    s: PUNSUBSCRIBE x | 1
    s: EXEC | 1
    p: MULTI | 1
    p: PUBLISH a x | 1
    p: PUBSUB NUMPAT | 1
    p: EXEC | 1
";

/// Caching clients in RESP3.
pub const TRACKING: &str = "
    w: SET k 1 | 1
    w: SET m 1 | 1
    c: HELLO 3 | 1
    c: CLIENT GETREDIR | 1
    c: CLIENT TRACKINGINFO | 1
    c: CLIENT CACHING YES | 1
    c: CLIENT TRACKING ON | 1
    c: CLIENT TRACKINGINFO | 1
    c: CLIENT GETREDIR | 1
    c: CLIENT CACHING YES | 1
    c: GET k | 1
    c: GET k | 1
    w: SET k 2 | 1
    c: | 1
    w: SET k 3 | 1
    c: MGET k m nosuch | 1
    w: MSET k 1 m 2 | 1
    c: | 2
    w: SET nosuch 1 | 1
    c: | 1
    c: GET k | 1
    c: SET k mine | 2
    c: EXISTS k | 1
    w: EXPIRE k 1000 | 1
    c: | 1
    c: TYPE k | 1
    w: PERSIST k | 1
    c: | 1
    c: STRLEN k | 1
    w: DEL k | 1
    c: | 1
    c: GET m | 1
    w: RENAME m k | 1
    c: | 1
    c: OBJECT ENCODING k | 1
    w: APPEND k x | 1
    c: | 1
    c: GET k | 1
    w: FLUSHALL | 1
    c: | 1
    c: FLUSHDB | 2
    c: MULTI | 1
    c: GET k | 1
    c: SET k x | 1
    c: EXEC | 2
    c: GETEX k | 1
    w: SET k y | 1
    c: GET k | 1
    w: INCR n | 1
    w: SELECT 1 | 1
    w: SET k other-database | 1
    c: | 1
    c: GET k | 1
    c: CLIENT TRACKING OFF | 1
    c: CLIENT GETREDIR | 1
    w: SET k z | 1
    c: CLIENT TRACKING ON NOLOOP | 1
    c: SET k own | 1
    c: CLIENT TRACKINGINFO | 1
    c: CLIENT TRACKING ON OPTIN | 1
    c: CLIENT TRACKING ON OPTOUT | 1
    c: CLIENT CACHING NO | 1
    c: CLIENT CACHING maybe | 1
    c: GET k | 1
    w: SELECT 0 | 1
    w: SET k a | 1
    c: CLIENT CACHING YES | 1
    c: CLIENT TRACKINGINFO | 1
    c: GET k | 1
    c: CLIENT TRACKINGINFO | 1
    c: GET n | 1
    w: MSET k 1 n 2 | 1
    c: | 1
    c: CLIENT CACHING YES | 1
    c: MULTI | 1
    c: GET k | 1
    c: GET n | 1
    c: EXEC | 1
    w: SET n 5 | 1
    c: | 1
    w: SET k 5 | 1
    c: | 1
    c: CLIENT TRACKING OFF | 1
    c: CLIENT TRACKING ON OPTOUT | 1
    c: CLIENT CACHING NO | 1
    c: GET k | 1
    c: GET n | 1
    w: MSET k 1 n 2 | 1
    c: | 1
    c: CLIENT TRACKING ON BCAST | 1
    c: CLIENT TRACKING maybe | 1
    c: CLIENT TRACKING | 1
    c: CLIENT TRACKING ON nonsense | 1
    c: CLIENT TRACKING ON REDIRECT 123456789 | 1
    c: CLIENT TRACKING ON REDIRECT x | 1
    c: CLIENT TRACKING ON REDIRECT {w} REDIRECT {w} | 1
    c: CLIENT TRACKING OFF BCAST | 1
";

/// Broadcast mode.
pub const BROADCASTING: &str = "
    c: HELLO 3 | 1
    c: CLIENT TRACKING ON PREFIX a | 1
    c: CLIENT TRACKING ON BCAST OPTIN | 1
    c: CLIENT TRACKING ON BCAST PREFIX user: PREFIX item: | 1
    c: CLIENT TRACKINGINFO | 1
    c: CLIENT TRACKING ON | 1
    c: CLIENT TRACKING ON BCAST PREFIX user:x | 1
    c: CLIENT TRACKING ON BCAST PREFIX b PREFIX be | 1
    c: CLIENT TRACKING ON BCAST PREFIX ab | 1
    c: CLIENT TRACKINGINFO | 1
    w: SET user:1 x | 1
    c: | 1
    w: SET other x | 1
    w: DEL user:1 | 1
    c: | 1
    c: SET item:1 own | 2
    c: CLIENT TRACKING ON BCAST NOLOOP | 1
    c: SET item:1 own | 1
    w: SET other y | 1
    c: | 1
    w: FLUSHALL | 1
    c: | 1
    c: CLIENT TRACKING OFF | 1
    w: SET user:1 x | 1
    c: CLIENT TRACKINGINFO | 1
";

/// Invalidations that are redirected to another connection.
pub const REDIRECTING: &str = "
    r: SUBSCRIBE __redis__:invalidate | 1
    c: CLIENT TRACKING ON REDIRECT {r} | 1
    c: CLIENT GETREDIR | 1
    c: CLIENT TRACKINGINFO | 1
    c: GET k | 1
    w: SET k 1 | 1
    r: | 1
    c: GET k | 1
    w: FLUSHALL | 1
    r: | 1
    d: HELLO 3 | 1
    d: CLIENT TRACKING ON REDIRECT {r} | 1
    d: GET k | 1
    w: SET k 1 | 1
    r: | 1
    r: QUIT | 0
    d: GET k | 1
    c: GET k | 1
    w: SET k 2 | 1
    d: | 1
    d: CLIENT TRACKINGINFO | 1
    c: CLIENT TRACKINGINFO | 1
    d: CLIENT TRACKING ON | 1
    d: CLIENT TRACKINGINFO | 1
    d: GET k | 1
    w: SET k 2 | 1
    d: | 1
    e: CLIENT TRACKING ON | 1
    e: GET k | 1
    w: SET k 2 | 1
    e: CLIENT TRACKING ON REDIRECT {d} | 1
    e: GET k | 1
    w: SET k 2 | 1
    d: | 1
";

/// What a waiting client gets, and the events of both commands. `l` waits a moment, so that `b` waits too.
pub const SERVING: &str = "
    w: CONFIG SET notify-keyspace-events EA | 1
    e: PSUBSCRIBE __keyevent* | 1
    b: BLPOP a c 0 | 0
    l: BLPOP nosuch 0.05 | 1
    w: RPUSH c x | 1
    b: | 1
    e: | 3
    b: BRPOP a 0 | 0
    l: BLPOP nosuch 0.05 | 1
    w: RPUSH a x y z | 1
    b: | 1
    e: | 2
    w: DEL a | 1
    e: | 1
    b: BLMOVE a d LEFT RIGHT 0 | 0
    l: BLPOP nosuch 0.05 | 1
    w: LPUSH a x | 1
    b: | 1
    e: | 4
    b: BLMPOP 0 2 a c LEFT COUNT 2 | 0
    l: BLPOP nosuch 0.05 | 1
    w: RENAME d c | 1
    b: | 1
    e: | 4
    b: BZPOPMIN z 0 | 0
    l: BLPOP nosuch 0.05 | 1
    w: ZADD z 1 p 2 q | 1
    b: | 1
    e: | 2
    w: DEL z | 1
    e: | 1
    b: BZMPOP 0 1 z MAX COUNT 5 | 0
    l: BLPOP nosuch 0.05 | 1
    w: ZADD z 1 p 2 q | 1
    b: | 1
    e: | 3
    b: BRPOPLPUSH a a 0 | 0
    l: BLPOP nosuch 0.05 | 1
    w: MULTI | 1
    w: RPUSH a 1 | 1
    w: RPUSH a 2 | 1
    w: EXEC | 1
    b: | 1
    e: | 4
";
