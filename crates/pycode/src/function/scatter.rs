//! Scatters: additions at places that are known are the framework's own indexed addition.

use super::gather::part;
use super::{Function, plain};
use crate::EmitError;
use crate::dialect::Arg;
use wootz_ir::ops::{Scatter, ScatterKind};
use wootz_ir::{Dims, HostTensor, Node};

impl Function<'_> {
    pub(super) fn scatter(&mut self, node: &Node, op: Scatter) -> Result<(), EmitError> {
        let out = self.out(node.output())?;
        let [mut x, mut indices, updates] =
            [self.whole(node.inputs[0])?, self.whole(node.inputs[1])?, self.whole(node.inputs[2])?];
        if let Some(entry) = self.arg(node.inputs[1]).int() {
            let entries = vec![entry; indices.dims.iter().product()];
            indices.constant = Some(HostTensor::from_i64(indices.dtype, &indices.dims, &entries));
        }
        let d = self.module.dialect;
        let mut code = None;
        if let (Scatter { kind: ScatterKind::Add, batch: 0, .. }, Some(places)) =
            (op, Places::of(op, &x, &indices))
        {
            let dims: Dims = indices.dims[..indices.dims.len() - 1].into();
            let parts: Vec<_> = (0..op.indexed).map(|i| part(self.module, &indices, i, &dims).code).collect();
            if d.add_at(x.clone(), parts.clone(), updates.clone(), places).is_some() {
                // A chain of calls would be broken at every link.
                x.code = self.named(x.code);
            }
            code = d.add_at(x.clone(), parts, updates.clone(), places);
        }
        let code = code.unwrap_or_else(|| d.scatter(self.module, op, [x, indices, updates]));
        self.bind(node.output(), plain(code, out));
        Ok(())
    }
}

/// What is known of the index vectors of a scatter; none is negative.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(crate) enum Places {
    /// Every entry is in bounds.
    Inside,
    /// Some entries are past the end.
    PastTheEnd,
}

impl Places {
    /// `None` if the vectors are no constant, or have entries that a framework would count from the end.
    fn of(op: Scatter, x: &Arg, indices: &Arg) -> Option<Places> {
        let entries = indices.constant.as_ref().filter(|_| op.indexed > 0)?.to_i64();
        if entries.iter().any(|entry| *entry < 0) {
            return None;
        }
        let sizes = x.dims[..op.indexed].iter().cycle();
        let inside = entries.iter().zip(sizes).all(|(entry, size)| (*entry as u64) < *size as u64);
        Some(if inside { Places::Inside } else { Places::PastTheEnd })
    }
}
