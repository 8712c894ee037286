-- A database with everything that a dump can get wrong. `work` is the load: each of its transactions moves an amount
-- between two accounts and keeps what `broken_promises` counts at 0.
SET NAMES utf8mb4;
SET SQL_MODE = 'NO_AUTO_VALUE_ON_ZERO', FOREIGN_KEY_CHECKS = 0;

CREATE TABLE accounts (
    id INT AUTO_INCREMENT PRIMARY KEY,
    owner VARCHAR(60) NOT NULL,
    balance BIGINT NOT NULL DEFAULT 0,
    moves INT NOT NULL DEFAULT 0
);
CREATE TABLE ledger (
    id BIGINT AUTO_INCREMENT PRIMARY KEY,
    debit INT NOT NULL,
    credit INT NOT NULL,
    amount INT NOT NULL,
    at TIMESTAMP(6) NOT NULL DEFAULT CURRENT_TIMESTAMP(6),
    note TEXT,
    FOREIGN KEY (debit) REFERENCES accounts (id),
    FOREIGN KEY (credit) REFERENCES accounts (id)
);
INSERT INTO accounts (owner) SELECT CONCAT('owner ', seq) FROM seq_1_to_40;

-- Between the two, in the order of names: the dump has something to do while the others go on.
CREATE TABLE filler (
    id INT PRIMARY KEY,
    bytes BLOB,
    words MEDIUMTEXT
);
INSERT INTO filler
SELECT seq, UNHEX(REPEAT(SHA2(seq, 512), 8)), REPEAT(CONCAT('it''s (', seq, '); "\\', CHAR(10), '`,€🦀'), 100)
FROM seq_1_to_2000;

-- Tables that refer to each other in a circle.
CREATE TABLE person (id INT PRIMARY KEY, name VARCHAR(50), team INT, FOREIGN KEY (team) REFERENCES team (id));
CREATE TABLE team (id INT PRIMARY KEY, head INT NOT NULL, FOREIGN KEY (head) REFERENCES person (id));
INSERT INTO person VALUES (1, 'Ana', 1), (2, 'Zoë', 1), (3, 'João', NULL);
INSERT INTO team VALUES (1, 2);

CREATE SEQUENCE `order numbers` START WITH 100 INCREMENT BY 5 CACHE 10;
CREATE TABLE orders (
    id BIGINT DEFAULT (NEXTVAL(`order numbers`)) PRIMARY KEY,
    total DECIMAL(30, 10),
    net DECIMAL(30, 10) AS (total * 0.8) STORED,
    label VARCHAR(20) AS (CONCAT('#', id)) VIRTUAL,
    secret INT INVISIBLE DEFAULT 7
);
INSERT INTO orders (total) VALUES (1), (12345678901234567890.0123456789), (NULL);

CREATE TABLE history (id INT PRIMARY KEY, v VARCHAR(10)) WITH SYSTEM VERSIONING;
INSERT INTO history VALUES (1, 'a'), (2, 'b'), (3, 'c');
UPDATE history SET v = 'd' WHERE id = 1;
DELETE FROM history WHERE id = 2;

