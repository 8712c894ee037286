//! PostgreSQL: a real cluster, dumped by the built `cofre` while others write, loaded again by `psql`, compared.

mod bad;
mod interrupted;
mod lists;
mod load;
mod round_trip;
mod secrets;
mod values;

use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::support::App;
use crate::support::postgres::Cluster;

/// A database with everything that a dump has to bring back.
const FEATURES: &str = include_str!("postgres/features.sql");

/// An application whose only content is one database; the URL is in a private file.
fn app(url: &str, keys: &str) -> App {
    let app = App::new();
    set_url(&app, url);
    app.config(&format!("{keys}\n[databases.app]\nurl_file = \"db.url\"\n"));
    app
}

fn set_url(app: &App, url: &str) {
    use std::os::unix::fs::PermissionsExt as _;
    app.write("db.url", url.as_bytes());
    std::fs::set_permissions(app.path("db.url"), std::fs::Permissions::from_mode(0o600)).unwrap();
}

/// A cluster with the database `shop` that [`FEATURES`] makes.
fn features() -> Cluster {
    let cluster = Cluster::start();
    cluster.sql(
        "postgres",
        "CREATE ROLE reader; CREATE ROLE app LOGIN PASSWORD 'app'",
    );
    cluster.create_database("shop");
    cluster.sql("shop", FEATURES);
    cluster
}

/// Makes a backup and takes its dump out: the manifest's row of the database, and the folder.
fn backed_up(app: &App, to: &str) -> (Value, PathBuf) {
    let record = app.create();
    let mut databases = app.manifest(&record)["databases"].clone();
    let folder = app.restore("latest", to).join("database");
    app.assert_no_leftovers();
    (databases[0].take(), folder)
}

/// Loads a dump into a new database.
#[track_caller]
fn loaded(cluster: &Cluster, folder: &Path, database: &str) {
    cluster.create_database(database);
    cluster.load(folder, database).exits(0);
}

/// Everything in a database, as `pg_dump` writes it, without the random guards of its scripts.
fn content(cluster: &Cluster, database: &str, arguments: &[&str]) -> String {
    let mut command = cluster.command("pg_dump");
    command.args(["-d", database]).args(arguments);
    let text = crate::support::run(&mut command).exits(0).stdout;
    let guard = |line: &&str| !line.starts_with("\\restrict ") && !line.starts_with("\\unrestrict ");
    text.split_inclusive('\n').filter(guard).collect()
}

/// Asserts that two texts are equal, and shows the first line that is not.
#[track_caller]
fn assert_same_text(one: &str, two: &str) {
    if one == two {
        return;
    }
    let differs = one
        .lines()
        .zip(two.lines())
        .enumerate()
        .find(|(_, (a, b))| a != b);
    panic!(
        "{} and {} lines; the first that differs: {differs:?}",
        one.lines().count(),
        two.lines().count()
    );
}
