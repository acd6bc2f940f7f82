//! A server on a pool that may be damaged.

use std::fs::{self, File};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use common::{RawClient, TestResult, Value, encode};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tempfile::TempDir;

use super::Place;
use super::sample::{DATABASES, Held, Model};
use super::tally::Outcome;

/// A start that takes longer hangs: longer than the trial of an open may take.
const START_MAX: Duration = Duration::from_secs(50);

/// An end that takes longer hangs.
const END_MAX: Duration = Duration::from_secs(20);

/// Why there is no server.
pub enum Ended {
    /// It said why.
    Refused(String),
    /// It did not.
    Crashed(String),
}

/// A folder with a pool.
pub struct Subject {
    layout: &'static str,
    folder: TempDir,
}

/// A server that runs.
pub struct Started {
    child: Child,
    pub port: u16,
    log: PathBuf,
}

impl Subject {
    pub fn new(layout: &'static str, place: Place) -> TestResult<Self> {
        let memory = std::path::Path::new("/dev/shm");
        let parent = if place == Place::Memory && memory.is_dir() {
            memory.to_owned()
        } else {
            std::env::temp_dir()
        };
        let folder = tempfile::Builder::new()
            .prefix("pmemkv-damage-")
            .tempdir_in(parent)?;
        Ok(Self { layout, folder })
    }

    pub fn pool_path(&self) -> PathBuf {
        self.folder.path().join("pool")
    }

    pub fn log(&self) -> String {
        let bytes = fs::read(self.folder.path().join("log")).unwrap_or_default();
        String::from_utf8_lossy(&bytes).into_owned()
    }

    /// Whether the log of the last start says that something was lost.
    pub fn log_tells_of_loss(&self) -> bool {
        self.log()
            .lines()
            .any(|line| line.contains("WARN") && line.contains("repair"))
    }

    /// Starts a server, with a log of its own.
    pub fn start(&self, directives: &[&str]) -> TestResult<Result<Started, Ended>> {
        let log_path = self.folder.path().join("log");
        let log = File::create(&log_path)?;
        let port = common::quiet_port()?;
        let program =
            std::env::var_os("PMEMKV_DAMAGE_SERVER").map_or_else(common::program, PathBuf::from);
        let size = if self.layout == "packed" {
            "32mb"
        } else {
            "24mb"
        };
        let child = Command::new(program)
            .args([
                "--port",
                &port.to_string(),
                "--bind",
                "127.0.0.1",
                "--pool-size",
                size,
            ])
            .args(["--layout", self.layout, "--worker-threads", "2"])
            .arg("--pool-path")
            .arg(self.pool_path())
            .args(directives)
            .current_dir(self.folder.path())
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .spawn()?;
        let mut started = Started {
            child,
            port,
            log: log_path,
        };
        let deadline = Instant::now() + START_MAX;
        while Instant::now() < deadline {
            if let Some(status) = started.child.try_wait()? {
                let log = self.log();
                let last = log.lines().last().unwrap_or_default().to_owned();
                let is_refusal =
                    status.code() == Some(1) && !log.contains("panicked") && !last.is_empty();
                return Ok(Err(if is_refusal {
                    Ended::Refused(last)
                } else {
                    Ended::Crashed(format!("{status}: {last}"))
                }));
            }
            let answer = RawClient::connect(port).and_then(|mut client| client.call(&["PING"]));
            if answer.is_ok_and(|reply| !reply.is_error()) {
                return Ok(Ok(started));
            }
            thread::sleep(Duration::from_millis(3));
        }
        Ok(Err(Ended::Crashed("the start hangs".to_owned())))
    }
}

impl Started {
    /// Ends it in order. An error where it has crashed or hangs.
    pub fn end(mut self) -> Result<(), String> {
        if let Ok(Some(status)) = self.child.try_wait() {
            return Err(format!("while it served: {status}"));
        }
        if self.has_panicked() {
            return Err("a thread has panicked".to_owned());
        }
        let pid = i32::try_from(self.child.id()).map_err(|error| error.to_string())?;
        let _ = kill(Pid::from_raw(pid), Signal::SIGTERM);
        let deadline = Instant::now() + END_MAX;
        while Instant::now() < deadline {
            match self.child.try_wait() {
                Ok(Some(status)) if status.success() && !self.has_panicked() => return Ok(()),
                Ok(Some(status)) => return Err(format!("at its end: {status}")),
                _ => thread::sleep(Duration::from_millis(2)),
            }
        }
        Err("it does not end".to_owned())
    }

    pub fn kill(mut self) -> TestResult {
        self.child.kill()?;
        self.child.wait()?;
        Ok(())
    }

    fn has_panicked(&self) -> bool {
        let log = fs::read(&self.log).unwrap_or_default();
        String::from_utf8_lossy(&log).contains("panicked")
    }

