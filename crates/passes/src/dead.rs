//! Dead code: nodes that no result depends on, results of region-owning ops that nothing uses, carries that feed only
//! themselves, captures that the regions do not read.
//!
//! Before:
//!
//! ```text
//! region @body(%0: f32[2], %1: f32[2]) -> (f32[2], f32[2]) {
//!   %2 = exp %0 : f32[2]
//!   %3 = neg %1 : f32[2]
//!   return %2, %3
//! }
//! graph(%0: f32[2] = input "x", %1: f32[2] = input "z") {
//!   %2 = log %0 : f32[2]
//!   %3, %4 = call[body=@body] %0, %1 : f32[2], f32[2]
//!   return "y" = %3
//! }
//! ```
//!
//! After:
//!
//! ```text
//! region @body(%0: f32[2]) -> (f32[2]) {
//!   %1 = exp %0 : f32[2]
//!   return %1
//! }
//! graph(%0: f32[2] = input "x", %1: f32[2] = input "z") {
//!   %2 = call[body=@body] %0 : f32[2]
//!   return "y" = %2
//! }
//! ```

use crate::emit::live_nodes;
use hashbrown::HashMap;
use std::sync::Arc;
use wootz_ir::ops::{Control, Op};
use wootz_ir::{Builder, Node, Region, Target, TypeError, Value};

type Mask = Vec<bool>;
/// A region by address, with what of its parameters and results is kept.
type Key = (*const Region, Mask, Mask);

pub(crate) fn run(region: &Arc<Region>, _target: &Target) -> Result<Arc<Region>, TypeError> {
    let (params, results) = (region.params().len(), region.results().len());
    Prune::default().region(region, &vec![true; params], &vec![true; results])
}

#[derive(Default)]
struct Prune {
    /// Regions done, with the original kept alive.
    done: HashMap<Key, (Arc<Region>, Arc<Region>)>,
    /// Which parameters the results marked of a region of the input depend on.
    reads: HashMap<(*const Region, Mask), Mask>,
}

/// What of a region-owning op stays.
struct Kept {
    operands: Mask,
    results: Mask,
}

impl Prune {
    /// The region with only the parameters and results marked. Parameters not marked must not matter to those results.
    fn region(
        &mut self,
        region: &Arc<Region>,
        params: &[bool],
        results: &[bool],
    ) -> Result<Arc<Region>, TypeError> {
        let owns = region.nodes().iter().any(|n| matches!(n.op, Op::Control(_)));
        if !owns && params.iter().chain(results).all(|keep| *keep) && live_nodes(region).iter().all(|l| *l) {
            return Ok(region.clone());
        }
        let key = (Arc::as_ptr(region), params.to_vec(), results.to_vec());
        if let Some((_, done)) = self.done.get(&key) {
            return Ok(done.clone());
        }
        let new = Arc::new(self.rebuild(region, params, results)?);
        self.done.insert(key, (region.clone(), new.clone()));
        Ok(new)
    }

    fn rebuild(&mut self, region: &Region, params: &[bool], results: &[bool]) -> Result<Region, TypeError> {
        let (_, kept) = self.liveness(region, results);
        let mut b = Builder::new();
        b.reserve(region.values());
        let types = region.param_types().iter().zip(params);
        let mut map: Vec<Option<Value>> = types.map(|(ty, keep)| keep.then(|| b.param(ty.clone()))).collect();
        for (node, kept) in region.nodes().iter().zip(kept) {
            let Some(kept) = kept else {
                map.extend(node.outputs().map(|_| None));
                continue;
            };
            let op = match &node.op {
                Op::Control(control) => self.control(control, &kept)?.into(),
                op => op.clone(),
            };
            let inputs: Vec<Value> = selected(&node.inputs, &kept.operands)
                .map(|v| map[v.index()].expect("what a live node reads is live"))
                .collect();
            b.set_site(node.site.clone());
            let mut outputs = b.push_multi(op, &inputs)?.into_iter();
            map.extend(kept.results.iter().map(|keep| if *keep { outputs.next() } else { None }));
        }
        let kept = selected(region.results(), results);
        let results: Vec<Value> = kept.map(|v| map[v.index()].expect("results are live")).collect();
        Ok(b.finish(&results))
    }

