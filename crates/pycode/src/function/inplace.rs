//! Updates in place, where a framework runs statement by statement: `state["weight"].sub_(gradient, alpha=0.01)` in place of a
//! new tensor for what takes an input's place anyway.

use super::{Function, plain};
use crate::EmitError;
use crate::dialect::Arg;
use crate::py::{Py, keyword, method, statement};
use hashbrown::HashMap;
use wootz_ir::ops::{Binary, Movement, Unary};
use wootz_ir::{Def, Node, Op, Value};

impl Function<'_> {
    /// Says that a result takes the place of a parameter. The arithmetic on the way from one to the other, whose left operands
    /// nothing else reads, may then overwrite it.
    pub(crate) fn updates(&mut self, result: Value, param: Value) {
        let mut chain: HashMap<Value, Value> = HashMap::new();
        let mut value = result;
        while let Def::Node(id, _) = self.region.def(value) {
            let node = self.region.node(id);
            let fits = self.region.ty(value).dtype.is_float()
                && self.region.ty(value) == self.region.ty(param)
                && method_of(&node.op).is_some()
                && self.uses_once_on_the_way(value, result);
            if !fits {
                return;
            }
            chain.insert(value, param);
            value = node.inputs[0];
            if value == param {
                self.overwriting.extend(chain);
                return;
            }
        }
    }

    /// Only the result itself may be read by others: it is the last to be written.
    fn uses_once_on_the_way(&self, value: Value, result: Value) -> bool {
        value == result || self.uses[value.index()] == 1
    }

    /// Writes an op as an update in place if it may be one.
    pub(super) fn overwrite(&mut self, at: usize, node: &Node) -> Result<bool, EmitError> {
        let Some(method_name) = method_of(&node.op) else { return Ok(false) };
        let Some(param) = self.overwriting.get(&node.output()).copied() else { return Ok(false) };
        let (target, other) = (self.arg(param).code, self.arg(node.inputs[1]));
        let starts = node.inputs[0] == param;
        let follows = self.overwritten.contains(&node.inputs[0]);
        if !(starts && self.is_last_reader(at, param, &target, node.output()) || follows) {
            return Ok(false);
        }
        let call = method(target.clone(), method_name, arguments(method_name, other));
        self.comment();
        statement(&mut self.body, 4, "", &call, "");
        self.overwritten.insert(node.output());
        let out = self.out(node.output())?;
        self.values[node.output().index()] = Some(plain(target, out));
        Ok(true)
    }

    /// Whether nothing that is still to be written reads the parameter, by itself or in an expression that waits for its user.
    fn is_last_reader(&self, at: usize, param: Value, target: &Py, result: Value) -> bool {
        let text = target.flat();
        let waits = |(i, arg): (usize, &Option<Arg>)| {
            let later = self.last_user[i].is_some_and(|user| user > at);
            later && i != result.index() && arg.as_ref().is_some_and(|arg| arg.code.flat().contains(&text))
        };
        self.last_user[param.index()] == Some(at) && !self.values.iter().enumerate().any(waits)
    }
}

/// Whether an op's result may share the memory of its first operand: whoever reads the one reads the other.
pub(crate) fn is_view(op: &Op) -> bool {
    match op {
        Op::Movement(op) => !matches!(op, Movement::Pad { .. }),
        Op::Reduce(op) => op.axes.is_empty(),
        Op::Unary(op) => *op == Unary::StopGradient,
        Op::Cast(_) => true,
        _ => false,
    }
}

/// The method that overwrites its tensor with an op's result.
fn method_of(op: &Op) -> Option<&'static str> {
    match op {
        Op::Binary(Binary::Add) => Some("add_"),
        Op::Binary(Binary::Sub) => Some("sub_"),
        Op::Binary(Binary::Mul) => Some("mul_"),
        Op::Binary(Binary::Div) => Some("div_"),
        _ => None,
    }
}

/// The other operand; a product with a number becomes `alpha` of a sum.
fn arguments(method: &str, other: Arg) -> Vec<Py> {
    match other.code {
        Py::Infix(value, "*", factor) if matches!(method, "add_" | "sub_") && is_number(&factor) => {
            vec![*value, keyword("alpha", *factor)]
        }
        code => vec![code],
    }
}

fn is_number(code: &Py) -> bool {
    matches!(code, Py::Atom(text) if text.starts_with(|c: char| c.is_ascii_digit()))
}
