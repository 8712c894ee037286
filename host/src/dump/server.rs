//! The address of a database server: a URL taken apart, and shown without its secrets.
//!
//! `postgres://USER:PASSWORD@HOST:PORT/DATABASE?OPTION=VALUE`, and the same with `mysql://`. Every part is
//! percent-decoded. A socket is given as a host that is a path (`%2Fvar%2Frun%2Fpostgresql`) or as an option (`host`
//! for PostgreSQL, `socket` for MySQL).

use std::fmt;
use std::path::PathBuf;

use percent_encoding::percent_decode_str;

use crate::config::Secret;
use crate::error::{Code, Error, Result};
use crate::text::escape;

/// Options whose values are secrets, and which are not taken from a URL: it has a place for the password.
const SECRET_OPTIONS: [&str; 4] = ["password", "sslpassword", "passfile", "service"];

/// Which kind of server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// PostgreSQL.
    Postgres,
    /// MySQL or MariaDB.
    Mysql,
}

/// Where a server listens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Host {
    /// Wherever the client program looks by itself.
    Default,
    /// A name or an address.
    Tcp(String),
    /// PostgreSQL: the folder of the socket. MySQL: the socket.
    Socket(PathBuf),
}

/// The address of a server and of one database on it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Server {
    /// Which kind it is.
    pub kind: Kind,
    /// Who logs in; none leaves it to the client program.
    pub user: Option<String>,
    /// The password, if the URL has one.
    pub password: Option<Secret>,
    /// Where it listens.
    pub host: Host,
    /// The port, where it is not the usual one.
    pub port: Option<u16>,
    /// The database.
    pub database: String,
    /// What stands after `?`, in its order, without `host`, `port`, `user`, `dbname` and `socket`.
    pub options: Vec<(String, String)>,
}

impl Server {
    /// Takes a URL apart.
    ///
    /// # Errors
    /// `Config`, without any part of the URL that could hold the password.
    pub fn parse(url: &Secret) -> Result<Self> {
        let Some((scheme, rest)) = url.expose().split_once("://") else {
            return Err(bad("is not a URL").remedy("write `postgres://user@host/name`"));
        };
        let kind = match scheme {
            "postgres" | "postgresql" => Kind::Postgres,
            "mysql" | "mariadb" => Kind::Mysql,
            _ => return Err(bad("begins with neither `postgres://` nor `mysql://`")),
        };
        let (rest, options) = rest.split_once('?').unwrap_or((rest, ""));
        let (authority, database) = rest.split_once('/').unwrap_or((rest, ""));
        // Not the first one: a `@` that was left as it is can only be the password's.
        let (login, address) = match authority.rsplit_once('@') {
            Some((login, address)) => (Some(login), address),
            None => (None, authority),
        };
        let mut server = Self {
            kind,
            user: None,
            password: None,
            host: Host::Default,
            port: None,
            database: decode(database, "database")?,
            options: Vec::new(),
        };
        if let Some(login) = login {
            let (user, password) = match login.split_once(':') {
                Some((user, password)) => (user, Some(password)),
                None => (login, None),
            };
            server.user = Some(decode(user, "user")?).filter(|user| !user.is_empty());
            server.password = password
                .map(|p| decode(p, "password"))
                .transpose()?
                .map(Secret::new);
        }
        server.address(address)?;
        server.take_options(options)?;
        if server.database.is_empty() {
            return Err(bad("does not say which database").remedy("write `…://user@host/name`"));
        }
        server.check()?;
        Ok(server)
    }

    /// The same server, another database on it.
    #[must_use]
    pub fn with_database(&self, database: &str) -> Self {
        Self {
            database: database.to_owned(),
            ..self.clone()
        }
    }

    /// Where it is, for messages: `127.0.0.1:5433`, `the socket in /run/postgresql`.
    #[must_use]
    pub fn place(&self) -> String {
        let port = self.port.map(|port| format!(":{port}")).unwrap_or_default();
        match &self.host {
            Host::Default if port.is_empty() => "this machine".to_owned(),
            Host::Default => format!("this machine{port}"),
            Host::Tcp(host) if host.contains(':') => format!("[{}]{port}", escape(host)),
            Host::Tcp(host) => format!("{}{port}", escape(host)),
            Host::Socket(path) => format!("the socket {}{port}", crate::text::shown(path)),
        }
    }

