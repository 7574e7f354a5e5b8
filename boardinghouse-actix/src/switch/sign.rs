//! What only the application can have written: HMAC-SHA-256 under its key.

use boardinghouse_core::{Error, ErrorKind, Result};
use hmac::{Hmac, Mac as _};
use sha2::Sha256;

use crate::session::hex;

/// The shortest key, in bytes: that of the digest, as RFC 2104 advises.
const SHORTEST_KEY: usize = 32;

#[derive(Clone)]
pub(super) struct Signer(Hmac<Sha256>);

impl Signer {
    pub(super) fn new(key: &[u8]) -> Result<Self> {
        let too_short = || {
            Error::new(
                ErrorKind::InvalidInput,
                format!("the key must be at least {SHORTEST_KEY} random bytes"),
            )
        };
        if key.len() < SHORTEST_KEY {
            return Err(too_short());
        }
        let mac = Hmac::new_from_slice(key).map_err(|_| too_short())?;
        Ok(Self(mac))
    }

    /// Over a purpose and its parts, with the length of each, so that none of one is read as another's.
    fn mac(&self, purpose: &str, parts: &[&str]) -> Hmac<Sha256> {
        let mut mac = self.0.clone();
        for part in std::iter::once(&purpose).chain(parts) {
            mac.update(&(part.len() as u64).to_be_bytes());
            mac.update(part.as_bytes());
        }
        mac
    }

    /// In hexadecimal digits.
    pub(super) fn sign(&self, purpose: &str, parts: &[&str]) -> String {
        hex(&self.mac(purpose, parts).finalize().into_bytes())
    }

    /// In a time that does not depend on how much of it is right.
    pub(super) fn is_signed(&self, purpose: &str, parts: &[&str], signature: &str) -> bool {
        let Some(bytes) = unhex(signature) else {
            return false;
        };
        self.mac(purpose, parts).verify_slice(&bytes).is_ok()
    }
}

fn unhex(text: &str) -> Option<Vec<u8>> {
    let (pairs, rest) = text.as_bytes().as_chunks::<2>();
    let digit = |byte: u8| char::from(byte).to_digit(16);
    let byte = |[high, low]: &[u8; 2]| u8::try_from(digit(*high)? * 16 + digit(*low)?).ok();
    rest.is_empty().then(|| pairs.iter().map(byte).collect())?
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_signature_is_for_one_purpose_and_its_parts_under_one_key() {
        let signer = Signer::new(&[7; 32]).unwrap();
        let signed = signer.sign("link", &["a", "bc"]);
        assert!(signer.is_signed("link", &["a", "bc"], &signed));
        assert!(!signer.is_signed("link", &["ab", "c"], &signed));
        assert!(!signer.is_signed("link", &["a", "bc", ""], &signed));
        assert!(!signer.is_signed("form", &["a", "bc"], &signed));
        let other = Signer::new(&[8; 32]).unwrap();
        assert!(!other.is_signed("link", &["a", "bc"], &signed));
        for wrong in ["", "0", "zz", &signed[2..], &format!("{signed}00"), "ää"] {
            assert!(!signer.is_signed("link", &["a", "bc"], wrong), "{wrong}");
        }
    }

    #[test]
    fn a_short_key_is_refused() {
        assert!(Signer::new(&[7; 31]).is_err());
    }
}
