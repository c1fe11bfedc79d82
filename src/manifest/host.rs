//! Hosts of URLs, in their one canonical spelling (rule R13), and which addresses are public.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// A host as it stands in a URL.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Host {
    /// A name, in lower case and without a final dot.
    Name(String),
    /// An address.
    Address(IpAddr),
}

impl Host {
    /// Reads a host: a name of ASCII letters, digits, `-`, `_` and dots, a dotted IPv4 address, or
    /// an IPv6 address in brackets.
    ///
    /// Gives `None` for anything else, in particular for other spellings of an address (decimal,
    /// octal, hexadecimal, short forms), which some resolvers accept and filters overlook.
    pub fn parse(text: &str) -> Option<Self> {
        if let Some(inner) = text.strip_prefix('[') {
            let address: Ipv6Addr = inner.strip_suffix(']')?.parse().ok()?;
            return Some(Self::Address(address.into()));
        }
        let name = text.strip_suffix('.').unwrap_or(text).to_ascii_lowercase();
        let last = name.rsplit('.').next().unwrap_or_default();
        let is_hexadecimal = last.strip_prefix("0x").is_some_and(|digits| {
            digits.is_empty() || digits.bytes().all(|byte| byte.is_ascii_hexdigit())
        });
        if last.bytes().all(|byte| byte.is_ascii_digit()) || is_hexadecimal {
            // Only the dotted form of four plain numbers is left; a final dot is none of it.
            return text
                .parse::<Ipv4Addr>()
                .ok()
                .map(|it| Self::Address(it.into()));
        }
        let is_name = name.len() <= 253 && name.split('.').all(is_label);
        is_name.then_some(Self::Name(name))
    }

    /// Whether it is the literal of a loopback address.
    pub fn is_loopback_literal(&self) -> bool {
        match self {
            Self::Name(_) => false,
            Self::Address(address) => unmapped(*address).is_loopback(),
        }
    }
}

impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Name(name) => f.write_str(name),
            Self::Address(IpAddr::V4(address)) => write!(f, "{address}"),
            Self::Address(IpAddr::V6(address)) => write!(f, "[{address}]"),
        }
    }
}

fn is_label(label: &str) -> bool {
    let is_allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
    (1..=63).contains(&label.len())
        && label.bytes().all(is_allowed)
        && !label.starts_with('-')
        && !label.ends_with('-')
}

/// Whether an address belongs to the public internet: not private, shared, loopback, link-local,
/// unique-local, multicast, unspecified, or reserved. An IPv4 address inside an IPv6 one (mapped,
/// compatible, NAT64, 6to4) is judged as that IPv4 address; Teredo is refused.
///
/// Source: the special-purpose registries of IANA, RFC 6890.
pub fn is_public(address: IpAddr) -> bool {
    match unmapped(address) {
        IpAddr::V4(v4) => is_public_v4(v4),
        IpAddr::V6(v6) => {
            let [first, second, ..] = v6.segments();
            let is_special = v6.is_unspecified()
                || v6.is_loopback()
                || v6.is_multicast()
                || v6.is_unique_local()
                || v6.is_unicast_link_local()
                || first & 0xffc0 == 0xfec0
                || (first == 0x0100 && second == 0)
                || (first == 0x2001 && second < 0x0200)
                || (first == 0x2001 && second == 0x0db8);
            !is_special
        }
    }
}

fn is_public_v4(address: Ipv4Addr) -> bool {
    let [a, b, c, _] = address.octets();
    let is_special = a == 0
        || address.is_private()
        || address.is_loopback()
        || address.is_link_local()
        || address.is_documentation()
        || (a == 100 && b & 0xc0 == 64)
        || (a == 192 && b == 0 && c == 0)
        || (a == 198 && b & 0xfe == 18)
        || a >= 224;
    !is_special
}

/// The IPv4 address inside an IPv6 one, where there is one.
fn unmapped(address: IpAddr) -> IpAddr {
    let IpAddr::V6(v6) = address else {
        return address;
    };
    let v4 =
        |high: u16, low: u16| IpAddr::V4(Ipv4Addr::from(u32::from(high) << 16 | u32::from(low)));
    match v6.segments() {
        [0, 0, 0, 0, 0, 0xffff, high, low]
        | [0x64, 0xff9b, 0, 0, 0, 0, high, low]
        | [0x2002, high, low, ..] => v4(high, low),
        // `::` and `::1` are addresses of their own.
        [0, 0, 0, 0, 0, 0, high, low] if high != 0 => v4(high, low),
        _ => address,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn canonical_hosts_are_read() {
        for (text, shown) in [
            ("models.acme.dev", "models.acme.dev"),
            ("MODELS.acme.dev.", "models.acme.dev"),
            ("my_bucket.s3.amazonaws.com", "my_bucket.s3.amazonaws.com"),
            ("127.0.0.1", "127.0.0.1"),
            ("[::1]", "[::1]"),
            ("[2001:4860:4860::8888]", "[2001:4860:4860::8888]"),
        ] {
            let host = Host::parse(text).unwrap_or_else(|| panic!("{text}"));
            assert_eq!(host.to_string(), shown);
        }
    }

    #[test]
    fn other_spellings_are_refused() {
        for text in [
            "",
            ".",
            "a..b",
            "-a",
            "a-",
            "a b",
            "câmera.dev",
            "a%2eb",
            "2130706433",
            "0x7f000001",
            "0x7f.1",
            "127.1",
            "0177.0.0.1",
            "127.0.0.1.",
            "1.2.3.4.5",
            "a.0x1",
            "[::1",
            "[fe80::1%eth0]",
            "::1",
            "[127.0.0.1]",
        ] {
            assert_eq!(Host::parse(text), None, "{text}");
        }
        assert_eq!(Host::parse(&"a".repeat(64)), None);
        assert_eq!(Host::parse(&"a.".repeat(130)), None);
    }

    #[test]
    fn special_addresses_are_not_public() {
        for text in [
            "127.0.0.1",
            "10.0.0.1",
            "172.16.0.1",
            "192.168.1.1",
            "169.254.169.254",
            "0.0.0.0",
            "100.64.0.1",
            "192.0.0.8",
            "198.18.0.1",
            "224.0.0.1",
            "255.255.255.255",
            "192.0.2.1",
            "::",
            "::1",
            "fe80::1",
            "fc00::1",
            "ff02::1",
            "fec0::1",
            "2001:db8::1",
            "2001::1",
            "100::1",
            "::ffff:10.0.0.1",
            "::10.0.0.1",
            "64:ff9b::a00:1",
            "2002:a00:1::",
        ] {
            assert!(!is_public(text.parse().expect("an address")), "{text}");
        }
        for text in [
            "8.8.8.8",
            "100.128.0.1",
            "172.32.0.1",
            "2606:4700::1111",
            "::ffff:8.8.8.8",
            "64:ff9b::808:808",
            "2002:808:808::",
        ] {
            assert!(is_public(text.parse().expect("an address")), "{text}");
        }
    }

    #[test]
    fn loopback_literals_are_known() {
        let is_loopback = |text| Host::parse(text).is_some_and(|host| host.is_loopback_literal());
        assert!(is_loopback("127.0.0.1") && is_loopback("127.9.9.9") && is_loopback("[::1]"));
        assert!(!is_loopback("localhost") && !is_loopback("10.0.0.1"));
    }
}
