//! Attention whose heads are next to their features: the axes are not exchanged before and again after.

use super::{Function, plain};
use crate::EmitError;
use crate::dialect::Arg;
use crate::py::{int, method};
use wootz_ir::ops::{Composite, Movement};
use wootz_ir::{Node, Op, Region, Value};

/// Operands that come after these are not heads.
const OPERANDS: usize = 3;

impl Function<'_> {
    /// `[.., positions, heads, features]` in and out.
    pub(super) fn attention_of_heads_last(&mut self, node: &Node, op: &Composite) -> Result<(), EmitError> {
        let mut args = Vec::new();
        for (i, value) in node.inputs.iter().enumerate() {
            args.push(match exchanged(self.region, *value).filter(|_| i < OPERANDS) {
                Some(before) => self.whole(before)?,
                None => {
                    let Arg { code, mut dims, dtype, .. } = self.whole(*value)?;
                    let rank = dims.len();
                    dims.swap(rank - 3, rank - 2);
                    let code = method(code, "swapaxes", [int(-3), int(-2)]);
                    Arg { code, dims, dtype, splat: None, constant: None }
                }
            });
        }
        let out = self.out(node.output())?;
        let code = self.module.dialect.composite(self.module, op, args);
        let code = if self.leaves_heads_last(node.output()) {
            code
        } else {
            method(code, "swapaxes", [int(-3), int(-2)])
        };
        self.bind(node.output(), plain(code, out));
        Ok(())
    }

    /// Whether a value is written with its heads last, since all that is done with it is to put them there.
    pub(super) fn leaves_heads_last(&self, value: Value) -> bool {
        let Some(node) = self.region.defining_node(value) else { return false };
        let user = self.only_user[value.index()].and_then(|at| self.region.nodes().get(at));
        self.module.dialect.heads_last()
            && matches!(node.op, Op::Composite(Composite::Attention { .. }))
            && user.is_some_and(|user| self.uses[value.index()] == 1 && exchanges(user))
    }
}

/// The operands that are written.
pub(super) fn operands(region: &Region, inputs: &[Value]) -> Vec<Value> {
    let read =
        |(i, value): (usize, &Value)| exchanged(region, *value).filter(|_| i < OPERANDS).unwrap_or(*value);
    inputs.iter().enumerate().map(read).collect()
}

/// What a value was before two of its last three axes, all but the last, were exchanged.
fn exchanged(region: &Region, value: Value) -> Option<Value> {
    region.defining_node(value).filter(|node| exchanges(node)).map(|node| node.inputs[0])
}

fn exchanges(node: &Node) -> bool {
    let Op::Movement(Movement::Transpose { perm }) = &node.op else { return false };
    let rank = perm.len();
    let there = |i: usize| match rank - i {
        3 => rank - 2,
        2 => rank - 3,
        _ => i,
    };
    rank >= 3 && perm.iter().enumerate().all(|(i, from)| *from == there(i))
}
