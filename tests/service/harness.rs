//! The judges themselves: each has to see what it is there to see.

use std::panic::{AssertUnwindSafe, catch_unwind};

use serde_json::json;

use crate::process::Service;
use crate::receiver::Receiver;
use crate::seed_clients::has_fields;
use crate::site::{Extra, Site};
use crate::webhooks::is_signed;

fn objects(judge: impl FnOnce()) -> bool {
    catch_unwind(AssertUnwindSafe(judge)).is_err()
}

#[test]
fn a_secret_in_the_log_is_seen_when_the_service_goes() {
    let site = Site::small();
    assert!(!objects(|| drop(Service::start(&site))));
    assert!(objects(|| {
        let mut service = Service::start(&site);
        service.secret("the API listens");
        service.terminate();
    }));
}

#[test]
fn a_missing_a_further_and_a_mistyped_field_are_seen() {
    let fields = [("id", "int"), ("error", "text?")];
    assert!(!objects(|| has_fields(&json!({"id": 1, "error": null}), &fields)));
    for bad in [
        json!({"id": 1}),
        json!({"id": 1, "error": null, "more": 1}),
        json!({"id": "1", "error": null}),
        json!({"id": null, "error": null}),
        json!({"id": -1, "error": null}),
        json!({"id": 1, "error": 2}),
    ] {
        assert!(objects(|| has_fields(&bad, &fields)), "{bad}");
    }
}

#[test]
fn a_wrong_key_and_a_changed_body_are_seen() {
    let receiver = Receiver::start();
    let hook = format!(
        "[[webhooks]]\nname = \"um\"\nurl = \"{}\"\nsecret_file = \"um.key\"\n",
        receiver.url("/")
    );
    let site = Site::with(Extra {
        tables: &hook,
        ..Extra::default()
    });
    site.app.write("um.key", b"chave");
    site.app.cofre(&["webhook", "test", "um"]).exits(0);
    let mut sent = receiver.wait_for(1).remove(0);
    assert!(!objects(|| is_signed(&sent, "chave")));
    assert!(objects(|| is_signed(&sent, "outra")));
    sent.body.push(b' ');
    assert!(objects(|| is_signed(&sent, "chave")));
}
