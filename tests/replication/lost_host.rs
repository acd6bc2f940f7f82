//! A host that the network loses: Sentinel replaces its master, and the old master follows the new one when it is back. The hosts
//! are network namespaces on a bridge, so nothing ends a connection and nothing refuses one: packets just do not arrive.

use std::fs::File;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use common::{RawClient, TestResult, Value, assert_replicated};
use tempfile::TempDir;

use crate::pair::{info, wait_until};

const NAME: &str = "mymaster";
const PORT: u16 = 6379;
const SENTINEL_PORT: u16 = 26379;

/// Hosts of which each has a server or nothing, and a Sentinel.
const HOSTS: usize = 3;

/// Runs `ip`; an error is what it says.
fn ip(words: &str) -> TestResult {
    let done = Command::new("ip").args(words.split(' ')).output()?;
    if done.status.success() {
        return Ok(());
    }
    let text = String::from_utf8_lossy(&done.stderr);
    Err(format!("ip {words}: {}", text.trim()).into())
}

/// A bridge, and namespaces that are connected to it. Dropping it removes them.
struct Network {
    /// What its names and its addresses have of their own.
    number: u32,
}

impl Network {
    fn create() -> TestResult<Self> {
        let network = Self {
            number: std::process::id() % 60_000,
        };
        let bridge = network.bridge();
        ip(&format!("link add {bridge} type bridge"))?;
        ip(&format!(
            "addr add {}/24 dev {bridge}",
            network.address(HOSTS)
        ))?;
        ip(&format!("link set {bridge} up"))?;
        for host in 0..HOSTS {
            let (space, link) = (network.space(host), network.link(host));
            ip(&format!("netns add {space}"))?;
            ip(&format!(
                "link add {link} type veth peer name eth0 netns {space}"
            ))?;
            ip(&format!("link set {link} master {bridge} up"))?;
            let address = network.address(host);
            ip(&format!("-n {space} addr add {address}/24 dev eth0"))?;
            ip(&format!("-n {space} link set eth0 up"))?;
            ip(&format!("-n {space} link set lo up"))?;
        }
        Ok(network)
    }

    fn bridge(&self) -> String {
        format!("pmemkv{}", self.number)
    }

    fn space(&self, host: usize) -> String {
        format!("pmemkv-{}-{host}", self.number)
    }

    fn link(&self, host: usize) -> String {
        format!("pmemkv{}h{host}", self.number)
    }

    fn address(&self, host: usize) -> String {
        let [_, _, high, low] = self.number.to_be_bytes();
        format!("10.{high}.{low}.{}", host + 1)
    }

    /// Loses a host, or finds it again.
    fn set(&self, host: usize, state: &str) -> TestResult {
        ip(&format!("link set {} {state}", self.link(host)))
    }

    fn client(&self, host: usize, port: u16) -> TestResult<RawClient> {
        Ok(RawClient::connect_to(&self.address(host), port)?)
    }

    /// A command that runs on a host.
    fn on(&self, host: usize, program: &Path) -> Command {
        let mut command = Command::new("ip");
        command.args(["netns", "exec", &self.space(host)]);
        command.arg(program);
        command
    }
}

impl Drop for Network {
    fn drop(&mut self) {
        // What was not made cannot be removed.
        for host in 0..HOSTS {
            let _ = ip(&format!("netns del {}", self.space(host)));
        }
        let _ = ip(&format!("link del {}", self.bridge()));
    }
}

/// A program on a host. Dropping it kills the process.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        // Both fail only if the process is gone already.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// The programs of all hosts, with their files.
struct Hosts {
    running: Vec<Running>,
    folder: TempDir,
    network: Network,
}

impl Hosts {
    fn start(&mut self, host: usize, what: &str, program: &Path, words: &[&str]) -> TestResult {
        let log = File::create(self.folder.path().join(format!("{what}{host}.log")))?;
        let mut command = self.network.on(host, program);
        command.args(words).current_dir(self.folder.path());
        command.stdin(Stdio::null());
        command.stdout(log.try_clone()?).stderr(log);
        self.running.push(Running(command.spawn()?));
        Ok(())
    }

    fn start_server(&mut self, host: usize, master: Option<usize>) -> TestResult {
        let path = |name: &str| self.folder.path().join(format!("{name}{host}"));
        let (file, pool) = (path("file"), path("pool"));
        let (file, pool) = (file.display().to_string(), pool.display().to_string());
        std::fs::write(&file, "")?;
        let (address, port) = (self.network.address(host), PORT.to_string());
        let of_master = master.map(|master| self.network.address(master));
        let mut words = vec![file.as_str(), "--pool-path", &pool, "--pool-size", "32mb"];
        words.extend([
            "--bind",
            &address,
            "--port",
            &port,
            "--protected-mode",
            "no",
        ]);
        // The link notices within a second that nothing comes any more.
        words.extend(["--repl-timeout", "2", "--repl-ping-replica-period", "1"]);
        if let Some(of_master) = &of_master {
            words.extend(["--replicaof", of_master, &port]);
        }
        self.start(host, "server", &common::program(), &words)
    }

