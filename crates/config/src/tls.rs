//! The settings of the `tls-` directives.

use std::path::PathBuf;
use std::time::Duration;

use super::settings::{AuthClients, Secret};

/// The settings of TLS connections from clients.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TlsSettings {
    /// The TCP port that speaks TLS; 0 is none.
    pub port: u16,
    /// A PEM file with the server's certificate and those between it and the authority.
    pub cert_file: Option<PathBuf>,
    /// A PEM file with the certificate's key.
    pub key_file: Option<PathBuf>,
    /// The passphrase of the key.
    pub key_file_pass: Option<Secret>,
    /// A PEM file with the certificate that the server shows to a master; without one it shows its own.
    pub client_cert_file: Option<PathBuf>,
    /// A PEM file with that certificate's key.
    pub client_key_file: Option<PathBuf>,
    /// The passphrase of that key.
    pub client_key_file_pass: Option<Secret>,
    /// A PEM file with the certificates of the authorities that sign clients' certificates, and a master's.
    pub ca_cert_file: Option<PathBuf>,
    /// A folder of such files; the hash of a file's subject is its name.
    pub ca_cert_dir: Option<PathBuf>,
    /// Whether clients need a certificate.
    pub auth_clients: AuthClients,
    /// The versions of TLS, separated by spaces; empty for all.
    pub protocols: String,
    /// Cipher suites of TLS 1.2 in OpenSSL's notation; empty for all.
    pub ciphers: String,
    /// Cipher suites of TLS 1.3, separated by colons; empty for all.
    pub ciphersuites: String,
    /// Whether the server's order of cipher suites takes precedence over the client's.
    pub prefer_server_ciphers: bool,
    /// Whether clients may resume a session.
    pub session_caching: bool,
    /// How many sessions the server keeps for that; 0 is as many as it can.
    pub session_cache_size: usize,
    /// How long a client can resume a session.
    pub session_cache_timeout: Duration,
}
