//! Conformance: cases that every backend must get right. Cases know no backend.
//!
//! * [`suite`]: every op at its own sample operands in every dtype it takes, the same ops at sizes around vector widths,
//!   their gradients, models, training steps.
//! * [`random_case`]: programs made of a seed, for what no list of cases thinks of: fusion, layouts, reuse of memory.
//! * [`run`]: one case on one backend against the reference interpreter, at every optimisation level, with parameters
//!   and inputs in different roles, on 1, 2 and 3 threads. [`run_all`]: many, with all failures in one report.
//! * [`run_python`]: many cases as generated source, in processes of a Python that has the framework. Derivatives twice: written
//!   by wootz, and taken by the framework of the function as it is written.
//! * [`minimise`]: from a program that fails to a small one that fails.
//!
//! ```
//! use wootz_conformance::{Outcome, run, suite};
//! use wootz_runtime::Reference;
//!
//! let case = suite().into_iter().find(|case| case.name.starts_with("add")).unwrap();
//! assert!(matches!(run(&Reference, &case), Ok(Outcome::Passed)));
//! ```

mod case;
mod compare;
mod minimise;
mod models;
mod numbers;
mod python;
mod random;
mod run;
mod samples;
mod shapes;

pub use case::{Case, Primal, Scale, Tolerance};
pub use compare::Difference;
pub use minimise::minimise;
pub use python::{PythonReport, run_python};
pub use random::random_case;
pub use run::{Mismatch, Outcome, run, run_all};

/// Every listed case: [`samples`], the same ops at other sizes, [`models`].
pub fn suite() -> Vec<Case> {
    [samples(), shapes::cases(), models()].concat()
}

/// Every op at its own sample operands, and its gradient.
pub fn samples() -> Vec<Case> {
    samples::cases()
}

/// Whole models: inference and training steps.
pub fn models() -> Vec<Case> {
    models::cases()
}
