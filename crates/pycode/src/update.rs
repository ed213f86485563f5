//! What a training step does to one parameter after another, found in its graph so that it is written once.
//!
//! An update is the elementwise arithmetic between what a step holds for a parameter (itself, its moments) and what takes
//! their places. Two are alike if they are the same arithmetic; shapes do not matter, and names only spell the loop over them.

mod rule;
mod write;

pub(crate) use self::write::next_state;

use self::rule::Fused;
use crate::function::{is_view, splat_of};
use crate::{Framework, Options};
use hashbrown::{HashMap, HashSet};
use std::cell::RefCell;
use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::rc::Rc;
use wootz_ir::ops::{Movement, Source, Unary};
use wootz_ir::{Builder, Def, Graph, HostTensor, Node, Op, Region, Role, TypeError, Value};

/// Parameters that are updated alike.
pub(crate) struct Group {
    pub(crate) rule: Rule,
    pub(crate) members: Vec<Member>,
    /// How the names of what is held for a parameter are made from the parameter's own.
    pub(crate) slots: Vec<Slot>,
}

/// What stands before and after the name of the parameter: `optimizer.exp_avg.` before it, nothing after it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Slot {
    pub(crate) before: String,
    pub(crate) after: String,
}

/// How a group is written.
pub(crate) enum Rule {
    /// A fused kernel of PyTorch's.
    Fused(Fused),
    /// A function of what is held, the gradient and scalars that all share, called in a loop.
    Function { body: Region, shared: Vec<Value> },
}

/// The update of one parameter.
pub(crate) struct Member {
    pub(crate) name: String,
    /// What it reads of its own: the gradient.
    pub(crate) own: Vec<Value>,
}

/// The updates of a step.
#[derive(Default)]
pub(crate) struct Updates {
    pub(crate) groups: Vec<Group>,
    /// Nodes that are written with their group.
    pub(crate) nodes: HashSet<usize>,
    /// Positions of the outputs that groups compute.
    pub(crate) outputs: HashSet<usize>,
}

impl Updates {
    /// The updates in a graph.
    pub(crate) fn of(graph: &Graph, options: &Options) -> Updates {
        let search = Search::new(graph);
        let mut found: Vec<(String, Vec<Found>)> = Vec::new();
        for output in 0..graph.outputs.len() {
            let Some(update) = search.update(output) else { continue };
            // PyTorch's compiler does not take its own fused kernels, and fuses what they do.
            let fused = match (options.framework, options.jit) {
                (Framework::Torch, false) => rule::fused(graph, &update),
                (Framework::Torch, true) | (Framework::Numpy | Framework::Jax | Framework::Mlx, _) => None,
            };
            let (update, key) = match fused {
                Some((fused, gradient)) => {
                    let key = format!("{:?} {fused:?}", update.slots);
                    let mut update = Found { fused: Some(fused), own: vec![gradient], ..update };
                    search.leave(gradient, &mut update.nodes);
                    (update, key)
                }
                None => {
                    let key = format!("{:?} {}", update.slots, update.key);
                    (update, key)
                }
            };
            match found.iter_mut().find(|(known, _)| *known == key) {
                Some((_, alike)) => alike.push(update),
                None => found.push((key, vec![update])),
            }
        }
        let mut updates = Updates::default();
        for (_, alike) in found {
            // One call of a function is longer than what it does.
            if alike.len() > 1 || alike[0].fused.is_some() {
                updates.add(graph, alike);
            }
        }
        updates
    }

    fn add(&mut self, graph: &Graph, alike: Vec<Found>) {
        let Some(first) = alike.first() else { return };
        let rule = match &first.fused {
            Some(fused) => Rule::Fused(fused.clone()),
            None => match first.function(&graph.body) {
                Ok(body) => Rule::Function { body, shared: first.shared.clone() },
                Err(_) => return,
            },
        };
        let slots = first.slots.clone();
        let mut members = Vec::new();
        for update in alike {
            self.nodes.extend(&update.nodes);
            self.outputs.extend(&update.outputs);
            let name = graph.inputs[update.held[0]].name.to_string();
            members.push(Member { name, own: update.own });
        }
        self.groups.push(Group { rule, members, slots });
    }