    fn address(&mut self, address: &str) -> Result<()> {
        if address.contains(',') {
            return Err(bad("names several hosts").remedy("name the one that is to be dumped"));
        }
        let (host, port) = if let Some(v6) = address.strip_prefix('[') {
            let (host, rest) = v6.split_once(']').ok_or_else(|| bad("has a `[` without a `]`"))?;
            (host, rest.strip_prefix(':'))
        } else {
            match address.split_once(':') {
                Some((host, port)) => (host, Some(port)),
                None => (address, None),
            }
        };
        self.set_host(decode(host, "host")?);
        self.port = port.filter(|port| !port.is_empty()).map(parse_port).transpose()?;
        Ok(())
    }

    fn set_host(&mut self, host: String) {
        self.host = match host {
            host if host.is_empty() => Host::Default,
            host if host.starts_with('/') || host.starts_with('@') => Host::Socket(host.into()),
            host => Host::Tcp(host),
        };
    }

    fn take_options(&mut self, text: &str) -> Result<()> {
        for pair in text.split('&').filter(|pair| !pair.is_empty()) {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            let name = decode(name, "option")?;
            if SECRET_OPTIONS.contains(&name.as_str()) {
                return Err(bad(format_args!("has the option `{name}`"))
                    .remedy("the password stands before the host: `…://user:password@host/name`"));
            }
            let value = decode(value, "option")?;
            match name.as_str() {
                "host" | "socket" | "unix_socket" => self.set_host(value),
                "port" => self.port = Some(parse_port(&value)?),
                "user" => self.user = Some(value),
                "dbname" | "database" => self.database = value,
                _ => self.options.push((name, value)),
            }
        }
        Ok(())
    }

    /// What no client program can be told: the files that they read have lines.
    fn check(&self) -> Result<()> {
        let password = self.password.as_ref().map_or("", Secret::expose);
        let texts = [
            ("user", self.user.as_deref().unwrap_or_default()),
            ("password", password),
            ("database", &self.database),
        ];
        let options = self.options.iter().map(|(_, value)| ("option", value.as_str()));
        for (part, text) in texts.into_iter().chain(options) {
            if text.contains(['\0', '\n', '\r']) {
                return Err(bad(format_args!(
                    "has a line end or a NUL in the {part}, which no client program takes"
                )));
            }
        }
        Ok(())
    }
}

/// For messages: user, place and database, never the password or an option.
impl fmt::Display for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}` on {}", escape(&self.database), self.place())?;
        match &self.user {
            Some(user) => write!(f, " as {}", escape(user)),
            None => Ok(()),
        }
    }
}

fn parse_port(text: &str) -> Result<u16> {
    // The text is not shown: with a raw `:` or `@` in it, it may be a piece of the password.
    text.parse().ok().filter(|port| *port != 0).ok_or_else(|| {
        bad("has no number from 1 to 65535 as its port")
            .remedy("in user and password write `@` as %40, `:` as %3A, `/` as %2F, `#` as %23, `?` as %3F, `%` as %25")
    })
}

/// Decodes `%XX`. What follows a `%` has to be two hexadecimal digits: a password with a plain `%` in it would
/// otherwise be another one.
fn decode(text: &str, part: &str) -> Result<String> {
    let bytes = text.as_bytes();
    let complete = bytes
        .iter()
        .enumerate()
        .filter(|(_, b)| **b == b'%')
        .all(|(i, _)| {
            bytes
                .get(i + 1..i + 3)
                .is_some_and(|digits| digits.iter().all(u8::is_ascii_hexdigit))
        });
    let decoded = percent_decode_str(text).decode_utf8();
    match decoded {
        Ok(decoded) if complete => Ok(decoded.into_owned()),
        _ => Err(bad(format_args!(
            "has a `%` in the {part} that does not begin a `%XX`"
        ))
        .remedy("write `%` itself as %25")),
    }
}

fn bad(problem: impl fmt::Display) -> Error {
    Error::new(Code::Config, format!("the database's URL {problem}"))
}

#[cfg(test)]
mod tests;
