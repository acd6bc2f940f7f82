//! The range commands, on engines with and without an order of their own.

use common::{Server, TestResult, Value};
use redis::{Commands, Connection, cmd};

const KEYS: [&str; 6] = ["a", "b", "ba", "c", "d", "e"];

/// `PMEMKV.` + `line`, split at spaces.
fn call(line: &str) -> redis::Cmd {
    let mut words = line.split(' ');
    let mut call = cmd(&format!("PMEMKV.{}", words.next().unwrap_or_default()));
    words.for_each(|word| {
        call.arg(word);
    });
    call
}

fn fill(con: &mut Connection) -> TestResult {
    for key in KEYS {
        let () = con.set(key, format!("value of {key}"))?;
    }
    // A range must show neither keys of another database nor expired keys.
    let () = cmd("SELECT").arg(1).query(con)?;
    let () = con.set("bb", "elsewhere")?;
    let () = cmd("SELECT").arg(0).query(con)?;
    let () = cmd("SET").arg(&["bc", "gone", "PX", "1"]).query(con)?;
    std::thread::sleep(std::time::Duration::from_millis(5));
    Ok(())
}

/// The three commands agree on every form of range.
fn shapes(con: &mut Connection) -> TestResult {
    let cases: [(&str, &[&str]); 11] = [
        ("ALL", &KEYS),
        ("ABOVE b", &["ba", "c", "d", "e"]),
        ("ABOVE bb", &["c", "d", "e"]),
        ("EQUALABOVE b", &["b", "ba", "c", "d", "e"]),
        ("BELOW c", &["a", "b", "ba"]),
        ("EQUALBELOW c", &["a", "b", "ba", "c"]),
        ("BETWEEN a d", &["b", "ba", "c"]),
        ("BETWEEN d a", &[]),
        ("BETWEEN c c", &[]),
        ("ABOVE e", &[]),
        ("BELOW a", &[]),
    ];
    for (shape, expected) in cases {
        let keys: Vec<String> = call(&format!("KEYS{shape}")).query(con)?;
        assert_eq!(keys, expected, "{shape}");
        let count: usize = call(&format!("COUNT{shape}")).query(con)?;
        assert_eq!(count, expected.len(), "{shape}");
        let pairs: Vec<(String, String)> = call(&format!("GET{shape}")).query(con)?;
        let wanted: Vec<_> = expected
            .iter()
            .map(|key| ((*key).to_owned(), format!("value of {key}")))
            .collect();
        assert_eq!(pairs, wanted, "{shape}");
        let limited: Vec<String> = call(&format!("KEYS{shape} LIMIT 2")).query(con)?;
        assert_eq!(limited, expected[..expected.len().min(2)], "{shape}");
        let limited: Vec<(String, String)> = call(&format!("GET{shape} LIMIT 1")).query(con)?;
        assert_eq!(limited, wanted[..wanted.len().min(1)], "{shape}");
    }
    Ok(())
}

fn bytes_and_changes(con: &mut Connection) -> TestResult {
    let keys: [&[u8]; 5] = [b"", b"\0", b"\0\xff", b"\xfe\r\n", b"\xff"];
    let () = cmd("FLUSHALL").query(con)?;
    for key in keys {
        let () = con.set(key, key)?;
    }
    let found: Vec<Vec<u8>> = call("KEYSALL").query(con)?;
    assert_eq!(found, keys);
    let above: Vec<Vec<u8>> = cmd("PMEMKV.KEYSABOVE").arg(b"\0").query(con)?;
    assert_eq!(above, keys[2..]);
    // The order follows added and removed keys.
    let () = con.del(b"\0")?;
    let () = con.rename(b"\xff", "m")?;
    let found: Vec<Vec<u8>> = call("KEYSALL").query(con)?;
    assert_eq!(found, [&b""[..], b"\0\xff", b"m", b"\xfe\r\n"]);
    let () = cmd("FLUSHDB").query(con)?;
    assert_eq!(call("COUNTALL").query::<usize>(con)?, 0);
    Ok(())
}

