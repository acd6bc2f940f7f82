//! Tries to open a pool in a child process, where a crash does no harm: libpmemobj and the engines trust a pool's
//! bytes, and damaged ones can kill the process.

use std::ffi::c_int;
use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::{AsRawFd, OwnedFd};
use std::panic::{self, AssertUnwindSafe};
use std::path::Path;
use std::time::{Duration, Instant};

use nix::libc;
use nix::sys::prctl::set_pdeathsig;
use nix::sys::resource::{Resource, setrlimit};
use nix::sys::signal::{Signal, kill};
use nix::sys::wait::{WaitStatus, waitpid};
use nix::unistd::{ForkResult, Pid, fork};
use pmemkv_sys as sys;

use super::pool::{Pool, PoolError, is_device};

/// How long an open may take. The largest pools open in milliseconds, but a slow disk needs more time.
const TIME_MAX: Duration = Duration::from_secs(30);

/// How often the child may be killed by something else before this gives up.
const KILLS_MAX: u32 = 3;

/// How long a machine that is short of memory is given.
const KILL_PAUSE: Duration = Duration::from_millis(300);

/// How long a pool may be open in another process. A server that is killed while its child tries the pool takes the child along,
/// but nobody who starts the next server can wait for the child's end, and until then the pool is open there.
const BUSY_TIME_MAX: Duration = Duration::from_secs(3);

/// How often such a pool is tried.
const BUSY_PAUSE: Duration = Duration::from_millis(20);

// The child's first answer byte; the text follows.
const OPENED: u8 = 0;
const BUSY: u8 = 1;
const NO_PERMISSION: u8 = 2;
const DAMAGED: u8 = 3;
const OTHER: u8 = 4;

/// Opens and closes the pool with every partition in a short-lived child process. So damage becomes an error here.
///
/// The child maps the pool copy-on-write, so the file does not change. Call this before any thread starts, since it
/// forks.
///
/// # Errors
/// What [`Pool::open`] says, but [`PoolError::Busy`] only after three seconds; [`PoolError::OtherEngine`] if the pool is not
/// `engine`'s, and [`PoolError::Damaged`] if the child crashed or did not finish within half a minute.
pub fn probe(path: impl AsRef<Path>, engine: &str) -> Result<(), PoolError> {
    probe_within(path, engine, TIME_MAX)
}

/// [`probe`] with another time limit.
pub fn probe_within(
    path: impl AsRef<Path>,
    engine: &str,
    time_max: Duration,
) -> Result<(), PoolError> {
    let trial = &mut |pool: Pool| open_partitions(&pool).map(|()| Vec::new());
    try_open(path.as_ref(), engine, time_max, trial).map(drop)
}

/// [`probe`] with more in it: the child opens the pool and hands it to `trial`, which does all that this process is
/// going to do with it, and says what is wrong. Where the child crashes, or does not come to an end in time (`more` than
/// half a minute), the pool is damaged.
///
/// # Errors
/// Those of [`probe`], and [`PoolError::Damaged`] with what `trial` says.
pub fn rehearse(
    path: impl AsRef<Path>,
    engine: &str,
    more: Duration,
    trial: &mut dyn FnMut(Pool) -> Result<(), String>,
) -> Result<(), PoolError> {
    examine(path, engine, more, &mut |pool| {
        trial(pool).map(|()| Vec::new())
    })
    .map(drop)
}

/// [`rehearse`] with an answer: what `look` returns comes back from the child, which does not change the pool.
///
/// # Errors
/// Those of [`rehearse`].
pub fn examine(
    path: impl AsRef<Path>,
    engine: &str,
    more: Duration,
    look: &mut dyn FnMut(Pool) -> Result<Vec<u8>, String>,
) -> Result<Vec<u8>, PoolError> {
    let mut open = |pool: Pool| {
        let path = pool.path().to_owned();
        look(pool).map_err(|why| PoolError::Damaged { path, why })
    };
    try_open(path.as_ref(), engine, TIME_MAX + more, &mut open)
}

/// What the child does with the pool, and its answer.
type Trial<'a> = &'a mut dyn FnMut(Pool) -> Result<Vec<u8>, PoolError>;

