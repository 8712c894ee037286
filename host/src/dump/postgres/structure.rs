//! The scripts around the data. `pg_dump` writes them into an archive of its own format, from which `pg_restore` makes
//! each: so it is PostgreSQL that tells statements apart, and no function body can be mistaken for something else.

use std::fs::File;
use std::io::{Read as _, Seek as _, SeekFrom, Write as _};
use std::path::Path;

use super::files::{self, EVENT_TRIGGERS, GRANTS, POST_DATA, PRE_DATA};
use super::split::COMPLETE;
use crate::dump::Request;
use crate::dump::tool::{Login, Tool};
use crate::error::{Error, Result};

/// Bytes at the beginning and the end of a script in which its guards are looked for.
const GUARD_BYTES: u64 = 4096;

/// The archive with everything but data.
pub(super) struct Structure<'a> {
    pub(super) login: &'a Login,
    pub(super) pg_restore: &'a Tool,
    pub(super) request: &'a Request<'a>,
}

/// Which optional scripts there are.
#[derive(Debug, Default, Clone, Copy)]
pub(super) struct Scripts {
    pub(super) grants: bool,
    pub(super) event_triggers: bool,
}

impl Structure<'_> {
    /// Dumps it into the private folder. `snapshot` is the moment.
    ///
    /// # Errors
    /// Those of [`Login::run`].
    pub(super) fn dump(&self, pg_dump: &Tool, snapshot: &str) -> Result<()> {
        let mut archive = files::create(self.request.private, ARCHIVE)?;
        let snapshot = format!("--snapshot={snapshot}");
        let arguments = [
            "--format=custom",
            "--compress=0",
            "--section=pre-data",
            "--section=post-data",
            "--no-password",
            &snapshot,
        ];
        self.login
            .run(pg_dump, arguments, self.request.watch(), &mut |bytes| {
                archive
                    .write_all(bytes)
                    .map_err(|e| files::write_error(ARCHIVE, &e))
            })
    }

    /// Makes the scripts of it. `grants` is what belongs to [`GRANTS`] besides.
    ///
    /// # Errors
    /// Those of [`Login::run`].
    pub(super) fn write(&self, grants: &[u8]) -> Result<Scripts> {
        let lists = self.lists()?;
        let pre_data = ["--no-owner", "--no-privileges", "--section=pre-data"];
        let post_data = ["--no-owner", "--no-privileges", "--section=post-data"];
        self.script(PRE_DATA, &pre_data, None)?;
        let rest = (!lists.event_triggers.is_empty()).then_some(("rest.list", &lists.rest));
        self.script(POST_DATA, &post_data, rest)?;
        let mut scripts = Scripts::default();
        if !lists.event_triggers.is_empty() {
            let list = Some(("event-triggers.list", &lists.event_triggers));
            self.script(EVENT_TRIGGERS, &post_data, list)?;
            scripts.event_triggers = true;
        }
        if !lists.grants.is_empty() {
            let list = Some(("grants.list", &lists.grants));
            self.script(GRANTS, &["--no-owner"], list)?;
            scripts.grants = true;
        }
        if !grants.is_empty() {
            let path = self.request.out.join(GRANTS);
            let mut file = File::options()
                .append(true)
                .create(true)
                .open(path)
                .map_err(|e| files::write_error(GRANTS, &e))?;
            file.write_all(grants)
                .map_err(|e| files::write_error(GRANTS, &e))?;
            scripts.grants = true;
        }
        Ok(scripts)
    }

    /// The archive's list of contents, sorted into what goes where.
    fn lists(&self) -> Result<Lists> {
        let mut list = Vec::new();
        let archive = self.request.private.join(ARCHIVE);
        let arguments = ["--list".as_ref(), archive.as_os_str()];
        self.login
            .run(self.pg_restore, arguments, self.request.watch(), &mut |bytes| {
                list.extend_from_slice(bytes);
                Ok(())
            })?;
        Ok(Lists::read(&list))
    }

    /// One script, without the guards of newer versions.
    fn script(&self, name: &str, options: &[&str], list: Option<(&str, &Vec<u8>)>) -> Result<()> {
        let archive = self.request.private.join(ARCHIVE);
        let mut arguments: Vec<std::ffi::OsString> = options.iter().map(Into::into).collect();
        arguments.push("--file=-".into());
        if let Some((list_name, lines)) = list {
            let mut file = files::create(self.request.private, list_name)?;
            file.write_all(lines)
                .map_err(|e| files::write_error(list_name, &e))?;
            let mut option = std::ffi::OsString::from("--use-list=");
            option.push(self.request.private.join(list_name));
            arguments.push(option);
        }
        arguments.push(archive.into());
        let mut file = files::create(self.request.out, name)?;
        let mut guard = Guard::default();
        self.login
            .run(self.pg_restore, arguments, self.request.watch(), &mut |bytes| {
                let bytes = guard.strip(bytes);
                file.write_all(&bytes).map_err(|e| files::write_error(name, &e))
            })?;
        file.write_all(&guard.rest())
            .and_then(|()| end(&mut file))
            .map_err(|e| files::write_error(name, &e))?
            .then_some(())
            .ok_or_else(|| {
                self.login
                    .error(format_args!("pg_restore did not complete {name}"))
            })
    }
}

/// The archive's name in the private folder.
const ARCHIVE: &str = "structure.dump";

/// Lines of `pg_restore --list`, each with its end.
#[derive(Debug, Default)]
struct Lists {
    grants: Vec<u8>,
    event_triggers: Vec<u8>,
    rest: Vec<u8>,
}