fn many_and_large(con: &mut Connection) -> TestResult {
    let value = vec![b'x'; 100_000];
    for number in 0..600 {
        let () = con.set(format!("{number:04}"), number)?;
    }
    let () = con.set("0300", &value)?;
    let pairs: Vec<(String, Vec<u8>)> = call("GETBETWEEN 0099 0500").query(con)?;
    assert_eq!(pairs.len(), 400);
    assert!(pairs.is_sorted_by(|one, two| one.0 < two.0));
    assert_eq!(pairs[200], ("0300".to_owned(), value));
    assert_eq!(call("COUNTEQUALABOVE 0100").query::<usize>(con)?, 500);
    Ok(())
}

fn refusals_and_resp3(server: &Server) -> TestResult {
    let mut client = server.raw()?;
    client.line("FLUSHALL")?;
    client.line("MSET a 1 b 2")?;
    for (line, expected) in [
        ("PMEMKV.GETALL", "[\"a\", \"1\", \"b\", \"2\"]"),
        ("PMEMKV.GETALL LIMIT 0", "[]"),
        ("PMEMKV.GETALL LIMIT -1", "-ERR LIMIT can't be negative"),
        (
            "PMEMKV.GETALL LIMIT x",
            "-ERR value is not an integer or out of range",
        ),
        ("PMEMKV.GETABOVE a b", "-ERR syntax error"),
        (
            "PMEMKV.GETBETWEEN a",
            "-ERR wrong number of arguments for 'pmemkv.getbetween' command",
        ),
        (
            "PMEMKV.COUNTALL x",
            "-ERR wrong number of arguments for 'pmemkv.countall' command",
        ),
        (
            "PMEMKV.DEFRAG 50 60",
            "-ERR start-percent and amount-percent must be numbers from 0 to 100, and together not more than 100",
        ),
        ("PMEMKV.DEFRAG 50", "-ERR syntax error"),
    ] {
        let reply = format!("{:?}", client.line(line)?);
        assert_eq!(reply.replace("\\'", "'"), expected, "{line}");
    }
    client.line("HELLO 3")?;
    let map = client.line("PMEMKV.GETALL")?;
    assert_eq!(format!("{map:?}"), "{\"a\": \"1\", \"b\": \"2\"}");
    let keys = client.line("PMEMKV.KEYSALL LIMIT 1")?;
    assert_eq!(format!("{keys:?}"), "[\"a\"]");
    let Value::Map(stats) = client.line("PMEMKV.STATS")? else {
        return Err("PMEMKV.STATS answers a map in RESP3".into());
    };
    let records = stats
        .iter()
        .find(|(name, _)| name.text().as_deref() == Some("records"));
    assert_eq!(records.and_then(|(_, value)| value.integer()), Some(2));
    Ok(())
}

fn on(engine: &str) -> TestResult {
    let server = Server::start(engine)?;
    let con = &mut server.connection()?;
    let name = engine.split('/').next();
    assert_eq!(Some(call("ENGINE").query::<String>(con)?.as_str()), name);
    // With the background removal switched off, the range itself must skip expired keys.
    fill(con)?;
    shapes(con)?;
    bytes_and_changes(con)?;
    many_and_large(con)?;
    refusals_and_resp3(&server)
}

#[test]
fn ranges_on_cmap() -> TestResult {
    on("cmap")
}

#[test]
fn ranges_on_cmap_in_pairs() -> TestResult {
    on("cmap/pairs")
}

#[test]
fn ranges_on_stree() -> TestResult {
    on("stree")
}

#[test]
fn ranges_on_vcmap() -> TestResult {
    on("vcmap")
}

#[test]
fn ranges_on_vcmap_in_pairs() -> TestResult {
    on("vcmap/pairs")
}

#[test]
fn ranges_on_vsmap() -> TestResult {
    on("vsmap")
}
