//! What the integration tests share: servers in folders of their own, and a client that shows replies unchanged.

pub mod backup;
mod beside;
pub mod clock;
mod contents;
mod engines;
mod events;
mod listening;
mod newer;
mod process;
mod raw;
mod redis_server;
mod subject;

use std::error::Error;
use std::ffi::{OsStr, OsString};
use std::hash::{BuildHasher, RandomState};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use tempfile::TempDir;

pub use beside::{Nutcracker, Sentinel};
pub use contents::{Contents, assert_replicated};
pub use events::check_events;
pub use newer::Newer;
use process::Process;
pub use raw::{RawClient, Value, encode, show};
pub use redis_server::RedisServer;
pub use subject::Subject;

/// The result of a test.
pub type TestResult<T = ()> = Result<T, Box<dyn Error>>;

/// The path of the server's program. Cargo builds it beside the tests of its package, and beside other programs.
pub fn program() -> PathBuf {
    let own = std::env::current_exe().expect("the test knows where it lies");
    // A test is target/PROFILE/deps/NAME, a program target/PROFILE/NAME.
    let folder = own.parent().expect("programs lie in folders");
    let folder = match folder.parent() {
        Some(profile) if folder.ends_with("deps") => profile,
        _ => folder,
    };
    folder.join("pmemkv-server")
}

/// How long a server may take to answer its first PING, or to stop.
const PATIENCE: Duration = Duration::from_secs(30);

/// How to start a server.
#[derive(Clone, Debug)]
pub struct Options {
    /// `--engine`.
    pub engine: String,
    /// `--pool-size`, in the form that the directive takes.
    pub pool_size: String,
    /// More arguments for the command line: `--name`, `value`, ...
    pub directives: Vec<String>,
    /// A configuration file.
    pub file: Option<PathBuf>,
    /// What is added to the process's environment.
    pub environment: Vec<(String, OsString)>,
}

impl Options {
    /// A small pool on an engine with its default layout (`cmap`) or with another one (`cmap/pairs`).
    pub fn new(store: &str) -> Self {
        let (engine, layout) = store.split_once('/').unwrap_or((store, "auto"));
        Self {
            engine: engine.to_owned(),
            pool_size: "256mb".to_owned(),
            directives: Vec::new(),
            file: None,
            environment: Vec::new(),
        }
        .directive("layout", layout)
    }

    /// Sets a configuration file. The other options override it.
    #[must_use]
    pub fn file(mut self, path: &Path) -> Self {
        self.file = Some(path.to_owned());
        self
    }

    /// Sets the size of the pool.
    #[must_use]
    pub fn pool_size(mut self, size: &str) -> Self {
        size.clone_into(&mut self.pool_size);
        self
    }

    /// Adds a variable to the process's environment.
    #[must_use]
    pub fn environment(mut self, name: &str, value: &OsStr) -> Self {
        self.environment.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Has the pool count as a file on a disk, with this durability. The server would see that it lies in memory, so it is told
    /// that it has looked already.
    #[must_use]
    pub fn on_disk(self, durability: &str) -> Self {
        self.environment("PMEM_IS_PMEM_FORCE", OsStr::new("0"))
            .environment("PMEMKV_SERVER_ENVIRONMENT_IS_SET", OsStr::new("1"))
            .directive("durability", durability)
    }

    /// Adds a directive.
    #[must_use]
    pub fn directive(mut self, name: &str, value: &str) -> Self {
        self.directives.push(format!("--{name}"));
        self.directives.push(value.to_owned());
        self
    }
}

/// Our server, with a pool in a folder of its own. Dropping it kills the process and removes the folder.
pub struct Server {
    options: Options,
    process: Option<Process>,
    /// Declared after the process, so that the process ends and shows its log before the folder goes.
    dir: TempDir,
}

impl Server {
    /// Starts with an empty pool on `store`, which [`Options::new`] explains.
    pub fn start(store: &str) -> TestResult<Self> {
        Self::start_with(Options::new(store))
    }

    /// Starts with an empty pool.
    pub fn start_with(options: Options) -> TestResult<Self> {
        let mut server = Self {
            options,
            dir: temporary_folder()?,
            process: None,
        };
        server.resume()?;
        Ok(server)
    }

    /// Starts again after [`kill_9`](Self::kill_9) or [`terminate`](Self::terminate), on the same pool.
    pub fn resume(&mut self) -> TestResult {
        assert!(self.process.is_none(), "the server still runs");
        let configure = |command: &mut Command, port: &str| self.configure(command, port);
        let process = Process::start(self.dir.path(), configure, &program())?;
        self.process = Some(process);
        Ok(())
    }

