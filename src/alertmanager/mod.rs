//! In: Alertmanager's webhook (payload v4), and its authentication.

pub mod payload;
