//! Recomputation against saving: a large value that one cheap op gives, and that is used again far from there, is computed
//! anew near that use if its operands are alive there anyway. A fused kernel then reads the operand and computes the value
//! in registers, where the saved value would take a buffer from its definition to its last use (a bias broadcast or a
//! mask of the forward part, used in the backward part).
//!
//! The rule: the op is a broadcast, a cast, a comparison or an exact arithmetic op (one instruction an element); the value
//! has at least [`MIN_BYTES`] bytes or symbolic size; the use is more than [`FAR`] nodes away; every operand is a parameter,
//! a repeated constant, or used at or after that place too.
//!
//! Before (with `FAR` nodes between them):
//!
//! ```text
//! %1 = gt %x, %zero : bool[1024]
//! %2 = select %1, %x, %zero : f32[1024]
//! …
//! %90 = select %1, %89, %zero : f32[1024]
//! ```
//!
//! After:
//!
//! ```text
//! %1 = gt %x, %zero : bool[1024]
//! %2 = select %1, %x, %zero : f32[1024]
//! …
//! %90 = gt %x, %zero : bool[1024]
//! %91 = select %90, %89, %zero : f32[1024]
//! ```

use hashbrown::HashMap;
use std::sync::Arc;
use wootz_ir::ops::{Binary, Movement, Op, Source, Unary};
use wootz_ir::{Builder, Def, Node, Region, Target, TypeError, Value};

/// Nodes between a definition and a use from which the use counts as far.
const FAR: usize = 32;
/// Smaller values are kept: they stay in cache.
const MIN_BYTES: usize = 1 << 10;

pub(crate) fn run(region: &Arc<Region>, _target: &Target) -> Result<Arc<Region>, TypeError> {
    Recompute::default().region(region)
}

#[derive(Default)]
struct Recompute {
    /// Regions done, by address, with the original kept alive.
    done: HashMap<*const Region, (Arc<Region>, Arc<Region>)>,
}

impl Recompute {
    fn region(&mut self, region: &Arc<Region>) -> Result<Arc<Region>, TypeError> {
        if let Some((_, done)) = self.done.get(&Arc::as_ptr(region)) {
            return Ok(done.clone());
        }
        let owns = region.nodes().iter().any(|n| matches!(n.op, Op::Control(_)));
        let last = last_uses(region);
        let new = match owns || is_worth_it_anywhere(region, &last) {
            true => Arc::new(self.rebuild(region, &last)?),
            false => region.clone(),
        };
        self.done.insert(Arc::as_ptr(region), (region.clone(), new.clone()));
        Ok(new)
    }

    fn rebuild(&mut self, region: &Region, last: &[usize]) -> Result<Region, TypeError> {
        let mut b = Builder::new();
        b.reserve(region.values());
        let mut map: Vec<Value> = region.param_types().iter().map(|ty| b.param(ty.clone())).collect();
        // Where in the old order the copy that `map` names was computed.
        let mut computed: Vec<usize> = vec![0; region.values()];
        for (at, node) in region.nodes().iter().enumerate() {
            for value in &node.inputs {
                if at - computed[value.index()].min(at) > FAR && is_worth_it(region, last, *value, at) {
                    let source = region.defining_node(*value).expect("only nodes are worth it");
                    let inputs: Vec<Value> = source.inputs.iter().map(|v| map[v.index()]).collect();
                    b.set_site(source.site.clone());
                    map[value.index()] = b.push(source.op.clone(), &inputs)?;
                    computed[value.index()] = at;
                }
            }
            let inputs: Vec<Value> = node.inputs.iter().map(|v| map[v.index()]).collect();
            let op = match &node.op {
                Op::Control(control) => control.try_map_regions(|r| self.region(r))?.into(),
                op => op.clone(),
            };
            b.set_site(node.site.clone());
            map.extend(b.push_multi(op, &inputs)?);
            node.outputs().for_each(|v| computed[v.index()] = at);
        }
        let results: Vec<Value> = region.results().iter().map(|v| map[v.index()]).collect();
        Ok(b.finish(&results))
    }
}

/// The last node that uses each value; results are used after all nodes.
fn last_uses(region: &Region) -> Vec<usize> {
    let mut last = vec![0; region.values()];
    for (at, node) in region.nodes().iter().enumerate() {
        node.inputs.iter().for_each(|v| last[v.index()] = at);
    }
    region.results().iter().for_each(|v| last[v.index()] = usize::MAX);
    last
}

/// Whether some node is far enough from what it uses, so that a copy is made.
fn is_worth_it_anywhere(region: &Region, last: &[usize]) -> bool {
    let defined = |v: Value| match region.def(v) {
        Def::Param(_) => 0,
        Def::Node(id, _) => id.index(),
    };
    let far = |at: usize, v: Value| at - defined(v) > FAR && is_worth_it(region, last, v, at);
    region.nodes().iter().enumerate().any(|(at, node)| node.inputs.iter().any(|v| far(at, *v)))
}

fn is_worth_it(region: &Region, last: &[usize], value: Value, at: usize) -> bool {
    let Some(node) = region.defining_node(value) else { return false };
    let large = region.ty(value).bytes().is_none_or(|n| n >= MIN_BYTES);
    let alive = |v: &Value| {
        matches!(region.def(*v), Def::Param(_)) || last[v.index()] >= at || is_repeated_constant(region, *v)
    };
    large && is_cheap(node) && !is_repeated_constant(region, value) && node.inputs.iter().all(alive)
}

fn is_cheap(node: &Node) -> bool {
    match &node.op {
        Op::Movement(Movement::Broadcast { .. }) | Op::Cast(_) | Op::Compare(_) => true,
        Op::Unary(op) => matches!(op, Unary::Neg | Unary::Abs | Unary::Not),
        Op::Binary(op) => matches!(op, Binary::Add | Binary::Sub | Binary::Mul | Binary::And | Binary::Or),
        _ => false,
    }
}

/// A constant or a broadcast of one: fused kernels take it as an immediate, so it has no lifetime to speak of.
fn is_repeated_constant(region: &Region, mut value: Value) -> bool {
    loop {
        match region.defining_node(value) {
            Some(Node { op: Op::Movement(Movement::Broadcast { .. }), inputs, .. }) => value = inputs[0],
            Some(Node { op: Op::Source(Source::Constant(t)), .. }) => return t.len() == 1,
            _ => return false,
        }
    }
}
