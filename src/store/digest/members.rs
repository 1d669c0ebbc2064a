//! The pages that a digest may carry, and what it shows of their incidents.

use super::super::{StoreError, Tx, forms};
use crate::domain::digest::{Class, Member};
use crate::domain::incident::PhaseName;
use crate::domain::policy::Policy;
use crate::domain::view;
use crate::domain::webhook::Labels;
use jiff::Timestamp;
use jiff_sqlx::ToSqlx;
use std::collections::BTreeMap;
use strum::VariantArray as _;
use uuid::Uuid;

/// A page of an incident.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PageOf {
    /// The page's message.
    pub id: Uuid,
    /// The incident.
    pub incident: i64,
    /// Its level, counted from 0.
    pub level: i32,
}

/// What a digest shows of an incident.
#[derive(Debug, Clone)]
pub struct Facts {
    /// Its name.
    pub name: String,
    /// The labels that its alerts share.
    pub shared: Labels,
    /// The labels that Alertmanager grouped by.
    pub group_labels: Labels,
    /// Its phase.
    pub phase: PhaseName,
    /// The severities of its firing alerts, or of all if none is firing; empty: of an alert without one.
    pub severities: Vec<String>,
    /// The policy of its run.
    pub policy_version: i64,
    /// Who has acknowledged or snoozed it.
    pub ackers: Vec<String>,
    /// How often its levels were gone through, and the level that was paged last; `None`: none was.
    pub paged: (i32, Option<i32>),
}

impl Facts {
    /// The incident as a digest shows it, by the policy of its run. `level`: whose mentions its page has.
    pub fn member(&self, number: i64, policy: &Policy, level: u32) -> Member {
        let severities: Vec<_> = self.severities.iter().map(|name| policy.severity_by_name(name)).collect();
        Member {
            number,
            name: self.name.clone(),
            place: view::place(&self.shared, &self.group_labels, &policy.severity_label),
            phase: self.phase,
            ackers: self.ackers.clone(),
            escalated: self.paged.0 > 0 || self.paged.1 > i32::try_from(level).ok(),
            mentions: policy.mentions(severities.iter(), level),
            severity: severities.into_iter().max_by_key(|severity| severity.rank),
        }
    }
}

/// Locks the pages of a class that are due in a room and that no attempt may have sent, oldest first, at most `limit`.
/// Skips those that are obsolete, those whose incident has another message on its way, and those that somebody else has
/// locked.
pub async fn waiting(
    tx: &mut Tx,
    (room_list, room): (&str, &str),
    class: Class,
    limit: i64,
    now: Timestamp,
) -> Result<Vec<PageOf>, StoreError> {
    let (kind, priority) = class.queue();
    let phases: Vec<String> = class.phases().iter().map(|phase| phase.as_str().to_owned()).collect();
    Ok(sqlx::query_as!(
        PageOf,
        r#"SELECT outbox.id, outbox.incident AS "incident!", outbox.level AS "level!"
           FROM outbox JOIN incident ON incident.id = outbox.incident
           WHERE outbox.room = $1 AND outbox.state = 'pending' AND outbox.priority = $4 AND outbox.room_list = $2
             AND outbox.kind = $3 AND outbox.not_before <= $5 AND NOT outbox.uncertain AND outbox.content IS NULL
             AND outbox.digest IS NULL AND incident.run_no = outbox.run_no AND incident.phase = ANY($6)
             AND NOT EXISTS (SELECT 1 FROM outbox AS other WHERE other.room = $1 AND other.state = 'sending'
                               AND other.incident = outbox.incident)
           ORDER BY outbox.seq LIMIT $7
           FOR UPDATE OF outbox SKIP LOCKED"#,
        room,
        room_list,
        kind.as_str(),
        priority,
        now.to_sqlx(),
        &phases,
        limit
    )
    .fetch_all(&mut **tx)
    .await?)
}

/// The pages that a digest carries or carried, by incident.
pub async fn pages_of(tx: &mut Tx, digest: Uuid) -> Result<Vec<PageOf>, StoreError> {
    Ok(sqlx::query_as!(
        PageOf,
        r#"SELECT DISTINCT ON (incident) id, incident AS "incident!", level AS "level!"
           FROM outbox
           WHERE digest = $1 AND kind IN ('page', 'fallback') AND carrier IS NOT NULL AND state IN ('pending', 'sent')
           ORDER BY incident, seq DESC"#,
        digest
    )
    .fetch_all(&mut **tx)
    .await?)
}

/// What a digest shows of incidents. An incident whose labels cannot be read has a name all the same.
pub async fn facts(tx: &mut Tx, incidents: &[i64]) -> Result<BTreeMap<i64, Facts>, StoreError> {
    let rows = sqlx::query!(
        r#"SELECT incident.id, group_labels, common_labels, phase, policy_version, ackers, loop_no, level,
                  (SELECT labels ->> 'alertname' FROM incident_alert AS alert WHERE alert.incident = incident.id
                   ORDER BY firing DESC, starts_at, fingerprint LIMIT 1) AS alertname,
                  ARRAY(SELECT DISTINCT coalesce(severity, '') FROM incident_alert AS alert
                        WHERE alert.incident = incident.id
                          AND (firing OR NOT EXISTS (SELECT 1 FROM incident_alert AS other
                                                     WHERE other.incident = incident.id AND other.firing))) AS "severities!"
           FROM incident WHERE id = ANY($1)"#,
        incidents
    )
    .fetch_all(&mut **tx)
    .await?;
    let labels =
        |column, id, value| forms::read_optional::<Labels>("incident", column, id, value).unwrap_or_default();
    Ok(rows
        .into_iter()
        .map(|row| {
            let group_labels = labels("group_labels", row.id, row.group_labels);
            let shared = labels("common_labels", row.id, row.common_labels);
            let phase = PhaseName::VARIANTS.iter().copied().find(|phase| phase.as_str() == row.phase);
            let facts = Facts {
                name: view::name(&group_labels, &shared, row.alertname.as_deref()),
                shared,
                group_labels,
                phase: phase.unwrap_or(PhaseName::Firing),
                severities: row.severities,
                policy_version: row.policy_version,
                ackers: row.ackers,
                paged: (row.loop_no, row.level),
            };
            (row.id, facts)
        })
        .collect())
}
