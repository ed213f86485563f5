//! Reference evaluation of movement ops: every result element is copied from where the definition says.

use super::layout::{arrange, offset, strides};
use super::{EvalCx, EvalError, Movement};
use crate::HostTensor;

pub(super) fn eval(op: &Movement, cx: &EvalCx<'_>) -> Result<HostTensor, EvalError> {
    let x = cx.inputs[0];
    let step = strides(x.dims());
    let dims = cx.out_dims(0);
    let out = match op {
        Movement::Reshape { .. } => x.reshaped(&dims),
        Movement::Transpose { perm } => arrange(x.dtype(), &dims, |index| {
            (x, perm.iter().zip(index).map(|(axis, i)| i * step[*axis]).sum())
        }),
        Movement::Broadcast { axes, .. } => {
            arrange(x.dtype(), &dims, |index| (x, offset(axes.iter().map(|axis| index[*axis]), &step)))
        }
        Movement::Slice { start, step: by, .. } => {
            let start = start.concrete().ok_or_else(|| EvalError::Symbolic {
                op: "slice",
                dim: start.iter().find(|d| d.as_const().is_none()).cloned().unwrap_or(crate::Dim::Const(0)),
                site: crate::Site::default(),
            })?;
            let at = |index: &[usize]| offset((0..index.len()).map(|a| start[a] + index[a] * by[a]), &step);
            arrange(x.dtype(), &dims, |index| (x, at(index)))
        }
        Movement::Pad { low, interior, .. } => {
            let value = cx.inputs[1];
            arrange(x.dtype(), &dims, |index| {
                let inside: Option<Vec<usize>> = (0..index.len())
                    .map(|a| padded_source(index[a], low[a], interior[a], x.dims()[a]))
                    .collect();
                inside.map_or((value, 0), |i| (x, offset(i, &step)))
            })
        }
        Movement::Concat { axis } => arrange(x.dtype(), &dims, |index| {
            let mut index = index.to_vec();
            for part in cx.inputs {
                let size = part.dims()[*axis];
                if index[*axis] < size {
                    return (part, offset(index, &strides(part.dims())));
                }
                index[*axis] -= size;
            }
            unreachable!("the result's size is the sum of the parts'")
        }),
        Movement::Reverse { axes } => arrange(x.dtype(), &dims, |index| {
            let flipped =
                (0..index.len()).map(|a| if axes.contains(&a) { dims[a] - 1 - index[a] } else { index[a] });
            (x, offset(flipped, &step))
        }),
    };
    Ok(out?)
}

/// Where along an axis of `size` elements result element `index` of a pad comes from; `None` for padding.
fn padded_source(index: usize, low: i64, interior: usize, size: usize) -> Option<usize> {
    let at = usize::try_from(index as i64 - low).ok()?;
    let source = at / (interior + 1);
    (at % (interior + 1) == 0 && source < size).then_some(source)
}