    /// Values that groups read, each as often as it is read.
    pub(crate) fn operands(&self) -> impl Iterator<Item = Value> {
        self.groups.iter().flat_map(|group| {
            let shared: Vec<Value> = match &group.rule {
                Rule::Fused(fused) => fused.shared(),
                // Twice: what all share is computed before the loop.
                Rule::Function { shared, .. } => shared.iter().chain(shared).copied().collect(),
            };
            group.members.iter().flat_map(|m| m.own.iter().copied()).chain(shared)
        })
    }
}

/// The update of one parameter as it is found.
struct Found {
    /// The arithmetic as text in which shapes and the order of commuting operands do not appear.
    key: String,
    /// The positions of the inputs that are overwritten: the parameter, then its states.
    held: Vec<usize>,
    slots: Vec<Slot>,
    own: Vec<Value>,
    shared: Vec<Value>,
    nodes: BTreeSet<usize>,
    outputs: Vec<usize>,
    results: Vec<Value>,
    fused: Option<Fused>,
}

impl Found {
    /// The update as a function: (held, own, shared) → what takes the place of the held.
    fn function(&self, region: &Region) -> Result<Region, TypeError> {
        let mut b = Builder::new();
        let mut map: HashMap<Value, Value> = HashMap::new();
        let params: Vec<Value> = region.params().collect();
        let held = self.held.iter().map(|i| params[*i]);
        for value in held.chain(self.own.iter().copied()).chain(self.shared.iter().copied()) {
            let param = b.param(region.ty(value).clone());
            map.insert(value, param);
        }
        for at in &self.nodes {
            copy(&mut b, region, region.nodes()[*at].output(), &mut map)?;
        }
        let results: Vec<Value> = self.results.iter().map(|v| map[v]).collect();
        Ok(b.finish(&results))
    }
}

fn copy(
    b: &mut Builder,
    region: &Region,
    value: Value,
    map: &mut HashMap<Value, Value>,
) -> Result<Value, TypeError> {
    if let Some(known) = map.get(&value) {
        return Ok(*known);
    }
    let node = region.defining_node(value).expect("what is no node of an update was made a parameter");
    let inputs = node.inputs.iter().map(|v| copy(b, region, *v, map)).collect::<Result<Vec<_>, _>>()?;
    let new = b.push(node.op.clone(), &inputs)?;
    map.insert(value, new);
    Ok(new)
}

/// Ops whose result at a position depends on their operands there alone.
fn is_elementwise(op: &Op) -> bool {
    matches!(op, Op::Unary(_) | Op::Binary(_) | Op::Compare(_) | Op::Ternary(_) | Op::Cast(_))
}

/// The scalar that a value repeats, which is no constant.
fn scalar_of(region: &Region, value: Value) -> Option<Value> {
    let node = region.defining_node(value)?;
    let repeats = matches!(node.op, Op::Movement(Movement::Broadcast { .. }));
    (repeats && region.ty(node.inputs[0]).rank() == 0).then(|| node.inputs[0])
}

/// The only element of a constant that repeats it.
fn splat(region: &Region, value: Value) -> Option<HostTensor> {
    let node = region.defining_node(value)?;
    match &node.op {
        Op::Source(Source::Constant(tensor)) => splat_of(tensor),
        Op::Movement(Movement::Broadcast { .. } | Movement::Reshape { .. }) => splat(region, node.inputs[0]),
        _ => None,
    }
}

struct Search<'g> {
    graph: &'g Graph,
    /// The nodes that use each value.
    users: Vec<Vec<usize>>,
    /// How often each value is a result.
    results: Vec<usize>,
    /// The output that takes each input's place.
    replaced: HashMap<usize, usize>,
}

