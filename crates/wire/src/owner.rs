//! Whose a message is, in its headers.
use crate::{
    Message,
    envelope::{POOLS, TENANT},
};
use domain::{Pool, Tenant, id::Invalid};

/// Whose a job is, and where it may run.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Owner {
    pub tenant: Tenant,
    /// None: all.
    pub pools: Vec<Pool>,
}

impl Owner {
    /// The message with it in its headers. What is common is not said.
    pub fn put(&self, message: Message) -> Message {
        let named = if self.tenant.is_default() { message } else { message.header(TENANT, self.tenant) };
        if self.pools.is_empty() {
            return named;
        }
        let pools: Vec<&str> = self.pools.iter().map(Pool::as_str).collect();
        named.header(POOLS, pools.join(","))
    }

    /// What a message's headers say.
    pub fn read<'a>(header: impl Fn(&str) -> Option<&'a str>) -> Result<Self, Invalid> {
        let pools = header(POOLS).map(|names| names.split(',').map(str::parse).collect()).transpose()?;
        Ok(Self { tenant: tenant(header)?, pools: pools.unwrap_or_default() })
    }
}

/// The same of a message that says no more.
pub fn tenant<'a>(header: impl Fn(&str) -> Option<&'a str>) -> Result<Tenant, Invalid> {
    header(TENANT).map_or_else(|| Ok(Tenant::default()), str::parse)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_owner_is_read_as_it_is_put() {
        let pool = |name: &str| name.parse::<Pool>().unwrap();
        let blue = Owner { tenant: "blue".parse().unwrap(), pools: vec![pool("a"), pool("b")] };
        for (owner, count) in [(Owner::default(), 0), (blue, 2)] {
            let headers = owner.put(Message::spelled("s", "")).headers;
            assert_eq!(headers.len(), count);
            let header = |name: &str| headers.iter().find(|(known, _)| *known == name).map(|(_, value)| value.as_str());
            assert_eq!(Owner::read(header), Ok(owner));
        }
        assert!(Owner::read(|name| (name == TENANT).then_some("No Tenant")).is_err());
        assert!(Owner::read(|name| (name == POOLS).then_some("a,,b")).is_err());
    }
}
