//! One child process with its descendants: watched, read from, and ended as a group. Hooks run this way, and the
//! client programs of database servers.

use std::io::{self, Read};
use std::ops::ControlFlow;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::process::CommandExt as _;
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec};
use rustix::fs::OFlags;
use rustix::io::Errno;
use rustix::process::{Pid, Signal, WaitId, WaitIdOptions};

/// How often the flag, the deadline and the child are looked at.
const TICK: Duration = Duration::from_millis(25);
/// How long the group has between SIGTERM and SIGKILL.
const KILL_AFTER: Duration = Duration::from_secs(5);
/// How long output is read after the child has ended, while something it started still holds the pipe.
const LINGER: Duration = Duration::from_secs(1);
/// How long a killed child may take to be gone. One that hangs in the kernel is left behind.
const REAP: Duration = Duration::from_secs(5);
/// Bytes of one read; as much as a pipe holds unless it was told otherwise.
const BUFFER_BYTES: usize = 64 * 1024;
/// Most that is read from one pipe between two looks.
const READ_BYTES: usize = 4 * BUFFER_BYTES;

/// One of a program's two outputs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stream {
    /// Standard output.
    Out,
    /// Standard error.
    Err,
}

/// Who takes what a program writes.
pub(crate) trait Sink {
    /// Takes what was read. `Break` means that no more is wanted; what still comes may be thrown away then.
    fn take(&mut self, stream: Stream, bytes: &[u8]) -> ControlFlow<()>;
}

/// How long a program may run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Limit {
    /// In all.
    Total(Duration),
    /// Without writing anything.
    Idle(Duration),
}

/// How it ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum End {
    /// With status 0.
    Succeeded,
    /// With another status, or by a signal that was not ours.
    Failed(ExitStatus),
    /// It took too long.
    TimedOut,
    /// The flag was set.
    Cancelled,
    /// The sink wanted no more.
    Stopped,
}

/// Runs `command` to its end, without standard input.
///
/// # Errors
/// When it can't be started or watched.
pub(crate) fn run(
    command: &mut Command,
    limit: Limit,
    cancel: Option<&AtomicBool>,
    sink: &mut dyn Sink,
) -> io::Result<End> {
    let mut group = Group::spawn(command, Stdio::null())?;
    // Whatever is left of it when the sink has enough is ended by dropping it.
    group.watch(limit, cancel, sink)
}

/// A running child with its descendants. Dropping it ends them.
pub(crate) struct Group {
    child: Child,
    /// The child, which is also the number of its group. It is not reaped before the group has got its last
    /// signal, so the number can't have become another's.
    group: Pid,
    pipes: [Pipe; 2],
    buffer: Vec<u8>,
    over: bool,
}

impl Group {
    /// Starts `command` as the head of a process group of its own.
    ///
    /// # Errors
    /// When it can't be started.
    pub(crate) fn spawn(command: &mut Command, stdin: Stdio) -> io::Result<Self> {
        let mut child = command
            .process_group(0)
            .stdin(stdin)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()?;
        let out = child.stdout.take().map(OwnedFd::from);
        let err = child.stderr.take().map(OwnedFd::from);
        Ok(Self {
            group: Pid::from_child(&child),
            child,
            pipes: [Pipe::new(Stream::Out, out)?, Pipe::new(Stream::Err, err)?],
            buffer: vec![0; BUFFER_BYTES],
            over: false,
        })
    }

    /// The way to its standard input, if that is a pipe; to be taken once.
    pub(crate) fn stdin(&mut self) -> Option<ChildStdin> {
        self.child.stdin.take()
    }

    /// Reads from it until it ends or has to be ended, or until the sink wants no more: then it lives on, and may
    /// be watched again.
    ///
    /// # Errors
    /// When it can't be watched.
    pub(crate) fn watch(
        &mut self,
        limit: Limit,
        cancel: Option<&AtomicBool>,
        sink: &mut dyn Sink,
    ) -> io::Result<End> {
        match self.read_on(limit, cancel, sink) {
            None => {
                self.over = true;
                Ok(match self.child.wait()? {
                    status if status.success() => End::Succeeded,
                    status => End::Failed(status),
                })
            }
            Some(End::Stopped) => Ok(End::Stopped),
            Some(end) => {
                self.end(sink);
                Ok(end)
            }
        }
    }

    /// Reads until the child has ended by itself (none), or why not any longer.
    fn read_on(&mut self, limit: Limit, cancel: Option<&AtomicBool>, sink: &mut dyn Sink) -> Option<End> {
        let (Limit::Total(span) | Limit::Idle(span)) = limit;
        // A time beyond what a clock can hold is no limit.
        let mut deadline = Instant::now().checked_add(span);
        let mut ended: Option<Instant> = None;
        loop {
            let (taken, flow) = self.read(sink);
            if flow.is_break() {
                return Some(End::Stopped);
            }
            let now = Instant::now();
            if taken > 0 && matches!(limit, Limit::Idle(_)) {
                deadline = now.checked_add(span);
            }
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
    fn end(&mut self, sink: &mut dyn Sink) {
        self.over = true;
        self.signal(Signal::TERM);
        let kill = Instant::now() + KILL_AFTER;
        while Instant::now() < kill && (self.has_open_pipes() || !self.has_ended()) {
            let _ = self.read(sink);
        }
        self.signal(Signal::KILL);
        let give_up = Instant::now() + REAP;
        while Instant::now() < give_up && !self.has_ended() {
            let _ = self.read(sink);
        }
        // Takes the child's entry out of the process table, unless it hangs in the kernel.
        if !matches!(self.child.try_wait(), Ok(Some(_))) {
            tracing::error!("process {} can't be killed, and is left behind", self.child.id());
        }
    }

    fn signal(&self, signal: Signal) {
        match rustix::process::kill_process_group(self.group, signal) {
            // Nobody is left.
            Ok(()) | Err(Errno::SRCH) => {}
            Err(errno) => tracing::warn!("can't end the processes of group {:?}: {errno}", self.group),
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

    /// Waits for output, at most for a moment, and takes it; how many bytes, and whether more is wanted.
    fn read(&mut self, sink: &mut dyn Sink) -> (usize, ControlFlow<()>) {
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
        let mut taken = 0;
        let mut flow = ControlFlow::Continue(());
        for pipe in &mut self.pipes {
            let (bytes, wanted) = pipe.read(&mut self.buffer, sink);
            taken += bytes;
            if wanted.is_break() {
                flow = wanted;
            }
        }
        (taken, flow)
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        if !self.over {
            self.end(&mut Nobody);
        }
    }
}

/// A sink for what nobody wants.
struct Nobody;

impl Sink for Nobody {
    fn take(&mut self, _: Stream, _: &[u8]) -> ControlFlow<()> {
        ControlFlow::Continue(())
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

    fn read(&mut self, buffer: &mut [u8], sink: &mut dyn Sink) -> (usize, ControlFlow<()>) {
        let mut taken = 0;
        while let Some(pipe) = &mut self.fd
            && taken < READ_BYTES
        {
            match pipe.read(buffer) {
                Ok(0) => self.fd = None,
                Ok(n) => {
                    taken += n;
                    let bytes = buffer.get(..n).unwrap_or_default();
                    if sink.take(self.stream, bytes).is_break() {
                        return (taken, ControlFlow::Break(()));
                    }
                }
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => break,
                Err(_) => self.fd = None,
            }
        }
        (taken, ControlFlow::Continue(()))
    }
}
