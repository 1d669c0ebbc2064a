//! The findings, row by row.

use crate::cli::print;
use serde::Serialize;
use std::process::ExitCode;

/// The result of a check.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Outcome {
    Ok,
    /// It works only in part.
    Warning,
    Failed,
    /// It was not tested, because something else failed.
    Skipped,
}

/// One row.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(super) struct Finding {
    check: &'static str,
    outcome: Outcome,
    /// The checked object, if there are several.
    subject: Option<String>,
    detail: String,
    /// How to fix it, in a sentence.
    remedy: Option<String>,
}

/// Every row so far. The table prints each row immediately.
#[derive(Debug)]
pub(super) struct Report {
    as_json: bool,
    findings: Vec<Finding>,
    changes: Vec<String>,
}

impl Report {
    pub(super) fn new(as_json: bool) -> Self {
        Self { as_json, findings: Vec::new(), changes: Vec::new() }
    }

    pub(super) fn ok(&mut self, check: &'static str, subject: Option<&str>, detail: impl Into<String>) {
        self.add(check, Outcome::Ok, subject, detail.into(), None);
    }

    pub(super) fn warning(
        &mut self,
        check: &'static str,
        subject: Option<&str>,
        detail: impl Into<String>,
        remedy: impl Into<String>,
    ) {
        self.add(check, Outcome::Warning, subject, detail.into(), Some(remedy.into()));
    }

    pub(super) fn failed(
        &mut self,
        check: &'static str,
        subject: Option<&str>,
        detail: impl Into<String>,
        remedy: impl Into<String>,
    ) {
        self.add(check, Outcome::Failed, subject, detail.into(), Some(remedy.into()));
    }

    pub(super) fn skipped(&mut self, check: &'static str, subject: Option<&str>, why: impl Into<String>) {
        self.add(check, Outcome::Skipped, subject, why.into(), None);
    }

    /// Notes a change.
    pub(super) fn changed(&mut self, what: String) {
        self.changes.push(what);
    }

    fn add(
        &mut self,
        check: &'static str,
        outcome: Outcome,
        subject: Option<&str>,
        detail: String,
        remedy: Option<String>,
    ) {
        let finding = Finding { check, outcome, subject: subject.map(str::to_owned), detail, remedy };
        if !self.as_json {
            print(row(&finding).as_bytes());
        }
        self.findings.push(finding);
    }

    fn count(&self, outcome: Outcome) -> usize {
        self.findings.iter().filter(|finding| finding.outcome == outcome).count()
    }

    /// Ends the report. Warnings and skipped checks do not fail it.
    pub(super) fn finish(self) -> ExitCode {
        let failed = self.count(Outcome::Failed);
        if self.as_json {
            let report = serde_json::json!({
                "ok": failed == 0, "checks": self.findings, "changed": self.changes,
            });
            print(format!("{report:#}\n").as_bytes());
        } else {
            print(self.summary(failed).as_bytes());
        }
        ExitCode::from(if failed == 0 { 0 } else { crate::cli::FAILED })
    }

    fn summary(&self, failed: usize) -> String {
        let changed = match self.changes.as_slice() {
            [] => "Nothing was changed.".to_owned(),
            changes => format!("Changed: {}.", changes.join("; ")),
        };
        let warnings = self.count(Outcome::Warning);
        let all = [
            (failed, "failed"),
            (warnings, if warnings == 1 { "warning" } else { "warnings" }),
            (self.count(Outcome::Skipped), "skipped"),
        ];
        let all: Vec<String> = all
            .into_iter()
            .filter(|(count, _)| *count > 0)
            .map(|(count, what)| format!("{count} {what}"))
            .collect();
        let verdict =
            if all.is_empty() { "Everything is well.".to_owned() } else { format!("{}.", all.join(", ")) };
        format!("\n{verdict} {changed}\n")
    }
}

/// A row for people: aligned, with its remedy below it.
fn row(finding: &Finding) -> String {
    let outcome = match finding.outcome {
        Outcome::Ok => "ok",
        Outcome::Warning => "warning",
        Outcome::Failed => "FAILED",
        Outcome::Skipped => "-",
    };
    let subject = finding.subject.as_ref().map(|subject| format!("{subject}: ")).unwrap_or_default();
    let line = format!("{outcome:<8} {:<14} {subject}{}\n", finding.check, finding.detail);
    match &finding.remedy {
        Some(remedy) => format!("{line}{:>25} {remedy}\n", "->"),
        None => line,
    }
}

#[cfg(test)]
mod tests {
    use super::{Finding, Outcome, row};

    #[test]
    fn a_row_is_aligned_and_its_remedy_stands_below() {
        let finding = Finding {
            check: "room",
            outcome: Outcome::Failed,
            subject: Some("#ops:example.org".to_owned()),
            detail: "it cannot be joined".to_owned(),
            remedy: Some("Invite the virtual user.".to_owned()),
        };
        assert_eq!(
            row(&finding),
            "FAILED   room           #ops:example.org: it cannot be joined\n                       -> Invite the virtual user.\n"
        );
    }
}