CREATE TABLE every_type (
    i8 TINYINT, i16 SMALLINT UNSIGNED, i24 MEDIUMINT ZEROFILL, i64 BIGINT UNSIGNED,
    f64 DOUBLE, fixed DECIMAL(65, 30), flags BIT(13), yes BOOLEAN,
    d DATE, t TIME(6), dt DATETIME(6), ts TIMESTAMP(3) NULL, y YEAR,
    c CHAR(5), bin BINARY(5), vbin VARBINARY(20), txt LONGTEXT, bl LONGBLOB,
    e ENUM('a', 'it''s', 'ç,d'), s SET('x', 'y', 'z'), j JSON, u UUID, ip6 INET6, ip4 INET4,
    latin VARCHAR(20) CHARACTER SET latin1, utf16 VARCHAR(20) CHARACTER SET utf16,
    ucs VARCHAR(20) CHARACTER SET ucs2, jp VARCHAR(20) CHARACTER SET sjis, gr TEXT CHARACTER SET greek,
    p POINT, g GEOMETRY,
    CHECK (i8 < 100)
);
INSERT INTO every_type VALUES
    (-128, 65535, 42, 18446744073709551615, 1.7976931348623157e308, -0.000000000000000000000000000001, b'1010101010101',
     TRUE, '0000-00-00', '-838:59:59.000001', '0000-00-00 00:00:00', '1970-01-01 00:00:01.001', 1901, 'x', 'a\0b',
     x'00FF275C0A1A', 'all: \0 \' \" \b \n \r \t \Z \\ \% \_ ); -- /* */ # 🦀', REPEAT(x'00DEADBEEF', 1000), 'it''s',
     'x,z', '{"a": "it''s \\"", "n": [1, 2.5e300, null]}', '123e4567-e89b-12d3-a456-426655440000', '::ffff:1.2.3.4',
     '255.0.0.1', 'café ÿ', 'ação 🦀', 'ação', 'カタカナ', 'Ελλάδα', POINT(1.5, -2),
     ST_GeomFromText('POLYGON((0 0,10 0,10 10,0 10,0 0),(2 2,4 2,4 4,2 4,2 2))', 4326)),
    (NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL,
     NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL),
    (99, 0, 0, 0, -1e-307, 0, b'0', FALSE, '9999-12-31', '00:00', '9999-12-31 23:59:59.999999', NULL, 2155, '', '', '',
     '', '', 'a', '', '""', '00000000-0000-0000-0000-000000000000', '::', '0.0.0.0', '', '', '', '', '', POINT(0, 0),
     ST_GeomFromText('GEOMETRYCOLLECTION(POINT(1 1),LINESTRING(0 0,1 1))'));

CREATE TABLE zero (id INT AUTO_INCREMENT PRIMARY KEY, v INT);
INSERT INTO zero VALUES (0, 1), (5, 2);
CREATE TABLE no_key (v INT);
INSERT INTO no_key VALUES (3), (1), (3);
CREATE TABLE `without rows` (id INT PRIMARY KEY);
CREATE TABLE counted (id INT AUTO_INCREMENT PRIMARY KEY) AUTO_INCREMENT = 5000;

CREATE TABLE parts (id INT NOT NULL, year INT NOT NULL, PRIMARY KEY (id, year))
PARTITION BY RANGE (year) SUBPARTITION BY HASH (id) SUBPARTITIONS 2
    (PARTITION old VALUES LESS THAN (2000), PARTITION new VALUES LESS THAN MAXVALUE);
INSERT INTO parts VALUES (1, 1999), (2, 2000), (3, 2026);
CREATE TABLE searched (id INT PRIMARY KEY, body TEXT, place POINT NOT NULL, FULLTEXT (body), SPATIAL (place));
INSERT INTO searched VALUES (1, 'um relatório', POINT(1, 2)), (2, 'dois', POINT(3, 4));

CREATE TABLE old_engine (id INT PRIMARY KEY, v TEXT) ENGINE = MyISAM;
INSERT INTO old_engine VALUES (1, 'MyISAM');
CREATE TABLE other_engine (id INT PRIMARY KEY, v TEXT) ENGINE = Aria;
INSERT INTO other_engine VALUES (1, 'Aria');

-- Names.
CREATE TABLE `a/b\c``d'e"f;g
h` (`col``umn; (1)` INT COMMENT 'it''s; \\ (', `values` TEXT);
INSERT INTO `a/b\c``d'e"f;g
h` VALUES (1, '),('), (2, ');\nINSERT INTO `x` VALUES (1)');
CREATE TABLE `ãéîõüãéîõüãéîõüãéîõüãéîõüãéîõüãéîõüãéîõüãéîõüãéîõüãéîõüãéîõü1234` (id INT);
INSERT INTO `ãéîõüãéîõüãéîõüãéîõüãéîõüãéîõüãéîõüãéîõüãéîõüãéîõüãéîõüãéîõü1234` VALUES (1);
CREATE TABLE `foto` (id INT);
INSERT INTO `foto` VALUES (1);
CREATE TABLE `Foto` (id INT);
INSERT INTO `Foto` VALUES (1), (2);
CREATE TABLE `restore` (id INT);
CREATE TABLE `pre-data` (id INT);
CREATE TABLE `-- Dump completed` (id INT);
CREATE TABLE `../../etc` (id INT);
CREATE TABLE `--all-databases` (id INT);

