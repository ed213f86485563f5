//! The walker that passes share: rebuilds a region node by node, trying rewrite rules on each node as it is emitted.

use crate::cse::Seen;
use hashbrown::HashMap;
use smallvec::SmallVec;
use std::sync::Arc;
use wootz_ir::ops::{Movement, Op, Source};
use wootz_ir::{Builder, DType, HostTensor, Node, Region, Target, TensorType, TypeError, Value};

/// The results of an op.
pub(crate) type Values = SmallVec<[Value; 1]>;

/// A rewrite: the values that stand for this op on these operands, or `None` to leave it. What a rule emits is itself
/// rewritten, so a rule must make progress.
pub(crate) type Rule = fn(&mut Emit<'_, '_>, &Op, &[Value]) -> Result<Option<Values>, TypeError>;

/// One application of rules to a graph.
pub(crate) struct Walk<'t> {
    pub(crate) target: &'t Target,
    rules: &'static [Rule],
    /// The ops that the rules rewrite: a region without any stays as it is.
    rewrites: fn(&Op) -> bool,
    cse: bool,
    /// Regions done, by address, with the original kept alive: what is shared stays shared.
    done: HashMap<*const Region, (Arc<Region>, Arc<Region>)>,
    /// Patterns built so far: see `recognize`.
    pub(crate) patterns: crate::recognize::Patterns,
}

impl<'t> Walk<'t> {
    /// A walk that applies `rules`, the first that matches.
    pub(crate) fn new(target: &'t Target, rules: &'static [Rule]) -> Self {
        let done = HashMap::new();
        Walk { target, rules, rewrites: |_| true, cse: false, done, patterns: Default::default() }
    }

    /// The same walk, of rules that rewrite such ops alone.
    pub(crate) fn only(self, rewrites: fn(&Op) -> bool) -> Self {
        Walk { rewrites, ..self }
    }

    /// The same walk, merging equal nodes.
    pub(crate) fn with_cse(self) -> Self {
        Walk { cse: true, ..self }
    }

    /// The region rewritten, regions its ops own first. Nodes that nothing uses are left out.
    pub(crate) fn region(&mut self, region: &Arc<Region>) -> Result<Arc<Region>, TypeError> {
        if let Some((_, done)) = self.done.get(&Arc::as_ptr(region)) {
            return Ok(done.clone());
        }
        let live = live_nodes(region);
        let touched = |node: &Node| (self.rewrites)(&node.op) || matches!(node.op, Op::Control(_));
        if !region.nodes().iter().any(touched) && live.iter().all(|live| *live) {
            return Ok(region.clone());
        }
        let new = Arc::new(self.rebuild(region, live)?);
        self.done.insert(Arc::as_ptr(region), (region.clone(), new.clone()));
        Ok(new)
    }

    fn rebuild(&mut self, region: &Region, live: Vec<bool>) -> Result<Region, TypeError> {
        let mut emit = Emit { b: Builder::new(), seen: Seen::default(), walk: self };
        emit.b.reserve(region.values());
        let mut map: Vec<Option<Value>> = Vec::with_capacity(region.values());
        map.extend(region.param_types().iter().map(|ty| Some(emit.b.param(ty.clone()))));
        for (node, live) in region.nodes().iter().zip(live) {
            if live {
                let values = emit.node(node, &map)?;
                map.extend(values.into_iter().map(Some));
            } else {
                map.extend(node.outputs().map(|_| None));
            }
        }
        let results = mapped(region.results(), &map);
        Ok(emit.b.finish(&results))
    }
}

fn mapped(values: &[Value], map: &[Option<Value>]) -> SmallVec<[Value; 4]> {
    values.iter().map(|v| map[v.index()].expect("what a live node uses is live")).collect()
}

/// Which nodes the results depend on.
pub(crate) fn live_nodes(region: &Region) -> Vec<bool> {
    let mut used = vec![false; region.values()];
    for value in region.results() {
        used[value.index()] = true;
    }
    let mut live = vec![false; region.nodes().len()];
    for (node, live) in region.nodes().iter().zip(&mut live).rev() {
        *live = node.outputs().any(|v| used[v.index()]);
        if *live {
            node.inputs.iter().for_each(|v| used[v.index()] = true);
        }
    }
    live
}

/// The region being built, as rules see it.
pub(crate) struct Emit<'w, 't> {
    b: Builder,
    seen: Seen,
    pub(crate) walk: &'w mut Walk<'t>,
}

