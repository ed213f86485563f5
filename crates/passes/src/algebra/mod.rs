//! Algebraic rules that hold to the bit in IEEE arithmetic (a NaN stays a NaN; its sign and payload are not defined). There
//! is no x·0 → 0 and no x − x → 0. `pow(x, 2)` becomes x·x, which is correctly rounded, as `pow` need not be.
//!
//! Before:
//!
//! ```text
//! graph(%0: f32[2, 3] = input "x") {
//!   %1 = constant[value=f32[]{4.0}] : f32[]
//!   %2 = broadcast[shape=[2, 3], axes=[]] %1 : f32[2, 3]
//!   %3 = transpose[perm=[1, 0]] %0 : f32[3, 2]
//!   %4 = transpose[perm=[1, 0]] %3 : f32[2, 3]
//!   %5 = div %4, %2 : f32[2, 3]
//!   %6 = neg %5 : f32[2, 3]
//!   %7 = neg %6 : f32[2, 3]
//!   return "y" = %7
//! }
//! ```
//!
//! After:
//!
//! ```text
//! graph(%0: f32[2, 3] = input "x") {
//!   %1 = constant[value=f32[]{0.25}] : f32[]
//!   %2 = broadcast[shape=[2, 3], axes=[]] %1 : f32[2, 3]
//!   %3 = mul %0, %2 : f32[2, 3]
//!   return "y" = %3
//! }
//! ```

mod arithmetic;
mod control;
mod movement;

pub(crate) use arithmetic::rule as arithmetic;
pub(crate) use control::rule as control;
pub(crate) use movement::rule as movement;
