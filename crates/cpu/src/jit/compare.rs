//! Comparisons, whose results are masks.

use super::asm::vector::*;
use super::asm::{Length, Vec};
use super::generate::Generator;
use super::shape::lane_bytes;
use wootz_ir::DType;
use wootz_ir::ops::Compare;
use wootz_plan::kernel::Reg;

/// The predicate of a comparison of floats: ordered, except ≠; quiet.
fn float_predicate(op: Compare) -> u8 {
    match op {
        Compare::Eq => 0,
        Compare::Ne => 4,
        Compare::Lt => 0x11,
        Compare::Le => 0x12,
        Compare::Gt => 0x1e,
        Compare::Ge => 0x1d,
    }
}

/// The predicate of a comparison of integers (AVX-512).
fn int_predicate(op: Compare) -> u8 {
    match op {
        Compare::Eq => 0,
        Compare::Lt => 1,
        Compare::Le => 2,
        Compare::Ne => 4,
        Compare::Ge => 5,
        Compare::Gt => 6,
    }
}

impl Generator<'_> {
    pub(super) fn compare(&mut self, op: Compare, out: Reg, x: Reg, y: Reg, copy: usize) {
        let (dtype, length, pair) = self.form(x);
        if dtype == DType::Bool {
            return self.compare_bools(op, out, x, y, copy);
        }
        if self.wide {
            let (a, b) = (self.read(x, copy), self.read_any(y, copy));
            let to = self.define(out, copy);
            match dtype {
                _ if dtype.is_float() => self.asm.vi(COMPARE[pair], length, to, a, b, float_predicate(op)),
                DType::U32 => self.asm.vi(COMPARE_UNSIGNED, length, to, a, b, int_predicate(op)),
                _ => self.asm.vi(COMPARE_INT[pair], length, to, a, b, int_predicate(op)),
            }
            if self.clipped(dtype) {
                self.widen_mask(to);
            }
            return;
        }
        let to = if dtype.is_float() {
            let (a, b) = (self.read(x, copy), self.read_any(y, copy));
            let to = self.define(out, copy);
            self.asm.vi(COMPARE[pair], length, to, a, b, float_predicate(op));
            to
        } else {
            self.compare_ints(op, out, x, y, copy)
        };
        if lane_bytes(dtype) < self.shape.lane_bytes {
            self.asm.v1(SIGN_EXTEND, self.longest(), to, to);
        }
    }

    /// Of a mask whose lanes are equal, all of them.
    pub(super) fn widen_mask(&mut self, mask: Vec) {
        let all = self.temp();
        self.asm.v1(MASK_TO_LANES[1], Length::L512, all, mask);
        self.asm.v(TEST[0], Length::L512, mask, all, all);
    }

    /// Comparisons of integers from "equal" and "greater" (AVX2).
    fn compare_ints(&mut self, op: Compare, out: Reg, x: Reg, y: Reg, copy: usize) -> Vec {
        let (dtype, length, pair) = self.form(x);
        let (mut a, mut b) = (self.read(x, copy), self.read(y, copy));
        let equality = matches!(op, Compare::Eq | Compare::Ne);
        if dtype == DType::U32 && !equality {
            let sign = self.splat(1 << 31, 4);
            let (p, q) = (self.temp(), self.temp());
            self.asm.v(XOR[0], length, p, a, sign);
            self.asm.v(XOR[0], length, q, b, sign);
            (a, b) = (p, q);
        }
        let to = self.define(out, copy);
        let (test, first, second, negated) = match op {
            Compare::Eq => (EQUAL_INT[pair], a, b, false),
            Compare::Ne => (EQUAL_INT[pair], a, b, true),
            Compare::Gt => (GREATER_INT[pair], a, b, false),
            Compare::Le => (GREATER_INT[pair], a, b, true),
            Compare::Lt => (GREATER_INT[pair], b, a, false),
            Compare::Ge => (GREATER_INT[pair], b, a, true),
        };
        self.asm.v(test, length, to, first, second);
        if negated {
            let ones = self.ones();
            self.asm.v(XOR[0], length, to, to, ones);
        }
        to
    }

    /// false < true.
    fn compare_bools(&mut self, op: Compare, out: Reg, x: Reg, y: Reg, copy: usize) {
        let (a, b) = (self.read(x, copy), self.read(y, copy));
        let to = self.define(out, copy);
        let (and_not, xor) = if self.wide { (MASK_AND_NOT, MASK_XOR) } else { (AND_NOT[0], XOR[0]) };
        let length = if self.wide { Length::L256 } else { self.length(DType::Bool) };
        let (join, first, second, negated) = match op {
            Compare::Eq => (xor, a, b, true),
            Compare::Ne => (xor, a, b, false),
            Compare::Lt => (and_not, a, b, false),
            Compare::Ge => (and_not, a, b, true),
            Compare::Gt => (and_not, b, a, false),
            Compare::Le => (and_not, b, a, true),
        };
        self.asm.v(join, length, to, first, second);
        match (negated, self.wide) {
            (false, _) => {}
            (true, true) => self.asm.v1(MASK_NOT, Length::L128, to, to),
            (true, false) => {
                let ones = self.ones();
                self.asm.v(XOR[0], length, to, to, ones);
            }
        }
    }
}
