//! The served OpenAPI document: complete, and true as far as schemathesis can find out.

use std::collections::BTreeSet;
use std::process::Command;

use crate::process::Service;
use crate::python::here;
use crate::site::{Extra, Site, admin};
use crate::support::{run, tool};

#[test]
fn every_route_is_in_the_document() {
    let site = Site::small();
    let _service = Service::start(&site);
    let document = site.get("/api/openapi.json");
    assert!(
        document["openapi"].as_str().unwrap().starts_with("3.1."),
        "{}",
        document["openapi"]
    );
    let mut operations = BTreeSet::new();
    for (path, item) in document["paths"].as_object().unwrap() {
        for method in item.as_object().unwrap().keys() {
            if ["get", "post", "put", "delete", "patch", "head"].contains(&method.as_str()) {
                operations.insert(format!("{method} {path}"));
            }
        }
    }
    for operation in [
        "post /api/backup/criar",
        "get /api/backup/status",
        "get /api/backup/listar",
        "get /api/backup/download/{id}",
        "get /api/backup/info/{id}",
        "post /api/backup/verificar/{id}",
        "post /api/backup/restaurar/{id}",
        "delete /api/backup/excluir/{id}",
        "post /api/backup/limpar",
        "get /api/backup/progresso",
        "get /api/openapi.json",
        "get /healthz",
        "get /metrics",
    ] {
        assert!(operations.contains(operation), "{operation} in {operations:?}");
    }
    // And nothing in it that is not there.
    for operation in &operations {
        let (method, path) = operation.split_once(' ').unwrap();
        if method == "post" || path.ends_with("progresso") {
            continue;
        }
        let path = path.replace("{id}", "4711");
        let reply = site.call(&method.to_uppercase(), &path).send();
        assert_ne!(reply.status, 405, "{reply}");
        if reply.status == 404 {
            reply.fails(404, "not_found");
        }
    }
    // The fields of a record as they are.
    let record = site.create();
    let schema = document["components"]["schemas"]["Backup"]["properties"]
        .as_object()
        .unwrap();
    let documented: BTreeSet<_> = schema.keys().collect();
    let real: BTreeSet<_> = record.as_object().unwrap().keys().collect();
    assert_eq!(documented, real);
}

#[test]
fn schemathesis_finds_nothing() {
    let site = Site::with(Extra {
        top: "max_backups = 5",
        api: "restore_dir = \"restaurados\"",
        tables: "",
    });
    std::fs::create_dir(site.app.path("restaurados")).unwrap();
    let _service = Service::start(&site);
    site.create();
    let home = site.app.path("schemathesis");
    std::fs::create_dir(&home).unwrap();
    run(Command::new(tool("schemathesis"))
        .current_dir(&home)
        .env("NO_PROXY", "*")
        .arg("--config-file")
        .arg(here("schemathesis.toml"))
        .args(["run", &site.url("/api/openapi.json")])
        .args(["--header", &format!("Authorization: Bearer {}", admin())])
        .args([
            "--checks",
            "all",
            "--seed",
            "4711",
            "--max-examples",
            "40",
            "--no-color",
        ])
        .args(["--phases", "examples,coverage,fuzzing,stateful"])
        // The stream of events does not end.
        .args(["--exclude-path", "/api/backup/progresso", "--workers", "1"]))
    .exits(0);
    site.status();
}