fn try_open(
    path: &Path,
    engine: &str,
    time_max: Duration,
    trial: Trial<'_>,
) -> Result<Vec<u8>, PoolError> {
    let busy_until = Instant::now() + BUSY_TIME_MAX;
    let mut kills = 0;
    while kills < KILLS_MAX {
        match try_open_once(path, engine, time_max, trial) {
            Err(Tried::Killed) => {
                kills += 1;
                std::thread::sleep(KILL_PAUSE);
            }
            Err(Tried::Refused(PoolError::Busy(_))) if Instant::now() < busy_until => {
                std::thread::sleep(BUSY_PAUSE);
            }
            Err(Tried::Refused(error)) => return Err(error),
            Ok(answer) => return Ok(answer),
        }
    }
    Err(PoolError::Other {
        path: path.to_owned(),
        what: format!(
            "the process that tries the open was killed by SIGKILL {KILLS_MAX} times, by the system for want of \
             memory or by hand; the pool itself may be sound"
        ),
    })
}

/// Why a trial came to nothing.
enum Tried {
    /// Something outside killed the child, which says nothing about the pool.
    Killed,
    /// The pool is refused.
    Refused(PoolError),
}

impl From<PoolError> for Tried {
    fn from(error: PoolError) -> Self {
        Tried::Refused(error)
    }
}

fn try_open_once(
    path: &Path,
    engine: &str,
    time_max: Duration,
    trial: Trial<'_>,
) -> Result<Vec<u8>, Tried> {
    let device = is_device(path);
    if !device {
        let header = Pool::read_header(path)?;
        header.expect(engine, &header.layout)?;
    }
    let failed = |error: io::Error| PoolError::Other {
        path: path.to_owned(),
        what: format!("cannot try the open in a child process: {error}"),
    };
    let (reader, writer) = io::pipe().map_err(failed)?;
    let parent = Pid::this();
    // SAFETY: the caller promises one thread (and libc's allocator is usable in the child even otherwise); the child
    // only opens the pool, writes to the pipe and leaves by _exit.
    match unsafe { fork() }.map_err(|error| failed(error.into()))? {
        ForkResult::Child => {
            drop(reader);
            // A damaged pool can keep this process busy for ever: where the server is killed, nobody would end it.
            let _ = set_pdeathsig(Signal::SIGKILL);
            if Pid::parent() != parent {
                // The server was killed before that.
                // SAFETY: ends this process without running the exit handlers that belong to the parent's state.
                unsafe { libc::_exit(0) }
            }
            child(path, engine, device, trial, OwnedFd::from(writer).into())
        }
        ForkResult::Parent { child } => {
            drop(writer);
            let answer = read_answer(OwnedFd::from(reader), time_max);
            if answer.is_none() {
                // The child may have ended by itself meanwhile.
                let _ = kill(child, Signal::SIGKILL);
            }
            let status = reap(child).map_err(failed)?;
            judge(path, answer.as_deref(), status)
        }
    }
}

/// The child's whole life.
fn child(path: &Path, engine: &str, device: bool, trial: Trial<'_>, mut pipe: File) -> ! {
    // A crash of this child is expected, so it must leave no core file and no message on the server's terminal.
    let _ = setrlimit(Resource::RLIMIT_CORE, 0, 0);
    if let Ok(null) = File::options().write(true).open("/dev/null") {
        // SAFETY: both descriptors are open, and this process has no other user of its standard error.
        unsafe { libc::dup2(null.as_raw_fd(), libc::STDERR_FILENO) };
    }
    if !device {
        let mut on: c_int = 1;
        // SAFETY: a process-wide switch of libpmemobj that reads one int; this process opens just the one pool.
        unsafe {
            sys::library().pmemobj_ctl_set(
                std::ptr::null_mut(),
                c"copy_on_write.at_open".as_ptr(),
                (&raw mut on).cast(),
            )
        };
    }
    let result = panic::catch_unwind(AssertUnwindSafe(|| open_all(path, engine, trial)));
    let (code, said) = match result {
        Ok(Ok(said)) => (OPENED, said),
        Ok(Err(PoolError::Busy(_))) => (BUSY, Vec::new()),
        Ok(Err(PoolError::NoPermission(_))) => (NO_PERMISSION, Vec::new()),
        Ok(Err(PoolError::Damaged { why, .. })) => (DAMAGED, why.into()),
        Ok(Err(PoolError::Partition { index, source, .. })) => (
            DAMAGED,
            format!("partition {index} does not open: {source}").into(),
        ),
        Ok(Err(PoolError::Other { what, .. })) => (OTHER, what.into()),
        Ok(Err(other)) => (OTHER, other.to_string().into()),
        Err(_) => (DAMAGED, b"opening it failed badly".to_vec()),
    };
    let mut answer = vec![code];
    answer.extend_from_slice(&said);
    // If the parent is gone, it needs no answer.
    let _ = pipe.write_all(&answer);
    // SAFETY: ends this process without running the exit handlers that belong to the parent's state.
    unsafe { libc::_exit(0) }
}

