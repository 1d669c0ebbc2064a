//! Composition root: build, bind, spawn, drain and stop in order.

use crate::config::Config;

/// Serves until the process is told to stop.
#[expect(clippy::unused_async, reason = "written by the application's owner")]
pub async fn run(config: Config) -> anyhow::Result<()> {
    anyhow::bail!("there is nothing to serve {} with", config.homeserver.server_name)
}
