//! One function of the module: the nodes of a region as statements.
//!
//! A value that is used once, nearby, becomes part of the expression that uses it; others get a name. Broadcasts are left
//! to the framework wherever an elementwise op takes them.

mod attention;
mod constant;
mod control;
mod fold;
mod gather;
mod hint;
mod inplace;
mod movement;
mod repeat;
mod scatter;

pub(crate) use self::fold::splat_of;
use self::fold::{folded, is_container, joined, reduced_splat};
use self::hint::{hint, is_light};
pub(crate) use self::inplace::is_view;
pub(crate) use self::repeat::Style;
pub(crate) use self::scatter::Places;
use crate::EmitError;
use crate::blocks::Blocks;
use crate::dialect::{Arg, Out};
use crate::module::Module;
use crate::names::Names;
use crate::py::{Py, atom, index, line, statement};
use crate::update::Updates;
use hashbrown::{HashMap, HashSet};
use wootz_ir::ops::{Composite, Reduce, Source};
use wootz_ir::{Def, Dims, HostTensor, Node, Op, Region, Site, Value};

/// Longer expressions get a name.
const INLINE: usize = 60;
/// The operand of a layer gets a name where it and the weights are longer together.
const LAYER: usize = 72;

/// A function as it is being written.
pub(crate) struct Function<'m> {
    pub(crate) module: &'m mut Module,
    pub(crate) names: Names,
    region: &'m Region,
    values: Vec<Option<Arg>>,
    /// How often each value is used, and the node of its only use.
    uses: Vec<usize>,
    only_user: Vec<Option<usize>>,
    /// Names for results.
    hints: HashMap<Value, String>,
    last_user: Vec<Option<usize>>,
    live: Vec<bool>,
    /// Values that may overwrite a parameter, and those that have.
    overwriting: HashMap<Value, Value>,
    overwritten: HashSet<Value>,
    /// Names of arrays that repeat a number, by what makes them.
    filled: HashMap<String, String>,
    blocks: Blocks,
    style: Option<Style>,
    block_functions: HashMap<*const Region, String>,
    pub(crate) body: String,
    site: String,
    current: Site,
}

