//! How the server starts, and what it leaves behind: pid files, the background, supervisors, limits of the operating
//! system, Redis's configuration files.

mod limits;
mod trust;

use std::fs;
use std::io::Write;
use std::net::TcpListener;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::time::{Duration, Instant};

use common::{RawClient, TestResult, Value, quiet_port};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

const PATIENCE: Duration = Duration::from_secs(30);

/// A folder for a server, and the server's command line.
struct Place {
    folder: tempfile::TempDir,
    port: u16,
}

impl Place {
    fn new() -> TestResult<Self> {
        let folder = tempfile::Builder::new().tempdir_in("/dev/shm")?;
        let port = quiet_port()?;
        Ok(Self { folder, port })
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn text(&self, name: &str) -> String {
        self.path(name).display().to_string()
    }

    fn log(&self) -> String {
        fs::read_to_string(self.path("log")).unwrap_or_default()
    }

    fn words(&self) -> Vec<String> {
        [
            "--bind",
            "127.0.0.1",
            "--port",
            &self.port.to_string(),
            "--pool-size",
            "64mb",
            "--pool-path",
            &self.text("pool"),
            "--logfile",
            &self.text("log"),
        ]
        .map(str::to_owned)
        .to_vec()
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(common::program());
        // A file comes first, directives after it.
        let (file, rest) = match arguments {
            [file, rest @ ..] if !file.starts_with('-') => (Some(file), rest),
            all => (None, all),
        };
        command
            .args(file)
            .args(self.words())
            .args(rest)
            .current_dir(self.folder.path())
            .stdin(Stdio::null());
        command
    }

    /// Starts the server and waits until it answers.
    fn start(&self, arguments: &[&str]) -> TestResult<Running> {
        self.run(self.command(arguments))
    }

    fn run(&self, mut command: Command) -> TestResult<Running> {
        let child = command
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()?;
        let mut running = Running(child);
        let deadline = Instant::now() + PATIENCE;
        while self.client().is_err() {
            if let Some(status) = running.0.try_wait()? {
                return Err(format!("{status}: {}", self.log()).into());
            }
            assert!(Instant::now() < deadline, "no answer: {}", self.log());
            std::thread::sleep(Duration::from_millis(10));
        }
        Ok(running)
    }

    /// A client of a server that has read its pool.
    fn client(&self) -> TestResult<RawClient> {
        let mut client = RawClient::connect(self.port)?;
        match client.line("PING")? {
            Value::Simple(_) => Ok(client),
            other => Err(format!("{other:?}").into()),
        }
    }
}

/// A child process that ends with the test.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Running {
    /// Asks the process to stop, and waits.
    fn stop(mut self) -> TestResult<ExitStatus> {
        kill(Pid::from_raw(i32::try_from(self.0.id())?), Signal::SIGTERM)?;
        let deadline = Instant::now() + PATIENCE;
        loop {
            if let Some(status) = self.0.try_wait()? {
                return Ok(status);
            }
            assert!(Instant::now() < deadline, "it still runs");
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}

/// A process that is not a child of the test; it ends with the test.
struct InBackground(Pid);

impl Drop for InBackground {
    fn drop(&mut self) {
        // After a successful test the process is gone already.
        let _ = kill(self.0, Signal::SIGKILL);
    }
}

impl InBackground {
    fn of(pidfile: &Path) -> TestResult<Self> {
        let pid = fs::read_to_string(pidfile)?.trim().parse()?;
        Ok(Self(Pid::from_raw(pid)))
    }

    fn wait(&self) {
        let deadline = Instant::now() + PATIENCE;
        // If no process reaps it, it stays as a zombie.
        let stat = format!("/proc/{}/stat", self.0);
        while fs::read_to_string(&stat).is_ok_and(|stat| !stat.contains(") Z ")) {
            assert!(Instant::now() < deadline, "it still runs");
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

fn field(client: &mut RawClient, section: &str, name: &str) -> TestResult<String> {
    let info = client.line(&format!("INFO {section}"))?;
    let info = info.text().ok_or("no text")?;
    let value = info
        .lines()
        .find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
    Ok(value.ok_or("no such field")?.to_owned())
}

#[test]
fn a_pid_file_that_cannot_be_written_is_a_warning() -> TestResult {
    let place = Place::new()?;
    let running = place.start(&["--pidfile", "/nonexist/redis.pid"])?;
    let log = place.log();
    let warning = "Failed to write PID file /nonexist/redis.pid: No such file or directory";
    assert_eq!(log.matches(warning).count(), 1, "{log}");
    assert!(running.stop()?.success());
    Ok(())
}

#[test]
fn only_the_server_that_wrote_a_pid_file_removes_it() -> TestResult {
    let place = Place::new()?;
    let pidfile = place.path("pid");
    let name = place.text("pid");
    let running = place.start(&["--pidfile", &name])?;
    let text = fs::read_to_string(&pidfile)?;
    assert_eq!(text, format!("{}\n", running.0.id()));
    // Another server fails: first to listen, with a pool of its own, then to open the pool.
    for pool in ["other.pool", "pool"] {
        let output = place
            .command(&["--pidfile", &name, "--pool-path", &place.text(pool)])
            .output()?;
        assert_eq!(output.status.code(), Some(1), "{}", said(&output));
        assert_eq!(fs::read_to_string(&pidfile)?, text);
    }
    assert!(running.stop()?.success());
    assert!(!pidfile.exists());
    let running = place.start(&["--pidfile", &name])?;
    fs::write(&pidfile, "1\n")?;
    assert!(running.stop()?.success());
    assert_eq!(fs::read_to_string(&pidfile)?, "1\n");
    Ok(())
}

#[test]
fn a_start_executes_the_program_once() -> TestResult {
    let place = Place::new()?;
    let running = place.start(&[])?;
    let mut client = place.client()?;
    let pid = field(&mut client, "server", "process_id")?;
    // What the kernel shows is what the program was executed with. A pool in memory needs settings of libpmem, which the process
    // sets for itself, before it loads the library.
    let environment = fs::read(format!("/proc/{pid}/environ"))?;
    let environment = String::from_utf8_lossy(&environment).into_owned();
    assert!(!environment.contains("PMEM_"), "{environment}");
    let maps = fs::read_to_string(format!("/proc/{pid}/maps"))?;
    assert!(maps.contains("libpmem.so"), "the library is loaded");
    assert!(running.stop()?.success());
    Ok(())
}

#[test]
fn daemonize_serves_from_the_background() -> TestResult {
    let place = Place::new()?;
    let pidfile = place.path("pid");
    for (start, from_stdin) in [false, true].into_iter().enumerate() {
        let mut command = place.command(&[]);
        command.args(["--pidfile", &place.text("pid")]);
        if from_stdin {
            command.arg("-");
        } else {
            command.args(["--daemonize", "yes"]);
        }
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()?;
        if let Some(mut stdin) = child.stdin.take()
            && from_stdin
        {
            stdin.write_all(b"daemonize yes\n")?;
        }
        let id = child.id();
        // The process ends, and its pipes close: the background process does not hold them.
        let output = child.wait_with_output()?;
        assert!(output.status.success(), "{}", said(&output));
        assert_eq!((said(&output).as_str(), output.stdout.len()), ("", 0));

        let background = InBackground::of(&pidfile)?;
        assert_ne!(background.0.as_raw(), i32::try_from(id)?);
        // The background process serves at once.
        let mut client = place.client()?;
        let pid = field(&mut client, "server", "process_id")?;
        assert_eq!(pid, background.0.to_string());
        for stream in 0..3 {
            let target = fs::read_link(format!("/proc/{pid}/fd/{stream}"))?;
            // The runtime's last words go to the log.
            let log = place.path("log");
            let expected = if stream == 2 {
                log.as_path()
            } else {
                Path::new("/dev/null")
            };
            assert_eq!(target, expected, "{stream}");
        }
        let stat = fs::read_to_string(format!("/proc/{pid}/stat"))?;
        let session = stat
            .rsplit(')')
            .next()
            .and_then(|rest| rest.split(' ').nth(4));
        assert_eq!(session, Some(pid.as_str()), "a session of its own");
        let name = fs::read_to_string(format!("/proc/{pid}/comm"))?;
        assert_eq!(name, "pmemkv-server\n");
        assert_eq!(
            client.line("INCR starts")?,
            Value::Integer(i64::try_from(start)? + 1)
        );
        // SHUTDOWN SAVE keeps the data, as the next start shows.
        client.send(&["SHUTDOWN", "SAVE"])?;
        background.wait();
        assert!(!pidfile.exists());
    }
    Ok(())
}

#[test]
fn daemonize_says_why_it_failed() -> TestResult {
    let place = Place::new()?;
    let taken = TcpListener::bind(("127.0.0.1", place.port))?;
    let pidfile = place.text("pid");
    let arguments = ["--daemonize", "yes", "--pidfile", &pidfile];
    let output = place.command(&arguments).output()?;
    assert_eq!(output.status.code(), Some(1));
    let text = said(&output);
    assert!(text.contains("can't listen on 127.0.0.1"), "{text}");
    assert!(!place.path("pid").exists());
    drop(taken);
    fs::write(place.path("pool"), vec![7; 1 << 20])?;
    let output = place.command(&arguments).output()?;
    assert_eq!(output.status.code(), Some(1));
    assert!(said(&output).contains("not a pool"), "{}", said(&output));
    Ok(())
}

#[test]
fn systemd_gets_messages_over_its_socket() -> TestResult {
    for abstract_name in [false, true] {
        let place = Place::new()?;
        let (socket, address) = if abstract_name {
            let name = format!("pmemkv-server-{}", place.port);
            let address = SocketAddr::from_abstract_name(name.as_bytes())?;
            (UnixDatagram::bind_addr(&address)?, format!("@{name}"))
        } else {
            let path = place.path("notify");
            (UnixDatagram::bind(&path)?, path.display().to_string())
        };
        socket.set_read_timeout(Some(PATIENCE))?;
        let hear = || -> TestResult<String> {
            let mut buffer = [0; 200];
            let len = socket.recv(&mut buffer)?;
            Ok(String::from_utf8_lossy(&buffer[..len]).into_owned())
        };
        let supervised = if abstract_name { "auto" } else { "systemd" };
        // A supervised server stays in the foreground, as in Redis.
        let mut command = place.command(&["--supervised", supervised, "--daemonize", "yes"]);
        command
            .env("NOTIFY_SOCKET", &address)
            .env_remove("UPSTART_JOB");
        let running = place.run(command)?;
        assert_eq!(hear()?, "STATUS=Reading the pool\n");
        assert_eq!(hear()?, "STATUS=Ready to accept connections\nREADY=1\n");
        let mut client = place.client()?;
        assert_eq!(
            field(&mut client, "server", "process_supervised")?,
            "systemd"
        );
        let pid = running.0.id().to_string();
        assert_eq!(field(&mut client, "server", "process_id")?, pid);
        assert!(running.stop()?.success());
        assert_eq!(hear()?, "STOPPING=1\nSTATUS=Closing the pool\n");
    }
    Ok(())
}

#[test]
fn a_missing_supervisor_is_a_warning() -> TestResult {
    let place = Place::new()?;
    let mut command = place.command(&["--supervised", "systemd"]);
    command.env_remove("NOTIFY_SOCKET");
    let running = place.run(command)?;
    assert!(place.log().contains("NOTIFY_SOCKET not found!"));
    let mut client = place.client()?;
    assert_eq!(field(&mut client, "server", "process_supervised")?, "no");
    assert!(running.stop()?.success());
    Ok(())
}

#[test]
fn upstart_learns_of_the_start_by_a_stop() -> TestResult {
    let place = Place::new()?;
    let child = place
        .command(&["--supervised", "upstart"])
        .env("UPSTART_JOB", "x")
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()?;
    let running = Running(child);
    let stat = format!("/proc/{}/stat", running.0.id());
    let deadline = Instant::now() + PATIENCE;
    while !fs::read_to_string(&stat)?.contains(") T ") {
        assert!(
            Instant::now() < deadline,
            "it did not stop: {}",
            place.log()
        );
        std::thread::sleep(Duration::from_millis(5));
    }
    kill(
        Pid::from_raw(i32::try_from(running.0.id())?),
        Signal::SIGCONT,
    )?;
    let mut client = place.client()?;
    assert_eq!(
        field(&mut client, "server", "process_supervised")?,
        "upstart"
    );
    assert!(running.stop()?.success());
    Ok(())
}

#[test]
fn a_configuration_with_unsupported_settings_stops_the_start() -> TestResult {
    let place = Place::new()?;
    let file = place.text("redis.conf");
    fs::write(&file, "timeout 0\ncluster-enabled yes\n")?;
    let output = place.command(&[&file]).output()?;
    assert_eq!(output.status.code(), Some(1));
    let text = said(&output);
    assert!(
        text.contains(&format!("'cluster-enabled yes' (line 2 of {file})")),
        "{text}"
    );
    assert!(
        text.contains("accept-unsupported cluster-enabled"),
        "{text}"
    );
    assert!(!place.path("pool").exists());

    // The pool lies in memory that this boot loses.
    let output = place
        .command(&["--appendonly", "yes", "--appendfsync", "always"])
        .output()?;
    assert_eq!(output.status.code(), Some(1));
    assert!(
        said(&output).contains("does not survive a loss of power"),
        "{}",
        said(&output)
    );
    let running = place.start(&["--appendonly", "yes", "--save", "900", "1"])?;
    let log = place.log();
    assert_eq!(
        log.matches("writes no append-only file").count(),
        1,
        "{log}"
    );
    let reply = place.client()?.line("CONFIG SET appendfsync always")?;
    let Value::Error(text) = reply else {
        panic!("{reply:?}");
    };
    let text = String::from_utf8_lossy(&text);
    assert!(
        text.contains("argument 'appendfsync') - there is no append-only file"),
        "{text}"
    );
    assert!(running.stop()?.success());

    fs::write(
        &file,
        "replicaof 127.0.0.1 6379\naccept-unsupported slaveof\n",
    )?;
    let running = place.start(&[&file])?;
    let mut client = place.client()?;
    let role = client.line("ROLE")?;
    assert_eq!(
        role.items().ok_or("no array")?[0].text().as_deref(),
        Some("master")
    );
    let reply = client.call(&["CONFIG", "SET", "accept-unsupported", ""])?;
    assert!(
        format!("{reply:?}").contains("replicaof is set"),
        "{reply:?}"
    );
    assert!(!client.line("CONFIG REWRITE")?.is_error());
    assert!(running.stop()?.success());
    let running = place.start(&[&file])?;
    assert!(running.stop()?.success());
    Ok(())
}