impl Emit<'_, '_> {
    fn node(&mut self, node: &Node, map: &[Option<Value>]) -> Result<Values, TypeError> {
        let inputs = mapped(&node.inputs, map);
        self.b.set_site(node.site.clone());
        match &node.op {
            Op::Control(control) => {
                let control = control.try_map_regions(|r| self.walk.region(r))?;
                self.emit_all(&control.into(), &inputs)
            }
            op => self.emit_all(op, &inputs),
        }
    }

    /// Emits an op after trying the rules on it.
    pub(crate) fn emit_all(&mut self, op: &Op, inputs: &[Value]) -> Result<Values, TypeError> {
        for rule in self.walk.rules {
            if let Some(values) = rule(self, op, inputs)? {
                return Ok(values);
            }
        }
        let hash = self.walk.cse.then(|| self.seen.hash(op, inputs));
        if let Some(node) = hash.and_then(|hash| self.seen.find(hash, self.b.region(), op, inputs)) {
            return Ok(self.b.region().node(node).outputs().collect());
        }
        let node = self.b.push_node(op.clone(), inputs)?;
        if let Some(hash) = hash {
            self.seen.insert(hash, node);
        }
        Ok(self.b.region().node(node).outputs().collect())
    }

    /// Emits an op with one result after trying the rules on it.
    pub(crate) fn emit(&mut self, op: impl Into<Op>, inputs: &[Value]) -> Result<Value, TypeError> {
        Ok(self.emit_all(&op.into(), inputs)?[0])
    }

    /// Emits the nodes of a region, its parameters replaced by `args`; gives its results.
    pub(crate) fn inline(&mut self, region: &Region, args: &[Value]) -> Result<Values, TypeError> {
        let mut map: Vec<Value> = args.to_vec();
        let outer = self.b.site().clone();
        for node in region.nodes() {
            let inputs: SmallVec<[Value; 4]> = node.inputs.iter().map(|v| map[v.index()]).collect();
            self.b.set_site(if node.site.is_unknown() { outer.clone() } else { node.site.clone() });
            let values = self.emit_all(&node.op, &inputs)?;
            map.extend(values);
        }
        self.b.set_site(outer);
        Ok(region.results().iter().map(|v| map[v.index()]).collect())
    }

    /// The type of a value.
    pub(crate) fn ty(&self, value: Value) -> &TensorType {
        self.b.ty(value)
    }

    /// The op that gives this value and its operands, if the op has one result.
    pub(crate) fn def(&self, value: Value) -> Option<(&Op, &[Value])> {
        let node = self.b.region().defining_node(value)?;
        (node.outputs().len() == 1).then_some((&node.op, &node.inputs[..]))
    }

    /// The contents of a constant.
    pub(crate) fn constant(&self, value: Value) -> Option<&HostTensor> {
        match self.def(value)? {
            (Op::Source(Source::Constant(tensor)), _) => Some(tensor),
            _ => None,
        }
    }

    /// The constant of one element that every element of this value is, if it is a repeated constant.
    pub(crate) fn repeated(&self, mut value: Value) -> Option<&HostTensor> {
        loop {
            match self.def(value)? {
                (Op::Source(Source::Constant(t)), _) if t.len() == 1 => return Some(t),
                (Op::Movement(Movement::Broadcast { .. } | Movement::Reshape { .. }), x) => value = x[0],
                _ => return None,
            }
        }
    }

    /// The same as a scalar.
    pub(crate) fn splat(&self, value: Value) -> Option<HostTensor> {
        self.repeated(value)?.reshaped(&[]).ok()
    }

    /// True if every element of this value is `number` to the bit.
    pub(crate) fn is_splat(&self, value: Value, number: f64) -> bool {
        self.repeated(value).is_some_and(|t| match t.dtype() {
            // Asked of every operand of every op: nothing is allocated for most.
            DType::F32 => t.as_bytes() == (number as f32).to_ne_bytes(),
            DType::F64 => t.as_bytes() == number.to_ne_bytes(),
            dtype => t.as_bytes() == HostTensor::scalar(dtype, number).as_bytes(),
        })
    }

    /// This scalar repeated to a shape.
    pub(crate) fn full(&mut self, scalar: HostTensor, like: &TensorType) -> Result<Value, TypeError> {
        let scalar = self.emit(Source::Constant(scalar), &[])?;
        self.broadcast(scalar, like, &[])
    }

    /// A broadcast, unless it changes nothing.
    pub(crate) fn broadcast(
        &mut self,
        x: Value,
        like: &TensorType,
        axes: &[usize],
    ) -> Result<Value, TypeError> {
        if self.ty(x).shape == like.shape {
            return Ok(x);
        }
        self.emit(Movement::Broadcast { shape: like.shape.clone(), axes: axes.into() }, &[x])
    }
}
