//! Sentinel watches servers of this kind and real ones, and replaces a master that dies.

use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use common::{Options, RawClient, RedisServer, Sentinel, Server, TestResult, assert_replicated};

use crate::pair::{info, masters, wait_until};

/// The name of the watched master.
const NAME: &str = "mymaster";

/// A server of either kind.
enum Watched {
    Ours(Server),
    Real(RedisServer),
}

impl Watched {
    /// Starts one of the kind `o` (ours) or `r` (redis-server). `priority` says how suited it is to be the master.
    fn start(kind: char, file: &Path, master: Option<u16>, priority: &str) -> TestResult<Self> {
        std::fs::write(file, "")?;
        let mut words = vec!["--replica-priority".to_owned(), priority.to_owned()];
        if let Some(port) = master {
            let follow = ["--replicaof", "127.0.0.1", &port.to_string()];
            words.extend(follow.map(str::to_owned));
        }
        Ok(if kind == 'o' {
            let mut options = Options::new("cmap").pool_size("64mb").file(file);
            options.directives.extend(words);
            Watched::Ours(Server::start_with(options)?)
        } else {
            let path = file.to_str().ok_or("the file's name")?;
            let delay = ["--repl-diskless-sync-delay", "0"];
            let words = words.iter().map(String::as_str);
            let words: Vec<&str> = [path].into_iter().chain(delay).chain(words).collect();
            Watched::Real(RedisServer::start_program("redis-server", &words)?)
        })
    }

    fn port(&self) -> u16 {
        match self {
            Watched::Ours(server) => server.port(),
            Watched::Real(server) => server.port(),
        }
    }

    fn raw(&self) -> TestResult<RawClient> {
        Ok(RawClient::connect(self.port())?)
    }

    fn kill_9(&mut self) -> TestResult<u16> {
        let port = self.port();
        match self {
            Watched::Ours(server) => server.kill_9()?,
            Watched::Real(server) => server.kill()?,
        }
        Ok(port)
    }

    fn resume_on(&mut self, port: u16) -> TestResult {
        match self {
            Watched::Ours(server) => server.resume_on(port),
            Watched::Real(server) => server.start_again(),
        }
    }

    /// What it says of itself when a test fails.
    fn log(&self) -> String {
        match self {
            Watched::Ours(server) => server.log(),
            Watched::Real(_) => "redis-server".to_owned(),
        }
    }
}

/// Three Sentinels that watch the master on this port.
struct Watch(Vec<Sentinel>);

impl Watch {
    fn start(program: &str, master: u16, down_after_ms: u32) -> TestResult<Self> {
        let configuration = format!(
            "sentinel monitor {NAME} 127.0.0.1 {master} 2\n\
             sentinel down-after-milliseconds {NAME} {down_after_ms}\n\
             sentinel failover-timeout {NAME} 10000\n\
             sentinel parallel-syncs {NAME} 2"
        );
        let sentinels = (0..3).map(|_| Sentinel::start(program, &configuration));
        Ok(Self(sentinels.collect::<TestResult<_>>()?))
    }

    /// What the first one knows of the master.
    fn knows(&self, field: &str) -> TestResult<String> {
        let reply = self.0[0].raw()?.call(&["SENTINEL", "MASTER", NAME])?;
        let words = reply.items().unwrap_or_default();
        let mut pairs = words.chunks(2);
        let pair = pairs.find(|pair| pair[0].text().as_deref() == Some(field));
        Ok(pair.and_then(|pair| pair[1].text()).unwrap_or_default())
    }

    /// The master's port, if all agree.
    fn master(&self) -> TestResult<Option<u16>> {
        let mut ports = Vec::new();
        for sentinel in &self.0 {
            let words = ["SENTINEL", "GET-MASTER-ADDR-BY-NAME", NAME];
            let reply = sentinel.raw()?.call(&words)?;
            let words = reply.items().unwrap_or_default();
            ports.push(words.get(1).and_then(common::Value::text));
        }
        ports.dedup();
        Ok(match &ports[..] {
            [Some(port)] => Some(port.parse()?),
            _ => None,
        })
    }

    /// Waits until all of them know each other and so many replicas.
    fn wait_for(&self, replicas: usize) -> TestResult {
        wait_until("the Sentinels know everybody", || {
            Ok(self.knows("num-slaves")? == replicas.to_string()
                && self.knows("num-other-sentinels")? == "2")
        })
    }
}

