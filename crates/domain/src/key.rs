//! Keys: who may do what at the doors. The rules alone; the secret's hash is made and compared by whoever has one to show.
use crate::{Pool, Tenant, Timestamp, id::Invalid, limits::WINDOW_MS_MAX, time};
use serde::{Deserialize, Serialize};
use std::{collections::BTreeSet, fmt, str::FromStr};
use strum::{EnumString, IntoStaticStr, VariantArray};

/// Before a key's id and its secret.
const PREFIX: &str = "jb_";
/// Bytes of a secret.
pub const SECRET_BYTES: usize = 32;
const NAME_CHARS_MAX: usize = 64;
const POOLS_MAX: usize = 100;
/// The longest that a key lives which is to expire: ten years.
const LIFE_MS_MAX: u64 = 10 * 365 * 86_400_000;

/// What a key allows.
#[derive(
    Debug,
    Clone,
    Copy,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    Serialize,
    Deserialize,
    EnumString,
    IntoStaticStr,
    VariantArray,
)]
#[serde(rename_all = "snake_case")]
#[strum(serialize_all = "snake_case", const_into_str)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub enum Role {
    /// To submit jobs of its tenant, and to steer and to remove them.
    Submit,
    /// To see what is its tenant's.
    Read,
    /// To see and to order workers, which are nobody's alone, and to read metrics.
    Operate,
    /// All of this, and to make and to revoke keys of any tenant.
    Admin,
}

impl Role {
    /// All of them.
    pub const ALL: &'static [Self] = Self::VARIANTS;

    /// As it is written.
    pub const fn as_str(self) -> &'static str {
        self.into_str()
    }
}

/// Some roles, in their order.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
#[cfg_attr(feature = "schema", schema(value_type = Vec<Role>))]
pub struct Roles(BTreeSet<Role>);

impl Roles {
    /// All of them.
    pub fn all() -> Self {
        Role::ALL.iter().copied().collect()
    }

    /// What a key has that is asked for without any: to submit, and to read.
    pub fn common() -> Self {
        [Role::Submit, Role::Read].into_iter().collect()
    }

    /// Whether it is allowed what a role allows.
    pub fn has(&self, role: Role) -> bool {
        self.0.contains(&role) || self.0.contains(&Role::Admin)
    }

    /// Those that were given.
    pub fn iter(&self) -> impl Iterator<Item = Role> + '_ {
        self.0.iter().copied()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl FromIterator<Role> for Roles {
    fn from_iter<I: IntoIterator<Item = Role>>(roles: I) -> Self {
        Self(roles.into_iter().collect())
    }
}

impl fmt::Display for Roles {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let words: Vec<&str> = self.iter().map(Role::as_str).collect();
        f.write_str(&words.join(","))
    }
}

/// A key's public half: 16 hexadecimal digits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
#[cfg_attr(feature = "schema", schema(value_type = String, pattern = "^[0-9a-f]{16}$"))]
pub struct KeyId(u64);

impl KeyId {
    /// Of a random number.
    pub const fn new(id: u64) -> Self {
        Self(id)
    }
}

impl fmt::Display for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

impl FromStr for KeyId {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        let invalid = Invalid { what: "key's id", why: "it is 16 hexadecimal digits, as `keys list` shows them" };
        let id = u64::from_str_radix(text, 16).map(Self).map_err(|_| invalid.clone())?;
        if id.to_string() == text { Ok(id) } else { Err(invalid) }
    }
}

impl TryFrom<String> for KeyId {
    type Error = Invalid;

    fn try_from(text: String) -> Result<Self, Invalid> {
        text.parse()
    }
}

impl From<KeyId> for String {
    fn from(id: KeyId) -> Self {
        id.to_string()
    }
}

/// A key as it is shown once, and sent with each request: `jb_<id>_<secret>`. No log has it: it prints for its owner alone.
#[derive(Clone, PartialEq, Eq)]
pub struct Token {
    /// Which key it is.
    pub id: KeyId,
    /// What proves it.
    pub secret: [u8; SECRET_BYTES],
}

impl Token {
    /// Whether a text is meant to be one.
    pub fn is_meant(text: &str) -> bool {
        text.starts_with(PREFIX)
    }

    /// The text that is shown, and sent.
    pub fn reveal(&self) -> String {
        let secret: String = self.secret.iter().map(|byte| format!("{byte:02x}")).collect();
        format!("{PREFIX}{}_{secret}", self.id)
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Token({}, ..)", self.id)
    }
}

impl FromStr for Token {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        read(text).ok_or(Invalid { what: "key", why: "it is jb_, 16 digits, _, and 64 digits" })
    }
}

fn read(text: &str) -> Option<Token> {
    let (id, digits) = text.strip_prefix(PREFIX)?.split_once('_')?;
    let is_secret = digits.len() == 2 * SECRET_BYTES && digits.bytes().all(|b| b.is_ascii_hexdigit());
    let mut secret = [0; SECRET_BYTES];
    for (byte, pair) in secret.iter_mut().zip(digits.as_bytes().chunks(2)).take_while(|_| is_secret) {
        *byte = u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok()?;
    }
    is_secret.then_some(Token { id: id.parse().ok()?, secret })
}