impl<'m> Function<'m> {
    pub(crate) fn new(module: &'m mut Module, region: &'m Region) -> Function<'m> {
        Function::of_graph(module, region, &Updates::default(), Blocks::default(), None)
    }

    /// The function of a graph's region: its blocks as functions, and without its updates, which
    /// [`next_state`](crate::update::next_state) writes.
    pub(crate) fn of_graph(
        module: &'m mut Module,
        region: &'m Region,
        updates: &Updates,
        blocks: Blocks,
        style: Option<Style>,
    ) -> Function<'m> {
        let names = Names::inside(&module.names);
        let mut function = Function {
            module,
            names,
            region,
            values: vec![None; region.values()],
            uses: vec![0; region.values()],
            only_user: vec![None; region.values()],
            hints: HashMap::new(),
            last_user: vec![None; region.values()],
            live: vec![false; region.nodes().len()],
            overwriting: HashMap::new(),
            overwritten: HashSet::new(),
            filled: HashMap::new(),
            blocks,
            style,
            block_functions: HashMap::new(),
            body: String::new(),
            site: String::new(),
            current: Site::default(),
        };
        function.count_uses(updates);
        function
    }

    /// Binds a parameter to an expression of its own shape.
    pub(crate) fn bind_param(&mut self, value: Value, code: Py) -> Result<(), EmitError> {
        let out = self.out(value)?;
        let code = self.module.dialect.enter(code, out.dtype);
        self.values[value.index()] = Some(plain(code, out));
        Ok(())
    }

    /// Proposes a name for a value.
    pub(crate) fn hint(&mut self, value: Value, name: &str) {
        self.hints.entry(value).or_insert_with(|| name.to_owned());
    }

    /// Writes the statements of all nodes that count.
    pub(crate) fn nodes(&mut self) -> Result<(), EmitError> {
        let region = self.region;
        let blocks = std::mem::take(&mut self.blocks);
        for (at, node) in region.nodes().iter().enumerate() {
            if self.live[at] {
                self.current = node.site.clone();
                if let Some(style) = self.style
                    && self.repeated(at, &blocks, style)?
                {
                    continue;
                }
                if !self.overwrite(at, node)? {
                    self.node(node)?;
                }
            }
        }
        Ok(())
    }

    /// A result as an array of exactly its shape, converted to what callers have.
    pub(crate) fn result(&mut self, value: Value) -> Result<Py, EmitError> {
        let code = self.whole(value)?.code;
        Ok(self.module.dialect.leave(code, self.region.ty(value).dtype))
    }

    /// A value as it is before the state changes.
    pub(crate) fn settled(&mut self, value: Value) -> Result<Py, EmitError> {
        let code = self.result(value)?;
        Ok(self.settle(code))
    }

    /// An expression that reads the state gets a name.
    pub(crate) fn settle(&mut self, code: Py) -> Py {
        if code.flat().contains("state[") { self.named(code) } else { code }
    }

    /// The name of an expression that is no name yet.
    fn named(&mut self, code: Py) -> Py {
        if is_trivial(&code) {
            return code;
        }
        let name = self.names.fresh("v");
        self.assign(&name, &code);
        atom(name)
    }

    /// A value as an expression of exactly its shape.
    pub(crate) fn whole_code(&mut self, value: Value) -> Result<Py, EmitError> {
        Ok(self.whole(value)?.code)
    }

    fn count_uses(&mut self, updates: &Updates) {
        let region = self.region;
        let blocks = std::mem::take(&mut self.blocks);
        let results = region.results().iter().enumerate().filter(|(i, _)| !updates.outputs.contains(i));
        for value in results.map(|(_, value)| *value).chain(updates.operands()) {
            self.uses[value.index()] += 1;
            self.only_user[value.index()] = Some(usize::MAX);
            self.last_user[value.index()] = Some(usize::MAX);
        }
        for at in (0..region.nodes().len()).rev() {
            let node = &region.nodes()[at];
            if self.count_repeated(at, &blocks) {
                continue;
            }
            self.live[at] = !updates.nodes.contains(&at) && node.outputs().any(|v| self.uses[v.index()] > 0);
            if !self.live[at] {
                continue;
            }
            for value in self.operands(node) {
                self.uses[value.index()] += 1;
                self.only_user[value.index()] = Some(at);
                self.last_user[value.index()].get_or_insert(at);
            }
            if inplace::is_view(&node.op) {
                let (of, view) = (node.inputs[0].index(), node.output().index());
                self.last_user[of] = self.last_user[of].max(self.last_user[view]);
            }
        }
        self.blocks = blocks;
    }

    /// The operands that are written.
    fn operands(&self, node: &Node) -> Vec<Value> {
        match &node.op {
            Op::Gather(_) => vec![node.inputs[0], gather::vectors(self.region, node)],
            Op::Composite(Composite::Attention { .. }) if self.module.dialect.heads_last() => {
                attention::operands(self.region, &node.inputs)
            }
            _ => node.inputs.to_vec(),
        }
    }

    fn out(&self, value: Value) -> Result<Out, EmitError> {
        let ty = self.region.ty(value);
        let op = || match self.region.defining_node(value) {
            Some(node) => node.op.name().to_owned(),
            None => "an input".to_owned(),
        };
        if !self.module.framework.has(ty.dtype) {
            let (framework, dtype, site) = (self.module.framework, ty.dtype, self.current.clone());
            return Err(EmitError::DType { framework, dtype, op: format!("`{}`", op()), site });
        }
        match ty.shape.concrete() {
            Some(dims) => Ok(Out { dtype: ty.dtype, dims }),
            None => {
                let dim =
                    ty.shape.iter().find(|d| d.is_symbolic()).cloned().unwrap_or(wootz_ir::Dim::Const(0));
                Err(EmitError::Symbolic { op: op(), dim, site: self.current.clone() })
            }
        }
    }

    /// A value as an array of exactly its shape.
    fn whole(&mut self, value: Value) -> Result<Arg, EmitError> {
        let (arg, out) = (self.arg(value), self.out(value)?);
        Ok(self.whole_arg(arg, out))
    }

    fn whole_arg(&mut self, arg: Arg, out: Out) -> Arg {
        let d = self.module.dialect;
        let code = match (arg.is_number(), out.dims.is_empty()) {
            (true, true) => d.scalar(self.module, out.dtype, arg.code.clone()),
            (true, false) => d.full(self.module, out.dtype, &out.dims, arg.code.clone()),
            (false, _) if arg.dims != out.dims => d.broadcast_to(arg.code.clone(), &out.dims),
            (false, _) => arg.code.clone(),
        };
        Arg { code, dims: out.dims, dtype: out.dtype, splat: None, constant: arg.constant }
    }

    fn node(&mut self, node: &Node) -> Result<(), EmitError> {
        let d = self.module.dialect;
        match &node.op {
            Op::Control(control) => return self.control(node, control),
            Op::Source(source) => return self.source(node.output(), source),
            Op::Movement(op) => return self.movement(node, op),
            Op::Unary(_) | Op::Binary(_) | Op::Compare(_) | Op::Ternary(_) | Op::Cast(_) => {
                return self.elementwise(node);
            }
            Op::Reduce(op) => return self.reduce(node, op),
            Op::Gather(op) => return self.gather(node, *op),
            Op::Scatter(op) => return self.scatter(node, *op),
            Op::Composite(op @ Composite::Attention { .. }) if d.heads_last() => {
                return self.attention_of_heads_last(node, op);
            }
            _ => {}
        }
        let out = self.out(node.output())?;
        let mut args = Vec::new();
        for value in &node.inputs {
            args.push(self.whole(*value)?);
        }
        // The weights of a layer stand beside its operand.
        if matches!(node.op, Op::Composite(Composite::Linear { .. }))
            && args[0].code.len() + args[1].code.len() > LAYER
        {
            args[0].code = self.named(args[0].code.clone());
        }
        let module = &mut *self.module;
        let mut next = || args.remove(0);
        let code = match &node.op {
            Op::ArgReduce(op) => d.arg_reduce(module, *op, next()),
            Op::Dot(op) => d.dot(module, op, next(), next()),
            Op::Segment(op) => d.segment(module, op, next(), next(), &out),
            Op::Random(op) => d.random(module, op, args),
            Op::Cumsum(op) => d.cumsum(module, *op, next()),
            Op::Linalg(op) => d.linalg(module, *op, args),
            Op::Composite(op) => d.composite(module, op, args),
            Op::Unary(_)
            | Op::Binary(_)
            | Op::Compare(_)
            | Op::Ternary(_)
            | Op::Cast(_)
            | Op::Reduce(_)
            | Op::Movement(_)
            | Op::Gather(_)
            | Op::Scatter(_)
            | Op::Source(_)
            | Op::Control(_) => unreachable!("written above"),
        };
        self.bind(node.output(), plain(code, out));
        Ok(())
    }

    fn elementwise(&mut self, node: &Node) -> Result<(), EmitError> {
        let out = self.out(node.output())?;
        let args: Vec<Arg> = node.inputs.iter().map(|v| self.arg(*v)).collect();
        if let Some(splat) = folded(&node.op, &args) {
            self.bind_splat(node.output(), splat);
            return Ok(());
        }
        let dims = args.iter().filter(|a| !a.is_number()).fold(Dims::new(), |d, a| joined(&d, &a.dims));
        let (d, module) = (self.module.dialect, &mut *self.module);
        let mut args = args.into_iter();
        let mut next = || args.next().expect("the type rule counted the operands");
        let code = match &node.op {
            Op::Unary(op) => d.unary(module, *op, next()),
            Op::Binary(op) => d.binary(module, *op, next(), next()),
            Op::Compare(op) => d.compare(module, *op, next(), next()),
            Op::Ternary(op) => d.ternary(module, *op, [next(), next(), next()], &out),
            Op::Cast(op) => {
                let x = next();
                if x.dtype == op.dtype { x.code } else { d.cast(module, *op, x) }
            }
            _ => unreachable!("only elementwise ops come here"),
        };
        self.bind(node.output(), Arg { code, dims, dtype: out.dtype, splat: None, constant: None });
        Ok(())
    }

    fn source(&mut self, value: Value, source: &Source) -> Result<(), EmitError> {
        let out = self.out(value)?;
        match source {
            // Others are written when something reads them.
            Source::Constant(tensor) => {
                if let Some(splat) = splat_of(tensor) {
                    self.bind_splat(value, splat);
                }
            }
            Source::Iota { axis, .. } => {
                let length = out.dims[*axis];
                let code = self.module.dialect.iota(self.module, out.dtype, length);
                let trailing = out.dims.len() - axis - 1;
                let (code, dims) = match trailing {
                    0 => (code, [length].as_slice().into()),
                    _ => {
                        let entries = (0..=trailing).map(|i| atom(if i == 0 { ":" } else { "None" }));
                        let dims = std::iter::once(length).chain(std::iter::repeat_n(1, trailing)).collect();
                        (index(code, entries), dims)
                    }
                };
                self.bind(value, Arg { code, dims, dtype: out.dtype, splat: None, constant: None });
            }
        }
        Ok(())
    }

    fn reduce(&mut self, node: &Node, op: &Reduce) -> Result<(), EmitError> {
        let (value, out) = (node.output(), self.out(node.output())?);
        let of = self.out(node.inputs[0])?;
        let count: usize = op.axes.iter().map(|axis| of.dims[*axis]).product();
        let arg = self.arg(node.inputs[0]);
        if let Some(splat) = reduced_splat(op, &arg, count) {
            self.bind_splat(value, splat);
            return Ok(());
        }
        if op.axes.is_empty() {
            self.bind(value, arg);
            return Ok(());
        }
        let x = self.whole(node.inputs[0])?;
        let code = self.module.dialect.reduce(self.module, op, x);
        self.bind(value, plain(code, out));
        Ok(())
    }

    /// Gives a value a name, or leaves its expression to its only user.
    fn bind(&mut self, value: Value, arg: Arg) {
        let node = match self.region.def(value) {
            Def::Node(id, _) => self.region.node(id),
            Def::Param(_) => unreachable!("parameters are bound by `bind_param`"),
        };
        let close = match self.only_user[value.index()] {
            Some(usize::MAX) | None => arg.code.len() <= INLINE / 2 && !self.hints.contains_key(&value),
            Some(user) => {
                let user = &self.region.nodes()[user];
                user.site == node.site || is_light(&node.op)
            }
        };
        let once = self.uses[value.index()] == 1 && close && arg.code.len() <= INLINE;
        if once || is_trivial(&arg.code) {
            self.values[value.index()] = Some(arg);
            return;
        }
        let hint = self.hints.get(&value).cloned().unwrap_or_else(|| hint(node).to_owned());
        let name = self.names.fresh(&hint);
        self.assign(&name, &arg.code);
        self.values[value.index()] = Some(Arg { code: atom(name), ..arg });
    }

    fn bind_splat(&mut self, value: Value, splat: HostTensor) {
        let code = crate::literal::number(self.module.dialect.namespace(), &splat);
        let dtype = splat.dtype();
        self.values[value.index()] =
            Some(Arg { code, dims: Dims::new(), dtype, splat: Some(splat), constant: None });
    }

    fn assign(&mut self, targets: &str, code: &Py) {
        self.comment();
        statement(&mut self.body, 4, &format!("{targets} = "), code, "");
    }

    /// Says which block the next line comes from.
    fn comment(&mut self) {
        let path = self.current.path();
        if path != self.site && !path.is_empty() {
            line(&mut self.body, 4, &format!("# {path}"));
            path.clone_into(&mut self.site);
        }
    }
}

/// `return a, b` or `return a`.
pub(crate) fn write_return(out: &mut String, result: &Py) {
    if let Py::Tuple(items) = result
        && items.len() > 1
    {
        let flat = items.iter().map(Py::flat).collect::<Vec<_>>().join(", ");
        if flat.chars().count() + 11 <= crate::py::WIDTH {
            line(out, 4, &format!("return {flat}"));
            return;
        }
    }
    statement(out, 4, "return ", result, "");
}

fn plain(code: Py, out: Out) -> Arg {
    Arg { code, dims: out.dims, dtype: out.dtype, splat: None, constant: None }
}

fn atom_of(name: impl AsRef<str>) -> Py {
    atom(name.as_ref())
}

/// Expressions that are as short as a name, or shorter.
fn is_trivial(code: &Py) -> bool {
    match code {
        Py::Atom(_) => true,
        Py::Attribute(value, _) | Py::Prefix("-", value) => matches!(**value, Py::Atom(_)),
        Py::Index(value, items) => items.len() == 1 && is_container(value),
        _ => false,
    }
}
