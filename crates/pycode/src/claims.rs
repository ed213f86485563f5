//! Which composites of a graph stay calls.

use crate::Framework;
use hashbrown::HashMap;
use std::sync::Arc;
use wootz_ir::ops::{CompositeKind, Op};
use wootz_ir::{Builder, Graph, Region, Target, TensorType, TypeError, Value};
use wootz_passes::PassError;

/// What the framework can do for this graph. Where the derivative of a composite is written out, so is the composite: both
/// then share what they compute.
pub(crate) fn target(graph: &Graph, framework: Framework) -> Target {
    // Derivatives of what updates its state are in it already.
    let mut target = framework.target(graph.outputs.iter().all(|output| output.alias.is_none()));
    let derivatives = [
        (CompositeKind::LayerNormGrad, CompositeKind::LayerNorm),
        (CompositeKind::AttentionGrad, CompositeKind::Attention),
    ];
    for (derivative, of) in derivatives {
        if !target.claims.contains(&derivative) && has(&graph.body, derivative) {
            target.claims.retain(|kind| *kind != of);
        }
    }
    target
}

fn has(region: &Region, kind: CompositeKind) -> bool {
    region.nodes().iter().any(|node| {
        matches!(&node.op, Op::Composite(op) if op.kind() == kind)
            || node.op.regions().into_iter().any(|inner| has(inner, kind))
    })
}

/// The graph with the bodies of those claimed composites that the framework does not take in the form they have.
pub(crate) fn open(graph: &Graph, framework: Framework, target: &Target) -> Result<Graph, PassError> {
    let mut open = Open { framework, target, done: HashMap::new() };
    let body = open.region(&graph.body).map_err(|error| PassError::Type { pass: "claims", error })?;
    Ok(Graph { inputs: graph.inputs.clone(), outputs: graph.outputs.clone(), body })
}

struct Open<'a> {
    framework: Framework,
    target: &'a Target,
    /// Regions done, by address, with the original kept alive.
    done: HashMap<*const Region, (Arc<Region>, Arc<Region>)>,
}

impl Open<'_> {
    fn region(&mut self, region: &Arc<Region>) -> Result<Arc<Region>, TypeError> {
        if let Some((_, done)) = self.done.get(&Arc::as_ptr(region)) {
            return Ok(done.clone());
        }
        let new =
            if self.is_as_it_should_be(region) { region.clone() } else { Arc::new(self.rewritten(region)?) };
        self.done.insert(Arc::as_ptr(region), (region.clone(), new.clone()));
        Ok(new)
    }

    fn opens(&self, region: &Region, op: &Op, inputs: &[Value]) -> bool {
        let Op::Composite(op) = op else { return false };
        let types: Vec<TensorType> = inputs.iter().map(|value| region.ty(*value).clone()).collect();
        self.target.claims.contains(&op.kind()) && !self.framework.writes(op, &types)
    }

    fn is_as_it_should_be(&self, region: &Region) -> bool {
        region.nodes().iter().all(|node| {
            !self.opens(region, &node.op, &node.inputs)
                && node.op.regions().into_iter().all(|inner| self.is_as_it_should_be(inner))
        })
    }

    fn rewritten(&mut self, region: &Region) -> Result<Region, TypeError> {
        let mut b = Builder::new();
        let mut map: Vec<Value> = region.param_types().iter().map(|ty| b.param(ty.clone())).collect();
        for node in region.nodes() {
            let inputs: Vec<Value> = node.inputs.iter().map(|value| map[value.index()]).collect();
            b.set_site(node.site.clone());
            let values = match &node.op {
                Op::Composite(op) if self.opens(region, &node.op, &node.inputs) => {
                    let types: Vec<TensorType> = inputs.iter().map(|value| b.ty(*value).clone()).collect();
                    b.inline(&op.body(&types)?, &inputs)?
                }
                Op::Control(control) => {
                    let control = control.try_map_regions(|inner| self.region(inner))?;
                    b.push_multi(control, &inputs)?
                }
                op => b.push_multi(op.clone(), &inputs)?,
            };
            map.extend(values);
        }
        let results: Vec<Value> = region.results().iter().map(|value| map[value.index()]).collect();
        Ok(b.finish(&results))
    }
}
