//! The one loop that all workers share.
