use std::{collections::BTreeSet, fmt, str::FromStr};
use strum::{Display, EnumString, IntoStaticStr, VariantArray};

/// A room that can run alone. They stop in this order: first what brings work in, then what works, last what keeps it.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Display, EnumString, IntoStaticStr, VariantArray,
)]
#[strum(serialize_all = "snake_case", const_into_str)]
pub enum Role {
    Gateway,
    Intake,
    Scheduler,
    Worker,
    Archiver,
    Projector,
    Webhooks,
}

impl Role {
    pub const ALL: &'static [Self] = Self::VARIANTS;

    pub const fn as_str(self) -> &'static str {
        self.into_str()
    }
}

/// At least one role.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Roles(BTreeSet<Role>);

impl Roles {
    pub fn all() -> Self {
        Self(Role::ALL.iter().copied().collect())
    }

    pub fn has(&self, role: Role) -> bool {
        self.0.contains(&role)
    }

    /// A worker alone has no store.
    pub fn needs_no_store(&self) -> bool {
        self.iter().all(|role| role == Role::Worker)
    }

    pub fn iter(&self) -> impl Iterator<Item = Role> + '_ {
        self.0.iter().copied()
    }
}

impl fmt::Display for Roles {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<&str> = self.iter().map(Role::as_str).collect();
        f.write_str(&names.join(","))
    }
}

#[derive(Debug, thiserror::Error)]
#[error("'{0}' is no role; use some of gateway,intake,scheduler,worker,archiver,projector,webhooks")]
pub struct UnknownRole(String);

impl FromStr for Roles {
    type Err = UnknownRole;

    fn from_str(text: &str) -> Result<Self, UnknownRole> {
        let names = text.split(',').map(str::trim);
        names.map(|name| name.parse().map_err(|_| UnknownRole(name.to_owned()))).collect::<Result<_, _>>().map(Self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn roles_parse_as_they_print() {
        let roles: Roles = "worker, gateway".parse().unwrap();
        assert!(roles.has(Role::Worker) && roles.has(Role::Gateway) && !roles.has(Role::Intake));
        assert_eq!(roles.to_string(), "gateway,worker");
        assert_eq!(Roles::all().to_string().parse::<Roles>().unwrap(), Roles::all());
        for bad in ["", "gateway,", "workers"] {
            assert!(bad.parse::<Roles>().is_err(), "{bad}");
        }
    }

    /// Where workers stand apart, the heads have every other role: one that no head has is never done.
    #[test]
    fn what_is_deployed_has_every_role() {
        let heads = Role::ALL.iter().filter(|role| **role != Role::Worker).map(|role| role.as_str());
        let heads = heads.collect::<Vec<_>>().join(",");
        for text in [
            include_str!("../../../../deploy/systemd/jetbatch-head.service"),
            include_str!("../../../../deploy/helm/jetbatch/templates/heads.yaml"),
            include_str!("../../../../deploy/compose.yaml"),
            include_str!("../../../../config/cluster.toml"),
        ] {
            assert!(text.lines().any(|line| line.contains(&heads)), "{heads}: {text}");
        }
    }
}
