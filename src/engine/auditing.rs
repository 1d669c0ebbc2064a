//! What an audit of the database has found: remembered, and reported in the fallback rooms if it lasts.

use super::{Engine, EngineError};
use crate::domain::audit::{AuditCheck, AuditTimes, Violation};
use crate::domain::outgoing::Outgoing;
use crate::ids;
use crate::store::audit::{self, Finding};
use crate::store::enqueue::NewMessage;
use crate::store::room;
use std::collections::BTreeSet;

/// The result of an audit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Audited {
    /// The violations that count from now on.
    pub news: Vec<AuditCheck>,
    /// All violations that count, oldest first.
    pub standing: Vec<Finding>,
}

impl Engine {
    /// Remembers what an audit has found. A violation that lasts is reported once, in the fallback rooms of its room list.
    pub async fn audited(&self, found: &[Violation]) -> Result<Audited, EngineError> {
        let lists = self.lists.load();
        let mut change = self.begin().await?;
        let now = change.now();
        let times = AuditTimes::at(now);
        audit::remember(change.tx(), found, now).await?;
        let news = audit::count(change.tx(), &times).await?;
        let lasting = audit::report(change.tx(), &times).await?;
        let mut notified = BTreeSet::new();
        for Finding { violation, since } in &lasting {
            let concerned = lists.iter().filter(|list| violation.room_list.as_deref() == Some(&list.name));
            for list in concerned {
                for room in room::rooms_of(change.tx(), &list.policy.fallback_rooms).await? {
                    if !notified.insert((violation.check, violation.subject.clone(), room.clone())) {
                        continue;
                    }
                    let message = NewMessage {
                        id: ids::unique(),
                        room_list: &list.name,
                        room: &room,
                        payload: Outgoing::AuditFailed {
                            check: violation.check,
                            subject: violation.subject.clone(),
                            since: *since,
                        },
                        incident: None,
                        rung: None,
                        post: None,
                        not_before: now,
                    };
                    change.enqueue(message).await?;
                }
            }
        }
        let standing = audit::confirmed(change.tx(), &times).await?;
        change.commit().await?;
        for Finding { violation: Violation { check, subject, room_list }, since } in &lasting {
            let (check, words) = (check.as_str(), check.words());
            tracing::error!(
                check,
                subject,
                room_list,
                "the audit finds since {since:.0} that {subject} {words}"
            );
        }
        Ok(Audited { news, standing })
    }
}
