//! What the options of a server's URL mean to its client programs: variables of libpq, and a file of MySQL's and
//! MariaDB's (`mysql/options`).

use std::ffi::OsString;

use crate::dump::mysql;
use crate::dump::server::{Host, Kind, Server};
use crate::error::{Code, Error, Result};
use crate::text::escape;

/// Options of a `postgres://` URL, and the variables through which libpq takes them
/// (<https://www.postgresql.org/docs/current/libpq-envars.html>).
const LIBPQ: [(&str, &str); 18] = [
    ("application_name", "PGAPPNAME"),
    ("channel_binding", "PGCHANNELBINDING"),
    ("connect_timeout", "PGCONNECT_TIMEOUT"),
    ("gssencmode", "PGGSSENCMODE"),
    ("gsslib", "PGGSSLIB"),
    ("hostaddr", "PGHOSTADDR"),
    ("krbsrvname", "PGKRBSRVNAME"),
    ("options", "PGOPTIONS"),
    ("requirepeer", "PGREQUIREPEER"),
    ("sslcert", "PGSSLCERT"),
    ("sslcrl", "PGSSLCRL"),
    ("sslcrldir", "PGSSLCRLDIR"),
    ("sslkey", "PGSSLKEY"),
    ("sslmode", "PGSSLMODE"),
    ("sslnegotiation", "PGSSLNEGOTIATION"),
    ("sslrootcert", "PGSSLROOTCERT"),
    ("sslsni", "PGSSLSNI"),
    ("target_session_attrs", "PGTARGETSESSIONATTRS"),
];
/// Seconds that libpq waits for a connection where the URL says nothing.
const CONNECT_SECONDS: &str = "30";

/// Whether the client programs know every option of an address.
///
/// # Errors
/// `Config`, with the option and the known ones.
pub(crate) fn check_options(server: &Server) -> Result<()> {
    match server.kind {
        Kind::Postgres => libpq(server).map(|_| ()),
        Kind::Mysql => mysql::options::file(server).map(|_| ()),
    }
}

/// The variables of libpq for a server.
pub(super) fn libpq(server: &Server) -> Result<Vec<(&'static str, OsString)>> {
    let mut variables: Vec<(&'static str, OsString)> = vec![
        ("PGDATABASE", server.database.clone().into()),
        ("PGAPPNAME", "cofre".into()),
        ("PGCONNECT_TIMEOUT", CONNECT_SECONDS.into()),
    ];
    match &server.host {
        Host::Default => {}
        Host::Tcp(host) => variables.push(("PGHOST", host.into())),
        Host::Socket(path) => variables.push(("PGHOST", path.into())),
    }
    if let Some(port) = server.port {
        variables.push(("PGPORT", port.to_string().into()));
    }
    if let Some(user) = &server.user {
        variables.push(("PGUSER", user.into()));
    }
    for (name, value) in &server.options {
        let Some((_, key)) = LIBPQ.iter().find(|(option, _)| option == name) else {
            let known: Vec<_> = LIBPQ.iter().map(|(option, _)| *option).collect();
            return Err(Error::new(
                Code::Config,
                format!("the database's URL has an unknown option `{}`", escape(name)),
            )
            .remedy(format!("it takes {}", known.join(", "))));
        };
        variables.push((key, value.into()));
    }
    Ok(variables)
}
