//! CONFIG SET of `tls-port` while the server runs.

use std::net::{TcpListener, TcpStream};

use super::authority::{Authority, Result};
use super::{ok, start, text};
use common::{RawClient, Value, quiet_port};

#[test]
fn the_tls_port_can_change() -> Result {
    let tls = start(&[("tls-auth-clients", "no")])?;
    let mut client = tls.authority.client().connect(tls.port)?;
    let new = quiet_port()?;
    let taken = TcpListener::bind("127.0.0.1:0")?;
    let taken_port = taken.local_addr()?.port().to_string();
    let refused = |name: &str, reason: &str| {
        let text =
            format!("ERR CONFIG SET failed (possibly related to argument '{name}') - {reason}");
        Value::Error(text.into())
    };
    let unable = "Unable to listen on this port. Check server logs.";
    assert_eq!(
        tls.set(&["tls-port", &taken_port])?,
        refused("tls-port", unable)
    );
    // A certificate in the same call stays unchanged too.
    let cert = tls.server.dir().join("none.crt");
    let both = ["tls-port", &new.to_string(), "tls-cert-file", text(&cert)?];
    let reply = tls.set(&both)?;
    let update = "Unable to update TLS configuration. Check server logs.";
    assert_eq!(reply, refused("tls-port", update));
    let other = Authority::new(tls.server.dir(), "other")?;
    let (certificate, key) = other.sign("other-server")?;
    let with_port = [
        "tls-cert-file",
        text(&certificate)?,
        "tls-key-file",
        text(&key)?,
        "tls-port",
        &taken_port,
    ];
    assert_eq!(tls.set(&with_port)?, refused("tls-port", unable));
    let mut still = tls.authority.client().connect(tls.port)?;
    assert_eq!(still.call("PING")?, "+PONG");

    assert_eq!(tls.set(&["tls-port", &new.to_string()])?, ok());
    let closed = TcpStream::connect(("127.0.0.1", tls.port));
    assert!(closed.is_err(), "the old port is open");
    let mut late = tls.authority.client().connect(new)?;
    assert_eq!(late.call("PING")?, "+PONG");
    assert_eq!(client.call("PING")?, "+PONG");

    // Both at once: TLS on a port without it, and the other way round.
    let plain = tls.server.port().to_string();
    let swap = ["port", &new.to_string(), "tls-port", &plain];
    assert_eq!(tls.set(&swap)?, ok());
    let mut late = tls.authority.client().connect(tls.server.port())?;
    assert_eq!(late.call("CONFIG GET tls-port")?, "*2");
    let mut plain = RawClient::connect(new)?;
    let info = plain.line("INFO server")?.text().unwrap_or_default();
    assert!(info.contains(&format!("tcp_port:{new}\r\n")), "{info}");

    // With TLS alone, INFO names the TLS port.
    assert_eq!(plain.line("CONFIG SET port 0")?, ok());
    let info = plain.line("INFO server")?.text().unwrap_or_default();
    let port = tls.server.port();
    assert!(info.contains(&format!("tcp_port:{port}\r\n")), "{info}");
    assert_eq!(plain.line("CONFIG SET tls-port 0")?, ok());
    assert!(TcpStream::connect(("127.0.0.1", port)).is_err());
    Ok(())
}
