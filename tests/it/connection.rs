//! Connections: handshakes, passwords, CLIENT, CONFIG, COMMAND, INFO and SHUTDOWN over TCP.

use common::{Options, RawClient, Server, TestResult, Value};
use redis::{Commands, cmd};

/// Sends each line and compares the reply, shown as `Value` shows it, with the text beside it.
fn check(client: &mut RawClient, calls: &[(&str, &str)]) -> TestResult {
    for (line, expected) in calls {
        let reply = format!("{:?}", client.line(line)?);
        assert_eq!(reply.replace("\\'", "'"), *expected, "{line}");
    }
    Ok(())
}

fn on_vcmap() -> TestResult<Server> {
    Server::start("vcmap")
}

#[test]
fn greets_in_both_protocols() -> TestResult {
    let server = on_vcmap()?;
    for protocol in ["2", "3"] {
        let url = format!(
            "redis://127.0.0.1:{}/?protocol=resp{protocol}",
            server.port()
        );
        let mut con = redis::Client::open(url)?.get_connection()?;
        let () = con.set("key", "value")?;
        assert_eq!(con.get::<_, String>("key")?, "value");
        let info: String = cmd("CLIENT").arg("INFO").query(&mut con)?;
        assert!(info.contains(&format!(" resp={protocol} ")), "{info}");
    }
    let mut client = server.raw()?;
    let Value::Map(fields) = client.line("HELLO 3 SETNAME me")? else {
        return Err("HELLO 3 answers a map".into());
    };
    let names: Vec<_> = fields.iter().filter_map(|(name, _)| name.text()).collect();
    let expected = [
        "server", "version", "proto", "id", "mode", "role", "modules",
    ];
    assert_eq!(names, expected);
    check(
        &mut client,
        &[
            ("CLIENT GETNAME", "\"me\""),
            ("GET missing", "_"),
            ("HELLO 4", "-NOPROTO unsupported protocol version"),
            (
                "HELLO x",
                "-ERR Protocol version is not an integer or out of range",
            ),
            ("HELLO 2 FOO", "-ERR Syntax error in HELLO option 'FOO'"),
            ("GET missing", "_"),
            ("RESET", "+RESET"),
            ("CLIENT GETNAME", "$-1"),
            ("PING", "+PONG"),
            ("PING text", "\"text\""),
            (
                "PING a b",
                "-ERR wrong number of arguments for 'ping' command",
            ),
            ("ECHO text", "\"text\""),
            ("QUIT", "+OK"),
        ],
    )?;
    assert!(client.is_closed()?);
    Ok(())
}

#[test]
fn asks_for_the_password() -> TestResult {
    const WRONG: &str = "-WRONGPASS invalid username-password pair or user is disabled.";
    let server = Server::start_with(Options::new("vcmap").directive("requirepass", "secret"))?;
    let mut client = server.raw()?;
    check(
        &mut client,
        &[
            ("GET a", "-NOAUTH Authentication required."),
            ("AUTH wrong", WRONG),
            ("AUTH nobody secret", WRONG),
            ("AUTH a b c", "-ERR syntax error"),
            ("HELLO 3 AUTH default wrong", WRONG),
        ],
    )?;
    let text = format!("{:?}", client.line("HELLO 3")?);
    assert!(text.starts_with("-NOAUTH HELLO must be called"), "{text}");
    check(
        &mut client,
        &[
            ("AUTH secret", "+OK"),
            ("GET a", "$-1"),
            ("RESET", "+RESET"),
            ("GET a", "-NOAUTH Authentication required."),
            ("AUTH default secret", "+OK"),
            ("CONFIG SET requirepass other", "+OK"),
            ("GET a", "$-1"),
            ("AUTH secret", WRONG),
        ],
    )?;
    let mut late = server.raw()?;
    check(&mut late, &[("GET a", "-NOAUTH Authentication required.")])?;
    client.call(&["CONFIG", "SET", "requirepass", ""])?;
    let mut open = server.raw()?;
    check(
        &mut open,
        &[
            ("GET a", "$-1"),
            ("AUTH default anything", "+OK"),
            (
                "AUTH anything",
                "-ERR AUTH <password> called without any password configured for the default user. Are you sure \
                 your configuration is correct?",
            ),
        ],
    )
}

