//! ctrl-C and SIGTERM: the first asks the running operation to stop and clean up, a second ends the process. And the
//! signal of a limit on the size of files, which is to be an error of the write.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use signal_hook::consts::{SIGINT, SIGTERM, SIGXFSZ};
use signal_hook::flag;

use crate::error::{Code, Error, Result};

/// A flag that the first signal sets; the next one exits at once with the code of "cancelled".
///
/// # Errors
/// When the system refuses a handler.
pub fn cancel_flag() -> Result<Arc<AtomicBool>> {
    let cancelled = Arc::new(AtomicBool::new(false));
    let code = i32::from(Code::Cancelled.exit());
    for signal in [SIGINT, SIGTERM] {
        // In this order: a signal that finds the flag set exits, and only then is it set.
        flag::register_conditional_shutdown(signal, code, Arc::clone(&cancelled))
            .and_then(|_| flag::register(signal, Arc::clone(&cancelled)))
            .map_err(|e| Error::io("install a signal handler", &e))?;
    }
    Ok(cancelled)
}

/// A write beyond the limit on the size of files fails, and ends nothing: with a handler, whatever it does, the process
/// lives on, and the write says why. Programs that cofre runs don't inherit it.
///
/// # Errors
/// When the system refuses a handler.
pub fn outlive_file_limit() -> Result<()> {
    flag::register(SIGXFSZ, Arc::default())
        .map(drop)
        .map_err(|e| Error::io("install a signal handler", &e))
}
