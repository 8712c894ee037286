//! How a component is compiled: the one set of settings that the build script (which includes this file by path)
//! and the running engine share. Any difference between the two makes the precompiled form unusable.

/// The settings. With a `target` only the baseline features of that CPU are used, so that the result runs on every
/// machine of the kind; without one the features of this machine are.
///
/// # Errors
/// When this build of wasmtime can't generate code for `target`.
pub(crate) fn config(target: Option<&str>) -> wasmtime::Result<wasmtime::Config> {
    let mut config = wasmtime::Config::new();
    if let Some(target) = target {
        config.target(target)?;
    }
    config
        .wasm_component_model(true)
        .cranelift_opt_level(wasmtime::OptLevel::Speed)
        // A guest in a loop is stopped at the next loop edge or function entry after the epoch moved.
        .epoch_interruption(true)
        // Maps code back to the component's bytecode, which nobody looks at: a sixth of what is loaded at each start.
        .generate_address_map(false)
        // Enough for the component, whose deepest recursion is bounded, and small against a thread's 8 MiB.
        .max_wasm_stack(1 << 20);
    Ok(config)
}