impl<'g> Search<'g> {
    fn new(graph: &'g Graph) -> Search<'g> {
        let region = &graph.body;
        let mut users = vec![Vec::new(); region.values()];
        for (at, node) in region.nodes().iter().enumerate() {
            node.inputs.iter().for_each(|v| users[v.index()].push(at));
        }
        let mut results = vec![0; region.values()];
        region.results().iter().for_each(|v| results[v.index()] += 1);
        let replaced = graph.outputs.iter().enumerate().filter_map(|(i, o)| Some((o.alias?, i))).collect();
        Search { graph, users, results, replaced }
    }

    /// The update that gives an output, if the output takes a parameter's place.
    fn update(&self, output: usize) -> Option<Found> {
        let (graph, region) = (self.graph, &*self.graph.body);
        let input = graph.outputs[output].alias?;
        let params: Vec<Value> = region.params().collect();
        let param = params[input];
        if graph.inputs[input].role != Role::Param || !region.ty(param).dtype.is_float() {
            return None;
        }
        let mut walk = Walk { search: self, param, held: BTreeSet::new(), touched: HashMap::new() };
        let mut outputs: Vec<(usize, usize)> = Vec::new();
        loop {
            // The parameter first, its states in their order.
            let states = walk.held.iter().copied().filter(|i| *i != input);
            let all: Vec<usize> = std::iter::once(input).chain(states).collect();
            if all.len() == outputs.len() {
                break;
            }
            outputs =
                all.into_iter().map(|i| self.replaced.get(&i).map(|o| (i, *o))).collect::<Option<_>>()?;
            for (_, output) in &outputs {
                if !walk.touches(region.results()[*output]) {
                    return None;
                }
            }
        }
        if outputs.iter().any(|(i, _)| self.escapes(params[*i])) {
            return None;
        }
        let results: Vec<Value> = outputs.iter().map(|(_, o)| region.results()[*o]).collect();
        let nodes = self.nodes(&walk, &results)?;
        let name = &*graph.inputs[input].name;
        let slot = |i: &(usize, usize)| {
            let all = &*graph.inputs[i.0].name;
            let (before, after) = all.strip_suffix(name).map(|b| (b, "")).or_else(|| all.split_once(name))?;
            Some(Slot { before: before.to_owned(), after: after.to_owned() })
        };
        let slots = outputs.iter().map(slot).collect::<Option<Vec<_>>>()?;
        let held: Vec<usize> = outputs.iter().map(|(i, _)| *i).collect();
        let leaves = Leaves {
            region,
            nodes: &nodes,
            held: held.iter().map(|i| params[*i]).collect(),
            own: RefCell::default(),
            shared: RefCell::default(),
            keys: RefCell::default(),
        };
        let mut key = String::new();
        results.iter().for_each(|v| {
            let _ = write!(key, "{} ", leaves.key(*v));
        });
        let (own, shared) = (leaves.own.take(), leaves.shared.take());
        let outputs = outputs.iter().map(|(_, o)| *o).collect();
        Some(Found { key, held, slots, own, shared, nodes, outputs, results, fused: None })
    }

    /// Whether a result may share the memory of a value that will have been overwritten.
    fn escapes(&self, value: Value) -> bool {
        let nodes = self.graph.body.nodes();
        let mut views = self.users[value.index()].iter().map(|i| &nodes[*i]).filter(|n| is_view(&n.op));
        self.results[value.index()] > 0 || views.any(|n| n.inputs[0] == value && self.escapes(n.output()))
    }

    /// The nodes of an update: those between what is held and what takes its place, and what they alone need computed from no
    /// more operands. Nothing, if others read what is between.
    fn nodes(&self, walk: &Walk<'_>, results: &[Value]) -> Option<BTreeSet<usize>> {
        let region = &*self.graph.body;
        let touched = walk.touched.iter().filter(|(_, touches)| **touches);
        let mut nodes: BTreeSet<usize> = touched.filter_map(|(v, _)| self.node_of(*v)).collect();
        let mut own: BTreeSet<Value> =
            nodes.iter().flat_map(|i| self.own_operands(*i, walk, &nodes)).collect();
        loop {
            let foldable = own.iter().filter_map(|v| self.node_of(*v)).find(|i| {
                let node = &region.nodes()[*i];
                let more = |v: &Value| !own.contains(v);
                is_elementwise(&node.op)
                    && region.ty(node.output()).rank() > 0
                    && self.results[node.output().index()] == 0
                    && self.users[node.output().index()].iter().all(|user| nodes.contains(user))
                    && self.own_operands(*i, walk, &nodes).into_iter().filter(more).count() <= 1
            });
            let Some(i) = foldable else { break };
            nodes.insert(i);
            own.remove(&region.nodes()[i].output());
            own.extend(self.own_operands(i, walk, &nodes));
        }
        let closed = nodes.iter().all(|i| {
            let value = region.nodes()[*i].output();
            let given = usize::from(results.contains(&value));
            self.results[value.index()] == given
                && self.users[value.index()].iter().all(|user| nodes.contains(user))
        });
        closed.then_some(nodes)
    }

    /// Takes a value, and what it is computed from, out of the nodes of an update.
    fn leave(&self, value: Value, nodes: &mut BTreeSet<usize>) {
        if let Some(at) = self.node_of(value).filter(|at| nodes.remove(at)) {
            self.graph.body.nodes()[at].inputs.iter().for_each(|v| self.leave(*v, nodes));
        }
    }

    fn node_of(&self, value: Value) -> Option<usize> {
        match self.graph.body.def(value) {
            Def::Node(id, _) => Some(id.index()),
            Def::Param(_) => None,
        }
    }

    /// The operands of a node that are neither constants, scalars nor held.
    fn own_operands(&self, at: usize, walk: &Walk<'_>, nodes: &BTreeSet<usize>) -> BTreeSet<Value> {
        let region = &*self.graph.body;
        let own = |v: &Value| {
            let held = walk.touched.get(v) == Some(&true);
            let inside = self.node_of(*v).is_some_and(|i| nodes.contains(&i));
            !held && !inside && splat(region, *v).is_none() && scalar_of(region, *v).is_none()
        };
        region.nodes()[at].inputs.iter().copied().filter(own).collect()
    }
}

/// Which values depend on what is held for a parameter, elementwise.
struct Walk<'s> {
    search: &'s Search<'s>,
    param: Value,
    held: BTreeSet<usize>,
    touched: HashMap<Value, bool>,
}

