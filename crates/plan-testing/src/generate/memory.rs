//! Addresses, loads and stores.

use super::{Generator, Need, Written};
use wootz_ir::DType;
use wootz_ir::ops::{Binary, Compare};
use wootz_plan::kernel::{Address, Arg, ArgId, Inst, InstOp, Lanes, Reg};

impl Generator {
    pub(super) fn loops(&self) -> Vec<usize> {
        self.kernel.grid.iter().chain(&self.stage.loops).copied().collect()
    }

    pub(super) fn axis(&mut self) -> Option<usize> {
        let rank = self.loops().len();
        (rank > 0).then(|| self.random.below(rank))
    }

    /// The loop that vectors' lanes run along.
    fn lane_axis(&self) -> Option<usize> {
        match self.kernel.lanes {
            Lanes::Grid => self.kernel.grid.len().checked_sub(1),
            Lanes::Inner => (!self.stage.loops.is_empty()).then(|| self.loops().len() - 1),
        }
    }

    /// Whether lanes of an argument must lie next to each other.
    fn is_contiguous(&self, arg: ArgId) -> bool {
        self.options.native && self.kernel.args[arg.0 as usize].dtype.size() < 4
    }

    /// The buffer dtype that loads into or is stored from registers of a dtype.
    pub(super) fn stored(&mut self, dtype: DType) -> DType {
        match dtype {
            DType::F32 => self.random.pick(&[DType::F32, DType::F32, DType::F16, DType::BF16]),
            other => other,
        }
    }

    pub(super) fn new_arg(&mut self, dtype: DType, write: bool) -> ArgId {
        self.kernel.args.push(Arg { dtype, write });
        self.needs.push(Need::default());
        ArgId(self.kernel.args.len() as u32 - 1)
    }

    /// An argument to read, of a dtype that loads into `dtype`; at addresses that may lie anywhere, or in order.
    pub(super) fn source(&mut self, dtype: DType, anywhere: bool) -> ArgId {
        let wide = anywhere && self.options.native;
        let fits = |a: &Arg| !a.write && a.dtype.compute() == dtype && (!wide || a.dtype == dtype);
        let known: Vec<usize> = (0..self.kernel.args.len()).filter(|i| fits(&self.kernel.args[*i])).collect();
        if !known.is_empty() && self.random.below(3) > 0 {
            return ArgId(self.random.pick(&known) as u32);
        }
        let stored = if wide { dtype } else { self.stored(dtype) };
        self.new_arg(stored, false)
    }

    pub(super) fn need(&mut self, arg: ArgId, elements: usize) {
        let need = &mut self.needs[arg.0 as usize];
        need.elements = need.elements.max(elements);
    }

    /// Any address: strides of every kind, with what is below element 0 made up for by the offset.
    pub(super) fn affine(&mut self, arg: ArgId, reserved: usize) -> Address {
        let sizes = self.loops();
        let mut row_major: Vec<i64> = vec![1; sizes.len()];
        for i in (1..sizes.len()).rev() {
            row_major[i - 1] = row_major[i] * sizes[i].max(1) as i64;
        }
        let (mut at, mut below, mut above) = (Address::default(), 0, 0);
        let lane = if self.is_contiguous(arg) { self.lane_axis() } else { None };
        for (i, size) in sizes.iter().enumerate() {
            let stride = match self.random.below(8) {
                kind if lane == Some(i) => i64::from(kind > 1),
                0..=3 => row_major[i],
                4 | 5 => 0,
                6 => self.random.below(5) as i64 - 2,
                _ => -row_major[i],
            };
            let reach = stride * (size.max(&1) - 1) as i64;
            below += (-reach).max(0);
            above += reach.max(0);
            at.strides.push(stride);
        }
        at.trim();
        at.offset = below + self.random.below(3) as i64;
        self.need(arg, at.offset as usize + above as usize + 1 + reserved);
        at
    }

    pub(super) fn load(&mut self, dtype: DType) -> Reg {
        // What an earlier stage stored, over the same loops or none.
        let loops = &self.stage.loops;
        let known = |w: &&Written| w.loops == *loops || w.loops.is_empty();
        let earlier: Vec<Written> = self.written.iter().filter(known).cloned().collect();
        if !earlier.is_empty() && self.random.once_in(3) {
            let Written { arg, at, .. } = self.random.pick(&earlier);
            let stored = self.kernel.args[arg.0 as usize].dtype.compute();
            let value = self.inst(InstOp::Load { arg, at: at.into(), mask: None }, stored);
            return if stored == dtype { value } else { self.cast(value, dtype) };
        }
        let arg = self.source(dtype, false);
        let at = self.affine(arg, 0);
        let masked = self.random.once_in(6) && !self.is_contiguous(arg);
        let mask = masked.then(|| self.of(DType::Bool));
        self.inst(InstOp::Load { arg, at: at.into(), mask }, dtype)
    }

