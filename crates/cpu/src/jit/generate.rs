//! Straight pieces of code: the instructions of a stage at one level, computed for one or more vectors of lanes side by side.

use super::asm::vector::{MASK_STORE, STORE};
use super::asm::{Assembler, Gpr, Length, Mem, POOLED, Rm, Vec};
use super::memory::Base;
use super::registers::{Class, FRAME, Registers, SLOT, Value};
use super::shape::{Level, Literal, Shape, lane_bytes};
use wootz_ir::DType;
use wootz_plan::kernel::{Inst, InstOp, Reg, Stage};

/// What a piece of code is executed for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mode {
    /// Once for all lanes, whose values are equal.
    Uniform,
    /// Whole vectors of lanes.
    Full,
    /// The lanes that are left, fewer than a vector or as many.
    Tail,
}

/// The first of the lanes being computed.
pub(super) const LANE: Gpr = Gpr::RCX;
/// How many lanes there are.
pub(super) const COUNT: Gpr = Gpr::RBX;
/// In a tail: how many lanes are left for this vector.
pub(super) const LEFT: Gpr = Gpr::RDX;
/// The pointers to the arguments.
pub(super) const ARGS: Gpr = Gpr::R14;
/// The [`super::Context`].
pub(super) const CONTEXT: Gpr = Gpr::R13;
/// Used within one instruction.
pub(super) const SCRATCH: Gpr = Gpr::RAX;
pub(super) const SCRATCH_2: Gpr = Gpr::RSI;

/// A kernel's code while it is written.
pub(super) struct Generator<'k> {
    pub(super) asm: Assembler,
    pub(super) registers: Registers,
    pub(super) shape: Shape<'k>,
    /// AVX-512.
    pub(super) wide: bool,
    /// Where the literals lie that were used.
    pub(super) pooled: std::vec::Vec<Option<Mem>>,
    /// Where uniform values, and arrays of values that cross stages, begin in the frame.
    pub(super) homes: std::vec::Vec<Option<u32>>,
    pub(super) mode: Mode,
    pub(super) stage: &'k Stage,
    pub(super) stage_index: usize,
    /// How many times [`LANES`](wootz_plan::kernel::LANES) partial results a reduction along the stage's lanes keeps: those
    /// whose result does not depend on the order may keep more.
    pub(super) spread: usize,
    /// The first vector that is computed, and how many, counted from [`LANE`].
    pub(super) first: usize,
    pub(super) copies: usize,
    pub(super) bases: std::vec::Vec<Base>,
    /// Whether code is written that belongs to no piece: nothing is in registers.
    pub(super) between: bool,
    /// Where the mask of a tail lies (AVX2): for lanes of 4 and of 8 bytes.
    pub(super) tail_masks: [u32; 2],
    /// Lines of the listing: where the code of an instruction begins, with its position in all stages' bodies.
    pub(super) lines: Option<std::vec::Vec<(usize, usize)>>,
}

impl<'k> Generator<'k> {
    /// Index into a pair of instructions for 32- and 64-bit lanes.
    #[inline]
    pub(super) fn pair(dtype: DType) -> usize {
        usize::from(lane_bytes(dtype) == 8)
    }

    /// The same for masks in vector registers.
    pub(super) fn mask_pair(&self) -> usize {
        usize::from(self.shape.lane_bytes == 8)
    }

    pub(super) fn longest(&self) -> Length {
        if self.wide { Length::L512 } else { Length::L256 }
    }

    /// The vector that holds a register's lanes. Of uniform values wider than the lanes that vary, it holds fewer lanes.
    #[inline]
    pub(super) fn length(&self, dtype: DType) -> Length {
        let bytes = if dtype == DType::Bool { self.shape.lane_bytes } else { lane_bytes(dtype) };
        Length::of(self.shape.lanes * bytes).min(self.longest())
    }

