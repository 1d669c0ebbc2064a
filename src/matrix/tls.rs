//! One TLS implementation for the whole process.

/// Makes `ring` the process's TLS provider. Must run before the first client, server or database connection is
/// made; running it again changes nothing.
pub fn install_tls_provider() {
    // The only error is that a provider is installed already, which is what is wanted.
    let _already_installed = rustls::crypto::ring::default_provider().install_default().is_err();
}
