//! The real component: what it may import, and that it is what it says.

use cofre::Engine;
use sha2::{Digest as _, Sha256};

/// Reviewed by hand. Whoever adds a line says in the commit why the component needs it.
const IMPORTS: &[&str] = &[
    "cofre:backup/types",
    "wasi:cli/environment",
    "wasi:cli/exit",
    "wasi:cli/stderr",
    "wasi:cli/stdin",
    "wasi:cli/stdout",
    "wasi:cli/terminal-input",
    "wasi:cli/terminal-output",
    "wasi:cli/terminal-stderr",
    "wasi:cli/terminal-stdin",
    "wasi:cli/terminal-stdout",
    "wasi:filesystem/preopens",
    "wasi:filesystem/types",
    "wasi:io/error",
    "wasi:io/poll",
    "wasi:io/streams",
    "wasi:random/insecure-seed",
];

#[test]
fn the_component_imports_exactly_what_was_reviewed() {
    let engine = Engine::new().unwrap();
    let mut imports: Vec<&str> = engine
        .info()
        .imports
        .iter()
        .map(|name| name.split('@').next().unwrap())
        .collect();
    imports.sort_unstable();
    assert_eq!(imports, IMPORTS);
}

#[test]
fn the_component_exports_the_version_of_the_wit_package() {
    let engine = Engine::new().unwrap();
    let wit = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../wit/types.wit")).unwrap();
    let version = engine.info().wit.as_str();
    assert!(
        wit.contains(&format!("package cofre:backup@{version};")),
        "{version}"
    );
    let mut exports = engine.info().exports.clone();
    exports.sort_unstable();
    assert_eq!(
        exports,
        [
            format!("cofre:backup/engine@{version}"),
            format!("cofre:backup/jobs@{version}")
        ]
    );
}

#[test]
fn the_digest_is_that_of_the_published_bytes() {
    let digest: String = Sha256::digest(Engine::wasm())
        .iter()
        .map(|b| format!("{b:02x}"))
        .collect();
    assert_eq!(Engine::new().unwrap().info().digest, digest);
}

#[test]
fn the_component_contains_no_path_of_the_machine_that_built_it() {
    let text = String::from_utf8_lossy(Engine::wasm());
    let workspace = concat!(env!("CARGO_MANIFEST_DIR"), "/../component");
    let home = std::env::var("HOME").unwrap_or_default();
    for path in [env!("CARGO_MANIFEST_DIR"), workspace, "/.cargo/registry"] {
        assert!(!text.contains(path), "{path}");
    }
    assert!(home.len() < 2 || !text.contains(&format!("{home}/")), "{home}");
}
