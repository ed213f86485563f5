//! A child process that can say how to run it again.

use std::ffi::{OsStr, OsString};
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};

/// A command line. Its `Display` form can be pasted into a shell.
#[derive(Clone)]
pub(crate) struct Process {
    program: OsString,
    args: Vec<OsString>,
    env: Vec<(String, OsString)>,
    dir: Option<PathBuf>,
}

impl Process {
    /// `program`, looked up as a shell would.
    pub(crate) fn new(program: impl AsRef<OsStr>) -> Self {
        Self { program: program.as_ref().to_owned(), args: Vec::new(), env: Vec::new(), dir: None }
    }

    /// Adds one argument.
    pub(crate) fn arg(mut self, arg: impl AsRef<OsStr>) -> Self {
        self.args.push(arg.as_ref().to_owned());
        self
    }

    /// Adds arguments.
    pub(crate) fn args(mut self, args: impl IntoIterator<Item = impl AsRef<OsStr>>) -> Self {
        self.args.extend(args.into_iter().map(|arg| arg.as_ref().to_owned()));
        self
    }

    /// Sets an environment variable.
    pub(crate) fn env(mut self, name: &str, value: impl AsRef<OsStr>) -> Self {
        self.env.push((name.to_owned(), value.as_ref().to_owned()));
        self
    }

    /// Sets the working directory.
    pub(crate) fn current_dir(mut self, dir: &Path) -> Self {
        self.dir = Some(dir.to_path_buf());
        self
    }

    /// Runs to the end, output going to the terminal. An exit status other than 0 is an error.
    pub(crate) fn run(&self) -> Result<()> {
        self.finish(self.command().stdout(Stdio::inherit()))
    }

    /// As [`Process::run`], with what the child prints going to standard error, so that standard output stays free
    /// for the one line that a script reads.
    pub(crate) fn run_on_stderr(&self) -> Result<()> {
        self.finish(self.command().stdout(Stdio::from(io::stderr())))
    }

    /// Runs to the end and returns standard output, which must be UTF-8.
    pub(crate) fn stdout(&self) -> Result<String> {
        let output = self.spawned(self.command().stderr(Stdio::inherit()).output())?;
        if !output.status.success() {
            bail!("`{self}` failed ({})", output.status);
        }
        String::from_utf8(output.stdout)
            .with_context(|| format!("`{self}` printed something that is not UTF-8"))
    }

    /// Runs to the end and returns standard output, or nothing where the program is missing, fails or prints
    /// something that is not UTF-8.
    pub(crate) fn probe(&self) -> Option<String> {
        let output = self.command().output().ok()?;
        if output.status.success() { String::from_utf8(output.stdout).ok() } else { None }
    }

    fn command(&self) -> Command {
        let mut command = Command::new(&self.program);
        command.args(&self.args).envs(self.env.iter().map(|(k, v)| (k, v)));
        // Nothing may stop and ask a question.
        command.stdin(Stdio::null());
        if let Some(dir) = &self.dir {
            command.current_dir(dir);
        }
        command
    }

    fn finish(&self, command: &mut Command) -> Result<()> {
        let status = self.spawned(command.status())?;
        if !status.success() {
            bail!("`{self}` failed ({status})");
        }
        Ok(())
    }

    fn spawned<T>(&self, result: io::Result<T>) -> Result<T> {
        result.with_context(|| format!("cannot start `{}`", self.program.to_string_lossy()))
    }
}

impl fmt::Display for Process {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (name, value) in &self.env {
            write!(f, "{name}={} ", quoted(value))?;
        }
        f.write_str(&quoted(&self.program))?;
        self.args.iter().try_for_each(|arg| write!(f, " {}", quoted(arg)))
    }
}

/// `text` as one word of a POSIX shell.
fn quoted(text: &OsStr) -> String {
    let text = text.to_string_lossy();
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./=:,+@%".contains(c);
    if !text.is_empty() && text.chars().all(plain) {
        text.into_owned()
    } else {
        format!("'{}'", text.replace('\'', r"'\''"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn display_can_be_pasted_into_a_shell() {
        let process = Process::new("printf").args(["%s|%s", "a b", "it's"]).env("LC_ALL", "C");
        assert_eq!(process.to_string(), r"LC_ALL=C printf '%s|%s' 'a b' 'it'\''s'");
        let echoed = Process::new("sh").args(["-c", &process.to_string()]).stdout().expect("sh runs");
        assert_eq!(echoed, "a b|it's");
    }

    #[test]
    fn a_failing_child_is_an_error_that_names_the_command() {
        let error = Process::new("sh").args(["-c", "exit 3"]).run().expect_err("exit 3 is a failure");
        assert!(error.to_string().contains("sh -c 'exit 3'"), "{error}");
        assert_eq!(Process::new("no-such-program-anywhere").probe(), None);
    }
}
