//! One child process with its descendants: watched, read from, and ended as a group.

use std::io::{self, Read};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::process::CommandExt as _;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec};
use rustix::fs::OFlags;
use rustix::io::Errno;
use rustix::process::{Pid, Signal, WaitId, WaitIdOptions};

use super::output::{Log, Stream};

/// How often the flag, the deadline and the child are looked at.
const TICK: Duration = Duration::from_millis(25);
/// How long the group has between SIGTERM and SIGKILL.
const KILL_AFTER: Duration = Duration::from_secs(5);
/// How long output is read after the child has ended, while something it started still holds the pipe.
const LINGER: Duration = Duration::from_secs(1);
/// How long a killed child may take to be gone. One that hangs in the kernel is left behind.
const REAP: Duration = Duration::from_secs(5);
/// Most that is read from one pipe between two looks.
const READ_BYTES: usize = 256 * 1024;

/// How it ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum End {
    /// With status 0.
    Succeeded,
    /// With another status, or by a signal that was not ours.
    Failed(ExitStatus),
    /// It took too long.
    TimedOut,
    /// The flag was set.
    Cancelled,
}

/// Runs `command` to its end, for at most `timeout`.
///
/// # Errors
/// When it can't be started or watched.
pub(super) fn run(
    command: &mut Command,
    timeout: Duration,
    cancel: Option<&AtomicBool>,
    log: &mut Log,
) -> io::Result<End> {
    let mut child = command
        .process_group(0)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()?;
    let pipes = [
        Pipe::new(Stream::Out, child.stdout.take().map(OwnedFd::from))?,
        Pipe::new(Stream::Err, child.stderr.take().map(OwnedFd::from))?,
    ];
    let mut watched = Watched {
        group: Pid::from_child(&child),
        pipes,
    };
    match watched.watch(timeout, cancel, log) {
        None => Ok(match child.wait()? {
            status if status.success() => End::Succeeded,
            status => End::Failed(status),
        }),
        Some(end) => {
            watched.end(log);
            reap(&mut child);
            Ok(end)
        }
    }
}

struct Watched {
    /// The child, which is also the number of its group. It is not reaped before the group has got its last
    /// signal, so the number can't have become another's.
    group: Pid,
    pipes: [Pipe; 2],
}

impl Watched {
    /// Reads until the child has ended by itself (none), or why it has to be ended.
    fn watch(&mut self, timeout: Duration, cancel: Option<&AtomicBool>, log: &mut Log) -> Option<End> {
        // A timeout beyond what a clock can hold is no timeout.
        let deadline = Instant::now().checked_add(timeout);
        let mut ended: Option<Instant> = None;
        loop {
            self.read(log);
            let now = Instant::now();
            if self.has_ended() {
                let since = *ended.get_or_insert(now);
                if !self.has_open_pipes() || now.duration_since(since) >= LINGER {
                    return None;
                }
            } else if cancel.is_some_and(|flag| flag.load(Ordering::SeqCst)) {
                return Some(End::Cancelled);
            } else if deadline.is_some_and(|deadline| now >= deadline) {
                return Some(End::TimedOut);
            }
        }
    }

    /// Ends the whole group: SIGTERM, and SIGKILL once the child and all that hold its pipes are gone, or when
    /// they take too long.
    fn end(&mut self, log: &mut Log) {
        self.signal(Signal::TERM);
        let kill = Instant::now() + KILL_AFTER;
        while Instant::now() < kill && !(self.has_ended() && !self.has_open_pipes()) {
            self.read(log);
        }
        self.signal(Signal::KILL);
        let give_up = Instant::now() + REAP;
        while Instant::now() < give_up && !self.has_ended() {
            self.read(log);
        }
    }

    fn signal(&self, signal: Signal) {
        match rustix::process::kill_process_group(self.group, signal) {
            // Nobody is left.
            Ok(()) | Err(Errno::SRCH) => {}
            Err(errno) => tracing::warn!("can't end a hook's processes: {errno}"),
        }
    }

    /// Whether the child has ended; it is not reaped.
    fn has_ended(&self) -> bool {
        let options = WaitIdOptions::EXITED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT;
        // An error means that there is no such child any more.
        !matches!(
            rustix::process::waitid(WaitId::Pid(self.group), options),
            Ok(None) | Err(Errno::INTR)
        )
    }

    fn has_open_pipes(&self) -> bool {
        self.pipes.iter().any(|pipe| pipe.fd.is_some())
    }

    /// Waits for output, at most for a moment, and takes it.
    fn read(&mut self, log: &mut Log) {
        let mut open: Vec<PollFd<'_>> = self
            .pipes
            .iter()
            .filter_map(|pipe| pipe.fd.as_ref())
            .map(|fd| PollFd::new(fd, PollFlags::IN))
            .collect();
        let tick = Timespec {
            tv_sec: 0,
            tv_nsec: i64::from(TICK.subsec_nanos()),
        };
        // Without pipes this is the pause. An interruption by a signal is looked at like any other moment.
        let _ = rustix::event::poll(&mut open, Some(&tick));
        for pipe in &mut self.pipes {
            pipe.read(log);
        }
    }
}

/// The read end of a pipe, until its end.
struct Pipe {
    stream: Stream,
    fd: Option<std::fs::File>,
}

impl Pipe {
    fn new(stream: Stream, fd: Option<OwnedFd>) -> io::Result<Self> {
        if let Some(fd) = &fd {
            // Only this end: the writer's is another open file.
            let flags = rustix::fs::fcntl_getfl(fd.as_fd())?;
            rustix::fs::fcntl_setfl(fd.as_fd(), flags | OFlags::NONBLOCK)?;
        }
        Ok(Self {
            stream,
            fd: fd.map(std::fs::File::from),
        })
    }

    fn read(&mut self, log: &mut Log) {
        let mut buffer = [0_u8; 16 * 1024];
        let mut taken = 0;
        while let Some(pipe) = &mut self.fd
            && taken < READ_BYTES
        {
            match pipe.read(&mut buffer) {
                Ok(0) => self.fd = None,
                Ok(n) => {
                    taken += n;
                    log.take(self.stream, &buffer[..n]);
                }
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => return,
                Err(_) => self.fd = None,
            }
        }
    }
}

/// Takes the child's entry out of the process table, unless it hangs in the kernel.
fn reap(child: &mut Child) {
    if !matches!(child.try_wait(), Ok(Some(_))) {
        tracing::error!(
            "a hook (process {}) can't be killed, and is left behind",
            child.id()
        );
    }
}
