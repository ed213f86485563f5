//! Regions and graphs: nodes in single-assignment form, and the named signature around them.

use crate::{Op, TensorType};
use smallvec::SmallVec;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::ops::Range;
use std::sync::Arc;

/// A value inside one region: a parameter or an output of a node. Values are numbered in the order of definition.
#[derive(Copy, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Value(pub(crate) u32);

impl Value {
    /// The value's number: parameters first, then node outputs in order.
    pub fn index(self) -> usize {
        self.0 as usize
    }
}

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "%{}", self.0)
    }
}
impl fmt::Debug for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// A node's position in its region.
#[derive(Copy, Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct NodeId(pub(crate) u32);

impl NodeId {
    /// The node's position.
    pub fn index(self) -> usize {
        self.0 as usize
    }
}

/// Where a node came from: the path of its block (and the user's line), for messages and source maps only.
/// It never influences behaviour, equality or hashing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Site(Option<Arc<str>>);

impl Site {
    /// A named place.
    pub fn new(path: &str) -> Site {
        Site((!path.is_empty()).then(|| path.into()))
    }

    /// A line in a block; either may be empty.
    pub fn at(block: &str, line: &str) -> Site {
        match (block.is_empty(), line.is_empty()) {
            (true, _) => Site::new(line),
            (_, true) => Site::new(block),
            _ => Site::new(&format!("{block}, {line}")),
        }
    }

    /// True if no place is known.
    pub fn is_unknown(&self) -> bool {
        self.0.is_none()
    }

    /// The path, or an empty string.
    pub fn path(&self) -> &str {
        self.0.as_deref().unwrap_or("")
    }
}

impl fmt::Display for Site {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.path())
    }
}

/// One operation applied to values.
#[derive(Clone, Debug)]
pub struct Node {
    /// What is computed.
    pub op: Op,
    /// The operands.
    pub inputs: SmallVec<[Value; 3]>,
    /// The user's name for the place.
    pub site: Site,
    pub(crate) first: u32,
    pub(crate) outputs: u32,
}

impl Node {
    /// The values the node defines.
    pub fn outputs(&self) -> impl ExactSizeIterator<Item = Value> + Clone + use<> {
        (self.first..self.first + self.outputs).map(Value)
    }

    /// The node's only output.
    ///
    /// # Panics
    /// If it has several.
    pub fn output(&self) -> Value {
        assert_eq!(self.outputs, 1, "{} has one output", self.op.name());
        Value(self.first)
    }
}

/// What defines a value.
#[derive(Copy, Clone, Debug, PartialEq, Eq, Hash)]
pub enum Def {
    /// The region's parameter of this position.
    Param(usize),
    /// This output of this node.
    Node(NodeId, usize),
}

/// A closed piece of graph: parameters, nodes in an order that defines before it uses, results.
///
/// A region refers to nothing outside itself; what a nested region needs from around it is passed as an explicit
/// capture. Regions are immutable; passes build new ones with a [`Builder`](crate::Builder). Equality and hashing are
/// structural and ignore sites.
#[derive(Clone, Debug, Default)]
pub struct Region {
    pub(crate) params: u32,
    pub(crate) nodes: Vec<Node>,
    pub(crate) types: Vec<TensorType>,
    pub(crate) defs: Vec<Def>,
    pub(crate) results: Vec<Value>,
}

impl Region {
    /// The parameters.
    pub fn params(&self) -> impl ExactSizeIterator<Item = Value> + Clone + use<> {
        (0..self.params).map(Value)
    }

    /// The nodes, in order.
    pub fn nodes(&self) -> &[Node] {
        &self.nodes
    }

    /// One node.
    pub fn node(&self, id: NodeId) -> &Node {
        &self.nodes[id.index()]
    }

    /// The ids of the nodes, in order.
    pub fn node_ids(&self) -> impl DoubleEndedIterator<Item = NodeId> + ExactSizeIterator + use<> {
        let ids: Range<u32> = 0..self.nodes.len() as u32;
        ids.map(NodeId)
    }

    /// The results.
    pub fn results(&self) -> &[Value] {
        &self.results
    }

