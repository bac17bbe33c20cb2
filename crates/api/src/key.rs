use crate::{Kind, Time};
use domain::{
    Pool, Tenant, Timestamp,
    key::{self, Draft, KeyId, Role, Roles, Standing},
};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// A key, without its secret.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Key {
    pub id: KeyId,
    pub object: Kind,
    pub name: String,
    pub tenant: Tenant,
    pub roles: Roles,
    /// The pools that its jobs may run in; empty: all.
    pub pools: Vec<Pool>,
    pub state: Standing,
    pub created_at: Time,
    pub expires_at: Option<Time>,
    pub revoked_at: Option<Time>,
}

/// A key with its secret, which nobody can show again.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct MadeKey {
    #[serde(flatten)]
    pub key: Key,
    /// What is sent as `Authorization: Bearer`.
    #[schema(examples("jb_<id>_<secret>"))]
    pub secret: String,
}

/// What is asked for of a new key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct CreateKey {
    /// For people.
    pub name: String,
    /// Whose jobs it is for; `default` where it is not given.
    #[serde(default)]
    pub tenant: Tenant,
    /// What it allows; `submit` and `read` where they are not given.
    #[serde(default = "Roles::common")]
    pub roles: Roles,
    /// The pools that its jobs may run in; all where none is given.
    #[serde(default)]
    pub pools: Vec<Pool>,
    /// How long it lives: `90d`. Until it is revoked where it is not given.
    #[serde(default)]
    pub expires_in: Option<String>,
}

/// How a key gets another secret.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub struct RotateKey {
    /// How long the old secret is taken beside the new one, such as `1h`; not at all where it is not given.
    pub grace: Option<String>,
}

/// All keys, the newest first.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Keys {
    pub object: Kind,
    pub data: Vec<Key>,
}

/// What a caller may do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Whoami {
    pub object: Kind,
    pub tenant: Tenant,
    /// All that he may do, also by being an admin.
    pub roles: Vec<Role>,
    pub pools: Vec<Pool>,
    /// His key; null where the door asks for none.
    pub key: Option<KeyId>,
    pub name: Option<String>,
    pub expires_at: Option<Time>,
}

/// A key that a page keeps for its reader, in a cookie that no script sees.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct SignIn {
    pub key: String,
}

/// A page keeps no key any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct SignedOut {
    pub object: Kind,
    pub deleted: bool,
}

impl Key {
    /// As a key stands now.
    pub fn new(key: key::Key, now: Timestamp) -> Self {
        let state = key.standing(now);
        let key::Key { id, name, tenant, roles, pools, created, expires, revoked, .. } = key;
        let [expires_at, revoked_at] = [expires, revoked].map(|at| at.map(Time::from));
        let created_at = created.into();
        Self { id, object: Kind::Key, name, tenant, roles, pools, state, created_at, expires_at, revoked_at }
    }
}

impl Keys {
    pub const fn new(data: Vec<Key>) -> Self {
        Self { object: Kind::List, data }
    }
}

impl SignedOut {
    pub const fn new() -> Self {
        Self { object: Kind::Session, deleted: true }
    }
}

impl Default for SignedOut {
    fn default() -> Self {
        Self::new()
    }
}

impl From<CreateKey> for Draft {
    fn from(asked: CreateKey) -> Self {
        let CreateKey { name, tenant, roles, pools, expires_in } = asked;
        Self { name, tenant, roles, pools, expires_in }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_shown_without_what_proves_it() {
        let create: CreateKey = serde_json::from_str(r#"{"name":"ci","expires_in":"1d"}"#).unwrap();
        let (digest, at) = (key::Digest("f00d".into()), Timestamp::new(1_000));
        let key = Draft::from(create).key(KeyId::new(0xab), digest, at).unwrap();
        let shown = serde_json::to_string(&Key::new(key, at)).unwrap();
        let want = concat!(
            r#"{"id":"00000000000000ab","object":"key","name":"ci","tenant":"default","roles":["submit","read"],"#,
            r#""pools":[],"state":"valid","created_at":"1970-01-01T00:00:01.000Z","#,
            r#""expires_at":"1970-01-02T00:00:01.000Z","revoked_at":null}"#,
        );
        assert_eq!(shown, want);
    }
}
