//! Reverse mode (Griewank & Walther, "Evaluating Derivatives", ch. 3): the values once forwards, then the cotangents from
//! the results back to the parameters.

use crate::extract::{copy, live, prune};
use crate::signature::{Signature, floats, wanted};
use crate::{TransformError, Transforms};
use wootz_ir::ops::control::activity;
use wootz_ir::ops::{AugmentCx, Residual, RuleError, VjpCx, VjpRegions};
use wootz_ir::{Builder, Def, Graph, Region, TensorType, Value};

/// The vector-Jacobian product: inputs of `graph`, then one cotangent `ct.<output>` for each float output → outputs of
/// `graph`, then `grad.<input>` for each input in `wrt`.
pub fn vjp(graph: &Graph, wrt: &[usize]) -> Result<Graph, TransformError> {
    const NAME: &str = "vjp";
    let needs = wanted(NAME, graph, wrt)?;
    let is_float = floats(graph);
    let region = &graph.body;
    let mut signature = Signature::of(graph);
    let mut b = Builder::new();
    let args: Vec<Value> = region.param_types().iter().map(|t| b.param(t.clone())).collect();
    let cotangents: Vec<Option<Value>> = (0..graph.outputs.len())
        .map(|i| {
            is_float[i].then(|| {
                signature.add_input(&format!("ct.{}", graph.outputs[i].name));
                b.param(graph.output_type(i).clone())
            })
        })
        .collect();
    let rule = TransformError::rule::<RuleError>(NAME);
    let transforms = Transforms::new();
    let results = (|| {
        let tape = forward(&transforms, &mut b, region, &args, &needs, &is_float)?;
        let gradients = backward(&transforms, &mut b, region, &tape, &cotangents)?;
        let mut results = tape.results(region);
        for input in wrt {
            results.push(materialize(&mut b, gradients[*input], graph.input_type(*input))?);
        }
        Ok(results)
    })()
    .map_err(rule)?;
    for input in wrt {
        signature.add_output(&format!("grad.{}", graph.inputs[*input].name));
    }
    Ok(signature.graph(prune(b.finish(&results))))
}

/// What the forward pass leaves for the backward pass.
pub(crate) struct Tape {
    /// What the region's values are in the builder.
    values: Vec<Value>,
    /// What each node's op kept, if it was augmented.
    saved: Vec<Option<Vec<Value>>>,
    /// Which values depend on a parameter whose cotangent is wanted.
    active: Vec<bool>,
    /// Which values a result with a cotangent depends on.
    useful: Vec<bool>,
}

impl Tape {
    /// The region's results.
    pub(crate) fn results(&self, region: &Region) -> Vec<Value> {
        region.results().iter().map(|v| self.values[v.index()]).collect()
    }

    fn is_active(&self, value: Value) -> bool {
        self.active[value.index()]
    }

    fn is_linked(&self, value: Value) -> bool {
        self.active[value.index()] && self.useful[value.index()]
    }
}

/// Builds the region's values, ops on the differentiated path augmented.
pub(crate) fn forward(
    transforms: &Transforms,
    b: &mut Builder,
    region: &Region,
    args: &[Value],
    needs: &[bool],
    has_cotangent: &[bool],
) -> Result<Tape, RuleError> {
    let mut tape = Tape {
        values: args.to_vec(),
        saved: vec![None; region.nodes().len()],
        active: activity::active(region, needs),
        useful: activity::useful(region, has_cotangent),
    };
    for (i, node) in region.nodes().iter().enumerate() {
        let inputs: Vec<Value> = node.inputs.iter().map(|v| tape.values[v.index()]).collect();
        let needs: Vec<bool> = node.inputs.iter().map(|v| tape.is_active(*v)).collect();
        let linked: Vec<bool> = node.outputs().map(|v| tape.is_linked(v)).collect();
        let outer = b.set_site(node.site.clone());
        let mut augmented = None;
        if needs.contains(&true) && linked.contains(&true) {
            let (needs, has_cotangent) = (&needs, &linked);
            let mut cx = AugmentCx { b: &mut *b, inputs: &inputs, needs, has_cotangent, regions: transforms };
            augmented = node.op.augment(&mut cx)?;
        }
        match augmented {
            Some(augmented) => {
                tape.values.extend(augmented.outputs);
                tape.saved[i] = Some(augmented.saved);
            }
            None => tape.values.extend(b.push_multi(node.op.clone(), &inputs)?),
        }
        b.set_site(outer);
    }
    Ok(tape)
}

