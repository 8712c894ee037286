//! Builds the component with a cargo call of its own and compiles it ahead of time, for the baseline CPU of the
//! target and, on x86-64, for those of the last ten years. All results are embedded by `src/engine/load.rs`.

use std::error::Error;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::{env, fs};

#[path = "src/engine/compile.rs"]
mod compile;

const TARGET: &str = "wasm32-wasip2";
const PROFILE: &str = "component";

/// Variables that are meant for the outer build and would change what the inner one produces. Cargo's own
/// `CARGO_PROFILE_*` and `CARGO_BUILD_*` are removed by prefix.
const NOT_INHERITED: &[&str] = &[
    "CARGO_ENCODED_RUSTFLAGS",
    "CARGO_INCREMENTAL",
    "CARGO_TARGET_DIR",
    "CARGO_TARGET_WASM32_WASIP2_LINKER",
    "CARGO_TARGET_WASM32_WASIP2_RUSTFLAGS",
    "RUSTC_WORKSPACE_WRAPPER",
    "RUSTC_WRAPPER",
    "RUSTDOCFLAGS",
    "RUSTFLAGS",
];

fn main() -> Result<(), Box<dyn Error>> {
    let out_dir = PathBuf::from(variable("OUT_DIR")?);
    let manifest_dir = PathBuf::from(variable("CARGO_MANIFEST_DIR")?);
    let workspace = manifest_dir
        .parent()
        .ok_or("the host crate has no parent folder")?;
    for input in [
        "wit",
        "component/src",
        "component/Cargo.toml",
        "Cargo.toml",
        "Cargo.lock",
    ] {
        // Relative, as cargo takes it: an absolute one in a copied `target/` would watch the folder it was copied
        // from, and embed that one's component.
        println!("cargo::rerun-if-changed=../{input}");
    }
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-changed=src/engine/compile.rs");

    let wasm = fs::read(build_component(workspace, &out_dir)?)?;
    fs::write(out_dir.join("cofre.wasm"), &wasm)?;
    let target = variable("TARGET")?;
    let target = target.to_string_lossy();
    for (name, cpu) in [
        ("cofre.cwasm", Cpu::Baseline),
        ("cofre-modern.cwasm", Cpu::Modern),
    ] {
        let precompiled = precompile(&wasm, &target, cpu).unwrap_or_else(|error| {
            // Not fatal: the engine then compiles the component when it is first used.
            println!("cargo::warning=the component is not precompiled for this target: {error}");
            Vec::new()
        });
        fs::write(out_dir.join(name), precompiled)?;
    }
    Ok(())
}

/// What the machine that runs the code is taken to have.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Cpu {
    /// What every machine of the target has.
    Baseline,
    /// On x86-64, AVX2 and what came with it: a sixth less time. Without SSSE3 alone, a shuffle of bytes is a call.
    Modern,
}

fn variable(name: &str) -> Result<OsString, String> {
    env::var_os(name).ok_or_else(|| format!("cargo did not set {name}"))
}

/// Runs the inner cargo in a target folder of its own and gives the path of the `.wasm`. The folder is one for all runs of
/// this script: that of a lint and that of a build differ in `OUT_DIR` only.
fn build_component(workspace: &Path, out_dir: &Path) -> Result<PathBuf, Box<dyn Error>> {
    // OUT_DIR is PROFILE/build/PACKAGE-HASH/out.
    let profile_dir = out_dir
        .ancestors()
        .nth(3)
        .filter(|_| out_dir.ends_with("out"))
        .unwrap_or(out_dir);
    let target_dir = profile_dir.join("cofre-component");
    let mut cargo = Command::new(variable("CARGO")?);
    cargo
        .current_dir(workspace)
        .args(["build", "--package", "cofre-component", "--lib", "--locked"])
        .args(["--target", TARGET, "--profile", PROFILE])
        .arg("--target-dir")
        .arg(&target_dir);
    for (name, _) in env::vars_os() {
        let text = name.to_string_lossy();
        if NOT_INHERITED.contains(&&*text)
            || text.starts_with("CARGO_PROFILE_")
            || text.starts_with("CARGO_BUILD_")
        {
            cargo.env_remove(&name);
        }
    }
    cargo.env("CARGO_ENCODED_RUSTFLAGS", rust_flags(workspace).join("\x1f"));
    let status = cargo
        .status()
        .map_err(|e| format!("cargo could not be started: {e}"))?;
    if !status.success() {
        return Err(format!(
            "building the component failed ({status}); if the target is missing: rustup target add {TARGET}"
        )
        .into());
    }
    Ok(target_dir.join(TARGET).join(PROFILE).join("cofre_component.wasm"))
}

/// SIMD, and no path of the building machine in the panic messages: the released bytes depend on the source only.
fn rust_flags(workspace: &Path) -> Vec<String> {
    let mut flags = vec!["-Ctarget-feature=+simd128".to_owned()];
    let cargo_home = env::var_os("CARGO_HOME")
        .map(PathBuf::from)
        .or_else(|| env::home_dir().map(|home| home.join(".cargo")));
    if let Some(home) = cargo_home {
        flags.push(format!("--remap-path-prefix={}=/cargo", home.display()));
    }
    flags.push(format!("--remap-path-prefix={}=/cofre", workspace.display()));
    flags
}

/// Nothing where the target has no such CPU.
fn precompile(wasm: &[u8], target: &str, cpu: Cpu) -> wasmtime::Result<Vec<u8>> {
    let mut config = compile::config(Some(target))?;
    if cpu == Cpu::Modern {
        if !target.starts_with("x86_64-") {
            return Ok(Vec::new());
        }
        prefer_modern(&mut config);
    }
    wasmtime::Engine::new(&config)?.precompile_component(wasm)
}

#[allow(unsafe_code, reason = "see the comment inside")]
fn prefer_modern(config: &mut wasmtime::Config) {
    // SAFETY: the preset names instructions that the CPU has to have, and changes nothing else. Whoever loads the
    // result compares each of them with the CPU, and refuses it where one is missing.
    unsafe { config.cranelift_flag_enable("x86-64-v3") };
}
