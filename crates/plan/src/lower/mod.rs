//! Graph → plan. The way a value goes:
//!
//! 1. [`roots`] decides which values get a kernel or step of their own (roots) and which are computed where they are used.
//! 2. [`cluster`] groups roots that can share one loop nest: producers with consumers, siblings with siblings, elementwise
//!    consumers with the contraction they follow.
//! 3. [`emit`] writes each cluster as a kernel (or the epilogue of a contraction), [`tidy`] drops stores nobody reads, joins
//!    loops and picks the lanes.
//! 4. [`memory`] gives every buffer a place.

mod cluster;
mod control;
mod emit;
mod gemm;
mod index;
mod inst;
mod memory;
mod merge;
mod roots;
mod rows;
mod schedule;
mod split;
mod steps;
mod sums;
mod tidy;

use crate::{Buffer, BufferId, Matrix, Place, Plan, Step, verify_kernel_on};
use hashbrown::HashMap;
pub use roots::CLAIMS;
use wootz_ir::{Dim, Dims, Graph, HostTensor, Region, Role, Site, Target, Value};

/// A graph cannot be lowered.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PlanError {
    /// A size is not a number.
    #[error("the size {dim} is not a number: specialise the graph before it is planned{}", at(.site))]
    Symbolic {
        /// The size.
        dim: Dim,
        /// The user's name for the place.
        site: Site,
    },
    /// A tensor's size in bytes does not fit the machine's words.
    #[error("a tensor of the program is too large for this machine{}", at(.site))]
    TooLarge {
        /// The user's name for the place.
        site: Site,
    },
    /// A composite that the backend does not claim was not expanded.
    #[error("bug in wootz: `{op}` reached the plan unexpanded{}", at(.site))]
    Unexpanded {
        /// The composite.
        op: &'static str,
        /// The user's name for the place.
        site: Site,
    },
}

fn at(site: &Site) -> String {
    if site.is_unknown() { String::new() } else { format!(" (at {site})") }
}

/// Lowers a graph whose composites are expanded and whose sizes are numbers.
pub fn lower(graph: &Graph, target: &Target) -> Result<Plan, PlanError> {
    let signature = Signature {
        params: graph.inputs.iter().map(|i| i.role == Role::Param).collect(),
        aliases: graph.outputs.iter().map(|o| o.alias).collect(),
        allow_prepare: true,
    };
    let mut regions = control::SubPlans::default();
    region(&graph.body, &signature, target, &mut regions)
}

/// What is known of a region's parameters and results.
struct Signature {
    /// Which parameters change rarely: what depends on them alone is prepared.
    params: Vec<bool>,
    /// The parameter whose buffer each result takes over.
    aliases: Vec<Option<usize>>,
    /// Whether the plan may have a prepare part (sub-plans may not).
    allow_prepare: bool,
}

fn region(
    region: &Region,
    signature: &Signature,
    target: &Target,
    regions: &mut control::SubPlans,
) -> Result<Plan, PlanError> {
    let shapes = concrete_shapes(region)?;
    let mut analysis = roots::analyse(region, &shapes, signature)?;
    let (clusters, in_place) = cluster::form(region, &shapes, &analysis, signature);
    analysis.in_place = in_place;
    let mut lowering = Lowering::new(region, shapes, analysis, target);
    lowering.bind_signature(signature);
    for cluster in &clusters {
        lowering.cluster(cluster, regions)?;
    }
    lowering.bind_results(signature);
    tidy::drop_unread_stores(&mut lowering);
    merge::join_small(&mut lowering.steps);
    let plan = memory::place(lowering);
    debug_assert!(verify(&plan).is_ok(), "{:?}\n{plan}", verify(&plan));
    Ok(plan)
}

