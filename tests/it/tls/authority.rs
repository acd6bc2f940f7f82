//! Makes certificates for tests, and a client that speaks TLS.

use std::error::Error;
use std::fs;
use std::io::{self, BufRead, BufReader, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};
use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{
    ClientConfig, ClientConnection, RootCertStore, StreamOwned, SupportedProtocolVersion,
};

use common::encode;

pub type Result<T = ()> = std::result::Result<T, Box<dyn Error>>;

/// An authority that signs certificates.
pub struct Authority {
    issuer: CertifiedIssuer<'static, KeyPair>,
    folder: PathBuf,
    name: String,
}

impl Authority {
    /// A new authority, whose certificate is in `FOLDER/NAME.crt`.
    pub fn new(folder: &Path, name: &str) -> Result<Self> {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(DnType::CommonName, name);
        let issuer = CertifiedIssuer::self_signed(params, KeyPair::generate()?)?;
        fs::write(folder.join(format!("{name}.crt")), issuer.pem())?;
        Ok(Self {
            issuer,
            folder: folder.to_owned(),
            name: name.to_owned(),
        })
    }

    pub fn certificate(&self) -> PathBuf {
        self.folder.join(format!("{}.crt", self.name))
    }

    /// Signs a certificate for this machine: `NAME.crt` and `NAME.key`.
    pub fn sign(&self, name: &str) -> Result<(PathBuf, PathBuf)> {
        self.sign_key(name, &KeyPair::generate()?)
    }

    /// The same for a key that there is.
    pub fn sign_key(&self, name: &str, key: &KeyPair) -> Result<(PathBuf, PathBuf)> {
        let mut params =
            CertificateParams::new(vec!["localhost".to_owned(), "127.0.0.1".to_owned()])?;
        params.distinguished_name.push(DnType::CommonName, name);
        let certificate = params.signed_by(key, &self.issuer)?;
        let paths = [".crt", ".key"].map(|end| self.folder.join(format!("{name}{end}")));
        fs::write(&paths[0], certificate.pem())?;
        fs::write(&paths[1], key.serialize_pem())?;
        let [certificate, key] = paths;
        Ok((certificate, key))
    }

    /// The settings of a client that trusts this authority.
    pub fn client(&self) -> ClientBuilder {
        ClientBuilder {
            trusted: self.certificate(),
            identity: None,
            versions: vec![&rustls::version::TLS12, &rustls::version::TLS13],
        }
    }
}

pub struct ClientBuilder {
    trusted: PathBuf,
    identity: Option<(PathBuf, PathBuf)>,
    versions: Vec<&'static SupportedProtocolVersion>,
}

impl ClientBuilder {
    pub fn identity(mut self, (certificate, key): (PathBuf, PathBuf)) -> Self {
        self.identity = Some((certificate, key));
        self
    }

    pub fn version(mut self, version: &'static SupportedProtocolVersion) -> Self {
        self.versions = vec![version];
        self
    }

    pub fn build(self) -> Result<Arc<ClientConfig>> {
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_file(&self.trusted)?)?;
        let provider: CryptoProvider = rustls::crypto::ring::default_provider();
        let builder = ClientConfig::builder_with_provider(Arc::new(provider))
            .with_protocol_versions(&self.versions)?
            .with_root_certificates(roots);
        Ok(Arc::new(match self.identity {
            None => builder.with_no_client_auth(),
            Some((certificate, key)) => builder.with_client_auth_cert(
                vec![CertificateDer::from_pem_file(certificate)?],
                PrivateKeyDer::from_pem_file(key)?,
            )?,
        }))
    }

    pub fn connect(self, port: u16) -> Result<TlsConnection> {
        connect(&self.build()?, port)
    }
}

/// A connection that reads replies as lines and bulk strings.
pub struct TlsConnection {
    stream: BufReader<StreamOwned<ClientConnection, TcpStream>>,
}

pub fn connect(config: &Arc<ClientConfig>, port: u16) -> Result<TlsConnection> {
    connect_to(config, "127.0.0.1", port)
}

/// The client checks the certificate for `localhost`, whatever the address is.
pub fn connect_to(config: &Arc<ClientConfig>, host: &str, port: u16) -> Result<TlsConnection> {
    let socket = TcpStream::connect((host, port))?;
    socket.set_nodelay(true)?;
    socket.set_read_timeout(Some(Duration::from_secs(30)))?;
    socket.set_write_timeout(Some(Duration::from_secs(30)))?;
    let name = ServerName::try_from("localhost")?;
    let session = ClientConnection::new(Arc::clone(config), name)?;
    Ok(TlsConnection {
        stream: BufReader::new(StreamOwned::new(session, socket)),
    })
}

impl TlsConnection {
    pub fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        let stream = self.stream.get_mut();
        stream.write_all(bytes)?;
        stream.flush()
    }

    pub fn line(&mut self) -> io::Result<String> {
        let mut line = String::new();
        if self.stream.read_line(&mut line)? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        Ok(line.trim_end().to_owned())
    }

    pub fn bytes(&mut self, bytes: &mut [u8]) -> io::Result<()> {
        io::Read::read_exact(&mut self.stream, bytes)
    }

    /// The reply to a call; of a bulk string its text.
    pub fn call(&mut self, words: &str) -> io::Result<String> {
        let mut bytes = Vec::new();
        encode(&mut bytes, &words.split(' ').collect::<Vec<_>>());
        self.send(&bytes)?;
        let head = self.line()?;
        let Some(Ok(length)) = head.strip_prefix('$').map(str::parse::<usize>) else {
            return Ok(head);
        };
        let mut text = vec![0; length + 2];
        self.bytes(&mut text)?;
        text.truncate(length);
        Ok(String::from_utf8_lossy(&text).into_owned())
    }

    pub fn session(&self) -> &ClientConnection {
        &self.stream.get_ref().conn
    }

    /// The certificate that the server showed.
    pub fn server_certificate(&self) -> Option<CertificateDer<'static>> {
        Some(
            self.session()
                .peer_certificates()?
                .first()?
                .clone()
                .into_owned(),
        )
    }
}
