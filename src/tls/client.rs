//! TLS for the connection to a master.

use std::sync::Arc;

use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::CryptoProvider;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, Error, RootCertStore, SignatureScheme,
};

use super::{TlsError, ciphers, credentials, versions};
use crate::config::TlsSettings;

/// What a connection to a master begins with.
pub fn client_config(settings: &TlsSettings) -> Result<Arc<ClientConfig>, TlsError> {
    let versions = versions(&settings.protocols)?;
    let provider = Arc::new(CryptoProvider {
        cipher_suites: ciphers::suites(&settings.ciphers, &settings.ciphersuites)?,
        ..rustls::crypto::ring::default_provider()
    });
    let roots = credentials::authorities(settings)?.ok_or(TlsError::NoAuthorityOfMaster)?;
    let builder = ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_protocol_versions(&versions)
        .map_err(|error| TlsError::Value {
            directive: "tls-protocols",
            source: error.into(),
        })?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(AnyName::new(roots, provider)?));
    // As in Redis, the server's own certificate where there is none for this.
    let (cert_file, key_file, pass) = match &settings.client_cert_file {
        Some(file) => (
            Some(file),
            settings.client_key_file.as_ref(),
            &settings.client_key_file_pass,
        ),
        None => (
            settings.cert_file.as_ref(),
            settings.key_file.as_ref(),
            &settings.key_file_pass,
        ),
    };
    let config = match (cert_file, key_file) {
        (Some(cert_file), Some(key_file)) => {
            let certificates = credentials::certificates("tls-client-cert-file", cert_file)?;
            let key = credentials::key(key_file, pass.as_ref())?;
            builder
                .with_client_auth_cert(certificates, key)
                .map_err(TlsError::Pair)?
        }
        _ => builder.with_no_client_auth(),
    };
    Ok(Arc::new(config))
}

/// The name that the handshake gives for a master's host. Nothing depends on it where it is none that TLS can give.
pub fn name_of(host: &str) -> ServerName<'static> {
    ServerName::try_from(host.to_owned())
        .unwrap_or_else(|_| ServerName::IpAddress(std::net::Ipv4Addr::UNSPECIFIED.into()))
}

/// As Redis does, trusts every certificate that an authority of the configuration has signed, whatever name it gives:
/// masters are often known by an address only.
#[derive(Debug)]
struct AnyName(Arc<WebPkiServerVerifier>);

impl AnyName {
    fn new(roots: RootCertStore, provider: Arc<CryptoProvider>) -> Result<Self, TlsError> {
        let verifier = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider);
        let verifier = verifier.build().map_err(|error| TlsError::Value {
            directive: "tls-ca-cert-file",
            source: error.into(),
        })?;
        Ok(Self(verifier))
    }
}

impl ServerCertVerifier for AnyName {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let verified =
            self.0
                .verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now);
        match verified {
            // The name is checked last, after the chain of certificates.
            Err(Error::InvalidCertificate(
                CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. },
            )) => Ok(ServerCertVerified::assertion()),
            other => other,
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.0.verify_tls12_signature(message, cert, dss)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.0.verify_tls13_signature(message, cert, dss)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.supported_verify_schemes()
    }
}
