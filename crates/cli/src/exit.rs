//! How the command ends: whose mistake an error is, and what a panic becomes.

use std::panic::{self, UnwindSafe};
use std::process::ExitCode;

use wootz::passes::PassError;
use wootz::plan::PlanError;
use wootz::runtime::{BackendError, CompileError, RunError};
use wootz::transform::TransformError;

/// Something was wrong with what the command was given.
const USER: u8 = 1;
/// An error in wootz (`EX_SOFTWARE` of sysexits.h).
const BUG: u8 = 70;

/// Prints an error with its causes and returns its exit code.
pub(crate) fn report(error: &anyhow::Error) -> ExitCode {
    eprintln!("error: {error:#}");
    if error.chain().any(is_bug) {
        eprintln!("{REPORT}");
        return ExitCode::from(BUG);
    }
    ExitCode::from(USER)
}

/// Runs `body`; a panic ends as a bug report and its exit code.
pub(crate) fn catch_panics(body: impl FnOnce() -> ExitCode + UnwindSafe) -> ExitCode {
    panic::set_hook(Box::new(|info| eprintln!("error: bug in wootz: {info}\n{REPORT}")));
    panic::catch_unwind(body).unwrap_or(ExitCode::from(BUG))
}

const REPORT: &str = "Please report this, with the command line and its input files.";

/// The third kind of error: neither the input nor the backend's limits.
fn is_bug(error: &(dyn std::error::Error + 'static)) -> bool {
    let backend = |e: &BackendError| matches!(e, BackendError::Bug { .. });
    let rule = |e: &TransformError| match e {
        TransformError::Rule { source, .. } => matches!(source, wootz::ir::ops::RuleError::Type(_)),
        _ => false,
    };
    error.is::<PassError>()
        || error.downcast_ref().is_some_and(|e| matches!(e, PlanError::Unexpanded { .. }))
        || error.downcast_ref().is_some_and(backend)
        || error.downcast_ref().is_some_and(rule)
        // Transparent errors are not links of the chain.
        || error.downcast_ref().is_some_and(|e| match e {
            CompileError::Pass(_) => true,
            CompileError::Backend(e) => backend(e),
            _ => false,
        })
        || error.downcast_ref().is_some_and(|e| matches!(e, RunError::Backend(e) if backend(e)))
}
