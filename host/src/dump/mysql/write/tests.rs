//! The files that a cut dump is written to.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use super::*;
use crate::dump::mysql::split::Splitter;
use crate::dump::tables::TableFilter;

const DUMP: &str = "/*!40101 SET NAMES utf8mb4 */;
CREATE SEQUENCE `s` start with 1;
DO SETVAL(`s`, 7, 0);
CREATE TABLE `foto` (`a` int DEFAULT nextval(`app`.`s`));
INSERT INTO `foto` VALUES
(1),
(2);
INSERT INTO `foto` VALUES (3);
CREATE TABLE `Foto` (`a` int);
INSERT INTO `Foto` VALUES (4);
ALTER DATABASE `app` CHARACTER SET latin1 COLLATE latin1_bin ;
/*!50003 SET sql_mode = '' */ ;
DELIMITER ;;
/*!50003 CREATE*/ /*!50017 DEFINER=`a\nb`@`%`*/ /*!50003 TRIGGER `g` BEFORE INSERT ON `foto` FOR EACH ROW SET @a = 1 -- end
*/;;
DELIMITER ;
CREATE TABLE `past` (`a` int) WITH SYSTEM VERSIONING;
/*M!101100 SET @@session.system_versioning_insert_history=1 */;
INSERT INTO `past` (`a`, row_start, row_end) VALUES (5,'x','y');
/*!50106 SET @save_time_zone= @@TIME_ZONE */ ;
DELIMITER ;;
/*!50106 CREATE*/ /*!50117 DEFINER=`a`@`%`*/ /*!50106 EVENT `e` ON SCHEDULE EVERY 1 DAY DO SET @b = 2 */ ;;
DELIMITER ;
/*!50106 SET TIME_ZONE= @save_time_zone */ ;
/*!50001 CREATE VIEW `v` AS SELECT 1 AS `a` */;
/*!50001 DROP VIEW IF EXISTS `a`*/;
/*!50001 CREATE ALGORITHM=UNDEFINED */
/*!50013 DEFINER=`x`@`y` SQL SECURITY DEFINER */
/*!50001 VIEW `a` AS select `z`.`q` AS `a` from `z` */
/*!50002 WITH CASCADED CHECK OPTION */;
/*!50001 DROP VIEW IF EXISTS `z`*/;
/*!50001 CREATE ALGORITHM=UNDEFINED VIEW `z` AS select `foto`.`a` AS `q` from `foto` */;
";

struct Made {
    folder: tempfile::TempDir,
    written: Written,
}

impl Made {
    fn text(&self, file: &str) -> String {
        std::fs::read_to_string(self.folder.path().join(file)).unwrap()
    }
}

fn write(dump: &str, exclude: &[&str]) -> Result<Made> {
    let folder = tempfile::tempdir().unwrap();
    let exclude: Vec<String> = exclude.iter().map(|text| (*text).to_owned()).collect();
    let request = Request {
        name: "app",
        folder: "database/app",
        out: folder.path(),
        private: folder.path(),
        tables: &TableFilter::new(&[], &exclude).unwrap(),
        tools: None,
        stall: Duration::from_secs(1),
        cancel: &Arc::new(AtomicBool::new(false)),
    };
    let mut catalog = Catalog::default();
    catalog.database = "app".into();
    catalog.charset = "utf8mb4".into();
    catalog.collation = "utf8mb4_bin".into();
    let mut writer = Writer::new(&request, &catalog)?;
    let mut splitter = Splitter::default();
    splitter.push(dump.as_bytes(), &mut writer)?;
    splitter.finish(&mut writer)?;
    let written = writer.finish()?;
    Ok(Made { folder, written })
}

