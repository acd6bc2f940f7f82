//! `maxmemory-clients`: the clients that take most are disconnected, and INFO counts them.

use std::thread;
use std::time::{Duration, Instant};

use common::{Options, RawClient, Server, TestResult};

const PATIENCE: Duration = Duration::from_secs(10);

/// A field of INFO.
fn figure(client: &mut RawClient, section: &str, name: &str) -> TestResult<u64> {
    let info = client
        .line(&format!("INFO {section}"))?
        .text()
        .unwrap_or_default();
    let value = info
        .lines()
        .find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))
        .ok_or_else(|| format!("INFO {section} lacks {name}"))?;
    Ok(value.trim().parse()?)
}

/// A client whose request of three million bytes never ends.
fn greedy(server: &Server, protected: bool) -> TestResult<RawClient> {
    let mut client = server.raw()?;
    if protected {
        client.line("CLIENT NO-EVICT ON")?;
    }
    client.send_bytes(b"*2\r\n$4\r\nECHO\r\n$4000000\r\n")?;
    client.send_bytes(&vec![b'x'; 3_000_000])?;
    Ok(client)
}

fn wait_for(mut holds: impl FnMut() -> TestResult<bool>) -> TestResult {
    let end = Instant::now() + PATIENCE;
    while !holds()? {
        assert!(Instant::now() < end, "it does not come true");
        thread::sleep(Duration::from_millis(20));
    }
    Ok(())
}

/// What the client takes beside its buffers, and how many keys it watches, by its own line.
fn own(client: &mut RawClient) -> TestResult<(u64, u64)> {
    let line = client.line("CLIENT INFO")?.text().unwrap_or_default();
    let field = |name: &str| -> TestResult<u64> {
        let prefix = format!("{name}=");
        let mut fields = line.split_ascii_whitespace();
        let value = fields.find_map(|field| field.strip_prefix(&prefix));
        Ok(value
            .ok_or_else(|| format!("no {name} in {line}"))?
            .parse()?)
    };
    let buffers = field("qbuf")? + field("qbuf-free")? + field("obl")? + field("omem")?;
    Ok((field("tot-mem")? - buffers, field("watch")?))
}

/// Names of watched keys, channels and prefixes count, as long as they are there.
#[test]
fn names_count() -> TestResult {
    let server = Server::start("cmap")?;
    let mut client = server.raw()?;
    client.line("HELLO 3")?;
    let name = "n".repeat(20_000);
    let (before, _) = own(&mut client)?;
    for (begin, end, watches) in [
        ("WATCH", "UNWATCH", 1),
        ("SUBSCRIBE", "UNSUBSCRIBE", 0),
        ("PSUBSCRIBE", "PUNSUBSCRIBE", 0),
    ] {
        client.call(&[begin, &name])?;
        let (meanwhile, watched) = own(&mut client)?;
        assert_eq!(watched, watches, "{begin}");
        assert!(meanwhile > before + 20_000, "{begin}: {before} {meanwhile}");
        client.line(end)?;
        assert_eq!(own(&mut client)?, (before, 0), "{end}");
    }
    client.call(&["CLIENT", "TRACKING", "ON", "BCAST", "PREFIX", &name])?;
    let (meanwhile, _) = own(&mut client)?;
    assert!(meanwhile > before + 20_000, "{before} {meanwhile}");
    Ok(())
}

#[test]
fn greedy_clients_go_and_protected_ones_stay() -> TestResult {
    let server = Server::start("cmap")?;
    let mut client = server.raw()?;
    let mut protected = greedy(&server, true)?;
    let mut greedy = greedy(&server, false)?;
    wait_for(|| Ok(figure(&mut client, "memory", "mem_clients_normal")? > 6_000_000))?;
    let line = client
        .line("CLIENT LIST FLAGS e")?
        .text()
        .unwrap_or_default();
    let total = line
        .split(' ')
        .find_map(|field| field.strip_prefix("tot-mem="));
    assert!(
        total.ok_or("no tot-mem")?.parse::<u64>()? > 3_000_000,
        "{line}"
    );
    assert_eq!(figure(&mut client, "stats", "evicted_clients")?, 0);

    client.line("CONFIG SET maxmemory-clients 5mb")?;
    wait_for(|| Ok(figure(&mut client, "stats", "evicted_clients")? == 1))?;
    assert!(greedy.read().is_err());
    assert_eq!(figure(&mut client, "clients", "connected_clients")?, 2);

    // A protected client stays, however little is allowed; so does one that asks all the time.
    client.line("CLIENT NO-EVICT ON")?;
    client.line("CONFIG SET maxmemory-clients 1mb")?;
    thread::sleep(Duration::from_millis(300));
    assert_eq!(figure(&mut client, "stats", "evicted_clients")?, 1);
    protected.send_bytes(&vec![b'x'; 1_000_000])?;
    protected.send_bytes(b"\r\n")?;
    assert_eq!(protected.read()?.bytes().map(<[u8]>::len), Some(4_000_000));
    Ok(())
}

#[test]
fn a_share_of_maxmemory() -> TestResult {
    let options = Options::new("cmap")
        .directive("maxmemory", "50mb")
        .directive("maxmemory-clients", "10%");
    let server = Server::start_with(options)?;
    let mut client = server.raw()?;
    let mut first = greedy(&server, false)?;
    thread::sleep(Duration::from_millis(300));
    assert_eq!(figure(&mut client, "stats", "evicted_clients")?, 0);
    let mut second = greedy(&server, false)?;
    wait_for(|| Ok(figure(&mut client, "stats", "evicted_clients")? == 1))?;
    // One of them was enough.
    thread::sleep(Duration::from_millis(300));
    assert_eq!(figure(&mut client, "stats", "evicted_clients")?, 1);
    for greedy in [&mut first, &mut second] {
        let _ = greedy.send_bytes(&vec![b'x'; 1_000_000]);
        let _ = greedy.send_bytes(b"\r\n");
    }
    let answered = [first.read().is_ok(), second.read().is_ok()];
    assert_eq!(answered.iter().filter(|&&answered| answered).count(), 1);
    Ok(())
}