/// Builds the cotangents of the region's parameters from those of its results; `None` is zero.
pub(crate) fn backward(
    transforms: &Transforms,
    b: &mut Builder,
    region: &Region,
    tape: &Tape,
    cotangents: &[Option<Value>],
) -> Result<Vec<Option<Value>>, RuleError> {
    let mut sums: Vec<Option<Value>> = vec![None; region.values()];
    for (result, cotangent) in region.results().iter().zip(cotangents) {
        if tape.is_active(*result) {
            accumulate(b, &mut sums[result.index()], *cotangent)?;
        }
    }
    for (i, node) in region.nodes().iter().enumerate().rev() {
        let mut given: Vec<Option<Value>> = node.outputs().map(|v| sums[v.index()]).collect();
        let needs: Vec<bool> = node.inputs.iter().map(|v| tape.is_active(*v)).collect();
        if given.iter().all(Option::is_none) || !needs.contains(&true) {
            continue;
        }
        let outer = b.set_site(node.site.clone());
        if tape.saved[i].is_some() {
            for (cotangent, output) in given.iter_mut().zip(node.outputs()) {
                if tape.is_linked(output) {
                    *cotangent = Some(materialize(b, *cotangent, region.ty(output))?);
                }
            }
        }
        let inputs: Vec<Value> = node.inputs.iter().map(|v| tape.values[v.index()]).collect();
        let outputs: Vec<Value> = node.outputs().map(|v| tape.values[v.index()]).collect();
        let found = node.op.vjp(&mut VjpCx {
            b: &mut *b,
            inputs: &inputs,
            outputs: &outputs,
            cotangents: &given,
            needs: &needs,
            saved: tape.saved[i].as_deref().unwrap_or(&[]),
            regions: transforms,
        })?;
        debug_assert_eq!(found.len(), inputs.len(), "{}: one cotangent an operand", node.op.name());
        for ((input, cotangent), needed) in node.inputs.iter().zip(found).zip(needs) {
            if needed {
                debug_assert!(
                    cotangent.is_none_or(|c| b.ty(c) == region.ty(*input)),
                    "{}: a cotangent has its operand's type",
                    node.op.name()
                );
                accumulate(b, &mut sums[input.index()], cotangent)?;
            }
        }
        b.set_site(outer);
    }
    Ok(region.params().map(|v| sums[v.index()]).collect())
}

/// The value, or zeros of its type.
pub(crate) fn materialize(
    b: &mut Builder,
    value: Option<Value>,
    ty: &TensorType,
) -> Result<Value, RuleError> {
    match value {
        Some(value) => Ok(value),
        None => Ok(b.full(ty, 0.0)?),
    }
}

fn accumulate(b: &mut Builder, sum: &mut Option<Value>, term: Option<Value>) -> Result<(), RuleError> {
    *sum = match (*sum, term) {
        (Some(sum), Some(term)) => Some(b.add(sum, term)?),
        (sum, term) => sum.or(term),
    };
    Ok(())
}

