//! Shared secrets that callers show us, compared in constant time.

use secrecy::{ExposeSecret, SecretString};
use sha2::{Digest, Sha256};
use subtle::{Choice, ConstantTimeEq};

/// A secret that a caller must show. Kept as a hash, so that comparing takes the same time whatever the lengths.
#[derive(Clone)]
pub struct Token([u8; 32]);

impl std::fmt::Debug for Token {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("Token")
    }
}

impl Token {
    /// The token that equals `secret`; `None` if that is empty, because nothing must equal it.
    pub fn new(secret: &SecretString) -> Option<Self> {
        let secret = secret.expose_secret();
        (!secret.is_empty()).then(|| Self(Sha256::digest(secret.as_bytes()).into()))
    }

    /// Whether `shown` is this token. Always takes the same time for the same `shown`.
    pub fn equals(&self, shown: &Shown) -> Choice {
        self.0.ct_eq(&shown.0)
    }
}

/// What a caller shows.
pub struct Shown([u8; 32]);

impl std::fmt::Debug for Shown {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("Shown")
    }
}

impl Shown {
    /// What `bytes` show.
    pub fn new(bytes: &[u8]) -> Self {
        Self(Sha256::digest(bytes).into())
    }
}

/// The credentials of an `Authorization` header with this scheme, whatever its case.
pub fn credentials<'a>(header: &'a str, scheme: &str) -> Option<&'a str> {
    let (said, credentials) = header.trim().split_once(' ')?;
    said.eq_ignore_ascii_case(scheme).then(|| credentials.trim())
}

#[cfg(test)]
mod tests {
    use super::{Shown, Token, credentials};

    #[test]
    fn only_the_same_secret_is_the_same() {
        let token = Token::new(&"s3cret".into()).unwrap();
        assert!(bool::from(token.equals(&Shown::new(b"s3cret"))));
        for wrong in ["", "s3cre", "s3crets", "S3CRET"] {
            assert!(!bool::from(token.equals(&Shown::new(wrong.as_bytes()))), "{wrong}");
        }
        assert!(Token::new(&"".into()).is_none(), "an empty secret opens nothing");
        assert_eq!(format!("{token:?}"), "Token");
    }

    #[test]
    fn a_scheme_may_be_written_in_any_case() {
        assert_eq!(credentials("Bearer abc", "Bearer"), Some("abc"));
        assert_eq!(credentials("bearer  abc ", "Bearer"), Some("abc"));
        assert_eq!(credentials("Basic abc", "Bearer"), None);
        assert_eq!(credentials("Bearer", "Bearer"), None);
    }
}
