//! Reductions, in the order that [`Kernel`](wootz_plan::Kernel) documents.

use super::arith::UNORDERED;
use super::asm::vector::*;
use super::asm::{Condition, Length, Mem, Rm, UNUSED, Vec};
use super::generate::{Generator, LANE, Mode, SCRATCH};
use super::registers::{Class, FRAME, TAIL_MASK};
use super::shape::lane_bytes;
use wootz_ir::DType;
use wootz_plan::kernel::{AccKind, Accumulate, LANES, Reg};

/// Vectors of partial results that hide the latency of an extreme.
const IN_FLIGHT: usize = 8;

/// Partial results of a reduction along a stage's lanes.
pub(super) struct Partials {
    kind: AccKind,
    /// The dtype of a lane of partial results.
    dtype: DType,
    /// What is reduced, and what it is reduced to.
    pub(super) value: Reg,
    out: Reg,
    /// Where they lie in the frame.
    at: u32,
    /// The registers that hold them during the loop.
    held: std::vec::Vec<Vec>,
    /// The mask register that says in which lanes NaN was among the values so far, which the partial results in registers then
    /// say nothing of (extremes of floats, AVX-512).
    nan: Option<Vec>,
}

impl Generator<'_> {
    /// Vectors that hold the partial results of a reduction along lanes.
    pub(super) fn partial_vectors(&self) -> usize {
        LANES * self.spread / self.shape.lanes
    }

    /// Sets how many partial results the reductions of a stage keep, whose innermost loop has `count` iterations: enough to
    /// hide the latency of combining them, where their order does not show.
    pub(super) fn spread_partials(&mut self, reductions: &[Accumulate], count: usize) {
        self.spread = 1;
        let open = |acc: &Accumulate| match acc.kind {
            AccKind::Sum | AccKind::Prod => !self.shape.dtype(acc.value).is_float(),
            _ => true,
        };
        if reductions.is_empty() || !reductions.iter().all(open) {
            return;
        }
        let (vectors, most) = (LANES / self.shape.lanes, self.most_partials() / reductions.len());
        while vectors * self.spread < IN_FLIGHT && 2 * vectors * self.spread <= most {
            // No more than a vector or so is left over, or little of many.
            let step = 2 * self.spread * LANES;
            if count < 2 * step || (count % step >= LANES && count < 16 * step) {
                break;
            }
            self.spread *= 2;
        }
    }

    /// Most vectors of partial results that stay in registers.
    fn most_partials(&self) -> usize {
        if self.wide { 16 } else { 8 }
    }

    /// The dtype that partial results are kept in: masks become integers.
    fn kept_dtype(&self, dtype: DType) -> DType {
        if dtype == DType::Bool && self.wide { DType::I32 } else { dtype }
    }

    fn partial_bytes(&self, dtype: DType) -> usize {
        if dtype == DType::Bool { self.shape.lane_bytes } else { lane_bytes(dtype) }
    }

    /// The bits of the neutral element, in lanes of that dtype.
    fn neutral(&mut self, kind: AccKind, dtype: DType) -> Mem {
        let float = |single: f32, double: f64| match dtype {
            DType::F64 => double.to_bits(),
            _ => u64::from(single.to_bits()),
        };
        let is_float = dtype.is_float();
        let bits = match (kind, dtype) {
            (AccKind::All, _) | (AccKind::Min, DType::Bool) => u64::MAX,
            (AccKind::Sum | AccKind::Any | AccKind::ArgMax | AccKind::ArgMin, _)
            | (AccKind::Max, DType::Bool) => 0,
            (AccKind::Prod, _) if is_float => float(1.0, 1.0),
            (AccKind::Prod, _) => 1,
            (AccKind::Max, _) if is_float => float(f32::NEG_INFINITY, f64::NEG_INFINITY),
            (AccKind::Min, _) if is_float => float(f32::INFINITY, f64::INFINITY),
            (AccKind::Max, DType::I32) => i32::MIN as u64,
            (AccKind::Min, DType::I32) => i32::MAX as u64,
            (AccKind::Max, DType::I64) => i64::MIN as u64,
            (AccKind::Min, DType::I64) => i64::MAX as u64,
            (AccKind::Max, _) => 0,
            (AccKind::Min, _) => u64::MAX,
        };
        let bytes = self.partial_bytes(dtype);
        self.splat(bits, bytes)
    }

    /// Sets the partial results to the neutral element. `hold` lets them stay in registers if there are enough.
    pub(super) fn begin_partials(
        &mut self,
        reductions: &[Accumulate],
        hold: bool,
    ) -> std::vec::Vec<Partials> {
        let vectors = self.partial_vectors();
        let hold = hold && vectors * reductions.len() <= self.most_partials();
        let mut all = vec![];
        for acc in reductions {
            let source = self.shape.dtype(acc.value);
            let kind = match (acc.kind, source) {
                (AccKind::Max, DType::Bool) => AccKind::Any,
                (AccKind::Min, DType::Bool) => AccKind::All,
                (kind, _) => kind,
            };
            let dtype = self.kept_dtype(source);
            let (length, bytes) = (self.length(dtype), self.partial_bytes(dtype));
            let at = self.registers.reserve((LANES * self.spread * bytes) as u32);
            let neutral = self.neutral(kind, dtype);
            let mut held = vec![];
            for step in 0..vectors {
                match hold.then(|| self.registers.hold(None)).flatten() {
                    Some(register) => {
                        self.asm.v1(LOAD[0], length, register, neutral);
                        held.push(register);
                    }
                    None => {
                        self.asm.v1(LOAD[0], length, Vec(0), neutral);
                        self.asm.v1(STORE[0], length, Vec(0), self.partial(at, bytes, step));
                    }
                }
            }
            let extreme = dtype.is_float() && matches!(kind, AccKind::Max | AccKind::Min);
            let tells_nan = extreme && self.wide && !held.is_empty();
            let nan = if tells_nan { self.registers.hold_mask() } else { None };
            if let Some(nan) = nan {
                self.asm.v(MASK_XOR, Length::L256, nan, nan, nan);
            }
            all.push(Partials { kind, dtype, value: acc.value, out: acc.out, at, held, nan });
        }
        all
    }

    fn partial(&self, at: u32, bytes: usize, step: usize) -> Mem {
        Mem::Base(FRAME, at as i32 + (step * self.shape.lanes * bytes) as i32)
    }

    /// Takes a vector of values into the partial results; called at the end of a piece of code.
    pub(super) fn fold(&mut self, partials: &Partials, copy: usize) {
        let (dtype, bytes) = (partials.dtype, self.partial_bytes(partials.dtype));
        let length = self.length(dtype);
        let x = self.reduced_value(partials.value, copy);
        if self.mode == Mode::Tail {
            return self.fold_tail(partials, x, length);
        }
        let step = (self.first + copy) % self.partial_vectors();
        if let Some(&register) = partials.held.get(step) {
            return match partials.nan {
                Some(nan) => self.fold_number(partials, nan, register, x),
                None => self.combine(partials.kind, dtype, length, register, register, x),
            };
        }
        let place = self.partial(partials.at, bytes, step);
        let partial = self.temp();
        self.asm.v1(LOAD[0], length, partial, place);
        self.combine(partials.kind, dtype, length, partial, partial, x);
        self.asm.v1(STORE[0], length, partial, place);
    }

    /// Takes the numbers of a vector into the extremes in a register, and where there is NaN instead into the mask.
    fn fold_number(&mut self, partials: &Partials, nan: Vec, register: Vec, x: Vec) {
        let (length, pair) = (self.length(partials.dtype), Self::pair(partials.dtype));
        let own = self.mask_temp();
        self.asm.vi(COMPARE[pair], length, own, x, x, UNORDERED);
        self.asm.v(MASK_OR, Length::L256, nan, nan, own);
        let range = Self::range(partials.kind == AccKind::Max);
        self.asm.vi(RANGE[pair], length, register, register, x, range);
    }

    /// The value to reduce as a vector.
    fn reduced_value(&mut self, value: Reg, copy: usize) -> Vec {
        let x = self.read(value, copy);
        if self.class(value) != Class::Mask {
            return x;
        }
        let lanes = self.temp();
        self.asm.v1(MASK_TO_LANES[0], self.length(DType::I32), lanes, x);
        lanes
    }

    /// A tail begins at a multiple of [`LANES`]; lanes beyond its end keep their partial results.
    fn fold_tail(&mut self, partials: &Partials, x: Vec, length: Length) {
        let bytes = self.partial_bytes(partials.dtype);
        let pair = usize::from(bytes == 8);
        self.asm.mov(SCRATCH, LANE);
        self.asm.and_imm(Rm::Reg(SCRATCH.0), LANES as i32 - 1);
        let place = Mem::Indexed(FRAME, SCRATCH, bytes.trailing_zeros() as u8, partials.at as i32);
        let partial = self.temp();
        self.asm.v1(LOAD[0], length, partial, place);
        self.combine(partials.kind, partials.dtype, length, partial, partial, x);
        if self.wide {
            self.asm.vm(STORE[pair], length, partial, UNUSED, place, Masked { by: TAIL_MASK.0, zero: false });
        } else {
            let mask = self.temp();
            let tail = Mem::Base(FRAME, self.tail_masks[pair] as i32);
            self.asm.v1(LOAD[0], length, mask, tail);
            self.asm.v(MASKED_STORE[pair], length, partial, mask, place);
        }
    }

    /// to = a combined with b; `to` may be `a`.
    fn combine(&mut self, kind: AccKind, dtype: DType, length: Length, to: Vec, a: Vec, b: Vec) {
        let pair = usize::from(self.partial_bytes(dtype) == 8);
        let float = dtype.is_float();
        match kind {
            AccKind::Sum if float => self.asm.v(ADD[pair], length, to, a, b),
            AccKind::Sum => self.asm.v(ADD_INT[pair], length, to, a, b),
            AccKind::Prod if float => self.asm.v(MUL[pair], length, to, a, b),
            AccKind::Prod if pair == 0 || self.wide => self.asm.v(MUL_INT[pair], length, to, a, b),
            AccKind::Any => self.asm.v(OR[0], length, to, a, b),
            AccKind::All => self.asm.v(AND[0], length, to, a, b),
            AccKind::Max | AccKind::Min | AccKind::Prod | AccKind::ArgMax | AccKind::ArgMin => {
                let result = self.temp();
                match kind {
                    AccKind::Prod => self.long_product_of(length, result, a, b),
                    _ if float => self.extreme_of(kind == AccKind::Max, (length, pair), result, a, b),
                    _ => self.int_extreme_of(kind == AccKind::Max, dtype, length, result, a, b),
                }
                self.asm.v1(LOAD[0], length, to, result);
            }
        }
    }

    /// Puts NaN into partial results in registers where it was among the values.
    fn complete(&mut self, partials: &mut Partials) {
        let (Some(nan), Some(first)) = (partials.nan.take(), partials.held.first()) else { return };
        let (length, value) = (self.length(partials.dtype), self.nan(partials.dtype));
        let mask = Masked { by: nan.0, zero: false };
        self.asm.vm(LOAD[Self::pair(partials.dtype)], length, *first, UNUSED, value, mask);
    }

    /// Lets partial results that are in registers lie in the frame, for what follows the loop over whole vectors.
    pub(super) fn park_partials(&mut self, all: &mut [Partials]) {
        for partials in all {
            self.complete(partials);
            let bytes = self.partial_bytes(partials.dtype);
            let length = self.length(partials.dtype);
            for (step, register) in std::mem::take(&mut partials.held).into_iter().enumerate() {
                self.asm.v1(STORE[0], length, register, self.partial(partials.at, bytes, step));
            }
        }
    }

    /// Combines the partial results pairwise and stores the result to its home.
    pub(super) fn join_partials(&mut self, all: &[Partials]) {
        for partials in all {
            self.piece(&[], Mode::Uniform, 0, 1, &[partials.out], |g, _, _| g.join(partials));
        }
    }

    fn join(&mut self, partials: &Partials) {
        let (length, bytes) = (self.length(partials.dtype), self.partial_bytes(partials.dtype));
        let mut half = self.partial_vectors() / 2;
        let y = self.temp();
        if let Some(&x) = partials.held.first() {
            while half > 0 {
                for step in 0..half {
                    self.join_two(partials, length, [partials.held[step], partials.held[step + half]], y);
                }
                half /= 2;
            }
            self.join_lanes(partials, length, [x, y]);
            self.tell_nan(partials, x);
            return self.finish_join(partials, x);
        }
        let x = self.temp();
        while half > 0 {
            for step in 0..half {
                let (low, high) =
                    (self.partial(partials.at, bytes, step), self.partial(partials.at, bytes, step + half));
                self.asm.v1(LOAD[0], length, x, low);
                self.asm.v1(LOAD[0], length, y, high);
                self.join_two(partials, length, [x, y], y);
                self.asm.v1(STORE[0], length, x, low);
            }
            half /= 2;
        }
        self.asm.v1(LOAD[0], length, x, self.partial(partials.at, bytes, 0));
        self.join_lanes(partials, length, [x, y]);
        self.finish_join(partials, x);
    }

    /// Combines `y` into `x`. Intermediate registers are free at once, but `kept`.
    fn join_two(&mut self, partials: &Partials, length: Length, [x, y]: [Vec; 2], kept: Vec) {
        let (kind, dtype) = (partials.kind, partials.dtype);
        if partials.nan.is_some() {
            let range = Self::range(kind == AccKind::Max);
            return self.asm.vi(RANGE[Self::pair(dtype)], length, x, x, y, range);
        }
        self.combine(kind, dtype, length, x, x, y);
        self.registers.unlock_but(&[x, kept]);
    }

    /// The result is NaN if the mask says that it was in any lane.
    fn tell_nan(&mut self, partials: &Partials, x: Vec) {
        let Some(nan) = partials.nan else { return };
        let none = self.asm.label();
        self.asm.v1(MASK_TEST, Length::L128, nan, nan);
        self.asm.jump_if(Condition::Equal, none);
        let value = self.nan(partials.dtype);
        self.asm.v1(LOAD[0], Length::L128, x, value);
        self.asm.bind(none);
    }

    /// NaN in every lane.
    fn nan(&mut self, dtype: DType) -> Mem {
        match dtype {
            DType::F64 => self.splat(f64::NAN.to_bits(), 8),
            _ => self.splat(u64::from(f32::NAN.to_bits()), 4),
        }
    }

    /// Combines the lanes of a vector pairwise into its first.
    fn join_lanes(&mut self, partials: &Partials, length: Length, [x, y]: [Vec; 2]) {
        if length == Length::L512 {
            self.asm.vi(EXTRACT_256, Length::L512, x, UNUSED, y, 1);
            self.join_two(partials, Length::L256, [x, y], y);
        }
        if length >= Length::L256 {
            self.asm.vi(EXTRACT_128, Length::L256, x, UNUSED, y, 1);
            self.join_two(partials, Length::L128, [x, y], y);
        }
        self.asm.vi(SHUFFLE_INT, Length::L128, y, UNUSED, x, 0x4e);
        self.join_two(partials, Length::L128, [x, y], y);
        if self.partial_bytes(partials.dtype) == 4 {
            self.asm.vi(SHUFFLE_INT, Length::L128, y, UNUSED, x, 0xb1);
            self.join_two(partials, Length::L128, [x, y], y);
        }
    }

    fn finish_join(&mut self, partials: &Partials, x: Vec) {
        let Some(home) = self.homes[partials.out.0 as usize] else { return };
        let home = Mem::Base(FRAME, home as i32);
        let pair = usize::from(self.partial_bytes(partials.dtype) == 8);
        let longest = self.longest();
        self.asm.v1(BROADCAST[pair], longest, x, x);
        if self.class(partials.out) == Class::Mask {
            let mask = self.mask_temp();
            self.asm.v(TEST[0], longest, mask, x, x);
            self.asm.v1(MASK_STORE, Length::L128, mask, home);
        } else {
            self.asm.v1(STORE[0], longest, x, home);
        }
    }

    /// The result of reductions over no elements.
    pub(super) fn neutral_results(&mut self, reductions: &[Accumulate]) {
        let partials = self.begin_partials(reductions, false);
        self.join_partials(&partials);
    }

    /// Where the results of a reduction across a grid's lanes lie for a copy.
    fn across(&self, out: Reg, copy: usize) -> Mem {
        let bytes = lane_bytes(self.shape.dtype(out));
        let home = self.homes[out.0 as usize].unwrap_or(0) as i32;
        let before = (self.lanes_before(copy) * bytes) as i32;
        Mem::Indexed(FRAME, LANE, bytes.trailing_zeros() as u8, home + before)
    }

    /// Stores the neutral elements of reductions across a grid's lanes, for one vector of lanes.
    pub(super) fn begin_across(&mut self, reductions: &[Accumulate]) {
        (self.first, self.copies) = (0, 1);
        for acc in reductions {
            let dtype = self.shape.dtype(acc.value);
            let (neutral, length) = (self.neutral(acc.kind, dtype), self.length(dtype));
            self.asm.v1(LOAD[0], length, Vec(0), neutral);
            let to = self.across(acc.out, 0);
            self.asm.v1(STORE[0], length, Vec(0), to);
        }
    }

    /// Takes a vector of values into results across a grid's lanes; called at the end of a piece of code.
    pub(super) fn fold_across(&mut self, acc: &Accumulate, copy: usize) {
        let dtype = self.shape.dtype(acc.value);
        let length = self.length(dtype);
        let x = self.read(acc.value, copy);
        let partial = self.temp();
        let place = self.across(acc.out, copy);
        self.asm.v1(LOAD[0], length, partial, place);
        self.combine(acc.kind, dtype, length, partial, partial, x);
        self.asm.v1(STORE[0], length, partial, place);
    }
}
