//! Blocks that repeat, such as the layers of a transformer, found in a graph so that they are written once.
//!
//! Sites say where a block may begin and end; whether two are the same is decided by what they compute.

use crate::function::splat_of;
use crate::update::Updates;
use hashbrown::{HashMap, HashSet};
use wootz_ir::ops::{Movement, Source};
use wootz_ir::{Builder, Def, Graph, Input, Op, Region, Site, TypeError, Value};

/// Shorter blocks are written where they stand.
const SHORTEST: usize = 6;

/// The repeated blocks of a graph.
#[derive(Default)]
pub(crate) struct Blocks {
    pub(crate) kinds: Vec<Kind>,
    /// The kind and the repetition that a node belongs to.
    nodes: HashMap<usize, (usize, usize)>,
}

/// Blocks that compute the same.
pub(crate) struct Kind {
    /// What the function is called: `layer` for `layers.0`, `layers.1`, …
    pub(crate) hint: String,
    pub(crate) body: Region,
    /// How each parameter of `body` comes in.
    pub(crate) operands: Vec<Operand>,
    pub(crate) repetitions: Vec<Repetition>,
    /// The operand in which each repetition but the first takes what the one before gives, if that is all it takes and gives.
    pub(crate) carried: Option<usize>,
}

/// How a value comes into a block.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Operand {
    /// A parameter of the model with this name after the block's own.
    Held(String),
    /// An argument, the same for all repetitions or not.
    Argument { shared: bool },
}

/// One of the places where a block stands.
pub(crate) struct Repetition {
    /// `layers.0.`
    pub(crate) prefix: String,
    /// Its last node, after which everything it reads and gives is known.
    pub(crate) last: usize,
    pub(crate) inputs: Vec<Value>,
    pub(crate) outputs: Vec<Value>,
}

/// A part of the graph that may be a block.
struct Part {
    prefix: String,
    nodes: Vec<usize>,
}

impl Blocks {
    /// The blocks of a graph; inputs for which `held` is true are read by name.
    pub(crate) fn of(graph: &Graph, updates: &Updates, held: impl Fn(&Input) -> bool) -> Blocks {
        let region = &*graph.body;
        let mut found: Vec<(Region, Vec<(Part, Repetition)>)> = Vec::new();
        let (users, constant) = (users(region), constant(region));
        for part in parts(region, updates, &constant) {
            let Ok((body, repetition)) = cut(region, &users, &constant, &part) else { continue };
            match found.iter_mut().find(|(known, _)| *known == body) {
                Some((_, alike)) => alike.push((part, repetition)),
                None => found.push((body, vec![(part, repetition)])),
            }
        }
        let mut blocks = Blocks::default();
        let mut seen: HashSet<String> = HashSet::new();
        for (body, alike) in found.into_iter().filter(|(_, alike)| alike.len() > 1) {
            let kind = blocks.kinds.len();
            let mut repetitions = Vec::new();
            let again = !seen.insert(alike[0].0.prefix.clone());
            let hint = hint(&alike[0].0.prefix);
            for (i, (part, repetition)) in alike.into_iter().enumerate() {
                blocks.nodes.extend(part.nodes.iter().map(|at| (*at, (kind, i))));
                repetitions.push(repetition);
            }
            // A block is met again on the way back, where gradients are taken.
            let hint = if again { format!("{hint}_gradient") } else { hint };
            let operands: Vec<Operand> =
                (0..body.params().len()).map(|i| operand(graph, &held, &repetitions, i)).collect();
            let carried = carried(&users, region, &operands, &repetitions);
            blocks.kinds.push(Kind { hint, body, operands, repetitions, carried });
        }
        blocks
    }

    /// The kind and the repetition that a node belongs to.
    pub(crate) fn at(&self, node: usize) -> Option<(&Kind, &Repetition)> {
        let (kind, i) = self.nodes.get(&node)?;
        Some((&self.kinds[*kind], &self.kinds[*kind].repetitions[*i]))
    }
}

/// The nodes that use each value, `usize::MAX` for the results.
fn users(region: &Region) -> Vec<Vec<usize>> {
    let mut users = vec![Vec::new(); region.values()];
    for (at, node) in region.nodes().iter().enumerate() {
        node.inputs.iter().for_each(|v| users[v.index()].push(at));
    }
    region.results().iter().for_each(|v| users[v.index()].push(usize::MAX));
    users
}

/// Whether each value depends on no input.
fn constant(region: &Region) -> Vec<bool> {
    let mut constant = vec![false; region.values()];
    for node in region.nodes() {
        if node.inputs.iter().all(|v| constant[v.index()]) {
            node.outputs().for_each(|v| constant[v.index()] = true);
        }
    }
    constant
}

/// The longest stretches of nodes whose sites begin with the same numbered block. What depends on no input is left out.
fn parts(region: &Region, updates: &Updates, constant: &[bool]) -> Vec<Part> {
    let mut parts: Vec<Part> = Vec::new();
    let mut open: Option<Part> = None;
    for (at, node) in region.nodes().iter().enumerate() {
        if node.outputs().all(|v| constant[v.index()]) {
            continue;
        }
        let prefix = if updates.nodes.contains(&at) { None } else { prefix(&node.site) };
        if open.as_ref().map(|part| part.prefix.as_str()) != prefix {
            parts.extend(open.take());
        }
        if let Some(prefix) = prefix {
            let part = open.get_or_insert_with(|| Part { prefix: prefix.to_owned(), nodes: Vec::new() });
            part.nodes.push(at);
        }
    }
    parts.extend(open);
    parts.retain(|part| part.nodes.len() >= SHORTEST);
    parts
}

