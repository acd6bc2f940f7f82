//! What the `tls-` directives say.

use std::path::PathBuf;
use std::time::Duration;

use super::settings::{AuthClients, Secret};

/// The settings of TLS connections from clients.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TlsSettings {
    /// The TCP port that speaks TLS; 0 is none.
    pub port: u16,
    /// The server's certificate, PEM, and those between it and the authority.
    pub cert_file: Option<PathBuf>,
    /// The key of the certificate, PEM.
    pub key_file: Option<PathBuf>,
    /// The passphrase of the key.
    pub key_file_pass: Option<Secret>,
    /// The certificates of the authorities that clients' certificates come from, PEM.
    pub ca_cert_file: Option<PathBuf>,
    /// A folder of such files, named by the hash of their subject.
    pub ca_cert_dir: Option<PathBuf>,
    /// Whether clients need a certificate.
    pub auth_clients: AuthClients,
    /// The versions of TLS, parted by spaces; empty: all there are.
    pub protocols: String,
    /// Cipher suites of TLS 1.2 in OpenSSL's notation; empty: all there are.
    pub ciphers: String,
    /// Cipher suites of TLS 1.3, parted by colons; empty: all there are.
    pub ciphersuites: String,
    /// Whether the server's order of cipher suites counts instead of the client's.
    pub prefer_server_ciphers: bool,
    /// Whether clients may resume a session.
    pub session_caching: bool,
    /// How many sessions are kept for that; 0 is as many as there may be.
    pub session_cache_size: usize,
    /// How long a session can be resumed.
    pub session_cache_timeout: Duration,
}
