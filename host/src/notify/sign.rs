//! Signatures of webhooks as the Standard Webhooks specification has them (version 1, symmetric):
//! <https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md>.

use base64::Engine as _;
use base64::alphabet;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig, general_purpose};
use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;

/// Secrets are handed around with and without the padding at the end.
const LENIENT: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// The key of a webhook's signature. Printing it shows nothing.
#[derive(Clone)]
pub struct SigningKey(Vec<u8>);

impl std::fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("SigningKey(secret)")
    }
}

impl SigningKey {
    /// A key from its text: what follows `whsec_` is base64, any other text is the key itself, byte by byte.
    ///
    /// # Errors
    /// What is wrong, and what to write instead.
    pub fn parse(text: &str) -> Result<Self, (String, String)> {
        let Some(encoded) = text.strip_prefix("whsec_") else {
            return Ok(Self(text.as_bytes().to_vec()));
        };
        match LENIENT.decode(encoded) {
            Ok(key) if !key.is_empty() => Ok(Self(key)),
            _ => Err((
                "what follows `whsec_` is not base64".to_owned(),
                "copy the secret again as the receiver shows it".to_owned(),
            )),
        }
    }

    /// The header `webhook-signature` of a message: `v1,` and the base64 of HMAC-SHA256 over id, seconds since
    /// 1970 and body, with dots between.
    #[must_use]
    pub fn sign(&self, id: &str, timestamp: i64, body: &[u8]) -> String {
        // Any length is a key to HMAC.
        let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(&self.0) else {
            return String::new();
        };
        mac.update(format!("{id}.{timestamp}.").as_bytes());
        mac.update(body);
        let digest = mac.finalize().into_bytes();
        format!("v1,{}", general_purpose::STANDARD.encode(digest))
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    /// The example of the specification's own libraries.
    #[test]
    fn the_signature_is_that_of_the_reference_implementation() {
        let key = SigningKey::parse("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw").unwrap();
        let signature = key.sign(
            "msg_p5jXN8AQM9LWM0D4loKWxJek",
            1_614_265_330,
            br#"{"test": 2432232314}"#,
        );
        assert_eq!(signature, "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
    }

    #[test]
    fn a_secret_without_the_prefix_is_the_key_itself_and_bad_base64_is_refused() {
        let raw = SigningKey::parse("hunter2").unwrap();
        let same = SigningKey::parse("whsec_aHVudGVyMg").unwrap();
        assert_eq!(raw.sign("a", 1, b"x"), same.sign("a", 1, b"x"));
        assert!(SigningKey::parse("whsec_?").unwrap_err().0.contains("base64"));
        assert!(SigningKey::parse("whsec_").is_err());
        assert!(!format!("{raw:?}").contains("hunter2"));
    }
}
