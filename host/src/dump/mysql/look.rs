//! A look through the files of a dump before they are loaded: whether they hold what a dump holds, and nothing else.
//!
//! This is no wall: a body of a trigger may end earlier for the server than for this, and definitions may name other
//! databases. What the SQL can reach is bounded by the rights of the role that loads it, and by nothing else.

use std::io::Read;

use super::split::{self, Splitter};
use super::statement::{self, Place};
use crate::error::{Code, Error, Result};

/// Which file it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Part<'a> {
    /// `pre-data.sql`.
    Before,
    /// The rows of this table.
    Rows(&'a str),
    /// `post-data.sql`.
    After,
}

/// What is wrong with a file.
#[derive(Debug)]
pub(crate) enum Fault {
    /// It could not be read.
    Io(std::io::Error),
    /// It ends within a statement.
    Truncated,
    /// What no dump holds; how it begins.
    Foreign(String),
}

/// Looks through a file; how many rows it has.
///
/// # Errors
/// What is wrong with it.
pub(crate) fn look(input: &mut dyn Read, part: Part<'_>) -> std::result::Result<u64, Fault> {
    let mut sink = Sink {
        part,
        rows: 0,
        foreign: None,
    };
    let mut splitter = Splitter::default();
    let mut buffer = vec![0; 256 * 1024];
    loop {
        let read = input.read(&mut buffer).map_err(Fault::Io)?;
        let bytes = buffer.get(..read).unwrap_or_default();
        let done = if read == 0 {
            splitter.finish(&mut sink)
        } else {
            splitter.push(bytes, &mut sink)
        };
        if let Err(error) = done {
            return Err(match sink.foreign {
                Some(head) => Fault::Foreign(head),
                None if error.message.contains("ended within") => Fault::Truncated,
                None => Fault::Foreign(error.message),
            });
        }
        if read == 0 {
            return Ok(sink.rows);
        }
    }
}

/// Settings that are not the session's alone.
fn reaches_out(text: &[u8]) -> bool {
    let head: String = String::from_utf8_lossy(text).chars().take(80).collect();
    let head = head.to_ascii_uppercase();
    let rest = head.split_once("SET ").map(|(_, rest)| rest.trim_start());
    rest.is_some_and(|rest| {
        [
            "PASSWORD",
            "GLOBAL",
            "PERSIST",
            "ROLE",
            "DEFAULT",
            "STATEMENT",
            "@@GLOBAL",
            "@@PERSIST",
        ]
        .iter()
        .any(|word| rest.starts_with(word))
    })
}

struct Sink<'a> {
    part: Part<'a>,
    rows: u64,
    foreign: Option<String>,
}

impl Sink<'_> {
    fn refuse(&mut self, text: &[u8]) -> Result<()> {
        self.foreign = Some(String::from_utf8_lossy(text).chars().take(200).collect());
        Err(Error::new(Code::VerifyFailed, "this is in no dump"))
    }
}

