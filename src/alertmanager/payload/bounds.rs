//! Size limits for untrusted input.

use crate::domain::webhook::Labels;
use sha2::{Digest, Sha256};
use std::fmt::Write as _;

/// The most bytes of a label's name.
const LABEL_NAME: usize = 256;
/// The most bytes of a label's value, and of the receiver's name.
pub(super) const LABEL_VALUE: usize = 4 * 1024;
/// The most bytes of an annotation: a whole message in a room has about 40 KB.
pub(super) const ANNOTATION: usize = 32 * 1024;
/// The most bytes of a group key.
pub(super) const GROUP_KEY: usize = 16 * 1024;
/// The most labels, and the most annotations, of an alert.
const MOST_LABELS: usize = 128;

/// The first `most` bytes of `text`, with `…` at the end if it was cut.
pub(super) fn cut(text: String, most: usize) -> String {
    if text.len() <= most {
        return text;
    }
    let end = text.floor_char_boundary(most);
    format!("{}…", text.get(..end).unwrap_or_default())
}

/// As `cut`, but different texts stay different: a hash of the whole text replaces the rest.
pub(super) fn cut_distinctly(text: String, most: usize) -> String {
    if text.len() <= most {
        return text;
    }
    let mut kept = cut(text.clone(), most);
    for byte in Sha256::digest(text.as_bytes()) {
        // Writing to a string cannot fail.
        let _ok = write!(kept, "{byte:02x}");
    }
    kept
}

/// The labels within bounds, and whether anything was cut.
pub(super) fn labels(labels: Labels, most: usize) -> (Labels, bool) {
    let fits = labels.len() <= MOST_LABELS
        && labels.iter().all(|(name, value)| name.len() <= LABEL_NAME && value.len() <= most);
    if fits {
        return (labels, false);
    }
    let cut = labels
        .into_iter()
        .take(MOST_LABELS)
        .map(|(name, value)| (cut_distinctly(name, LABEL_NAME), cut(value, most)))
        .collect();
    (cut, true)
}

/// Whether `labels` or the removal of characters that cannot be stored may have changed these.
pub(super) fn may_be_cut(labels: &Labels) -> bool {
    let is_replaced = |text: &str| text.contains('\u{fffd}');
    labels.len() >= MOST_LABELS
        || labels.iter().any(|(name, value)| {
            let is_cut = name.len() > LABEL_NAME || value.len() >= LABEL_VALUE && value.ends_with('…');
            is_cut || is_replaced(name) || is_replaced(value)
        })
}
