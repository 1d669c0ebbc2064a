//! TLS with a certificate and its key, reloaded from their files while a listener runs.

use arc_swap::ArcSwap;
use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, pem};
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use sha2::{Digest, Sha256};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

/// The files of a TLS server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tls {
    /// The certificate chain, in PEM.
    pub certificate: PathBuf,
    /// Its private key, in PEM.
    pub key: PathBuf,
}

/// TLS could not be set up.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A file cannot be read, or its content is invalid.
    #[error("{file} cannot be used for TLS: {source}")]
    File {
        /// The file.
        file: PathBuf,
        /// The cause.
        source: pem::Error,
    },
    /// The certificate and the key do not match, or cannot be used.
    #[error("the certificate in {certificate} cannot be used: {source}")]
    Unusable {
        /// The certificate's file.
        certificate: PathBuf,
        /// The cause.
        source: rustls::Error,
    },
}

/// The certificate that a listener uses: the last valid one in its files.
#[derive(Debug)]
pub struct Certificate {
    files: Tls,
    current: ArcSwap<CertifiedKey>,
    /// Digest of the files when they were last read; `None`: they could not be read.
    last_read: Mutex<Option<[u8; 32]>>,
}

/// The content of the files.
struct Content {
    certificate: Vec<u8>,
    key: Vec<u8>,
}

impl Tls {
    fn read(&self) -> Result<Content, TlsError> {
        let read = |file: &Path| {
            let unreadable = |error| TlsError::File { file: file.to_owned(), source: pem::Error::Io(error) };
            std::fs::read(file).map_err(unreadable)
        };
        Ok(Content { certificate: read(&self.certificate)?, key: read(&self.key)? })
    }

    /// Parses the certificate and key in `content`. Fails if they do not match.
    fn certified(&self, content: &Content) -> Result<CertifiedKey, TlsError> {
        let invalid = |file: &Path| {
            let file = file.to_owned();
            move |source| TlsError::File { file, source }
        };
        let chain = CertificateDer::pem_slice_iter(&content.certificate)
            .collect::<Result<Vec<_>, _>>()
            .map_err(invalid(&self.certificate))?;
        let key = PrivateKeyDer::from_pem_slice(&content.key).map_err(invalid(&self.key))?;
        CertifiedKey::from_der(chain, key, &rustls::crypto::ring::default_provider())
            .map_err(|source| TlsError::Unusable { certificate: self.certificate.clone(), source })
    }
}

impl Content {
    fn digest(&self) -> [u8; 32] {
        let mut digest = Sha256::new();
        digest.update(self.certificate.len().to_be_bytes());
        digest.update(&self.certificate);
        digest.update(&self.key);
        digest.finalize().into()
    }
}

impl Certificate {
    /// Loads the certificate from its files.
    pub fn load(files: Tls) -> Result<Arc<Self>, TlsError> {
        let content = files.read()?;
        let current = ArcSwap::from_pointee(files.certified(&content)?);
        Ok(Arc::new(Self { current, last_read: Mutex::new(Some(content.digest())), files }))
    }

    /// Its files.
    pub fn files(&self) -> &Tls {
        &self.files
    }

    /// Reloads the files. Returns whether the certificate changed. If the files are invalid, the current certificate
    /// stays in use; the error is returned once, until the files change again.
    pub fn reload(&self) -> Result<bool, TlsError> {
        let content = self.files.read();
        let digest = content.as_ref().ok().map(Content::digest);
        let before =
            std::mem::replace(&mut *self.last_read.lock().unwrap_or_else(PoisonError::into_inner), digest);
        if digest == before {
            return Ok(false);
        }
        let certified = self.files.certified(&content?)?;
        self.current.store(Arc::new(certified));
        Ok(true)
    }

    /// The TLS configuration of a listener that uses this certificate.
    pub(super) fn server(self: &Arc<Self>) -> Result<ServerConfig, TlsError> {
        let provider = rustls::crypto::ring::default_provider().into();
        let builder = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(|source| TlsError::Unusable { certificate: self.files.certificate.clone(), source })?;
        let resolver = Arc::clone(self);
        Ok(builder.with_no_client_auth().with_cert_resolver(resolver))
    }
}

impl ResolvesServerCert for Certificate {
    fn resolve(&self, _hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.current.load_full())
    }
}
