//! Out: claim with a lease, render, send, settle.
