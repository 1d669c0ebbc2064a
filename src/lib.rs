//! matrixbot takes Alertmanager's webhooks into Matrix rooms, takes acknowledgements from the people there, and
//! escalates what nobody takes.
//!
//! The folders are the picture: `alertmanager`, `appservice` and `timers` bring input in; `engine` turns each
//! input into one database transaction around a pure decision of `domain`; `store` holds the only SQL; `outbox`
//! and `matrix` carry messages out. See `docs/ARCHITECTURE.md`.

pub mod alertmanager;
pub mod app;
pub mod appservice;
pub mod cli;
pub mod clock;
pub mod config;
pub mod domain;
pub mod engine;
pub mod health;
pub mod http;
pub mod ids;
pub mod matrix;
pub mod outbox;
pub mod render;
pub mod rooms;
pub mod store;
pub mod telemetry;
pub mod timers;
pub mod worker;