impl Lists {
    /// A line is `number; oid oid KIND schema name owner`.
    fn read(list: &[u8]) -> Self {
        let mut lists = Self::default();
        for line in list
            .split_inclusive(|b| *b == b'\n')
            .filter(|line| !line.starts_with(b";"))
        {
            let kind = line.splitn(4, |b| *b == b' ').nth(3).unwrap_or_default();
            let is = |kinds: &[&str]| kinds.iter().any(|k| kind.starts_with(k.as_bytes()));
            let to = if is(&["ACL ", "DEFAULT ACL "]) {
                &mut lists.grants
            } else if is(&[
                "EVENT TRIGGER ",
                "COMMENT - EVENT TRIGGER ",
                "SECURITY LABEL - EVENT TRIGGER ",
            ]) {
                &mut lists.event_triggers
            } else {
                &mut lists.rest
            };
            to.extend_from_slice(line);
        }
        lists
    }
}

/// Takes the line `\restrict …` out of a script's head. It stands before the first statement.
#[derive(Debug, Default)]
struct Guard {
    head: Vec<u8>,
    done: bool,
}

impl Guard {
    fn strip<'b>(&mut self, bytes: &'b [u8]) -> std::borrow::Cow<'b, [u8]> {
        if self.done {
            return bytes.into();
        }
        self.head.extend_from_slice(bytes);
        if self.head.len() < GUARD_BYTES as usize {
            return Vec::new().into();
        }
        self.rest().into()
    }

    /// What is left of the head at the end.
    fn rest(&mut self) -> Vec<u8> {
        self.done = true;
        let head = std::mem::take(&mut self.head);
        let mut clean = Vec::with_capacity(head.len());
        let mut statements = false;
        for line in head.split_inclusive(|b| *b == b'\n') {
            statements |= !line.starts_with(b"--") && !line.starts_with(b"\\") && line != b"\n";
            if statements || !line.starts_with(b"\\restrict ") {
                clean.extend_from_slice(line);
            }
        }
        clean
    }
}

/// Whether the script has its end mark. What stands behind it, the guard's end, is cut off.
fn end(file: &mut File) -> std::io::Result<bool> {
    let length = file.seek(SeekFrom::End(0))?;
    let start = length.saturating_sub(GUARD_BYTES);
    file.seek(SeekFrom::Start(start))?;
    let mut tail = Vec::new();
    file.read_to_end(&mut tail)?;
    let Some(at) = memchr::memmem::rfind(&tail, COMPLETE) else {
        return Ok(false);
    };
    let after = u64::try_from(at + COMPLETE.len()).unwrap_or(0);
    file.set_len(start + after)?;
    file.seek(SeekFrom::End(0))?;
    file.write_all(b"\n--\n")?;
    Ok(true)
}

/// Removes the archive and its lists.
pub(super) fn clear(private: &Path) -> Result<()> {
    for name in [ARCHIVE, "rest.list", "event-triggers.list", "grants.list"] {
        match std::fs::remove_file(private.join(name)) {
            Err(e) if e.kind() != std::io::ErrorKind::NotFound => {
                return Err(Error::io(format_args!("remove {name}"), &e));
            }
            _ => {}
        }
    }
    Ok(())
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    const HEAD: &str = "--\n-- PostgreSQL database dump\n--\n\n\\restrict abc\n\n-- Dumped by\n\nSET x = 1;\n\\restrict inside\n";

    #[test]
    fn only_the_guard_before_the_first_statement_is_taken_out_wherever_the_head_is_cut() {
        let wanted = HEAD.replacen("\\restrict abc\n", "", 1) + &"x".repeat(10_000);
        let script = HEAD.to_owned() + &"x".repeat(10_000);
        for at in 0..HEAD.len() {
            let (one, two) = script.as_bytes().split_at(at);
            let mut guard = Guard::default();
            let mut out = guard.strip(one).into_owned();
            out.extend_from_slice(&guard.strip(two));
            out.extend_from_slice(&guard.rest());
            assert_eq!(String::from_utf8(out).unwrap(), wanted, "cut at {at}");
        }
    }

    #[test]
    fn a_script_without_its_end_mark_is_noticed_and_the_guard_behind_it_goes() {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(b"SELECT 1;\n").unwrap();
        assert!(!end(&mut file).unwrap());
        file.write_all(b"--\n-- PostgreSQL database dump complete\n--\n\n\\unrestrict abc\n\n")
            .unwrap();
        assert!(end(&mut file).unwrap());
        let mut text = String::new();
        file.rewind().unwrap();
        file.read_to_string(&mut text).unwrap();
        assert_eq!(text, "SELECT 1;\n--\n-- PostgreSQL database dump complete\n--\n");
    }

    #[test]
    fn a_list_is_sorted_by_kind_and_not_by_name() {
        let list = "; comment\n1; 2615 1 SCHEMA - audit postgres\n2; 0 0 ACL public TABLE t postgres\n\
                    3; 1259 1 TABLE public ACL x\n4; 826 1 DEFAULT ACL audit DEFAULT PRIVILEGES FOR TABLES postgres\n\
                    5; 3466 1 EVENT TRIGGER - ev postgres\n6; 0 0 COMMENT - EVENT TRIGGER ev postgres\n";
        let lists = Lists::read(list.as_bytes());
        let numbers = |list: &[u8]| -> Vec<String> {
            let text = String::from_utf8(list.to_vec()).unwrap();
            text.lines().map(|line| line[..1].to_owned()).collect()
        };
        assert_eq!(numbers(&lists.rest), ["1", "3"]);
        assert_eq!(numbers(&lists.grants), ["2", "4"]);
        assert_eq!(numbers(&lists.event_triggers), ["5", "6"]);
    }
}