/// `layers.0` of `layers.0.norm1`: up to the first number.
fn prefix(site: &Site) -> Option<&str> {
    let path = site.path();
    let mut end = 0;
    for word in path.split('.') {
        end += word.len();
        if !word.is_empty() && word.bytes().all(|b| b.is_ascii_digit()) {
            return Some(&path[..end]);
        }
        end += 1;
    }
    None
}

/// What one of the numbered blocks is called: `layer` for `decoder.layers.0`.
fn hint(prefix: &str) -> String {
    let mut words = prefix.rsplit('.').skip(1);
    let name = words.next().filter(|word| !word.is_empty()).unwrap_or("blocks");
    name.strip_suffix('s').filter(|one| !one.is_empty()).unwrap_or(name).to_owned()
}

/// A part as a region of its own: what it reads in the order in which it is met, what others read of it.
fn cut(
    region: &Region,
    users: &[Vec<usize>],
    constant: &[bool],
    part: &Part,
) -> Result<(Region, Repetition), TypeError> {
    let inside: HashSet<usize> = part.nodes.iter().copied().collect();
    let mut inputs: Vec<Value> = Vec::new();
    for at in &part.nodes {
        let is_inside =
            |v: &&Value| matches!(region.def(**v), Def::Node(id, _) if inside.contains(&id.index()));
        for value in region.nodes()[*at].inputs.iter().filter(|v| !is_inside(v)) {
            read(region, constant, *value, &mut inputs);
        }
    }
    let mut b = Builder::new();
    let mut map: HashMap<Value, Value> = HashMap::new();
    for value in &inputs {
        let param = b.param(region.ty(*value).clone());
        map.insert(*value, param);
    }
    for at in &part.nodes {
        copy(&mut b, region, *at, part.prefix.len(), &mut map)?;
    }
    let given = |v: &Value| users[v.index()].iter().any(|user| !inside.contains(user));
    let outputs: Vec<Value> =
        part.nodes.iter().flat_map(|at| region.nodes()[*at].outputs()).filter(given).collect();
    let results: Vec<Value> = outputs.iter().map(|v| map[v]).collect();
    let last = *part.nodes.last().expect("a part has nodes");
    let prefix = format!("{}.", part.prefix);
    Ok((b.finish(&results), Repetition { prefix, last, inputs, outputs }))
}

/// What is written again in every block that reads it: repeated numbers, and constants that are repeated where they are used.
fn is_copied(region: &Region, constant: &[bool], value: Value) -> bool {
    if !constant[value.index()] {
        return false;
    }
    match region.defining_node(value).map(|node| &node.op) {
        Some(Op::Source(Source::Constant(tensor))) => splat_of(tensor).is_some(),
        Some(Op::Movement(Movement::Broadcast { .. })) => true,
        _ => false,
    }
}

fn read(region: &Region, constant: &[bool], value: Value, inputs: &mut Vec<Value>) {
    if inputs.contains(&value) {
        return;
    }
    match region.defining_node(value).filter(|_| is_copied(region, constant, value)) {
        Some(node) => node.inputs.iter().for_each(|v| read(region, constant, *v, inputs)),
        None => inputs.push(value),
    }
}

fn copy(
    b: &mut Builder,
    region: &Region,
    at: usize,
    prefix: usize,
    map: &mut HashMap<Value, Value>,
) -> Result<(), TypeError> {
    let node = &region.nodes()[at];
    let mut inputs = Vec::new();
    for value in &node.inputs {
        if let (false, Def::Node(id, _)) = (map.contains_key(value), region.def(*value)) {
            copy(b, region, id.index(), prefix, map)?;
        }
        inputs.push(map[value]);
    }
    // Within the block sites are the block's own.
    let own = node.site.path().get(prefix..).unwrap_or("").trim_start_matches('.');
    b.set_site(Site::new(own));
    let outputs = b.push_multi(node.op.clone(), &inputs)?;
    map.extend(node.outputs().zip(outputs));
    Ok(())
}

fn operand(graph: &Graph, held: &impl Fn(&Input) -> bool, repetitions: &[Repetition], i: usize) -> Operand {
    let suffix = |repetition: &Repetition| match graph.body.def(repetition.inputs[i]) {
        Def::Param(input) if held(&graph.inputs[input]) => {
            graph.inputs[input].name.strip_prefix(repetition.prefix.as_str()).map(str::to_owned)
        }
        _ => None,
    };
    let first = suffix(&repetitions[0]);
    match first.filter(|first| repetitions.iter().all(|r| suffix(r).as_ref() == Some(first))) {
        Some(suffix) => Operand::Held(suffix),
        None => {
            let shared = repetitions.iter().all(|r| r.inputs[i] == repetitions[0].inputs[i]);
            Operand::Argument { shared }
        }
    }
}

fn carried(
    users: &[Vec<usize>],
    region: &Region,
    operands: &[Operand],
    repetitions: &[Repetition],
) -> Option<usize> {
    let mut own = (0..operands.len()).filter(|i| operands[*i] == Operand::Argument { shared: false });
    let (Some(carried), None) = (own.next(), own.next()) else { return None };
    let follows = repetitions.windows(2).all(|pair| {
        let [output] = pair[0].outputs[..] else { return false };
        // Nothing but the next one reads it.
        let inside = |at: &usize| *at <= pair[1].last;
        pair[1].inputs[carried] == output && users[output.index()].iter().all(inside)
    });
    let same = repetitions.iter().all(|r| {
        r.outputs.len() == 1 && region.ty(r.outputs[0]) == region.ty(repetitions[0].inputs[carried])
    });
    (follows && same).then_some(carried)
}
