//! Ctrl-C during long runs.

use pyo3::prelude::*;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// Looks for Ctrl-C now and then. Runs that never ask pay nothing.
#[derive(Default)]
pub(crate) struct Watch(Mutex<State>);

#[derive(Default)]
struct State {
    last: Option<Instant>,
    raised: Option<PyErr>,
}

impl Watch {
    /// Whether a signal's handler raised an exception. Asks Python at most every 50 ms.
    pub(crate) fn cancelled(&self) -> bool {
        const EVERY: Duration = Duration::from_millis(50);
        let mut state = self.state();
        if state.raised.is_some() {
            return true;
        }
        if state.last.is_some_and(|last| last.elapsed() < EVERY) {
            return false;
        }
        state.raised = Python::attach(|py| py.check_signals()).err();
        state.last = Some(Instant::now());
        state.raised.is_some()
    }

    /// The exception.
    pub(crate) fn raised(&self) -> Option<PyErr> {
        self.state().raised.take()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