    /// The type of a value.
    pub fn ty(&self, value: Value) -> &TensorType {
        &self.types[value.index()]
    }

    /// What defines a value.
    pub fn def(&self, value: Value) -> Def {
        self.defs[value.index()]
    }

    /// The node that defines a value, unless it is a parameter.
    pub fn defining_node(&self, value: Value) -> Option<&Node> {
        match self.def(value) {
            Def::Param(_) => None,
            Def::Node(id, _) => Some(self.node(id)),
        }
    }

    /// The number of values.
    pub fn values(&self) -> usize {
        self.types.len()
    }

    /// The parameters' types.
    pub fn param_types(&self) -> &[TensorType] {
        &self.types[..self.params as usize]
    }

    /// The results' types.
    pub fn result_types(&self) -> Vec<TensorType> {
        self.results.iter().map(|v| self.ty(*v).clone()).collect()
    }

    /// True if any type or attribute in the region (nested regions included) holds a symbolic dim.
    pub fn is_symbolic(&self) -> bool {
        self.types.iter().any(|t| t.shape.iter().any(|d| d.is_symbolic()))
            || self.nodes.iter().any(|n| n.op.regions().iter().any(|r| r.is_symbolic()))
    }
}

impl PartialEq for Region {
    fn eq(&self, other: &Self) -> bool {
        self.params == other.params
            && self.results == other.results
            && self.types == other.types
            && self.nodes.len() == other.nodes.len()
            && self.nodes.iter().zip(&other.nodes).all(|(a, b)| a.inputs == b.inputs && a.op == b.op)
    }
}
impl Eq for Region {}

impl Hash for Region {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.params.hash(state);
        self.results.hash(state);
        self.param_types().hash(state);
        for node in &self.nodes {
            node.op.hash(state);
            node.inputs.hash(state);
        }
    }
}

/// What an input of a graph is to its user.
#[derive(Copy, Clone, Debug, PartialEq, Eq, Hash)]
pub enum Role {
    /// Given at every run.
    Input,
    /// A trained parameter: bound once, changed by an optimizer.
    Param,
    /// Carried from run to run: moments, statistics, step counter, RNG key.
    State,
}

impl Role {
    /// The name in the text form.
    pub const fn name(self) -> &'static str {
        match self {
            Role::Input => "input",
            Role::Param => "param",
            Role::State => "state",
        }
    }
}

/// A named input of a graph.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Input {
    /// Unique among the inputs.
    pub name: Arc<str>,
    /// What it is to the user.
    pub role: Role,
}

/// A named output of a graph.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Output {
    /// Unique among the outputs.
    pub name: Arc<str>,
    /// The input (by position) whose buffer this output takes over: the caller gives the input up (donation).
    pub alias: Option<usize>,
}

/// A program's definition: a region whose parameters and results have names, roles and aliases.
///
/// Graphs are pure: parameters, state and inputs come in by name, outputs go out by name.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Graph {
    /// One for each parameter of `body`.
    pub inputs: Vec<Input>,
    /// One for each result of `body`.
    pub outputs: Vec<Output>,
    /// What is computed.
    pub body: Arc<Region>,
}

impl Graph {
    /// The position of the input called `name`.
    pub fn input(&self, name: &str) -> Option<usize> {
        self.inputs.iter().position(|i| &*i.name == name)
    }

    /// The position of the output called `name`.
    pub fn output(&self, name: &str) -> Option<usize> {
        self.outputs.iter().position(|o| &*o.name == name)
    }

    /// The type of the input at `index`.
    pub fn input_type(&self, index: usize) -> &TensorType {
        &self.body.types[index]
    }

    /// The type of the output at `index`.
    pub fn output_type(&self, index: usize) -> &TensorType {
        self.body.ty(self.body.results[index])
    }

    /// The same signature around another body (a pass's result).
    #[must_use]
    pub fn with_body(&self, body: Region) -> Graph {
        Graph { inputs: self.inputs.clone(), outputs: self.outputs.clone(), body: Arc::new(body) }
    }
}
