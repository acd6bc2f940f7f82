//! TLS: which clients the server accepts, what it offers, and changes of certificates while it runs.

pub mod authority;
mod ports;
mod starts;

use std::fs;
use std::io::Read;
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls::{HandshakeKind, ProtocolVersion, version};

use authority::{Authority, Result, connect, connect_to};
use common::{Options, Server, Value, address_elsewhere};

/// A server with a TLS port, and the authority that signed its certificate.
struct Tls {
    server: Server,
    port: u16,
    authority: Authority,
    _folder: tempfile::TempDir,
}

fn text(path: &Path) -> Result<&str> {
    Ok(path.to_str().ok_or("a path that is text")?)
}

fn start(directives: &[(&str, &str)]) -> Result<Tls> {
    let folder = tempfile::tempdir()?;
    let authority = Authority::new(folder.path(), "authority")?;
    let (certificate, key) = authority.sign("server")?;
    let mut last = None;
    // Another process may take the port before the server binds it.
    for _ in 0..5 {
        let port = TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
        let mut options = Options::new("vcmap")
            .pool_size("64mb")
            .directive("tls-port", &port.to_string())
            .directive("tls-cert-file", text(&certificate)?)
            .directive("tls-key-file", text(&key)?)
            .directive("tls-ca-cert-file", text(&authority.certificate())?);
        for (name, value) in directives {
            options = options.directive(name, value);
        }
        match Server::start_with(options) {
            Ok(server) => {
                return Ok(Tls {
                    server,
                    port,
                    authority,
                    _folder: folder,
                });
            }
            Err(error) => last = Some(error),
        }
    }
    Err(last.ok_or("no start was tried")?)
}

impl Tls {
    /// CONFIG SET over the plain port.
    fn set(&self, words: &[&str]) -> Result<Value> {
        let mut all = vec!["CONFIG", "SET"];
        all.extend(words);
        Ok(self.server.raw()?.call(&all)?)
    }

