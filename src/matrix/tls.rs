//! The TLS provider of the process.

/// Installs `ring` as the TLS provider of the process. Call it before the first client, server or database connection;
/// calling it again changes nothing.
pub fn install_tls_provider() {
    // The only error means that a provider is already installed.
    let _already_installed = rustls::crypto::ring::default_provider().install_default().is_err();
}
