//! How a server with TLS starts, and which errors stop the start.

use std::fs;
use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use super::authority::{Authority, Result};
use super::text;

/// A server of which the test knows only the command line.
struct Bare(Child);

impl Drop for Bare {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn bare(folder: &Path, arguments: &[&str]) -> Result<Bare> {
    let log = fs::File::create(folder.join("log"))?;
    let child = Command::new(common::program())
        .args([
            "--engine",
            "vcmap",
            "--pool-size",
            "64mb",
            "--bind",
            "127.0.0.1",
        ])
        .arg("--pool-path")
        .arg(folder.join("pool"))
        .args(arguments)
        .stdout(log.try_clone()?)
        .stderr(log)
        .stdin(Stdio::null())
        .spawn()?;
    Ok(Bare(child))
}

/// Serves by TLS alone, with more arguments.
fn serves(folder: &Path, authority: &Authority, pair: [&Path; 2], more: &[&str]) -> Result {
    let [certificate, key] = pair;
    let port = TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
    let arguments = [
        "--port",
        "0",
        "--tls-port",
        &port.to_string(),
        "--tls-cert-file",
        text(certificate)?,
        "--tls-key-file",
        text(key)?,
        "--tls-auth-clients",
        "no",
    ];
    let _server = bare(folder, &[&arguments, more].concat())?;
    let deadline = Instant::now() + Duration::from_secs(30);
    let mut client = loop {
        match authority.client().connect(port) {
            Ok(client) => break client,
            Err(error) if Instant::now() > deadline => return Err(error),
            Err(_) => std::thread::sleep(Duration::from_millis(20)),
        }
    };
    assert_eq!(client.call("PING")?, "+PONG");
    let info = client.call("INFO server")?;
    assert!(info.contains(&format!("\r\ntcp_port:{port}\r\n")), "{info}");
    Ok(())
}

#[test]
fn tls_alone_is_enough_to_serve() -> Result {
    let folder = tempfile::tempdir()?;
    let authority = Authority::new(folder.path(), "authority")?;
    let (certificate, key) = authority.sign("server")?;
    serves(folder.path(), &authority, [&certificate, &key], &[])
}

/// One key in the forms in which OpenSSL encrypts it, each with the passphrase `secret`.
const ENCRYPTED: [&str; 4] = [
    include_str!("keys/aes256-sha256.pem"),
    include_str!("keys/aes128-sha512.pem"),
    include_str!("keys/des3.pem"),
    include_str!("keys/scrypt.pem"),
];

#[test]
fn encrypted_keys_are_read() -> Result {
    let folder = tempfile::tempdir()?;
    let authority = Authority::new(folder.path(), "authority")?;
    let key = rcgen::KeyPair::from_pem(include_str!("keys/plain.pem"))?;
    let (certificate, _) = authority.sign_key("server", &key)?;
    let encrypted = folder.path().join("encrypted.key");
    for key in ENCRYPTED {
        // Something else may stand before it.
        fs::write(&encrypted, format!("a key\n{key}"))?;
        let pass = ["--tls-key-file-pass", "secret"];
        serves(folder.path(), &authority, [&certificate, &encrypted], &pass)?;
    }
    Ok(())
}

/// A certificate of X.509 version 1, as `openssl x509 -req` without extensions makes it.
const VERSION_1: &str = "-----BEGIN CERTIFICATE-----
MIIBFjCBvQIUMw2CAuVCBL2qPHujufR/KfP4IUkwCgYIKoZIzj0EAwIwDTELMAkG
A1UEAwwCdjEwIBcNMjYxMTI5MjA1NzQ4WhgPMjEyNjExMDUyMDU3NDhaMA0xCzAJ
BgNVBAMMAnYxMFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAETJhoONfEp0WpcqEc
bN/frMFfCjtQkN6Bm5pjtLxEG1V60VC0rsG17kE9gi1+vDlPaaLx8DbtxIrCJ5OH
uyVgfDAKBggqhkjOPQQDAgNIADBFAiAUwAePFhXwJ/z8mKvmfjADP5SaEgAjnr54
7s7n9G9e/QIhAPi6OrpUrN/iavyh/jM6tmcOsqKHqZ0SUYv8giVy4VSt
-----END CERTIFICATE-----
";

#[test]
fn bad_tls_settings_stop_the_start() -> Result {
    let folder = tempfile::tempdir()?;
    let authority = Authority::new(folder.path(), "authority")?;
    let (certificate, key) = authority.sign("server")?;
    let encrypted = folder.path().join("encrypted.key");
    fs::write(&encrypted, ENCRYPTED[0])?;
    let old_form = folder.path().join("old-form.key");
    fs::write(&old_form, include_str!("keys/old.pem"))?;
    let damaged = folder.path().join("damaged.key");
    fs::write(&damaged, ENCRYPTED[0].replace("-----END", "-----"))?;
    let (certificate, key) = (text(&certificate)?, text(&key)?);
    let old = folder.path().join("version1.crt");
    fs::write(&old, VERSION_1)?;
    let old = text(&old)?;
    let with = |key, pass| {
        let words = ["--tls-cert-file", certificate, "--tls-key-file", key];
        [&words[..], &["--tls-key-file-pass", pass]].concat()
    };
    let encrypted = text(&encrypted)?;
    let wrong = with(encrypted, "wrong");
    let none = with(encrypted, "");
    let old_form = with(text(&old_form)?, "secret");
    let damaged = with(text(&damaged)?, "secret");
    let cases: [(&[&str], &str); 10] = [
        (&[], "tls-port needs tls-cert-file"),
        (
            &["--tls-cert-file", certificate],
            "tls-port needs tls-key-file",
        ),
        (
            &["--tls-cert-file", certificate, "--tls-key-file", key],
            "tls-auth-clients yes needs tls-ca-cert-file or tls-ca-cert-dir",
        ),
        (
            &["--tls-cert-file", "/nowhere", "--tls-key-file", key],
            "tls-cert-file: /nowhere: No such file",
        ),
        (&wrong, "is tls-key-file-pass its passphrase?"),
        (
            &none,
            "the key is encrypted, and tls-key-file-pass is empty",
        ),
        (&old_form, "'openssl pkcs8 -topk8 -in FILE -out NEW'"),
        (&damaged, "the encrypted key has no end"),
        (
            &["--tls-cert-file", key, "--tls-key-file", key],
            "it holds no certificate",
        ),
        (
            &[
                "--tls-cert-file",
                old,
                "--tls-key-file",
                key,
                "--tls-auth-clients",
                "no",
            ],
            "tls-cert-file and tls-key-file: a certificate of X.509 version 1 is not taken",
        ),
    ];
    for (arguments, message) in cases {
        let all: Vec<&str> = ["--port", "0", "--tls-port", "1"]
            .into_iter()
            .chain(arguments.iter().copied())
            .collect();
        let mut server = bare(folder.path(), &all)?;
        let status = server.0.wait()?;
        let log = fs::read_to_string(folder.path().join("log"))?;
        assert_eq!(status.code(), Some(1), "{message}: {log}");
        assert!(log.contains(message), "{message}: {log}");
        assert!(!log.contains("secret"), "{log}");
        assert!(!folder.path().join("pool").exists());
    }
    Ok(())
}
