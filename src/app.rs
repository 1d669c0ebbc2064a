//! Composition root: build, bind, spawn, drain and stop in order.
