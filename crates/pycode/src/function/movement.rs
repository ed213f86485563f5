//! Movements: views, and what is left to broadcasting.

use super::fold::spread;
use super::{Function, plain};
use crate::EmitError;
use crate::dialect::Arg;
use crate::py::{Py, index, size};
use wootz_ir::ops::Movement;
use wootz_ir::{Node, Op};

impl Function<'_> {
    pub(super) fn movement(&mut self, node: &Node, op: &Movement) -> Result<(), EmitError> {
        let (value, out) = (node.output(), self.out(node.output())?);
        let first = self.arg(node.inputs[0]);
        let repeats = !matches!(op, Movement::Pad { .. } | Movement::Concat { .. });
        if let (Some(splat), true) = (&first.splat, repeats) {
            self.bind_splat(value, splat.clone());
            return Ok(());
        }
        if let Movement::Broadcast { axes, .. } = op {
            let of = self.out(node.inputs[0])?;
            let (code, dims) = spread(first.code, &first.dims, of.dims.len(), axes, out.dims.len());
            self.bind(value, Arg { code, dims, dtype: out.dtype, splat: None, constant: None });
            return Ok(());
        }
        if matches!(op, Movement::Transpose { .. }) && self.leaves_heads_last(node.inputs[0]) {
            self.bind(value, plain(first.code, out));
            return Ok(());
        }
        let mut args = Vec::new();
        for (i, input) in node.inputs.iter().enumerate() {
            let number = i == 1 && matches!(op, Movement::Pad { .. });
            args.push(if number { self.arg(*input) } else { self.whole(*input)? });
        }
        let same = args[0].dims == out.dims
            && match op {
                Movement::Reshape { .. } | Movement::Slice { .. } => true,
                Movement::Pad { low, high, .. } => low.iter().chain(high).all(|n| *n == 0),
                Movement::Concat { .. } => args.len() == 1,
                Movement::Transpose { .. } | Movement::Broadcast { .. } | Movement::Reverse { .. } => false,
            };
        let d = self.module.dialect;
        let code = if same {
            args.remove(0).code
        } else if let Some(entry) = self.entry(node, &args[0].code) {
            entry
        } else {
            d.movement(self.module, op, args, &out)
        };
        self.bind(value, plain(code, out));
        Ok(())
    }

    /// `x[:, 2]` for an axis that is cut to one entry, `x[:, 2:3]`, and dropped.
    fn entry(&self, node: &Node, cut: &Py) -> Option<Py> {
        let (Op::Movement(Movement::Reshape { .. }), Py::Index(of, items)) = (&node.op, cut) else {
            return None;
        };
        let source = self.region.defining_node(node.inputs[0])?;
        let Op::Movement(Movement::Slice { start, .. }) = &source.op else { return None };
        let (before, after) = (self.out(node.inputs[0]).ok()?.dims, self.out(node.output()).ok()?.dims);
        let axis = items.len().checked_sub(1).filter(|axis| before[*axis] == 1)?;
        // A cut of nothing is what it is a cut of, whose entries are others.
        if self.out(source.inputs[0]).ok()?.dims == before {
            return None;
        }
        let dropped = before[..axis].iter().chain(&before[axis + 1..]).eq(after.iter());
        let mut items = items.clone();
        items[axis] = size(start[axis].as_const()?);
        dropped.then(|| index((**of).clone(), items))
    }
}
