//! The Client-Server API as a virtual user, and what rooms see.
