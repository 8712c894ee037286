//! The file through which MySQL's and MariaDB's programs learn how to log in.
//!
//! It is their only one (`--defaults-file`): a `[mysqldump]` section of the system's or the user's own file could
//! leave tables out of a dump.

use crate::config::Secret;
use crate::dump::server::{Host, Server};
use crate::error::{Code, Error, Result};
use crate::text::escape;

/// Seconds that the client program waits for a connection.
const CONNECT_SECONDS: u32 = 30;

/// Options of a `mysql://` URL that name a file.
const FILES: [&str; 3] = ["ssl-ca", "ssl-cert", "ssl-key"];

/// Values of the option `ssl-mode`, with MariaDB's words for them: it has no such option.
const SSL_MODES: [(&str, &str); 5] = [
    ("disabled", "skip-ssl\n"),
    ("preferred", ""),
    ("required", "ssl\nskip-ssl-verify-server-cert\n"),
    ("verify-ca", "ssl\nssl-verify-server-cert\n"),
    ("verify-identity", "ssl\nssl-verify-server-cert\n"),
];

/// The content of the file for a server.
///
/// # Errors
/// `Config` for an option of the URL that is unknown.
pub(in crate::dump) fn file(server: &Server) -> Result<String> {
    let mut client = String::from("[client]\n");
    // Only MariaDB's programs read this part.
    let mut mariadb = String::from("[client-mariadb]\n");
    if let Some(user) = &server.user {
        line(&mut client, "user", user);
    }
    if let Some(password) = &server.password {
        line(&mut client, "password", Secret::expose(password));
    }
    match &server.host {
        Host::Default => {}
        Host::Tcp(host) => {
            line(&mut client, "host", host);
            // Without a port, `localhost` means the usual socket to these programs.
            if host != "localhost" || server.port.is_some() {
                line(&mut client, "protocol", "tcp");
            }
        }
        Host::Socket(path) => {
            line(&mut client, "socket", &path.to_string_lossy());
            line(&mut client, "protocol", "socket");
        }
    }
    if let Some(port) = server.port {
        line(&mut client, "port", &port.to_string());
    }
    for (name, value) in &server.options {
        let name = name.replace('_', "-");
        match name.as_str() {
            file if FILES.contains(&file) => line(&mut client, file, value),
            "ssl-mode" => {
                let mode = value.to_ascii_lowercase().replace('_', "-");
                let Some((_, words)) = SSL_MODES.iter().find(|(known, _)| *known == mode) else {
                    let known: Vec<_> = SSL_MODES.iter().map(|(mode, _)| *mode).collect();
                    return Err(unknown(&format!("ssl-mode={value}"), &known));
                };
                line(
                    &mut client,
                    "loose-ssl-mode",
                    &mode.to_ascii_uppercase().replace('-', "_"),
                );
                mariadb.push_str(words);
            }
            // Drivers of applications want to be told what a dump decides by itself.
            "charset" => {}
            _ => {
                return Err(unknown(
                    &name,
                    &["ssl-mode", "ssl-ca", "ssl-cert", "ssl-key", "socket"],
                ));
            }
        }
    }
    Ok(format!(
        "{client}{mariadb}[mysql]\nconnect-timeout={CONNECT_SECONDS}\n"
    ))
}

/// Whether the URL demands an encrypted connection.
pub(super) fn wants_tls(server: &Server) -> bool {
    let mode = server
        .options
        .iter()
        .find(|(name, _)| name.replace('_', "-") == "ssl-mode");
    mode.is_some_and(|(_, value)| !["disabled", "preferred"].contains(&value.to_ascii_lowercase().as_str()))
}

/// One option. In quotes a `#` begins no comment and blanks stay.
fn line(text: &mut String, key: &str, value: &str) {
    let quoted = value.replace('\\', "\\\\").replace('"', "\\\"");
    text.push_str(&format!("{key}=\"{quoted}\"\n"));
}

fn unknown(what: &str, known: &[&str]) -> Error {
    Error::new(
        Code::Config,
        format!("the database's URL has an unknown option `{}`", escape(what)),
    )
    .remedy(format!("it takes {}", known.join(", ")))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;

    fn of(url: &str) -> Result<String> {
        file(&Server::parse(&Secret::new(url))?)
    }

    #[test]
    fn what_has_a_meaning_in_the_file_is_quoted() {
        let text = of("mysql://u:p%22q%5C%23%20@h:3307/x").unwrap();
        assert_eq!(
            text,
            "[client]\nuser=\"u\"\npassword=\"p\\\"q\\\\# \"\nhost=\"h\"\nprotocol=\"tcp\"\nport=\"3307\"\n\
             [client-mariadb]\n[mysql]\nconnect-timeout=30\n"
        );
    }

    #[test]
    fn localhost_is_the_socket_unless_a_port_is_given() {
        assert!(!of("mysql://u@localhost/x").unwrap().contains("protocol"));
        assert!(
            of("mysql://u@localhost:3306/x")
                .unwrap()
                .contains("protocol=\"tcp\"")
        );
        let socket = of("mysql://u@localhost/x?socket=/run/s").unwrap();
        assert!(socket.contains("socket=\"/run/s\"\nprotocol=\"socket\"") && !socket.contains("host="));
    }

    #[test]
    fn each_maker_gets_its_own_words_for_tls() {
        let text = of("mysql://u@h/x?ssl_mode=VERIFY_CA&ssl-ca=/a%20b.pem&charset=utf8mb4").unwrap();
        assert!(text.contains("loose-ssl-mode=\"VERIFY_CA\"\nssl-ca=\"/a b.pem\"\n[client-mariadb]\nssl\n"));
        for url in ["mysql://u@h/x?ssl-mode=maybe", "mysql://u@h/x?init-command=x"] {
            let error = of(url).unwrap_err();
            assert!(error.code == Code::Config && error.remedy.is_some(), "{url}");
        }
    }
}