/// Splits a region for [`RegionTransforms::vjp`](wootz_ir::ops::RegionTransforms::vjp): differentiates it in one piece, then
/// cuts where the backward pass begins. What crosses the cut are the residuals.
pub(crate) fn split(
    transforms: &Transforms,
    region: &Region,
    needs: &[bool],
    has_cotangent: &[bool],
    recompute: &[bool],
) -> Result<VjpRegions, RuleError> {
    let mut b = Builder::new();
    let args: Vec<Value> = region.param_types().iter().map(|t| b.param(t.clone())).collect();
    let cotangents: Vec<Option<Value>> = region
        .results()
        .iter()
        .zip(has_cotangent)
        .map(|(v, given)| given.then(|| b.param(region.ty(*v).clone())))
        .collect();
    let tape = forward(transforms, &mut b, region, &args, needs, has_cotangent)?;
    let forward_nodes = b.region().nodes().len();
    let gradients = backward(transforms, &mut b, region, &tape, &cotangents)?;
    let nonzero = gradients.iter().map(Option::is_some).collect();
    let mut roots = Vec::new();
    for (i, needed) in needs.iter().enumerate() {
        if *needed {
            roots.push(materialize(&mut b, gradients[i], &region.param_types()[i])?);
        }
    }
    let results = tape.results(region);
    let joint = b.finish(&[]);
    let cut = Cut::new(&joint, args.len(), forward_nodes, &roots, recompute);
    let (forward, backward) = (cut.forward(&results)?, cut.backward(&roots)?);
    // Of equal results the last one: in a scan's body that is a row, which is stacked anyway.
    let result = |v: &Value| results.iter().rposition(|r| r == v);
    let residuals =
        cut.residuals.iter().map(|v| Residual { ty: joint.ty(*v).clone(), result: result(v) }).collect();
    Ok(VjpRegions { forward: forward.into(), backward: backward.into(), uses: cut.uses, residuals, nonzero })
}

/// Where a region that computes values and cotangents is cut in two.
struct Cut<'r> {
    joint: &'r Region,
    /// Leading parameters that are the original's; the others are cotangents.
    originals: usize,
    uses: Vec<usize>,
    residuals: Vec<Value>,
}

impl<'r> Cut<'r> {
    fn new(
        joint: &'r Region,
        originals: usize,
        forward_nodes: usize,
        roots: &[Value],
        recompute: &[bool],
    ) -> Cut<'r> {
        let before = |v: Value| match joint.def(v) {
            Def::Param(i) => i < originals,
            Def::Node(id, _) => id.index() < forward_nodes,
        };
        // What depends on nothing but these parameters is computed anew.
        let mut free = vec![false; joint.values()];
        for (value, recompute) in joint.params().zip(recompute) {
            free[value.index()] = *recompute;
        }
        for node in joint.nodes() {
            let all = node.inputs.iter().all(|v| free[v.index()]);
            node.outputs().for_each(|v| free[v.index()] = all);
        }
        let crosses = |v: Value| before(v) && !(free[v.index()] && matches!(joint.def(v), Def::Node(..)));
        let needed = live(joint, crosses, roots);
        let mut crossing = vec![false; joint.values()];
        for (node, _) in joint.nodes().iter().zip(needed).filter(|(_, needed)| *needed) {
            node.inputs.iter().filter(|v| crosses(**v)).for_each(|v| crossing[v.index()] = true);
        }
        roots.iter().filter(|v| crosses(**v)).for_each(|v| crossing[v.index()] = true);
        let uses = (0..originals).filter(|i| crossing[*i]).collect();
        let outputs = joint.nodes().iter().flat_map(|n| n.outputs());
        let residuals = outputs.filter(|v| crossing[v.index()]).collect();
        Cut { joint, originals, uses, residuals }
    }

    /// Original parameters → results, residuals that are not among them.
    fn forward(&self, results: &[Value]) -> Result<Region, RuleError> {
        let params: Vec<Value> = self.joint.params().take(self.originals).collect();
        let others = self.residuals.iter().filter(|v| !results.contains(v));
        self.part(&params, &results.iter().chain(others).copied().collect::<Vec<_>>())
    }

    /// Used parameters, residuals, cotangents → cotangents of the parameters.
    fn backward(&self, roots: &[Value]) -> Result<Region, RuleError> {
        let params: Vec<Value> = self.joint.params().collect();
        let used = self.uses.iter().map(|i| params[*i]);
        let given: Vec<Value> = used
            .chain(self.residuals.iter().copied())
            .chain(params[self.originals..].iter().copied())
            .collect();
        self.part(&given, roots)
    }

    fn part(&self, params: &[Value], results: &[Value]) -> Result<Region, RuleError> {
        let mut b = Builder::new();
        let mut map = vec![None; self.joint.values()];
        for value in params {
            map[value.index()] = Some(b.param(self.joint.ty(*value).clone()));
        }
        let results = copy(&mut b, self.joint, &mut map, results)?;
        Ok(b.finish(&results))
    }
}
