//! Shared secrets that callers send, compared in constant time.

use secrecy::{ExposeSecret, SecretString};
use sha2::{Digest, Sha256};
use subtle::{Choice, ConstantTimeEq};

/// A secret that a caller must send. Stored as a hash, so comparing takes the same time for every length.
#[derive(Clone)]
pub struct Token([u8; 32]);

impl std::fmt::Debug for Token {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("Token")
    }
}

impl Token {
    /// The token that equals `secret`; `None` if `secret` is empty, because an empty token must never match.
    pub fn new(secret: &SecretString) -> Option<Self> {
        let secret = secret.expose_secret();
        (!secret.is_empty()).then(|| Self(Sha256::digest(secret.as_bytes()).into()))
    }

    /// Whether `presented` equals this token. Compares in constant time.
    pub fn equals(&self, presented: &PresentedToken) -> Choice {
        self.0.ct_eq(&presented.0)
    }
}

/// A token that a caller sent, as a hash.
pub struct PresentedToken([u8; 32]);

impl std::fmt::Debug for PresentedToken {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("PresentedToken")
    }
}

impl PresentedToken {
    /// The token in `bytes`.
    pub fn new(bytes: &[u8]) -> Self {
        Self(Sha256::digest(bytes).into())
    }
}

/// The credentials of an `Authorization` header with this scheme, in any case.
pub fn credentials<'a>(header: &'a str, scheme: &str) -> Option<&'a str> {
    let (header_scheme, credentials) = header.trim().split_once(' ')?;
    header_scheme.eq_ignore_ascii_case(scheme).then(|| credentials.trim())
}

#[cfg(test)]
mod tests {
    use super::{PresentedToken, Token, credentials};

    #[test]
    fn a_token_equals_only_its_secret() {
        let token = Token::new(&"s3cret".into()).unwrap();
        assert!(bool::from(token.equals(&PresentedToken::new(b"s3cret"))));
        for wrong in ["", "s3cre", "s3crets", "S3CRET"] {
            assert!(!bool::from(token.equals(&PresentedToken::new(wrong.as_bytes()))), "{wrong}");
        }
        assert!(Token::new(&"".into()).is_none(), "an empty secret matches nothing");
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
