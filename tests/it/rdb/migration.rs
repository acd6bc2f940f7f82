//! What docs/migration.md shows.

use std::fs;
use std::path::Path;
use std::process::Command;

use common::{Contents, RedisServer, Server, TestResult, show};

use super::filling::fill;
use super::options;

/// The lines of docs/migration.md that begin with `$`, without it, below this heading.
fn commands(heading: &str) -> TestResult<Vec<String>> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/migration.md");
    let text = fs::read_to_string(path)?;
    let (_, part) = text.split_once(heading).ok_or("no such heading")?;
    let part = part.split("\n## ").next().unwrap_or_default();
    let lines = part
        .lines()
        .filter_map(|line| line.trim().strip_prefix("$ "));
    Ok(lines.map(str::to_owned).collect())
}

/// Runs a line of the document, where the places of the document stand for these.
fn shell(line: &str, places: &[(&str, String)]) -> TestResult<String> {
    let mut line = line.to_owned();
    for (from, to) in places {
        line = line.replace(from, to);
    }
    let output = Command::new("bash").args(["-c", &line]).output()?;
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{line}: {said}{error}");
    Ok(said)
}

#[test]
fn from_redis_and_back() -> TestResult {
    let folder = tempfile::tempdir()?;
    let dir = folder.path().display().to_string();
    let real = RedisServer::start_with(&["--dir", &dir])?;
    fill(&mut real.raw()?)?;
    let held = Contents::of(&mut real.raw()?)?;
    let places = |port: u16| {
        vec![
            ("redis-cli", format!("redis-cli -p {port}")),
            ("/var/lib/redis", dir.clone()),
            ("/var/lib/pmemkv-server", dir.clone()),
        ]
    };
    let [save] = commands("## In")?
        .try_into()
        .map_err(|lines| format!("other lines: {lines:?}"))?;
    assert_eq!(shell(&save, &places(real.port()))?.trim(), "OK");
    drop(real);
    // The directive is the document's, the rest is the test's.
    let text = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/migration.md"))?;
    assert!(text.contains("--import /var/lib/redis/dump.rdb"));
    let file = folder.path().join("dump.rdb").display().to_string();
    let server = Server::start_with(options("cmap", folder.path()).directive("import", &file))?;
    held.assert_same(&Contents::of(&mut server.raw()?)?);

    fs::remove_file(folder.path().join("dump.rdb"))?;
    let lines = commands("## Out")?;
    assert_eq!(lines.len(), 2, "{lines:?}");
    for line in &lines {
        assert!(
            shell(line, &places(server.port()))?.contains("OK"),
            "{line}"
        );
    }
    let real = RedisServer::start_with(&["--dir", &dir])?;
    held.assert_same(&Contents::of(&mut real.raw()?)?);
    assert_eq!(show(&real.raw()?.line("PING")?), "+PONG");
    Ok(())
}