impl Walk<'_> {
    fn touches(&mut self, value: Value) -> bool {
        if let Some(known) = self.touched.get(&value) {
            return *known;
        }
        let graph = self.search.graph;
        let region = &*graph.body;
        let touches = match region.def(value) {
            Def::Param(i) => {
                let held = value == self.param
                    || graph.inputs[i].role == Role::State && region.ty(value) == region.ty(self.param);
                if held {
                    self.held.insert(i);
                }
                held
            }
            Def::Node(id, _) => {
                let node: &Node = region.node(id);
                let same =
                    is_elementwise(&node.op) && region.ty(node.output()).shape == region.ty(self.param).shape;
                // All of them are walked.
                same && node.inputs.iter().filter(|v| self.touches(**v)).count() > 0
            }
        };
        self.touched.insert(value, touches);
        touches
    }
}

/// What an update reads, in the order in which it is met.
struct Leaves<'a> {
    region: &'a Region,
    nodes: &'a BTreeSet<usize>,
    held: Vec<Value>,
    own: RefCell<Vec<Value>>,
    shared: RefCell<Vec<Value>>,
    keys: RefCell<HashMap<Value, Rc<str>>>,
}

impl Leaves<'_> {
    fn key(&self, value: Value) -> Rc<str> {
        if let Some(known) = self.keys.borrow().get(&value) {
            return known.clone();
        }
        let key: Rc<str> = self.fresh_key(value).into();
        self.keys.borrow_mut().insert(value, key.clone());
        key
    }

    fn fresh_key(&self, value: Value) -> String {
        let position = |list: &RefCell<Vec<Value>>, value: Value| {
            let mut list = list.borrow_mut();
            list.iter().position(|v| *v == value).unwrap_or_else(|| {
                list.push(value);
                list.len() - 1
            })
        };
        if let Some(i) = self.held.iter().position(|v| *v == value) {
            return format!("held{i}");
        }
        if let Some(splat) = splat(self.region, value) {
            return format!("{}:{:?}", splat.dtype(), splat.as_bytes());
        }
        if let Def::Node(id, _) = self.region.def(value)
            && self.nodes.contains(&id.index())
        {
            let node = self.region.node(id);
            let mut operands: Vec<Rc<str>> = node.inputs.iter().map(|v| self.key(*v)).collect();
            if matches!(&node.op, Op::Binary(op) if op.is_commutative()) {
                operands.sort();
            }
            let dtype = self.region.ty(value).dtype;
            let order = match node.op {
                Op::Unary(Unary::Polygamma(n)) => n,
                _ => 0,
            };
            return format!("({} {order} {dtype} {})", node.op.name(), operands.join(" "));
        }
        match scalar_of(self.region, value) {
            Some(scalar) => {
                position(&self.shared, scalar);
                format!("scalar{}", scalar.index())
            }
            None => format!("own{}", position(&self.own, value)),
        }
    }
}
