//! Protection: directives for risky commands, modes of files, the path of the Unix socket.

use std::fs;
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::process::{Command, Stdio};

use common::{Options, RawClient, Server, TestResult, address_elsewhere};

const GUARDED: [(&str, &str, &str); 3] = [
    (
        "enable-debug-command",
        "DEBUG SLEEP 0",
        "-ERR DEBUG command not allowed. If the enable-debug-command option ",
    ),
    (
        "enable-module-command",
        "MODULE UNLOAD x",
        "-ERR MODULE command not allowed. If the enable-module-command option ",
    ),
    (
        "enable-protected-configs",
        "CONFIG SET dbfilename x.rdb",
        "-ERR CONFIG SET failed (possibly related to argument 'dbfilename') - can't set protected config",
    ),
];

fn answer(client: &mut RawClient, line: &str) -> TestResult<String> {
    Ok(format!("{:?}", client.line(line)?).replace("\\'", "'"))
}

#[test]
fn risky_commands_obey_their_directives() -> TestResult {
    for access in ["no", "local", "yes"] {
        let mut options = Options::new("vcmap")
            .directive("bind", "*")
            .directive("protected-mode", "no")
            .directive("unixsocket", "test.sock");
        for (name, ..) in GUARDED {
            options = options.directive(name, access);
        }
        let server = Server::start_with(options)?;
        let mut local = server.raw()?;
        let mut remote = match address_elsewhere() {
            Some(host) => Some(RawClient::connect_to(&host, server.port())?),
            None => None,
        };
        for (_, command, refusal) in GUARDED {
            let reply = answer(&mut local, command)?;
            assert_eq!(
                reply.starts_with(refusal),
                access == "no",
                "{access}: {reply}"
            );
            if let Some(remote) = &mut remote {
                let reply = answer(remote, command)?;
                assert_eq!(
                    reply.starts_with(refusal),
                    access != "yes",
                    "{access}: {reply}"
                );
            }
        }
    }
    Ok(())
}

#[test]
fn protected_mode_refuses_clients_from_elsewhere() -> TestResult {
    let Some(host) = address_elsewhere() else {
        eprintln!("this machine has no address but its own: skipped");
        return Ok(());
    };
    let server = Server::start_with(Options::new("vcmap").directive("bind", "*"))?;
    let mut local = server.raw()?;
    let mut refused = RawClient::connect_to(&host, server.port())?;
    let text = format!("{:?}", refused.read()?);
    assert!(
        text.starts_with("-DENIED This server runs in protected mode"),
        "{text}"
    );
    assert!(refused.is_closed()?);
    assert_eq!(answer(&mut local, "PING")?, "+PONG");
    // With a password, the server needs no protected mode.
    for line in [
        "CONFIG SET requirepass secret",
        "CONFIG SET protected-mode no",
    ] {
        answer(&mut local, line)?;
        let mut remote = RawClient::connect_to(&host, server.port())?;
        let reply = answer(&mut remote, "AUTH secret")?;
        assert_eq!(reply, "+OK", "{line}");
    }
    Ok(())
}

#[test]
fn a_client_of_the_unix_socket_is_local() -> TestResult {
    use std::io::{Read, Write};
    let server = Server::start_with(
        Options::new("vcmap")
            .directive("unixsocket", "test.sock")
            .directive("enable-debug-command", "local"),
    )?;
    let mut client = UnixStream::connect(server.dir().join("test.sock"))?;
    client.write_all(b"DEBUG SLEEP 0\r\nQUIT\r\n")?;
    let mut replies = String::new();
    client.read_to_string(&mut replies)?;
    assert_eq!(replies, "+OK\r\n+OK\r\n");
    Ok(())
}

