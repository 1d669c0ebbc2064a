//! In: time passing.
