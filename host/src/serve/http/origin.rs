//! Where a call comes from: the client's address behind proxies, and the site behind a browser's request.

use std::net::{IpAddr, SocketAddr};

use axum::http::header::{FORWARDED, HOST, HeaderName, ORIGIN};
use axum::http::{HeaderMap, Method};
use ipnet::IpNet;

use super::connection::Link;

const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const X_FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");
const X_FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
const SEC_FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");

/// The proxies of the configuration, which are believed.
#[derive(Debug, Clone)]
pub(super) struct Proxies(Vec<IpNet>);

impl Proxies {
    pub(super) fn new(networks: Vec<IpNet>) -> Self {
        Self(networks)
    }

    fn trusts(&self, address: IpAddr) -> bool {
        self.0.iter().any(|network| network.contains(&address))
    }

    /// The client's address. From a trusted proxy it is the last one in `X-Forwarded-For` (or in `Forwarded`, RFC
    /// 7239) that is not itself a trusted proxy's: everything before it is what the client says.
    ///
    /// Both fields at once only count when they agree, because a proxy writes one of them and may pass the other
    /// on as the client sent it.
    pub(super) fn client(&self, peer: IpAddr, headers: &HeaderMap) -> IpAddr {
        let peer = peer.to_canonical();
        if !self.trusts(peer) {
            return peer;
        }
        let listed = headers.contains_key(X_FORWARDED_FOR).then(|| {
            let hops = items(headers, &X_FORWARDED_FOR).map(address);
            self.last_untrusted(peer, hops)
        });
        let standard = headers.contains_key(FORWARDED).then(|| {
            let hops = items(headers, &FORWARDED).map(|item| parameter(item, "for").and_then(address));
            self.last_untrusted(peer, hops)
        });
        match (listed, standard) {
            (Some(a), Some(b)) if a != b => peer,
            (Some(client), _) | (None, Some(client)) => client,
            (None, None) => peer,
        }
    }

    fn last_untrusted(&self, peer: IpAddr, hops: impl DoubleEndedIterator<Item = Option<IpAddr>>) -> IpAddr {
        let mut client = peer;
        for hop in hops.rev() {
            // What can't be read hides everything before it.
            let Some(hop) = hop else { return client };
            client = hop;
            if !self.trusts(hop) {
                return client;
            }
        }
        client
    }

    /// Whether a browser's request comes from a page of this very server: `Origin` is scheme and host of the
    /// request; without one, `Sec-Fetch-Site` says so.
    pub(super) fn same_origin(&self, link: &Link, headers: &HeaderMap) -> bool {
        let mut origins = headers.get_all(ORIGIN).iter();
        match (origins.next(), origins.next()) {
            (None, _) => single(headers, &SEC_FETCH_SITE) == Some("same-origin"),
            (Some(origin), None) => origin.to_str().is_ok_and(|origin| {
                self.own_origin(link, headers)
                    .is_some_and(|own| same(origin, &own))
            }),
            (Some(_), Some(_)) => false,
        }
    }

    /// What a browser calls this server. A trusted proxy may know better than this connection does.
    fn own_origin(&self, link: &Link, headers: &HeaderMap) -> Option<String> {
        let behind = self.trusts(link.peer.ip().to_canonical());
        let told = |name: &HeaderName| behind.then(|| items(headers, name).next_back()).flatten();
        let scheme = told(&X_FORWARDED_PROTO).unwrap_or(if link.tls { "https" } else { "http" });
        let host = told(&X_FORWARDED_HOST).or_else(|| single(headers, &HOST))?;
        Some(format!("{scheme}://{host}"))
    }
}

/// Whether a method may change something (RFC 9110, section 9.2.1).
pub(super) fn is_mutating(method: &Method) -> bool {
    ![Method::GET, Method::HEAD, Method::OPTIONS].contains(method)
}

/// The one value of a field; none when there are several.
fn single<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a str> {
    let mut values = headers.get_all(name).iter();
    let first = values.next()?.to_str().ok()?;
    values.next().is_none().then_some(first)
}

/// The comma-separated items of a field, over all its lines. A line that is no text is one item that can't be
/// read.
fn items<'a>(
    headers: &'a HeaderMap,
    name: &HeaderName,
) -> impl DoubleEndedIterator<Item = &'a str> + use<'a> {
    headers
        .get_all(name)
        .iter()
        .flat_map(|line| line.to_str().unwrap_or("?").split(','))
        .map(str::trim)
}

/// A parameter of an element of `Forwarded`, without its quotes.
fn parameter<'a>(element: &'a str, name: &str) -> Option<&'a str> {
    element
        .split(';')
        .filter_map(|pair| pair.trim().split_once('='))
        .find(|(key, _)| key.eq_ignore_ascii_case(name))
        .map(|(_, value)| value.trim_matches('"'))
}

/// An address as proxies write it: plain, with a port, an IPv6 one in brackets or not.
fn address(text: &str) -> Option<IpAddr> {
    let plain = text.parse::<IpAddr>().ok();
    let with_port = || text.parse::<SocketAddr>().ok().map(|address| address.ip());
    let bracketed = || text.strip_prefix('[')?.strip_suffix(']')?.parse().ok();
    plain
        .or_else(with_port)
        .or_else(bracketed)
        .map(|ip| ip.to_canonical())
}

/// Whether two origins are the same, the scheme's own port written or not.
fn same(a: &str, b: &str) -> bool {
    fn plain(origin: &str) -> Option<String> {
        let origin = origin.to_ascii_lowercase();
        let port = match origin.split_once("://")?.0 {
            "http" => ":80",
            "https" => ":443",
            _ => return None,
        };
        Some(origin.strip_suffix(port).unwrap_or(&origin).to_owned())
    }
    plain(a).is_some_and(|a| plain(b).is_some_and(|b| a == b))
}

#[cfg(test)]
mod tests;