/// Verifies every kernel of a plan on its buffers.
fn verify(plan: &Plan) -> Result<(), crate::KernelError> {
    let verify = |kernel: &crate::Kernel, args: &[BufferId]| {
        let elements = args.iter().map(|b| {
            let buffer = &plan.buffers[b.0 as usize];
            buffer.bytes / buffer.dtype.size()
        });
        verify_kernel_on(kernel, &elements.collect::<Vec<_>>())
    };
    for step in plan.prepare.iter().chain(&plan.steps) {
        match &step.kind {
            crate::StepKind::Kernel { kernel, args } => verify(kernel, args)?,
            crate::StepKind::Gemm(gemm) => {
                gemm.epilogue.as_ref().map_or(Ok(()), |e| verify(&e.kernel, &e.args))?;
            }
            _ => {}
        }
    }
    Ok(())
}

/// Every value's sizes as numbers.
fn concrete_shapes(region: &Region) -> Result<Vec<Dims>, PlanError> {
    let mut shapes = Vec::with_capacity(region.values());
    let mut push = |value: Value, site: &Site| -> Result<(), PlanError> {
        let ty = region.ty(value);
        if let Some(dim) = ty.shape.iter().find(|d| d.as_const().is_none()) {
            return Err(PlanError::Symbolic { dim: dim.clone(), site: site.clone() });
        }
        if ty.bytes().is_none_or(|n| n > isize::MAX as usize / 2) {
            return Err(PlanError::TooLarge { site: site.clone() });
        }
        shapes.push(ty.shape.concrete().unwrap_or_default());
        Ok(())
    };
    for param in region.params() {
        push(param, &Site::default())?;
    }
    for node in region.nodes() {
        for output in node.outputs() {
            push(output, &node.site)?;
        }
    }
    Ok(shapes)
}

/// The state of lowering one region.
struct Lowering<'g> {
    region: &'g Region,
    target: &'g Target,
    shapes: Vec<Dims>,
    analysis: roots::Analysis,
    /// The buffer that holds a stored value, once it has one.
    stored: HashMap<Value, BufferId>,
    buffers: Vec<Buffer>,
    prepare: Vec<Step>,
    steps: Vec<Step>,
    inputs: Vec<BufferId>,
    outputs: Vec<BufferId>,
    constants: Vec<HostTensor>,
    prepared: Vec<usize>,
    /// Right operands packed by the prepare part.
    packs: HashMap<(Matrix, usize, usize), BufferId>,
    /// Which inputs change rarely.
    rare: Vec<bool>,
    /// The partial results of reductions in two steps.
    partials: HashMap<Value, split::Partial>,
}

impl<'g> Lowering<'g> {
    fn new(region: &'g Region, shapes: Vec<Dims>, analysis: roots::Analysis, target: &'g Target) -> Self {
        Lowering {
            region,
            target,
            shapes,
            analysis,
            stored: HashMap::new(),
            buffers: Vec::new(),
            prepare: Vec::new(),
            steps: Vec::new(),
            inputs: Vec::new(),
            outputs: Vec::new(),
            constants: Vec::new(),
            prepared: Vec::new(),
            packs: HashMap::new(),
            rare: Vec::new(),
            partials: HashMap::new(),
        }
    }

    fn shape(&self, value: Value) -> &Dims {
        &self.shapes[value.index()]
    }

    fn elements(&self, value: Value) -> usize {
        self.shape(value).iter().product()
    }

    /// A new buffer for a value's elements; it gets a place in the arena later unless it is given one.
    fn new_buffer(&mut self, value: Value, place: Place) -> BufferId {
        let dtype = self.region.ty(value).dtype;
        let bytes = self.elements(value) * dtype.size();
        self.raw_buffer(dtype, bytes, place)
    }

    fn raw_buffer(&mut self, dtype: wootz_ir::DType, bytes: usize, place: Place) -> BufferId {
        self.buffers.push(Buffer { dtype, bytes, place });
        BufferId(self.buffers.len() as u32 - 1)
    }

