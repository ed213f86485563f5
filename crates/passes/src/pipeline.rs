//! The passes of each level, in order.

use crate::{PassError, canonical, contract, dead, expand, inline, recognize, recompute, scatter, simplify};
use wootz_ir::{Graph, Region, Target, TypeError};
#[cfg(debug_assertions)]
use wootz_ir::{TensorType, verify};

use std::sync::Arc;

/// How much work goes into a better graph.
#[derive(Copy, Clone, Debug, PartialEq, Eq, Hash, Default)]
pub enum Optimize {
    /// Only what a backend needs: composites that it does not claim are expanded.
    None,
    /// Constant folding, algebraic rules, common subexpressions, dead code.
    Basic,
    /// All of it: inlining, recognition of composites, canonical forms for fusion, recomputation.
    #[default]
    Full,
}

/// A named step of the pipeline.
#[derive(Copy, Clone)]
pub struct Pass {
    /// The name in messages and for observers.
    pub name: &'static str,
    run: fn(&Arc<Region>, &Target) -> Result<Arc<Region>, TypeError>,
}

impl std::fmt::Debug for Pass {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name)
    }
}

const EXPAND: Pass = Pass { name: "expand", run: expand::run };
/// The same, large reductions cut where the target's caches matter.
const EXPAND_IN_BLOCKS: Pass = Pass { name: "expand", run: expand::run_in_blocks };
const INLINE: Pass = Pass { name: "inline", run: inline::run };
const SIMPLIFY: Pass = Pass { name: "simplify", run: simplify::run };
const RECOGNIZE: Pass = Pass { name: "recognize", run: recognize::run };
const CANONICAL: Pass = Pass { name: "canonical", run: canonical::run };
const CONTRACT: Pass = Pass { name: "contract", run: contract::run };
const DEAD: Pass = Pass { name: "dead", run: dead::run };
const RECOMPUTE: Pass = Pass { name: "recompute", run: recompute::run };
/// Sums of constant reads as scatters, for backends that add at indices as fast as they read: part of no level.
pub const SCATTER: Pass = Pass { name: "scatter", run: scatter::run };

/// The passes of a level, in order.
pub fn passes(level: Optimize) -> Vec<Pass> {
    let mut list = vec![if level == Optimize::Full { EXPAND_IN_BLOCKS } else { EXPAND }];
    match level {
        Optimize::None => {}
        Optimize::Basic => list.extend([SIMPLIFY, DEAD]),
        Optimize::Full => {
            list.extend([INLINE, SIMPLIFY, CANONICAL, RECOGNIZE, CONTRACT, RECOMPUTE, DEAD]);
        }
    }
    list
}

/// Applies the passes of a level; `observer` sees the graph after each. Debug builds verify it after each as well.
pub fn run(
    graph: &Graph,
    level: Optimize,
    target: &Target,
    observer: &mut dyn FnMut(&'static str, &Graph),
) -> Result<Graph, PassError> {
    let mut graph = graph.clone();
    for pass in passes(level) {
        graph = pass.apply(&graph, target)?;
        observer(pass.name, &graph);
    }
    Ok(graph)
}

impl Pass {
    /// Applies this pass alone.
    pub fn apply(&self, graph: &Graph, target: &Target) -> Result<Graph, PassError> {
        let body =
            (self.run)(&graph.body, target).map_err(|error| PassError::Type { pass: self.name, error })?;
        let after = Graph { inputs: graph.inputs.clone(), outputs: graph.outputs.clone(), body };
        #[cfg(debug_assertions)]
        self.check(graph, &after)?;
        Ok(after)
    }

    #[cfg(debug_assertions)]
    fn check(&self, before: &Graph, after: &Graph) -> Result<(), PassError> {
        verify(after).map_err(|error| PassError::Verify { pass: self.name, error: Box::new(error) })?;
        let signature = |g: &Graph| -> (Vec<TensorType>, Vec<TensorType>) {
            (g.body.param_types().to_vec(), g.body.result_types())
        };
        if signature(before) != signature(after) {
            return Err(PassError::Signature { pass: self.name });
        }
        Ok(())
    }
}
