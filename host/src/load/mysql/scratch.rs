//! The scratch database of a drill: with a random name, made by cofre, gone afterwards whatever happened.

use std::path::Path;

use super::client::{Client, literal};
use super::{Dump, not_possible, quote};
use crate::config::Secret;
use crate::dump::server::Server;
use crate::error::Result;
use crate::load::{DumpFolder, Loaded, Problem, Reason, SCRATCH, Stop, left_over, scratch_name};
use crate::text::escape;

/// How long removing a scratch database may take, in a drill that was stopped too.
const REMOVAL: std::time::Duration = std::time::Duration::from_secs(60);

/// Loads a dump into a scratch database on the server of `url`. `private` is a folder that only this user can read,
/// `tools` the folder of the client program, if that is not in the path.
///
/// # Errors
/// What is wrong with the dump, or why the drill could not be held.
pub(crate) fn drill(
    dump: &DumpFolder<'_>,
    url: &Secret,
    private: &Path,
    tools: Option<&Path>,
    stop: &Stop,
) -> std::result::Result<Loaded, Problem> {
    // What can be seen without a server is seen without one.
    let dump = Dump::read(dump)?;
    let server = Server::parse(url).map_err(not_possible)?;
    let client = Client::new(&server, private, tools).map_err(not_possible)?;
    check_role(&client, stop)?;
    sweep(&client, stop);
    let scratch = Scratch::make(&client, &dump, stop).map_err(not_possible)?;
    let loaded = dump.load(&client, &scratch.name, stop);
    let removed = scratch.remove();
    let mut loaded = loaded.map_err(|problem| match problem.reason {
        Reason::NotPossible => not_possible(problem.error),
        _ => problem,
    })?;
    if let Err(error) = removed {
        loaded
            .notes
            .push(format!("a scratch database is left behind: {error}"));
    }
    Ok(loaded)
}

/// Refuses a role that has rights anywhere but in scratch databases.
fn check_role(client: &Client, stop: &Stop) -> std::result::Result<(), Problem> {
    let grants = client.ask("SHOW GRANTS", stop).map_err(not_possible)?;
    let Some(strong) = grants.iter().find(|line| !is_weak(line)) else {
        return Ok(());
    };
    Err(Problem::new(
        Reason::RoleTooStrong,
        format!(
            "not drilled: the role of [drill] mysql has rights beyond scratch databases, and the SQL of an archive must not \
             have them: {}",
            escape(shown_grant(strong))
        ),
    )
    .remedy(format!(
        "make one of its own: CREATE USER drill IDENTIFIED BY '…'; GRANT ALL ON `{}%`.* TO drill",
        SCRATCH.replace('_', "\\_")
    )))
}

/// A grant without what follows `TO`: the user, and perhaps a hash of the password.
pub(super) fn shown_grant(line: &str) -> &str {
    line.split(" TO ").next().unwrap_or_default()
}

/// `GRANT USAGE ON *.*`, and any right on databases whose names begin as those of scratch databases do.
fn is_weak(line: &str) -> bool {
    let grant = shown_grant(line);
    let escaped = format!("`{}", SCRATCH.replace('_', "\\_"));
    let database = grant.rsplit_once(" ON ").map_or("", |(_, on)| on);
    grant == "GRANT USAGE ON *.*" || (database.starts_with(&escaped) && database.ends_with("`.*"))
}

/// Removes what drills that died left behind. That one can't be removed is only said.
fn sweep(client: &Client, stop: &Stop) {
    let stays = |error| tracing::warn!("a scratch database of an earlier drill stays: {error}");
    let sql = "SELECT UNIX_TIMESTAMP(), schema_name FROM information_schema.schemata WHERE schema_name NOT IN (SELECT db \
               FROM information_schema.processlist WHERE db IS NOT NULL) ORDER BY schema_name";
    let lines = client.ask(sql, stop).unwrap_or_else(|error| {
        stays(error);
        Vec::new()
    });
    let old = lines
        .iter()
        .filter_map(|line| line.split_once('\t'))
        .filter(|(now, name)| left_over(name, now));
    for (_, name) in old {
        tracing::info!("removes {}, which a drill that died left behind", escape(name));
        let dropped = client.ask(&format!("DROP DATABASE IF EXISTS {}", quote(name)), stop);
        dropped.map(drop).unwrap_or_else(stays);
    }
}