    fn start_sentinel(&mut self, host: usize, master: usize) -> TestResult {
        let file = self.folder.path().join(format!("sentinel{host}.conf"));
        let (address, of_master) = (self.network.address(host), self.network.address(master));
        let text = format!(
            "port {SENTINEL_PORT}\nbind {address}\nprotected-mode no\n\
             sentinel monitor {NAME} {of_master} {PORT} 2\n\
             sentinel down-after-milliseconds {NAME} 2000\n\
             sentinel failover-timeout {NAME} 8000\n"
        );
        std::fs::write(&file, text)?;
        let file = file.display().to_string();
        let program = Path::new("redis-server");
        self.start(host, "sentinel", program, &[&file, "--sentinel"])
    }

    /// What a host's Sentinel knows of the master.
    fn knows(&self, host: usize, field: &str) -> TestResult<String> {
        let mut sentinel = self.network.client(host, SENTINEL_PORT)?;
        let reply = sentinel.call(&["SENTINEL", "MASTER", NAME])?;
        let words = reply.items().unwrap_or_default();
        let mut pairs = words.chunks(2);
        let pair = pairs.find(|pair| pair[0].text().as_deref() == Some(field));
        Ok(pair.and_then(|pair| pair[1].text()).unwrap_or_default())
    }

    fn logs(&self) -> String {
        let names = ["server0", "server1", "sentinel1", "sentinel2"];
        let logs = names.iter().map(|name| {
            let path = self.folder.path().join(format!("{name}.log"));
            let text = std::fs::read_to_string(path).unwrap_or_default();
            let lines: Vec<&str> = text.lines().collect();
            let last = lines[lines.len().saturating_sub(25)..].join("\n");
            format!("{name}:\n{last}\n")
        });
        logs.collect()
    }
}

#[test]
fn a_lost_host_comes_back_as_a_replica() -> TestResult {
    let network = match Network::create() {
        Ok(network) => network,
        Err(error) => {
            eprintln!("skipped: no network namespaces here: {error}");
            return Ok(());
        }
    };
    let mut hosts = Hosts {
        running: Vec::new(),
        folder: common::temporary_folder()?,
        network,
    };
    let result = loses_a_host(&mut hosts);
    result.map_err(|error| format!("{error}\n{}", hosts.logs()).into())
}

fn loses_a_host(hosts: &mut Hosts) -> TestResult {
    let serves = |hosts: &Hosts, host: usize, port: u16| {
        wait_until("it serves", || {
            let client = hosts.network.client(host, port);
            Ok(client.is_ok_and(|mut client| client.line("PING").is_ok()))
        })
    };
    hosts.start_server(0, None)?;
    serves(hosts, 0, PORT)?;
    hosts.start_server(1, Some(0))?;
    serves(hosts, 1, PORT)?;
    let mut replica = hosts.network.client(1, PORT)?;
    wait_until("the replica follows", || {
        Ok(info(&mut replica, "replication", "master_link_status")? == "up")
    })?;
    for host in 0..HOSTS {
        hosts.start_sentinel(host, 0)?;
        serves(hosts, host, SENTINEL_PORT)?;
    }
    wait_until("the Sentinels know everybody", || {
        let all = (0..HOSTS).map(|host| {
            Ok(hosts.knows(host, "num-slaves")? == "1"
                && hosts.knows(host, "num-other-sentinels")? == "2")
        });
        let all: TestResult<Vec<bool>> = all.collect();
        Ok(all?.into_iter().all(|knows| knows))
    })?;
    let mut master = hosts.network.client(0, PORT)?;
    master.line("SET a 1")?;
    assert_eq!(master.line("WAIT 1 5000")?, Value::Integer(1));
    drop(master);

    hosts.network.set(0, "down")?;
    let lost = Instant::now();
    wait_until("another master is there", || {
        let address = hosts.network.address(1);
        Ok(hosts.knows(1, "ip")? == address && hosts.knows(2, "ip")? == address)
    })?;
    eprintln!("another master after {:?}", lost.elapsed());
    // The Sentinels end the connections of clients when they change a server's role.
    let mut master = hosts.network.client(1, PORT)?;
    assert_eq!(info(&mut master, "replication", "role")?, "master");
    assert_eq!(master.line("GET a")?, Value::Bulk(b"1".to_vec()));
    master.line("SET a 2")?;
    // Nobody told the lost host. What its own clients write there is lost later: docs/scaling.md says so.
    let address = hosts.network.address(0);
    let mut alone = hosts.network.on(0, Path::new("redis-cli"));
    let alone = alone
        .args(["-h", &address, "SET", "lonely", "1"])
        .output()?;
    assert_eq!(String::from_utf8_lossy(&alone.stdout), "OK\n");

    hosts.network.set(0, "up")?;
    let found = Instant::now();
    wait_until("the lost host follows the new master", || {
        let Ok(mut old) = hosts.network.client(0, PORT) else {
            thread::sleep(Duration::from_millis(100));
            return Ok(false);
        };
        let mut has = |field: &str, wanted: &str| {
            info(&mut old, "replication", field).is_ok_and(|value| value == wanted)
        };
        Ok(has("role", "slave")
            && has("master_host", &hosts.network.address(1))
            && has("master_link_status", "up"))
    })?;
    eprintln!("it follows after {:?}", found.elapsed());
    let mut old = hosts.network.client(0, PORT)?;
    assert_replicated(&mut master, &mut old)?;
    old.line("SELECT 0")?;
    assert_eq!(old.line("GET a")?, Value::Bulk(b"2".to_vec()));
    assert!(old.line("GET lonely")?.is_null());
    assert!(old.line("SET a 3")?.is_error(), "it is read-only");
    Ok(())
}
