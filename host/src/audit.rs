//! The audit log: who did what, when, and what came of it. Every call of the API, every scheduled run and every
//! command that changes something is one line of the log, also when it was refused.

use std::fmt;
use std::net::IpAddr;
use std::time::Duration;

use crate::text::escape;

/// Who asked for something.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Who {
    /// Nobody that is known.
    Anonymous,
    /// A token of the configuration, by its name.
    Token(String),
    /// A session of the application, by its subject.
    Session(String),
    /// A schedule of the configuration, by its name.
    Schedule(String),
    /// A user of this machine.
    User(String),
}

impl Who {
    /// The user that this process acts for, by name where the system has one.
    #[must_use]
    pub fn current_user() -> Self {
        let uid = rustix::process::geteuid().as_raw();
        // Directories of users outside the file (LDAP) need a C library's modules; there the number has to do.
        let table = std::fs::read_to_string("/etc/passwd").unwrap_or_default();
        Self::User(user_name(&table, uid).unwrap_or_else(|| uid.to_string()))
    }
}

/// The name of a user in the text of `/etc/passwd`.
fn user_name(table: &str, uid: u32) -> Option<String> {
    let uid = uid.to_string();
    table.lines().find_map(|line| {
        let mut fields = line.split(':');
        let name = fields.next().filter(|name| !name.is_empty())?;
        (fields.nth(1) == Some(uid.as_str())).then(|| name.to_owned())
    })
}

impl fmt::Display for Who {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Anonymous => f.write_str("anonymous"),
            Self::Token(name) => write!(f, "token:{}", escape(name)),
            Self::Session(subject) => write!(f, "session:{}", escape(subject)),
            Self::Schedule(name) => write!(f, "schedule:{}", escape(name)),
            Self::User(name) => write!(f, "user:{}", escape(name)),
        }
    }
}

/// How bad it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Grade {
    /// As it should be.
    Normal,
    /// Refused: the caller's mistake, or somebody trying.
    Refused,
    /// Something failed.
    Problem,
}

/// One line.
#[derive(Debug, Clone)]
pub struct Entry<'a> {
    /// What was asked for: a command, a method and route, `scheduled run`.
    pub operation: &'a str,
    /// Who asked.
    pub who: &'a Who,
    /// From where, for a call of the API.
    pub from: Option<IpAddr>,
    /// What it was about: a backup, a plan; empty for none.
    pub target: &'a str,
    /// What came of it: `completed`, `failed`, `200`, ...
    pub status: &'a str,
    /// How long it took.
    pub took: Duration,
    /// How bad it is.
    pub grade: Grade,
    /// Stable code and message of a failure, without secrets.
    pub error: Option<&'a str>,
}

/// Writes one line.
pub fn record(entry: &Entry<'_>) {
    let Entry {
        operation,
        who,
        from,
        target,
        status,
        took,
        grade,
        error,
    } = entry;
    let from = from.map(|address| address.to_string());
    let from = from.as_deref();
    let (operation, target, status) = (escape(operation), escape(target), escape(status));
    let took_ms = u64::try_from(took.as_millis()).unwrap_or(u64::MAX);
    macro_rules! line {
        ($level:ident) => {
            // `object`, since in JSON `target` is where a line comes from.
            tracing::$level!(target: "cofre::audit", %operation, %who, from, object = %target, %status, took_ms, error)
        };
    }
    match grade {
        Grade::Normal => line!(info),
        Grade::Refused => line!(warn),
        Grade::Problem => line!(error),
    }
}

#[cfg(test)]
mod tests {
    use super::user_name;

    #[test]
    fn a_users_name_is_that_of_the_first_line_with_the_number() {
        let table =
            "root:x:0:0:root:/root:/bin/sh\n:x:7:\nbroken\ncofre:x:998:998::/:/bin/false\ntoor:x:0:0::/:\n";
        assert_eq!(user_name(table, 0).as_deref(), Some("root"));
        assert_eq!(user_name(table, 998).as_deref(), Some("cofre"));
        assert_eq!(user_name(table, 7), None);
        assert_eq!(user_name(table, 99), None);
    }
}