    /// The same on a port that the clients of a test know already.
    pub fn resume_on(&mut self, port: u16) -> TestResult {
        assert!(self.process.is_none(), "the server still runs");
        let configure = |command: &mut Command, port: &str| self.configure(command, port);
        let process = Process::start_on(port, self.dir.path(), configure, &program())?;
        self.process =
            Some(process.ok_or_else(|| format!("port {port} is taken:\n{}", self.log()))?);
        Ok(())
    }

    /// Starts again, and kills the process after the time `after`, whether or not it serves by then.
    pub fn resume_and_kill(&self, after: Duration) -> TestResult {
        assert!(self.process.is_none(), "the server still runs");
        let configure = |command: &mut Command, port: &str| self.configure(command, port);
        Process::start_and_kill(self.dir.path(), configure, &program(), after)
    }

    fn configure(&self, command: &mut Command, port: &str) {
        let options = &self.options;
        let environment = options.environment.iter();
        command
            .envs(environment.map(|(name, value)| (name, value)))
            .args(&options.file)
            .args(["--port", port, "--bind", "127.0.0.1"])
            .args([
                "--engine",
                &options.engine,
                "--pool-size",
                &options.pool_size,
            ])
            .arg("--pool-path")
            .arg(self.pool_path())
            .args(&options.directives);
    }

    /// Sets the options for the next start.
    pub fn set_options(&mut self, options: Options) {
        self.options = options;
    }

    /// Stops and starts again, on the same pool.
    pub fn restart(&mut self) -> TestResult {
        self.terminate()?;
        self.resume()
    }

    /// Ends the process with SIGKILL.
    pub fn kill_9(&mut self) -> TestResult {
        self.process.take().ok_or("the server does not run")?.kill()
    }

    /// Asks the process to stop with SIGTERM; it must exit with code 0 in time.
    pub fn terminate(&mut self) -> TestResult {
        self.process
            .take()
            .ok_or("the server does not run")?
            .terminate()
    }

    /// Waits until the process ends by itself, after SHUTDOWN; it must exit with code 0 in time.
    pub fn wait_for_exit(&mut self) -> TestResult {
        self.process
            .take()
            .ok_or("the server does not run")?
            .wait_for_exit()
    }

    /// The process's number.
    pub fn pid(&self) -> u32 {
        self.running().pid()
    }

    /// The TCP port on 127.0.0.1. It changes with each start.
    pub fn port(&self) -> u16 {
        self.running().port
    }

    /// The folder of the pool and the log. Dropping the server removes it.
    pub fn dir(&self) -> &Path {
        self.dir.path()
    }

    /// The pool's path.
    pub fn pool_path(&self) -> PathBuf {
        self.dir.path().join("test.pool")
    }

    /// Everything that the server has written to standard output and standard error so far.
    pub fn log(&self) -> String {
        process::read_log(self.dir.path())
    }

    /// A connection of the `redis` crate.
    pub fn connection(&self) -> TestResult<redis::Connection> {
        connection(self.port())
    }

    /// A connection that shows replies unchanged.
    pub fn raw(&self) -> TestResult<RawClient> {
        Ok(RawClient::connect(self.port())?)
    }

    fn running(&self) -> &Process {
        self.process.as_ref().expect("the server runs")
    }
}

/// A free port that no other process gets by chance: the kernel chooses only ports from 32,768 on.
pub fn quiet_port() -> TestResult<u16> {
    let first = RandomState::new().hash_one(std::process::id());
    for step in 0..1_000 {
        let port = 20_000 + u16::try_from(first.wrapping_add(step) % 12_000)?;
        if std::net::TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return Ok(port);
        }
    }
    Err("no port is free".into())
}

/// An address of this machine that is no loopback address, if it has one. Sends nothing.
pub fn address_elsewhere() -> Option<String> {
    let socket = std::net::UdpSocket::bind("0.0.0.0:0").ok()?;
    socket.connect("192.0.2.1:9").ok()?;
    let address = socket.local_addr().ok()?.ip();
    (!address.is_loopback() && !address.is_unspecified()).then(|| address.to_string())
}

fn connection(port: u16) -> TestResult<redis::Connection> {
    let client = redis::Client::open(format!("redis://127.0.0.1:{port}/"))?;
    let connection = client.get_connection_with_timeout(PATIENCE)?;
    connection.set_read_timeout(Some(PATIENCE))?;
    Ok(connection)
}

/// Makes a folder, in memory if possible: pools on a disk are slow, and a test leaves nothing that must survive a
/// reboot.
pub fn temporary_folder() -> TestResult<TempDir> {
    let memory = Path::new("/dev/shm");
    let parent = if memory.is_dir() {
        memory.to_owned()
    } else {
        std::env::temp_dir()
    };
    Ok(tempfile::Builder::new()
        .prefix("pmemkv-server-test-")
        .tempdir_in(parent)?)
}
