//! Where a hook may go: by its URL, and by the addresses that the URL's name has.
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use url::{Host, Url};

const BYTES_MAX: usize = 2_048;

/// Why a URL is none that hooks go to, in words for who gave it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    #[error("'webhook_url' is no URL; give one such as https://example.com/hooks")]
    NoUrl,
    #[error("'webhook_url' is longer than {BYTES_MAX} bytes")]
    TooLong,
    #[error("'webhook_url' must begin with https://")]
    Scheme,
    #[error("'webhook_url' holds a user or a password; hooks are signed instead")]
    Login,
    #[error("'webhook_url' must begin with https://; http:// is taken where webhooks.allow_http is set")]
    Plain,
    #[error(
        "'webhook_url' names an address that is private or not on the Internet; such are called where \
         webhooks.allow_private is set"
    )]
    Private,
}

/// A URL that hooks can go to. An address in it is one, however it was spelled.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Target(Url);

impl Target {
    pub fn read(text: &str) -> Result<Self, Fault> {
        if text.len() > BYTES_MAX {
            return Err(Fault::TooLong);
        }
        let url = Url::parse(text).map_err(|_| Fault::NoUrl)?;
        match url.scheme() {
            "https" | "http" if url.has_host() => {}
            _ => return Err(Fault::Scheme),
        }
        if url.username().is_empty() && url.password().is_none() { Ok(Self(url)) } else { Err(Fault::Login) }
    }

    pub fn as_str(&self) -> &str {
        self.0.as_str()
    }

    /// What is said of it: the rest may be a secret.
    pub fn host(&self) -> &str {
        self.0.host_str().unwrap_or_default()
    }

    fn is_plain(&self) -> bool {
        self.0.scheme() == "http"
    }

    /// Whether its host, as it stands there, is not on the Internet. A name may still have such an address.
    fn is_private(&self) -> bool {
        match self.0.host() {
            Some(Host::Ipv4(ip)) => !is_public(ip.into()),
            Some(Host::Ipv6(ip)) => !is_public(ip.into()),
            Some(Host::Domain(name)) => {
                let name = name.trim_end_matches('.');
                name == "localhost" || name.ends_with(".localhost")
            }
            None => true,
        }
    }
}

/// What an installation allows.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Rule {
    pub allow_private: bool,
    pub allow_http: bool,
}

impl Rule {
    pub fn check(self, target: &Target) -> Result<(), Fault> {
        if !self.allow_http && target.is_plain() {
            return Err(Fault::Plain);
        }
        if !self.allow_private && target.is_private() { Err(Fault::Private) } else { Ok(()) }
    }

    /// Whether an address that a name has may be connected to.
    pub fn takes(self, ip: IpAddr) -> bool {
        self.allow_private || is_public(ip)
    }
}

/// Whether an address is one of the public Internet: not private, shared, local, reserved, for documents, for many, or where
/// a cloud tells its machines their secrets.
pub fn is_public(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(ip) => is_public_v4(ip),
        IpAddr::V6(ip) => is_public_v6(ip),
    }
}

fn is_public_v4(ip: Ipv4Addr) -> bool {
    // Azure's host, of the public space.
    const AZURE: Ipv4Addr = Ipv4Addr::new(168, 63, 129, 16);
    match ip.octets() {
        [0 | 10 | 127 | 224..=255, ..] => false,
        [100, 64..=127, ..] | [169, 254, ..] | [172, 16..=31, ..] | [192, 168, ..] | [198, 18..=19, ..] => false,
        [192, 0, 0 | 2, _] | [192, 88, 99, _] | [198, 51, 100, _] | [203, 0, 113, _] => false,
        _ => ip != AZURE,
    }
}

