//! Tracing: from a model and its inputs' types to a graph.

use crate::scope::Slot;
use crate::summary::Summary;
use crate::{Init, Model, ModelError, Scope};
use std::collections::HashSet;
use std::sync::Arc;
use wootz_ir::{Builder, Graph, HostTensor, Input, Output, Role, TensorType, Value};

/// What a model is traced for.
#[derive(Copy, Clone, Debug, PartialEq, Eq, Hash, Default)]
pub enum Mode {
    /// Dropout does nothing, statistics are read.
    #[default]
    Inference,
    /// Dropout drops, statistics are gathered.
    Training,
}

/// A traced model.
#[derive(Clone, Debug)]
pub struct Traced {
    /// Inputs: the model's in its order, then parameters, then state, each in the order of first use. Outputs: the
    /// model's in its order, then every state that a run changes, named as its input and aliasing it.
    pub graph: Graph,
    /// How to initialise each input of the graph: `Some` for parameters and state, `None` for what is given at a run.
    pub init: Vec<Option<Init>>,
    /// The blocks, for [`Summary`]'s table.
    pub summary: Summary,
}

impl Traced {
    /// Initial values of parameters and state (`None` for inputs), one an input of the graph.
    ///
    /// A parameter's values depend on the seed and on its position among the parameters: a model has the same initial
    /// parameters in inference and in training. Every dim of parameters and state must be a number.
    pub fn init(&self, seed: u64) -> Result<Vec<Option<HostTensor>>, ModelError> {
        crate::init::fill_graph(&self.graph, &self.init, seed)
    }
}

/// Traces a model on inputs of these types, which may have symbolic dims; parameters may fix what a dim is.
///
/// ```
/// use wootz_ir::{DType, Dim, TensorType};
/// use wootz_nn::{Mode, mlp, trace};
///
/// let x = TensorType::new(DType::F32, [Dim::symbol("B"), Dim::symbol("F")]);
/// let traced = trace(&mlp(&[784, 128, 10]), &[("x", x)], Mode::Inference)?;
/// assert_eq!(traced.graph.input_type(0).to_string(), "f32[B, 784]");
/// assert_eq!(traced.graph.output_type(0).to_string(), "f32[B, 10]");
/// # Ok::<(), wootz_nn::ModelError>(())
/// ```
pub fn trace(model: &Model, inputs: &[(&str, TensorType)], mode: Mode) -> Result<Traced, ModelError> {
    let mut scope = Scope::new(mode);
    check_input_names(&model.inputs(), inputs)?;
    let values = add_inputs(&mut scope, &model.inputs(), inputs)?;
    let outputs = scope.call_root(model, &values)?;
    finish(scope, model.outputs().into_iter().zip(outputs).collect())
}

/// Adds graph inputs, in the order of `names`.
pub(crate) fn add_inputs(
    scope: &mut Scope,
    names: &[String],
    types: &[(&str, TensorType)],
) -> Result<Vec<Value>, ModelError> {
    let mut values = Vec::new();
    for name in names {
        let given = types.iter().find(|(n, _)| n == name);
        let (_, ty) = given.ok_or_else(|| ModelError::MissingInput { name: name.clone() })?;
        let slot = scope.slot(name, Role::Input, ty, None)?;
        values.push(scope.slots[slot].value);
    }
    Ok(values)
}

/// Requires that every name given is an input's, and is given once.
pub(crate) fn check_input_names(names: &[String], types: &[(&str, TensorType)]) -> Result<(), ModelError> {
    let mut seen = HashSet::new();
    for (name, _) in types {
        if !names.iter().any(|n| n == name) {
            let known = names.iter().map(|n| format!("`{n}`")).collect::<Vec<_>>().join(", ");
            return Err(ModelError::UnknownInput { name: (*name).to_owned(), known });
        }
        if !seen.insert(name) {
            return Err(ModelError::DuplicateName { name: (*name).to_owned() });
        }
    }
    Ok(())
}

/// Ends a trace: values from outside become the graph's parameters, in the order of their roles.
pub(crate) fn finish(scope: Scope, outputs: Vec<(String, Value)>) -> Result<Traced, ModelError> {
    let Scope { b, mut slots, records, .. } = scope;
    if let Some((left, right)) = b.solver().pending().first() {
        return Err(ModelError::Undecided { left: left.clone(), right: right.clone() });
    }
    // Stable: the order of first use stays within a role.
    slots.sort_by_key(|s| s.role as u8);
    let changed: Vec<usize> = (0..slots.len()).filter(|i| slots[*i].current != slots[*i].value).collect();
    let results: Vec<Value> =
        outputs.iter().map(|(_, v)| *v).chain(changed.iter().map(|i| slots[*i].current)).collect();
    let own = outputs.into_iter().map(|(name, _)| Output { name: name.into(), alias: None });
    let states = changed.iter().map(|i| Output { name: slots[*i].name.clone(), alias: Some(*i) });
    let outputs: Vec<Output> = own.chain(states).collect();
    let mut seen = HashSet::new();
    if let Some(twice) = outputs.iter().find(|o| !seen.insert(o.name.clone())) {
        return Err(ModelError::DuplicateName { name: twice.name.to_string() });
    }
    let traced = b.finish(&results);
    let summary = Summary::new(&records, &slots, &traced);
    let inputs = slots.iter().map(|s| Input { name: s.name.clone(), role: s.role }).collect();
    let body = Arc::new(with_params_first(&traced, &slots)?);
    let init = slots.into_iter().map(|s| s.init).collect();
    Ok(Traced { graph: Graph { inputs, outputs, body }, init, summary })
}

/// The region with parameters in place of the nodes that stood for them.
fn with_params_first(traced: &wootz_ir::Region, slots: &[Slot]) -> Result<wootz_ir::Region, ModelError> {
    let mut b = Builder::new();
    let mut map: Vec<Option<Value>> = vec![None; traced.values()];
    let mut stand_in = vec![false; traced.nodes().len()];
    for slot in slots {
        map[slot.value.index()] = Some(b.param(traced.ty(slot.value).clone()));
        stand_in[slot.nodes.clone()].fill(true);
    }
    let at =
        |map: &[Option<Value>], v: &Value| map[v.index()].expect("a node's operands are defined before it");
    for id in traced.node_ids().filter(|id| !stand_in[id.index()]) {
        let node = traced.node(id);
        let inputs: Vec<Value> = node.inputs.iter().map(|v| at(&map, v)).collect();
        b.set_site(node.site.clone());
        for (old, new) in node.outputs().zip(b.push_multi(node.op.clone(), &inputs)?) {
            map[old.index()] = Some(new);
        }
    }
    let results: Vec<Value> = traced.results().iter().map(|v| at(&map, v)).collect();
    Ok(b.finish(&results))
}
