//! Reads certificates and keys from files.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use memchr::memmem;
use pkcs8::{EncryptedPrivateKeyInfo, SecretDocument};
use rustls::RootCertStore;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};

use super::{Reason, TlsError};
use crate::config::{Secret, TlsSettings};

/// The most bytes of a file of certificates.
const FILE_BYTES_MAX: u64 = 16 << 20;

/// All certificates of a PEM file; at least one.
pub(super) fn certificates(
    directive: &'static str,
    path: &Path,
) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let text = read(path).map_err(|error| refused(directive, path, error))?;
    let certificates = CertificateDer::pem_slice_iter(&text)
        .collect::<Result<Vec<_>, _>>()
        .map_err(|error| refused(directive, path, error))?;
    if certificates.is_empty() {
        let reason = "it holds no certificate in PEM form";
        return Err(refused(directive, path, reason));
    }
    Ok(certificates)
}

/// Where an encrypted key of PKCS#8 begins and ends.
const ENCRYPTED: (&[u8], &[u8]) = (
    b"-----BEGIN ENCRYPTED PRIVATE KEY-----",
    b"-----END ENCRYPTED PRIVATE KEY-----",
);

/// The first private key of a PEM file. `passphrase` is for an encrypted one.
pub(super) fn key(
    path: &Path,
    passphrase: Option<&Secret>,
) -> Result<PrivateKeyDer<'static>, TlsError> {
    let refused = |reason: Reason| refused("tls-key-file", path, reason);
    let text = read(path).map_err(|error| refused(error.into()))?;
    if memmem::find(&text, b"Proc-Type: 4,ENCRYPTED").is_some() {
        return Err(refused(
            "a key that is encrypted in OpenSSL's old form cannot be read; 'openssl pkcs8 -topk8 -in FILE -out NEW' \
             writes one that can"
                .into(),
        ));
    }
    if let Some(begin) = memmem::find(&text, ENCRYPTED.0) {
        let passphrase = passphrase.ok_or_else(|| {
            refused("the key is encrypted, and tls-key-file-pass is empty".into())
        })?;
        return decrypted(&text[begin..], passphrase).map_err(refused);
    }
    PrivateKeyDer::from_pem_slice(&text).map_err(|source| TlsError::Key {
        path: path.to_owned(),
        source,
    })
}

/// The key of an encrypted block, which `text` begins with.
fn decrypted(text: &[u8], passphrase: &[u8]) -> Result<PrivateKeyDer<'static>, Reason> {
    let end = memmem::find(text, ENCRYPTED.1).ok_or("the encrypted key has no end")?;
    let block = str::from_utf8(&text[..end + ENCRYPTED.1.len()])?;
    let (_, encrypted) = SecretDocument::from_pem(block)
        .map_err(|error| format!("the encrypted key is damaged: {error}"))?;
    let encrypted = EncryptedPrivateKeyInfo::try_from(encrypted.as_bytes())
        .map_err(|error| format!("the encrypted key is of an unknown form: {error}"))?;
    let key = encrypted.decrypt(passphrase).map_err(|error| {
        format!(
            "the encrypted key cannot be read: is tls-key-file-pass its passphrase? ({error}; of encryptions, AES and \
             triple DES are known, with a key by scrypt or by PBKDF2 with SHA-2)"
        )
    })?;
    Ok(PrivatePkcs8KeyDer::from(key.as_bytes().to_vec()).into())
}

/// The authorities that may have signed clients' certificates; `None` if no directive names any.
pub(super) fn authorities(settings: &TlsSettings) -> Result<Option<RootCertStore>, TlsError> {
    let mut files: Vec<(&'static str, PathBuf)> = Vec::new();
    if let Some(path) = &settings.ca_cert_file {
        files.push(("tls-ca-cert-file", path.clone()));
    }
    if let Some(folder) = &settings.ca_cert_dir {
        let refused = |reason: Reason| refused("tls-ca-cert-dir", folder, reason);
        let hashed = hashed_files(folder).map_err(|error| refused(error.into()))?;
        if hashed.is_empty() && settings.ca_cert_file.is_none() {
            return Err(refused(
                "no file in it is named by the hash of its certificate ('openssl rehash FOLDER' makes such links)"
                    .into(),
            ));
        }
        files.extend(hashed.into_iter().map(|path| ("tls-ca-cert-dir", path)));
    }
    if files.is_empty() {
        return Ok(None);
    }
    let mut roots = RootCertStore::empty();
    for (directive, path) in files {
        for certificate in certificates(directive, &path)? {
            roots
                .add(certificate)
                .map_err(|error| refused(directive, &path, in_words(&error)))?;
        }
    }
    Ok(Some(roots))
}

/// The files that OpenSSL would find: eight hexadecimal digits, a point and a number. Other files in the folder may be
/// anything, and to trust them could let in clients that the operator does not mean.
fn hashed_files(folder: &Path) -> io::Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let name = entry.file_name();
        let hashed = name.to_str().and_then(|name| name.split_once('.'));
        if hashed.is_some_and(|(hash, number)| {
            hash.len() == 8
                && hash.bytes().all(|byte| byte.is_ascii_hexdigit())
                && !number.is_empty()
                && number.bytes().all(|byte| byte.is_ascii_digit())
        }) {
            found.push(entry.path());
        }
    }
    found.sort();
    Ok(found)
}

fn read(path: &Path) -> io::Result<Vec<u8>> {
    // A device or a pipe could have no end.
    let metadata = fs::metadata(path)?;
    if !metadata.is_file() || metadata.len() > FILE_BYTES_MAX {
        return Err(io::Error::other("it is no file of a sensible size"));
    }
    fs::read(path)
}

/// What is wrong with a certificate. The library names a constant for version 1.
pub fn in_words(error: &rustls::Error) -> String {
    let text = error.to_string();
    if text.contains("UnsupportedCertVersion") {
        return "a certificate of X.509 version 1 is not taken; make one of version 3, with extensions ('openssl x509 -req \
                -extfile FILE' or 'openssl req -x509'; 'openssl x509 -noout -text' shows the version)"
            .to_owned();
    }
    text
}

fn refused(directive: &'static str, path: &Path, reason: impl Into<Reason>) -> TlsError {
    TlsError::File {
        directive,
        path: path.to_owned(),
        source: reason.into(),
    }
}
