//! CONFIG REWRITE as a command, with users.

use std::fs;

use common::{Options, Server, TestResult, Value};

/// Names and rules with spaces, quotes and other bytes are read back unchanged.
#[test]
fn users_outlive_a_restart_by_config_rewrite() -> TestResult {
    let folder = tempfile::tempdir()?;
    let file = folder.path().join("server.conf");
    fs::write(
        &file,
        "# ours\nuser bob on >p ~* +@all\nuser gone on nopass +get\n",
    )?;
    let options = Options::new("vcmap").file(&file);
    let mut server = Server::start_with(options)?;
    let mut admin = server.raw()?;
    let calls: [&[&[u8]]; 5] = [
        &[b"ACL", b"DELUSER", b"gone"],
        &[b"ACL", b"SETUSER", b"bob", b"-get", b"&news:*"],
        &[
            b"ACL",
            b"SETUSER",
            b"al\"i'\xffe#",
            b"on",
            b">q",
            b"~\"'\xfe*",
            b"(+get ~x)",
        ],
        &[b"ACL", b"SETUSER", b"", b"%R~k", b"+config|get"],
        &[b"CONFIG", b"REWRITE"],
    ];
    for call in calls {
        let reply = admin.call(call)?;
        assert!(!reply.is_error(), "{reply:?}");
    }
    let list = admin.line("ACL LIST")?;
    assert_eq!(list.items().map(<[Value]>::len), Some(4));
    let text = fs::read(&file)?;
    assert!(text.starts_with(b"# ours\n"), "{}", text.escape_ascii());
    let port = server.port();
    server.terminate()?;
    server.resume_on(port)?;
    let mut admin = server.raw()?;
    assert_eq!(admin.line("ACL LIST")?, list);
    // A second rewrite changes nothing.
    assert_eq!(admin.line("CONFIG REWRITE")?, Value::Simple(b"OK".to_vec()));
    assert_eq!(fs::read(&file)?, text);
    Ok(())
}