#[test]
fn each_statement_goes_to_its_file() {
    let made = write(DUMP, &[]).unwrap();
    let tables: Vec<_> = made
        .written
        .tables
        .iter()
        .map(|t| (t.name.as_str(), t.file.as_deref(), t.rows))
        .collect();
    assert_eq!(
        tables,
        [
            ("foto", Some("app/foto.sql"), 3),
            ("Foto", Some("app/%46oto.sql"), 1),
            ("past", Some("app/past.sql"), 1),
        ]
    );
    let settings = String::from_utf8(SETTINGS.to_vec()).unwrap();
    let before = made.text("pre-data.sql");
    assert!(before.starts_with(&settings));
    assert!(before.contains("DO SETVAL(`s`, 7, 0);\nCREATE TABLE `foto` (`a` int DEFAULT nextval(`s`));\n"));
    let rows = "INSERT INTO `foto` VALUES\n(1),\n(2);\nINSERT INTO `foto` VALUES (3);\n";
    assert_eq!(made.text("foto.sql"), format!("{settings}{rows}"));
    assert!(
        made.text("past.sql")
            .contains("insert_history=1 */;\nINSERT INTO `past`")
    );
    let after = made.text("post-data.sql");
    let place = |text: &str| {
        after
            .find(text)
            .unwrap_or_else(|| panic!("`{text}` is not in {after}"))
    };
    let trigger =
        place("-- DEFINER=`a\\nb`@`%`\nDELIMITER ;;\n/*!50003 CREATE*/ /*!50017 */ /*!50003 TRIGGER `g`");
    assert!(place("ALTER DATABASE  CHARACTER SET latin1 COLLATE latin1_bin;\n") < trigger);
    place("-- end\n*/\n;;\nDELIMITER ;\n");
    let view = place("CREATE VIEW `v`");
    assert!(
        trigger < view && view < place("EVENT `e`"),
        "the events come last: {after}"
    );
    assert_eq!(
        made.text("restore.sql").lines().skip(3).collect::<Vec<_>>(),
        [
            "ALTER DATABASE CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;",
            "source pre-data.sql",
            "START TRANSACTION;",
            "source foto.sql",
            "COMMIT;",
            "START TRANSACTION;",
            "source %46oto.sql",
            "COMMIT;",
            "START TRANSACTION;",
            "source past.sql",
            "COMMIT;",
            "source post-data.sql",
        ]
    );
    assert_eq!(std::fs::read_dir(made.folder.path()).unwrap().count(), 6);
}

#[test]
fn tables_that_are_not_wanted_are_made_without_rows() {
    let made = write(DUMP, &["foto", "past"]).unwrap();
    let tables: Vec<_> = made
        .written
        .tables
        .iter()
        .map(|t| (t.name.as_str(), t.file.as_deref(), t.rows))
        .collect();
    assert_eq!(
        tables,
        [
            ("foto", None, 0),
            ("Foto", Some("app/%46oto.sql"), 1),
            ("past", None, 0)
        ]
    );
    assert!(made.text("pre-data.sql").contains("CREATE TABLE `past`"));
    let restore = made.text("restore.sql");
    assert!(
        !restore.contains("source foto.sql") && restore.contains("source %46oto.sql"),
        "{restore}"
    );
    assert_eq!(std::fs::read_dir(made.folder.path()).unwrap().count(), 4);
}

#[test]
fn a_value_that_most_servers_would_not_take_is_said() {
    let value = "ab".repeat(9 * 1024 * 1024);
    let made = write(
        &format!("CREATE TABLE `t` (`a` longblob);\nINSERT INTO `t` VALUES (0x{value});\n"),
        &[],
    )
    .unwrap();
    assert!(made.written.longest > PACKET);
    assert!(
        made.text("restore.sql")
            .contains(&format!("at least {}", made.written.longest))
    );
}

#[test]
fn what_the_program_was_never_seen_to_write_is_an_error() {
    for (dump, named) in [
        ("DROP TABLE `t`;\n", "DROP TABLE `t`"),
        (
            "CREATE TABLE `t` (a int);\nINSERT INTO `u` VALUES (1);\n",
            "another table",
        ),
    ] {
        let Err(error) = write(dump, &[]) else {
            panic!("{dump} was taken")
        };
        assert!(
            error.code == Code::DumpFailed && error.message.contains(named),
            "{error}"
        );
    }
}
