//! Expansion: composites that the target does not claim become their bodies, `custom_vjp` a call of its primal
//! (unless the target may still take derivatives). What is left is primitives and claimed composites.
//!
//! Before (nothing is claimed):
//!
//! ```text
//! graph(%0: f32[2] = input "x") {
//!   %1 = relu %0 : f32[2]
//!   return "y" = %1
//! }
//! ```
//!
//! After:
//!
//! ```text
//! graph(%0: f32[2] = input "x") {
//!   %1 = constant[value=f32[]{0.0}] : f32[]
//!   %2 = broadcast[shape=[2], axes=[]] %1 : f32[2]
//!   %3 = max %0, %2 : f32[2]
//!   return "y" = %3
//! }
//! ```

use crate::emit::{Emit, Values, Walk};
use crate::{blocks, reciprocal};
use std::sync::Arc;
use wootz_ir::ops::{Control, Op};
use wootz_ir::{Region, Target, TensorType, TypeError, Value};

pub(crate) fn run(region: &Arc<Region>, target: &Target) -> Result<Arc<Region>, TypeError> {
    Walk::new(target, &[rule]).only(is_composite).region(region)
}

fn is_composite(op: &Op) -> bool {
    matches!(op, Op::Composite(_))
}

/// Expansion with large reductions cut into [`blocks`] and rows divided by [`reciprocal`]s, for a target whose caches are
/// known.
pub(crate) fn run_in_blocks(region: &Arc<Region>, target: &Target) -> Result<Arc<Region>, TypeError> {
    match target.caches[1] {
        0 => run(region, target),
        _ => {
            let rewritten = |op: &Op| is_composite(op) || matches!(op, Op::Reduce(_));
            Walk::new(target, &[blocks::rule, reciprocal::rule, rule]).only(rewritten).region(region)
        }
    }
}

fn rule(e: &mut Emit<'_, '_>, op: &Op, inputs: &[Value]) -> Result<Option<Values>, TypeError> {
    match op {
        Op::Composite(composite) if !e.walk.target.claims.contains(&composite.kind()) => {
            let types: Vec<TensorType> = inputs.iter().map(|v| e.ty(*v).clone()).collect();
            let body = composite.body(&types)?;
            e.inline(&body, inputs).map(Some)
        }
        Op::Control(Control::CustomVjp { primal, .. }) if !e.walk.target.differentiable => {
            e.emit_all(&Control::Call { body: primal.clone() }.into(), inputs).map(Some)
        }
        _ => Ok(None),
    }
}
