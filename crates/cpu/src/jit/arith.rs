//! Elementwise instructions: one row an op.

use super::asm::vector::*;
use super::asm::{Length, Mem, Rm, UNUSED, Vec};
use super::generate::{CONTEXT, Generator, LANE, Mode, SCRATCH};
use super::registers::Class;
use super::shape::{Literal, lane_bytes};
use wootz_ir::DType;
use wootz_ir::ops::{Binary, Unary};
use wootz_plan::kernel::Reg;

/// `round` modes, with exceptions suppressed.
const TO_EVEN: u8 = 8;
const DOWN: u8 = 9;
const UP: u8 = 10;
/// True where an operand is NaN.
pub(super) const UNORDERED: u8 = 3;

impl Generator<'_> {
    /// The length and the index into pairs for a register's lanes.
    pub(super) fn form(&self, reg: Reg) -> (DType, Length, usize) {
        let dtype = self.shape.dtype(reg);
        let pair = if dtype == DType::Bool { self.mask_pair() } else { Self::pair(dtype) };
        (dtype, self.length(dtype), pair)
    }

    /// out = op(x, y)
    pub(super) fn two(&mut self, op: VectorOp, length: Length, out: Reg, x: Reg, y: Reg, copy: usize) {
        let (a, b) = (self.read(x, copy), self.read_any(y, copy));
        let to = self.define_over(out, copy, &[x, y]);
        self.asm.v(op, length, to, a, b);
    }

    /// out = op(x, y) = op(y, x): the operand in memory, if any, comes last.
    fn commuting(&mut self, op: VectorOp, length: Length, out: Reg, x: Reg, y: Reg, copy: usize) {
        let in_register = |g: &Self, r| g.registers.resident(g.value(r, copy)).is_some();
        match !in_register(self, x) && in_register(self, y) {
            true => self.two(op, length, out, y, x, copy),
            false => self.two(op, length, out, x, y, copy),
        }
    }

    /// out = op(x, memory)
    fn with(&mut self, op: VectorOp, length: Length, out: Reg, x: Reg, copy: usize, y: Mem) {
        let a = self.read(x, copy);
        let to = self.define_over(out, copy, &[x]);
        self.asm.v(op, length, to, a, y);
    }

    /// out = x
    pub(super) fn same(&mut self, out: Reg, x: Reg, copy: usize) {
        let (from, length) = (self.read(x, copy), self.length(self.shape.dtype(x)));
        let to = self.define_over(out, copy, &[x]);
        if to != from {
            match self.class(out) {
                Class::Mask => self.asm.v1(MASK_LOAD, Length::L128, to, from),
                Class::Vector(_) => self.asm.v1(LOAD[0], length, to, from),
            }
        }
    }

    pub(super) fn mask_literal(&mut self, out: Reg, copy: usize) {
        let set = matches!(self.shape.literals[out.0 as usize], Some(Literal::Int(v)) if v != 0);
        let to = self.define(out, copy);
        self.asm.v(if set { MASK_XNOR } else { MASK_XOR }, Length::L256, to, to, to);
    }

    pub(super) fn unary(&mut self, op: Unary, out: Reg, x: Reg, copy: usize) {
        let (dtype, length, pair) = self.form(x);
        match op {
            Unary::Neg if dtype.is_float() => {
                let sign = self.sign_bit(dtype);
                self.with(XOR[pair], length, out, x, copy, sign);
            }
            Unary::Neg => {
                let a = self.read_any(x, copy);
                let zero = self.zeros();
                let to = self.define(out, copy);
                self.asm.v(SUB_INT[pair], length, to, zero, a);
            }
            Unary::Abs if dtype.is_float() => {
                let bits = 8 * lane_bytes(dtype) - 1;
                let rest = self.splat((1u64 << bits) - 1, lane_bytes(dtype));
                self.with(AND[pair], length, out, x, copy, rest);
            }
            Unary::Abs if dtype == DType::U32 => self.same(out, x, copy),
            Unary::Abs if pair == 0 || self.wide => {
                let a = self.read_any(x, copy);
                let to = self.define_over(out, copy, &[x]);
                self.asm.v1(ABS_INT[pair], length, to, a);
            }
            Unary::Abs => {
                let a = self.read(x, copy);
                let sign = self.sign_of(a, length);
                let to = self.define(out, copy);
                self.asm.v(XOR[1], length, to, a, sign);
                self.asm.v(SUB_INT[1], length, to, to, sign);
            }
            Unary::Not if self.class(x) == Class::Mask => {
                let a = self.read(x, copy);
                let to = self.define_over(out, copy, &[x]);
                self.asm.v1(MASK_NOT, Length::L128, to, a);
            }
            Unary::Not => {
                let ones = self.ones();
                self.with(XOR[pair], length, out, x, copy, ones);
            }
            Unary::Sqrt => {
                let a = self.read_any(x, copy);
                let to = self.define_over(out, copy, &[x]);
                self.asm.v1(SQRT[pair], length, to, a);
            }
            Unary::Floor => self.integral(DOWN, out, x, copy),
            Unary::Ceil => self.integral(UP, out, x, copy),
            Unary::Round => self.integral(TO_EVEN, out, x, copy),
            _ => unreachable!("kernels with {op:?} are declined"),
        }
    }

    fn integral(&mut self, mode: u8, out: Reg, x: Reg, copy: usize) {
        let (_, length, pair) = self.form(x);
        let a = self.read_any(x, copy);
        let to = self.define_over(out, copy, &[x]);
        self.asm.vi(ROUND[pair], length, to, UNUSED, a, mode);
    }

    /// A register of zeros.
    pub(super) fn zeros(&mut self) -> Vec {
        let zero = self.temp();
        self.asm.v(XOR[0], Length::L128, zero, zero, zero);
        zero
    }

    /// All bits of the sign of 64-bit lanes (AVX2).
    fn sign_of(&mut self, x: Vec, length: Length) -> Vec {
        let zero = self.zeros();
        self.asm.v(GREATER_INT[1], length, zero, zero, x);
        zero
    }

    pub(super) fn binary(&mut self, op: Binary, out: Reg, x: Reg, y: Reg, copy: usize) {
        let (dtype, length, pair) = self.form(x);
        let float = dtype.is_float();
        match op {
            Binary::Min | Binary::Max if dtype == DType::Bool => {
                let logic = if op == Binary::Min { Binary::And } else { Binary::Or };
                self.binary(logic, out, x, y, copy);
            }
            Binary::And | Binary::Or | Binary::Xor => {
                let i = match op {
                    Binary::And => (AND[pair], MASK_AND),
                    Binary::Or => (OR[pair], MASK_OR),
                    _ => (XOR[pair], MASK_XOR),
                };
                match self.class(x) {
                    Class::Mask => {
                        let (a, b) = (self.read(x, copy), self.read(y, copy));
                        let to = self.define_over(out, copy, &[x, y]);
                        self.asm.v(i.1, Length::L256, to, a, b);
                    }
                    Class::Vector(_) => self.commuting(i.0, length, out, x, y, copy),
                }
            }
            Binary::Add if float => self.commuting(ADD[pair], length, out, x, y, copy),
            Binary::Add => self.commuting(ADD_INT[pair], length, out, x, y, copy),
            Binary::Mul if float => self.commuting(MUL[pair], length, out, x, y, copy),
            Binary::Mul if pair == 0 || self.wide => self.commuting(MUL_INT[pair], length, out, x, y, copy),
            Binary::Mul => self.long_product(length, out, x, y, copy),
            Binary::Sub if float => self.two(SUB[pair], length, out, x, y, copy),
            Binary::Sub => self.two(SUB_INT[pair], length, out, x, y, copy),
            Binary::Div => self.two(DIV[pair], length, out, x, y, copy),
            Binary::Min | Binary::Max if float => self.extreme(op == Binary::Max, out, x, y, copy),
            Binary::Min | Binary::Max => self.int_extreme(op == Binary::Max, out, x, y, copy),
            Binary::Shl | Binary::Shr => self.shift(op == Binary::Shl, out, x, y, copy),
            _ => unreachable!("kernels with {op:?} are declined"),
        }
    }

    /// The low 64 bits of products of 64-bit lanes, from products of their halves.
    fn long_product(&mut self, length: Length, out: Reg, x: Reg, y: Reg, copy: usize) {
        let (a, b) = (self.read(x, copy), self.read(y, copy));
        let to = self.define(out, copy);
        self.long_product_of(length, to, a, b);
    }

    /// The same of registers; `to` is neither operand.
    pub(super) fn long_product_of(&mut self, length: Length, to: Vec, a: Vec, b: Vec) {
        let (crossed, high) = (self.temp(), self.temp());
        self.asm.vi(SHUFFLE_INT, length, crossed, UNUSED, b, 0xb1);
        self.asm.v(MUL_INT[0], length, crossed, crossed, a);
        // Both crossed products count from bit 32 on.
        self.asm.shift(SHIFT_LEFT_BY[1], length, high, crossed, 32);
        self.asm.shift(SHIFT_RIGHT_BY[1], length, crossed, crossed, 32);
        self.asm.shift(SHIFT_LEFT_BY[1], length, crossed, crossed, 32);
        self.asm.v(ADD_INT[0], length, high, high, crossed);
        self.asm.v(MUL_LOW_HALVES, length, to, a, b);
        self.asm.v(ADD_INT[1], length, to, to, high);
    }

    /// The larger or the smaller of floats; NaN if either is, and −0 is smaller than +0.
    fn extreme(&mut self, max: bool, out: Reg, x: Reg, y: Reg, copy: usize) {
        let (dtype, length, pair) = self.form(x);
        // The processor returns the second operand unless the first is beyond it.
        let known = |g: &Self, r: Reg| match g.shape.literals[r.0 as usize] {
            Some(Literal::Float(v)) if !v.is_nan() => Some(v),
            _ => None,
        };
        let literal = known(self, x).map(|v| (v, x, y)).or_else(|| known(self, y).map(|v| (v, y, x)));
        let op = if max { MAX[pair] } else { MIN[pair] };
        if let Some((v, constant, other)) = literal {
            let zero = v == 0.0;
            if max || !zero || v.is_sign_positive() {
                let (a, b) = (self.read(constant, copy), self.read_any(other, copy));
                let to = self.define_over(out, copy, &[other]);
                self.asm.v(op, length, to, a, b);
                if max && zero && v.is_sign_positive() {
                    // −0 + 0 is +0.
                    let zeros = self.splat(0, lane_bytes(dtype));
                    self.asm.v(ADD[pair], length, to, to, zeros);
                }
                return;
            }
        }
        let (a, b) = (self.read(x, copy), self.read(y, copy));
        let to = self.define(out, copy);
        self.extreme_of(max, (length, pair), to, a, b);
    }

    /// `to`, which is neither operand, is the larger or the smaller of them.
    pub(super) fn extreme_of(&mut self, max: bool, (length, pair): (Length, usize), to: Vec, a: Vec, b: Vec) {
        if self.wide {
            let nan = self.mask_temp();
            self.asm.vi(RANGE[pair], length, to, a, b, Self::range(max));
            self.asm.vi(COMPARE[pair], length, nan, a, b, UNORDERED);
            return self.asm.vm(ADD[pair], length, to, a, b, Masked { by: nan.0, zero: false });
        }
        let (op, join) = if max { (MAX[pair], AND[pair]) } else { (MIN[pair], OR[pair]) };
        let other = self.temp();
        self.asm.v(op, length, to, a, b);
        self.asm.v(op, length, other, b, a);
        // Where they differ, equal operands do: in the sign of zero.
        self.asm.v(join, length, to, to, other);
        self.asm.vi(COMPARE[pair], length, other, a, b, UNORDERED);
        self.asm.v(OR[pair], length, to, to, other);
    }

    /// The operand of [`RANGE`]: the smaller or the larger, with its own sign.
    pub(super) fn range(max: bool) -> u8 {
        const OWN_SIGN: u8 = 1 << 2;
        OWN_SIGN | u8::from(max)
    }

    fn int_extreme(&mut self, max: bool, out: Reg, x: Reg, y: Reg, copy: usize) {
        let (dtype, length, pair) = self.form(x);
        if pair == 1 && !self.wide {
            let (a, b) = (self.read(x, copy), self.read(y, copy));
            let to = self.define(out, copy);
            self.int_extreme_of(max, dtype, length, to, a, b);
            return;
        }
        self.commuting(Self::int_extreme_op(max, dtype), length, out, x, y, copy);
    }

    fn int_extreme_op(max: bool, dtype: DType) -> VectorOp {
        match (max, dtype) {
            (true, DType::U32) => MAX_UNSIGNED,
            (false, DType::U32) => MIN_UNSIGNED,
            (true, _) => MAX_INT[Self::pair(dtype)],
            (false, _) => MIN_INT[Self::pair(dtype)],
        }
    }

    /// `to`, which is neither operand, is the larger or the smaller of them.
    pub(super) fn int_extreme_of(
        &mut self,
        max: bool,
        dtype: DType,
        length: Length,
        to: Vec,
        a: Vec,
        b: Vec,
    ) {
        if self.wide || lane_bytes(dtype) == 4 {
            return self.asm.v(Self::int_extreme_op(max, dtype), length, to, a, b);
        }
        self.asm.v(GREATER_INT[1], length, to, a, b);
        let (otherwise, then) = if max { (b, a) } else { (a, b) };
        self.asm.blend(BLEND[1], length, to, otherwise, then, to);
    }

    fn shift(&mut self, left: bool, out: Reg, x: Reg, y: Reg, copy: usize) {
        let (dtype, length, pair) = self.form(x);
        let signed = matches!(dtype, DType::I32 | DType::I64);
        if let Some(Literal::Int(bits)) = self.shape.literals[y.0 as usize]
            && (0..8 * lane_bytes(dtype) as i64).contains(&bits)
            && (left || !signed || pair == 0)
        {
            let a = self.read(x, copy);
            let to = self.define_over(out, copy, &[x]);
            let op = match (left, signed) {
                (true, _) => SHIFT_LEFT_BY[pair],
                (false, true) => SHIFT_RIGHT_SIGNED_BY,
                (false, false) => SHIFT_RIGHT_BY[pair],
            };
            return self.asm.shift(op, length, to, a, bits as u8);
        }
        match (left, signed) {
            (true, _) => self.two(SHIFT_LEFT[pair], length, out, x, y, copy),
            (false, false) => self.two(SHIFT_RIGHT[pair], length, out, x, y, copy),
            (false, true) if pair == 0 || self.wide => {
                self.two(SHIFT_RIGHT_SIGNED[pair], length, out, x, y, copy);
            }
            (false, true) => {
                let (a, bits) = (self.read(x, copy), self.read(y, copy));
                let sign = self.sign_of(a, length);
                let to = self.define(out, copy);
                self.asm.v(XOR[1], length, to, a, sign);
                self.asm.v(SHIFT_RIGHT[1], length, to, to, bits);
                self.asm.v(XOR[1], length, to, to, sign);
            }
        }
    }

    pub(super) fn select(&mut self, out: Reg, c: Reg, x: Reg, y: Reg, copy: usize) {
        let (dtype, length, pair) = self.form(x);
        let condition = self.read(c, copy);
        if self.class(x) == Class::Mask {
            let (a, b) = (self.read(x, copy), self.read(y, copy));
            let (then, to) = (self.mask_temp(), self.define(out, copy));
            self.asm.v(MASK_AND, Length::L256, then, condition, a);
            self.asm.v(MASK_AND_NOT, Length::L256, to, condition, b);
            return self.asm.v(MASK_OR, Length::L256, to, to, then);
        }
        let (otherwise, then) = (self.read(y, copy), self.read_any(x, copy));
        if self.wide {
            let to = self.define_over(out, copy, &[x, y]);
            return self.asm.vm(
                BLEND_MASK[pair],
                length,
                to,
                otherwise,
                then,
                Masked { by: condition.0, zero: false },
            );
        }
        let narrow = dtype != DType::Bool && lane_bytes(dtype) < self.shape.lane_bytes;
        let condition = if narrow { self.narrow_mask(condition) } else { condition };
        let to = self.define_over(out, copy, &[x, y]);
        self.asm.blend(BLEND[pair], length, to, otherwise, then, condition);
    }

    /// A mask for 4-byte lanes from one for 8-byte lanes (AVX2).
    pub(super) fn narrow_mask(&mut self, mask: Vec) -> Vec {
        let narrow = self.temp();
        self.asm.vi(EXTRACT_128, Length::L256, mask, UNUSED, narrow, 1);
        self.asm.vi(SHUFFLE, Length::L128, narrow, mask, narrow, 0x88);
        narrow
    }

    /// x · y + z: the instruction overwrites one of its operands.
    pub(super) fn fma(&mut self, out: Reg, [x, y, z]: [Reg; 3], copy: usize) {
        let (_, length, pair) = self.form(x);
        let expires = |g: &Self, r: Reg| {
            let value = g.value(r, copy);
            g.registers.resident(value).is_some() && g.registers.expires(value)
        };
        if z != x && z != y && expires(self, z) {
            // z is overwritten: a product operand may lie in memory.
            let (first, second) =
                if self.registers.resident(self.value(x, copy)).is_some() { (x, y) } else { (y, x) };
            let (a, b, to) = (self.read(first, copy), self.read_any(second, copy), self.read(z, copy));
            self.take_over(out, z, copy);
            return self.asm.v(FMA_231[pair], length, to, a, b);
        }
        let overwritten =
            [(x, y), (y, x)].into_iter().find(|(r, other)| r != other && *r != z && expires(self, *r));
        if let Some((dying, other)) = overwritten {
            let (b, c, to) = (self.read(other, copy), self.read_any(z, copy), self.read(dying, copy));
            self.take_over(out, dying, copy);
            return self.asm.v(FMA_213[pair], length, to, b, c);
        }
        let (a, b, c) = (self.read(x, copy), self.read_any(y, copy), self.read_any(z, copy));
        let to = self.define(out, copy);
        match c {
            Rm::Reg(c) => self.asm.v1(LOAD[0], length, to, Vec(c)),
            Rm::Mem(c) => self.asm.v1(LOAD[0], length, to, c),
        }
        self.asm.v(FMA_231[pair], length, to, a, b);
    }

    /// Gives the register of an operand that dies to the result.
    fn take_over(&mut self, out: Reg, dying: Reg, copy: usize) {
        self.define_over(out, copy, &[dying]);
    }

    /// Rounds `f32` to the values of a 16-bit float dtype.
    pub(super) fn round(&mut self, to: DType, out: Reg, x: Reg, copy: usize) {
        let length = self.length(DType::F32);
        let a = self.read(x, copy);
        let result = self.define(out, copy);
        if to == DType::F16 {
            let half = self.temp();
            self.asm.vi(F32_TO_F16, length, a, UNUSED, half, 0);
            self.asm.v1(F16_TO_F32, length, result, half);
        } else {
            self.round_to_bf16(length, result, a);
        }
    }

    /// `to`, which is not `x`, holds `x` rounded to bf16, to nearest and even.
    pub(super) fn round_to_bf16(&mut self, length: Length, to: Vec, x: Vec) {
        let (one, half, high) = (self.splat(1, 4), self.splat(0x7fff, 4), self.splat(0xffff_0000, 4));
        self.asm.shift(SHIFT_RIGHT_BY[0], length, to, x, 16);
        self.asm.v(AND[0], length, to, to, one);
        self.asm.v(ADD_INT[0], length, to, to, half);
        self.asm.v(ADD_INT[0], length, to, to, x);
        self.asm.v(AND[0], length, to, to, high);
        if self.wide {
            let nan = self.mask_temp();
            self.asm.vi(COMPARE[0], length, nan, x, x, UNORDERED);
            let quiet = self.splat(0x7fc0_0000, 4);
            self.asm.vm(LOAD[0], length, to, UNUSED, quiet, Masked { by: nan.0, zero: false });
        } else {
            let nan = self.temp();
            self.asm.vi(COMPARE[0], length, nan, x, x, UNORDERED);
            self.asm.v(OR[0], length, to, to, nan);
            // All bits of a NaN but the low half.
            self.asm.v(AND[0], length, to, to, high);
        }
    }

    /// The index along an axis.
    pub(super) fn index(&mut self, out: Reg, axis: usize, copy: usize) {
        let length = self.length(DType::I64);
        let along = self.mode != Mode::Uniform && self.shape.lanes_of(self.stage) == Some(axis);
        let outer = !along || axis < self.shape.kernel.grid.len();
        let to = self.define(out, copy);
        let at = Mem::Base(CONTEXT, super::Context::index_at(axis));
        if !along {
            return self.asm.v1(BROADCAST[1], length, to, at);
        }
        self.asm.lea(SCRATCH, Mem::Base(LANE, self.lanes_before(copy) as i32));
        if outer {
            self.asm.add(SCRATCH, at.into());
        }
        let step = self.per_lane(8, |i| i);
        self.asm.move_in(to, SCRATCH);
        self.asm.v1(BROADCAST[1], length, to, to);
        self.asm.v(ADD_INT[1], length, to, to, step);
    }
}
