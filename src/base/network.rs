//! The network that an address belongs to.

use std::net::IpAddr;

/// The /48 of an IPv6 address, which providers give to one site: who has 65,536 networks has no more attempts for it than a wide
/// budget allows. `None` for an IPv4 address.
pub fn site(address: &str) -> Option<String> {
    match address.parse() {
        Ok(IpAddr::V6(v6)) if v6.to_ipv4_mapped().is_none() => Some(format!("{:x?}/48", &v6.segments()[..3])),
        _ => None,
    }
}

/// The network that one holder of an address can be expected to control: an IPv4 address, or the /64 of an IPv6
/// address.
pub fn network(address: &str) -> String {
    match address.parse() {
        Ok(IpAddr::V6(v6)) => match v6.to_ipv4_mapped() {
            Some(v4) => v4.to_string(),
            None => format!("{:x?}", &v6.segments()[..4]),
        },
        _ => address.to_owned(),
    }
}
