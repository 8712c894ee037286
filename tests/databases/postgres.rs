//! PostgreSQL: a real cluster, dumped while others write, loaded again, compared.

use crate::support::postgres::Cluster;

#[test]
fn a_cluster_starts_and_ends() {
    let mut cluster = Cluster::start();
    cluster.create_database("one");
    assert_eq!(cluster.sql("one", "SELECT 1 + 1"), "2\n");
    cluster.crash_and_restart();
    assert_eq!(cluster.sql("one", "SELECT 1 + 1"), "2\n");
}
