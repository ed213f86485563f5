//! Comparisons whose only use is to select between what they compare: one instruction on x86, which gives its second operand
//! where one of them is NaN or both are zeros, as such a selection does.

use super::asm::vector::{MAX, MIN};
use super::generate::Generator;
use wootz_ir::ops::Compare;
use wootz_plan::kernel::{Inst, InstOp, Reg};

/// `to` is the smaller, or the greater, of `first` and `second`; the latter if neither is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Extreme {
    greater: bool,
    first: Reg,
    second: Reg,
}

impl Generator<'_> {
    /// What a comparison and the instruction after it compute together, if that is an extreme.
    pub(super) fn extreme_with(&self, compare: &Inst, select: &Inst) -> Option<Extreme> {
        let InstOp::Select(condition, then, otherwise) = select.op else { return None };
        // p < q
        let (p, q) = match compare.op {
            InstOp::Compare(Compare::Lt, x, y) => (x, y),
            InstOp::Compare(Compare::Gt, x, y) => (y, x),
            _ => return None,
        };
        let info = self.shape.info(condition);
        let own = compare.out == Some(condition) && info.uses == 1 && !info.crosses;
        if !own || !self.shape.dtype(p).is_float() {
            return None;
        }
        match (then, otherwise) {
            _ if (then, otherwise) == (p, q) => Some(Extreme { greater: false, first: p, second: q }),
            _ if (then, otherwise) == (q, p) => Some(Extreme { greater: true, first: q, second: p }),
            _ => None,
        }
    }

    pub(super) fn selected(&mut self, of: Extreme, out: Reg, copy: usize) {
        let (_, length, pair) = self.form(out);
        let op = if of.greater { MAX[pair] } else { MIN[pair] };
        self.two(op, length, out, of.first, of.second, copy);
    }
}
