//! A storm in one room whose list has the default digest.

use crate::Settings;
use crate::database::Database;
use crate::many::post_all;
use crate::paging::now;
use anyhow::ensure;
use std::time::{Duration, Instant};

/// How many connections post the groups.
const CONNECTIONS: usize = 32;
/// When a storm should be over.
const LIMIT: Duration = Duration::from_mins(3);

/// What a storm was.
pub(crate) struct Storm {
    /// From the first webhook until every incident was known to be posted, in seconds.
    pub(crate) seconds: f64,
    /// The messages that are no edits.
    pub(crate) messages: f64,
}

/// So many groups at once.
pub(crate) fn storm(
    settings: &Settings,
    database: &mut Database,
    groups: usize,
    prefix: &str,
) -> anyhow::Result<Storm> {
    let began = now();
    post_all(settings, CONNECTIONS, groups, |n| ("storm".to_owned(), format!("{prefix}{n}")))?;
    let limit = Instant::now() + LIMIT;
    let pages = loop {
        let pages = database.sent(prefix)?.pages;
        if pages.len() >= groups {
            break pages;
        }
        ensure!(Instant::now() < limit, "{} pages of {groups}", pages.len());
        std::thread::sleep(Duration::from_millis(100));
    };
    let seconds = pages.iter().map(|(_, at)| *at).fold(0.0, f64::max) - began;
    let messages: f64 = database.run(async |connection| {
        sqlx::query_scalar(
            "SELECT count(DISTINCT event_id)::float8 FROM outbox
             WHERE room_list = 'storm' AND state = 'sent' AND kind IN ('page', 'fallback', 'reminder', 'answer', 'digest')
               AND extract(epoch FROM settled_at) > $1",
        )
        .bind(began)
        .fetch_one(connection)
        .await
    })?;
    Ok(Storm { seconds, messages })
}

/// Forgets what still waits to be sent, of a matrixbot that was stopped: the next run should not begin with it.
pub(crate) fn forget(database: &mut Database) -> anyhow::Result<()> {
    database.execute(
        "UPDATE outbox SET state = 'cancelled', settled_at = now(), uncertain = false WHERE state = 'pending';
         DO $$ BEGIN
             IF to_regclass('digest') IS NOT NULL THEN
                 UPDATE digest SET ended_at = now() WHERE ended_at IS NULL;
             END IF;
         END $$",
    )
}
