//! Writes instructions of one float dtype and of the integer dtype with as many bits.

use super::code::Code;
use super::division::Range;
use crate::kernel::{InstOp, Reg};
use wootz_ir::ops::{Binary, Compare, Unary};
use wootz_ir::{DType, F64};

/// Writes code on f32 or f64 registers (and, for what little is needed of them, on integers).
pub(super) struct Math<'c> {
    code: &'c mut Code,
    dtype: DType,
    fused: bool,
}

/// Something that differs between f32 and f64.
#[derive(Clone, Copy)]
pub(super) struct Pair<T> {
    pub(super) f32: T,
    pub(super) f64: T,
}

/// A polynomial's coefficients for each dtype, that of the constant term first.
pub(super) type Coefficients = Pair<&'static [f64]>;

/// The layout of a float dtype.
pub(super) struct Format {
    /// Bits of the fraction.
    pub(super) fraction: u32,
    /// What is added to exponents.
    pub(super) bias: i64,
    /// 1.5 · 2^fraction: adding it to a small number rounds that to an integer, which is then in the low bits.
    pub(super) magic: f64,
    /// The least normal number.
    pub(super) tiny: f64,
}

const FORMATS: Pair<Format> = Pair {
    f32: Format { fraction: 23, bias: 127, magic: 12582912.0, tiny: f32::MIN_POSITIVE as f64 },
    f64: Format { fraction: 52, bias: 1023, magic: 6755399441055744.0, tiny: f64::MIN_POSITIVE },
};

/// ln 2 in two parts; the first has few enough digits that its products with exponents are exact.
pub(super) const LN_2: Pair<[f64; 2]> = Pair {
    f32: [355.0 / 512.0, -2.121_944_400_546_905_8e-4],
    f64: [0.693_147_180_369_123_8, 1.908_214_929_270_587_7e-10],
};

impl<'c> Math<'c> {
    pub(super) fn new(code: &'c mut Code, dtype: DType, fused: bool) -> Math<'c> {
        Math { code, dtype, fused }
    }

    pub(super) fn is_float(&self) -> bool {
        self.dtype.is_float()
    }

    /// Whether a product and a sum are one instruction.
    pub(super) fn is_fused(&self) -> bool {
        self.fused
    }

    pub(super) fn is_double(&self) -> bool {
        self.dtype.size() == 8
    }

    pub(super) fn pick<T: Copy>(&self, pair: Pair<T>) -> T {
        if self.is_double() { pair.f64 } else { pair.f32 }
    }

    pub(super) fn format(&self) -> &'static Format {
        if self.is_double() { &FORMATS.f64 } else { &FORMATS.f32 }
    }

    fn int_dtype(&self) -> DType {
        if self.is_double() { DType::I64 } else { DType::I32 }
    }

    /// A number, rounded to the dtype.
    pub(super) fn float(&mut self, value: f64) -> Reg {
        let rounded = if self.is_double() { value } else { f64::from(value as f32) };
        self.code.value(InstOp::Float(F64(rounded)), self.dtype)
    }

    /// An integer with as many bits as the floats.
    pub(super) fn int(&mut self, value: i64) -> Reg {
        let dtype = self.int_dtype();
        let wrapped = if self.is_double() { value } else { i64::from(value as i32) };
        self.code.value(InstOp::Int(wrapped), dtype)
    }

    /// An integer of the dtype of another.
    pub(super) fn whole(&mut self, value: i64, like: Reg) -> Reg {
        let dtype = self.code.dtype(like);
        self.code.value(InstOp::Int(value), dtype)
    }

    pub(super) fn dtype_of(&self, x: Reg) -> DType {
        self.code.dtype(x)
    }

    /// The numbers that an integer register may hold, if that is known.
    pub(super) fn range(&self, x: Reg) -> Option<Range> {
        self.code.range(x)
    }

    /// Notes the numbers that a register may hold.
    pub(super) fn set_range(&mut self, x: Reg, range: Range) {
        self.code.set_range(x, range);
    }

    fn unary(&mut self, op: Unary, x: Reg) -> Reg {
        let dtype = self.code.dtype(x);
        self.code.value(InstOp::Unary(op, x), dtype)
    }

    fn binary(&mut self, op: Binary, x: Reg, y: Reg) -> Reg {
        let dtype = self.code.dtype(x);
        self.code.value(InstOp::Binary(op, x, y), dtype)
    }

    fn compare(&mut self, op: Compare, x: Reg, y: Reg) -> Reg {
        self.code.value(InstOp::Compare(op, x, y), DType::Bool)
    }

