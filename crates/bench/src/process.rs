//! A worker process and the conversation with it. Whatever the process does (dies, hangs, prints garbage) comes back
//! as a [`WorkerError`].

use std::ffi::OsString;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::os::unix::process::CommandExt;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process_group};
use serde::Serialize;

use crate::clock::monotonic_ns;
use crate::protocol::{Failure, Request, Response};

/// Longest response line that is read; anything longer is garbage.
const LINE_LIMIT: u64 = 1 << 20;
/// How much of the end of standard error is kept.
const STDERR_TAIL: usize = 4096;
/// How long a worker gets to leave by itself.
const EXIT_GRACE: Duration = Duration::from_secs(2);

/// Why a worker gave no answer.
#[derive(thiserror::Error, Debug)]
pub enum WorkerError {
    /// The command could not be started.
    #[error("cannot start {program:?}")]
    Spawn {
        /// The program.
        program: OsString,
        /// What the system said.
        source: io::Error,
    },
    /// The process ended instead of answering.
    #[error("the worker ended ({status}) while it was asked to {request}")]
    Exited {
        /// What was asked.
        request: &'static str,
        /// Exit status in words.
        status: String,
    },
    /// No answer in time; the process was killed.
    #[error("no answer to {request} within {seconds} s")]
    TimedOut {
        /// What was asked.
        request: &'static str,
        /// The limit.
        seconds: u64,
    },
    /// A line that is no response.
    #[error("not a response to {request}: {line:?} ({reason})")]
    Garbage {
        /// What was asked.
        request: &'static str,
        /// Its beginning.
        line: String,
        /// Why not.
        reason: String,
    },
    /// The worker itself reports a failure.
    #[error("{}", .0.message)]
    Reported(Failure),
}

/// How to start a worker.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WorkerCommand {
    /// Program and arguments.
    pub arguments: Vec<OsString>,
    /// Environment variables on top of the inherited ones.
    pub environment: Vec<(OsString, OsString)>,
}

/// A running worker. Dropping it kills the process and its children.
#[derive(Debug)]
pub struct WorkerProcess {
    child: Child,
    stdin: Option<ChildStdin>,
    lines: Receiver<Line>,
    stderr: Arc<Mutex<Vec<u8>>>,
    stderr_reader: Option<thread::JoinHandle<()>>,
    spawned_ns: u64,
}

#[derive(Debug)]
enum Line {
    Text(String),
    TooLong(String),
}

