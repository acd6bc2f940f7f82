//! The status page at the metrics' port.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::process::Command;
use std::time::Duration;

use common::{Options, Server, TestResult, Value, quiet_port};

fn start() -> TestResult<(Server, u16)> {
    let port = quiet_port()?;
    let options = Options::new("cmap")
        .pool_size("64mb")
        .directive("metrics-port", &port.to_string())
        .directive("slowlog-log-slower-than", "0")
        .directive("enable-debug-command", "yes");
    Ok((Server::start_with(options)?, port))
}

fn load(server: &Server) -> TestResult {
    let mut client = server.raw()?;
    for line in [
        "SET secret-key secret-value",
        "SET <script>alert(1)</script> <b>",
        "GET secret-key",
        "GET nothing",
        "HSET h field secret-field",
        "CLIENT SETNAME secret-client",
        "INCR h",
        "DEBUG SLEEP 0.02",
    ] {
        client.line(line)?;
    }
    let reply = client.line("SELECT 2")?;
    assert_eq!(reply, Value::Simple(b"OK".to_vec()));
    client.line("SET k v EX 1000")?;
    Ok(())
}

#[test]
fn the_page_shows_figures_and_no_data() -> TestResult {
    let (server, port) = start()?;
    load(&server)?;
    let mut stream = TcpStream::connect(("127.0.0.1", port))?;
    stream.set_read_timeout(Some(Duration::from_secs(30)))?;
    stream.write_all(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    let (head, page) = answer.split_once("\r\n\r\n").ok_or("no end of the head")?;
    let head = head.to_ascii_lowercase();
    for part in [
        "http/1.1 200 ok\r\n",
        "\r\ncontent-type: text/html; charset=utf-8",
        "\r\ncontent-security-policy: default-src 'none'",
        "\r\ncache-control: no-store",
    ] {
        assert!(head.contains(part), "{part}: {head}");
    }
    for part in [
        "<th>state</th><td>serving</td>",
        "<th>restarts of this pool</th><td>0</td>",
        "<th>engine, layout</th><td>cmap, packed</td>",
        "<th>error replies</th><td>1</td>",
        "<th>look-ups that found their key</th><td>50.0 %</td>",
        " of 10000</td>",
        "<th>keys of database 2</th><td>1, 1 with a deadline</td>",
        "<th>segments</th>",
        "<meter min=\"0\"",
        "<td>hset</td><td class=\"n\">1</td>",
        "<td>DEBUG</td>",
        "<td>CLIENT SETNAME</td>",
    ] {
        let found = page.to_lowercase().contains(&part.to_lowercase());
        assert!(found, "{part}:\n{page}");
    }
    // Nothing that a client has sent, no script, nothing from elsewhere.
    for part in [
        "secret", "alert", "<script", "<b>", "src=", "href=", "http:",
    ] {
        assert!(!page.contains(part), "{part}:\n{page}");
    }
    Ok(())
}

#[test]
fn a_browser_shows_the_page() -> TestResult {
    let (server, port) = start()?;
    load(&server)?;
    let profile = tempfile::tempdir()?;
    let shown = Command::new("chromium")
        .args(["--headless", "--no-sandbox", "--disable-gpu", "--dump-dom"])
        .arg(format!("--user-data-dir={}", profile.path().display()))
        .arg(format!("http://127.0.0.1:{port}/"))
        .output();
    let Ok(output) = shown else {
        eprintln!("chromium is not installed (scripts/setup-extras): skipped");
        return Ok(());
    };
    // What the browser has understood, and not what the server has sent: with the elements that HTML adds.
    let page = String::from_utf8_lossy(&output.stdout).into_owned();
    let errors = String::from_utf8_lossy(&output.stderr).into_owned();
    for part in [
        "<title>pmemkv-server</title>",
        "<tbody><tr><th>state</th><td>serving</td></tr>",
        "<table id=\"traffic\">",
        "<table id=\"slow\">",
        "<meter min=\"0\"",
    ] {
        assert!(page.contains(part), "{part}:\n{page}\n{errors}");
    }
    assert!(!errors.contains("Refused to"), "{errors}");
    Ok(())
}