fn open_all(path: &Path, engine: &str, trial: Trial<'_>) -> Result<Vec<u8>, PoolError> {
    let pool = Pool::open_private(path)?;
    let header = pool.header();
    header.expect(engine, &header.layout)?;
    trial(pool)
}

fn open_partitions(pool: &Pool) -> Result<(), PoolError> {
    for index in 0..pool.header().partitions {
        pool.open_partition(index)
            .map_err(|source| PoolError::Partition {
                path: pool.path().to_owned(),
                index,
                source,
            })?;
    }
    Ok(())
}

/// Everything the child wrote until it ended; `None` if it did not end in time.
fn read_answer(pipe: OwnedFd, time_max: Duration) -> Option<Vec<u8>> {
    let deadline = Instant::now() + time_max;
    let mut pipe = File::from(pipe);
    let mut answer = Vec::new();
    let mut chunk = [0; 1024];
    loop {
        let left = deadline.checked_duration_since(Instant::now())?;
        let mut wait = libc::pollfd {
            fd: pipe.as_raw_fd(),
            events: libc::POLLIN,
            revents: 0,
        };
        let left_ms = c_int::try_from(left.as_millis()).unwrap_or(c_int::MAX);
        // SAFETY: one pollfd of an open descriptor.
        let ready = unsafe { libc::poll(&raw mut wait, 1, left_ms.saturating_add(1)) };
        if ready <= 0 {
            continue;
        }
        match pipe.read(&mut chunk) {
            Ok(0) => return Some(answer),
            Ok(length) => answer.extend_from_slice(&chunk[..length]),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(_) => return Some(answer),
        }
    }
}

fn reap(child: Pid) -> io::Result<WaitStatus> {
    loop {
        match waitpid(child, None) {
            Err(nix::errno::Errno::EINTR) => {}
            other => return other.map_err(io::Error::from),
        }
    }
}

fn judge(path: &Path, answer: Option<&[u8]>, status: WaitStatus) -> Result<Vec<u8>, Tried> {
    let path = path.to_owned();
    let damaged = |why: String| {
        Tried::Refused(PoolError::Damaged {
            path: path.clone(),
            why,
        })
    };
    let Some(answer) = answer else {
        return Err(damaged("opening it did not come to an end".to_owned()));
    };
    match status {
        // Nothing in a pool makes a process send itself this one.
        WaitStatus::Signaled(_, Signal::SIGKILL, _) => return Err(Tried::Killed),
        WaitStatus::Signaled(_, signal, _) => {
            return Err(damaged(format!("opening it crashed with {signal}")));
        }
        WaitStatus::Exited(_, 0) => {}
        other => return Err(damaged(format!("opening it ended with {other:?}"))),
    }
    let Some((code, said)) = answer.split_first() else {
        return Err(damaged("opening it ended without an answer".to_owned()));
    };
    let text = String::from_utf8_lossy(said).into_owned();
    match *code {
        OPENED => Ok(said.to_vec()),
        BUSY => Err(PoolError::Busy(path).into()),
        NO_PERMISSION => Err(PoolError::NoPermission(path).into()),
        DAMAGED => Err(damaged(text)),
        _ => Err(PoolError::Other { path, what: text }.into()),
    }
}