/// A scratch database, which goes with this.
struct Scratch<'a> {
    client: &'a Client,
    name: String,
    is_there: bool,
}

impl<'a> Scratch<'a> {
    fn make(client: &'a Client, dump: &Dump<'_>, stop: &Stop) -> Result<Self> {
        let now = client.ask("SELECT UNIX_TIMESTAMP()", stop)?;
        let name = scratch_name(now.first().map_or("0", String::as_str))?;
        let characters = dump
            .characters
            .as_ref()
            .map_or_else(String::new, |(set, collation)| {
                format!(" CHARACTER SET {set} COLLATE {collation}")
            });
        client
            .ask(&format!("CREATE DATABASE {}{characters}", quote(&name)), stop)
            .map_err(|error| {
                error.remedy(format!(
                    "the role has to be allowed to make scratch databases: GRANT ALL ON `{}%`.* TO drill",
                    SCRATCH.replace('_', "\\_")
                ))
            })?;
        Ok(Self {
            client,
            name,
            is_there: true,
        })
    }

    fn remove(mut self) -> Result<()> {
        self.drop_database()
    }

    fn drop_database(&mut self) -> Result<()> {
        if !std::mem::replace(&mut self.is_there, false) {
            return Ok(());
        }
        // Not stopped with the drill.
        let stop = Stop::new(&std::sync::Arc::default(), REMOVAL);
        let busy = format!(
            "SELECT id FROM information_schema.processlist WHERE db = '{}'",
            literal(&self.name)
        );
        for id in self.client.ask(&busy, &stop)? {
            if id.bytes().all(|b| b.is_ascii_digit()) {
                // It may have ended by itself.
                let _ = self.client.ask(&format!("KILL {id}"), &stop);
            }
        }
        self.client
            .ask(&format!("DROP DATABASE IF EXISTS {}", quote(&self.name)), &stop)
            .map(drop)
    }
}

impl Drop for Scratch<'_> {
    fn drop(&mut self) {
        if let Err(error) = self.drop_database() {
            tracing::error!(
                "the scratch database {} is left behind: {error}",
                escape(&self.name)
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_rights_in_scratch_databases_are_weak() {
        for good in [
            "GRANT USAGE ON *.* TO `drill`@`%` IDENTIFIED BY PASSWORD '*94BDCEBE19083CE2A1F959FD02F964C7AF4CFC29'",
            r"GRANT ALL PRIVILEGES ON `cofre\_drill\_%`.* TO `drill`@`%`",
            r"GRANT SELECT, CREATE ON `cofre\_drill\_%`.* TO `drill`@`localhost`",
        ] {
            assert!(is_weak(good), "{good}");
        }
        for bad in [
            "GRANT ALL PRIVILEGES ON *.* TO `root`@`localhost` WITH GRANT OPTION",
            "GRANT FILE ON *.* TO `drill`@`%`",
            "GRANT USAGE, SUPER ON *.* TO `drill`@`%`",
            "GRANT SELECT ON `app`.* TO `drill`@`%`",
            "GRANT ALL PRIVILEGES ON `cofre_drill_%`.* TO `drill`@`%`",
            "GRANT ALL PRIVILEGES ON `%`.* TO `drill`@`%`",
            r"GRANT ALL PRIVILEGES ON `cofre\_%`.* TO `drill`@`%`",
            "GRANT PROXY ON ''@'%' TO 'root'@'localhost' WITH GRANT OPTION",
            "GRANT `admin` TO `drill`@`%`",
        ] {
            assert!(!is_weak(bad), "{bad}");
        }
        assert_eq!(
            shown_grant("GRANT FILE ON *.* TO `drill`@`%` IDENTIFIED BY PASSWORD '*94'"),
            "GRANT FILE ON *.*"
        );
    }
}
