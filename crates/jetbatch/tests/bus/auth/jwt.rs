//! Tokens of operators, accounts and users: what `nsc` writes, made by hand.
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use nkeys::KeyPair;
use serde_json::{Value, json};

/// An operator that vouches for three accounts: one with JetStream, one without, and the server's own.
pub struct Operator {
    key: KeyPair,
    pub account: KeyPair,
    pub plain: KeyPair,
    system: KeyPair,
}

impl Operator {
    pub fn new() -> Self {
        let [account, plain, system] = [(); 3].map(|()| KeyPair::new_account());
        Self { key: KeyPair::new_operator(), account, plain, system }
    }

    /// The lines of a server that trusts this operator.
    pub fn lines(&self) -> String {
        let operator = sign(&self.key, &self.key, json!({"type": "operator", "version": 2}), 0);
        let accounts = [(&self.account, -1), (&self.plain, 0), (&self.system, 0)];
        let known =
            accounts.map(|(key, disk)| format!("{}: {}", key.public_key(), sign(&self.key, key, limits(disk), 0)));
        let system = self.system.public_key();
        let known = known.join("\n");
        format!("operator: {operator}\nsystem_account: {system}\nresolver: MEMORY\nresolver_preload: {{ {known} }}")
    }
}

/// The claims of an account. What it may store on disk: -1 is all, 0 is no JetStream.
fn limits(disk: i64) -> Value {
    let free = ["subs", "data", "payload", "imports", "exports", "conn", "leaf", "streams", "consumer"];
    let mut limits: Value = free.into_iter().map(|name| (name.to_owned(), json!(-1))).collect();
    limits["wildcards"] = json!(true);
    limits["disk_storage"] = json!(disk);
    json!({"type": "account", "version": 2, "limits": limits})
}

/// A file of credentials: the issuer's word for the user, and the seed that signs the server's nonce. `expires` is
/// in seconds since 1970; 0 is never.
pub fn creds(issuer: &KeyPair, user: &KeyPair, signer: &KeyPair, expires: u64) -> String {
    let claims = json!({"type": "user", "version": 2, "subs": -1, "data": -1, "payload": -1});
    let (jwt, seed) = (sign(issuer, user, claims, expires), signer.seed().unwrap());
    format!(
        "-----BEGIN NATS USER JWT-----\n{jwt}\n------END NATS USER JWT------\n\n\
         -----BEGIN USER NKEY SEED-----\n{seed}\n------END USER NKEY SEED------\n"
    )
}

fn sign(issuer: &KeyPair, subject: &KeyPair, nats: Value, expires: u64) -> String {
    let mut claims = json!({"iat": 1, "iss": issuer.public_key(), "sub": subject.public_key(), "nats": nats});
    if expires > 0 {
        claims["exp"] = json!(expires);
    }
    let part = |json: Value| URL_SAFE_NO_PAD.encode(json.to_string());
    let text = format!("{}.{}", part(json!({"typ": "JWT", "alg": "ed25519-nkey"})), part(claims));
    format!("{text}.{}", URL_SAFE_NO_PAD.encode(issuer.sign(text.as_bytes()).unwrap()))
}
