//! The builder: the only way to make a region. Every op is type-checked as it is added.

mod sugar;

use crate::ops::InferCx;
use crate::{Def, Dim, DimMismatch, Node, NodeId, Op, Region, Site, Solver, TensorType, TypeError, Value};
use smallvec::SmallVec;
use std::sync::Arc;

/// Builds one region.
///
/// An op is added with [`push`](Builder::push) or with the method of its name, which also broadcasts operands as NumPy does by
/// inserting explicit `broadcast` ops. Equalities between symbolic dims that an op requires are solved as they arise
/// if the builder was made by [`Builder::tracing`]; otherwise dims must already agree.
#[derive(Debug)]
pub struct Builder {
    region: Region,
    site: Site,
    solver: Solver,
}

impl Default for Builder {
    fn default() -> Self {
        Builder::new()
    }
}

impl Builder {
    /// A builder whose symbolic dims are fixed: rules and passes use this one.
    pub fn new() -> Builder {
        Builder { region: Region::default(), site: Site::default(), solver: Solver::closed() }
    }

    /// A builder that learns what symbolic dims are from the ops applied to them: front ends use this one.
    pub fn tracing() -> Builder {
        Builder { solver: Solver::open(), ..Builder::new() }
    }

    /// Makes room for so many nodes more.
    pub fn reserve(&mut self, nodes: usize) {
        self.region.nodes.reserve(nodes);
        self.region.types.reserve(nodes);
        self.region.defs.reserve(nodes);
    }

    /// Adds a parameter.
    ///
    /// # Panics
    /// If a node was already added: parameters come first.
    pub fn param(&mut self, ty: TensorType) -> Value {
        assert!(self.region.nodes.is_empty(), "parameters come before nodes");
        let def = Def::Param(self.region.params as usize);
        self.region.params += 1;
        self.value(ty, def)
    }

    /// Adds an op with one output.
    pub fn push(&mut self, op: impl Into<Op>, inputs: &[Value]) -> Result<Value, TypeError> {
        let id = self.push_node(op.into(), inputs)?;
        Ok(self.region.node(id).output())
    }

    /// Adds an op with any number of outputs.
    pub fn push_multi(&mut self, op: impl Into<Op>, inputs: &[Value]) -> Result<Vec<Value>, TypeError> {
        let id = self.push_node(op.into(), inputs)?;
        Ok(self.region.node(id).outputs().collect())
    }

    /// The type of a value built so far.
    pub fn ty(&self, value: Value) -> &TensorType {
        self.region.ty(value)
    }

    /// The region built so far.
    pub fn region(&self) -> &Region {
        &self.region
    }

    /// Sets the place that ops added from here on are said to come from; returns the previous one.
    pub fn set_site(&mut self, site: Site) -> Site {
        std::mem::replace(&mut self.site, site)
    }

    /// The place that ops are being said to come from.
    pub fn site(&self) -> &Site {
        &self.site
    }

    /// Requires two dims to be equal, as an op would.
    pub fn unify(&mut self, a: &Dim, b: &Dim) -> Result<(), DimMismatch> {
        self.solver.unify(a, b)
    }

    /// What is known of symbolic dims so far.
    pub fn solver(&self) -> &Solver {
        &self.solver
    }

    /// Copies a region's nodes here, its parameters replaced by `args`; returns its results.
    pub fn inline(&mut self, region: &Region, args: &[Value]) -> Result<Vec<Value>, TypeError> {
        assert_eq!(args.len(), region.params as usize, "one argument a parameter");
        let mut map: Vec<Value> = args.to_vec();
        for node in &region.nodes {
            let inputs: SmallVec<[Value; 4]> = node.inputs.iter().map(|v| map[v.index()]).collect();
            let outer = (!node.site.is_unknown()).then(|| self.set_site(node.site.clone()));
            let outputs = self.push_multi(node.op.clone(), &inputs);
            if let Some(site) = outer {
                self.site = site;
            }
            map.extend(outputs?);
        }
        Ok(region.results.iter().map(|v| map[v.index()]).collect())
    }

    /// Builds a region for an op to own: `f` gets its builder and its parameters and returns its results.
    pub fn subregion<E: From<TypeError>>(
        &self,
        params: &[TensorType],
        f: impl FnOnce(&mut Builder, &[Value]) -> Result<Vec<Value>, E>,
    ) -> Result<Arc<Region>, E> {
        let mut inner =
            Builder { region: Region::default(), site: self.site.clone(), solver: Solver::closed() };
        let params: Vec<Value> = params.iter().map(|t| inner.param(t.clone())).collect();
        let results = f(&mut inner, &params)?;
        Ok(Arc::new(inner.finish(&results)))
    }

    /// Ends the region. Whatever was learnt of symbolic dims is put in place everywhere.
    pub fn finish(mut self, results: &[Value]) -> Region {
        self.region.results = results.to_vec();
        if self.solver.is_empty() {
            return self.region;
        }
        self.region.map_dims(&|d| self.solver.resolve(d))
    }

    /// Adds an op; gives its node.
    pub fn push_node(&mut self, op: Op, inputs: &[Value]) -> Result<NodeId, TypeError> {
        let types: SmallVec<[&TensorType; 4]> =
            inputs.iter().map(|v| &self.region.types[v.index()]).collect();
        let mut cx = InferCx { op: &op, inputs: &types, solver: &mut self.solver };
        let outputs = op.infer(&mut cx).map_err(|e| e.at(&self.site))?;
        drop(types);
        let id = NodeId(self.region.nodes.len() as u32);
        let first = self.region.types.len() as u32;
        let count = outputs.len() as u32;
        for (i, ty) in outputs.into_iter().enumerate() {
            self.value(ty, Def::Node(id, i));
        }
        let site = self.site.clone();
        self.region.nodes.push(Node {
            op,
            inputs: SmallVec::from_slice(inputs),
            site,
            first,
            outputs: count,
        });
        Ok(id)
    }

    fn value(&mut self, ty: TensorType, def: Def) -> Value {
        let value = Value(self.region.types.len() as u32);
        self.region.types.push(ty);
        self.region.defs.push(def);
        value
    }
}

impl Region {
    /// Replaces every dim, in types, attributes and nested regions.
    #[must_use]
    pub fn map_dims(&self, f: &dyn Fn(&Dim) -> Dim) -> Region {
        let mut out = self.clone();
        for ty in &mut out.types {
            ty.shape = ty.shape.map(f);
        }
        for node in &mut out.nodes {
            node.op = node.op.map_dims(f);
        }
        out
    }
}
