//! Alertmanager's identity of a label set.

use crate::domain::incident::Fingerprint;
use crate::domain::webhook::Labels;

/// Whether this is a fingerprint as Alertmanager writes it; then in lower case.
pub(super) fn valid(said: &str) -> Option<Fingerprint> {
    (said.len() == 16 && said.bytes().all(|b| b.is_ascii_hexdigit())).then(|| said.to_ascii_lowercase())
}

/// The fingerprint that Alertmanager computes: FNV-1a, 64 bits, over each name and value in the order of the
/// names, each followed by a byte that UTF-8 never has.
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
