//! Names of machine code made at run time, for Linux `perf`.

use std::fs::OpenOptions;
use std::io::Write;

/// Name of the environment variable that asks for a perf map.
pub const PERF_MAP_ENV: &str = "WOOTZ_PERF_MAP";

/// Whether the environment asks for a map: ask before making names that nobody wants.
#[must_use]
pub fn is_wanted() -> bool {
    static WANTED: std::sync::OnceLock<bool> = std::sync::OnceLock::new();
    *WANTED.get_or_init(|| std::env::var_os(PERF_MAP_ENV).is_some_and(|value| value == "1"))
}

/// Says that `bytes` bytes of code from `address` on are called `name`, if `WOOTZ_PERF_MAP=1`: a line of
/// `/tmp/perf-<pid>.map`, where `perf report` looks (Linux, tools/perf/Documentation/jit-interface.txt).
pub fn record(address: usize, bytes: usize, name: &str) {
    if !is_wanted() {
        return;
    }
    // Opened each time: a forked child writes to its own, and no lock can be left taken.
    let path = format!("/tmp/perf-{}.map", std::process::id());
    if let Ok(mut file) = OpenOptions::new().create(true).append(true).open(path) {
        // Names are for a profiler: a disk that is full must not stop a program.
        let _ = file.write_all(line(address, bytes, name).as_bytes());
    }
}

/// The symbol is the rest of the line, so it must be one line.
fn line(address: usize, bytes: usize, name: &str) -> String {
    let name: String = name.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    format!("{address:x} {bytes:x} {name}\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_an_address_a_size_and_a_name() {
        assert_eq!(line(0x7f00_1000, 64, "wootz tanh"), "7f001000 40 wootz tanh\n");
        assert_eq!(line(1, 2, "a\nb"), "1 2 a b\n");
    }

    #[test]
    fn the_map_is_where_perf_looks() {
        // Asked for by the environment, which is read once: in a process of its own.
        if std::env::var_os(PERF_MAP_ENV).is_some() {
            record(0x1000, 0x20, "kernel of the test");
            let path = format!("/tmp/perf-{}.map", std::process::id());
            let map = std::fs::read_to_string(&path).expect("the map was written");
            std::fs::remove_file(&path).expect("the map can go");
            assert!(map.lines().any(|l| l == "1000 20 kernel of the test"), "{map}");
            return;
        }
        record(0x1000, 0x20, "nobody asked for this");
        assert!(!std::path::Path::new(&format!("/tmp/perf-{}.map", std::process::id())).exists());
        let again =
            std::process::Command::new(std::env::current_exe().expect("a running program has a path"))
                .args(["--exact", "perf_map::tests::the_map_is_where_perf_looks"])
                .env(PERF_MAP_ENV, "1")
                .output()
                .expect("the program that runs can be started again");
        let text = String::from_utf8_lossy(&again.stdout);
        assert!(again.status.success() && text.contains("1 passed"), "{text}");
    }
}
