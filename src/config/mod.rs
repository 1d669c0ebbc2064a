//! What the operator writes.