    /// Whether a dtype has fewer lanes in a vector than the kernel computes side by side.
    #[inline]
    pub(super) fn clipped(&self, dtype: DType) -> bool {
        dtype != DType::Bool && lane_bytes(dtype) > self.shape.lane_bytes
    }

    #[inline]
    pub(super) fn class(&self, reg: Reg) -> Class {
        self.registers.kinds[reg.0 as usize].class
    }

    #[inline]
    pub(super) fn value(&self, reg: Reg, copy: usize) -> Value {
        self.value_and_class(reg, copy).0
    }

    /// The value, and what kind of register holds it.
    #[inline]
    fn value_and_class(&self, reg: Reg, copy: usize) -> (Value, Class) {
        let kind = &self.registers.kinds[reg.0 as usize];
        (Value { reg, copy: if kind.varies { copy as u8 } else { 0 }, shared: !kind.varies }, kind.class)
    }

    /// The value in a register.
    #[inline]
    pub(super) fn read(&mut self, reg: Reg, copy: usize) -> Vec {
        let (value, class) = self.value_and_class(reg, copy);
        if let Some(register) = self.registers.lock(value, class) {
            return register;
        }
        let from = self.lies(value).expect("a value that is used was computed");
        self.registers.load(&mut self.asm, value, class, from)
    }

    /// The value as the last operand of an instruction.
    #[inline]
    pub(super) fn read_any(&mut self, reg: Reg, copy: usize) -> Rm {
        let (value, class) = self.value_and_class(reg, copy);
        if let Some(register) = self.registers.lock(value, class) {
            return register.into();
        }
        let from = self.lies(value).expect("a value that is used was computed");
        match self.registers.once(value, class) {
            true => from.into(),
            false => self.registers.load(&mut self.asm, value, class, from).into(),
        }
    }

    /// Where a value lies in memory that is in no register.
    pub(super) fn lies(&mut self, value: Value) -> Option<Mem> {
        match self.registers.slot(value) {
            Some(slot) => Some(slot),
            None => self.outside(value.reg, usize::from(value.copy)),
        }
    }

    /// A register for a result that is written before all operands are read.
    #[inline]
    pub(super) fn define(&mut self, reg: Reg, copy: usize) -> Vec {
        let (value, class) = self.value_and_class(reg, copy);
        self.registers.define(&mut self.asm, value, class)
    }

    /// A register for the result of one instruction on these operands.
    #[inline]
    pub(super) fn define_over(&mut self, reg: Reg, copy: usize, operands: &[Reg]) -> Vec {
        let (value, class) = self.value_and_class(reg, copy);
        for operand in operands {
            let (operand, other) = self.value_and_class(*operand, copy);
            if other == class
                && let Some(register) = self.registers.inherit(value, class, operand)
            {
                return register;
            }
        }
        self.registers.define(&mut self.asm, value, class)
    }

    pub(super) fn temp(&mut self) -> Vec {
        let class = Class::Vector(self.longest());
        self.registers.temp(&mut self.asm, class)
    }

    pub(super) fn mask_temp(&mut self) -> Vec {
        self.registers.temp(&mut self.asm, Class::Mask)
    }

    /// A constant in every lane of 1, 4 or 8 bytes.
    pub(super) fn splat(&mut self, bits: u64, bytes: usize) -> Mem {
        self.asm.splat(match bytes {
            1 => (bits & 0xff) * 0x0101_0101_0101_0101,
            4 => (bits & 0xffff_ffff) * 0x1_0000_0001,
            _ => bits,
        })
    }

    /// A vector constant with `f(i)` in lane i.
    pub(super) fn per_lane(&mut self, bytes: usize, f: impl Fn(i64) -> i64) -> Mem {
        let mut constant = [0; POOLED];
        for (i, lane) in constant.chunks_exact_mut(bytes).enumerate() {
            lane.copy_from_slice(&f(i as i64).to_le_bytes()[..bytes]);
        }
        self.asm.constant(constant)
    }

