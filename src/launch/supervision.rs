//! `supervised`: tells systemd by datagrams (the protocol of `sd_notify(3)`), and upstart by SIGSTOP.

use std::ffi::{OsStr, OsString};
use std::io;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::time::Duration;

use nix::sys::signal::{Signal, raise};

use crate::config::Supervised;

const NOTIFY_SOCKET: &str = "NOTIFY_SOCKET";
const UPSTART_JOB: &str = "UPSTART_JOB";
const WATCHDOG_MICROS: &str = "WATCHDOG_USEC";
const WATCHDOG_PID: &str = "WATCHDOG_PID";

/// The program that supervises the process.
#[derive(Debug)]
pub enum Supervisor {
    /// systemd, which listens at this address.
    Systemd(OsString),
    /// upstart.
    Upstart,
}

impl Supervisor {
    /// The supervisor that the directive asks for, if the environment has it.
    pub fn find(asked: Supervised) -> Option<Self> {
        Self::find_in(asked, |name| std::env::var_os(name))
    }

    fn find_in(asked: Supervised, variable: impl Fn(&str) -> Option<OsString>) -> Option<Self> {
        let upstart = || variable(UPSTART_JOB).map(|_| Supervisor::Upstart);
        let systemd = || variable(NOTIFY_SOCKET).map(Supervisor::Systemd);
        match asked {
            Supervised::No => None,
            Supervised::Upstart => upstart(),
            Supervised::Systemd => systemd(),
            Supervised::Auto => upstart().or_else(systemd),
        }
    }

    /// What to log if the directive asks for a supervisor that the environment does not have.
    pub fn absence(asked: Supervised) -> Option<&'static str> {
        match asked {
            Supervised::Upstart => {
                Some("upstart supervision requested, but UPSTART_JOB not found!")
            }
            Supervised::Systemd => Some("systemd supervision error: NOTIFY_SOCKET not found!"),
            Supervised::Auto | Supervised::No => None,
        }
    }

    pub(super) fn name(&self) -> &'static str {
        match self {
            Supervisor::Systemd(_) => "systemd",
            Supervisor::Upstart => "upstart",
        }
    }

    /// How often systemd wants to hear that the process is alive (`WatchdogSec=`), at least; `None` if it does not.
    pub(super) fn watchdog_time(&self) -> Option<Duration> {
        match self {
            Supervisor::Systemd(_) => watchdog_time_in(|name| std::env::var(name).ok()),
            Supervisor::Upstart => None,
        }
    }

    /// Says that the server serves.
    pub(super) fn ready(&self) {
        self.notify("STATUS=Ready to accept connections\nREADY=1\n");
        if matches!(self, Supervisor::Upstart) {
            // upstart waits for the stop and then sends SIGCONT.
            if let Err(error) = raise(Signal::SIGSTOP) {
                tracing::warn!(%error, "upstart could not be notified");
            }
        }
    }

    /// Sends systemd a state.
    pub(super) fn notify(&self, state: &str) {
        if let Supervisor::Systemd(address) = self
            && let Err(error) = send(address, state)
        {
            tracing::warn!(%error, address = %address.display(), "systemd could not be notified");
        }
    }
}

fn watchdog_time_in(variable: impl Fn(&str) -> Option<String>) -> Option<Duration> {
    let of_another = |pid: String| pid.parse() != Ok(std::process::id());
    if variable(WATCHDOG_PID).is_some_and(of_another) {
        return None;
    }
    let micros = variable(WATCHDOG_MICROS)?.parse().ok()?;
    (micros > 0).then(|| Duration::from_micros(micros))
}

fn send(address: &OsStr, state: &str) -> io::Result<()> {
    let address = match address.as_bytes() {
        [b'@', name @ ..] => SocketAddr::from_abstract_name(name)?,
        _ => SocketAddr::from_pathname(address)?,
    };
    let socket = UnixDatagram::unbound()?;
    // A supervisor that does not read must not block the server.
    socket.set_nonblocking(true)?;
    socket.send_to_addr(state.as_bytes(), &address)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_environment_names_the_supervisor() {
        let names = |asked, there: &[&str]| {
            let variable = |name: &str| there.contains(&name).then(|| OsString::from("x"));
            Supervisor::find_in(asked, variable).map_or("no", |one| one.name())
        };
        let both = &[UPSTART_JOB, NOTIFY_SOCKET];
        assert_eq!(names(Supervised::No, both), "no");
        assert_eq!(names(Supervised::Auto, both), "upstart");
        assert_eq!(names(Supervised::Auto, &[NOTIFY_SOCKET]), "systemd");
        assert_eq!(names(Supervised::Auto, &[]), "no");
        assert_eq!(names(Supervised::Systemd, &[UPSTART_JOB]), "no");
        assert_eq!(names(Supervised::Systemd, both), "systemd");
        assert_eq!(names(Supervised::Upstart, &[NOTIFY_SOCKET]), "no");
    }

    #[test]
    fn the_watchdog_is_for_one_process() {
        let own = std::process::id().to_string();
        let time = |micros: Option<&str>, pid: Option<&str>| {
            watchdog_time_in(|name| match name {
                WATCHDOG_MICROS => micros.map(str::to_owned),
                _ => pid.map(str::to_owned),
            })
        };
        let minute = Some(Duration::from_secs(60));
        assert_eq!(time(Some("60000000"), Some(&own)), minute);
        assert_eq!(time(Some("60000000"), None), minute);
        assert_eq!(time(Some("60000000"), Some("1")), None);
        assert_eq!(time(Some("0"), Some(&own)), None);
        assert_eq!(time(Some("soon"), Some(&own)), None);
        assert_eq!(time(None, Some(&own)), None);
    }

    #[test]
    fn states_reach_sockets_of_both_kinds() -> io::Result<()> {
        let dir = tempfile::tempdir()?;
        let path = dir.path().join("notify");
        let name = format!("pmemkv-server-test-{}", std::process::id());
        let of_file = UnixDatagram::bind(&path)?;
        let of_name = UnixDatagram::bind_addr(&SocketAddr::from_abstract_name(name.as_bytes())?)?;
        for (socket, address) in [
            (of_file, path.into_os_string()),
            (of_name, OsString::from(format!("@{name}"))),
        ] {
            Supervisor::Systemd(address).ready();
            let mut buffer = [0; 100];
            let len = socket.recv(&mut buffer)?;
            let text = String::from_utf8_lossy(&buffer[..len]).into_owned();
            assert_eq!(text, "STATUS=Ready to accept connections\nREADY=1\n");
        }
        assert!(send(OsStr::new("/no/such/socket"), "READY=1").is_err());
        Ok(())
    }
}
