//! Addresses and loads.

use super::Context;
use super::asm::vector::*;
use super::asm::{Condition, Gpr, Length, Mem, Rm, UNUSED, Vec};
use super::generate::{ARGS, CONTEXT, Generator, LANE, LEFT, Mode, SCRATCH, SCRATCH_2};
use super::registers::{Class, FRAME, TAIL_MASK};
use super::shape::lane_bytes;
use smallvec::SmallVec;
use wootz_ir::DType;
use wootz_plan::kernel::{Address, ArgId, Inst, InstOp, Reg};

/// The address of lane 0 of one or several accesses, which differ by constants.
#[derive(Clone, Debug)]
pub(super) struct Base {
    /// `None` is the product that the kernel is the epilogue of.
    arg: Option<u32>,
    /// Axes, with bytes from one index to the next.
    terms: SmallVec<[(u32, i64); 4]>,
    /// An i64 register that is the same for all lanes, in elements.
    index: Option<Reg>,
    bytes: i64,
    /// An offset too large for a displacement.
    far: i64,
    /// Where it is kept during the loop over lanes.
    kept: Kept,
}

/// Where a base address is kept.
#[derive(Clone, Copy, Debug)]
pub(super) enum Kept {
    Register(Gpr),
    Frame(u32),
}

/// Registers that keep base addresses.
const BASES: [Gpr; 7] = [Gpr::RDI, Gpr::RBP, Gpr::R8, Gpr::R9, Gpr::R10, Gpr::R11, Gpr::R12];
/// Displacements beyond this are part of the base.
const NEAR: i64 = 1 << 30;

