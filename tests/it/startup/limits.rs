//! The operating system's limit of open files, and how many clients fit below it.

use std::fs;
use std::process::{Command, Stdio};
use std::time::Instant;

use common::{RawClient, TestResult, Value};

use super::{PATIENCE, Place, field, said};

/// A command with hard and soft limit of open files.
fn limited(command: &Command, files: u64) -> Command {
    let mut limited = Command::new("sh");
    limited
        .args(["-c", &format!("ulimit -n {files} && exec \"$0\" \"$@\"")])
        .arg(command.get_program())
        .args(command.get_args())
        .stdin(Stdio::null());
    limited
}

#[test]
fn maxclients_is_what_is_possible() -> TestResult {
    const FILES: u64 = 80;
    const POSSIBLE: usize = 48;
    let place = Place::new()?;
    let command = place.command(&["--worker-threads", "1"]);
    let running = place.run(limited(&command, FILES))?;
    let log = place.log();
    for line in [
        "You requested maxclients of 10000 requiring at least 10032 max file descriptors.",
        "Server can't set maximum open files to 10032 because of OS error: Operation not permitted.",
        "Current maximum open files is 80. maxclients has been reduced to 48 to compensate for low ulimit.",
    ] {
        assert!(log.contains(line), "{line}: {log}");
    }
    let mut client = place.client()?;
    let maxclients = |client: &mut RawClient| -> TestResult<String> {
        let reply = client.line("CONFIG GET maxclients")?;
        Ok(reply.items().ok_or("no array")?[1]
            .text()
            .ok_or("no text")?)
    };
    assert_eq!(maxclients(&mut client)?, "48");
    assert_eq!(field(&mut client, "clients", "maxclients")?, "48");
    let refused = "ERR CONFIG SET failed (possibly related to argument 'maxclients') - The operating system is not able \
                   to handle the specified number of clients, try with 48";
    for (line, reply) in [
        ("CONFIG SET maxclients 5000", Some(refused)),
        ("CONFIG SET hz 20 maxclients 49", Some(refused)),
        ("CONFIG SET maxclients 40", None),
        ("CONFIG SET maxclients 48", None),
    ] {
        let expected = reply.map_or(Value::Simple(b"OK".to_vec()), |text| {
            Value::Error(text.into())
        });
        assert_eq!(client.line(line)?, expected, "{line}");
    }
    assert_eq!(maxclients(&mut client)?, "48");
    // The server really serves this many clients.
    let mut clients = vec![client];
    let deadline = Instant::now() + PATIENCE;
    while clients.len() < POSSIBLE {
        match place.client() {
            Ok(client) => clients.push(client),
            // The server may still count a client that has left.
            Err(error) => assert!(
                Instant::now() < deadline,
                "{} served: {error}",
                clients.len()
            ),
        }
    }
    let refused = Value::Error(b"ERR max number of clients reached".to_vec());
    assert_eq!(RawClient::connect(place.port)?.read()?, refused);
    drop(clients);
    assert!(running.stop()?.success());

    let output = limited(&command, 30).output()?;
    assert_eq!(output.status.code(), Some(1));
    let text = said(&output);
    assert!(text.contains("'ulimit -n' of 30 is not enough"), "{text}");
    Ok(())
}

#[test]
fn the_soft_limit_of_files_is_raised() -> TestResult {
    let place = Place::new()?;
    let command = place.command(&["--maxclients", "100", "--worker-threads", "1"]);
    let mut soft = Command::new("sh");
    soft.args(["-c", "ulimit -Sn 80 && exec \"$0\" \"$@\""])
        .arg(command.get_program())
        .args(command.get_args())
        .stdin(Stdio::null());
    let running = place.run(soft)?;
    let mut client = place.client()?;
    let ok = Value::Simple(b"OK".to_vec());
    assert_eq!(field(&mut client, "clients", "maxclients")?, "100");
    assert_eq!(client.line("CONFIG SET maxclients 200")?, ok);
    let limits = fs::read_to_string(format!("/proc/{}/limits", running.0.id()))?;
    let files = limits
        .lines()
        .find(|line| line.starts_with("Max open files"));
    let files = files.and_then(|line| line.split_whitespace().nth(3));
    assert_eq!(files, Some("232"));
    let reply = client.line("CONFIG SET maxclients 99999999")?;
    let Value::Error(text) = reply else {
        panic!("{reply:?}");
    };
    assert!(String::from_utf8_lossy(&text).contains("try with "));
    assert_eq!(field(&mut client, "clients", "maxclients")?, "200");
    assert!(running.stop()?.success());
    Ok(())
}
