//! What a framework cannot do.

use crate::Framework;
use wootz_ir::Site;

/// Source cannot be written.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EmitError {
    /// The framework lacks a dtype.
    #[error("backend `{framework}` has no {dtype}, which {op} needs{}", place(.site))]
    DType {
        /// The framework.
        framework: Framework,
        /// The dtype it lacks.
        dtype: wootz_ir::DType,
        /// The op that takes or gives it, or the input that has it: "`add`", "parameter `0.weight` of `linear`".
        op: String,
        /// The user's name for the place.
        site: Site,
    },
    /// A size is still symbolic.
    #[error("`{op}` has the open size {dim}{}; give the sizes of all inputs", place(.site))]
    Symbolic {
        /// The op.
        op: String,
        /// The size.
        dim: wootz_ir::Dim,
        /// The user's name for the place.
        site: Site,
    },
    /// A framework that takes no derivatives was to take them.
    #[error("backend `{framework}` takes no derivatives; leave them to wootz")]
    Derivatives {
        /// The framework.
        framework: Framework,
    },
    /// Layers were to be stacked where none are equal and in a row.
    #[error(
        "no layers to stack: in this program no two equal blocks follow each other; leave `stack_layers` out"
    )]
    NothingToStack,
    /// A framework without loops of its own was to stack layers.
    #[error("backend `{framework}` has no loop to run stacked layers in; leave `stack_layers` out")]
    Stacking {
        /// The framework.
        framework: Framework,
    },
    /// A pass failed.
    #[error(transparent)]
    Pass(#[from] wootz_passes::PassError),
}

fn place(site: &Site) -> String {
    if site.is_unknown() { String::new() } else { format!(" (at {site})") }
}
