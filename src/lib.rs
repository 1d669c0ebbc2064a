//! matrixbot posts firing alerts from Alertmanager to Matrix rooms, lets people there acknowledge them, and escalates
//! to the next room if nobody does.
//!
//! `alertmanager`, `appservice` and `timers` receive input. `engine` handles each input in one database transaction
//! around a pure decision of `domain`. `store` has all SQL. `outbox` and `matrix` send messages. See
//! `docs/ARCHITECTURE.md`.

pub mod alertmanager;
pub mod app;
pub mod appservice;
pub mod calendars;
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