impl WorkerProcess {
    /// Starts the worker in a process group of its own.
    pub fn spawn(command: &WorkerCommand) -> Result<WorkerProcess, WorkerError> {
        let program = command.arguments.first().cloned().unwrap_or_default();
        let spawned_ns = monotonic_ns();
        let mut child = Command::new(&program)
            .args(command.arguments.iter().skip(1))
            .envs(command.environment.iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .process_group(0)
            .spawn()
            .map_err(|source| WorkerError::Spawn { program, source })?;
        let stdin = child.stdin.take();
        let (sender, lines) = sync_channel(16);
        if let Some(stdout) = child.stdout.take() {
            thread::spawn(move || read_lines(BufReader::new(stdout), &sender));
        }
        let stderr = Arc::new(Mutex::new(Vec::new()));
        let stderr_reader = child.stderr.take().map(|pipe| {
            let tail = Arc::clone(&stderr);
            thread::spawn(move || keep_tail(pipe, &tail))
        });
        Ok(WorkerProcess { child, stdin, lines, stderr, stderr_reader, spawned_ns })
    }

    /// `CLOCK_MONOTONIC` just before the process was started, nanoseconds.
    pub fn spawned_ns(&self) -> u64 {
        self.spawned_ns
    }

    /// Process id.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Sends `request` and waits for the answer. A [`Response::Error`] comes back as [`WorkerError::Reported`].
    pub fn ask(&mut self, request: &Request, timeout: Duration) -> Result<Response, WorkerError> {
        self.ask_as(request_name(request), request, timeout)
    }

    /// As [`WorkerProcess::ask`], with a request of another kind.
    pub(crate) fn ask_as(
        &mut self,
        name: &'static str,
        request: &impl Serialize,
        timeout: Duration,
    ) -> Result<Response, WorkerError> {
        let line = serde_json::to_string(request).map_err(|error| garbage(name, "", &error.to_string()))?;
        // A worker that is gone shows itself as the end of its output, with an exit status to tell.
        let _ = self.send_line(&line);
        match self.lines.recv_timeout(timeout) {
            Ok(Line::Text(line)) => match serde_json::from_str(&line) {
                Ok(Response::Error(failure)) => Err(WorkerError::Reported(failure)),
                Ok(response) => Ok(response),
                Err(error) => Err(garbage(name, &line, &error.to_string())),
            },
            Ok(Line::TooLong(start)) => Err(garbage(name, &start, "the line is too long")),
            Err(RecvTimeoutError::Timeout) => {
                self.kill();
                Err(WorkerError::TimedOut { request: name, seconds: timeout.as_secs() })
            }
            Err(RecvTimeoutError::Disconnected) => {
                Err(WorkerError::Exited { request: name, status: self.finish() })
            }
        }
    }

    /// Whether the process is gone.
    pub(crate) fn has_ended(&mut self) -> bool {
        !matches!(self.child.try_wait(), Ok(None))
    }

    /// The error for an answer of the wrong type.
    pub(crate) fn unexpected(request: &'static str, response: &Response) -> WorkerError {
        garbage(request, &format!("{response:?}"), "another response was due")
    }

    /// Asks the worker to leave and waits for it, killing it after a moment. Returns the status in words.
    pub fn finish(&mut self) -> String {
        // The end of its input tells a worker to leave even if this line gets lost.
        let _ = self.send_line("{\"type\":\"shutdown\"}");
        self.stdin = None;
        let deadline = Instant::now() + EXIT_GRACE;
        loop {
            match self.child.try_wait() {
                Ok(Some(status)) => return status.to_string(),
                Ok(None) if Instant::now() < deadline => thread::sleep(Duration::from_millis(1)),
                Ok(None) => {
                    self.kill();
                    return "killed".to_owned();
                }
                Err(error) => return error.to_string(),
            }
        }
    }

    /// The end of what the worker wrote to standard error so far.
    pub fn stderr_tail(&mut self) -> String {
        // Once the process is gone its last words are worth waiting for; a live one would never close the pipe.
        if matches!(self.child.try_wait(), Ok(Some(_)))
            && let Some(reader) = self.stderr_reader.take()
        {
            let deadline = Instant::now() + Duration::from_millis(500);
            while !reader.is_finished() && Instant::now() < deadline {
                thread::sleep(Duration::from_millis(2));
            }
        }
        let tail = self.stderr.lock().map(|tail| tail.clone()).unwrap_or_default();
        String::from_utf8_lossy(&tail).trim().to_owned()
    }

    fn send_line(&mut self, line: &str) -> io::Result<()> {
        let Some(stdin) = &mut self.stdin else { return Ok(()) };
        stdin.write_all(line.as_bytes())?;
        stdin.write_all(b"\n")?;
        stdin.flush()
    }

    fn kill(&mut self) {
        if let Some(group) = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw) {
            // It may be gone already, which is what is wanted.
            let _ = kill_process_group(group, Signal::KILL);
        }
        let _ = self.child.wait();
    }
}

impl Drop for WorkerProcess {
    fn drop(&mut self) {
        if !matches!(self.child.try_wait(), Ok(Some(_))) {
            self.kill();
        }
    }
}

fn request_name(request: &Request) -> &'static str {
    match request {
        Request::Setup(_) => "setup",
        Request::Check { .. } => "check",
        Request::Run { .. } => "run",
        Request::Memory => "memory",
        Request::Shutdown => "shutdown",
    }
}

fn garbage(request: &'static str, line: &str, reason: &str) -> WorkerError {
    WorkerError::Garbage { request, line: line.chars().take(200).collect(), reason: reason.to_owned() }
}

fn read_lines(mut output: impl BufRead, lines: &SyncSender<Line>) {
    loop {
        let mut bytes = Vec::new();
        match output.by_ref().take(LINE_LIMIT).read_until(b'\n', &mut bytes) {
            Ok(0) | Err(_) => return,
            Ok(_) => {}
        }
        let complete = bytes.last() == Some(&b'\n') || (bytes.len() as u64) < LINE_LIMIT;
        let text = String::from_utf8_lossy(&bytes).trim_end().to_owned();
        let line = if complete { Line::Text(text) } else { Line::TooLong(text) };
        if lines.send(line).is_err() {
            return;
        }
    }
}

fn keep_tail(mut pipe: impl Read, tail: &Mutex<Vec<u8>>) {
    let mut buffer = [0; 1024];
    while let Ok(read @ 1..) = pipe.read(&mut buffer) {
        let Ok(mut tail) = tail.lock() else { return };
        tail.extend_from_slice(&buffer[..read]);
        let excess = tail.len().saturating_sub(STDERR_TAIL);
        tail.drain(..excess);
    }
}
