//! Conversions between dtypes, by the rules of `cast`: floats to integers truncate and saturate, and NaN becomes 0.

use super::asm::vector::*;
use super::asm::{Length, UNUSED, Vec};
use super::generate::Generator;
use super::registers::Class;
use super::shape::lane_bytes;
use wootz_ir::DType;
use wootz_plan::kernel::Reg;

/// True where no operand is NaN.
const ORDERED: u8 = 7;
/// Not less; true for NaN.
const AT_LEAST: u8 = 0x1d;

/// `round` mode: towards zero, with exceptions suppressed.
const TRUNCATE: u8 = 11;
/// `round` mode: towards −∞.
const DOWN: u8 = 9;

impl Generator<'_> {
    pub(super) fn cast(&mut self, out: Reg, x: Reg, copy: usize) {
        let (from, to) = (self.shape.dtype(x), self.shape.dtype(out));
        match (from, to) {
            _ if from == to => self.same(out, x, copy),
            (_, DType::Bool) => self.nonzero(out, x, copy),
            (DType::Bool, _) => self.zero_or_one(out, x, copy),
            (DType::F32, DType::F64) => self.convert(F32_TO_F64, to, out, x, copy),
            (DType::I32 | DType::U8, DType::F32) => self.convert(I32_TO_F32, to, out, x, copy),
            (DType::I32 | DType::U8, DType::F64) => self.convert(I32_TO_F64, to, out, x, copy),
            (DType::U32, DType::F32) if self.wide => self.convert(U32_TO_F32, to, out, x, copy),
            (DType::U32, DType::F64) if self.wide => self.convert(U32_TO_F64, to, out, x, copy),
            (DType::I64, DType::F64) if self.wide => self.convert(I64_TO_F64, to, out, x, copy),
            (DType::U32, DType::F32) => self.unsigned_to_single(out, x, copy),
            (DType::U32, DType::F64) => self.unsigned_to_double(out, x, copy),
            (DType::I64, DType::F64) => {
                let (a, result) = (self.read(x, copy), self.define(out, copy));
                self.long_to_double(result, a);
            }
            (DType::F64, DType::F32) => self.halved(F64_TO_F32, out, x, copy),
            (DType::I64, DType::F32) if self.wide => self.halved(I64_TO_F32, out, x, copy),
            (DType::I64, DType::F32) => self.long_to_single(out, x, copy),
            (DType::I32, DType::I64) => self.convert(SIGN_EXTEND, to, out, x, copy),
            (DType::U32 | DType::U8, DType::I64) => self.convert(ZERO_EXTEND, to, out, x, copy),
            (DType::I64, DType::U8) => {
                let low = self.narrowed(out, x, copy);
                self.low_byte(low, low);
            }
            (DType::I64, _) => {
                self.narrowed(out, x, copy);
            }
            (DType::I32 | DType::U32, DType::U8) => {
                let a = self.read(x, copy);
                let result = self.define_over(out, copy, &[x]);
                self.low_byte(result, a);
            }
            (DType::I32 | DType::U32 | DType::U8, _) => self.same(out, x, copy),
            (DType::F32 | DType::F64, DType::I64) if self.wide => self.float_to_long(out, x, copy),
            (DType::F32 | DType::F64, DType::I64) => self.float_to_long_by_halves(out, x, copy),
            (DType::F32 | DType::F64, DType::U32) if self.wide => {
                // The f32 nearest to the limit is beyond it: the processor gives all ones.
                let op = if from == DType::F64 { F64_TO_U32 } else { F32_TO_U32 };
                self.clamped(op, (0.0, f64::from(u32::MAX)), out, x, copy)
            }
            (DType::F32, DType::U32) => self.single_to_unsigned(out, x, copy),
            (DType::F64, DType::U32) => self.double_to_unsigned(out, x, copy),
            (DType::F32, DType::I32) => self.single_to_int(out, x, copy),
            (DType::F64, DType::I32) => {
                self.clamped_to_int(f64::from(i32::MIN), f64::from(i32::MAX), out, x, copy)
            }
            (_, DType::U8) => self.clamped_to_int(0.0, 255.0, out, x, copy),
            _ => unreachable!("kernels with casts from {from} to {to} are declined"),
        }
    }

    /// out = op(x), as many lanes as the result has.
    fn convert(&mut self, op: VectorOp, to: DType, out: Reg, x: Reg, copy: usize) {
        let a = self.read(x, copy);
        let result = self.define(out, copy);
        self.asm.v1(op, self.length(to), result, a);
    }

    /// out = op(x), whose lanes are half as long as the operand's.
    fn halved(&mut self, op: VectorOp, out: Reg, x: Reg, copy: usize) {
        let from = self.shape.dtype(x);
        let a = self.read(x, copy);
        let result = self.define(out, copy);
        self.asm.v1(op, self.length(from), result, a);
        self.fill(from, result);
    }

    /// Repeats the first lane where the operand had too few lanes.
    fn fill(&mut self, from: DType, result: Vec) {
        if self.clipped(from) {
            self.asm.v1(BROADCAST[0], self.longest(), result, result);
        }
    }

    fn narrowed(&mut self, out: Reg, x: Reg, copy: usize) -> Vec {
        let a = self.read(x, copy);
        let result = self.define(out, copy);
        self.low_halves(result, a);
        result
    }

    /// The low halves of 64-bit lanes.
    fn low_halves(&mut self, to: Vec, x: Vec) {
        if self.clipped(DType::I64) {
            self.asm.v1(BROADCAST[0], self.longest(), to, x);
        } else if self.wide {
            self.asm.v1(NARROW, self.length(DType::I64), x, to);
        } else {
            self.asm.vi(EXTRACT_128, Length::L256, x, UNUSED, to, 1);
            self.asm.vi(SHUFFLE, Length::L128, to, x, to, 0x88);
        }
    }

    fn low_byte(&mut self, to: Vec, x: Vec) {
        let byte = self.splat(0xff, 4);
        self.asm.v(AND[0], self.length(DType::U8), to, x, byte);
    }

    fn nonzero(&mut self, out: Reg, x: Reg, copy: usize) {
        let dtype = self.shape.dtype(x);
        let (length, pair) = (self.length(dtype), Self::pair(dtype));
        let a = self.read(x, copy);
        let zero = self.splat(0, 8);
        let result = self.define(out, copy);
        const NOT_EQUAL: u8 = 4;
        if dtype.is_float() {
            self.asm.vi(COMPARE[pair], length, result, a, zero, NOT_EQUAL);
        } else if self.wide {
            self.asm.v(TEST[pair], length, result, a, a);
        } else {
            let ones = self.ones();
            self.asm.v(EQUAL_INT[pair], length, result, a, zero);
            self.asm.v(XOR[0], length, result, result, ones);
        }
        if self.wide && self.clipped(dtype) {
            self.widen_mask(result);
        } else if !self.wide && lane_bytes(dtype) < self.shape.lane_bytes {
            self.asm.v1(SIGN_EXTEND, self.longest(), result, result);
        }
    }

    fn zero_or_one(&mut self, out: Reg, x: Reg, copy: usize) {
        let to = self.shape.dtype(out);
        let (length, pair) = (self.length(to), Self::pair(to));
        let one = match to {
            DType::F64 => 1f64.to_bits(),
            DType::F32 => u64::from(1f32.to_bits()),
            _ => 1,
        };
        let one = self.splat(one, lane_bytes(to));
        let mask = self.read(x, copy);
        if self.class(x) == Class::Mask {
            let result = self.define(out, copy);
            return self.asm.vm(LOAD[pair], length, result, UNUSED, one, Masked { by: mask.0, zero: true });
        }
        let narrow = lane_bytes(to) < self.shape.lane_bytes;
        let mask = if narrow { self.narrow_mask(mask) } else { mask };
        let result = self.define(out, copy);
        self.asm.v(AND[0], length, result, mask, one);
    }

    /// From the halves of each lane, so that only one addition rounds (AVX2).
    fn unsigned_to_single(&mut self, out: Reg, x: Reg, copy: usize) {
        let length = self.length(DType::F32);
        let (low, scale) = (self.splat(0xffff, 4), self.splat(u64::from(65536f32.to_bits()), 4));
        let a = self.read(x, copy);
        let (high, result) = (self.temp(), self.define(out, copy));
        self.asm.shift(SHIFT_RIGHT_BY[0], length, high, a, 16);
        self.asm.v1(I32_TO_F32, length, high, high);
        self.asm.v(AND[0], length, result, a, low);
        self.asm.v1(I32_TO_F32, length, result, result);
        self.asm.v(FMA_231[0], length, result, high, scale);
    }

    /// The integer becomes the mantissa of 2⁵² + x (AVX2).
    fn unsigned_to_double(&mut self, out: Reg, x: Reg, copy: usize) {
        let length = self.length(DType::F64);
        let magic = self.splat(2f64.powi(52).to_bits(), 8);
        let a = self.read(x, copy);
        let result = self.define(out, copy);
        self.asm.v1(ZERO_EXTEND, length, result, a);
        self.asm.v(OR[0], length, result, result, magic);
        self.asm.v(SUB[1], length, result, result, magic);
    }

    /// Each half becomes the mantissa of a double with the right exponent; one addition rounds (AVX2).
    fn long_to_double(&mut self, to: Vec, x: Vec) {
        let length = self.length(DType::I64);
        let (half, low) = (self.splat(0xffff_ffff, 8), self.splat(2f64.powi(52).to_bits(), 8));
        // The sign bit is flipped: 2⁶³ too much, taken away with the magic numbers.
        let high = self.splat(2f64.powi(84).to_bits() ^ (1 << 31), 8);
        let excess = self.splat((2f64.powi(84) + 2f64.powi(63) + 2f64.powi(52)).to_bits(), 8);
        let top = self.temp();
        self.asm.shift(SHIFT_RIGHT_BY[1], length, top, x, 32);
        self.asm.v(XOR[0], length, top, top, high);
        self.asm.v(SUB[1], length, top, top, excess);
        self.asm.v(AND[0], length, to, x, half);
        self.asm.v(OR[0], length, to, to, low);
        self.asm.v(ADD[1], length, to, to, top);
    }

    /// Rounded once: what a double cannot hold is marked in its last digit, so that its nearest f32 is the integer's (AVX2).
    fn long_to_single(&mut self, out: Reg, x: Reg, copy: usize) {
        const DROPPED: u64 = (1 << 11) - 1;
        let length = self.length(DType::I64);
        let (dropped, kept) = (self.splat(DROPPED, 8), self.splat(!DROPPED, 8));
        let (mark, bound, zero) = (self.splat(DROPPED + 1, 8), self.splat(1 << 53, 8), self.splat(0, 8));
        let a = self.read(x, copy);
        let (small, number) = (self.temp(), self.temp());
        self.asm.v(AND[0], length, number, a, dropped);
        self.asm.v(ADD_INT[1], length, number, number, dropped);
        self.asm.v(AND[0], length, number, number, mark);
        self.asm.v(AND[0], length, small, a, kept);
        self.asm.v(OR[0], length, number, number, small);
        // Below 2⁵³ nothing is dropped.
        self.asm.v(ADD_INT[1], length, small, a, bound);
        self.asm.shift(SHIFT_RIGHT_BY[1], length, small, small, 54);
        self.asm.v(EQUAL_INT[1], length, small, small, zero);
        self.asm.blend(BLEND[1], length, number, number, a, small);
        self.long_to_double(number, number);
        let result = self.define(out, copy);
        self.asm.v1(F64_TO_F32, length, result, number);
        self.fill(DType::I64, result);
    }

    /// Each half of the integer becomes the end of a double's mantissa (AVX2).
    fn float_to_long_by_halves(&mut self, out: Reg, x: Reg, copy: usize) {
        let length = self.length(DType::I64);
        let double = |v: f64| v.to_bits();
        let (limit, greatest) = (self.splat(double(2f64.powi(63)), 8), self.splat(i64::MAX as u64, 8));
        let (down, up) = (self.splat(double(2f64.powi(-32)), 8), self.splat(double(-(2f64.powi(32))), 8));
        let (low_magic, high_magic) =
            (self.splat(double(2f64.powi(52)), 8), self.splat(double(1.5 * 2f64.powi(52)), 8));
        let a = self.read(x, copy);
        let (over, high) = (self.temp(), self.temp());
        let low = self.define(out, copy);
        let doubles = match self.shape.dtype(x) {
            DType::F32 => {
                self.asm.v1(F32_TO_F64, length, high, a);
                high
            }
            _ => a,
        };
        self.clamp(DType::F64, (-(2f64.powi(63)), f64::INFINITY), low, doubles);
        self.asm.vi(COMPARE[1], length, over, low, limit, AT_LEAST);
        self.asm.vi(ROUND[1], length, low, UNUSED, low, TRUNCATE);
        self.asm.v(MUL[1], length, high, low, down);
        self.asm.vi(ROUND[1], length, high, UNUSED, high, DOWN);
        self.asm.v(FMA_231[1], length, low, high, up);
        self.asm.v(ADD[1], length, low, low, low_magic);
        self.asm.v(XOR[0], length, low, low, low_magic);
        self.asm.v(ADD[1], length, high, high, high_magic);
        self.asm.shift(SHIFT_LEFT_BY[1], length, high, high, 32);
        self.asm.v(OR[0], length, low, low, high);
        self.asm.blend(BLEND[1], length, low, low, greatest, over);
    }

    /// From 2³¹ on that is taken away first (AVX2).
    fn single_to_unsigned(&mut self, out: Reg, x: Reg, copy: usize) {
        let length = self.length(DType::F32);
        let single = |v: f32| u64::from(v.to_bits());
        let (half, limit) = (self.splat(single(2f32.powi(31)), 4), self.splat(single(2f32.powi(32)), 4));
        let sign = self.sign_bit(DType::F32);
        let a = self.read(x, copy);
        let (mask, part) = (self.temp(), self.temp());
        let result = self.define(out, copy);
        self.clamp(DType::F32, (0.0, f64::INFINITY), result, a);
        self.asm.vi(COMPARE[0], length, mask, result, half, AT_LEAST);
        self.asm.v(AND[0], length, part, mask, half);
        self.asm.v(AND[0], length, mask, mask, sign);
        self.asm.v(SUB[0], length, part, result, part);
        self.asm.v1(F32_TO_I32, length, part, part);
        self.asm.v(XOR[0], length, mask, mask, part);
        self.asm.vi(COMPARE[0], length, result, result, limit, AT_LEAST);
        self.asm.v(OR[0], length, result, result, mask);
    }

    /// The integer is the end of the mantissa of 2⁵² + x (AVX2).
    fn double_to_unsigned(&mut self, out: Reg, x: Reg, copy: usize) {
        let length = self.length(DType::F64);
        let magic = self.splat(2f64.powi(52).to_bits(), 8);
        let a = self.read(x, copy);
        let number = self.temp();
        self.clamp(DType::F64, (0.0, f64::from(u32::MAX)), number, a);
        self.asm.vi(ROUND[1], length, number, UNUSED, number, TRUNCATE);
        self.asm.v(ADD[1], length, number, number, magic);
        let result = self.define(out, copy);
        self.low_halves(result, number);
    }

    fn single_to_int(&mut self, out: Reg, x: Reg, copy: usize) {
        let length = self.length(DType::F32);
        let limit = self.splat(u64::from(2f32.powi(31).to_bits()), 4);
        let a = self.read(x, copy);
        let result = self.define(out, copy);
        self.asm.v1(F32_TO_I32, length, result, a);
        // What does not fit became the least integer: its complement is the greatest.
        if self.wide {
            let (over, number) = (self.mask_temp(), self.mask_temp());
            let ones = self.ones();
            self.asm.vi(COMPARE[0], length, over, a, limit, AT_LEAST);
            self.asm.vm(XOR[0], length, result, result, ones, Masked { by: over.0, zero: false });
            self.asm.vi(COMPARE[0], length, number, a, a, ORDERED);
            self.asm.vm(LOAD[0], length, result, UNUSED, result, Masked { by: number.0, zero: true });
        } else {
            let mask = self.temp();
            self.asm.vi(COMPARE[0], length, mask, a, limit, AT_LEAST);
            self.asm.v(XOR[0], length, result, result, mask);
            self.asm.vi(COMPARE[0], length, mask, a, a, ORDERED);
            self.asm.v(AND[0], length, result, result, mask);
        }
    }

    /// To 32-bit lanes, of floats that hold both limits exactly.
    fn clamped_to_int(&mut self, low: f64, high: f64, out: Reg, x: Reg, copy: usize) {
        let op = if self.shape.dtype(x) == DType::F64 { F64_TO_I32 } else { F32_TO_I32 };
        self.clamped(op, (low, high), out, x, copy);
    }

    fn clamped(&mut self, op: VectorOp, limits: (f64, f64), out: Reg, x: Reg, copy: usize) {
        let from = self.shape.dtype(x);
        let length = self.length(from);
        let a = self.read(x, copy);
        let number = self.temp();
        self.clamp(from, limits, number, a);
        let result = self.define(out, copy);
        self.asm.v1(op, length, result, number);
        self.fill(from, result);
    }

    /// `number` is `a` within limits; NaN becomes 0.
    fn clamp(&mut self, from: DType, (low, high): (f64, f64), number: Vec, a: Vec) {
        let (length, pair) = (self.length(from), Self::pair(from));
        let bits = |v: f64| if pair == 1 { v.to_bits() } else { u64::from((v as f32).to_bits()) };
        let bytes = lane_bytes(from);
        let (low, high) = (self.splat(bits(low), bytes), self.splat(bits(high), bytes));
        if self.wide {
            let mask = self.mask_temp();
            self.asm.vi(COMPARE[pair], length, mask, a, a, ORDERED);
            self.asm.vm(LOAD[pair], length, number, UNUSED, a, Masked { by: mask.0, zero: true });
        } else {
            self.asm.vi(COMPARE[pair], length, number, a, a, ORDERED);
            self.asm.v(AND[pair], length, number, number, a);
        }
        self.asm.v(MAX[pair], length, number, number, low);
        self.asm.v(MIN[pair], length, number, number, high);
    }

    /// AVX-512.
    fn float_to_long(&mut self, out: Reg, x: Reg, copy: usize) {
        let from = self.shape.dtype(x);
        let (length, pair) = (self.length(DType::I64), Self::pair(from));
        let limit = 2f64.powi(63);
        let limit = if pair == 1 { limit.to_bits() } else { u64::from((limit as f32).to_bits()) };
        let (limit, ones) = (self.splat(limit, lane_bytes(from)), self.ones());
        let a = self.read(x, copy);
        let (over, number) = (self.mask_temp(), self.mask_temp());
        let result = self.define(out, copy);
        self.asm.v1(if pair == 1 { F64_TO_I64 } else { F32_TO_I64 }, length, result, a);
        self.asm.vi(COMPARE[pair], self.length(from), over, a, limit, AT_LEAST);
        self.asm.vm(XOR[1], length, result, result, ones, Masked { by: over.0, zero: false });
        self.asm.vi(COMPARE[pair], self.length(from), number, a, a, ORDERED);
        self.asm.vm(LOAD[1], length, result, UNUSED, result, Masked { by: number.0, zero: true });
    }
}
