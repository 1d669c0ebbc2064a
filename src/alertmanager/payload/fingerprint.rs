//! Alertmanager's fingerprint of a label set.

use crate::domain::incident::Fingerprint;
use crate::domain::webhook::Labels;

/// The fingerprint in lower case, if it has Alertmanager's format.
pub(super) fn valid(text: &str) -> Option<Fingerprint> {
    (text.len() == 16 && text.bytes().all(|b| b.is_ascii_hexdigit())).then(|| text.to_ascii_lowercase())
}

/// The fingerprint that Alertmanager computes: FNV-1a, 64 bits, over all names and values in the order of the names,
/// each followed by the byte 0xff, which never occurs in UTF-8.
pub(super) fn computed(labels: &Labels) -> Fingerprint {
    const OFFSET: u64 = 0xcbf2_9ce4_8422_2325;
    const PRIME: u64 = 0x0100_0000_01b3;
    const SEPARATOR: u8 = 0xff;
    let bytes = labels.iter().flat_map(|(name, value)| {
        let separated = |text: &'_ str| text.bytes().chain([SEPARATOR]).collect::<Vec<u8>>();
        [separated(name), separated(value)].into_iter().flatten()
    });
    let hash = bytes.fold(OFFSET, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(PRIME));
    format!("{hash:016x}")
}
