//! The origin of a request, through known proxies.

use std::net::IpAddr;

use axum::http::HeaderMap;
use ipnet::IpNet;

/// Networks of the trusted proxies.
#[derive(Clone, Debug, Default)]
pub struct Proxies(Vec<IpNet>);

impl Proxies {
    /// Parses a comma-separated list of addresses and networks.
    ///
    /// # Errors
    /// The part that is neither an address nor a network.
    pub fn try_new(list: &str) -> Result<Self, String> {
        let parts = list.split(',').map(str::trim).filter(|it| !it.is_empty());
        let read = |part: &str| {
            let net = part.parse::<IpNet>().or_else(|_| part.parse::<IpAddr>().map(IpNet::from));
            net.map_err(|_| part.to_owned())
        };
        parts.map(read).collect::<Result<_, _>>().map(Self)
    }

    /// Whether this is the address of a trusted proxy.
    pub fn is_one(&self, peer: IpAddr) -> bool {
        let peer = peer.to_canonical();
        self.0.iter().any(|it| it.contains(&peer))
    }

    /// The client's address: the last one in `X-Forwarded-For` that is not a trusted proxy, as long as each hop after
    /// it is one. An entry that the client wrote itself is further left, and is ignored.
    pub fn client(&self, peer: IpAddr, headers: &HeaderMap) -> IpAddr {
        // Read as bytes: an invalid line must not cause the line before it to be used in its place.
        let lines = headers.get_all("x-forwarded-for").iter().rev();
        let mut hops = lines.flat_map(|line| line.as_bytes().rsplit(|it| *it == b',')).map(|hop| {
            let hop = std::str::from_utf8(hop).ok()?;
            read_hop(hop.trim())
        });
        let mut client = peer.to_canonical();
        while self.is_one(client) {
            match hops.next() {
                Some(Some(hop)) => client = hop.to_canonical(),
                Some(None) | None => break,
            }
        }
        client
    }
}

/// Parses an address, with or without a port.
fn read_hop(hop: &str) -> Option<IpAddr> {
    let bare = hop.strip_prefix('[').and_then(|it| it.split_once(']')).map_or(hop, |(address, _)| address);
    bare.parse().ok().or_else(|| hop.parse::<std::net::SocketAddr>().ok().map(|it| it.ip()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_known_proxies_are_believed() {
        let client = |proxies: &str, peer: &str, forwarded: &[&'static str]| {
            let mut headers = HeaderMap::new();
            for line in forwarded {
                headers.append("x-forwarded-for", line.parse().unwrap());
            }
            Proxies::try_new(proxies).unwrap().client(peer.parse().unwrap(), &headers).to_string()
        };
        assert_eq!(client("", "10.0.0.1", &["1.2.3.4"]), "10.0.0.1", "no proxy is trusted by default");
        assert_eq!(client("10.0.0.0/8", "10.0.0.1", &["1.2.3.4"]), "1.2.3.4");
        assert_eq!(client("10.0.0.0/8", "9.9.9.9", &["1.2.3.4"]), "9.9.9.9", "an untrusted peer");
        assert_eq!(
            client("10.0.0.0/8", "10.0.0.1", &["6.6.6.6, 1.2.3.4, 10.0.0.2"]),
            "1.2.3.4",
            "the last that is not a proxy"
        );
        assert_eq!(client("10.0.0.0/8", "10.0.0.1", &["6.6.6.6", "1.2.3.4"]), "1.2.3.4", "several lines");
        assert_eq!(client("10.0.0.0/8", "10.0.0.1", &["6.6.6.6, nonsense"]), "10.0.0.1");
        let mut headers = HeaderMap::new();
        headers.append("x-forwarded-for", "9.9.9.9".parse().unwrap());
        headers.append("x-forwarded-for", axum::http::HeaderValue::from_bytes(b"\xff, 5.6.7.8").unwrap());
        let proxies = Proxies::try_new("10.0.0.1").unwrap();
        assert_eq!(proxies.client("10.0.0.1".parse().unwrap(), &headers).to_string(), "5.6.7.8");
        assert_eq!(client("10.0.0.0/8", "10.0.0.1", &[]), "10.0.0.1");
        assert_eq!(client("::1, 10.0.0.1", "::ffff:10.0.0.1", &["[2001:db8::1]:443"]), "2001:db8::1");
        assert_eq!(client("127.0.0.1", "127.0.0.1", &["1.2.3.4:5678"]), "1.2.3.4");
        assert_eq!(Proxies::try_new("10.0.0.0/8, x").unwrap_err(), "x");
    }
}
