//! Running the command, and files for it to read.

use std::process::{Command, Output};

/// Runs the command.
pub(crate) fn wootz(args: &[&str], environment: &[(&str, &str)]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_wootz"))
        .args(args)
        .env("COLUMNS", "100")
        .envs(environment.iter().copied())
        .output()
        .expect("the command was built with this test")
}

/// What a run that must succeed prints.
pub(crate) fn stdout(args: &[&str]) -> String {
    let output = wootz(args, &[]);
    assert!(output.status.success(), "{args:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// A run that must fail: its exit code, a part of its message, nothing on standard output.
pub(crate) fn check_error(args: &[&str], code: i32, message: &str) {
    let output = wootz(args, &[]);
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(code), "{args:?}: {stderr}");
    assert!(stderr.contains(message), "{args:?}: {stderr}");
    assert!(output.stdout.is_empty(), "{args:?}");
}

/// A run that must fail because of what it was given: exactly this message.
pub(crate) fn check_message(args: &[&str], message: &str) {
    let output = wootz(args, &[]);
    assert_eq!(output.status.code(), Some(1), "{args:?}");
    assert_eq!(String::from_utf8_lossy(&output.stderr), format!("error: {message}\n"), "{args:?}");
}

/// A folder that goes when the test ends.
pub(crate) struct Folder(tempfile::TempDir);

impl Folder {
    /// A new one.
    pub(crate) fn new() -> Folder {
        Folder(tempfile::tempdir().unwrap())
    }

    /// The path of something in it.
    pub(crate) fn path(&self, name: &str) -> String {
        self.0.path().join(name).to_str().unwrap().to_owned()
    }

    /// Writes a file; gives its path.
    pub(crate) fn write(&self, name: &str, contents: &[u8]) -> String {
        std::fs::write(self.0.path().join(name), contents).unwrap();
        self.path(name)
    }

    /// What is in it, sorted.
    pub(crate) fn entries(&self) -> Vec<String> {
        let entry =
            |e: std::io::Result<std::fs::DirEntry>| e.unwrap().file_name().to_string_lossy().into_owned();
        let mut names: Vec<String> = std::fs::read_dir(&self.0).unwrap().map(entry).collect();
        names.sort();
        names
    }
}