#[test]
fn clients_see_and_end_each_other() -> TestResult {
    let server = on_vcmap()?;
    let (mut one, mut two) = (server.raw()?, server.raw()?);
    check(
        &mut one,
        &[
            ("CLIENT SETNAME first", "+OK"),
            ("CLIENT SETINFO LIB-NAME lib", "+OK"),
            ("CLIENT SETINFO lib-ver 1.0", "+OK"),
            ("CLIENT SETINFO foo 1", "-ERR Unrecognized option 'foo'"),
            ("CLIENT NO-EVICT on", "+OK"),
            ("CLIENT NO-TOUCH on", "+OK"),
            ("SELECT 3", "+OK"),
        ],
    )?;
    let id = one.line("CLIENT ID")?.integer().ok_or("no id")?;
    let line = two
        .line(&format!("CLIENT LIST ID {id}"))?
        .text()
        .ok_or("no text")?;
    for field in [
        format!("id={id} "),
        " name=first ".to_owned(),
        " flags=eT ".to_owned(),
        " db=3 ".to_owned(),
        " cmd=client|id ".to_owned(),
        " user=default redir=-1 resp=2 lib-name=lib lib-ver=1.0\n".to_owned(),
    ] {
        assert!(line.contains(&field), "{field} in {line}");
    }
    let spaced = two.call(&["CLIENT", "SETNAME", "a b"])?;
    assert_eq!(
        format!("{spaced:?}"),
        "-ERR Client names cannot contain spaces, newlines or special characters."
    );
    check(
        &mut two,
        &[
            ("CLIENT LIST TYPE master", "\"\""),
            ("CLIENT LIST TYPE x", "-ERR Unknown client type 'x'"),
            ("CLIENT LIST ID x", "-ERR Invalid client ID"),
            ("CLIENT KILL 1.2.3.4:5", "-ERR No such client"),
            ("CLIENT KILL TYPE normal LADDR 1.2.3.4:5", ":0"),
            (&format!("CLIENT KILL ID {id}"), ":1"),
        ],
    )?;
    assert!(one.is_closed()?);
    check(&mut two, &[("CLIENT KILL TYPE normal SKIPME no", ":1")])?;
    assert!(two.is_closed()?);
    Ok(())
}

#[test]
fn replies_can_be_turned_off() -> TestResult {
    let server = on_vcmap()?;
    let mut client = server.raw()?;
    for line in [
        "CLIENT REPLY SKIP",
        "PING skipped",
        "PING 1",
        "CLIENT REPLY OFF",
        "PING off",
        "CLIENT REPLY SKIP",
        "PING off",
        "CLIENT REPLY ON",
        "CLIENT REPLY SKIP",
        "CLIENT REPLY ON",
        "PING 2",
        "CLIENT REPLY x",
    ] {
        client.send(&line.split(' ').collect::<Vec<_>>())?;
    }
    for expected in ["\"1\"", "+OK", "+OK", "\"2\"", "-ERR syntax error"] {
        assert_eq!(format!("{:?}", client.read()?), expected);
    }
    Ok(())
}

#[test]
fn config_is_read_and_set() -> TestResult {
    let server = on_vcmap()?;
    let mut con = server.connection()?;
    let pairs: Vec<(String, String)> = cmd("CONFIG")
        .arg("GET")
        .arg("maxmemory-p*")
        .query(&mut con)?;
    assert_eq!(pairs, [("maxmemory-policy".into(), "noeviction".into())]);
    check(
        &mut server.raw()?,
        &[
            ("CONFIG SET timeout 7 hz 20", "+OK"),
            ("CONFIG GET timeout", "[\"timeout\", \"7\"]"),
            (
                "CONFIG SET timeout 8 nosuch 1",
                "-ERR Unknown option or number of arguments for CONFIG SET - 'nosuch'",
            ),
            ("CONFIG SET timeout 8 hz", "-ERR syntax error"),
            ("CONFIG GET timeout", "[\"timeout\", \"7\"]"),
            (
                "CONFIG SET timeout",
                "-ERR wrong number of arguments for 'config|set' command",
            ),
            (
                "CONFIG REWRITE",
                "-ERR The server is running without a config file",
            ),
            ("CONFIG RESETSTAT", "+OK"),
            (
                "CONFIG NOSUCH",
                "-ERR unknown subcommand 'NOSUCH'. Try CONFIG HELP.",
            ),
        ],
    )
}

#[test]
fn commands_describe_themselves() -> TestResult {
    let server = on_vcmap()?;
    let mut client = server.raw()?;
    let count = client.line("COMMAND COUNT")?.integer().ok_or("no count")?;
    let all = client.line("COMMAND")?;
    let all = all.items().ok_or("COMMAND answers no array")?.len();
    assert_eq!(usize::try_from(count)?, all);
    let names = client.line("COMMAND LIST FILTERBY ACLCAT connection")?;
    let names = format!("{names:?}");
    assert!(
        names.contains("\"ping\"") && !names.contains("\"get\""),
        "{names}"
    );
    check(
        &mut client,
        &[
            (
                "COMMAND INFO nosuch echo",
                "[$-1, [\"echo\", :2, [+loading, +stale, +fast], :0, :0, :0, [+@fast, +@connection], [], [], []]]",
            ),
            (
                "COMMAND LIST FILTERBY PATTERN client|i*",
                "[\"client|id\", \"client|info\"]",
            ),
            ("COMMAND LIST FILTERBY MODULE x", "[]"),
            ("COMMAND LIST FILTERBY x y", "-ERR syntax error"),
            ("COMMAND GETKEYS mset a 1 b 2", "[\"a\", \"b\"]"),
            (
                "COMMAND GETKEYSANDFLAGS rename a b",
                "[[\"a\", [+RW, +access, +delete]], [\"b\", [+OW, +update]]]",
            ),
            (
                "COMMAND GETKEYS ping x",
                "-ERR The command has no key arguments",
            ),
        ],
    )?;
    client.line("HELLO 3")?;
    let Value::Map(docs) = client.line("COMMAND DOCS get nosuch client|id")? else {
        return Err("COMMAND DOCS answers a map".into());
    };
    assert_eq!(docs.len(), 2);
    let Value::Map(fields) = &docs[0].1 else {
        return Err("a command's documentation is a map".into());
    };
    let names: Vec<_> = fields.iter().filter_map(|(name, _)| name.text()).collect();
    assert_eq!(
        names,
        ["summary", "since", "group", "complexity", "arguments"]
    );
    assert_eq!(
        format!("{:?}", fields[4].1),
        "[{\"name\": \"key\", \"type\": \"key\", \"display_text\": \"key\", \"key_spec_index\": :0}]"
    );
    Ok(())
}

