//! Lowering: from a graph with concrete shapes to a [`Plan`]: fused kernels, contractions, buffers with places.
//!
//! * [`kernel`]: the kernel language, what fused loops are written in.
//! * [`Plan`]: steps over buffers; what a native backend runs.
//! * [`lower`]: graph → plan.
//!
//! This crate runs nothing and knows nothing of a backend but its [`wootz_ir::Target`].

pub mod kernel;
mod lower;
mod plan;
mod print;
mod verify;

pub use kernel::Kernel;
pub use lower::{PlanError, lower};
pub use plan::{
    ALIGN, Buffer, BufferId, ControlStep, Epilogue, GemmStep, Matrix, Place, Plan, Rhs, ScatterStep,
    SegmentStep, SiteLabel, Step, StepKind, SubPlan,
};
pub use verify::{KernelError, verify_kernel};
