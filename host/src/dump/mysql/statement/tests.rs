//! Which statement belongs to which file.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

use super::*;

fn place_of(statement: &str) -> Option<Place> {
    place(statement.as_bytes())
}

#[test]
fn each_statement_has_its_place() {
    for (statement, expected) in [
        ("/*!40101 SET NAMES utf8mb4 */", Place::Nowhere),
        (
            "/*!40014 SET @OLD_FOREIGN_KEY_CHECKS=@@FOREIGN_KEY_CHECKS, FOREIGN_KEY_CHECKS=0 */",
            Place::Nowhere,
        ),
        (
            "/*M!100616 SET NOTE_VERBOSITY=@OLD_NOTE_VERBOSITY */",
            Place::Nowhere,
        ),
        (
            "SET @saved_cs_client     = @@character_set_client",
            Place::Nowhere,
        ),
        ("LOCK TABLES `t` WRITE", Place::Nowhere),
        ("/*!40000 ALTER TABLE `t` DISABLE KEYS */", Place::Nowhere),
        ("CREATE TABLE `a``b` (\n  `x` int\n)", Place::Table("a`b".into())),
        ("CREATE SEQUENCE `s` start with 1", Place::Sequence),
        ("DO SETVAL(`s`, 1001, 0)", Place::Sequence),
        ("SELECT SETVAL(`s`, 1001, 0)", Place::Sequence),
        (
            "/*M!101100 SET @old_system_versioning_insert_history=@@session.system_versioning_insert_history, \
             @@session.system_versioning_insert_history=1 */",
            Place::History,
        ),
        ("/*!50001 CREATE VIEW `v` AS SELECT\n 1 AS `a`*/", Place::After),
        ("/*!50001 DROP VIEW IF EXISTS `v`*/", Place::View("v".into())),
        ("/*!50001 DROP TABLE IF EXISTS `v`*/", Place::View("v".into())),
        (
            "/*!50001 SET character_set_client      = utf8mb4 */",
            Place::After,
        ),
        ("/*!50003 SET sql_mode = @saved_sql_mode */", Place::After),
        (
            "/*!50003 CREATE*/ /*!50017 DEFINER=`a`@`b`*/ /*!50003 TRIGGER `g` BEFORE INSERT",
            Place::After,
        ),
        (
            "CREATE DEFINER=`TABLE`@`%` AGGREGATE FUNCTION `f`() RETURNS int",
            Place::After,
        ),
        (
            "/*!50001 CREATE ALGORITHM=UNDEFINED */\n/*!50013 DEFINER=`a`@`b` SQL SECURITY DEFINER */\n/*!50001 VIEW `v` AS",
            Place::After,
        ),
        (
            "ALTER DATABASE `app` CHARACTER SET utf8mb4 COLLATE utf8mb4_bin",
            Place::After,
        ),
        ("/*!50106 SET @save_time_zone= @@TIME_ZONE */", Place::EventsBegin),
        (
            "/*!50106 CREATE*/ /*!50117 DEFINER=`a`@`b`*/ /*!50106 EVENT `e` ON SCHEDULE",
            Place::After,
        ),
        ("/*!50106 SET TIME_ZONE= @save_time_zone */", Place::EventsEnd),
    ] {
        assert_eq!(place_of(statement), Some(expected), "{statement}");
    }
    for statement in [
        "DROP TABLE IF EXISTS `t`",
        "ALTER TABLE `t` ADD x int",
        "GRANT ALL ON *.* TO x",
        "USE `app`",
    ] {
        assert_eq!(place_of(statement), None, "{statement}");
    }
}

#[test]
fn definers_are_taken_out_and_nothing_else() {
    for (statement, expected, definer) in [
        (
            "/*!50003 CREATE*/ /*!50017 DEFINER=`ro``ot`@`%`*/ /*!50003 TRIGGER `g` BEFORE INSERT ON `t` */",
            "/*!50003 CREATE*/ /*!50017 */ /*!50003 TRIGGER `g` BEFORE INSERT ON `t` */",
            "DEFINER=`ro``ot`@`%`",
        ),
        (
            "CREATE DEFINER=`a b`@`localhost` PROCEDURE `p`()\nSELECT 'CREATE DEFINER=`x`@`y`'",
            "CREATE  PROCEDURE `p`()\nSELECT 'CREATE DEFINER=`x`@`y`'",
            "DEFINER=`a b`@`localhost`",
        ),
        (
            "/*!50001 CREATE ALGORITHM=UNDEFINED */\n/*!50013 DEFINER=`a`@`b` SQL SECURITY INVOKER */\n/*!50001 VIEW `v` */",
            "/*!50001 CREATE ALGORITHM=UNDEFINED */\n/*!50013  SQL SECURITY INVOKER */\n/*!50001 VIEW `v` */",
            "DEFINER=`a`@`b`",
        ),
        (
            "CREATE DEFINER=`role` FUNCTION `f`()",
            "CREATE  FUNCTION `f`()",
            "DEFINER=`role`",
        ),
    ] {
        let (text, found) = without_definer(statement.as_bytes());
        assert_eq!(String::from_utf8(text).unwrap(), expected);
        assert_eq!(found.as_deref(), Some(definer));
    }
    for statement in [
        "CREATE PROCEDURE `p`() SET @x = 'DEFINER=`a`@`b`'",
        "CREATE TRIGGER `DEFINER` BEFORE INSERT ON `t` FOR EACH ROW SET @DEFINER=`a`@`b`",
        "/*!50003 SET @saved_cs_client = @@character_set_client */",
    ] {
        assert_eq!(
            without_definer(statement.as_bytes()),
            (statement.as_bytes().to_vec(), None)
        );
    }
}

#[test]
fn a_database_is_not_altered_by_name() {
    let text = without_database(b"ALTER DATABASE `a``b` CHARACTER SET latin1 COLLATE latin1_bin");
    assert_eq!(text, b"ALTER DATABASE  CHARACTER SET latin1 COLLATE latin1_bin");
    let other = b"CREATE PROCEDURE `p`() ALTER DATABASE `a` CHARACTER SET latin1";
    assert_eq!(without_database(other), other);
}

#[test]
fn defaults_take_the_sequences_of_the_database_at_hand() {
    let table = "CREATE TABLE `t` (\n  `a` int DEFAULT nextval(`my``app`.`s`),\n  `b` int DEFAULT (lastval(`other`.`s`)),\n  \
                 `c` int COMMENT 'nextval(`my``app`.`s`)',\n  `d` int DEFAULT nextval(`s`)\n)";
    let text = String::from_utf8(without_qualifiers(table.as_bytes(), "my`app")).unwrap();
    assert_eq!(text, table.replacen("`my``app`.", "", 1));
}

#[test]
fn the_mode_says_whether_a_backslash_escapes() {
    let escapes = |text: &str| backslash_escapes(text.as_bytes());
    assert_eq!(
        escapes("/*!50003 SET sql_mode = 'ANSI,NO_BACKSLASH_ESCAPES' */"),
        Some(false)
    );
    assert_eq!(escapes("/*!50003 SET sql_mode = @saved_sql_mode */"), Some(true));
    assert_eq!(
        escapes("CREATE FUNCTION f() SET sql_mode = 'NO_BACKSLASH_ESCAPES'"),
        None
    );
}
