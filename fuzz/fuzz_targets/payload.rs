//! What strangers post as Alertmanager.
#![no_main]

use jiff::Timestamp;
use libfuzzer_sys::fuzz_target;
use matrixbot::alertmanager::payload::parse;
use std::collections::BTreeSet;

fuzz_target!(|body: &[u8]| {
    let now = Timestamp::from_second(1_795_521_600).unwrap();
    let Ok(report) = parse(body, now) else { return };
    let alerts = &report.webhook.alerts;
    let fingerprints: BTreeSet<&str> = alerts.iter().map(|alert| alert.fingerprint.as_str()).collect();
    assert_eq!(fingerprints.len(), alerts.len(), "each fingerprint once");
    for alert in alerts {
        let texts = alert.labels.iter().chain(&alert.annotations);
        assert!(texts.into_iter().all(|(name, value)| !name.contains('\0') && !value.contains('\0')));
    }
});
