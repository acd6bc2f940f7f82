//! A disk that fails: writes are refused until it works again, and what was acknowledged is on it then.

use std::ffi::OsStr;
use std::fs;
use std::time::{Duration, Instant};

use common::{Options, RawClient, Server, TestResult, Value};
use power_loss::record::{SHIM, wait_for_sync};

const PATIENCE: Duration = Duration::from_secs(20);

fn is_misconf(reply: &Value) -> bool {
    matches!(reply, Value::Error(text) if text == b"MISCONF Errors writing to the pool's file: Input/output error")
}

fn wait_until(mut is_so: impl FnMut() -> TestResult<bool>) -> TestResult {
    let until = Instant::now() + PATIENCE;
    while !is_so()? {
        if Instant::now() > until {
            return Err("it does not come".into());
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    Ok(())
}

fn info(client: &mut RawClient) -> TestResult<String> {
    let info = client.call(&["INFO", "everything"])?;
    Ok(String::from_utf8_lossy(info.bytes().unwrap_or_default()).into_owned())
}

#[test]
fn writes_are_refused_while_the_disk_fails() -> TestResult {
    let folder = common::temporary_folder()?;
    let failing = folder.path().join("failing");
    let options = Options::new("cmap")
        .pool_size("32mb")
        .on_disk("everysec")
        .environment("LD_PRELOAD", OsStr::new(SHIM))
        .environment("POWER_LOSS_FAILING", failing.as_os_str());
    let mut server = Server::start_with(options)?;
    let mut client = server.raw()?;
    assert!(!client.call(&["SET", "before", "1"])?.is_error());
    wait_for_sync(&mut client)?;
    assert!(info(&mut client)?.contains("sync_last_status:ok"));

    fs::write(&failing, [])?;
    let mut acknowledged = 0;
    wait_until(|| {
        let reply = client.call(&["SET", "during", &(acknowledged + 1).to_string()])?;
        acknowledged += usize::from(!reply.is_error());
        Ok(is_misconf(&reply))
    })?;
    assert!(is_misconf(&client.call(&["PING"])?));
    // Redis says in what script and line the error was.
    let script = ["EVAL", "return redis.call('SET', 'x', '1')", "0"];
    assert!(matches!(client.call(&script)?, Value::Error(text) if text.starts_with(b"MISCONF ")));
    assert!(!client.call(&["GET", "during"])?.is_error());
    assert!(!client.call(&["MULTI"])?.is_error());
    assert!(is_misconf(&client.call(&["SET", "x", "1"])?));
    assert!(client.call(&["EXEC"])?.is_error());
    let told = info(&mut client)?;
    assert!(told.contains("sync_last_status:err"), "{told}");
    assert!(told.contains("aof_last_write_status:err"), "{told}");

    fs::remove_file(&failing)?;
    wait_until(|| Ok(!client.call(&["SET", "after", "1"])?.is_error()))?;
    wait_for_sync(&mut client)?;
    assert!(info(&mut client)?.contains("sync_last_status:ok"));
    // A copy is another file: its open goes by the last sync.
    server.kill_9()?;
    let copy = folder.path().join("copy");
    fs::copy(server.pool_path(), &copy)?;
    fs::rename(&copy, server.pool_path())?;
    server.resume()?;
    let mut client = server.raw()?;
    for (key, value) in [("before", 1), ("during", acknowledged), ("after", 1)] {
        let found = client.call(&["GET", key])?;
        assert_eq!(found.bytes(), Some(value.to_string().as_bytes()), "{key}");
    }
    Ok(())
}
