//! Stores.

use super::asm::vector::*;
use super::asm::{Condition, Gpr, Length, Mem, Rm, UNUSED, Vec};
use super::generate::{Generator, LEFT, Mode, SCRATCH_2};
use super::memory::shifted;
use super::registers::TAIL_MASK;
use wootz_ir::DType;
use wootz_plan::kernel::{Address, ArgId, Reg};

impl Generator<'_> {
    pub(super) fn store(&mut self, arg: ArgId, at: &Address, value: Reg, copy: usize) {
        let stored = self.shape.kernel.args[arg.0 as usize].dtype;
        if self.mode == Mode::Uniform {
            return self.store_one(stored, arg, at, value);
        }
        if !self.shape.contiguous(self.stage, at) {
            return self.scatter(arg, at, value, copy);
        }
        let x = self.read(value, copy);
        match stored.size() {
            4 | 8 => {
                let guard = self.guard(stored, None, copy);
                let to = self.element(arg, at, copy);
                let (length, pair) = (self.length(stored), Self::pair(stored));
                match guard {
                    None => self.asm.v1(STORE[pair], length, x, to),
                    Some(mask) if self.wide => {
                        self.asm.vm(STORE[pair], length, x, UNUSED, to, Masked { by: mask.0, zero: false });
                    }
                    Some(mask) => self.asm.v(MASKED_STORE[pair], length, x, mask, to),
                }
            }
            _ if self.wide => self.store_small_wide(stored, x, arg, at, copy),
            _ => self.store_small(stored, x, arg, at, copy),
        }
    }

    /// Lanes of one or two bytes in memory (AVX-512).
    fn store_small_wide(&mut self, stored: DType, x: Vec, arg: ArgId, at: &Address, copy: usize) {
        let to = self.element(arg, at, copy);
        let tail = if self.mode == Mode::Tail { TAIL_MASK.0 } else { 0 };
        let masked = Masked { by: tail, zero: false };
        let length = self.length(DType::F32);
        match stored {
            DType::U8 => self.asm.vm(NARROW_TO_BYTES[0], length, x, UNUSED, to, masked),
            DType::F16 => {
                let half = self.temp();
                self.asm.vi(F32_TO_F16, length, x, UNUSED, half, 0);
                self.asm.vm(STORE_HALVES, Length::of(2 * self.shape.lanes), half, UNUSED, to, masked);
            }
            DType::BF16 => {
                let half = self.temp();
                self.round_to_bf16(length, half, x);
                self.asm.shift(SHIFT_RIGHT_BY[0], length, half, half, 16);
                self.asm.vm(NARROW_TO_HALVES, length, half, UNUSED, to, masked);
            }
            _ => {
                let bytes = self.temp();
                let one = self.splat(1, 1);
                self.asm.v1(MASK_TO_BYTES, Length::L128, bytes, x);
                self.asm.v(AND[0], Length::L128, bytes, bytes, one);
                match (tail, self.shape.lanes) {
                    (0, 8) => self.asm.v1(STORE_ONE[1], Length::L128, bytes, to),
                    _ => self.asm.vm(STORE_BYTES, Length::L128, bytes, UNUSED, to, masked),
                }
            }
        }
    }

    /// Lanes of one or two bytes in memory (AVX2).
    fn store_small(&mut self, stored: DType, x: Vec, arg: ArgId, at: &Address, copy: usize) {
        let (packed, upper) = (self.temp(), self.temp());
        let length = self.length(DType::F32);
        match stored {
            DType::F16 => self.asm.vi(F32_TO_F16, length, x, UNUSED, packed, 0),
            DType::BF16 => {
                self.round_to_bf16(length, packed, x);
                self.asm.shift(SHIFT_RIGHT_BY[0], length, packed, packed, 16);
                self.halves_of(PACK_UNSIGNED, length, packed, packed, upper);
            }
            DType::U8 => {
                self.halves_of(PACK_UNSIGNED, length, packed, x, upper);
                self.asm.v(PACK_UNSIGNED_BYTES, Length::L128, packed, packed, packed);
            }
            _ => {
                let one = self.splat(1, 1);
                let mask = if self.shape.lane_bytes == 8 { self.narrow_mask(x) } else { x };
                self.halves_of(PACK_SIGNED, length, packed, mask, upper);
                self.asm.v(PACK_SIGNED_BYTES, Length::L128, packed, packed, packed);
                self.asm.v(AND[0], Length::L128, packed, packed, one);
            }
        }
        let to = self.element(arg, at, copy);
        let bytes = stored.size();
        if self.mode == Mode::Tail {
            let op = if bytes == 1 { EXTRACT_BYTE } else { EXTRACT_HALF };
            return self.store_each(op, packed, to, bytes);
        }
        match bytes * self.shape.lanes {
            16 => self.asm.v1(STORE[0], Length::L128, packed, to),
            8 => self.asm.v1(STORE_ONE[1], Length::L128, packed, to),
            _ => self.asm.v1(STORE_ONE[0], Length::L128, packed, to),
        }
    }

    /// Packs the halves of a vector into its lower half.
    fn halves_of(&mut self, pack: VectorOp, length: Length, to: Vec, x: Vec, upper: Vec) {
        if length == Length::L256 {
            self.asm.vi(EXTRACT_128, Length::L256, x, UNUSED, upper, 1);
            self.asm.v(pack, Length::L128, to, x, upper);
        } else {
            self.asm.v(pack, Length::L128, to, x, x);
        }
    }

    /// The lanes of a tail, one by one.
    fn store_each(&mut self, op: VectorOp, x: Vec, to: Mem, bytes: usize) {
        let done = self.asm.label();
        for lane in 0..self.shape.lanes {
            self.asm.cmp_imm(Rm::Reg(LEFT.0), lane as i32);
            self.asm.jump_if(Condition::AtMost, done);
            self.asm.vi(op, Length::L128, x, UNUSED, shifted(to, (lane * bytes) as i32), lane as u8);
        }
        self.asm.bind(done);
    }

    /// The first lane.
    fn store_one(&mut self, stored: DType, arg: ArgId, at: &Address, value: Reg) {
        let x = self.read(value, 0);
        let length = self.length(DType::F32);
        let (from, op, lane) = match stored {
            DType::F32 | DType::I32 | DType::U32 | DType::F64 | DType::I64 => {
                let to = self.element(arg, at, 0);
                return self.asm.v1(STORE_ONE[Self::pair(stored)], Length::L128, x, to);
            }
            DType::U8 => (x, EXTRACT_BYTE, 0),
            DType::F16 => {
                let half = self.temp();
                self.asm.vi(F32_TO_F16, length, x, UNUSED, half, 0);
                (half, EXTRACT_HALF, 0)
            }
            DType::BF16 => {
                let half = self.temp();
                self.round_to_bf16(length, half, x);
                // The upper half of the lane.
                (half, EXTRACT_HALF, 1)
            }
            DType::Bool => {
                let one = self.splat(1, 8);
                let byte = self.temp();
                match self.wide {
                    true => self.asm.vm(LOAD[0], length, byte, UNUSED, one, Masked { by: x.0, zero: true }),
                    false => self.asm.v(AND[0], length, byte, x, one),
                }
                (byte, EXTRACT_BYTE, 0)
            }
        };
        let to = self.element(arg, at, 0);
        self.asm.vi(op, Length::L128, from, UNUSED, to, lane);
    }

    /// Lanes of four or eight bytes that do not follow each other.
    fn scatter(&mut self, arg: ArgId, at: &Address, value: Reg, copy: usize) {
        let stored = self.shape.kernel.args[arg.0 as usize].dtype;
        let (pair, shift) = (Self::pair(stored), stored.size().trailing_zeros() as u8);
        let x = self.read(value, copy);
        let (base, distances, long) = self.scattered(arg, at, copy);
        if self.wide {
            let lanes = self.mask_temp();
            match self.mode {
                Mode::Tail => self.asm.v1(MASK_LOAD, Length::L128, lanes, TAIL_MASK),
                _ => self.asm.v(MASK_XNOR, Length::L256, lanes, lanes, lanes),
            }
            let op = if long { SCATTER_BY_64[pair] } else { SCATTER_BY_32[pair] };
            let length = if long { self.length(DType::I64) } else { self.length(stored) };
            let to = Mem::Lanes(base, distances, shift);
            return self.asm.vm(op, length, x, UNUSED, to, Masked { by: lanes.0, zero: false });
        }
        self.scatter_each(stored, x, base, distances, long);
    }

    /// The same without an instruction for it (AVX2).
    fn scatter_each(&mut self, stored: DType, x: Vec, base: Gpr, distances: Vec, long: bool) {
        let (pair, shift) = (Self::pair(stored), stored.size().trailing_zeros() as u8);
        let done = self.asm.label();
        let (index, part) = (self.temp(), self.temp());
        let index_pair = usize::from(long);
        for lane in 0..self.shape.lanes {
            if self.mode == Mode::Tail {
                self.asm.cmp_imm(Rm::Reg(LEFT.0), lane as i32);
                self.asm.jump_if(Condition::AtMost, done);
            }
            let of = |bytes: usize| (lane * bytes / 16, (lane * bytes % 16 / bytes) as u8);
            let (half, position) = of(4 + 4 * index_pair);
            self.asm.vi(EXTRACT_128, Length::L256, distances, UNUSED, index, half as u8);
            self.asm.vi(EXTRACT[index_pair], Length::L128, index, UNUSED, Rm::Reg(SCRATCH_2.0), position);
            if !long {
                self.asm.sign_extend(SCRATCH_2);
            }
            let (half, position) = of(stored.size());
            self.asm.vi(EXTRACT_128, Length::L256, x, UNUSED, part, half as u8);
            let to = Mem::Indexed(base, SCRATCH_2, shift, 0);
            self.asm.vi(EXTRACT[pair], Length::L128, part, UNUSED, to, position);
        }
        self.asm.bind(done);
    }
}
