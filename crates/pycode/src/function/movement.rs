//! Movements: views, and what is left to broadcasting.

use super::fold::spread;
use super::{Function, plain};
use crate::dialect::Arg;
use crate::py::{Py, atom, index, method, size};
use crate::{EmitError, Framework};
use wootz_ir::ops::Movement;
use wootz_ir::{Node, Op, Value};

impl Function<'_> {
    pub(super) fn movement(&mut self, node: &Node, op: &Movement) -> Result<(), EmitError> {
        let (value, out) = (node.output(), self.out(node.output())?);
        if self.values[value.index()].is_some() || self.unbind(node)? {
            return Ok(());
        }
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

    /// `a, b, c = x.unbind(2)` where all entries of an axis of `x` are read and nothing else of it: PyTorch then makes one gradient of
    /// theirs, where those of `x[:, :, 0]` and the others are each as large as `x`. True if that was written.
    fn unbind(&mut self, node: &Node) -> Result<bool, EmitError> {
        let region = self.region;
        let first = region.defining_node(node.inputs[0]);
        let (Framework::Torch, Some(first), Some(cut)) = (self.module.framework, first, self.one_entry(node))
        else {
            return Ok(false);
        };
        let x = first.inputs[0];
        let reshapes =
            region.nodes().iter().filter(|n| matches!(n.op, Op::Movement(Movement::Reshape { .. })));
        let reads =
            reshapes.filter(|n| region.defining_node(n.inputs[0]).is_some_and(|s| s.inputs.contains(&x)));
        let mut entries: Vec<(usize, Value)> = Vec::new();
        for read in reads {
            match self.one_entry(read) {
                Some(Entry { axis, at, .. }) if axis == cut.axis => entries.push((at, read.output())),
                _ => return Ok(false),
            }
        }
        entries.sort();
        let all = entries.iter().map(|(at, _)| *at).eq(0..cut.entries);
        if !all || cut.entries < 2 || self.uses[x.index()] != cut.entries {
            return Ok(false);
        }
        let names: Vec<String> = entries.iter().map(|_| self.names.fresh("v")).collect();
        let code = method(self.whole(x)?.code, "unbind", [size(cut.axis)]);
        self.assign(&names.join(", "), &code);
        for ((_, value), name) in entries.into_iter().zip(&names) {
            let out = self.out(value)?;
            self.values[value.index()] = Some(plain(atom(name), out));
        }
        Ok(true)
    }

    /// What a reshape reads, if that is one entry of an axis, which it drops.
    fn one_entry(&self, node: &Node) -> Option<Entry> {
        let Op::Movement(Movement::Reshape { .. }) = &node.op else { return None };
        let source = self.region.defining_node(node.inputs[0])?;
        let Op::Movement(Movement::Slice { start, .. }) = &source.op else { return None };
        let dims = |value: Value| self.region.ty(value).shape.concrete();
        let (of, cut, after) = (dims(source.inputs[0])?, dims(source.output())?, dims(node.output())?);
        let mut axes = (0..of.len()).filter(|axis| of[*axis] != cut[*axis]);
        let (Some(axis), None) = (axes.next(), axes.next()) else { return None };
        let dropped = cut[..axis].iter().chain(&cut[axis + 1..]).eq(after.iter());
        let once = self.uses[source.output().index()] == 1;
        let at = start[axis].as_const()?;
        (cut[axis] == 1 && dropped && once).then_some(Entry { axis, at, entries: of[axis] })
    }
}

/// One entry of an axis.
struct Entry {
    axis: usize,
    at: usize,
    /// How many the axis has.
    entries: usize,
}
