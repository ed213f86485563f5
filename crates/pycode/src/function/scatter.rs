//! Scatters: additions at places that are known are the framework's own indexed addition.

use super::{Function, plain};
use crate::EmitError;
use crate::dialect::Arg;
use crate::py::{Py, atom};
use wootz_ir::ops::{Scatter, ScatterKind};
use wootz_ir::{HostTensor, Node, Value};

impl Function<'_> {
    pub(super) fn scatter(&mut self, node: &Node, op: Scatter) -> Result<(), EmitError> {
        let out = self.out(node.output())?;
        let [mut x, updates] = [self.whole(node.inputs[0])?, self.whole(node.inputs[2])?];
        let d = self.module.dialect;
        if let Some(known) = self.index_vectors(node.inputs[1])?
            && let (Scatter { kind: ScatterKind::Add, batch: 0, .. }, Some(places)) =
                (op, Places::of(op, &x, &known))
            && let Some(add_at) = d.add_at(&x, op.indexed, &updates, places)
        {
            let dims = known.dims()[..known.dims().len() - 1].into();
            let parts = (0..op.indexed).map(|i| self.constant_part(&known, i, &dims).code).collect();
            // A chain of calls would be broken at every link.
            let number = self.arg(node.inputs[0]).is_number();
            x.code = if number { self.filled(x.code) } else { self.named(x.code) };
            let code = add_at(x.code, parts, updates.code);
            self.bind(node.output(), plain(code, out));
            return Ok(());
        }
        let indices = self.whole(node.inputs[1])?;
        let code = d.scatter(self.module, op, [x, indices, updates]);
        self.bind(node.output(), plain(code, out));
        Ok(())
    }

    /// The index vectors of a scatter, if they are known.
    fn index_vectors(&self, value: Value) -> Result<Option<HostTensor>, EmitError> {
        let (splat, out) = (self.values[value.index()].as_ref().and_then(Arg::int), self.out(value)?);
        Ok(match splat {
            Some(entry) => {
                let entries = vec![entry; out.dims.iter().product()];
                Some(HostTensor::from_i64(out.dtype, &out.dims, &entries))
            }
            None => self.known(value),
        })
    }

    /// The name of an array that repeats one number, the same for all that read such an array.
    fn filled(&mut self, code: Py) -> Py {
        let text = code.flat();
        if let Some(name) = self.filled.get(&text) {
            return atom(name);
        }
        let name = self.names.fresh("zeros");
        self.assign(&name, &code);
        self.filled.insert(text, name.clone());
        atom(name)
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
    /// `None` if the vectors have none or have entries that a framework would count from the end.
    fn of(op: Scatter, x: &Arg, vectors: &HostTensor) -> Option<Places> {
        let entries = Some(vectors).filter(|_| op.indexed > 0)?.to_i64();
        if entries.iter().any(|entry| *entry < 0) {
            return None;
        }
        let sizes = x.dims[..op.indexed].iter().cycle();
        let inside = entries.iter().zip(sizes).all(|(entry, size)| (*entry as u64) < *size as u64);
        Some(if inside { Places::Inside } else { Places::PastTheEnd })
    }
}
