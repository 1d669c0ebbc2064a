//! Reloads renewed certificates without a restart.

use crate::http::Certificate;
use crate::worker::{Progress, Worker};
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

/// How often the files are checked. SIGHUP checks them immediately.
const EVERY: Duration = Duration::from_secs(30);

/// The worker that reloads the listeners' certificates.
#[derive(Debug)]
pub(super) struct Certificates(Vec<Arc<Certificate>>);

impl Certificates {
    /// A worker for these certificates.
    pub(super) fn new(certificates: Vec<Arc<Certificate>>) -> Self {
        Self(certificates)
    }
}

impl Worker for Certificates {
    type Error = Infallible;

    fn name(&self) -> &'static str {
        "certificates"
    }

    async fn step(&self) -> Result<Progress, Infallible> {
        for certificate in &self.0 {
            let file = certificate.files().certificate.display();
            match certificate.reload() {
                Ok(true) => tracing::info!(%file, "the certificate in {file} was reloaded"),
                Ok(false) => {}
                Err(error) => {
                    tracing::error!(%file, %error, "the certificate was not reloaded, the previous one stays in use: {error}");
                }
            }
        }
        Ok(Progress::Idle(EVERY))
    }
}
