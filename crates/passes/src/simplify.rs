//! Simplification: constant folding (`fold`), algebraic rules (`algebra`) and common subexpressions (`cse`) in one walk, as
//! each makes work for the others. What nothing uses any more goes with the dead code.
//!
//! Before:
//!
//! ```text
//! graph(%0: f32[2] = input "x") {
//!   %1 = constant[value=f32[]{3.0}] : f32[]
//!   %2 = constant[value=f32[]{2.0}] : f32[]
//!   %3 = sub %1, %2 : f32[]
//!   %4 = broadcast[shape=[2], axes=[]] %3 : f32[2]
//!   %5 = mul %0, %4 : f32[2]
//!   %6 = exp %5 : f32[2]
//!   %7 = exp %0 : f32[2]
//!   %8 = add %6, %7 : f32[2]
//!   return "y" = %8
//! }
//! ```
//!
//! After:
//!
//! ```text
//! graph(%0: f32[2] = input "x") {
//!   %1 = exp %0 : f32[2]
//!   %2 = add %1, %1 : f32[2]
//!   return "y" = %2
//! }
//! ```

use crate::emit::{Rule, Walk};
use crate::{algebra, fold};
use std::sync::Arc;
use wootz_ir::{Region, Target, TypeError};

/// The rules of this pass, in the order they are tried.
pub(crate) const RULES: [Rule; 4] = [fold::rule, algebra::arithmetic, algebra::movement, algebra::control];

pub(crate) fn run(region: &Arc<Region>, target: &Target) -> Result<Arc<Region>, TypeError> {
    Walk::new(target, &RULES).with_cse().region(region)
}