/// The hash of a secret, in hexadecimal digits.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Digest(pub String);

/// A key as it is stored.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Key {
    /// Its public half.
    pub id: KeyId,
    /// For people.
    pub name: String,
    /// Whose jobs it is for.
    pub tenant: Tenant,
    /// What it allows.
    pub roles: Roles,
    /// The pools that its jobs may run in; none: all.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub pools: Vec<Pool>,
    /// When it was made.
    pub created: Timestamp,
    /// From then on it is not taken.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires: Option<Timestamp>,
    /// Since when it is not taken any more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revoked: Option<Timestamp>,
    /// Of its secret.
    pub digest: Digest,
    /// The secret before, while it is taken beside the one that took its place.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub before: Option<Before>,
}

/// A secret that another took the place of.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Before {
    /// Of the secret.
    pub digest: Digest,
    /// From then on it is not taken.
    pub until: Timestamp,
}

/// How a key stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, IntoStaticStr)]
#[serde(rename_all = "snake_case")]
#[strum(serialize_all = "snake_case", const_into_str)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
#[cfg_attr(feature = "schema", schema(as = KeyStanding))]
pub enum Standing {
    /// It is taken.
    Valid,
    /// Its time is over.
    Expired,
    /// It was taken back.
    Revoked,
}

impl Standing {
    /// As it is written.
    pub const fn as_str(self) -> &'static str {
        self.into_str()
    }
}

/// Why a key is not taken. Whoever does not know the secret learns nothing of the key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// No key came.
    #[error("this door takes no request without a key: send it as 'Authorization: Bearer jb_...'")]
    Missing,
    /// There is none of its id, or the secret is another.
    #[error("the key is not known here")]
    Unknown,
    /// Its time is over.
    #[error("the key has expired; ask for another")]
    Expired,
    /// It was taken back.
    #[error("the key was revoked; ask for another")]
    Revoked,
}

/// What is asked for of a new key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Draft {
    /// For people.
    pub name: String,
    /// Whose jobs it is for.
    pub tenant: Tenant,
    /// What it allows.
    pub roles: Roles,
    /// The pools that its jobs may run in; none: all.
    pub pools: Vec<Pool>,
    /// How long it lives, such as `30d`; none: until it is revoked.
    pub expires_in: Option<String>,
}

/// What is wrong with it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// The name.
    #[error("'name' must be 1 to {NAME_CHARS_MAX} characters, none of them a control character")]
    Name,
    /// No role is given.
    #[error("'roles' is empty; give some of submit, read, operate, admin")]
    Roles,
    /// Too many pools are given.
    #[error("'pools' names more than {POOLS_MAX}")]
    Pools,
    /// No time, or too long a one.
    #[error("'expires_in' must be a number and s, m, h or d, at most ten years, such as 90d")]
    Expires,
    /// No time, or too long a one.
    #[error("'grace' must be a number and s, m, h or d, at most 30d, such as 1h")]
    Grace,
}

impl Fault {
    /// The field that is wrong.
    pub const fn field(&self) -> &'static str {
        match self {
            Self::Name => "name",
            Self::Roles => "roles",
            Self::Pools => "pools",
            Self::Expires => "expires_in",
            Self::Grace => "grace",
        }
    }
}

impl Draft {
    /// The key that it asks for.
    pub fn key(self, id: KeyId, digest: Digest, created: Timestamp) -> Result<Key, Fault> {
        let Self { name, tenant, roles, pools, expires_in } = self;
        if !(1..=NAME_CHARS_MAX).contains(&name.chars().count()) || name.chars().any(char::is_control) {
            return Err(Fault::Name);
        }
        if roles.is_empty() {
            return Err(Fault::Roles);
        }
        if pools.len() > POOLS_MAX {
            return Err(Fault::Pools);
        }
        let life = |text: String| time::window(&text).filter(|ms| *ms <= LIFE_MS_MAX).ok_or(Fault::Expires);
        let expires = expires_in.map(life).transpose()?.map(|ms| created.plus(ms));
        Ok(Key { id, name, tenant, roles, pools, created, expires, revoked: None, digest, before: None })
    }
}

impl Key {
    /// How it stands.
    pub fn standing(&self, now: Timestamp) -> Standing {
        match (self.revoked, self.expires) {
            (Some(_), _) => Standing::Revoked,
            (None, Some(expires)) if expires <= now => Standing::Expired,
            (None, _) => Standing::Valid,
        }
    }

    /// Whether it is taken of one who shows a secret; `is` says whether a hash is that secret's.
    pub fn check(&self, now: Timestamp, is: impl Fn(&Digest) -> bool) -> Result<(), Refused> {
        let before = self.before.as_ref().filter(|before| now < before.until);
        // Both are looked at, whichever it is.
        let (is_now, is_before) = (is(&self.digest), before.is_some_and(|before| is(&before.digest)));
        match self.standing(now) {
            _ if !is_now && !is_before => Err(Refused::Unknown),
            Standing::Valid => Ok(()),
            Standing::Expired => Err(Refused::Expired),
            Standing::Revoked => Err(Refused::Revoked),
        }
    }

