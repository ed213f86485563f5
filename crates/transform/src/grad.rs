//! Gradients of scalar outputs, and what is built of `vjp`, `jvp` and `vmap`: Jacobians and Hessians.

use crate::extract::prune;
use crate::signature::{Signature, floats, wanted};
use crate::vjp::{backward, forward, materialize};
use crate::{TransformError, Transforms, jvp, vmap};
use wootz_ir::ops::{RuleError, spread};
use wootz_ir::{Builder, DType, Graph, Region, Shape, TensorType, Value};

/// The gradient of a scalar output: inputs of `graph` → outputs of `graph`, then `grad.<input>` for each input in `wrt`.
pub fn grad(graph: &Graph, output: usize, wrt: &[usize]) -> Result<Graph, TransformError> {
    const NAME: &str = "grad";
    let needs = wanted(NAME, graph, wrt)?;
    scalar_output(NAME, graph, output)?;
    let region = &graph.body;
    let transforms = Transforms::new();
    let mut b = Builder::new();
    let args: Vec<Value> = region.param_types().iter().map(|t| b.param(t.clone())).collect();
    let is_seeded: Vec<bool> = (0..graph.outputs.len()).map(|i| i == output).collect();
    let results = (|| {
        let tape = forward(&transforms, &mut b, region, &args, &needs, &is_seeded)?;
        let seed = b.scalar(graph.output_type(output).dtype, 1.0);
        let cotangents: Vec<Option<Value>> = is_seeded.iter().map(|seeded| seeded.then_some(seed)).collect();
        let gradients = backward(&transforms, &mut b, region, &tape, &cotangents)?;
        let mut results = tape.results(region);
        for input in wrt {
            results.push(materialize(&mut b, gradients[*input], graph.input_type(*input))?);
        }
        Ok(results)
    })()
    .map_err(TransformError::rule::<RuleError>(NAME))?;
    let mut signature = Signature::of(graph);
    for input in wrt {
        signature.add_output(&format!("grad.{}", graph.inputs[*input].name));
    }
    Ok(signature.graph(prune(b.finish(&results))))
}

/// Second derivatives of a scalar output, by forward over reverse: inputs of `graph` → outputs of `graph`, `grad.<input>` for
/// each input in `wrt`, then `hessian.<i>.<j>` of shape `shape(i) ++ shape(j)` for each pair of them, i outermost.
pub fn hessian(graph: &Graph, output: usize, wrt: &[usize]) -> Result<Graph, TransformError> {
    let gradient = grad(graph, output, wrt)?;
    let rows: Vec<usize> = (graph.outputs.len()..gradient.outputs.len()).collect();
    columns("hessian", &gradient, &rows, wrt, |row, column| {
        let row = &graph.inputs[wrt[row - graph.outputs.len()]].name;
        format!("hessian.{row}.{}", graph.inputs[column].name)
    })
}

/// Jacobians by forward mode, one pass for each element of an input: inputs of `graph` → outputs of `graph`, then
/// `jac.<output>.<input>` of shape `shape(output) ++ shape(input)` for each float output and each input in `wrt`.
pub fn jacfwd(graph: &Graph, wrt: &[usize]) -> Result<Graph, TransformError> {
    wanted("jacfwd", graph, wrt)?;
    let is_float = floats(graph);
    let rows: Vec<usize> = (0..graph.outputs.len()).filter(|i| is_float[*i]).collect();
    columns("jacfwd", graph, &rows, wrt, |row, column| {
        format!("jac.{}.{}", graph.outputs[row].name, graph.inputs[column].name)
    })
}

/// Jacobians by reverse mode, one pass for each element of an output: the signature of [`jacfwd`].
pub fn jacrev(graph: &Graph, wrt: &[usize]) -> Result<Graph, TransformError> {
    const NAME: &str = "jacrev";
    let needs = wanted(NAME, graph, wrt)?;
    let is_float = floats(graph);
    let transforms = Transforms::new();
    let mut signature = Signature::of(graph);
    let mut b = Builder::new();
    let args: Vec<Value> = graph.body.param_types().iter().map(|t| b.param(t.clone())).collect();
    let rule = TransformError::rule::<RuleError>(NAME);
    let mut results = b.inline(&graph.body, &args).map_err(|e| rule(e.into()))?;
    for output in (0..graph.outputs.len()).filter(|i| is_float[*i]) {
        let ty = graph.output_type(output);
        results.extend(
            (|| {
                let pulled = pullback(&transforms, &graph.body, output, &needs, wrt)?;
                let (args, batched) = with_basis(&mut b, &args, ty)?;
                let rows = vmap::inline(&transforms, &mut b, &pulled, &args, &batched, &ty.shape.elements())?;
                let mut out = Vec::with_capacity(wrt.len());
                for ((row, has_axis), input) in rows.into_iter().zip(wrt) {
                    let row = if has_axis { row } else { spread(&mut b, row, &ty.shape.elements())? };
                    out.push(b.reshape(row, joined(ty, graph.input_type(*input)))?);
                }
                Ok(out)
            })()
            .map_err(&rule)?,
        );
        for input in wrt {
            let (output, input) = (&graph.outputs[output].name, &graph.inputs[*input].name);
            signature.add_output(&format!("jac.{output}.{input}"));
        }
    }
    Ok(signature.graph(prune(b.finish(&results))))
}

