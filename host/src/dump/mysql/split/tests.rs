//! The cutter of the dump program's output: torn at every byte, with odd names and values.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

use super::*;

/// What was cut, in a form to compare.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
struct Cut {
    /// Text and delimiter.
    statements: Vec<(String, String)>,
    /// Table, rows and text of each INSERT.
    inserts: Vec<(String, u64, String)>,
}

fn utf8(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

impl Sink for Cut {
    fn statement(&mut self, text: &[u8], delimiter: &[u8]) -> Result<()> {
        self.statements.push((utf8(text), utf8(delimiter)));
        Ok(())
    }

    fn begin_rows(&mut self, table: &[u8]) -> Result<()> {
        self.inserts.push((utf8(table), 0, String::new()));
        Ok(())
    }

    fn rows(&mut self, bytes: &[u8]) -> Result<()> {
        // A piece may end within a character.
        let text: String = bytes.iter().map(|b| char::from(*b)).collect();
        self.inserts.last_mut().unwrap().2.push_str(&text);
        Ok(())
    }

    fn end_rows(&mut self, rows: u64) -> Result<()> {
        self.inserts.last_mut().unwrap().1 = rows;
        Ok(())
    }
}

fn cut<'a>(pieces: impl IntoIterator<Item = &'a [u8]>) -> Result<Cut> {
    let mut splitter = Splitter::default();
    let mut cut = Cut::default();
    for piece in pieces {
        splitter.push(piece, &mut cut)?;
    }
    splitter.finish(&mut cut)?;
    Ok(cut)
}

/// Everything at once, in the forms of MariaDB's and MySQL's programs.
const DUMP: &str = r#"/*M!999999\- enable the sandbox mode */ 
-- MariaDB dump 10.19  Distrib 10.11.19-MariaDB
--
-- Host: it's;here    Database: app
/*!40101 SET NAMES utf8mb4 */;
/*!40101 SET @OLD_SQL_MODE=@@SQL_MODE, SQL_MODE='NO_AUTO_VALUE_ON_ZERO' */;

--
-- Table structure for table `a``;b
-- c`
--

CREATE TABLE `a``;b
c` (
  `x` int DEFAULT NULL COMMENT 'it''s; \\', -- a ; here
  `y` text /* and ' here; */
);
INSERT INTO `a``;b
c` VALUES
(1,'it\'s; a (\\'),
(2,'\\\\'),(-3e10,NULL),(0x00FF,''),
(4,'two '' quotes');
INSERT INTO `a``;b
c` (`x`, `y (z)`) VALUES (5,'é"`('),(6,_binary 'x');
INSERT INTO `t` VALUES (1),(2),(3);
/*!50003 SET sql_mode              = 'STRICT_TRANS_TABLES' */ ;
DELIMITER ;;
/*!50003 CREATE*/ /*!50017 DEFINER=`root`@`%`*/ /*!50003 TRIGGER `g` BEFORE INSERT ON `t` FOR EACH ROW BEGIN
  -- it's
  # isn't it;;
  /* it's ;; */
  SET NEW.x = ';;', NEW.y = "DELIMITER ;
DELIMITER //";
END */;;
DELIMITER ;
/*!50003 SET sql_mode = 'NO_BACKSLASH_ESCAPES' */ ;
DELIMITER ;;
CREATE FUNCTION `f`() RETURNS text RETURN '\'
;;
DELIMITER ;
/*!50003 SET sql_mode = @saved_sql_mode */ ;
SET @x = 'a\';b';

-- Dump completed
"#;

#[test]
fn statements_and_rows_are_cut_and_counted() {
    let cut = cut([DUMP.as_bytes()]).unwrap();
    let starts: Vec<_> = cut
        .statements
        .iter()
        .map(|(text, delimiter)| (text.chars().take(24).collect::<String>(), delimiter.as_str()))
        .collect();
    let starts: Vec<_> = starts
        .iter()
        .map(|(text, delimiter)| (text.as_str(), *delimiter))
        .collect();
    assert_eq!(
        starts,
        [
            ("/*!40101 SET NAMES utf8m", ";"),
            ("/*!40101 SET @OLD_SQL_MO", ";"),
            ("CREATE TABLE `a``;b\nc` (", ";"),
            ("/*!50003 SET sql_mode   ", ";"),
            ("/*!50003 CREATE*/ /*!500", ";;"),
            ("/*!50003 SET sql_mode = ", ";"),
            ("CREATE FUNCTION `f`() RE", ";;"),
            ("/*!50003 SET sql_mode = ", ";"),
            ("SET @x = 'a\\';b'", ";"),
        ]
    );
    assert!(cut.statements[2].0.ends_with("and ' here; */\n)"));
    assert!(cut.statements[4].0.ends_with("END */"));
    assert!(cut.statements[6].0.ends_with("RETURN '\\'"));
    let rows: Vec<_> = cut
        .inserts
        .iter()
        .map(|(table, rows, _)| (table.as_str(), *rows))
        .collect();
    assert_eq!(rows, [("a`;b\nc", 5), ("a`;b\nc", 2), ("t", 3)]);
    assert!(cut.inserts[0].2.starts_with("INSERT INTO `a``;b\nc` VALUES\n(1,"));
    assert!(cut.inserts[0].2.ends_with("(4,'two '' quotes');"));
    assert_eq!(cut.inserts[2].2, "INSERT INTO `t` VALUES (1),(2),(3);");
}

#[test]
fn where_the_pieces_end_changes_nothing() {
    let dump = DUMP.as_bytes();
    let whole = cut([dump]).unwrap();
    for i in 0..=dump.len() {
        let (a, b) = dump.split_at(i);
        assert_eq!(cut([a, b]).unwrap(), whole, "torn at {i}: {:?}", &DUMP.get(..i));
    }
    for size in 1..=7 {
        assert_eq!(cut(dump.chunks(size)).unwrap(), whole, "in pieces of {size}");
    }
}

#[test]
fn output_that_ends_in_the_middle_is_an_error() {
    // A comment may end anywhere, and so may white space.
    let complete = |i: usize| {
        let text = DUMP.get(..i).unwrap_or("x").trim_end();
        let last = text.rsplit('\n').next().unwrap_or_default();
        text.is_empty() || last.starts_with("--") || text.ends_with(';') || text.ends_with("*/")
    };
    let mut errors = 0;
    for i in 0..DUMP.len() {
        match cut([&DUMP.as_bytes()[..i]]) {
            Ok(_) => assert!(complete(i), "cut at {i}: {:?}", DUMP.get(..i)),
            Err(error) => {
                assert_eq!(error.code, Code::DumpFailed);
                errors += 1;
            }
        }
    }
    assert!(errors > DUMP.len() / 2);
}

#[test]
fn forms_that_the_tool_does_not_write_are_refused() {
    for dump in [
        "INSERT IGNORE INTO `t` VALUES (1);\n",
        "INSERT INTO t VALUES (1);\n",
        "DELIMITER \nSELECT 1;\n",
    ] {
        let error = cut([dump.as_bytes()]).unwrap_err();
        assert_eq!(error.code, Code::DumpFailed, "{dump}");
        assert!(error.remedy.is_some());
    }
}