/// The master of the first kind dies, the replica of the second kind takes its place, that of the third kind follows it, and so
/// does the old master when it is back.
///
/// Two Sentinels may be elected in two epochs, also over servers of one kind, and the later one then promotes the third.
fn fails_over(program: &str, kinds: [char; 3]) -> TestResult {
    eprintln!("{program} watches {kinds:?}");
    let folder = tempfile::tempdir()?;
    let file = |name: &str| folder.path().join(name);
    let mut first = Watched::start(kinds[0], &file("first"), None, "100")?;
    let port = Some(first.port());
    let second = Watched::start(kinds[1], &file("second"), port, "1")?;
    let third = Watched::start(kinds[2], &file("third"), port, "90")?;
    let mut client = first.raw()?;
    client.call(&["MSET", "a", "1", "b", "2"])?;
    for replica in [&second, &third] {
        wait_for_link(replica, first.port())?;
    }
    let watch = Watch::start(program, first.port(), 1000)?;
    watch.wait_for(2)?;
    client.call(&["INCR", "counter"])?;
    let replicas = client.call(&["WAIT", "2", "5000"])?.integer();
    assert_eq!(replicas, Some(2), "{}", first.log());
    let old = first.kill_9()?;
    wait_until("another master is there", || {
        Ok(watch.master()?.is_some_and(|master| master != old))
    })?;
    first.resume_on(old)?;
    let mut servers = vec![("first", first), ("second", second), ("third", third)];
    let (new, master) = servers.remove(settled(&watch, &servers)?);
    assert_ne!(new, "first");
    let mut client = master.raw()?;
    wait_for_replicas(&mut client, 2)?;
    assert_eq!(client.call(&["INCR", "counter"])?.integer(), Some(2));
    for (_, replica) in &servers {
        let mut own = replica.raw()?;
        assert_replicated(&mut client, &mut own)
            .map_err(|error| format!("{error}\n{}", replica.log()))?;
        let refused = own.call(&["SET", "a", "2"])?;
        assert!(format!("{refused:?}").starts_with("-READONLY"));
    }
    // The Sentinels have written to the configuration files who is whose replica now.
    for (name, _) in &servers {
        let written = std::fs::read_to_string(file(name))?;
        let line = format!("replicaof 127.0.0.1 {}", master.port());
        assert!(written.contains(&line), "{name}: {written}");
    }
    let written = std::fs::read_to_string(file(new))?;
    assert!(!written.contains("\nreplicaof 127"), "{new}: {written}");
    Ok(())
}

/// Waits until the Sentinels agree on a master and all others follow it; which of them it is.
fn settled(watch: &Watch, servers: &[(&str, Watched)]) -> TestResult<usize> {
    let mut found = 0;
    let waited = wait_until("all follow one master", || {
        let master = watch.master()?;
        let is_master = |(_, server): &(&str, Watched)| Some(server.port()) == master;
        let Some(place) = servers.iter().position(is_master) else {
            return Ok(false);
        };
        found = place;
        let port = servers[found].1.port();
        Ok(servers
            .iter()
            .enumerate()
            .all(|(n, (_, server))| n == found || follows(server, port)))
    });
    waited.map_err(|error| {
        let logs: Vec<_> = servers.iter().map(|(_, server)| server.log()).collect();
        format!("{error}\n{}", logs.join("\n"))
    })?;
    Ok(found)
}

/// Whether a server is linked to the master on this port.
fn follows(replica: &Watched, master: u16) -> bool {
    // The Sentinels end the connections of clients when they change a server's role.
    let field = |name| info(&mut replica.raw()?, "replication", name);
    field("role").is_ok_and(|role| role == "slave")
        && field("master_port").is_ok_and(|port| port == master.to_string())
        && field("master_link_status").is_ok_and(|status| status == "up")
}

fn wait_for_link(replica: &Watched, master: u16) -> TestResult {
    let waited = wait_until("the replica follows", || Ok(follows(replica, master)));
    waited.map_err(|error| format!("{error}\n{}", replica.log()).into())
}

fn wait_for_replicas(master: &mut RawClient, count: usize) -> TestResult {
    wait_until("all replicas are there", || {
        Ok(info(master, "replication", "connected_slaves")? == count.to_string())
    })
}

#[test]
fn sentinels_replace_a_master_of_this_kind() -> TestResult {
    for (_, program) in masters() {
        fails_over(&program, ['o', 'o', 'r'])?;
    }
    Ok(())
}

#[test]
fn sentinels_replace_a_master_by_another_kind() -> TestResult {
    fails_over("redis-server", ['o', 'r', 'o'])?;
    fails_over("redis-server", ['r', 'o', 'r'])
}

/// A master that is back before the Sentinels count it as down keeps its place, and its data are there.
#[test]
fn a_master_that_restarts_in_time_keeps_its_place() -> TestResult {
    let folder = tempfile::tempdir()?;
    let file = |name: &str| folder.path().join(name);
    let mut first = Watched::start('o', &file("first"), None, "100")?;
    let second = Watched::start('o', &file("second"), Some(first.port()), "1")?;
    wait_for_link(&second, first.port())?;
    let watch = Watch::start("redis-server", first.port(), 8000)?;
    watch.wait_for(1)?;
    first.raw()?.call(&["SET", "a", "1"])?;
    let port = first.kill_9()?;
    let died = Instant::now();
    first.resume_on(port)?;
    let away = died.elapsed();
    let value = first.raw()?.call(&["GET", "a"])?.text();
    assert_eq!(value.as_deref(), Some("1"));
    wait_for_link(&second, port)?;
    // Longer than it would have taken them.
    while died.elapsed() < Duration::from_secs(11) {
        let master = watch.master()?;
        assert_eq!(master, Some(port), "the master was away for {away:?}");
        thread::sleep(Duration::from_millis(200));
    }
    assert_eq!(watch.knows("config-epoch")?, "0");
    assert_eq!(watch.knows("flags")?, "master");
    assert_replicated(&mut first.raw()?, &mut second.raw()?)?;
    Ok(())
}
