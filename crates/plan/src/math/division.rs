//! Division of integers, by way of f64.
//!
//! A quotient of whole numbers that is not whole itself is at least 1/|y| away from one that is. As long as the dividend is no
//! more than 2⁵⁰, rounding the quotient to 53 binary digits does not take it there, so that its whole part is exact.

use super::builder::Math;
use crate::kernel::Reg;
use wootz_ir::DType;
use wootz_ir::ops::Binary;

/// The least and the greatest number that a register may hold.
pub(super) type Range = (i64, i64);

/// The largest operands.
const MOST: i64 = 1 << 50;
/// 1.5 · 2⁵²: adding a whole number to it puts that into the low bits.
const MAGIC: f64 = 6755399441055744.0;

/// x / y towards zero, its floor, or the remainder of the first; 0 where y is. `None` if the operands may be too large.
pub(super) fn divide(m: &mut Math<'_>, op: Binary, x: Reg, y: Reg) -> Option<Reg> {
    let (of_x, of_y) = (m.range(x)?, m.range(y)?);
    if [of_x, of_y].iter().any(|(low, high)| *low < -MOST || *high > MOST) {
        return None;
    }
    let result = match of_y {
        (0, 0) => m.whole(0, x),
        _ => {
            let value = quotient(m, op, (x, of_x), (y, of_y));
            let result = to_integer(m, value, x);
            match of_y.0 <= 0 && of_y.1 >= 0 {
                true => {
                    let zero = m.whole(0, x);
                    let none = m.eq(y, zero);
                    m.select(none, zero, result)
                }
                false => result,
            }
        }
    };
    m.set_range(result, range(op, of_x, of_y));
    Some(result)
}

/// The result as an f64.
fn quotient(m: &mut Math<'_>, op: Binary, (x, of_x): (Reg, Range), (y, of_y): (Reg, Range)) -> Reg {
    let positive = of_x.0 >= 0 && of_y.0 >= 0;
    let m = &mut m.wide();
    let dividend = m.cast(x);
    let known = (of_y.0 == of_y.1).then_some(of_y.0 as f64);
    let divisor = match known {
        Some(known) => m.float(known),
        None => m.cast(y),
    };
    let downwards = op == Binary::FloorDiv || positive;
    let whole = match known {
        // Half a unit more is far enough from whole numbers on both sides for a product with two roundings.
        Some(known) if downwards && known > 0.0 => {
            let middle = m.add_to(dividend, 0.5);
            let quotient = m.mul_by(middle, 1.0 / known);
            m.floor(quotient)
        }
        _ => {
            let quotient = m.div(dividend, divisor);
            match downwards {
                true => m.floor(quotient),
                false => m.trunc(quotient),
            }
        }
    };
    if op != Binary::Rem {
        return whole;
    }
    let product = m.mul(whole, divisor);
    m.sub(dividend, product)
}

/// A whole f64 as an integer of the dtype of `like`, wrapped to its width.
fn to_integer(m: &mut Math<'_>, value: Reg, like: Reg) -> Reg {
    let dtype = m.dtype_of(like);
    let m = &mut m.wide();
    let shifted = m.add_to(value, MAGIC);
    let bits = m.bits(shifted);
    if dtype != DType::I64 {
        return m.cast_to(bits, dtype);
    }
    let magic = m.int(MAGIC.to_bits() as i64);
    m.sub(bits, magic)
}

fn range(op: Binary, of_x: Range, of_y: Range) -> Range {
    let size = |(low, high): Range| high.max(-low);
    let most = match op {
        Binary::Rem => size(of_x).min(size(of_y) - 1).max(0),
        _ => size(of_x),
    };
    let negative = if op == Binary::Rem { of_x.0 < 0 } else { of_x.0 < 0 || of_y.0 < 0 };
    (if negative { -most } else { 0 }, most)
}
