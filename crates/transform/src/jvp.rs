//! Forward mode: every value together with its tangent.

use crate::extract::prune;
use crate::signature::{Signature, floats, wanted};
use crate::vjp::materialize;
use crate::{TransformError, Transforms};
use wootz_ir::ops::{Joint, JvpCx, JvpRegion, RuleError};
use wootz_ir::{Builder, Graph, Region, Value};

/// The Jacobian-vector product: inputs of `graph`, then one tangent `tangent.<input>` for each input in `wrt` → outputs of
/// `graph`, then `tangent.<output>` for each float output.
pub fn jvp(graph: &Graph, wrt: &[usize]) -> Result<Graph, TransformError> {
    const NAME: &str = "jvp";
    wanted(NAME, graph, wrt)?;
    let mut signature = Signature::of(graph);
    let mut b = Builder::new();
    let args: Vec<Value> = graph.body.param_types().iter().map(|t| b.param(t.clone())).collect();
    let mut tangents = vec![None; args.len()];
    for &input in wrt {
        signature.add_input(&format!("tangent.{}", graph.inputs[input].name));
        tangents[input] = Some(b.param(graph.input_type(input).clone()));
    }
    let is_float = floats(graph);
    let results = (|| {
        let pairs = inline(&Transforms::new(), &mut b, &graph.body, &args, &tangents)?;
        let mut results: Vec<Value> = pairs.iter().map(|(value, _)| *value).collect();
        for output in (0..pairs.len()).filter(|i| is_float[*i]) {
            results.push(materialize(&mut b, pairs[output].1, graph.output_type(output))?);
        }
        Ok(results)
    })()
    .map_err(TransformError::rule::<RuleError>(NAME))?;
    for output in (0..graph.outputs.len()).filter(|i| is_float[*i]) {
        signature.add_output(&format!("tangent.{}", graph.outputs[output].name));
    }
    Ok(signature.graph(prune(b.finish(&results))))
}

/// Makes a region compute tangents as well; see
/// [`RegionTransforms::jvp`](wootz_ir::ops::RegionTransforms::jvp).
pub(crate) fn region(
    transforms: &Transforms,
    region: &Region,
    has_tangent: &[bool],
    force: &[bool],
) -> Result<JvpRegion, RuleError> {
    let mut b = Builder::new();
    let args: Vec<Value> = region.param_types().iter().map(|t| b.param(t.clone())).collect();
    let tangents: Vec<Option<Value>> = region
        .param_types()
        .iter()
        .zip(has_tangent)
        .map(|(ty, given)| given.then(|| b.param(ty.clone())))
        .collect();
    let pairs = inline(transforms, &mut b, region, &args, &tangents)?;
    let mut results: Vec<Value> = pairs.iter().map(|(value, _)| *value).collect();
    let mut has_tangent = Vec::with_capacity(pairs.len());
    for ((value, tangent), force) in pairs.iter().zip(force) {
        has_tangent.push(tangent.is_some() || *force);
        if tangent.is_some() || *force {
            let ty = b.ty(*value).clone();
            results.push(materialize(&mut b, *tangent, &ty)?);
        }
    }
    Ok(JvpRegion { region: prune(b.finish(&results)).into(), has_tangent })
}

/// Builds a region's results and their tangents; `None` is zero.
pub(crate) fn inline(
    transforms: &Transforms,
    b: &mut Builder,
    region: &Region,
    args: &[Value],
    tangents: &[Option<Value>],
) -> Result<Vec<(Value, Option<Value>)>, RuleError> {
    let mut values: Vec<(Value, Option<Value>)> =
        args.iter().copied().zip(tangents.iter().copied()).collect();
    for node in region.nodes() {
        let (inputs, tangents): (Vec<Value>, Vec<Option<Value>>) =
            node.inputs.iter().map(|v| values[v.index()]).unzip();
        let outer = b.set_site(node.site.clone());
        let joint = if tangents.iter().all(Option::is_none) {
            let outputs = b.push_multi(node.op.clone(), &inputs)?;
            Joint { tangents: vec![None; outputs.len()], outputs }
        } else {
            let mut cx =
                JvpCx { b: &mut *b, inputs: &inputs, outputs: &[], tangents: &tangents, regions: transforms };
            match node.op.jvp_joint(&mut cx)? {
                Some(joint) => joint,
                None => {
                    let outputs = b.push_multi(node.op.clone(), &inputs)?;
                    let tangents = node.op.jvp(&mut JvpCx {
                        b: &mut *b,
                        inputs: &inputs,
                        outputs: &outputs,
                        tangents: &tangents,
                        regions: transforms,
                    })?;
                    Joint { outputs, tangents }
                }
            }
        };
        b.set_site(outer);
        for (value, tangent) in joint.outputs.into_iter().zip(joint.tangents) {
            let tangent = tangent.filter(|_| b.ty(value).dtype.is_float());
            debug_assert!(
                tangent.is_none_or(|t| b.ty(t) == b.ty(value)),
                "{}: a tangent has its value's type",
                node.op.name()
            );
            values.push((value, tangent));
        }
    }
    Ok(region.results().iter().map(|v| values[v.index()]).collect())
}