-- Views, of which the first ones in the order of names use the last ones.
CREATE VIEW z_view AS SELECT id, balance FROM accounts;
CREATE VIEW m_view AS SELECT id, balance FROM z_view WHERE balance > 0;
CREATE ALGORITHM = MERGE SQL SECURITY INVOKER VIEW a_view AS SELECT id FROM m_view WHERE id < 10 WITH CASCADED CHECK OPTION;

DELIMITER ;;
CREATE FUNCTION twice(x INT) RETURNS INT DETERMINISTIC RETURN x * 2;;
CREATE VIEW b_view AS SELECT twice(id) AS `double; id` FROM person;;
CREATE TRIGGER on_ledger BEFORE INSERT ON ledger FOR EACH ROW
BEGIN
    -- it's; a comment
    SET NEW.note = CONCAT('moved; "', NEW.amount, '"');
END;;
CREATE TRIGGER a_second BEFORE INSERT ON ledger FOR EACH ROW FOLLOWS on_ledger SET NEW.note = CONCAT(NEW.note, ';;');;
CREATE PROCEDURE work(IN times INT)
BEGIN
    DECLARE a INT;
    DECLARE b INT;
    DECLARE x INT;
    WHILE times > 0 DO
        SET a = 1 + FLOOR(RAND() * 39), x = 1 + FLOOR(RAND() * 100);
        SET b = a + 1 + FLOOR(RAND() * (40 - a));
        START TRANSACTION;
        UPDATE accounts SET balance = balance - x, moves = moves + 1 WHERE id = a;
        UPDATE accounts SET balance = balance + x, moves = moves + 1 WHERE id = b;
        INSERT INTO ledger (debit, credit, amount) VALUES (a, b, x);
        COMMIT;
        SET times = times - 1;
    END WHILE;
END;;
CREATE FUNCTION broken_promises() RETURNS INT READS SQL DATA
    RETURN (SELECT ABS(SUM(balance)) FROM accounts)
        + (SELECT ABS(SUM(moves) - 2 * (SELECT COUNT(*) FROM ledger)) FROM accounts)
        + (SELECT COUNT(*) FROM accounts a WHERE balance <>
            (SELECT IFNULL(SUM(IF(l.credit = a.id, l.amount, -l.amount)), 0) FROM ledger l
             WHERE a.id IN (l.credit, l.debit)))
        + (SELECT COUNT(*) FROM ledger LEFT JOIN accounts ON accounts.id = ledger.debit WHERE accounts.id IS NULL);;
CREATE PROCEDURE `odd ``name`()
    SELECT 'CREATE DEFINER=`x`@`y` FUNCTION f()
CREATE DEFINER=`x`@`y` PROCEDURE p()
DELIMITER ;
' AS `text`;;
CREATE EVENT nightly ON SCHEDULE EVERY 1 DAY STARTS '2020-01-01 03:00:00' DISABLE COMMENT 'it''s; off'
    DO BEGIN DELETE FROM no_key WHERE v = 77; SET @x = 'a; b'; END;;
SET sql_mode = 'NO_BACKSLASH_ESCAPES,ANSI_QUOTES';;
CREATE FUNCTION slash() RETURNS VARCHAR(9) DETERMINISTIC RETURN '\';;
SET sql_mode = ORACLE;;
CREATE PACKAGE tools AS FUNCTION one RETURN INT; END;;
CREATE PACKAGE BODY tools AS FUNCTION one RETURN INT AS BEGIN RETURN 1; END; END;;
SET sql_mode = DEFAULT;;
DELIMITER ;
-- What was made until now was made under another collation than what the database has in the end.
ALTER DATABASE CHARACTER SET latin1 COLLATE latin1_bin;
