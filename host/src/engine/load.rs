//! The embedded component, loaded: the precompiled form where it fits this process, else from a private cache,
//! else compiled here and now.

use std::fs::File;
use std::hash::{Hash as _, Hasher as _};
use std::io::{Read as _, Write as _};
use std::os::fd::OwnedFd;
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, Mode, OFlags};
use sha2::{Digest as _, Sha256};
use wasmtime::Engine;
use wasmtime::component::Component;

use super::failure;
use crate::error::Result;

/// The component, as released.
pub(super) const WASM: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/cofre.wasm"));
/// The same, compiled by the build script, the fastest first: for recent CPUs, and for the baseline CPU. Empty where
/// that was not possible.
const PRECOMPILED: [&[u8]; 2] = [
    include_bytes!(concat!(env!("OUT_DIR"), "/cofre-modern.cwasm")),
    include_bytes!(concat!(env!("OUT_DIR"), "/cofre.cwasm")),
];

/// Where a loaded component came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Origin {
    Precompiled,
    Cache,
    Compiled,
}

/// The embedded component.
pub(super) fn embedded(engine: &Engine) -> Result<Component> {
    let (component, origin) = load(engine, &PRECOMPILED, WASM, cache_dir().as_deref())?;
    tracing::debug!(?origin, "loaded the component");
    Ok(component)
}

fn load(
    engine: &Engine,
    precompiled: &[&[u8]],
    wasm: &[u8],
    cache: Option<&Path>,
) -> Result<(Component, Origin)> {
    // wasmtime refuses by itself what another version, CPU or setting produced.
    for bytes in precompiled.iter().filter(|bytes| !bytes.is_empty()) {
        match deserialize(engine, bytes) {
            Ok(component) => return Ok((component, Origin::Precompiled)),
            Err(error) => tracing::debug!("a precompiled component does not fit: {error:#}"),
        }
    }
    let name = cache_name(engine, wasm);
    let folder = cache.and_then(private_folder);
    if let Some(component) = folder
        .as_ref()
        .and_then(|folder| read_cached(engine, folder, &name))
    {
        return Ok((component, Origin::Cache));
    }
    let component = Component::from_binary(engine, wasm).map_err(|e| failure::unfit(&e))?;
    if let Some(folder) = &folder
        && let Ok(bytes) = component.serialize()
        && let Err(error) = write_cached(folder, &name, &bytes)
    {
        tracing::debug!("the compiled component was not cached: {error}");
    }
    Ok((component, Origin::Compiled))
}

/// Loads native code.
#[allow(unsafe_code, reason = "see the comment inside")]
fn deserialize(engine: &Engine, bytes: &[u8]) -> wasmtime::Result<Component> {
    // SAFETY: the bytes have to be wasmtime's own output, unchanged. They are either embedded in this very
    // executable by its build script, or come from a file of ours in a folder that only we can write to
    // (`private_folder`, `read_cached`): whoever could change them could change the executable's behaviour anyway.
    // The contents of a `--component` or of an embedder's bytes never get here.
    unsafe { Component::deserialize(engine, bytes) }
}

/// `$XDG_CACHE_HOME/cofre` or `~/.cache/cofre`.
fn cache_dir() -> Option<PathBuf> {
    let absolute = |name| {
        std::env::var_os(name)
            .map(PathBuf::from)
            .filter(|p| p.is_absolute())
    };
    absolute("XDG_CACHE_HOME")
        .or_else(|| absolute("HOME").map(|home| home.join(".cache")))
        .map(|cache| cache.join("cofre"))
}

/// One name for this component under these settings of this version of wasmtime.
fn cache_name(engine: &Engine, wasm: &[u8]) -> String {
    let mut hasher = std::hash::DefaultHasher::new();
    engine.precompile_compatibility_hash().hash(&mut hasher);
    let digest = crate::text::hex(&Sha256::digest(wasm));
    format!("{digest}-{:016x}.cwasm", hasher.finish())
}

/// Opens the folder, made if need be, when it is ours alone: code is loaded from it. `None` means no cache.
fn private_folder(path: &Path) -> Option<OwnedFd> {
    let _exists = std::fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(path);
    let flags = OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let folder = rustix::fs::open(path, flags, Mode::empty()).ok()?;
    let stat = rustix::fs::fstat(&folder).ok()?;
    let private = stat.st_uid == rustix::process::geteuid().as_raw() && stat.st_mode & 0o077 == 0;
    if !private {
        tracing::debug!(
            "{} is not private (0700), so nothing is cached there",
            path.display()
        );
    }
    private.then_some(folder)
}