    /// The sign bit of a float dtype, in every lane.
    pub(super) fn sign_bit(&mut self, dtype: DType) -> Mem {
        let bytes = lane_bytes(dtype);
        self.splat(1 << (8 * bytes - 1), bytes)
    }

    /// All bits set.
    pub(super) fn ones(&mut self) -> Mem {
        self.splat(u64::MAX, 8)
    }

    /// Lanes between [`LANE`] and the first lane of a copy.
    pub(super) fn lanes_before(&self, copy: usize) -> usize {
        (self.first + copy) * self.shape.lanes
    }

    /// Where a literal lies.
    pub(super) fn literal(&mut self, reg: Reg) -> Option<Mem> {
        let literal = self.shape.literals[reg.0 as usize]?;
        if let Some(mem) = self.pooled[reg.0 as usize] {
            return Some(mem);
        }
        let dtype = self.shape.dtype(reg);
        let bits = match (literal, dtype) {
            (Literal::Float(v), DType::F64) => v.to_bits(),
            (Literal::Float(v), _) => u64::from((v as f32).to_bits()),
            (Literal::Int(v), DType::Bool) => {
                if v == 0 {
                    0
                } else {
                    u64::MAX
                }
            }
            (Literal::Int(v), DType::U8) => v as u64 & 0xff,
            (Literal::Int(v), _) => v as u64,
        };
        let mem = self.splat(bits, lane_bytes(dtype));
        self.pooled[reg.0 as usize] = Some(mem);
        Some(mem)
    }

    /// Where a value lies that the piece of code does not compute itself.
    fn outside(&mut self, reg: Reg, copy: usize) -> Option<Mem> {
        if self.shape.info(reg).level == Level::Literal {
            return self.literal(reg);
        }
        let at = self.homes[reg.0 as usize]? as i32;
        if !self.shape.info(reg).varies {
            return Some(Mem::Base(FRAME, at));
        }
        let bytes = self.home_lane(reg);
        let before = (self.lanes_before(copy) * bytes) as i32;
        Some(Mem::Indexed(FRAME, LANE, bytes.trailing_zeros() as u8, at + before))
    }

