//! How the sandbox opens a file to read it: without blocking, and never through a link.
//!
//! wasmtime-wasi opens like any program, and opening a FIFO that nobody writes to waits for ever. What is a regular
//! file when it is looked at may be a FIFO when it is opened, so that looking first is not enough. This replaces one
//! function of `wasi:filesystem/types` for the one kind of call that reads sources and archives; everything else
//! goes to wasmtime-wasi as it comes.

use std::os::fd::AsFd as _;

use rustix::io::Errno;
use wasmtime::StoreContextMut;
use wasmtime::component::{Linker, Resource};
use wasmtime_wasi::OpenMode;
use wasmtime_wasi::filesystem::{Descriptor, File, WasiFilesystemCtxView, WasiFilesystemView as _};
use wasmtime_wasi::p2::bindings::sync::filesystem::types::{
    DescriptorFlags, ErrorCode, Host as _, HostDescriptor as _, OpenFlags, PathFlags,
};

use super::sandbox::State;
use crate::fsutil;

/// The interface with the version of this wasmtime-wasi; imports of other 0.2 versions find it as well.
const INTERFACE: &str = "wasi:filesystem/types@0.2.12";

/// What `open-at` takes.
type Arguments = (
    Resource<Descriptor>,
    PathFlags,
    String,
    OpenFlags,
    DescriptorFlags,
);

/// Replaces `open-at` in a linker that has the interface already.
///
/// # Errors
/// When the interface has another version, which a test finds.
pub(super) fn add_to_linker(linker: &mut Linker<State>) -> wasmtime::Result<()> {
    linker.allow_shadowing(true);
    linker.instance(INTERFACE)?.func_wrap(
        "[method]descriptor.open-at",
        |mut store: StoreContextMut<'_, State>, arguments: Arguments| {
            let mut view = store.data_mut().filesystem();
            open_at(&mut view, arguments).map(|result| (result,))
        },
    )?;
    linker.allow_shadowing(false);
    Ok(())
}

fn open_at(
    view: &mut WasiFilesystemCtxView<'_>,
    (fd, path_flags, path, open_flags, flags): Arguments,
) -> wasmtime::Result<Result<Resource<Descriptor>, ErrorCode>> {
    let plain_read = path_flags == PathFlags::empty()
        && open_flags == OpenFlags::empty()
        && flags == DescriptorFlags::READ;
    if plain_read && let Some(opened) = read_only(view, &fd, &path)? {
        return Ok(match opened {
            Ok(file) => Ok(view.table.push(Descriptor::File(file))?),
            Err(code) => Err(code),
        });
    }
    match view.open_at(fd, path_flags, path, open_flags, flags) {
        Ok(opened) => Ok(Ok(opened)),
        Err(error) => view.convert_error_code(error).map(Err),
    }
}

/// Opens a regular file; `None` for a directory, which is opened as usual.
fn read_only(
    view: &WasiFilesystemCtxView<'_>,
    fd: &Resource<Descriptor>,
    path: &str,
) -> wasmtime::Result<Option<Result<File, ErrorCode>>> {
    let Descriptor::Dir(dir) = view.table.get(fd)? else {
        return Ok(Some(Err(ErrorCode::NotDirectory)));
    };
    let opened = match fsutil::open_beneath(dir.dir.as_fd(), path.as_bytes(), fsutil::file_flags()) {
        Ok(opened) => opened,
        Err(errno) => return Ok(Some(Err(code(errno)))),
    };
    let stat = match rustix::fs::fstat(&opened) {
        Ok(stat) => stat,
        Err(errno) => return Ok(Some(Err(code(errno)))),
    };
    Ok(match fsutil::file_type(&stat) {
        rustix::fs::FileType::RegularFile => {
            Some(Ok(File::new(opened.into(), dir.perms, OpenMode::READ, true)))
        }
        rustix::fs::FileType::Directory => None,
        _ => Some(Err(ErrorCode::Unsupported)),
    })
}

/// The codes that make a difference to the component; everything else is an I/O error to it.
fn code(errno: Errno) -> ErrorCode {
    match errno {
        Errno::NOENT => ErrorCode::NoEntry,
        Errno::ACCESS => ErrorCode::Access,
        Errno::PERM => ErrorCode::NotPermitted,
        Errno::NOTDIR => ErrorCode::NotDirectory,
        Errno::LOOP => ErrorCode::Loop,
        Errno::XDEV => ErrorCode::CrossDevice,
        Errno::NAMETOOLONG => ErrorCode::NameTooLong,
        Errno::NXIO | Errno::OPNOTSUPP => ErrorCode::Unsupported,
        Errno::INTR => ErrorCode::Interrupted,
        Errno::NOMEM | Errno::MFILE | Errno::NFILE => ErrorCode::InsufficientMemory,
        Errno::INVAL => ErrorCode::Invalid,
        _ => ErrorCode::Io,
    }
}
