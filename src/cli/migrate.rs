//! `matrixbot migrate`

use super::{ConfigFile, finish};
use crate::store::Store;
use anyhow::Context as _;
use std::process::ExitCode;

pub(super) const EXAMPLES: &str = "\
`run` also does this, unless the configuration has `migrate: false`. Several processes may
do it at the same time: one works, the others wait for it.

Example:
  matrixbot migrate --config config.yaml";

/// Migrates the schema.
pub(super) fn migrate(file: &ConfigFile) -> ExitCode {
    let config = match file.load() {
        Ok(config) => config,
        Err(code) => return code,
    };
    finish("matrixbot migrate", async move {
        let store = Store::new(&config.database.url, 2).context("the database's URL is invalid")?;
        let missing = store.missing_migrations().await.context("cannot read the schema's version")?;
        store.migrate().await.context("the schema could not be migrated")?;
        store.close().await;
        tracing::info!(applied = missing, "the schema is up to date; {missing} migrations were applied");
        Ok(())
    })
}
