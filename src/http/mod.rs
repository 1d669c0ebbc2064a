//! Listeners, TLS, errors and probes.
