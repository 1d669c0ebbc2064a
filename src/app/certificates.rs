//! Lets a certificate that was renewed hold without a restart.

use crate::http::Certificate;
use crate::worker::{Progress, Worker};
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

/// How often the files are looked at. SIGHUP makes it happen at once.
const EVERY: Duration = Duration::from_secs(30);

/// The worker that looks at the files of the certificates that listeners show.
#[derive(Debug)]
pub(super) struct Certificates(Vec<Arc<Certificate>>);

impl Certificates {
    /// Looks after these.
    pub(super) fn new(shown: Vec<Arc<Certificate>>) -> Self {
        Self(shown)
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
                    tracing::error!(%file, %error, "the certificate was not reloaded, the one before stays: {error}");
                }
            }
        }
        Ok(Progress::Idle(EVERY))
    }
}
