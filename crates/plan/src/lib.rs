//! Lowering: from a graph with concrete shapes to a [`Plan`]: fused kernels, contractions, buffers with places.
//!
//! * [`kernel`]: the kernel language, what fused loops are written in; it prints as text and parses back.
//! * [`interpret`](mod@interpret): its reference interpreter.
//! * [`math`]: elementary and special functions as kernel code.
//! * [`Plan`]: steps over buffers; what a native backend runs.
//! * [`lower`]: graph → plan.
//!
//! Apart from the interpreter this crate runs nothing; it knows nothing of a backend but its [`wootz_ir::Target`].

pub mod interpret;
pub mod kernel;
mod lower;
pub mod math;
mod parse;
mod plan;
mod print;
mod verify;

pub use interpret::interpret;
pub use kernel::Kernel;
pub use lower::{CLAIMS, PlanError, lower};
pub use parse::{KernelParseError, KernelParseErrorKind};
pub use plan::{
    ALIGN, Buffer, BufferId, ControlStep, CumsumStep, Epilogue, GemmStep, LinalgStep, Matrix, Place, Plan,
    Rhs, ScatterStep, SegmentStep, SiteLabel, Step, StepKind, SubPlan,
};
pub use verify::{KernelError, verify_kernel, verify_kernel_on};