/// The value of one field of INFO.
fn field(info: &str, name: &str) -> TestResult<String> {
    let start = format!("{name}:");
    let mut lines = info.split("\r\n");
    let value = lines.find_map(|line| line.strip_prefix(&start));
    Ok(value
        .ok_or_else(|| format!("no {name} in {info}"))?
        .to_owned())
}

#[test]
fn info_counts_what_happens() -> TestResult {
    let server = Server::start("cmap")?;
    let mut con = server.connection()?;
    let () = con.set("a", "1")?;
    let () = cmd("SET").arg(&["b", "2", "EX", "1000"]).query(&mut con)?;
    assert_eq!(con.get::<_, Option<u8>>("a")?, Some(1));
    assert_eq!(con.get::<_, Option<u8>>("missing")?, None);
    assert!(con.lpush::<_, _, i64>("a", "x").is_err());
    let all: String = cmd("INFO").arg("everything").query(&mut con)?;
    for (name, value) in [
        ("redis_version", "7.4.7"),
        ("redis_mode", "standalone"),
        ("tcp_port", &server.port().to_string()),
        ("process_id", &server.pid().to_string()),
        ("connected_clients", "1"),
        ("keyspace_hits", "1"),
        ("keyspace_misses", "1"),
        ("total_error_replies", "1"),
        ("loading", "0"),
        ("role", "master"),
        ("engine", "cmap"),
        ("layout", "packed"),
        ("records", "2"),
        ("maxmemory_policy", "noeviction"),
    ] {
        assert_eq!(field(&all, name)?, value, "{name}");
    }
    assert!(field(&all, "cmdstat_set")?.starts_with("calls=2,usec="));
    assert!(field(&all, "db0")?.starts_with("keys=2,expires=1,avg_ttl="));
    assert!(field(&all, "allocated_bytes")?.parse::<u64>()? > 0);
    let some: String = cmd("INFO").arg("keyspace").arg("SERVER").query(&mut con)?;
    assert!(some.starts_with("# Server\r\n") && some.contains("\r\n\r\n# Keyspace\r\n"));
    assert!(!some.contains("# Clients"));
    let usage: i64 = cmd("MEMORY").arg("USAGE").arg("a").query(&mut con)?;
    assert!(usage > 2);
    let () = cmd("CONFIG").arg("RESETSTAT").query(&mut con)?;
    let stats: String = cmd("INFO").arg("stats").query(&mut con)?;
    assert_eq!(field(&stats, "keyspace_hits")?, "0");
    Ok(())
}

#[test]
fn debug_obeys_its_directive() -> TestResult {
    let server = on_vcmap()?;
    let refused = format!("{:?}", server.raw()?.line("DEBUG SLEEP 0")?);
    assert!(
        refused.starts_with("-ERR DEBUG command not allowed. "),
        "{refused}"
    );
    let server =
        Server::start_with(Options::new("vcmap").directive("enable-debug-command", "local"))?;
    check(
        &mut server.raw()?,
        &[
            ("DEBUG SLEEP 0.01", "+OK"),
            ("DEBUG SET-ACTIVE-EXPIRE 0", "+OK"),
            ("DEBUG ERROR text", "-text"),
            (
                "DEBUG FOO",
                "-ERR unknown subcommand or wrong number of arguments for 'FOO'. Try DEBUG HELP.",
            ),
        ],
    )
}

#[test]
fn shutdown_ends_the_server_and_keeps_the_data() -> TestResult {
    let mut server = Server::start("cmap")?;
    let mut client = server.raw()?;
    check(
        &mut client,
        &[
            ("SET a 1", "+OK"),
            ("SHUTDOWN ABORT", "-ERR No shutdown in progress."),
            ("SHUTDOWN SAVE NOSAVE", "-ERR syntax error"),
        ],
    )?;
    client.send(&["SHUTDOWN", "NOSAVE"])?;
    assert!(client.is_closed()?);
    server.wait_for_exit()?;
    server.resume()?;
    check(&mut server.raw()?, &[("GET a", "\"1\"")])
}
