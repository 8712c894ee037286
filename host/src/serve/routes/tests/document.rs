//! The OpenAPI document.

use super::*;

async fn document() -> Value {
    let answer = App::new().get("/api/openapi.json").await;
    assert_eq!(answer.status, 200);
    assert_eq!(answer.field("content-type"), "application/json");
    serde_json::from_slice(&answer.body).unwrap()
}

fn operations(document: &Value) -> Vec<(String, String, &Value)> {
    let mut all = Vec::new();
    for (path, item) in document["paths"].as_object().unwrap() {
        for (method, operation) in item.as_object().unwrap() {
            all.push((path.clone(), method.clone(), operation));
        }
    }
    all
}

fn references<'a>(value: &'a Value, found: &mut Vec<&'a str>) {
    match value {
        Value::Object(object) => {
            found.extend(object.get("$ref").and_then(Value::as_str));
            object.values().for_each(|value| references(value, found));
        }
        Value::Array(items) => items.iter().for_each(|value| references(value, found)),
        _ => {}
    }
}

#[tokio::test]
async fn it_is_openapi_3_1_with_every_route_and_no_loose_end() {
    let document = document().await;
    assert_eq!(document["openapi"], "3.1.0");
    let routes: Vec<(String, String)> = operations(&document)
        .into_iter()
        .map(|(path, method, _)| (path, method))
        .collect();
    let expected = [
        ("/api/backup/criar", "post"),
        ("/api/backup/download/{id}", "get"),
        ("/api/backup/excluir/{id}", "delete"),
        ("/api/backup/info/{id}", "get"),
        ("/api/backup/limpar", "post"),
        ("/api/backup/listar", "get"),
        ("/api/backup/progresso", "get"),
        ("/api/backup/restaurar/{id}", "post"),
        ("/api/backup/status", "get"),
        ("/api/backup/verificar/{id}", "post"),
        ("/api/openapi.json", "get"),
        ("/healthz", "get"),
        ("/metrics", "get"),
    ];
    assert_eq!(
        routes,
        expected.map(|(path, method)| (path.to_owned(), method.to_owned()))
    );
    let mut found = Vec::new();
    references(&document, &mut found);
    for reference in found {
        let target = document.pointer(reference.trim_start_matches('#'));
        assert!(target.is_some(), "{reference}");
    }
}

#[tokio::test]
async fn every_route_but_health_asks_for_a_credential_and_says_what_comes_without() {
    let document = document().await;
    assert_eq!(document["security"], serde_json::json!([{ "bearer": [] }]));
    for (path, method, operation) in operations(&document) {
        let responses = operation["responses"].as_object().unwrap();
        if path == "/healthz" {
            assert_eq!(operation["security"], serde_json::json!([{}]));
            continue;
        }
        assert!(operation.get("security").is_none(), "{method} {path}");
        for status in ["400", "401", "403", "405", "429", "500", "503"] {
            assert!(responses.contains_key(status), "{method} {path} has no {status}");
        }
        for (status, response) in responses.iter().filter(|(status, _)| status.as_str() >= "400") {
            let schema = &response["content"]["application/json"]["schema"]["$ref"];
            assert_eq!(schema, "#/components/schemas/Failure", "{method} {path} {status}");
            assert!(!response["description"].as_str().unwrap().is_empty());
        }
    }
}

#[tokio::test]
async fn a_backup_is_described_with_the_fields_that_it_has() {
    let app = App::new();
    let backup = app.create().await;
    let answer = app.get("/api/openapi.json").await;
    let document: Value = serde_json::from_slice(&answer.body).unwrap();
    let schema = &document["components"]["schemas"]["Backup"]["properties"];
    assert_eq!(keys(schema), keys(&backup));
    assert_eq!(schema["error"]["type"], serde_json::json!(["string", "null"]));
    assert_eq!(schema["id"]["type"], "integer");
}

#[tokio::test]
async fn ids_are_numbers_from_1_and_bodies_may_be_left_out() {
    let document = document().await;
    for (path, _, operation) in operations(&document) {
        if path.contains("{id}") {
            let id = &operation["parameters"][0];
            assert_eq!(
                (&id["name"], &id["in"], &id["required"]),
                (&"id".into(), &"path".into(), &true.into())
            );
            assert_eq!(id["schema"]["type"], "integer");
            assert_eq!(id["schema"]["minimum"], 1);
            assert_eq!(id["schema"]["maximum"], i64::MAX);
        }
        if let Some(body) = operation.get("requestBody") {
            assert_eq!(body["required"], false, "{path}");
        }
    }
}

#[tokio::test]
async fn an_archive_has_no_schema_and_an_event_has_one() {
    let document = document().await;
    for status in ["200", "206"] {
        let content = &document["paths"]["/api/backup/download/{id}"]["get"]["responses"][status]["content"];
        assert_eq!(content, &serde_json::json!({ "application/zip": {} }));
    }
    let events = &document["paths"]["/api/backup/progresso"]["get"]["responses"]["200"]["content"];
    let schema = &events["text/event-stream"]["schema"]["$ref"];
    assert_eq!(schema, "#/components/schemas/ProgressEvent");
}