    /// Writes a piece of code: `insts` for `copies` vectors of which the first is `first` vectors after [`LANE`], then what
    /// `end` adds for each register in `also` and each copy.
    pub(super) fn piece(
        &mut self,
        insts: &[&'k Inst],
        mode: Mode,
        first: usize,
        copies: usize,
        also: &[Reg],
        end: impl FnMut(&mut Self, usize, usize),
    ) {
        self.registers.read(insts, also, self.stage_index);
        self.pass(insts, mode, first, copies, also, end);
    }

    /// The same for a piece of code that was [read](Registers::read).
    pub(super) fn pass(
        &mut self,
        insts: &[&'k Inst],
        mode: Mode,
        first: usize,
        copies: usize,
        also: &[Reg],
        mut end: impl FnMut(&mut Self, usize, usize),
    ) {
        (self.mode, self.first, self.copies) = (mode, first, copies);
        self.registers.begin(copies, self.registers.frame_bytes);
        let mut extreme = None;
        for (position, inst) in insts.iter().enumerate() {
            let copies = if inst.out.is_some_and(|r| !self.shape.info(r).varies) { 1 } else { copies };
            self.line(inst);
            let before = extreme.take();
            extreme = insts.get(position + 1).and_then(|next| self.extreme_with(inst, next));
            for copy in 0..copies {
                self.registers.advance(position, copy);
                match (before, inst.out) {
                    // The instruction after it computes what it is for.
                    _ if extreme.is_some() => {}
                    (Some(before), Some(out)) => self.selected(before, out, copy),
                    _ => self.inst(inst, copy),
                }
                self.keep(inst, copy);
                self.registers.retire(inst.out);
            }
        }
        for i in 0..also.len() {
            for copy in 0..copies {
                self.registers.advance(insts.len() + i, copy);
                end(self, i, copy);
                self.registers.retire(None);
            }
        }
    }

    /// Stores a result that is used outside of this piece of code.
    pub(super) fn keep(&mut self, inst: &Inst, copy: usize) {
        let Some(out) = inst.out else { return };
        let Some(home) = self.homes[out.0 as usize] else { return };
        let Some(register) = self.registers.resident(self.value(out, copy)) else { return };
        let class = self.class(out);
        let to = match self.shape.info(out).varies {
            false => Mem::Base(FRAME, home as i32),
            true => {
                let bytes = self.home_lane(out);
                let before = (self.lanes_before(copy) * bytes) as i32;
                Mem::Indexed(FRAME, LANE, bytes.trailing_zeros() as u8, home as i32 + before)
            }
        };
        match class {
            Class::Vector(length) => self.asm.v1(STORE[0], length, register, to),
            Class::Mask => self.asm.v1(MASK_STORE, Length::L128, register, to),
        }
        let value = self.value(out, copy);
        self.registers.set_kept(value);
    }

    /// Bytes of a lane of a value that crosses stages, in the frame. Masks are as wide as the widest lanes.
    fn home_lane(&self, reg: Reg) -> usize {
        match self.shape.dtype(reg) {
            DType::Bool => self.shape.lane_bytes,
            dtype => lane_bytes(dtype),
        }
    }

    pub(super) fn line(&mut self, inst: &Inst) {
        let Some(lines) = &mut self.lines else { return };
        let before: usize = self.shape.kernel.stages[..self.stage_index].iter().map(|s| s.body.len()).sum();
        let within = self.stage.body.iter().position(|i| std::ptr::eq(i, inst));
        lines.extend(within.map(|within| (self.asm.position(), before + within)));
    }

    pub(super) fn inst(&mut self, inst: &Inst, copy: usize) {
        let Some(out) = inst.out else {
            if let InstOp::Store { arg, at, value } = &inst.op {
                self.store(*arg, at, *value, copy);
            }
            return;
        };
        match &inst.op {
            InstOp::Float(_) | InstOp::Int(_) => self.mask_literal(out, copy),
            InstOp::Index(axis) => self.index(out, *axis as usize, copy),
            InstOp::Load { arg, at, mask } => self.load(out, *arg, at, *mask, copy),
            InstOp::Tile => self.tile(out, copy),
            InstOp::Unary(op, x) => self.unary(*op, out, *x, copy),
            InstOp::Sigmoid(_) => {
                unreachable!("kernels with it are declined: it is to be written out before")
            }
            InstOp::Binary(op, x, y) => self.binary(*op, out, *x, *y, copy),
            InstOp::Compare(op, x, y) => self.compare(*op, out, *x, *y, copy),
            InstOp::Select(c, x, y) => self.select(out, *c, *x, *y, copy),
            InstOp::Fma(x, y, z) => self.fma(out, [*x, *y, *z], copy),
            InstOp::Cast(x) => self.cast(out, *x, copy),
            // Registers hold bits: nothing to do.
            InstOp::Bitcast(x) => self.same(out, *x, copy),
            InstOp::Round(to, x) => self.round(*to, out, *x, copy),
            InstOp::Store { .. } => {}
        }
    }

    /// Reserves the places of values that outlive the piece of code that computes them: a slot for a uniform value, `width`
    /// lanes for one that varies.
    pub(super) fn reserve_homes(&mut self, width: usize) {
        for i in 0..self.shape.infos.len() {
            let info = self.shape.infos[i];
            let bytes = match info.varies {
                true if info.crosses => (width * self.home_lane(Reg(i as u32))) as u32,
                false if info.level == Level::Literal => continue,
                false if info.level < Level::Lanes || info.crosses => SLOT,
                _ => continue,
            };
            self.homes[i] = Some(self.registers.reserve(bytes));
        }
    }
}
