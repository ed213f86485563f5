//! The order of roots: what they read first, and what still reads an old value before the update that overwrites it.

use super::Signature;
use super::cluster::Former;
use super::roots::node_id;
use hashbrown::HashMap;
use std::collections::BTreeMap;
use wootz_ir::ops::Op;
use wootz_ir::{NodeId, Value};

/// In-place updates by the root that makes them.
pub(super) type Updates = BTreeMap<Value, Update>;

pub(super) struct Update {
    /// What is overwritten.
    pub(super) param: Value,
    /// The other roots that read it: they come first.
    pub(super) readers: Vec<Value>,
}

/// Nodes that own roots, in an order in which every root follows what it reads and an in-place update also follows every other
/// reader of what it overwrites. Updates for which there is no such order are marked as not in place.
pub(super) fn schedule(former: &mut Former<'_>, signature: &Signature) -> (Vec<NodeId>, Updates) {
    let (region, analysis) = (former.region, former.analysis);
    let nodes: Vec<NodeId> =
        region.node_ids().filter(|id| region.node(*id).outputs().any(|v| analysis.is_root(v))).collect();
    let mut readers: HashMap<Value, Vec<NodeId>> = HashMap::new();
    for id in &nodes {
        for read in former.reads_of(*id) {
            readers.entry(read).or_default().push(*id);
        }
    }
    let params: Vec<Value> = region.params().collect();
    let mut updates = Updates::new();
    for (i, result) in region.results().iter().enumerate() {
        let Some(param) = signature.aliases[i].and_then(|p| params.get(p)) else { continue };
        let value = analysis.storage(*result);
        let first = !region.results()[..i].iter().any(|r| analysis.storage(*r) == value);
        if !analysis.is_root(value) || !first {
            continue;
        }
        let Some(own) = node_id(region, value) else { continue };
        if !former.overwrites_safely(own, *param) {
            continue;
        }
        let others = readers.get(param).into_iter().flatten().filter(|id| **id != own);
        let values =
            others.flat_map(|id| region.node(*id).outputs()).filter(|v| analysis.is_root(*v)).collect();
        updates.insert(value, Update { param: *param, readers: values });
    }
    let starts = starts(former, &nodes, &updates, &readers);
    (topological(former, &starts, &mut updates), updates)
}

/// The nodes in the order in which the schedule begins with them (it puts first what they need). A contraction that only in-place
/// updates read comes right before these and after what still reads the old values, so that the updates can be its epilogue.
fn starts(
    former: &Former<'_>,
    nodes: &[NodeId],
    updates: &Updates,
    readers: &HashMap<Value, Vec<NodeId>>,
) -> Vec<NodeId> {
    let region = former.region;
    let made_by = |id: NodeId| region.node(id).outputs().find_map(|v| updates.get(&v));
    let readers_of =
        |id: NodeId| region.node(id).outputs().filter_map(|v| readers.get(&v)).flatten().copied();
    let mut starts = Vec::with_capacity(nodes.len());
    for id in nodes {
        let mut followers: Vec<NodeId> = readers_of(*id).collect();
        let only_updates = !followers.is_empty() && followers.iter().all(|f| made_by(*f).is_some());
        if matches!(region.node(*id).op, Op::Dot(_)) && only_updates {
            // A parameter's update often reads those of its moments.
            let next: Vec<NodeId> = followers.iter().flat_map(|f| readers_of(*f)).collect();
            followers.extend(next.into_iter().filter(|f| made_by(*f).is_some()));
            let old = followers.iter().filter_map(|f| made_by(*f)).flat_map(|u| &u.readers);
            starts.extend(old.filter_map(|v| node_id(region, *v)).filter(|r| !followers.contains(r)));
            starts.push(*id);
            starts.extend(followers);
        } else {
            starts.push(*id);
        }
    }
    starts
}

/// Depth-first order over data dependences and update-after-read; an update that closes a cycle is dropped from `updates`.
fn topological(former: &mut Former<'_>, nodes: &[NodeId], updates: &mut Updates) -> Vec<NodeId> {
    #[derive(Copy, Clone, PartialEq)]
    enum Mark {
        Fresh,
        Open,
        Done,
    }
    let region = former.region;
    loop {
        let mut marks = vec![Mark::Fresh; region.nodes().len()];
        let mut order = Vec::with_capacity(nodes.len());
        let mut cycle = None;
        for start in nodes {
            let mut stack = vec![(*start, false)];
            while let Some((id, expanded)) = stack.pop() {
                if expanded {
                    marks[id.index()] = Mark::Done;
                    order.push(id);
                    continue;
                }
                if marks[id.index()] != Mark::Fresh {
                    continue;
                }
                marks[id.index()] = Mark::Open;
                stack.push((id, true));
                let data = former.reads_of(id);
                let before = region.node(id).outputs().filter_map(|v| updates.get(&v));
                let before = before.flat_map(|u| u.readers.iter().copied());
                for dep in data.into_iter().chain(before).filter_map(|v| node_id(region, v)) {
                    match marks[dep.index()] {
                        Mark::Fresh => stack.push((dep, false)),
                        // What is open lies on the way to this node: the cycle is what follows `dep` there.
                        Mark::Open if dep != id && cycle.is_none() => {
                            let open = stack.iter().filter(|(_, expanded)| *expanded).map(|(n, _)| *n);
                            let mut outputs =
                                open.skip_while(|n| *n != dep).flat_map(|n| region.node(n).outputs());
                            cycle = outputs.find(|v| updates.contains_key(v));
                        }
                        Mark::Open | Mark::Done => {}
                    }
                }
            }
        }
        match cycle {
            None => return order,
            Some(value) => updates.remove(&value),
        };
    }
}
