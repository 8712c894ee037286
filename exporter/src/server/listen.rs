//! Addresses to listen on.

use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, ToSocketAddrs};

use tokio::net::TcpListener;

use crate::error::{Error, Result};

/// Binds `HOST:PORT`; `:PORT` means every address of this machine. Needs a running Tokio runtime.
///
/// # Errors
/// `Listen`, naming the address.
pub fn bind(address: &str) -> Result<TcpListener> {
    try_bind(address).map_err(|source| Error::Listen {
        address: address.escape_debug().to_string(),
        source: explained(source),
    })
}

fn try_bind(address: &str) -> io::Result<TcpListener> {
    let candidates: Vec<SocketAddr> = match address.strip_prefix(':') {
        Some(port) => {
            let port = port
                .parse()
                .map_err(|_| invalid("the port is no number up to 65535"))?;
            // The first takes IPv4 as well, where the system has IPv6 at all.
            vec![
                (Ipv6Addr::UNSPECIFIED, port).into(),
                (Ipv4Addr::UNSPECIFIED, port).into(),
            ]
        }
        None => address.to_socket_addrs()?.collect(),
    };
    let mut failure = invalid("no such host");
    for candidate in candidates {
        match std::net::TcpListener::bind(candidate) {
            Ok(listener) => {
                listener.set_nonblocking(true)?;
                return TcpListener::from_std(listener);
            }
            Err(e) if e.kind() == io::ErrorKind::AddrInUse => return Err(e),
            Err(e) => failure = e,
        }
    }
    Err(failure)
}

fn invalid(message: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, message)
}

/// Says in words what to make of the usual failures.
fn explained(e: io::Error) -> io::Error {
    let text = match e.kind() {
        io::ErrorKind::AddrInUse => "another process listens there already",
        io::ErrorKind::AddrNotAvailable => "this machine doesn't have that address",
        io::ErrorKind::PermissionDenied => "ports below 1024 need privileges",
        _ => return e,
    };
    io::Error::new(e.kind(), text)
}