#[test]
fn there_are_no_modules() -> TestResult {
    let server =
        Server::start_with(Options::new("vcmap").directive("enable-module-command", "yes"))?;
    let mut client = server.raw()?;
    let not_loaded = "-ERR Error loading the extension. Please check the server logs.";
    for (command, reply) in [
        ("MODULE LIST", "[]"),
        ("MODULE LOAD /tmp/x.so a b", not_loaded),
        ("MODULE LOADEX /tmp/x.so CONFIG a b ARGS c", not_loaded),
        (
            "MODULE UNLOAD x",
            "-ERR Error unloading module: no such module with that name",
        ),
        (
            "MODULE LOAD",
            "-ERR wrong number of arguments for 'module|load' command",
        ),
        (
            "MODULE",
            "-ERR wrong number of arguments for 'module' command",
        ),
        ("MODULE X", "-ERR unknown subcommand 'X'. Try MODULE HELP."),
    ] {
        assert_eq!(answer(&mut client, command)?, reply, "{command}");
    }
    let help = client.line("MODULE HELP")?;
    assert!(
        help.items().is_some_and(|lines| lines.len() > 4),
        "{help:?}"
    );
    assert!(server.log().contains("/tmp/x.so"));
    Ok(())
}

#[test]
fn files_are_the_owners_alone() -> TestResult {
    for store in ["cmap", "cmap/pairs"] {
        let server = Server::start(store)?;
        server.raw()?.line("SET k v")?;
        // No other file appears besides the log, which holds no data.
        for entry in fs::read_dir(server.dir())? {
            let entry = entry?;
            let name = entry.file_name();
            if name == "test.pool" || name == "test.pool.index" {
                let mode = entry.metadata()?.mode() & 0o777;
                assert_eq!(mode, 0o600, "{store}: {}", name.display());
                continue;
            }
            assert!(name == "server.log", "{store}: {}", name.display());
        }
    }
    Ok(())
}

#[test]
fn a_rewritten_configuration_keeps_its_mode() -> TestResult {
    let folder = tempfile::tempdir()?;
    for mode in [0o600, 0o640] {
        let file = folder.path().join(format!("{mode:o}.conf"));
        fs::write(&file, "maxclients 100\n")?;
        fs::set_permissions(&file, fs::Permissions::from_mode(mode))?;
        let loaded = pmemkv_server::config::Config::parse(&["server".into(), file.clone().into()])?;
        loaded.config.set(&[(b"requirepass", b"secret")])?;
        loaded.config.rewrite(&[])?;
        assert!(fs::read_to_string(&file)?.contains("requirepass secret"));
        assert_eq!(fs::metadata(&file)?.mode() & 0o777, mode);
    }
    Ok(())
}

/// Starts a server that must refuse to start; returns its log.
fn refused_start(folder: &Path) -> TestResult<String> {
    let run = Command::new(common::program())
        .args(["--port", "0", "--engine", "vcmap", "--pool-size", "64mb"])
        .args(["--pool-path", "other.pool", "--unixsocket", "test.sock"])
        .current_dir(folder)
        .stdin(Stdio::null())
        .output()?;
    assert_eq!(run.status.code(), Some(1));
    Ok(String::from_utf8_lossy(&run.stderr).into_owned())
}

#[test]
fn a_dead_unix_socket_is_replaced_and_a_living_one_not() -> TestResult {
    let options = Options::new("vcmap")
        .directive("unixsocket", "test.sock")
        .directive("unixsocketperm", "770");
    let mut server = Server::start_with(options)?;
    let path = server.dir().join("test.sock");
    let connects = |path: &Path| UnixStream::connect(path).is_ok();
    assert_eq!(fs::metadata(&path)?.mode() & 0o777, 0o770);

    let refusal = refused_start(server.dir())?;
    assert!(
        refusal.contains("test.sock: another process listens there"),
        "{refusal}"
    );
    assert!(connects(&path));

    // The server replaces the socket that a killed process left behind.
    server.kill_9()?;
    assert!(fs::symlink_metadata(&path)?.file_type().is_socket());
    assert!(!connects(&path));
    server.resume()?;
    assert!(connects(&path));

    // Another process's socket at the same path stays.
    fs::remove_file(&path)?;
    let other = UnixListener::bind(&path)?;
    server.terminate()?;
    assert!(connects(&path));
    drop(other);
    fs::remove_file(&path)?;

    // The server removes no file that is not a socket.
    fs::write(&path, "precious")?;
    let refusal = refused_start(server.dir())?;
    assert!(refusal.contains("can't listen on test.sock"), "{refusal}");
    assert_eq!(fs::read_to_string(&path)?, "precious");
    Ok(())
}