    /// A load that is masked where it would leave its buffer.
    pub(super) fn padded_load(&mut self) {
        let Some(axis) = self.axis() else { return };
        let (n, shift) = (1 + self.random.below(40) as i64, self.random.below(12) as i64 - 4);
        let index = self.inst(InstOp::Index(axis as u32), DType::I64);
        let (shift_reg, zero, size) = (self.int(shift), self.int(0), self.int(n));
        let position = self.binary(Binary::Add, index, shift_reg);
        let (above, below) =
            (self.compare(Compare::Ge, position, zero), self.compare(Compare::Lt, position, size));
        let mask = self.binary(Binary::And, above, below);
        let dtype = self.scattered();
        let arg = self.source(dtype, true);
        let stride = 1 + self.random.below(3) as i64;
        self.need(arg, (stride * (n - 1)) as usize + 1);
        let mut at = Address { offset: shift * stride, ..Address::default() };
        // Half of them compute the address.
        if self.random.once_in(2) {
            let stride = self.int(stride);
            at = Address { index: Some(self.binary(Binary::Mul, position, stride)), ..Address::default() };
        } else {
            at.strides.resize(axis + 1, 0);
            at.strides[axis] = stride;
        }
        self.inst(InstOp::Load { arg, at: at.into(), mask: Some(mask) }, dtype);
    }

    /// A load at an index that was computed, and is held to a range.
    pub(super) fn gather(&mut self) {
        let entry = self.of(DType::I64);
        let (n, scale) = (1 + self.random.below(20) as i64, 1 + self.random.below(3) as i64);
        let (zero, last, scale_reg) = (self.int(0), self.int(n - 1), self.int(scale));
        let raised = self.binary(Binary::Max, entry, zero);
        let clamped = self.binary(Binary::Min, raised, last);
        let index = self.binary(Binary::Mul, clamped, scale_reg);
        let dtype = self.scattered();
        let arg = self.source(dtype, true);
        let mut at = self.affine(arg, (scale * (n - 1)) as usize);
        at.index = Some(index);
        let mask = self.random.once_in(4).then(|| self.of(DType::Bool));
        self.inst(InstOp::Load { arg, at: at.into(), mask }, dtype);
    }

    /// An address that is another one for every iteration.
    pub(super) fn injective(&mut self, arg: ArgId, gap: i64) -> (Address, usize) {
        let sizes = self.loops();
        let lane = if self.is_contiguous(arg) { self.lane_axis() } else { None };
        let mut order: Vec<usize> = (0..sizes.len()).collect();
        for i in (1..order.len()).rev() {
            if self.random.once_in(3) {
                order.swap(i, self.random.below(i + 1));
            }
        }
        if let Some(lane) = lane {
            order.retain(|axis| *axis != lane);
            order.push(lane);
        }
        let mut at = Address::default();
        at.strides.resize(sizes.len(), 0);
        let (mut stride, mut end) = (if lane.is_some() { 1 } else { gap }, 0);
        for axis in order.into_iter().rev() {
            let size = sizes[axis].max(1) as i64;
            let backwards = self.random.once_in(6) && lane != Some(axis);
            at.strides[axis] = if backwards { -stride } else { stride };
            end += stride * (size - 1);
            at.offset += if backwards { stride * (size - 1) } else { 0 };
            stride *= size;
            stride += if self.random.once_in(8) { self.random.below(3) as i64 } else { 0 };
        }
        at.trim();
        (at, end as usize + 1)
    }

    pub(super) fn store(&mut self) {
        let loops = self.stage.loops.clone();
        let unwritten = |own: &Self, arg: ArgId| {
            !own.stores.iter().any(|i| matches!(&i.op, InstOp::Store { arg: to, .. } if *to == arg))
        };
        let earlier: Vec<Written> =
            self.written.iter().filter(|w| w.loops == loops && unwritten(self, w.arg)).cloned().collect();
        if !earlier.is_empty() && self.random.once_in(3) {
            let Written { arg, at, .. } = self.random.pick(&earlier);
            return self.store_to(arg, at);
        }
        let dtype = match self.any() {
            Some(reg) => self.dtype(reg),
            None => self.number(),
        };
        let stored = self.stored(dtype);
        let arg = self.new_arg(stored, true);
        let pair = self.random.once_in(8) && !self.is_contiguous(arg);
        let gap = if pair { 2 } else { self.random.pick(&[1, 1, 1, 1, 2, 3]) };
        let (at, elements) = self.injective(arg, gap);
        self.need(arg, elements + usize::from(pair));
        // An update reads the old value first.
        if self.random.once_in(4) {
            self.needs[arg.0 as usize].loaded = true;
            let old = self.inst(InstOp::Load { arg, at: at.clone().into(), mask: None }, dtype);
            let other = self.of(dtype);
            self.binary_of(old, other);
        }
        if pair {
            let next = Address { offset: at.offset + 1, ..at.clone() };
            self.store_to(arg, next);
        }
        self.store_to(arg, at.clone());
        self.pending.push(Written { loops, arg, at });
    }

    pub(super) fn store_to(&mut self, arg: ArgId, at: Address) {
        let dtype = self.kernel.args[arg.0 as usize].dtype.compute();
        let value = self.of(dtype);
        self.stores.push(Inst { out: None, op: InstOp::Store { arg, at: at.into(), value } });
    }
}