    /// The same for f64.
    pub(super) fn wide(&mut self) -> Math<'_> {
        Math { code: self.code, dtype: DType::F64, fused: self.fused }
    }

    pub(super) fn neg(&mut self, x: Reg) -> Reg {
        self.unary(Unary::Neg, x)
    }

    pub(super) fn abs(&mut self, x: Reg) -> Reg {
        self.unary(Unary::Abs, x)
    }

    pub(super) fn sqrt(&mut self, x: Reg) -> Reg {
        self.unary(Unary::Sqrt, x)
    }

    /// The nearest integer.
    pub(super) fn round(&mut self, x: Reg) -> Reg {
        self.unary(Unary::Round, x)
    }

    pub(super) fn floor(&mut self, x: Reg) -> Reg {
        self.unary(Unary::Floor, x)
    }

    /// Without the digits after the point.
    pub(super) fn trunc(&mut self, x: Reg) -> Reg {
        let (below, above) = (self.floor(x), self.unary(Unary::Ceil, x));
        let zero = self.float(0.0);
        let negative = self.lt(x, zero);
        self.select(negative, above, below)
    }

    pub(super) fn add(&mut self, x: Reg, y: Reg) -> Reg {
        self.binary(Binary::Add, x, y)
    }

    pub(super) fn sub(&mut self, x: Reg, y: Reg) -> Reg {
        self.binary(Binary::Sub, x, y)
    }

    pub(super) fn mul(&mut self, x: Reg, y: Reg) -> Reg {
        self.binary(Binary::Mul, x, y)
    }

    pub(super) fn div(&mut self, x: Reg, y: Reg) -> Reg {
        self.binary(Binary::Div, x, y)
    }

    pub(super) fn and(&mut self, x: Reg, y: Reg) -> Reg {
        self.binary(Binary::And, x, y)
    }

    pub(super) fn or(&mut self, x: Reg, y: Reg) -> Reg {
        self.binary(Binary::Or, x, y)
    }

    pub(super) fn xor(&mut self, x: Reg, y: Reg) -> Reg {
        self.binary(Binary::Xor, x, y)
    }

    /// An integer's bits moved up.
    pub(super) fn shl(&mut self, x: Reg, count: u32) -> Reg {
        let count = self.int(count.into());
        self.binary(Binary::Shl, x, count)
    }

    /// An integer's bits moved down, the sign coming in from above.
    pub(super) fn shr(&mut self, x: Reg, count: u32) -> Reg {
        let count = self.int(count.into());
        self.binary(Binary::Shr, x, count)
    }

    pub(super) fn lt(&mut self, x: Reg, y: Reg) -> Reg {
        self.compare(Compare::Lt, x, y)
    }

    pub(super) fn le(&mut self, x: Reg, y: Reg) -> Reg {
        self.compare(Compare::Le, x, y)
    }

    pub(super) fn gt(&mut self, x: Reg, y: Reg) -> Reg {
        self.compare(Compare::Gt, x, y)
    }

    pub(super) fn eq(&mut self, x: Reg, y: Reg) -> Reg {
        self.compare(Compare::Eq, x, y)
    }

    pub(super) fn ne(&mut self, x: Reg, y: Reg) -> Reg {
        self.compare(Compare::Ne, x, y)
    }

    pub(super) fn select(&mut self, condition: Reg, x: Reg, y: Reg) -> Reg {
        let dtype = self.code.dtype(x);
        self.code.value(InstOp::Select(condition, x, y), dtype)
    }

    /// x · y + z, rounded once if that is one instruction.
    pub(super) fn fma(&mut self, x: Reg, y: Reg, z: Reg) -> Reg {
        if self.fused {
            return self.code.value(InstOp::Fma(x, y, z), self.dtype);
        }
        let product = self.mul(x, y);
        self.add(product, z)
    }

    /// x · c + z.
    pub(super) fn fma_by(&mut self, x: Reg, c: f64, z: Reg) -> Reg {
        let c = self.float(c);
        self.fma(x, c, z)
    }

    pub(super) fn add_to(&mut self, x: Reg, c: f64) -> Reg {
        let c = self.float(c);
        self.add(x, c)
    }

    pub(super) fn mul_by(&mut self, x: Reg, c: f64) -> Reg {
        let c = self.float(c);
        self.mul(x, c)
    }

    /// z − x · y.
    pub(super) fn minus_product(&mut self, x: Reg, y: Reg, z: Reg) -> Reg {
        if self.fused {
            let x = self.neg(x);
            return self.fma(x, y, z);
        }
        let product = self.mul(x, y);
        self.sub(z, product)
    }

    /// (s, e) with s + e = x + y exactly (Knuth).
    pub(super) fn two_sum(&mut self, x: Reg, y: Reg) -> (Reg, Reg) {
        let sum = self.add(x, y);
        let from_y = self.sub(sum, x);
        let from_x = self.sub(sum, from_y);
        let (lost_x, lost_y) = (self.sub(x, from_x), self.sub(y, from_y));
        (sum, self.add(lost_x, lost_y))
    }

    /// [`two_sum`](Self::two_sum) where |x| ≥ |y|.
    pub(super) fn fast_two_sum(&mut self, x: Reg, y: Reg) -> (Reg, Reg) {
        let sum = self.add(x, y);
        let from_y = self.sub(sum, x);
        (sum, self.sub(y, from_y))
    }

    /// (p, e) with p + e = x · y exactly (Dekker), unless e is subnormal.
    pub(super) fn two_product(&mut self, x: Reg, y: Reg) -> (Reg, Reg) {
        let product = self.mul(x, y);
        if self.fused {
            let minus = self.neg(product);
            return (product, self.fma(x, y, minus));
        }
        let ((xh, xl), (yh, yl)) = (self.halves(x), self.halves(y));
        let [hh, hl, lh, ll] = [(xh, yh), (xh, yl), (xl, yh), (xl, yl)].map(|(x, y)| self.mul(x, y));
        let rest = self.sub(hh, product);
        let rest = self.add(rest, hl);
        let rest = self.add(rest, lh);
        (product, self.add(rest, ll))
    }

    /// x as the sum of two numbers of half as many digits (Veltkamp).
    fn halves(&mut self, x: Reg) -> (Reg, Reg) {
        let scaled = self.mul_by(x, self.pick(Pair { f32: 4097.0, f64: 134217729.0 }));
        let over = self.sub(scaled, x);
        let high = self.sub(scaled, over);
        (high, self.sub(x, high))
    }

    /// z − x · y without the rounding of the product.
    pub(super) fn residual(&mut self, x: Reg, y: Reg, z: Reg) -> Reg {
        if self.fused {
            return self.minus_product(x, y, z);
        }
        let (product, rest) = self.two_product(x, y);
        let difference = self.sub(z, product);
        self.sub(difference, rest)
    }

    /// The smaller of x and a constant; NaN if x is. In this form it is one instruction of x86.
    pub(super) fn at_most(&mut self, x: Reg, high: f64) -> Reg {
        let high = self.float(high);
        let above = self.lt(high, x);
        self.select(above, high, x)
    }

    /// The larger of x and a constant; NaN if x is. In this form it is one instruction of x86.
    pub(super) fn at_least(&mut self, x: Reg, low: f64) -> Reg {
        let low = self.float(low);
        let below = self.gt(low, x);
        self.select(below, low, x)
    }

    /// Σ cᵢ xⁱ by Horner's rule. Of a long one, even and odd powers above the first two are summed apart: that takes one
    /// multiplication more, but little more than half the time where nothing else is to be done meanwhile.
    pub(super) fn polynomial(&mut self, x: Reg, coefficients: &[f64]) -> Reg {
        const LONG: usize = 10;
        if coefficients.len() < LONG {
            let (last, rest) =
                coefficients.split_last().expect("polynomials are constants with coefficients");
            let last = self.float(*last);
            return self.horner(last, x, rest.iter());
        }
        let square = self.mul(x, x);
        let (first, rest) = coefficients.split_at(2);
        let [even, odd] = [0, 1].map(|parity| {
            let mut terms = rest.iter().skip(parity).step_by(2);
            let last = self.float(*terms.next_back().expect("there are many coefficients"));
            self.horner(last, square, terms)
        });
        let rest = self.fma(odd, x, even);
        self.horner(rest, x, first.iter())
    }

    /// The polynomial in x with these coefficients and then `last`.
    fn horner<'t>(&mut self, last: Reg, x: Reg, rest: impl DoubleEndedIterator<Item = &'t f64>) -> Reg {
        rest.rev().fold(last, |sum, c| {
            let c = self.float(*c);
            self.fma(sum, x, c)
        })
    }

    /// An integer as a float.
    pub(super) fn cast(&mut self, x: Reg) -> Reg {
        self.code.value(InstOp::Cast(x), self.dtype)
    }

    /// A number as one of another dtype.
    pub(super) fn cast_to(&mut self, x: Reg, dtype: DType) -> Reg {
        self.code.value(InstOp::Cast(x), dtype)
    }

    /// A float's bits.
    pub(super) fn bits(&mut self, x: Reg) -> Reg {
        let dtype = self.int_dtype();
        self.code.value(InstOp::Bitcast(x), dtype)
    }

    /// The float with these bits.
    pub(super) fn as_float(&mut self, x: Reg) -> Reg {
        self.code.value(InstOp::Bitcast(x), self.dtype)
    }

    /// The sign's bit of some bits.
    pub(super) fn sign_bit(&mut self, bits: Reg) -> Reg {
        let mask = self.int(if self.is_double() { i64::MIN } else { i32::MIN.into() });
        self.and(bits, mask)
    }

    /// x, its sign flipped where the bits' sign is set.
    pub(super) fn flip_sign(&mut self, x: Reg, bits: Reg) -> Reg {
        let sign = self.sign_bit(bits);
        let bits = self.bits(x);
        let flipped = self.xor(bits, sign);
        self.as_float(flipped)
    }

    /// x with the sign of `of`; x must be positive or have that sign already.
    pub(super) fn with_sign(&mut self, x: Reg, of: Reg) -> Reg {
        let of = self.bits(of);
        let sign = self.sign_bit(of);
        let bits = self.bits(x);
        let signed = self.or(bits, sign);
        self.as_float(signed)
    }
}