fn read_cached(engine: &Engine, folder: &OwnedFd, name: &str) -> Option<Component> {
    let flags = OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let mut file = File::from(rustix::fs::openat(folder, name, flags, Mode::empty()).ok()?);
    let meta = file.metadata().ok()?;
    let ours =
        meta.is_file() && meta.uid() == rustix::process::geteuid().as_raw() && meta.mode() & 0o022 == 0;
    if !ours {
        return None;
    }
    let mut bytes = Vec::new();
    file.read_to_end(&mut bytes).ok()?;
    deserialize(engine, &bytes).ok()
}

/// Written aside and renamed, so that a half-written file never has the name.
fn write_cached(folder: &OwnedFd, name: &str, bytes: &[u8]) -> std::io::Result<()> {
    let temp = format!(".{name}.{}", std::process::id());
    let flags = OFlags::CREATE | OFlags::EXCL | OFlags::WRONLY | OFlags::CLOEXEC;
    let mut file = File::from(rustix::fs::openat(folder, &temp, flags, Mode::RUSR | Mode::WUSR)?);
    let done = file
        .write_all(bytes)
        .and_then(|()| file.sync_all())
        .and_then(|()| Ok(rustix::fs::renameat(folder, &temp, folder, name)?));
    if done.is_err() {
        rustix::fs::unlinkat(folder, &temp, AtFlags::empty())?;
    }
    done
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::super::compile;
    use super::*;

    fn engine() -> Engine {
        Engine::new(&compile::config(None).unwrap()).unwrap()
    }

    /// The embedded component under settings that differ from the engine's.
    fn misfit() -> Vec<u8> {
        let mut config = compile::config(None).unwrap();
        config.consume_fuel(true);
        Engine::new(&config).unwrap().precompile_component(EMPTY).unwrap()
    }

    /// The smallest component, so that compiling it takes no time.
    const EMPTY: &[u8] = b"\0asm\x0d\0\x01\0";

    #[test]
    fn the_precompiled_component_fits_this_machine() {
        let (_, origin) = load(&engine(), &PRECOMPILED, WASM, None).unwrap();
        assert_eq!(origin, Origin::Precompiled);
    }

    #[test]
    fn the_baseline_form_fits_too_and_x86_64_has_one_for_recent_cpus() {
        let [modern, baseline] = PRECOMPILED;
        let (_, origin) = load(&engine(), &[b"misfit", baseline], WASM, None).unwrap();
        assert_eq!(origin, Origin::Precompiled);
        assert_eq!(modern.is_empty(), cfg!(not(target_arch = "x86_64")));
    }

    #[test]
    fn a_precompiled_component_that_does_not_fit_is_compiled_once_and_then_cached() {
        let temp = tempfile::tempdir().unwrap();
        let cache = temp.path().join("a/cofre");
        let origin = || load(&engine(), &[&misfit()], EMPTY, Some(&cache)).unwrap().1;
        assert_eq!(origin(), Origin::Compiled);
        assert_eq!(origin(), Origin::Cache);
        let mode = |path: &Path| path.metadata().unwrap().permissions().mode() & 0o777;
        assert_eq!(mode(&cache), 0o700);
        for file in cache.read_dir().unwrap() {
            assert_eq!(mode(&file.unwrap().path()), 0o600);
        }
    }

    #[test]
    fn a_damaged_cache_is_compiled_again() {
        let temp = tempfile::tempdir().unwrap();
        let cache = temp.path().join("cofre");
        load(&engine(), &[], EMPTY, Some(&cache)).unwrap();
        let file = cache.read_dir().unwrap().next().unwrap().unwrap().path();
        std::fs::write(&file, b"nonsense").unwrap();
        assert_eq!(
            load(&engine(), &[], EMPTY, Some(&cache)).unwrap().1,
            Origin::Compiled
        );
        assert_eq!(
            load(&engine(), &[], EMPTY, Some(&cache)).unwrap().1,
            Origin::Cache
        );
    }

    #[test]
    fn nothing_is_loaded_from_a_folder_that_others_can_write_to() {
        let temp = tempfile::tempdir().unwrap();
        let cache = temp.path().join("cofre");
        load(&engine(), &[], EMPTY, Some(&cache)).unwrap();
        std::fs::set_permissions(&cache, std::fs::Permissions::from_mode(0o777)).unwrap();
        assert_eq!(
            load(&engine(), &[], EMPTY, Some(&cache)).unwrap().1,
            Origin::Compiled
        );
    }

    #[test]
    fn nothing_is_loaded_through_a_link() {
        let temp = tempfile::tempdir().unwrap();
        let real = temp.path().join("real");
        load(&engine(), &[], EMPTY, Some(&real)).unwrap();
        let link = temp.path().join("link");
        std::os::unix::fs::symlink(&real, &link).unwrap();
        assert_eq!(
            load(&engine(), &[], EMPTY, Some(&link)).unwrap().1,
            Origin::Compiled
        );
    }
}