    /// Which parameters the results marked depend on, and what stays of each node (`None`: nothing).
    fn liveness(&mut self, region: &Region, results: &[bool]) -> (Mask, Vec<Option<Kept>>) {
        let mut used = vec![false; region.values()];
        selected(region.results(), results).for_each(|v| used[v.index()] = true);
        let mut kept: Vec<Option<Kept>> = Vec::with_capacity(region.nodes().len());
        for node in region.nodes().iter().rev() {
            let wanted: Mask = node.outputs().map(|v| used[v.index()]).collect();
            if !wanted.contains(&true) {
                kept.push(None);
                continue;
            }
            let keep = self.node_kept(node, wanted);
            selected(&node.inputs, &keep.operands).for_each(|v| used[v.index()] = true);
            kept.push(Some(keep));
        }
        kept.reverse();
        used.truncate(region.params().len());
        (used, kept)
    }

    fn node_kept(&mut self, node: &Node, wanted: Mask) -> Kept {
        match &node.op {
            Op::Control(Control::Call { body }) => {
                Kept { operands: self.reads(body, &wanted), results: wanted }
            }
            Op::Control(Control::Cond { then, otherwise }) => {
                let otherwise = self.reads(otherwise, &wanted);
                let captures = union(self.reads(then, &wanted), &otherwise);
                Kept { operands: [vec![true], captures].concat(), results: wanted }
            }
            Op::Control(Control::While { cond, body, carries }) => {
                // What the condition reads is needed, and what the next value of anything needed reads.
                let mut operands = self.reads(cond, &[true]);
                operands.iter_mut().zip(&wanted).for_each(|(o, w)| *o |= w);
                loop {
                    let next = union(self.reads(body, &operands[..*carries]), &operands);
                    if next == operands {
                        return Kept { results: operands[..*carries].to_vec(), operands };
                    }
                    operands = next;
                }
            }
            Op::Control(Control::Scan { body, carries, .. }) => {
                let mut results = wanted;
                loop {
                    let mut operands = self.reads(body, &results);
                    operands.iter_mut().zip(&results[..*carries]).for_each(|(o, r)| *o |= r);
                    if operands[..*carries] == results[..*carries] {
                        return Kept { operands, results };
                    }
                    results[..*carries].copy_from_slice(&operands[..*carries]);
                }
            }
            _ => Kept { operands: vec![true; node.inputs.len()], results: vec![true; wanted.len()] },
        }
    }

    fn reads(&mut self, region: &Arc<Region>, results: &[bool]) -> Mask {
        let key = (Arc::as_ptr(region), results.to_vec());
        if let Some(reads) = self.reads.get(&key) {
            return reads.clone();
        }
        let (reads, _) = self.liveness(region, results);
        self.reads.insert(key, reads.clone());
        reads
    }

    fn control(&mut self, control: &Control, kept: &Kept) -> Result<Control, TypeError> {
        let Kept { operands, results } = kept;
        Ok(match control {
            Control::Call { body } => Control::Call { body: self.region(body, operands, results)? },
            Control::Cond { then, otherwise } => Control::Cond {
                then: self.region(then, &operands[1..], results)?,
                otherwise: self.region(otherwise, &operands[1..], results)?,
            },
            Control::While { cond, body, carries } => Control::While {
                cond: self.region(cond, operands, &[true])?,
                body: self.region(body, operands, results)?,
                carries: count(&operands[..*carries]),
            },
            Control::Scan { body, carries, xs, length, reverse } => Control::Scan {
                body: self.region(body, operands, results)?,
                carries: count(&operands[..*carries]),
                xs: count(&operands[*carries..carries + xs]),
                length: length.clone(),
                reverse: *reverse,
            },
            Control::CustomVjp { .. } => control.try_map_regions(|r| run_all(self, r))?,
        })
    }
}

fn run_all(prune: &mut Prune, region: &Arc<Region>) -> Result<Arc<Region>, TypeError> {
    let (params, results) = (vec![true; region.params().len()], vec![true; region.results().len()]);
    prune.region(region, &params, &results)
}

fn count(mask: &[bool]) -> usize {
    mask.iter().filter(|keep| **keep).count()
}

fn selected<'a>(values: &'a [Value], mask: &'a [bool]) -> impl Iterator<Item = Value> + 'a {
    values.iter().zip(mask).filter(|(_, keep)| **keep).map(|(v, _)| *v)
}

fn union(mut a: Mask, b: &[bool]) -> Mask {
    a.iter_mut().zip(b).for_each(|(a, b)| *a |= b);
    a
}
