//! Specialisation: symbolic sizes become numbers.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use wootz_ir::ops::Control;
use wootz_ir::{Builder, Dim, Dims, Graph, Op, Region, Shape, Solver, TypeError, Value, VerifyError, verify};

/// A graph cannot be specialised to these sizes.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SpecializeError {
    /// The wrong number of shapes.
    #[error("{got} shapes for {expected} inputs")]
    Arity {
        /// Inputs of the graph.
        expected: usize,
        /// Shapes given.
        got: usize,
    },
    /// A shape that the input's does not match, given what the inputs before it say.
    #[error("input `{input}`: the shape {got} does not match {expected}{}", given(.bindings))]
    Shape {
        /// The input's name.
        input: String,
        /// The input's shape in the graph.
        expected: Box<Shape>,
        /// The shape given.
        got: Box<Shape>,
        /// What other inputs had already made of the symbols.
        bindings: BTreeMap<Arc<str>, Dim>,
    },
    /// A symbol that is neither bound nor follows from the sizes given.
    #[error("the size `{symbol}` of {what} is not known; bind it or give the shape of an input that has it")]
    Unbound {
        /// The symbol.
        symbol: Arc<str>,
        /// Which input or value.
        what: String,
    },
    /// Sizes that the program has no meaning for, such as a slice beyond the end.
    #[error("the program does not fit these sizes")]
    Verify(#[from] VerifyError),
    /// A size that the program requires in two ways at once.
    #[error("the program does not fit these sizes")]
    Type(#[from] TypeError),
}

fn given(bindings: &BTreeMap<Arc<str>, Dim>) -> String {
    let list: Vec<String> = bindings.iter().map(|(name, dim)| format!("{name} = {dim}")).collect();
    if list.is_empty() { String::new() } else { format!(" (given {})", list.join(", ")) }
}

/// The graph with its symbols replaced by numbers, everywhere. Symbols that are not in `bindings` stay.
pub fn specialize(graph: &Graph, bindings: &BTreeMap<String, usize>) -> Result<Graph, SpecializeError> {
    substitute(graph, &|name| bindings.get(name).map(|n| Dim::from(*n)))
}

/// The graph for inputs of these shapes: solves for the symbols, replaces them everywhere, verifies the result. No symbol is
/// left.
pub fn specialize_to(graph: &Graph, input_shapes: &[Dims]) -> Result<Graph, SpecializeError> {
    let (expected, got) = (graph.inputs.len(), input_shapes.len());
    if expected != got {
        return Err(SpecializeError::Arity { expected, got });
    }
    let mut solver = Solver::open();
    for (i, dims) in input_shapes.iter().enumerate() {
        let shape = &graph.input_type(i).shape;
        let before = solver.bindings().clone();
        let agrees = shape.rank() == dims.len()
            && shape.iter().zip(dims).all(|(dim, size)| solver.unify(dim, &Dim::from(*size)).is_ok());
        if !agrees {
            return Err(SpecializeError::Shape {
                input: graph.inputs[i].name.to_string(),
                expected: Box::new(shape.clone()),
                got: Box::new(dims.as_slice().into()),
                bindings: before,
            });
        }
    }
    let out = substitute(graph, &|name| solver.bindings().get(name).cloned())?;
    for (i, dims) in input_shapes.iter().enumerate() {
        let found = &out.input_type(i).shape;
        unbound(found, || format!("input `{}`", graph.inputs[i].name))?;
        // An equation with several unknowns is decided only now that all are known.
        if *found != Shape::from(dims.as_slice()) {
            return Err(SpecializeError::Shape {
                input: graph.inputs[i].name.to_string(),
                expected: Box::new(graph.input_type(i).shape.clone()),
                got: Box::new(dims.as_slice().into()),
                bindings: solver.bindings().clone(),
            });
        }
    }
    check_bound(&out.body)?;
    Ok(out)
}

fn substitute(graph: &Graph, lookup: &dyn Fn(&str) -> Option<Dim>) -> Result<Graph, SpecializeError> {
    let map = |d: &Dim| if d.is_symbolic() { d.substitute(lookup) } else { d.clone() };
    let mut out = graph.clone();
    if graph.body.is_symbolic() {
        out.body = rebuild(&graph.body, &map, &mut HashMap::new())?;
    }
    verify(&out)?;
    Ok(out)
}

/// Regions already rebuilt, by identity, so that a region that several ops share stays shared.
type Rebuilt = HashMap<*const Region, Arc<Region>>;

fn rebuild(
    region: &Arc<Region>,
    map: &dyn Fn(&Dim) -> Dim,
    done: &mut Rebuilt,
) -> Result<Arc<Region>, TypeError> {
    if let Some(known) = done.get(&Arc::as_ptr(region)) {
        return Ok(known.clone());
    }
    let mut b = Builder::new();
    let mut values: Vec<Value> =
        region.param_types().iter().map(|ty| b.param(ty.with_shape(ty.shape.map(map)))).collect();
    for node in region.nodes() {
        let op = match &node.op {
            Op::Control(control) => {
                let mut control = control.try_map_regions(|inner| rebuild(inner, map, done))?;
                if let Control::Scan { length, .. } = &mut control {
                    *length = map(length);
                }
                control.into()
            }
            op => op.map_dims(map),
        };
        let inputs: Vec<Value> = node.inputs.iter().map(|v| values[v.index()]).collect();
        b.set_site(node.site.clone());
        values.extend(b.push_multi(op, &inputs)?);
    }
    let results: Vec<Value> = region.results().iter().map(|v| values[v.index()]).collect();
    let rebuilt = Arc::new(b.finish(&results));
    done.insert(Arc::as_ptr(region), rebuilt.clone());
    Ok(rebuilt)
}

fn check_bound(region: &Region) -> Result<(), SpecializeError> {
    for node in region.nodes() {
        for value in node.outputs() {
            let place = if node.site.is_unknown() { String::new() } else { format!(" at {}", node.site) };
            unbound(&region.ty(value).shape, || format!("the result of {}{place}", node.op.name()))?;
        }
        for inner in node.op.regions() {
            check_bound(inner)?;
        }
    }
    Ok(())
}

fn unbound(shape: &Shape, what: impl Fn() -> String) -> Result<(), SpecializeError> {
    let mut symbols = BTreeSet::new();
    shape.iter().for_each(|d| d.symbols(&mut symbols));
    match symbols.pop_first() {
        Some(symbol) => Err(SpecializeError::Unbound { symbol, what: what() }),
        None => Ok(()),
    }
}
