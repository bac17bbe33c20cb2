//! Signs webhooks, as Standard Webhooks has it.
use aws_lc_rs::hmac;
use base64::{Engine, engine::general_purpose::STANDARD};
use domain::webhook::signed;

const SECRET: &str = "whsec_";
const KEY_BYTES: std::ops::RangeInclusive<usize> = 24..=64;

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("a secret must be {SECRET} and 24 to 64 random bytes in base64, such as \"whsec_$(openssl rand -base64 32)\"")]
pub struct BadSecret;

/// Signs with each of its secrets, so that one can take the place of another.
pub struct Signer(Vec<hmac::Key>);

impl Signer {
    /// Of one or more secrets with blanks between them.
    pub fn read(secrets: &str) -> Result<Self, BadSecret> {
        let keys: Vec<_> = secrets.split_whitespace().map(key).collect::<Result<_, _>>()?;
        if keys.is_empty() { Err(BadSecret) } else { Ok(Self(keys)) }
    }

    /// The header `webhook-signature` of a message that is sent at this second.
    pub fn sign(&self, id: &str, at_s: u64, body: &str) -> String {
        let content = signed(id, at_s, body);
        let one = |key| format!("v1,{}", STANDARD.encode(hmac::sign(key, content.as_bytes())));
        self.0.iter().map(one).collect::<Vec<_>>().join(" ")
    }
}

fn key(secret: &str) -> Result<hmac::Key, BadSecret> {
    let text = secret.strip_prefix(SECRET).ok_or(BadSecret)?;
    let bytes = STANDARD.decode(text).map_err(|_| BadSecret)?;
    if !KEY_BYTES.contains(&bytes.len()) {
        return Err(BadSecret);
    }
    Ok(hmac::Key::new(hmac::HMAC_SHA256, &bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    const ONE: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

    /// The vector that Standard Webhooks' own libraries are tested with.
    #[test]
    fn a_signature_is_as_the_standard_has_it() {
        let signer = Signer::read(ONE).unwrap();
        let signature = signer.sign("msg_p5jXN8AQM9LWM0D4loKWxJek", 1_614_265_330, r#"{"test": 2432232314}"#);
        assert_eq!(signature, "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
    }

    #[test]
    fn two_secrets_give_two_signatures() {
        let two = format!("whsec_{} {ONE}", STANDARD.encode([7; 32]));
        let both = Signer::read(&two).unwrap().sign("id", 1, "{}");
        let (_, old) = both.split_once(' ').unwrap();
        assert_eq!(old, Signer::read(ONE).unwrap().sign("id", 1, "{}"));
    }

    #[test]
    fn what_is_no_secret_is_refused() {
        let short = format!("whsec_{}", STANDARD.encode([7; 23]));
        for bad in ["", " ", "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "whsec_%", &short, &format!("{ONE} x")] {
            assert!(Signer::read(bad).is_err(), "{bad}");
        }
    }
}
