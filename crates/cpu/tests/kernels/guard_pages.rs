//! That guard pages guard.

use crate::guard::{Edge, Guarded};

/// The process that touches what lies next to the memory is another one: this test, started again.
#[test]
fn guard_pages_end_the_process() {
    const EDGE: &str = "WOOTZ_TEST_TOUCH";
    if let Ok(edge) = std::env::var(EDGE) {
        let (edge, at) = if edge == "start" { (Edge::Start, -1) } else { (Edge::End, 100) };
        let memory = Guarded::holding(&[1; 100], edge);
        // SAFETY: none: the read ends the process, which is what is tested.
        let byte = unsafe { memory.as_mut_ptr().offset(at).read_volatile() };
        panic!("read {byte} outside of the memory");
    }
    for edge in ["start", "end"] {
        let mut again = std::process::Command::new(std::env::current_exe().unwrap());
        again.args(["--exact", "guard_pages::guard_pages_end_the_process"]).env(EDGE, edge);
        let output = again.output().unwrap();
        // A failed test exits with a code; a fault is a signal.
        assert_eq!(output.status.code(), None, "{}", String::from_utf8_lossy(&output.stdout));
    }
}
