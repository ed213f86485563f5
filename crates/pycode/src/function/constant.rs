//! Constants: arrays that the module holds, written where something first reads them and called after the block that they belong to.

use super::{Function, splat_of};
use crate::EmitError;
use crate::dialect::Arg;
use crate::names::identifier;
use crate::py::{Py, atom, index, size};
use wootz_ir::ops::Source;
use wootz_ir::{DType, Dims, HostTensor, Op, Site, Value};

impl Function<'_> {
    /// A value as it is written, maybe to be broadcast.
    pub(super) fn arg(&mut self, value: Value) -> Arg {
        if let Some(arg) = &self.values[value.index()] {
            return arg.clone();
        }
        let tensor = self.source_of(value).expect("a value is defined before it is used");
        let code = self.constant(&tensor, "");
        let (dims, dtype) = (tensor.dims().into(), tensor.dtype());
        let arg = Arg { code, dims, dtype, splat: None, constant: Some(tensor) };
        self.values[value.index()] = Some(arg.clone());
        arg
    }

    /// The elements of a value, if they are known.
    pub(super) fn known(&self, value: Value) -> Option<HostTensor> {
        match &self.values[value.index()] {
            Some(arg) => arg.constant.clone(),
            None => self.source_of(value),
        }
    }

    /// Entry `i` of index vectors, as an array of these axes.
    pub(super) fn part(&mut self, vectors: Value, i: usize, dims: &Dims) -> Result<Arg, EmitError> {
        match self.known(vectors) {
            Some(known) => Ok(self.constant_part(&known, i, dims)),
            None => {
                let whole = self.whole(vectors)?;
                let code = index(whole.code, [atom("..."), size(i)]);
                Ok(Arg { code, dims: dims.clone(), dtype: whole.dtype, splat: None, constant: None })
            }
        }
    }

    /// Entry `i` of index vectors that are known.
    pub(super) fn constant_part(&mut self, vectors: &HostTensor, i: usize, dims: &Dims) -> Arg {
        let width = vectors.dims().last().map_or(1, |width| *width.max(&1));
        let entries: Vec<i64> = vectors.to_i64().iter().skip(i).step_by(width).copied().collect();
        let dtype = self.module.dialect.index_dtype(vectors.dtype());
        let part = HostTensor::from_i64(dtype, dims, &entries);
        let code = self.constant(&part, "INDEX");
        Arg { code, dims: dims.clone(), dtype, splat: None, constant: Some(part) }
    }

    /// The name of an array that the module holds.
    fn constant(&mut self, tensor: &HostTensor, role: &str) -> Py {
        let role = if tensor.dtype() == DType::Bool { "MASK" } else { role };
        let hint = constant_hint(&self.current, role);
        self.module.constant(tensor, &hint)
    }

    fn source_of(&self, value: Value) -> Option<HostTensor> {
        match &self.region.defining_node(value)?.op {
            Op::Source(Source::Constant(tensor)) if splat_of(tensor).is_none() => Some(tensor.clone()),
            _ => None,
        }
    }
}

/// What to call a constant: `SELF_ATTN_MASK` for a mask of `layers.0.self_attn`.
fn constant_hint(site: &Site, role: &str) -> String {
    let block = site.path().split(", ").next().unwrap_or("");
    let own = block.rsplit('.').find(|word| !word.is_empty() && !word.bytes().all(|b| b.is_ascii_digit()));
    let word = own.filter(|word| !word.contains(':')).map(|word| identifier(word).to_ascii_uppercase());
    match (word, role) {
        (None, "") => "CONSTANT".to_owned(),
        (None, role) => role.to_owned(),
        (Some(word), "") => word,
        (Some(word), role) => format!("{word}_{role}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn constants_are_called_after_their_block() {
        for (site, role, expected) in [
            ("", "", "CONSTANT"),
            ("", "INDEX", "INDEX"),
            ("normsys", "", "NORMSYS"),
            ("normal constraints", "INDEX", "NORMAL_CONSTRAINTS_INDEX"),
            ("layers.0.self_attn", "MASK", "SELF_ATTN_MASK"),
            ("layers.0", "", "LAYERS"),
            ("layers.0, model.py:12", "", "LAYERS"),
            ("model.py:12", "MASK", "MASK"),
        ] {
            assert_eq!(constant_hint(&Site::new(site), role), expected, "{site}");
        }
    }
}
