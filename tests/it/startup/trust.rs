//! Which pools the next start opens without a trial.

use std::fs::{self, OpenOptions};
use std::os::unix::fs::FileExt;
use std::thread::sleep;
use std::time::Duration;

use common::{Server, TestResult};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use pmemkv_server::pmemkv::{Backing, Pool, backing};
use redis::Commands;

#[test]
fn a_killed_server_is_trusted_and_a_crashed_one_is_not() -> TestResult {
    for store in ["cmap", "cmap/pairs"] {
        let mut server = Server::start(store)?;
        let pool = server.pool_path();
        if backing(&pool) != Backing::Tmpfs {
            return Ok(());
        }
        let () = server.connection()?.set("key", "value")?;
        // The server notes ten times a second that it lives. While it prepares for later writes it also changes the file.
        let changed = || fs::metadata(&pool)?.modified();
        for _ in 0..50 {
            let before = changed()?;
            sleep(Duration::from_millis(500));
            if changed()? == before {
                break;
            }
        }
        server.kill_9()?;
        assert!(Pool::take_trust(&pool), "{store}");
        for signal in [Signal::SIGSEGV, Signal::SIGBUS, Signal::SIGABRT] {
            server.resume()?;
            sleep(Duration::from_millis(300));
            let pid = Pid::from_raw(i32::try_from(server.pid())?);
            kill(pid, signal)?;
            assert!(server.wait_for_exit().is_err(), "{store} survives {signal}");
            assert!(!Pool::take_trust(&pool), "{store} after {signal}");
        }
        server.resume()?;
        assert_eq!(server.connection()?.get::<_, String>("key")?, "value");
        server.terminate()?;
        // Another program's store ends the trust.
        OpenOptions::new()
            .write(true)
            .open(&pool)?
            .write_all_at(&[0], fs::metadata(&pool)?.len() - 1)?;
        assert!(!Pool::take_trust(&pool), "{store} after a store");
    }
    Ok(())
}
