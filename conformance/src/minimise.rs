//! From a program that fails to a small one that fails.

use crate::{Case, run};
use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use wootz_ir::{Builder, Graph, HostTensor, Input, Output, Role, Value, eval};
use wootz_runtime::Backend;

/// A smaller case that the backend gets wrong as well, or the case itself: fewer outputs, and values on the way given as
/// inputs where computing them does not matter. Roles and aliases are left out first.
pub fn minimise(backend: &dyn Backend, case: &Case) -> Case {
    let Some(cutter) = Cutter::new(case) else { return case.clone() };
    let fails = |roots: &BTreeSet<Value>, cuts: &BTreeSet<Value>| {
        cutter.cut(roots, cuts).is_some_and(|smaller| run(backend, &smaller).is_err())
    };
    let mut roots: BTreeSet<Value> = case.graph.body.results().iter().copied().collect();
    let mut cuts = BTreeSet::new();
    if !fails(&roots, &cuts) {
        return case.clone();
    }
    let computed: Vec<Value> = case.graph.body.nodes().iter().flat_map(|node| node.outputs()).collect();
    if let Some(alone) = computed.iter().copied().find(|value| fails(&[*value].into(), &cuts)) {
        roots = [alone].into();
    }
    for root in roots.clone() {
        let fewer: BTreeSet<Value> = roots.iter().copied().filter(|r| *r != root).collect();
        if !fewer.is_empty() && fails(&fewer, &cuts) {
            roots = fewer;
        }
    }
    for value in computed.into_iter().rev().filter(|v| !roots.contains(v)) {
        let more: BTreeSet<Value> = cuts.iter().copied().chain([value]).collect();
        if fails(&roots, &more) {
            cuts = more;
        }
    }
    cutter.cut(&roots, &cuts).unwrap_or_else(|| case.clone())
}

struct Cutter<'c> {
    case: &'c Case,
    /// What the reference makes of every value.
    values: Vec<HostTensor>,
}

impl Cutter<'_> {
    fn new(case: &Case) -> Option<Cutter<'_>> {
        let region = &*case.graph.body;
        let mut b = Builder::new();
        let mut values: Vec<Value> = region.param_types().iter().map(|t| b.param(t.clone())).collect();
        for node in region.nodes() {
            let inputs: Vec<Value> = node.inputs.iter().map(|v| values[v.index()]).collect();
            values.extend(b.push_multi(node.op.clone(), &inputs).ok()?);
        }
        let values = eval::region(&b.finish(&values), &case.inputs).ok()?;
        Some(Cutter { case, values })
    }

    /// The program that computes `roots` from what they need, with `cuts` as inputs.
    fn cut(&self, roots: &BTreeSet<Value>, cuts: &BTreeSet<Value>) -> Option<Case> {
        let region = &*self.case.graph.body;
        let mut live: BTreeSet<Value> = roots.clone();
        for node in region.nodes().iter().rev() {
            if node.outputs().any(|v| live.contains(&v) && !cuts.contains(&v)) {
                live.extend(node.inputs.iter().copied());
            }
        }
        let given: Vec<Value> =
            region.params().chain(cuts.iter().copied()).filter(|v| live.contains(v)).collect();
        let mut b = Builder::new();
        let mut map: HashMap<Value, Value> =
            given.iter().map(|v| (*v, b.param(region.ty(*v).clone()))).collect();
        for node in region.nodes() {
            if !node.outputs().any(|v| live.contains(&v) && !cuts.contains(&v)) {
                continue;
            }
            let inputs: Vec<Value> =
                node.inputs.iter().map(|v| map.get(v).copied()).collect::<Option<_>>()?;
            let outputs = b.push_multi(node.op.clone(), &inputs).ok()?;
            for (old, new) in node.outputs().zip(outputs) {
                map.entry(old).or_insert(new);
            }
        }
        let results: Vec<Value> = roots.iter().map(|v| map.get(v).copied()).collect::<Option<_>>()?;
        let inputs =
            (0..given.len()).map(|i| Input { name: format!("x{i}").into(), role: Role::Input }).collect();
        let outputs =
            (0..results.len()).map(|i| Output { name: format!("y{i}").into(), alias: None }).collect();
        Some(Case {
            name: format!("a part of {}", self.case.name),
            graph: Graph { inputs, outputs, body: Arc::new(b.finish(&results)) },
            inputs: given.iter().map(|v| self.values[v.index()].clone()).collect(),
            tolerance: self.case.tolerance,
            derivative_of: None,
        })
    }
}
