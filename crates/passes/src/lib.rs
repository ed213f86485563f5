//! Passes over graphs: each takes a graph and gives an equivalent one with the same signature.
//!
//! [`run`] applies the passes of a level in the order of [`passes`]. Results are the same to the bit at every level, up to
//! the payload and sign of NaNs, except where the header of a pass says what else the definition of an op leaves open.
//! No pass reads names or sites; a rewritten node has the site of the node it stands for.
//!
//! ```
//! use wootz_ir::{Target, text};
//! use wootz_passes::{Optimize, run};
//!
//! let graph = text::parse(
//!     r#"graph(%x: f32[2] = input "x") {
//!          %one = constant[value=f32[2]{1.0, 1.0}]
//!          %a = exp %x
//!          %b = exp %x
//!          %y = add %a, %b
//!          return "y" = %y
//!        }"#,
//! )?;
//! let target = Target { backend: "cpu", isa: "", dtypes: vec![], claims: vec![], panel: 0, caches: [0; 3], differentiable: false };
//! let graph = run(&graph, Optimize::Basic, &target, &mut |_, _| {})?;
//! assert_eq!(graph.body.nodes().len(), 2);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod algebra;
mod blocks;
mod canonical;
mod contract;
mod cse;
mod dead;
mod emit;
mod expand;
mod fold;
mod inline;
mod pipeline;
mod reciprocal;
mod recognize;
mod recompute;
mod scatter;
mod simplify;

pub use pipeline::{Optimize, Pass, SCATTER, passes, run};

use wootz_ir::{TypeError, VerifyError};

/// A pass failed: always an error in wootz.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PassError {
    /// It built an op that does not fit its operands.
    #[error("bug in wootz: the pass `{pass}` built an ill-typed op: {error}")]
    Type {
        /// The pass.
        pass: &'static str,
        /// What is wrong.
        error: TypeError,
    },
    /// Its result is malformed.
    #[error("bug in wootz: the pass `{pass}` left a malformed graph: {error}")]
    Verify {
        /// The pass.
        pass: &'static str,
        /// What is wrong.
        error: Box<VerifyError>,
    },
    /// Its result has other inputs or outputs.
    #[error("bug in wootz: the pass `{pass}` changed the graph's signature")]
    Signature {
        /// The pass.
        pass: &'static str,
    },
}