    /// All that it serves; `None` where it answers an error.
    pub fn read_all(&mut self) -> TestResult<Option<Model>> {
        let mut model = Model::new();
        let mut client = RawClient::connect(self.port)?;
        for db in 0..DATABASES {
            client.call(&["SELECT", &db.to_string()])?;
            let keys = client.line("KEYS *")?;
            let Some(keys) = keys.items() else {
                return Ok(None);
            };
            for keys in keys.chunks(200) {
                let mut bytes = Vec::new();
                for key in keys {
                    let key = key.bytes().unwrap_or_default();
                    let words = how(key).iter().map(|&word| match word {
                        KEY => key,
                        word => word.as_bytes(),
                    });
                    encode(&mut bytes, &words.collect::<Vec<_>>());
                    encode(&mut bytes, &[b"EXPIRETIME".as_slice(), key]);
                }
                client.send_bytes(&bytes)?;
                for key in keys {
                    let value = client.read()?;
                    let expires = client.read()?;
                    let key = key.bytes().unwrap_or_default();
                    if is_told(&value) || is_told(&expires) {
                        return Ok(None);
                    }
                    let held = Held {
                        read: how(key),
                        value: sorted(how(key), value),
                        expires: expires.integer().unwrap_or(i64::MIN),
                    };
                    model.insert((db, key.to_vec()), held);
                }
            }
            let size = client.line("DBSIZE")?;
            let count = model.keys().filter(|(of, _)| *of == db).count();
            if db == 0 {
                let value = client.line("FUNCTION DUMP")?;
                if is_told(&value) {
                    return Ok(None);
                }
                let held = Held {
                    read: &[],
                    value,
                    expires: 0,
                };
                model.insert((db, b"<libraries>".to_vec()), held);
            }
            if size.integer() != i64::try_from(count).ok() {
                model.insert(
                    (db, b"<DBSIZE>".to_vec()),
                    Held {
                        read: &[],
                        value: size,
                        expires: 0,
                    },
                );
            }
        }
        Ok(Some(model))
    }

    /// Compares all that it serves with the model, and asks for each of the model's keys by name.
    pub fn compare(&mut self, model: &Model) -> TestResult<Outcome> {
        let Some(found) = self.read_all()? else {
            return Ok(Outcome::Told("an error".to_owned()));
        };
        let mut wrong = Vec::new();
        for (name, held) in model {
            match found.get(name) {
                Some(other) if other == held => {}
                Some(other) => {
                    let what = if other.value == held.value {
                        "deadline"
                    } else {
                        "value"
                    };
                    wrong.push(format!("{}: another {what}", name.1.escape_ascii()));
                }
                None => wrong.push(format!("{}: missing", name.1.escape_ascii())),
            }
        }
        for name in found.keys().filter(|name| !model.contains_key(*name)) {
            wrong.push(format!("{}: not expected", name.1.escape_ascii()));
        }
        if wrong.is_empty() {
            return Ok(Outcome::Right);
        }
        let shown = wrong.iter().take(3).cloned().collect::<Vec<_>>().join(", ");
        Ok(Outcome::Silent(format!(
            "{} of {}: {shown}",
            wrong.len(),
            model.len()
        )))
    }

    /// Writes something into every part of the store. An error where it is refused.
    pub fn write(&mut self, model: &mut Model, salt: u32) -> TestResult {
        let mut client = RawClient::connect(self.port)?;
        let names: Vec<Vec<u8>> = model
            .iter()
            .filter(|((db, _), held)| *db == 0 && held.read == GET)
            .map(|((_, key), _)| key.clone())
            .collect();
        let mut check = |words: &[&[u8]]| -> TestResult {
            let reply = client.call(words)?;
            if reply.is_error() {
                return Err(format!("{} answers {reply:?}", words[0].escape_ascii()).into());
            }
            Ok(())
        };
        let mut set = |model: &mut Model, key: Vec<u8>, value: Vec<u8>| -> TestResult {
            check(&[b"SET", &key, &value])?;
            let held = Held {
                read: GET,
                value: Value::Bulk(value),
                expires: -1,
            };
            model.insert((0, key), held);
            Ok(())
        };
        for n in 0..60 {
            let length = [10, 100, 700, 3_000, 20_000][n % 5];
            let value = format!("{salt:08x}.{n}")
                .into_bytes()
                .into_iter()
                .cycle()
                .take(length)
                .collect();
            set(model, format!("new:{n}").into_bytes(), value)?;
        }
        for (n, key) in names.iter().enumerate().filter(|(n, _)| n % 7 == 0) {
            set(model, key.clone(), format!("again {n}").into_bytes())?;
        }
        for key in names.iter().skip(1).step_by(11) {
            check(&[b"DEL", key])?;
            model.remove(&(0, key.clone()));
        }
        Ok(())
    }
}

impl Drop for Started {
    fn drop(&mut self) {
        // Both fail only where the process is gone already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Stands for the key in a command.
const KEY: &str = "<key>";
/// How a string is read.
const GET: &[&str] = &["GET", KEY];

/// How a key is read, by the first word of its name.
fn how(key: &[u8]) -> &'static [&'static str] {
    match key.split(|&byte| byte == b':').next().unwrap_or(key) {
        b"hash" => &["HGETALL", KEY],
        b"list" => &["LRANGE", KEY, "0", "-1"],
        b"set" => &["SMEMBERS", KEY],
        b"ranks" => &["ZRANGE", KEY, "0", "-1", "WITHSCORES"],
        b"stream" => &["XINFO", "STREAM", KEY, "FULL", "COUNT", "0"],
        _ => GET,
    }
}

/// An error that is no answer about the key's type: the server says that something is wrong.
fn is_told(reply: &Value) -> bool {
    matches!(reply, Value::Error(text) if !text.starts_with(b"WRONGTYPE"))
}

/// A hash's fields and a set's members come in any order.
fn sorted(read: &[&str], value: Value) -> Value {
    let Value::Array(items) = value else {
        return value;
    };
    let together = match read[0] {
        "HGETALL" => 2,
        "SMEMBERS" => 1,
        _ => return Value::Array(items),
    };
    let mut groups: Vec<Vec<Value>> = items.chunks(together).map(<[Value]>::to_vec).collect();
    groups.sort();
    Value::Array(groups.concat())
}