impl split::Sink for Sink<'_> {
    fn statement(&mut self, text: &[u8], delimiter: &[u8]) -> Result<()> {
        let fits = matches!(
            (statement::place(text), self.part),
            (Some(Place::Nowhere), _)
                | (Some(Place::Table(_) | Place::Sequence), Part::Before)
                | (Some(Place::History), Part::Rows(_))
                | (
                    Some(Place::After | Place::View(_) | Place::EventsBegin | Place::EventsEnd),
                    Part::After
                )
        );
        // The server would take what follows a `;` for another statement, whatever the client's delimiter.
        let is_one = delimiter == b";" || !text.contains(&b';') || statement::is_program(text);
        if fits && is_one && !reaches_out(text) {
            Ok(())
        } else {
            self.refuse(text)
        }
    }

    fn begin_rows(&mut self, table: &[u8]) -> Result<()> {
        match self.part {
            Part::Rows(name) if name.as_bytes() == table => Ok(()),
            _ => {
                let text = [b"INSERT INTO ", table].concat();
                self.refuse(&text)
            }
        }
    }

    fn rows(&mut self, _: &[u8]) -> Result<()> {
        Ok(())
    }

    fn end_rows(&mut self, rows: u64) -> Result<()> {
        self.rows += rows;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

    use super::*;

    const SETTINGS: &str =
        "SET NAMES utf8mb4;\nSET TIME_ZONE = '+00:00', SQL_MODE = 'NO_AUTO_VALUE_ON_ZERO';\n";

    fn see(text: &str, part: Part<'_>) -> std::result::Result<u64, Fault> {
        look(&mut format!("{SETTINGS}{text}").as_bytes(), part)
    }

    #[test]
    fn what_a_dump_holds_is_counted() {
        let rows =
            "INSERT INTO `a` VALUES\n(1,'x;\\'\\\\! (y'),\n(2,NULL);\nINSERT INTO `a` VALUES (3,0x00);\n";
        assert_eq!(see(rows, Part::Rows("a")).unwrap(), 3);
        assert_eq!(see("", Part::Rows("a")).unwrap(), 0);
        assert_eq!(see("CREATE TABLE `a` (b int);\n", Part::Before).unwrap(), 0);
        let after = "DELIMITER ;;\n/*!50003 CREATE*/ /*!50003 TRIGGER `g` BEFORE INSERT ON `a` FOR EACH ROW SET @a = 1 */\n;;\n\
                     DELIMITER ;\n/*!50001 CREATE VIEW `v` AS SELECT 1 AS `a` */;\n";
        assert_eq!(see(after, Part::After).unwrap(), 0);
        for program in [
            "/*!50003 CREATE*/ /*!50017 DEFINER=`x`@`y`*/ /*!50003 TRIGGER `g` BEFORE INSERT ON `a` FOR EACH ROW BEGIN SET @a = 1; END */",
            "CREATE OR REPLACE DEFINER=`x`@`%` PROCEDURE `p`() BEGIN SELECT ';'; END",
            "CREATE AGGREGATE FUNCTION `f`(x INT) RETURNS INT BEGIN RETURN 1; END",
            "/*!50106 CREATE EVENT `e` ON SCHEDULE EVERY 1 DAY DO BEGIN SET @a = 1; END */",
            "SET time_zone = 'SYSTEM'",
        ] {
            let text = format!("DELIMITER ;;\n{program}\n;;\nDELIMITER ;\n");
            assert_eq!(see(&text, Part::After).unwrap(), 0, "{program}");
        }
    }

    #[test]
    fn everything_else_is_refused() {
        for text in [
            "\\! touch x\n",
            "\\! touch x;\n",
            "system touch x;\n",
            "source /etc/passwd;\n",
            "USE mysql;\n",
            "LOAD DATA LOCAL INFILE '/etc/passwd' INTO TABLE `a`;\n",
            "SELECT 1 INTO OUTFILE '/tmp/x';\n",
            "DROP TABLE `a`;\n",
            "DELETE FROM `b`;\n",
            "SET GLOBAL general_log_file = '/tmp/x.php';\n",
            "/*!50003 SET  GLOBAL x = 1 */;\n",
            "SET PASSWORD = 'x';\n",
            "INSERT INTO `b` VALUES (1);\n",
            "INSERT INTO mysql.user VALUES (1);\n",
            "GRANT ALL ON *.* TO x;\n",
            "DELIMITER ;;\nSET @a = 1; DROP TABLE app.precious;;\n",
            "DELIMITER $$\nSET @a = 1 --\t'\n; DROP TABLE app.precious -- '\n$$\n",
            "DELIMITER ;;\nCREATE VIEW `v` AS SELECT 1; DROP TABLE app.precious;;\n",
            "DELIMITER ;;\nCREATE TABLE `a` (b int); CREATE TRIGGER `g`;;\n",
        ] {
            for part in [Part::Before, Part::Rows("a"), Part::After] {
                let seen = see(text, part);
                let cut = text == "\\! touch x\n";
                assert!(
                    matches!(&seen, Err(Fault::Foreign(_)))
                        || (cut && matches!(&seen, Err(Fault::Truncated))),
                    "{text} in {part:?}: {seen:?}"
                );
            }
        }
        // Each in its own file only.
        assert!(matches!(
            see("CREATE TABLE `b` (c int);\n", Part::Rows("a")),
            Err(Fault::Foreign(_))
        ));
        assert!(matches!(
            see("INSERT INTO `a` VALUES (1);\n", Part::Before),
            Err(Fault::Foreign(_))
        ));
    }

    #[test]
    fn a_file_that_is_cut_is_seen() {
        for cut in [
            "INSERT INTO `a` VALUES\n(1),\n(2",
            "INSERT INTO `a` VALUES (1),",
            "INSERT INTO `a` VALUES ('x;",
        ] {
            assert!(
                matches!(see(cut, Part::Rows("a")), Err(Fault::Truncated)),
                "{cut}"
            );
        }
        assert!(matches!(
            see("CREATE TABLE `a` (", Part::Before),
            Err(Fault::Truncated)
        ));
    }
}
