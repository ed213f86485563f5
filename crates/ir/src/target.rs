//! What a backend can do, as plain data.

use crate::DType;
use crate::ops::CompositeKind;

/// A description of where a program will run; passes and plan are functions of it and of the graph.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Target {
    /// The backend's name: `cpu`, `cuda`, `jax`, ….
    pub backend: &'static str,
    /// The instruction set or device architecture: `portable`, `avx2`, `avx512`, `sm_90`, …; empty if it does not matter.
    pub isa: &'static str,
    /// Dtypes the backend computes.
    pub dtypes: Vec<DType>,
    /// Composites the backend runs as one step; the others are expanded into their bodies.
    pub claims: Vec<CompositeKind>,
    /// Bytes of one row of a panel of the packed right operands of contractions; 0 if the backend packs none.
    pub panel: usize,
    /// Sizes of the data caches of one core, innermost first, in bytes.
    pub caches: [usize; 3],
    /// Whether derivatives of the program may still be taken, by the framework whose source it becomes. Then
    /// `stop_gradient` and `custom_vjp` mean something even after the passes.
    pub differentiable: bool,
}
