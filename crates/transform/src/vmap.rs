//! Batching: the same program over one more axis.

use crate::extract::prune;
use crate::{TransformError, Transforms};
use std::sync::Arc;
use wootz_ir::ops::{BatchCx, RuleError, spread};
use wootz_ir::{Builder, Dim, Graph, Region, TensorType, Value};

/// Maps a graph over a new axis of `size`: input i has it at axis `in_axes[i]` (`None`: the input is shared), output i gets it
/// at axis `out_axes[i]` (`None`: the output must not depend on a batched input). An output that does not depend on a
/// batched input repeats along the axis asked for. Aliases between inputs and outputs batched alike are kept.
pub fn vmap(
    graph: &Graph,
    in_axes: &[Option<usize>],
    out_axes: &[Option<usize>],
    size: &Dim,
) -> Result<Graph, TransformError> {
    for (what, got, count) in
        [("input", in_axes.len(), graph.inputs.len()), ("output", out_axes.len(), graph.outputs.len())]
    {
        if got != count {
            return Err(TransformError::Arity { what, got, count });
        }
    }
    let name = |i: usize, inputs: bool| {
        if inputs { graph.inputs[i].name.to_string() } else { graph.outputs[i].name.to_string() }
    };
    let fits = |what, i, axis: Option<usize>, ty: &TensorType| match axis {
        Some(axis) if axis > ty.rank() => {
            Err(TransformError::Axis { what, name: name(i, what == "input"), ty: Box::new(ty.clone()), axis })
        }
        _ => Ok(()),
    };
    let rule = TransformError::rule::<RuleError>("vmap");
    let mut b = Builder::new();
    let mut params = Vec::with_capacity(in_axes.len());
    for (i, axis) in in_axes.iter().enumerate() {
        let ty = graph.input_type(i);
        fits("input", i, *axis, ty)?;
        let mut dims = ty.shape.to_vec();
        if let Some(axis) = axis {
            dims.insert(*axis, size.clone());
        }
        params.push(b.param(ty.with_shape(&dims[..])));
    }
    let mut args = params;
    for (arg, axis) in args.iter_mut().zip(in_axes) {
        if let Some(axis) = axis {
            *arg = b.move_axis(*arg, *axis, 0).map_err(|e| rule(e.into()))?;
        }
    }
    let batched: Vec<bool> = in_axes.iter().map(Option::is_some).collect();
    let outputs = inline(&Transforms::new(), &mut b, &graph.body, &args, &batched, size).map_err(&rule)?;
    let mut results = Vec::with_capacity(outputs.len());
    for (i, (value, has_axis)) in outputs.into_iter().enumerate() {
        fits("output", i, out_axes[i], graph.output_type(i))?;
        results.push(match out_axes[i] {
            None if has_axis => return Err(TransformError::Batched { name: name(i, false) }),
            None => value,
            Some(axis) => (|| {
                let value = if has_axis { value } else { spread(&mut b, value, size)? };
                Ok(b.move_axis(value, 0, axis)?)
            })()
            .map_err(&rule)?,
        });
    }
    let mut out = graph.with_body(prune(b.finish(&results)));
    for (i, output) in out.outputs.iter_mut().enumerate() {
        output.alias = output.alias.filter(|input| in_axes[*input] == out_axes[i]);
    }
    Ok(out)
}

/// Gives a region's parameters marked in `batched` a leading axis; see
/// [`RegionTransforms::batch`](wootz_ir::ops::RegionTransforms::batch).
pub(crate) fn region(
    transforms: &Transforms,
    region: &Region,
    batched: &[bool],
    force: &[bool],
    size: &Dim,
) -> Result<(Arc<Region>, Vec<bool>), RuleError> {
    let mut b = Builder::new();
    let params = region.param_types().iter().zip(batched);
    let args: Vec<Value> = params
        .map(|(ty, batched)| {
            b.param(if *batched { ty.with_shape(ty.shape.prepend(size)) } else { ty.clone() })
        })
        .collect();
    let outputs = inline(transforms, &mut b, region, &args, batched, size)?;
    let mut results = Vec::with_capacity(outputs.len());
    let mut has_axis = Vec::with_capacity(outputs.len());
    for ((value, batched), force) in outputs.into_iter().zip(force) {
        results.push(if *force && !batched { spread(&mut b, value, size)? } else { value });
        has_axis.push(batched || *force);
    }
    Ok((prune(b.finish(&results)).into(), has_axis))
}

/// Builds a region over arguments some of which have a leading axis; says which results have it.
pub(crate) fn inline(
    transforms: &Transforms,
    b: &mut Builder,
    region: &Region,
    args: &[Value],
    batched: &[bool],
    size: &Dim,
) -> Result<Vec<(Value, bool)>, RuleError> {
    let mut values: Vec<(Value, bool)> = args.iter().copied().zip(batched.iter().copied()).collect();
    for node in region.nodes() {
        let (inputs, batched): (Vec<Value>, Vec<bool>) =
            node.inputs.iter().map(|v| values[v.index()]).unzip();
        let outer = b.set_site(node.site.clone());
        if batched.contains(&true) {
            let types = |vs: &mut dyn Iterator<Item = Value>| -> Vec<TensorType> {
                vs.map(|v| region.ty(v).clone()).collect()
            };
            let results = node.op.batch(&mut BatchCx {
                b: &mut *b,
                input_types: &types(&mut node.inputs.iter().copied()),
                output_types: &types(&mut node.outputs()),
                inputs: &inputs,
                batched: &batched,
                size,
                regions: transforms,
            })?;
            for ((value, has_axis), old) in results.iter().zip(node.outputs()) {
                debug_assert_eq!(
                    b.ty(*value).rank(),
                    region.ty(old).rank() + usize::from(*has_axis),
                    "{}: a batched result has one more axis",
                    node.op.name()
                );
            }
            values.extend(results);
        } else {
            values.extend(b.push_multi(node.op.clone(), &inputs)?.into_iter().map(|v| (v, false)));
        }
        b.set_site(outer);
    }
    Ok(region.results().iter().map(|v| values[v.index()]).collect())
}