/// For each output in `rows` and each input in `wrt`, the derivative of one by every element of the other.
fn columns(
    transform: &'static str,
    graph: &Graph,
    rows: &[usize],
    wrt: &[usize],
    name: impl Fn(usize, usize) -> String,
) -> Result<Graph, TransformError> {
    let transforms = Transforms::new();
    let mut b = Builder::new();
    let args: Vec<Value> = graph.body.param_types().iter().map(|t| b.param(t.clone())).collect();
    let is_row: Vec<bool> = (0..graph.outputs.len()).map(|i| rows.contains(&i)).collect();
    let built = (|| {
        let mut results = None;
        let mut blocks = Vec::with_capacity(wrt.len());
        for input in wrt {
            let ty = graph.input_type(*input);
            let has_tangent: Vec<bool> = (0..graph.inputs.len()).map(|i| i == *input).collect();
            let pushed = jvp::region(&transforms, &graph.body, &has_tangent, &is_row)?;
            let (args, batched) = with_basis(&mut b, &args, ty)?;
            let size = ty.shape.elements();
            let mut outputs =
                vmap::inline(&transforms, &mut b, &pushed.region, &args, &batched, &size)?.into_iter();
            let values: Vec<Value> = outputs.by_ref().take(graph.outputs.len()).map(|(v, _)| v).collect();
            results.get_or_insert(values);
            // Outputs other than rows may have a tangent too.
            let tangents = pushed.has_tangent.iter().map(|has| if *has { outputs.next() } else { None });
            blocks.push(tangents.collect::<Vec<_>>());
        }
        let mut results = match results {
            Some(results) => results,
            None => b.inline(&graph.body, &args)?,
        };
        for row in rows {
            for (input, block) in wrt.iter().zip(&blocks) {
                let tangent = block[*row].expect("a row's tangent was forced");
                let (output, input) = (graph.output_type(*row), graph.input_type(*input));
                results.push(column_block(&mut b, tangent, output, input)?);
            }
        }
        Ok(results)
    })();
    let results = built.map_err(TransformError::rule::<RuleError>(transform))?;
    let mut signature = Signature::of(graph);
    for row in rows {
        for input in wrt {
            signature.add_output(&name(*row, *input));
        }
    }
    Ok(signature.graph(prune(b.finish(&results))))
}

/// Turns tangents with one leading axis for all elements of `input` into shape `shape(output) ++ shape(input)`.
fn column_block(
    b: &mut Builder,
    (tangents, has_axis): (Value, bool),
    output: &TensorType,
    input: &TensorType,
) -> Result<Value, RuleError> {
    let size = input.shape.elements();
    let tangents = if has_axis { tangents } else { spread(b, tangents, &size)? };
    let last = b.move_axis(tangents, 0, output.rank())?;
    Ok(b.reshape(last, joined(output, input))?)
}

fn joined(output: &TensorType, input: &TensorType) -> Shape {
    output.shape.iter().chain(input.shape.iter()).collect()
}

/// A region: the graph's inputs and the cotangent of one output → gradients of the inputs in `wrt`.
fn pullback(
    transforms: &Transforms,
    region: &Region,
    output: usize,
    needs: &[bool],
    wrt: &[usize],
) -> Result<Region, RuleError> {
    let mut b = Builder::new();
    let args: Vec<Value> = region.param_types().iter().map(|t| b.param(t.clone())).collect();
    let seed = b.param(region.ty(region.results()[output]).clone());
    let is_seeded: Vec<bool> = (0..region.results().len()).map(|i| i == output).collect();
    let tape = forward(transforms, &mut b, region, &args, needs, &is_seeded)?;
    let cotangents: Vec<Option<Value>> = is_seeded.iter().map(|seeded| seeded.then_some(seed)).collect();
    let gradients = backward(transforms, &mut b, region, &tape, &cotangents)?;
    let mut results = Vec::with_capacity(wrt.len());
    for input in wrt {
        results.push(materialize(&mut b, gradients[*input], &region.param_types()[*input])?);
    }
    Ok(prune(b.finish(&results)))
}

/// The arguments, then the basis of the space of `ty`: one tensor of `ty` for each of its elements, along a leading axis.
fn with_basis(
    b: &mut Builder,
    args: &[Value],
    ty: &TensorType,
) -> Result<(Vec<Value>, Vec<bool>), RuleError> {
    let size = ty.shape.elements();
    let square = [size.clone(), size.clone()];
    let (row, column) = (b.iota(DType::I64, square.clone(), 0)?, b.iota(DType::I64, square, 1)?);
    let diagonal = b.eq(row, column)?;
    let identity = b.cast(diagonal, ty.dtype)?;
    let basis = b.reshape(identity, ty.shape.prepend(&size))?;
    let mut batched = vec![false; args.len()];
    batched.push(true);
    Ok(([args, &[basis]].concat(), batched))
}

fn scalar_output(transform: &'static str, graph: &Graph, index: usize) -> Result<(), TransformError> {
    let count = graph.outputs.len();
    let Some(output) = graph.outputs.get(index) else {
        return Err(TransformError::NoSuch { transform, what: "output", index, count });
    };
    let (name, ty) = (output.name.to_string(), Box::new(graph.output_type(index).clone()));
    if !ty.dtype.is_float() {
        return Err(TransformError::NotFloat { transform, what: "output", name, ty });
    }
    if ty.rank() > 0 { Err(TransformError::NotScalar { transform, name, ty }) } else { Ok(()) }
}
