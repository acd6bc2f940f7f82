//! TLS for connections from clients, and for the one to a master: checks the directives and files, and keeps the configuration for new connections.

mod ciphers;
mod client;
mod credentials;
mod sessions;

use std::path::PathBuf;
use std::sync::Arc;

use parking_lot::RwLock;
use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem;
use rustls::server::{NoServerSessionStorage, WebPkiClientVerifier};
use rustls::{ServerConfig, SupportedProtocolVersion, version};

pub use self::client::{client_config, name_of};
pub use self::credentials::in_words;
use self::sessions::Sessions;
use crate::config::{AuthClients, Settings, TlsSettings};

/// Why TLS can't be set up.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A directive that TLS needs has no value.
    #[error("tls-port needs {0}")]
    Missing(&'static str),
    /// Clients must show certificates, but no directive names an authority to check them.
    #[error("tls-auth-clients {0} needs tls-ca-cert-file or tls-ca-cert-dir")]
    NoAuthority(&'static str),
    /// A master must show a certificate, but no directive names an authority to check it.
    #[error("tls-replication needs tls-ca-cert-file or tls-ca-cert-dir")]
    NoAuthorityOfMaster,
    /// A file cannot be read, or does not hold what the directive needs.
    #[error("{directive}: {}: {source}", path.display())]
    File {
        /// The directive that names the file.
        directive: &'static str,
        /// The file.
        path: PathBuf,
        /// What is wrong.
        source: Reason,
    },
    /// A file holds no key that can be read.
    #[error("tls-key-file: {}: it holds no private key in PEM form ({source})", path.display())]
    Key {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        source: pem::Error,
    },
    /// A value that rustls does not support.
    #[error("{directive}: {source}")]
    Value {
        /// The directive.
        directive: &'static str,
        /// What is wrong.
        source: Reason,
    },
    /// Certificate and key do not belong together, or cannot be used.
    #[error("tls-cert-file and tls-key-file: {}", credentials::in_words(.0))]
    Pair(#[source] rustls::Error),
}

/// The error of a library, or a text of ours.
type Reason = Box<dyn std::error::Error + Send + Sync>;

/// What new TLS connections begin with.
#[derive(Debug, Default)]
pub struct Tls {
    config: RwLock<Option<Arc<ServerConfig>>>,
}

impl Tls {
    /// Reads the files that the settings name. Without a `tls-port` it reads nothing.
    pub fn new(settings: &TlsSettings) -> Result<Self, TlsError> {
        Ok(Self {
            config: RwLock::new(load(settings)?),
        })
    }

    /// The configuration for a new connection; `None` without TLS.
    pub fn config(&self) -> Option<Arc<ServerConfig>> {
        self.config.read().clone()
    }

    /// Reads everything anew if CONFIG SET changes a directive of TLS. The caller passes the result to
    /// [`take_over`](Self::take_over).
    pub fn prepare(
        settings: &Settings,
        changed: &[&'static str],
    ) -> Result<Option<Arc<ServerConfig>>, (&'static str, String)> {
        let Some(name) = changed.iter().find(|name| name.starts_with("tls-")) else {
            return Ok(None);
        };
        load(&settings.tls).map_err(|error| {
            tracing::warn!(%error, "the TLS configuration was not changed");
            let reason = "Unable to update TLS configuration. Check server logs.";
            (*name, reason.to_owned())
        })
    }

    /// Uses the new configuration, if there is one, for new connections.
    pub fn take_over(&self, prepared: Option<Arc<ServerConfig>>) {
        if prepared.is_some() {
            *self.config.write() = prepared;
        }
    }
}

fn load(settings: &TlsSettings) -> Result<Option<Arc<ServerConfig>>, TlsError> {
    if settings.port == 0 {
        return Ok(None);
    }
    Ok(Some(Arc::new(server_config(settings)?)))
}

fn server_config(settings: &TlsSettings) -> Result<ServerConfig, TlsError> {
    let cert_file = settings.cert_file.as_deref();
    let cert_file = cert_file.ok_or(TlsError::Missing("tls-cert-file"))?;
    // As in Redis, one file may contain both.
    let key_file = settings.key_file.as_deref();
    let key_file = key_file.ok_or(TlsError::Missing("tls-key-file"))?;
    let versions = versions(&settings.protocols)?;
    let provider = Arc::new(CryptoProvider {
        cipher_suites: ciphers::suites(&settings.ciphers, &settings.ciphersuites)?,
        ..rustls::crypto::ring::default_provider()
    });
    let certificates = credentials::certificates("tls-cert-file", cert_file)?;
    let key = credentials::key(key_file, settings.key_file_pass.as_ref())?;
    let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
        .with_protocol_versions(&versions)
        .map_err(|error| TlsError::Value {
            directive: "tls-protocols",
            source: error.into(),
        })?;
    // Read the authorities even if clients need no certificates, so that a wrong file is reported at once.
    let roots = credentials::authorities(settings)?;
    let builder = match settings.auth_clients {
        AuthClients::No => builder.with_no_client_auth(),
        demand @ (AuthClients::Yes | AuthClients::Optional) => {
            let roots = roots.ok_or(TlsError::NoAuthority(demand.as_str()))?;
            let verifier =
                WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&provider));
            let verifier = if demand == AuthClients::Optional {
                verifier.allow_unauthenticated()
            } else {
                verifier
            };
            let verifier = verifier.build().map_err(|error| TlsError::Value {
                directive: "tls-ca-cert-file",
                source: error.into(),
            })?;
            builder.with_client_cert_verifier(verifier)
        }
    };
    let mut config = builder
        .with_single_cert(certificates, key)
        .map_err(TlsError::Pair)?;
    config.ignore_client_order = settings.prefer_server_ciphers;
    if settings.session_caching {
        let lifetime = settings.session_cache_timeout;
        config.session_storage = Arc::new(Sessions::new(settings.session_cache_size, lifetime));
    } else {
        config.session_storage = Arc::new(NoServerSessionStorage {});
        config.send_tls13_tickets = 0;
    }
    Ok(config)
}

/// The versions that `words` name. As in Redis, no words mean all safe versions.
fn versions(words: &str) -> Result<Vec<&'static SupportedProtocolVersion>, TlsError> {
    let refused = |reason: String| TlsError::Value {
        directive: "tls-protocols",
        source: reason.into(),
    };
    let mut versions = Vec::new();
    for word in words.split_ascii_whitespace() {
        match word.to_ascii_lowercase().as_str() {
            "tlsv1.2" => versions.push(&version::TLS12),
            "tlsv1.3" => versions.push(&version::TLS13),
            "tlsv1" | "tlsv1.1" => {
                return Err(refused(format!(
                    "{word} is not offered, since it is not safe any more: TLSv1.2 and TLSv1.3 are"
                )));
            }
            _ => {
                return Err(refused(format!(
                    "no version is called '{word}': TLSv1.2 and TLSv1.3 are there"
                )));
            }
        }
    }
    if versions.is_empty() {
        versions = vec![&version::TLS12, &version::TLS13];
    }
    Ok(versions)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_by_their_names() {
        let names = |words| {
            let versions = versions(words).map_err(|error| error.to_string())?;
            let names = versions.iter().map(|one| format!("{:?}", one.version));
            Ok::<_, String>(names.collect::<Vec<_>>().join(" "))
        };
        assert_eq!(names("").as_deref(), Ok("TLSv1_2 TLSv1_3"));
        assert_eq!(names("tlsv1.3").as_deref(), Ok("TLSv1_3"));
        assert_eq!(names("TLSv1.2 TLSv1.3").as_deref(), Ok("TLSv1_2 TLSv1_3"));
        assert!(names("TLSv1.1 TLSv1.2").is_err_and(|text| text.contains("not safe")));
        assert!(names("SSLv3").is_err_and(|text| text.contains("no version is called 'SSLv3'")));
    }
}