    /// The buffer of a stored value (a root, a parameter, a constant, or a reshape of one).
    fn buffer(&mut self, value: Value) -> BufferId {
        let value = self.analysis.storage(value);
        if let Some(buffer) = self.stored.get(&value) {
            return *buffer;
        }
        let place = match self.analysis.constant(self.region, value) {
            Some(constant) => {
                self.constants.push(constant.clone());
                Place::Constant(self.constants.len() - 1)
            }
            None if self.analysis.is_prepared(value) => self.prepared_place(value),
            None => Place::Arena(0),
        };
        let buffer = self.new_buffer(value, place);
        self.stored.insert(value, buffer);
        buffer
    }

    fn prepared_place(&mut self, value: Value) -> Place {
        let bytes = self.elements(value) * self.region.ty(value).dtype.size();
        self.prepared.push(bytes);
        Place::Prepared(self.prepared.len() - 1)
    }

    /// Gives parameters their buffers, and results in-place or output buffers where their value is a root's.
    fn bind_signature(&mut self, signature: &Signature) {
        for (i, param) in self.region.params().enumerate() {
            let buffer = self.new_buffer(param, Place::Input(i));
            self.stored.insert(param, buffer);
            self.inputs.push(buffer);
        }
        let changes = |i: usize| signature.aliases.contains(&Some(i));
        let rare =
            signature.params.iter().enumerate().map(|(i, p)| *p && signature.allow_prepare && !changes(i));
        self.rare = rare.collect();
        let region = self.region;
        for (i, result) in region.results().iter().enumerate() {
            let value = self.analysis.storage(*result);
            // Only a root's first result can be written in place; the rest are copies made by `bind_results`.
            let fresh = self.analysis.is_root(value)
                && !self.stored.contains_key(&value)
                && !self.analysis.is_prepared(value);
            let buffer = match signature.aliases[i] {
                Some(input) if fresh && self.analysis.in_place[i] => self.inputs[input],
                Some(input) => {
                    self.outputs.push(self.inputs[input]);
                    continue;
                }
                None if fresh => self.new_buffer(value, Place::Output(i)),
                None => {
                    let buffer = self.new_buffer(*result, Place::Output(i));
                    self.outputs.push(buffer);
                    continue;
                }
            };
            self.stored.insert(value, buffer);
            self.outputs.push(buffer);
        }
    }

    /// Copies results that are not written where they belong: parameters, constants, repeated results, and updates that could
    /// not be made in place.
    fn bind_results(&mut self, signature: &Signature) {
        let region = self.region;
        let sources: Vec<BufferId> = region.results().iter().map(|r| self.buffer(*r)).collect();
        let overwritten: Vec<BufferId> =
            (0..sources.len()).filter(|i| sources[*i] != self.outputs[*i]).map(|i| self.outputs[i]).collect();
        let changes = |own: &Self, param: Value, buffer: BufferId| {
            overwritten.contains(&buffer) || own.stored.iter().any(|(v, b)| *b == buffer && *v != param)
        };
        let (mut early, mut late) = (Vec::new(), Vec::new());
        for (i, result) in region.results().iter().enumerate() {
            let (mut from, to) = (sources[i], self.outputs[i]);
            if from == to {
                continue;
            }
            let Buffer { dtype, bytes, .. } = self.buffers[to.0 as usize].clone();
            let copy =
                |from, to| Step { kind: crate::StepKind::Copy { from, to, bytes }, site: Default::default() };
            // The old value of a parameter is read before anything is updated; an update lands after everything has read.
            let value = self.analysis.storage(*result);
            if region.defining_node(value).is_none() {
                if signature.aliases[i].is_none() {
                    early.push(copy(from, to));
                    continue;
                }
                if changes(self, value, from) {
                    let old = self.raw_buffer(dtype, bytes, Place::Arena(0));
                    early.push(copy(from, old));
                    from = old;
                }
            }
            late.push(copy(from, to));
        }
        self.steps.splice(0..0, early);
        self.steps.extend(late);
    }
}
