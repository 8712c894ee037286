//! A dump while others write: everything in it is of one moment.

use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use super::{app, backed_up, loaded};
use crate::support::postgres::Cluster;

/// Each transaction moves money between two accounts of different tables, notes both sides in a partitioned ledger,
/// and counts itself. Whoever sees half of one sees sums that don't agree.
const SCHEMA: &str = "
CREATE TABLE saving (id int PRIMARY KEY, balance int NOT NULL);
CREATE TABLE checking (id int PRIMARY KEY, balance int NOT NULL);
CREATE TABLE counter (n bigint NOT NULL);
CREATE TABLE move (id bigserial PRIMARY KEY, s int NOT NULL REFERENCES saving, c int NOT NULL REFERENCES checking, amount int NOT NULL);
CREATE TABLE entry (move bigint NOT NULL, side text NOT NULL, amount int NOT NULL) PARTITION BY LIST (side);
CREATE TABLE entry_s PARTITION OF entry FOR VALUES IN ('s');
CREATE TABLE entry_c PARTITION OF entry FOR VALUES IN ('c');
ALTER TABLE entry ADD FOREIGN KEY (move) REFERENCES move;
CREATE TABLE filler AS SELECT g AS id, repeat(md5(g::text), 10) AS t FROM generate_series(1, 20000) g;
INSERT INTO saving SELECT g, 1000 FROM generate_series(1, 200) g;
INSERT INTO checking SELECT g, 1000 FROM generate_series(1, 200) g;
INSERT INTO counter VALUES (0);
INSERT INTO move (s, c, amount) SELECT 1 + g % 200, 1 + g % 200, 0 FROM generate_series(1, 20000) g;
INSERT INTO entry SELECT id, side, 0 FROM move, unnest(ARRAY['s', 'c']) side;
UPDATE counter SET n = 20000;
";

const TRANSACTION: &str = "\\set s random(1, 200)
\\set c random(1, 200)
\\set amount random(-100, 100)
BEGIN;
UPDATE saving SET balance = balance - :amount WHERE id = :s;
UPDATE checking SET balance = balance + :amount WHERE id = :c;
INSERT INTO move (s, c, amount) VALUES (:s, :c, :amount) RETURNING id AS move \\gset
INSERT INTO entry VALUES (:move, 's', 0 - :amount);
INSERT INTO entry VALUES (:move, 'c', :amount);
UPDATE counter SET n = n + 1;
END;
";

/// What holds after each transaction, as one row of `t`.
const INVARIANTS: &str = "SELECT
    (SELECT sum(balance) FROM saving) + (SELECT sum(balance) FROM checking) = 400000,
    (SELECT sum(amount) FROM entry) = 0,
    (SELECT n FROM counter) = (SELECT count(*) FROM move),
    (SELECT count(*) FROM entry) = 2 * (SELECT count(*) FROM move),
    NOT EXISTS (SELECT FROM saving a WHERE balance <> 1000 - (SELECT coalesce(sum(amount), 0) FROM move WHERE s = a.id)),
    NOT EXISTS (SELECT FROM checking a WHERE balance <> 1000 + (SELECT coalesce(sum(amount), 0) FROM move WHERE c = a.id)),
    (SELECT count(*) FROM filler) = 20000";

/// The writers; they end with it.
struct Writers(Child);

impl Writers {
    fn start(cluster: &Cluster, script: &std::path::Path) -> Self {
        let mut pgbench = cluster.command("pgbench");
        pgbench
            .args([
                "--no-vacuum",
                "--client=4",
                "--time=3600",
                "--max-tries=100",
                "--file",
            ])
            .arg(script)
            .arg("bank")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        Self(pgbench.spawn().expect("start pgbench"))
    }
}

impl Drop for Writers {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn transactions(cluster: &Cluster) -> u64 {
    cluster
        .sql("bank", "SELECT n FROM counter")
        .trim()
        .parse()
        .expect("a number")
}

#[test]
fn a_dump_under_writers_is_of_one_moment_and_holds_nobody_up() {
    let cluster = Cluster::start();
    cluster.create_database("bank");
    cluster.sql("bank", SCHEMA);
    let site = app(&cluster.superuser_url("bank"), "");
    site.write("transaction.sql", TRANSACTION.as_bytes());
    let before = transactions(&cluster);
    let writers = Writers::start(&cluster, &site.path("transaction.sql"));
    let end = Instant::now() + Duration::from_secs(60);
    while transactions(&cluster) == before {
        assert!(Instant::now() < end, "the writers don't write");
        std::thread::sleep(Duration::from_millis(10));
    }
    for round in 1..=3 {
        let begun = transactions(&cluster);
        let (database, folder) = backed_up(&site, &format!("out{round}"));
        let ended = transactions(&cluster);
        assert!(ended > begun, "the writers went on meanwhile");
        let copy = format!("copy{round}");
        loaded(&cluster, &folder, &copy);
        assert_eq!(cluster.sql(&copy, INVARIANTS), "t|t|t|t|t|t|t\n");
        let dumped: u64 = cluster
            .sql(&copy, "SELECT n FROM counter")
            .trim()
            .parse()
            .unwrap();
        assert!(
            (begun..=ended).contains(&dumped),
            "{begun} <= {dumped} <= {ended}"
        );
        let rows = |name: &str| {
            let tables = database["tables"].as_array().unwrap();
            tables.iter().find(|table| table["name"] == name).unwrap()["rows"]
                .as_u64()
                .unwrap()
        };
        assert_eq!(
            (rows("move"), rows("entry_s"), rows("entry_c")),
            (dumped, dumped, dumped)
        );
        // New rows find free keys.
        let next: u64 = cluster
            .sql(&copy, "SELECT nextval('move_id_seq')")
            .trim()
            .parse()
            .unwrap();
        let last: u64 = cluster
            .sql(&copy, "SELECT max(id) FROM move")
            .trim()
            .parse()
            .unwrap();
        assert!(next > last, "{next} > {last}");
        // Another dump, of the copy, is this one. Sequences are not of the moment: they never go back.
        let again = app(&cluster.superuser_url(&copy), "");
        let (_, second) = backed_up(&again, "out");
        for file in [
            "move.sql",
            "entry_s.sql",
            "entry_c.sql",
            "saving.sql",
            "counter.sql",
            "pre-data.sql",
            "post-data.sql",
        ] {
            let read = |folder: &std::path::Path| std::fs::read(folder.join(file)).unwrap();
            assert!(read(&folder) == read(&second), "{file} of round {round}");
        }
    }
    drop(writers);
    assert_eq!(cluster.sql("bank", INVARIANTS), "t|t|t|t|t|t|t\n");
}
