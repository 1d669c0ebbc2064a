//! `matrixbot migrate`

use super::{ConfigFile, finish};
use crate::store::Store;
use anyhow::Context as _;
use std::process::ExitCode;

pub(super) const EXAMPLES: &str = "\
`run` does this too, unless the configuration says `migrate: false`. Several may do it at
once: one works, the others wait for it.

Example:
  matrixbot migrate --config config.yaml";

/// Brings the schema up to date.
pub(super) fn migrate(file: &ConfigFile) -> ExitCode {
    let config = match file.load() {
        Ok(config) => config,
        Err(code) => return code,
    };
    finish("matrixbot migrate", async move {
        let store = Store::new(&config.database.url, 2).context("the database's URL cannot be used")?;
        let missing =
            store.missing_migrations().await.context("the database cannot be asked for its schema")?;
        store.migrate().await.context("the schema could not be brought up to date")?;
        store.close().await;
        tracing::info!(applied = missing, "the schema is up to date; {missing} migrations were applied");
        Ok(())
    })
}
