//! Region-owning ops: a known predicate chooses its branch, a call of nothing goes away.

use crate::emit::{Emit, Values};
use wootz_ir::ops::{Control, Op};
use wootz_ir::{TypeError, Value};

/// Rules of region-owning ops.
pub(crate) fn rule(e: &mut Emit<'_, '_>, op: &Op, x: &[Value]) -> Result<Option<Values>, TypeError> {
    let Op::Control(op) = op else { return Ok(None) };
    let branch = match op {
        Control::Cond { then, otherwise } => {
            if then == otherwise || e.is_splat(x[0], 1.0) {
                then
            } else if e.is_splat(x[0], 0.0) {
                otherwise
            } else {
                return Ok(None);
            }
        }
        Control::Call { body } if body.nodes().is_empty() => return e.inline(body, x).map(Some),
        _ => return Ok(None),
    };
    e.inline(branch, &x[1..]).map(Some)
}