    /// Takes it back. Done twice it stays as it was.
    pub fn revoke(&mut self, now: Timestamp) {
        self.revoked = self.revoked.or(Some(now));
    }

    /// Gives it another secret. The old one is taken for `grace`, such as `1h`, longer.
    pub fn rotate(&mut self, digest: Digest, grace: Option<&str>, now: Timestamp) -> Result<(), Fault> {
        let ms = |text| time::window(text).filter(|ms| *ms <= WINDOW_MS_MAX).ok_or(Fault::Grace);
        let until = grace.map(ms).transpose()?.map(|ms| now.plus(ms));
        let old = std::mem::replace(&mut self.digest, digest);
        self.before = until.map(|until| Before { digest: old, until });
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn digest(text: &str) -> Digest {
        Digest(text.to_owned())
    }

    fn draft() -> Draft {
        let (tenant, roles) = (Tenant::default(), Roles::common());
        Draft { name: "ci".into(), tenant, roles, pools: Vec::new(), expires_in: Some("1d".into()) }
    }

    fn key() -> Key {
        draft().key(KeyId::new(7), digest("one"), Timestamp::new(1_000)).unwrap()
    }

    fn taken(key: &Key, secret: &str, now: u64) -> Result<(), Refused> {
        key.check(Timestamp::new(now), |digest| digest.0 == secret)
    }

    #[test]
    fn a_token_is_read_as_it_is_shown_and_hides_its_secret() {
        let token = Token { id: KeyId::new(0xab), secret: [0xc3; SECRET_BYTES] };
        let text = token.reveal();
        assert_eq!(text, format!("jb_00000000000000ab_{}", "c3".repeat(32)));
        assert_eq!(text.parse(), Ok(token.clone()));
        assert!(!format!("{token:?}").contains("c3c3"));
        for bad in
            ["", "none", "jb_", "jb_ab_c3", &text[..text.len() - 1], &format!("{text}0"), &text.replace("c3", "+3")]
        {
            assert!(bad.parse::<Token>().is_err(), "{bad}");
        }
    }

    #[test]
    fn a_key_is_taken_of_who_knows_its_secret_until_it_ends() {
        let mut key = key();
        assert_eq!((taken(&key, "one", 2_000), taken(&key, "two", 2_000)), (Ok(()), Err(Refused::Unknown)));
        let end = 1_000 + 86_400_000;
        assert_eq!((taken(&key, "one", end - 1), taken(&key, "one", end)), (Ok(()), Err(Refused::Expired)));
        key.revoke(Timestamp::new(3_000));
        key.revoke(Timestamp::new(4_000));
        assert_eq!(key.revoked, Some(Timestamp::new(3_000)));
        assert_eq!(taken(&key, "one", 2_000), Err(Refused::Revoked));
        assert_eq!(taken(&key, "two", end), Err(Refused::Unknown), "who does not know it learns nothing");
    }

    #[test]
    fn a_secret_that_is_replaced_is_taken_for_its_grace() {
        let mut key = key();
        key.rotate(digest("two"), Some("1h"), Timestamp::new(2_000)).unwrap();
        assert_eq!((taken(&key, "one", 2_001), taken(&key, "two", 2_001)), (Ok(()), Ok(())));
        assert_eq!(taken(&key, "one", 2_000 + 3_600_000), Err(Refused::Unknown));
        key.rotate(digest("three"), None, Timestamp::new(3_000)).unwrap();
        assert_eq!((taken(&key, "two", 3_001), taken(&key, "three", 3_001)), (Err(Refused::Unknown), Ok(())));
        assert_eq!(key.rotate(digest("four"), Some("99d"), Timestamp::new(1)), Err(Fault::Grace));
        assert_eq!(key.digest, digest("three"));
    }

    #[test]
    fn a_draft_is_checked() {
        let refused = |draft: Draft| draft.key(KeyId::new(1), digest(""), Timestamp::new(1)).unwrap_err();
        assert_eq!(refused(Draft { name: String::new(), ..draft() }), Fault::Name);
        assert_eq!(refused(Draft { name: "a\nb".into(), ..draft() }), Fault::Name);
        assert_eq!(refused(Draft { roles: Roles::default(), ..draft() }), Fault::Roles);
        for bad in ["soon", "0d", "4000d"] {
            assert_eq!(refused(Draft { expires_in: Some(bad.into()), ..draft() }), Fault::Expires);
        }
    }

    #[test]
    fn an_admin_may_all() {
        let admin: Roles = [Role::Admin].into_iter().collect();
        assert!(Role::ALL.iter().all(|role| admin.has(*role)));
        assert!(!Roles::common().has(Role::Operate) && !Roles::common().has(Role::Admin));
        assert_eq!(Roles::all().to_string(), "submit,read,operate,admin");
    }
}
