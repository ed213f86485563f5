//! Gathers: index vectors as the arrays of their entries.

use super::fold::spread;
use super::{Function, plain};
use crate::EmitError;
use crate::dialect::{Arg, Indices, Out};
use wootz_ir::ops::{Gather, Movement};
use wootz_ir::{Dims, Node, Op, Region, Value};

impl Function<'_> {
    pub(super) fn gather(&mut self, node: &Node, op: Gather) -> Result<(), EmitError> {
        let (value, out) = (node.output(), self.out(node.output())?);
        let (x, of) = (self.whole(node.inputs[0])?, self.out(node.inputs[1])?);
        let dims: Dims = of.dims[..of.dims.len() - 1].into();
        let vectors = vectors(self.region, node);
        let mut parts = Vec::new();
        if vectors != node.inputs[1] {
            // Scalars that were given an axis for the vector's only entry.
            parts.push(self.whole(vectors)?);
        } else {
            let given = self.values[vectors.index()].clone();
            if let Some(given) = given.filter(Arg::is_number) {
                // All entries are one number.
                let dtype = self.module.dialect.index_dtype(given.dtype);
                let out = Out { dtype, dims: dims.clone() };
                let splat = given.splat.clone();
                let entry = Arg { splat, ..self.whole_arg(given, out) };
                parts.resize(op.indexed, entry);
            }
            for i in parts.len()..op.indexed {
                parts.push(self.part(vectors, i, &dims)?);
            }
        }
        let d = self.module.dialect;
        let code = d.gather(self.module, op, x.clone(), Indices { parts, dims: dims.clone() });
        if op.indexed == 0 {
            // Every vector of no entries reads the whole.
            let axes: Vec<usize> = (0..op.batch).chain(dims.len()..out.dims.len()).collect();
            let (code, dims) = spread(code, &x.dims, x.dims.len(), &axes, out.dims.len());
            self.bind(value, Arg { code, dims, dtype: out.dtype, splat: None, constant: None });
            return Ok(());
        }
        self.bind(value, plain(code, out));
        Ok(())
    }
}

/// The index vectors that are written: single positions as they were before they became vectors.
pub(super) fn vectors(region: &Region, node: &Node) -> Value {
    let given = node.inputs[1];
    if let Op::Gather(Gather { indexed: 1, .. }) = node.op
        && let Some(source) = region.defining_node(given)
        && let Op::Movement(Movement::Reshape { shape }) = &source.op
        && let Some((last, rest)) = shape.split_last()
        && last.is(1)
        && rest == &region.ty(source.inputs[0]).shape[..]
    {
        return source.inputs[0];
    }
    given
}