    fn wait_for_log(&self, text: &str) -> Result {
        let deadline = Instant::now() + Duration::from_secs(10);
        while !self.server.log().contains(text) {
            if Instant::now() > deadline {
                return Err(
                    format!("the log does not say '{text}':\n{}", self.server.log()).into(),
                );
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        Ok(())
    }
}

fn ok() -> Value {
    Value::Simple(b"OK".to_vec())
}

#[test]
fn commands_go_over_tls() -> Result {
    let tls = start(&[("tls-auth-clients", "no")])?;
    let mut client = tls.authority.client().connect(tls.port)?;
    assert_eq!(client.call("PING")?, "+PONG");
    assert_eq!(
        client.session().protocol_version(),
        Some(ProtocolVersion::TLSv1_3)
    );
    let info = client.call("CLIENT INFO")?;
    assert!(
        info.contains(&format!(" laddr=127.0.0.1:{} ", tls.port)),
        "{info}"
    );
    assert!(info.contains(" flags=N "), "{info}");
    assert_eq!(client.call("SET key value")?, "+OK");
    assert_eq!(
        tls.server.raw()?.line("GET key")?.text().as_deref(),
        Some("value")
    );
    // QUIT ends the TLS session in order, so that the client reads an end and not an error.
    assert_eq!(client.call("QUIT")?, "+OK");
    let end = client.line().expect_err("the end");
    assert!(!end.to_string().contains("close_notify"), "{end}");
    // Disconnecting a client does the same.
    let mut killed = tls.authority.client().connect(tls.port)?;
    let id = killed.call("CLIENT ID")?;
    let kill = ["CLIENT", "KILL", "ID", id.trim_start_matches(':')];
    assert_eq!(tls.server.raw()?.call(&kill)?, Value::Integer(1));
    let end = killed.line().expect_err("the end");
    assert!(!end.to_string().contains("close_notify"), "{end}");
    Ok(())
}

#[test]
fn redis_cli_speaks_with_it() -> Result {
    let tls = start(&[])?;
    let (certificate, key) = tls.authority.sign("client")?;
    let run = Command::new("redis-cli")
        .args(["-p", &tls.port.to_string(), "--tls", "--cacert"])
        .arg(tls.authority.certificate())
        .arg("--cert")
        .arg(certificate)
        .arg("--key")
        .arg(key)
        .args(["SET", "a", "b"])
        .output();
    let Ok(output) = run else {
        eprintln!("redis-cli is not installed: skipped");
        return Ok(());
    };
    assert_eq!(
        String::from_utf8_lossy(&output.stdout).trim(),
        "OK",
        "{output:?}"
    );
    Ok(())
}

#[test]
fn clients_show_certificates_as_the_directive_asks() -> Result {
    let tls = start(&[])?;
    let stranger = {
        let folder = tempfile::tempdir()?;
        let other = Authority::new(folder.path(), "other")?;
        (other.sign("stranger")?, folder)
    };
    let without =
        || -> Result<String> { Ok(tls.authority.client().connect(tls.port)?.call("PING")?) };
    let with = |identity| -> Result<String> {
        let client = tls.authority.client().identity(identity);
        Ok(client.connect(tls.port)?.call("PING")?)
    };
    // Required is the default.
    assert!(without().is_err());
    tls.wait_for_log("peer sent no certificates")?;
    assert_eq!(with(tls.authority.sign("client")?)?, "+PONG");
    assert!(with(stranger.0.clone()).is_err());

    assert_eq!(tls.set(&["tls-auth-clients", "optional"])?, ok());
    assert_eq!(without()?, "+PONG");
    assert_eq!(with(tls.authority.sign("client")?)?, "+PONG");
    assert!(with(stranger.0.clone()).is_err());

    assert_eq!(tls.set(&["tls-auth-clients", "no"])?, ok());
    assert_eq!(without()?, "+PONG");
    assert_eq!(with(stranger.0)?, "+PONG");
    Ok(())
}

#[test]
fn authorities_come_from_a_folder_too() -> Result {
    let tls = start(&[("tls-auth-clients", "no")])?;
    let folder = tempfile::tempdir()?;
    let folder_text = text(folder.path())?.to_owned();
    let words = [
        "tls-ca-cert-dir",
        &folder_text,
        "tls-ca-cert-file",
        "",
        "tls-auth-clients",
        "yes",
    ];
    // A file whose name OpenSSL would not look for lets no client in.
    fs::copy(
        tls.authority.certificate(),
        folder.path().join("authority.crt"),
    )?;
    assert!(tls.set(&words)?.is_error());
    tls.wait_for_log("openssl rehash")?;
    fs::copy(
        tls.authority.certificate(),
        folder.path().join("0123abcd.0"),
    )?;
    assert_eq!(tls.set(&words)?, ok());
    let identity = tls.authority.sign("client")?;
    let mut client = tls
        .authority
        .client()
        .identity(identity)
        .connect(tls.port)?;
    assert_eq!(client.call("PING")?, "+PONG");
    assert!(
        tls.authority
            .client()
            .connect(tls.port)?
            .call("PING")
            .is_err()
    );
    Ok(())
}

#[test]
fn versions_and_cipher_suites_are_restricted() -> Result {
    let tls = start(&[("tls-auth-clients", "no"), ("tls-protocols", "TLSv1.2")])?;
    let new = || {
        tls.authority
            .client()
            .version(&version::TLS13)
            .connect(tls.port)
    };
    let old = || {
        tls.authority
            .client()
            .version(&version::TLS12)
            .connect(tls.port)
    };
    assert!(new()?.call("PING").is_err());
    assert_eq!(old()?.call("PING")?, "+PONG");

    let suite = "ECDHE-ECDSA-CHACHA20-POLY1305";
    assert_eq!(tls.set(&["tls-ciphers", suite])?, ok());
    let mut client = old()?;
    assert_eq!(client.call("PING")?, "+PONG");
    let agreed = client
        .session()
        .negotiated_cipher_suite()
        .ok_or("no suite")?;
    let agreed = format!("{:?}", agreed.suite());
    assert_eq!(agreed, "TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256");

    let suite = "TLS_AES_128_GCM_SHA256";
    assert_eq!(
        tls.set(&["tls-protocols", "TLSv1.3", "tls-ciphersuites", suite])?,
        ok()
    );
    assert!(old()?.call("PING").is_err());
    let mut client = new()?;
    assert_eq!(client.call("PING")?, "+PONG");
    let agreed = client
        .session()
        .negotiated_cipher_suite()
        .ok_or("no suite")?;
    assert_eq!(format!("{:?}", agreed.suite()), "TLS13_AES_128_GCM_SHA256");

    for wrong in [
        ["tls-protocols", "TLSv1.1"],
        ["tls-ciphers", "NONE"],
        ["tls-ciphersuites", "NONE"],
    ] {
        let Value::Error(error) = tls.set(&wrong)? else {
            return Err(format!("{wrong:?} was taken").into());
        };
        assert_eq!(
            String::from_utf8_lossy(&error),
            format!(
                "ERR CONFIG SET failed (possibly related to argument '{}') - Unable to update TLS configuration. \
                 Check server logs.",
                wrong[0]
            )
        );
    }
    assert_eq!(new()?.call("PING")?, "+PONG");
    Ok(())
}

#[test]
fn certificates_are_read_anew() -> Result {
    let tls = start(&[("tls-auth-clients", "no")])?;
    let config = tls.authority.client().build()?;
    let mut before = connect(&config, tls.port)?;
    assert_eq!(before.call("PING")?, "+PONG");
    let old = before.server_certificate().ok_or("no certificate")?;

    // The same names with other content.
    let (certificate, key) = tls.authority.sign("server")?;
    let renewed = CertificateDer::from_pem_file(&certificate)?;
    let pair = [
        "tls-cert-file",
        text(&certificate)?,
        "tls-key-file",
        text(&key)?,
    ];
    assert_eq!(tls.set(&pair)?, ok());
    let shown = || -> Result<Option<CertificateDer<'static>>> {
        let mut client = tls.authority.client().connect(tls.port)?;
        assert_eq!(client.call("PING")?, "+PONG");
        Ok(client.server_certificate())
    };
    assert_eq!(shown()?, Some(renewed.clone()));
    assert_ne!(old, renewed);
    assert_eq!(before.call("PING")?, "+PONG");

    // Bad settings change nothing: a missing file, no PEM, a key of another certificate.
    let junk = certificate.with_file_name("junk");
    fs::write(
        &junk,
        "-----BEGIN CERTIFICATE-----\nnonsense\n-----END CERTIFICATE-----\n",
    )?;
    let (_, other_key) = tls.authority.sign("other")?;
    for wrong in [
        ["tls-cert-file", "/nowhere.crt"],
        ["tls-cert-file", text(&junk)?],
        ["tls-key-file", text(&certificate)?],
        ["tls-key-file", text(&other_key)?],
        ["tls-ca-cert-file", "/nowhere.crt"],
    ] {
        let set = tls.set(&wrong)?;
        let named = format!("related to argument '{}'", wrong[0]);
        let refused = |text: &[u8]| String::from_utf8_lossy(text).contains(&named);
        assert!(
            matches!(&set, Value::Error(text) if refused(text)),
            "{wrong:?}: {set:?}"
        );
        assert_eq!(shown()?, Some(renewed.clone()));
    }
    let get = tls.server.raw()?.call(&["CONFIG", "GET", "tls-key-file"])?;
    let kept = get.items().and_then(|items| items[1].text());
    assert_eq!(kept.as_deref(), Some(text(&key)?));
    Ok(())
}

#[test]
fn sessions_are_resumed_unless_the_directive_says_no() -> Result {
    let tls = start(&[("tls-auth-clients", "no")])?;
    for version in [&version::TLS12, &version::TLS13] {
        let config = tls.authority.client().version(version).build()?;
        let kind = |config| -> Result<Option<HandshakeKind>> {
            let mut client = connect(config, tls.port)?;
            assert_eq!(client.call("PING")?, "+PONG");
            Ok(client.session().handshake_kind())
        };
        assert_eq!(kind(&config)?, Some(HandshakeKind::Full));
        assert_eq!(kind(&config)?, Some(HandshakeKind::Resumed));
        assert_eq!(tls.set(&["tls-session-caching", "no"])?, ok());
        assert_eq!(kind(&config)?, Some(HandshakeKind::Full));
        assert_eq!(kind(&config)?, Some(HandshakeKind::Full));
        assert_eq!(tls.set(&["tls-session-caching", "yes"])?, ok());
    }
    Ok(())
}

#[test]
fn large_values_and_deep_pipelines_arrive_whole() -> Result {
    let tls = start(&[("tls-auth-clients", "no")])?;
    let mut client = tls.authority.client().connect(tls.port)?;
    let value: Vec<u8> = (0..3 << 20_u32)
        .map(|number: u32| (number % 251) as u8)
        .collect();
    let mut request = Vec::new();
    common::encode(&mut request, &[&b"SET"[..], b"large", &value]);
    client.send(&request)?;
    assert_eq!(client.line()?, "+OK");
    // More than any buffer between them holds, read only after the client has asked for all of it.
    let gets = 8;
    client.send(&b"GET large\r\n".repeat(gets))?;
    client.send(b"PING\r\n")?;
    std::thread::sleep(Duration::from_millis(200));
    for _ in 0..gets {
        assert_eq!(client.line()?, format!("${}", value.len()));
        let mut got = vec![0; value.len() + 2];
        client.bytes(&mut got)?;
        assert!(got[..value.len()] == value[..]);
    }
    assert_eq!(client.line()?, "+PONG");
    client.send(&b"PING\r\n".repeat(10_000))?;
    for _ in 0..10_000 {
        assert_eq!(client.line()?, "+PONG");
    }
    Ok(())
}

#[test]
fn plain_text_is_closed_with_a_line_in_the_log() -> Result {
    let tls = start(&[])?;
    let mut plain = common::RawClient::connect(tls.port)?;
    plain.send(&["PING"])?;
    // The client gets at most a TLS alert, and then the end.
    assert!(plain.read().is_err());
    tls.wait_for_log("what it sends is not TLS")?;
    assert_eq!(
        tls.server.raw()?.line("PING")?,
        Value::Simple(b"PONG".to_vec())
    );
    Ok(())
}

#[test]
fn stalled_handshakes_delay_no_client_and_end() -> Result {
    let tls = start(&[("tls-auth-clients", "no")])?;
    let began = Instant::now();
    let silent: Vec<TcpStream> = (0..50)
        .map(|_| TcpStream::connect(("127.0.0.1", tls.port)))
        .collect::<std::io::Result<_>>()?;
    for _ in 0..5 {
        assert_eq!(
            tls.authority.client().connect(tls.port)?.call("PING")?,
            "+PONG"
        );
        assert_eq!(
            tls.server.raw()?.line("PING")?,
            Value::Simple(b"PONG".to_vec())
        );
    }
    assert!(
        began.elapsed() < Duration::from_secs(5),
        "{:?}",
        began.elapsed()
    );
    for mut stream in silent {
        stream.set_read_timeout(Some(Duration::from_secs(20)))?;
        // The server closes in order, or with an alert first.
        let mut rest = Vec::new();
        stream.read_to_end(&mut rest)?;
    }
    assert!(began.elapsed() > Duration::from_secs(5));
    tls.wait_for_log("the handshake took too long")?;
    Ok(())
}

#[test]
fn protected_mode_tells_clients_from_elsewhere() -> Result {
    let Some(host) = address_elsewhere() else {
        eprintln!("this machine has no address but its own: skipped");
        return Ok(());
    };
    let tls = start(&[("tls-auth-clients", "no"), ("bind", "*")])?;
    let config = tls.authority.client().build()?;
    let mut client = connect_to(&config, &host, tls.port)?;
    let refusal = client.line()?;
    assert!(refusal.starts_with("-DENIED "), "{refusal}");
    assert!(client.line().is_err());
    assert_eq!(tls.set(&["protected-mode", "no"])?, ok());
    assert_eq!(connect_to(&config, &host, tls.port)?.call("PING")?, "+PONG");
    Ok(())
}
