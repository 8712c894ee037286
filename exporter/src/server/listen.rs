//! Addresses to listen on.

use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, ToSocketAddrs};

use tokio::net::{TcpListener, TcpSocket};

use crate::error::{Error, Result};

/// Connections that the system queues; it lowers the number to its own limit. The usual 128 make a thousand
/// clients at once wait for seconds.
const BACKLOG: u32 = 4096;

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
        match listen(candidate) {
            Ok(listener) => return Ok(listener),
            Err(e) if e.kind() == io::ErrorKind::AddrInUse => return Err(e),
            Err(e) => failure = e,
        }
    }
    Err(failure)
}

fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = if address.is_ipv4() {
        TcpSocket::new_v4()?
    } else {
        TcpSocket::new_v6()?
    };
    // Without it a restart fails for as long as old connections linger.
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(BACKLOG)
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