impl Generator<'_> {
    fn base(&self, arg: ArgId, at: &Address) -> Base {
        let bytes = self.shape.kernel.args[arg.0 as usize].dtype.size() as i64;
        let rank = self.shape.kernel.grid.len();
        let lane = self.shape.lanes_of(self.stage);
        let counts = |axis: usize| {
            // A stage's own lanes begin at 0; those of a grid at the tile's first.
            let begins = axis < rank || lane != Some(axis);
            at.stride(axis) != 0 && begins && self.shape.extent(self.stage, axis) > 1
        };
        let axes = (0..at.strides.len()).filter(|a| counts(*a));
        let offset = at.offset * bytes;
        Base {
            arg: Some(arg.0),
            terms: axes.map(|a| (a as u32, at.stride(a) * bytes)).collect(),
            index: at.index.filter(|r| !self.shape.info(*r).varies),
            bytes,
            far: if offset.abs() < NEAR { 0 } else { offset },
            kept: Kept::Frame(0),
        }
    }

    /// Computes the base addresses that the lanes' instructions use.
    pub(super) fn prepare_bases(&mut self, insts: &[&Inst]) {
        self.bases.clear();
        self.between = true;
        for inst in insts {
            let base = match &inst.op {
                InstOp::Load { arg, at, .. } if inst.out.is_some_and(|r| self.shape.info(r).varies) => {
                    self.base(*arg, at)
                }
                InstOp::Store { arg, at, .. } => self.base(*arg, at),
                InstOp::Tile => self.tile_base(),
                _ => continue,
            };
            if self.find(&base).is_none() {
                self.bases.push(base);
            }
        }
        for i in 0..self.bases.len() {
            let kept = match BASES.get(i) {
                Some(register) => Kept::Register(*register),
                None => Kept::Frame(self.registers.reserve(8)),
            };
            self.bases[i].kept = kept;
            let base = self.bases[i].clone();
            let to = if let Kept::Register(register) = kept { register } else { SCRATCH };
            self.compute(&base, to);
            if let Kept::Frame(at) = kept {
                self.asm.store(Mem::Base(FRAME, at as i32), to);
            }
        }
        self.between = false;
    }

    fn tile_base(&self) -> Base {
        Base { arg: None, terms: SmallVec::new(), index: None, bytes: 0, far: 0, kept: Kept::Frame(0) }
    }

    fn find(&self, wanted: &Base) -> Option<&Base> {
        let same = |b: &&Base| {
            b.arg == wanted.arg && b.index == wanted.index && b.far == wanted.far && b.terms == wanted.terms
        };
        self.bases.iter().find(same)
    }

    /// Computes a base address; uses the second scratch register.
    fn compute(&mut self, base: &Base, to: Gpr) {
        let Some(arg) = base.arg else { return self.compute_tile(to) };
        self.asm.load(to, Mem::Base(ARGS, 8 * arg as i32));
        for (axis, bytes) in &base.terms {
            let index = Mem::Base(CONTEXT, Context::index_at(*axis as usize));
            self.scaled(index, *bytes);
            self.asm.add(to, Rm::Reg(SCRATCH_2.0));
        }
        if let Some(index) = base.index {
            self.scalar(index, SCRATCH_2);
            self.asm.shl(SCRATCH_2, base.bytes.trailing_zeros() as u8);
            self.asm.add(to, Rm::Reg(SCRATCH_2.0));
        }
        if base.far != 0 {
            self.asm.mov_imm(SCRATCH_2, base.far);
            self.asm.add(to, Rm::Reg(SCRATCH_2.0));
        }
    }

    /// An index times bytes, in the second scratch register.
    fn scaled(&mut self, index: Mem, bytes: i64) {
        match i32::try_from(bytes) {
            Ok(bytes) => self.asm.imul_imm(SCRATCH_2, index.into(), bytes),
            Err(_) => {
                self.asm.mov_imm(SCRATCH_2, bytes);
                self.asm.imul(SCRATCH_2, index.into());
            }
        }
    }

    fn compute_tile(&mut self, to: Gpr) {
        self.asm.load(to, Mem::Base(CONTEXT, Context::TILE));
        self.asm.load(SCRATCH_2, Mem::Base(CONTEXT, Context::index_at(1)));
        self.asm.imul(SCRATCH_2, Mem::Base(CONTEXT, Context::TILE_ROW).into());
        self.asm.add(to, Rm::Reg(SCRATCH_2.0));
        self.asm.load(SCRATCH_2, Mem::Base(CONTEXT, Context::index_at(2)));
        self.asm.imul(SCRATCH_2, Mem::Base(CONTEXT, Context::TILE_COLUMN).into());
        self.asm.add(to, Rm::Reg(SCRATCH_2.0));
    }

    /// An i64 that is the same for all lanes.
    fn scalar(&mut self, reg: Reg, to: Gpr) {
        let value = self.value(reg, 0);
        if self.between {
            // It lies in its home.
            return match (self.literal(reg), self.homes[reg.0 as usize]) {
                (Some(memory), _) => self.asm.load(to, memory),
                (None, at) => self.asm.load(to, Mem::Base(FRAME, at.unwrap_or(0) as i32)),
            };
        }
        match self.registers.resident(value) {
            Some(register) => self.asm.move_out(to, register),
            None => {
                let from = self.lies(value).expect("a value that is used was computed");
                self.asm.load(to, from);
            }
        }
    }

    /// The register that holds a base address, loaded into a scratch register if need be.
    fn kept(&mut self, base: &Base) -> Gpr {
        match self.find(base).map(|b| b.kept) {
            Some(Kept::Register(register)) => register,
            Some(Kept::Frame(at)) => {
                self.asm.load(SCRATCH, Mem::Base(FRAME, at as i32));
                SCRATCH
            }
            None => {
                self.compute(base, SCRATCH);
                SCRATCH
            }
        }
    }

    fn displacement(&self, base: &Base, at: &Address) -> i32 {
        if base.far == 0 { (at.offset * base.bytes) as i32 } else { 0 }
    }

    /// Lane 0's element of an access whose lanes follow each other, or which is the same for all lanes.
    pub(super) fn element(&mut self, arg: ArgId, at: &Address, copy: usize) -> Mem {
        let base = self.base(arg, at);
        let disp = self.displacement(&base, at);
        if self.mode == Mode::Uniform {
            self.compute(&base, SCRATCH);
            return Mem::Base(SCRATCH, disp);
        }
        let gpr = self.kept(&base);
        let bytes = base.bytes as i32;
        Mem::Indexed(gpr, LANE, bytes.trailing_zeros() as u8, disp + self.lanes_before(copy) as i32 * bytes)
    }

    pub(super) fn load(&mut self, out: Reg, arg: ArgId, at: &Address, mask: Option<Reg>, copy: usize) {
        let stored = self.shape.kernel.args[arg.0 as usize].dtype;
        if !self.shape.info(out).varies {
            return self.load_one(stored, out, arg, at, mask);
        }
        if !self.shape.contiguous(self.stage, at) {
            return self.gather(out, arg, at, mask, copy);
        }
        let from = self.element(arg, at, copy);
        match stored.size() {
            4 | 8 => {
                let guard = self.guard(stored, mask, copy);
                let to = self.define(out, copy);
                self.load_lanes(stored, to, from, guard);
            }
            _ => {
                let to = self.define(out, copy);
                self.load_small(stored, to, from);
            }
        }
    }

    /// The lanes to load or store: `None` means all.
    pub(super) fn guard(&mut self, stored: DType, mask: Option<Reg>, copy: usize) -> Option<Vec> {
        let wanted = mask.map(|m| self.read(m, copy));
        let narrow = !self.wide && stored.size() < self.shape.lane_bytes;
        let wanted = wanted.map(|m| if narrow { self.narrow_mask(m) } else { m });
        if self.mode != Mode::Tail {
            return wanted;
        }
        if self.wide {
            let Some(wanted) = wanted else { return Some(TAIL_MASK) };
            let both = self.mask_temp();
            self.asm.v(MASK_AND, Length::L256, both, wanted, TAIL_MASK);
            return Some(both);
        }
        let tail = Mem::Base(FRAME, self.tail_masks[Self::pair(stored)] as i32);
        let length = self.length(stored);
        let both = self.temp();
        match wanted {
            None => self.asm.v1(LOAD[0], length, both, tail),
            Some(wanted) => self.asm.v(AND[0], length, both, wanted, tail),
        }
        Some(both)
    }

    fn load_lanes(&mut self, stored: DType, to: Vec, from: Mem, guard: Option<Vec>) {
        let (length, pair) = (self.length(stored), Self::pair(stored));
        match guard {
            None => self.asm.v1(LOAD[pair], length, to, from),
            Some(mask) if self.wide => {
                self.asm.vm(LOAD[pair], length, to, UNUSED, from, Masked { by: mask.0, zero: true });
            }
            Some(mask) => self.asm.v(MASKED_LOAD[pair], length, to, mask, from),
        }
    }

    /// Lanes of one or two bytes in memory, widened.
    fn load_small(&mut self, stored: DType, to: Vec, from: Mem) {
        let mut source: Rm = from.into();
        let mut masked = Masked::default();
        if self.mode == Mode::Tail {
            if self.wide {
                masked = Masked { by: TAIL_MASK.0, zero: true };
            } else {
                source = self.gather_small(stored, from).into();
            }
        }
        match stored {
            DType::U8 => {
                self.asm.vm(ZERO_EXTEND_BYTES[0], self.length(DType::U8), to, UNUSED, source, masked)
            }
            DType::F16 => self.asm.vm(F16_TO_F32, self.length(DType::F32), to, UNUSED, source, masked),
            DType::BF16 => {
                let length = self.length(DType::F32);
                self.asm.vm(ZERO_EXTEND_HALVES, length, to, UNUSED, source, masked);
                self.asm.shift(SHIFT_LEFT_BY[0], length, to, to, 16);
            }
            _ if self.wide => {
                let bytes = self.temp();
                match (self.mode, self.shape.lanes) {
                    (Mode::Tail, _) | (_, 16) => {
                        self.asm.vm(LOAD_BYTES, Length::L128, bytes, UNUSED, source, masked)
                    }
                    _ => self.asm.v1(LOAD_ONE[1], Length::L128, bytes, source),
                }
                self.asm.v(TEST_BYTES, Length::L128, to, bytes, bytes);
            }
            _ => {
                let pair = self.mask_pair();
                let (bytes, length) = (self.temp(), self.length(DType::Bool));
                self.asm.v1(ZERO_EXTEND_BYTES[pair], length, bytes, source);
                self.asm.v(XOR[0], length, to, to, to);
                self.asm.v(SUB_INT[pair], length, to, to, bytes);
            }
        }
    }

    /// The elements of a tail, one by one (AVX2).
    fn gather_small(&mut self, stored: DType, from: Mem) -> Vec {
        let to = self.zeros();
        let done = self.asm.label();
        let (op, bytes) = if stored.size() == 1 { (INSERT_BYTE, 1) } else { (INSERT_HALF, 2) };
        for lane in 0..self.shape.lanes {
            self.asm.cmp_imm(Rm::Reg(LEFT.0), lane as i32);
            self.asm.jump_if(Condition::AtMost, done);
            self.asm.vi(op, Length::L128, to, to, shifted(from, lane as i32 * bytes), lane as u8);
        }
        self.asm.bind(done);
        to
    }

    /// One element, repeated in all lanes.
    fn load_one(&mut self, stored: DType, out: Reg, arg: ArgId, at: &Address, mask: Option<Reg>) {
        let mode = std::mem::replace(&mut self.mode, Mode::Uniform);
        let wanted = mask.map(|m| self.read(m, 0));
        let to = self.define(out, 0);
        // Taken before the branch: taking a register may move what is in it.
        let bytes = self.temp();
        let skip = self.asm.label();
        if let Some(mask) = wanted {
            self.test(mask);
            match self.class(out) {
                Class::Mask => self.asm.v(MASK_XOR, Length::L256, to, to, to),
                Class::Vector(_) => self.asm.v(XOR[0], Length::L128, to, to, to),
            }
            self.asm.cmp_imm(Rm::Reg(SCRATCH.0), 0);
            self.asm.jump_if(Condition::Equal, skip);
        }
        let from = self.element(arg, at, 0);
        let (length, longest) = (self.length(stored.compute()), self.longest());
        match stored {
            DType::F32 | DType::I32 | DType::U32 | DType::F64 | DType::I64 => {
                self.asm.v1(BROADCAST[Self::pair(stored)], length, to, from);
            }
            DType::U8 => {
                self.asm.load_byte(SCRATCH, from);
                self.asm.move_in(to, SCRATCH);
                self.asm.v1(BROADCAST[0], length, to, to);
            }
            DType::Bool if self.wide => {
                self.asm.v1(BROADCAST_BYTE, Length::L128, bytes, from);
                self.asm.v(TEST_BYTES, Length::L128, to, bytes, bytes);
            }
            DType::Bool => {
                self.asm.load_byte(SCRATCH, from);
                self.asm.neg(SCRATCH);
                self.asm.move_in(to, SCRATCH);
                self.asm.v1(BROADCAST[1], longest, to, to);
            }
            DType::F16 | DType::BF16 => {
                self.asm.load_half(SCRATCH, from);
                if stored == DType::BF16 {
                    self.asm.shl(SCRATCH, 16);
                }
                self.asm.move_in(to, SCRATCH);
                if stored == DType::F16 {
                    self.asm.v1(F16_TO_F32, Length::L128, to, to);
                }
                self.asm.v1(BROADCAST[0], length, to, to);
            }
        }
        self.asm.bind(skip);
        self.mode = mode;
    }

    /// The first lane of a mask, in the scratch register: 0 is false.
    fn test(&mut self, mask: Vec) {
        if self.wide {
            self.asm.v1(MASK_TO_GPR, Length::L128, Vec(SCRATCH.0), mask);
            self.asm.mov_imm(SCRATCH_2, 1);
            self.asm.and(SCRATCH, Rm::Reg(SCRATCH_2.0));
        } else {
            self.asm.move_out(SCRATCH, mask);
        }
    }

    /// Where an access whose lanes do not follow each other begins, with the lanes' distances: a constant or computed vector
    /// of 32- or 64-bit numbers of elements.
    pub(super) fn scattered(&mut self, arg: ArgId, at: &Address, copy: usize) -> (Gpr, Vec, bool) {
        let base = self.base(arg, at);
        let stride = self.shape.lanes_of(self.stage).map_or(0, |a| at.stride(a));
        let gpr = self.kept(&base);
        let step = stride * base.bytes;
        let before = self.displacement(&base, at) as i64 + self.lanes_before(copy) as i64 * step;
        // SCRATCH = base + first lane · step + displacement
        match i32::try_from(step) {
            Ok(step) => self.asm.imul_imm(SCRATCH_2, Rm::Reg(LANE.0), step),
            Err(_) => {
                self.asm.mov_imm(SCRATCH_2, step);
                self.asm.imul(SCRATCH_2, Rm::Reg(LANE.0));
            }
        }
        self.asm.add(SCRATCH_2, Rm::Reg(gpr.0));
        match i32::try_from(before) {
            Ok(before) => self.asm.lea(SCRATCH, Mem::Base(SCRATCH_2, before)),
            Err(_) => {
                self.asm.mov_imm(SCRATCH, before);
                self.asm.add(SCRATCH, Rm::Reg(SCRATCH_2.0));
            }
        }
        let distances = self.temp();
        match at.index.filter(|r| self.shape.info(*r).varies) {
            Some(index) => {
                let index = self.read(index, copy);
                let length = self.length(DType::I64);
                let steps = self.per_lane(8, |i| i * stride);
                self.asm.v(ADD_INT[1], length, distances, index, steps);
                (SCRATCH, distances, true)
            }
            None => {
                let steps = self.per_lane(4, |i| i * stride);
                self.asm.v1(LOAD[0], self.longest(), distances, steps);
                (SCRATCH, distances, false)
            }
        }
    }

    fn gather(&mut self, out: Reg, arg: ArgId, at: &Address, mask: Option<Reg>, copy: usize) {
        let stored = self.shape.kernel.args[arg.0 as usize].dtype;
        let (pair, shift) = (Self::pair(stored), stored.size().trailing_zeros() as u8);
        let guard = self.guard(stored, mask, copy);
        let (base, distances, long) = self.scattered(arg, at, copy);
        let to = self.define(out, copy);
        let op = if long { GATHER_BY_64[pair] } else { GATHER_BY_32[pair] };
        // The length is that of the longer of indices and elements.
        let length = if long { self.length(DType::I64) } else { self.length(stored) };
        let from = Mem::Lanes(base, distances, shift);
        self.asm.v(XOR[0], Length::L128, to, to, to);
        // Gathering clears the mask.
        if self.wide {
            let lanes = self.mask_temp();
            match guard {
                Some(guard) => self.asm.v1(MASK_LOAD, Length::L128, lanes, guard),
                None => self.asm.v(MASK_XNOR, Length::L256, lanes, lanes, lanes),
            }
            self.asm.vm(op, length, to, UNUSED, from, Masked { by: lanes.0, zero: false });
        } else {
            let lanes = self.temp();
            match guard {
                Some(guard) => self.asm.v1(LOAD[0], self.length(stored), lanes, guard),
                None => self.asm.v(EQUAL_INT[0], Length::L256, lanes, lanes, lanes),
            }
            self.asm.v(op, length, to, lanes, from);
        }
    }

    pub(super) fn tile(&mut self, out: Reg, copy: usize) {
        let dtype = self.shape.dtype(out);
        let base = self.tile_base();
        let gpr = self.kept(&base);
        let bytes = lane_bytes(dtype);
        let before = (self.lanes_before(copy) * bytes) as i32;
        let from = Mem::Indexed(gpr, LANE, bytes.trailing_zeros() as u8, before);
        let guard = self.guard(dtype, None, copy);
        let to = self.define(out, copy);
        self.load_lanes(dtype, to, from, guard);
    }
}

/// A place some bytes further.
pub(super) fn shifted(mem: Mem, by: i32) -> Mem {
    match mem {
        Mem::Base(base, disp) => Mem::Base(base, disp + by),
        Mem::Indexed(base, index, shift, disp) => Mem::Indexed(base, index, shift, disp + by),
        Mem::Lanes(..) | Mem::Pool(_) => mem,
    }
}