/// Only what is given out for use, and of what carries an IPv4 address, what that one is.
fn is_public_v6(ip: Ipv6Addr) -> bool {
    let last = |high: u16, low: u16| {
        let [a, b] = high.to_be_bytes();
        let [c, d] = low.to_be_bytes();
        is_public_v4(Ipv4Addr::new(a, b, c, d))
    };
    match ip.segments() {
        [0, 0, 0, 0, 0, 0xffff, high, low] | [0x64, 0xff9b, 0, 0, 0, 0, high, low] => last(high, low),
        [0x2002, high, low, ..] => last(high, low),
        [0x2001, 0..=0x1ff | 0xdb8, ..] | [0x3fff, 0..=0xfff, ..] => false,
        [0x2000..=0x3fff, ..] => true,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, rule: Rule) -> Result<(), Fault> {
        rule.check(&Target::read(text)?)
    }

    #[test]
    fn a_hook_goes_to_the_internet_alone() {
        let strict = Rule::default();
        for good in ["https://example.com/h?k=v", "https://1.1.1.1", "https://[2606:4700::1111]:8443/"] {
            assert_eq!(check(good, strict), Ok(()), "{good}");
        }
        // One address, spelled in every way that a URL allows.
        for odd in ["127.0.0.1", "2130706433", "0x7f.1", "0177.0.0.1", "127.1", "0x7f000001", "[::ffff:127.0.0.1]"] {
            assert_eq!(check(&format!("https://{odd}/"), strict), Err(Fault::Private), "{odd}");
        }
        for name in ["localhost", "LOCALHOST.", "a.localhost", "\u{ff4c}ocalhost"] {
            assert_eq!(check(&format!("https://{name}/"), strict), Err(Fault::Private), "{name}");
        }
    }

    #[test]
    fn what_is_allowed_is_taken() {
        let (http, private) =
            (Rule { allow_http: true, ..Rule::default() }, Rule { allow_private: true, ..Rule::default() });
        assert_eq!(check("http://example.com", Rule::default()), Err(Fault::Plain));
        assert_eq!(check("http://example.com", http), Ok(()));
        assert_eq!(check("http://10.0.0.1", http), Err(Fault::Private));
        assert_eq!(check("https://10.0.0.1", private), Ok(()));
        assert_eq!(check("http://10.0.0.1", private), Err(Fault::Plain));
    }

    #[test]
    fn what_is_no_target_is_refused() {
        let long = format!("https://a.b/{}", "x".repeat(BYTES_MAX));
        for (text, fault) in [
            ("", Fault::NoUrl),
            ("example.com", Fault::NoUrl),
            ("https://", Fault::NoUrl),
            ("ftp://example.com", Fault::Scheme),
            ("file:///etc/passwd", Fault::Scheme),
            ("data:x", Fault::Scheme),
            ("https://ann:pw@example.com", Fault::Login),
            ("https://example.com@127.0.0.1", Fault::Login),
            (long.as_str(), Fault::TooLong),
        ] {
            assert_eq!(Target::read(text), Err(fault), "{text}");
        }
    }

    #[test]
    fn no_address_of_a_network_of_ones_own_is_public() {
        for private in [
            "0.0.0.0",
            "10.1.2.3",
            "100.64.0.1",
            "100.100.100.200",
            "127.9.9.9",
            "168.63.129.16",
            "169.254.169.254",
            "172.16.0.1",
            "172.31.255.255",
            "192.0.0.192",
            "192.0.2.1",
            "192.168.1.1",
            "198.18.0.1",
            "198.51.100.1",
            "203.0.113.9",
            "224.0.0.1",
            "240.0.0.1",
            "255.255.255.255",
            "::",
            "::1",
            "::127.0.0.1",
            "::ffff:10.0.0.1",
            "64:ff9b::a9fe:a9fe",
            "fc00::1",
            "fd00:ec2::254",
            "fe80::1",
            "fec0::1",
            "ff02::1",
            "2001::1",
            "2001:db8::1",
            "2002:7f00:1::1",
            "3fff::1",
            "100::1",
        ] {
            assert!(!is_public(private.parse().unwrap()), "{private}");
        }
        for public in [
            "1.1.1.1",
            "100.63.255.255",
            "100.128.0.1",
            "172.15.0.1",
            "172.32.0.1",
            "192.0.1.1",
            "198.20.0.1",
            "223.255.255.255",
            "2606:4700::1111",
            "2a00::1",
            "::ffff:1.1.1.1",
            "64:ff9b::101:101",
        ] {
            assert!(is_public(public.parse().unwrap()), "{public}");
        }
    }
}
