//! Kernels that use the whole language and do nothing it forbids: addresses stay in bounds, what is read holds something, no
//! two points write the same element.

use crate::{Case, Random};
use wootz_ir::ops::{Binary, Compare, Unary};
use wootz_ir::{DType, Dims, F64, HostTensor};
use wootz_plan::Kernel;
use wootz_plan::interpret::Buffer;
use wootz_plan::kernel::{AccKind, Accumulate, Address, Arg, ArgId, Inst, InstOp, Lanes, Reg, Stage};

/// What generated kernels may contain.
#[derive(Copy, Clone, Debug)]
pub struct Options {
    /// Instructions whose results are not defined to the bit: exponentials, powers and the like.
    pub math: bool,
    /// Most executions of stages' bodies.
    pub iterations: usize,
}

impl Default for Options {
    fn default() -> Options {
        Options { math: false, iterations: 3000 }
    }
}

/// The kernel of a seed, with buffers.
pub fn generate(seed: u64, options: &Options) -> Case {
    let mut random = Random::new(seed);
    let grid = sizes(&mut random, options.iterations, 4);
    let lanes = if random.once_in(2) { Lanes::Grid } else { Lanes::Inner };
    let kernel = Kernel { grid, lanes, args: vec![], stages: vec![], regs: vec![] };
    let mut generator = Generator {
        random,
        options: *options,
        kernel,
        needs: vec![],
        outer: vec![],
        local: vec![],
        stage: Stage::default(),
        stores: vec![],
        written: vec![],
        pending: vec![],
    };
    let count = 1 + generator.random.below(4);
    for last in (0..count).rev() {
        generator.stage(last == 0);
    }
    generator.last_stage();
    generator.finish()
}

const SIZES: [usize; 18] = [1, 2, 3, 4, 5, 7, 8, 15, 16, 17, 31, 32, 33, 63, 65, 100, 129, 300];
const INTS: [i64; 10] = [0, 1, -1, 2, 3, 7, 31, 64, i32::MIN as i64, i64::MAX];
const FLOATS: [f64; 12] = [
    0.0,
    -0.0,
    1.0,
    -1.5,
    0.3,
    1e10,
    65504.0,
    3e-39,
    f64::MIN_POSITIVE,
    f64::INFINITY,
    f64::NEG_INFINITY,
    f64::NAN,
];

/// Up to `most` loops of at most so many iterations; seldom none at all.
fn sizes(random: &mut Random, iterations: usize, most: usize) -> Dims {
    let mut left = iterations.max(1);
    let mut out = Dims::new();
    for _ in 0..random.below(most) {
        let size = if random.once_in(60) { 0 } else { random.pick(&SIZES).min(left) };
        left /= size.max(1);
        out.push(size);
    }
    out
}

/// What a buffer has to hold.
#[derive(Copy, Clone, Default)]
struct Need {
    elements: usize,
    loaded: bool,
}

/// A store whose element a later stage over the same loops may read or write again.
#[derive(Clone)]
struct Written {
    loops: Dims,
    arg: ArgId,
    at: Address,
}

struct Generator {
    random: Random,
    options: Options,
    kernel: Kernel,
    needs: Vec<Need>,
    /// Registers that later stages see, and those of the current stage's loops.
    outer: Vec<Reg>,
    local: Vec<Reg>,
    stage: Stage,
    /// Stores to come at the end of the stage.
    stores: Vec<Inst>,
    written: Vec<Written>,
    /// The same, of the current stage.
    pending: Vec<Written>,
}

impl Generator {
    fn finish(mut self) -> Case {
        let mut buffers = Vec::new();
        for (arg, need) in self.kernel.args.iter().zip(&self.needs) {
            let elements = need.elements + self.random.below(3);
            buffers.push(match arg.write && !need.loaded {
                true => Buffer::blank(arg.dtype, elements),
                false => Buffer::holding(&contents(&mut self.random, arg.dtype, elements)),
            });
        }
        Case { kernel: self.kernel, buffers }
    }

    fn stage(&mut self, last: bool) {
        let again = self.written.last().map(|w| w.loops.clone());
        self.stage.loops = match again {
            Some(loops) if self.random.once_in(2) => loops,
            _ => {
                let points = self.kernel.points().max(1);
                sizes(&mut self.random, (self.options.iterations / points).max(1), 3)
            }
        };
        for _ in 0..1 + self.random.below(14) {
            self.instruction();
        }
        for _ in 0..self.random.below(2) + usize::from(last) {
            self.store();
        }
        let reductions =
            if self.stage.loops.is_empty() { self.random.below(12) / 10 } else { self.random.below(3) };
        let sources: Vec<Reg> = (0..reductions).filter_map(|_| self.any()).collect();
        let mut stage = std::mem::take(&mut self.stage);
        stage.body.append(&mut self.stores);
        let local = std::mem::take(&mut self.local);
        if stage.loops.is_empty() {
            self.outer.extend(local);
        }
        for value in sources {
            let acc = self.reduction(value);
            self.outer.push(acc.out);
            stage.reduce.push(acc);
        }
        self.kernel.stages.push(stage);
        self.written.append(&mut self.pending);
    }

    /// Stores the results of reductions that nothing uses.
    fn last_stage(&mut self) {
        let operands = self.kernel.stages.iter().flat_map(|s| &s.body).flat_map(|i| i.op.operands());
        let used: Vec<Reg> = operands.collect();
        let results = self.kernel.stages.iter().flat_map(|s| &s.reduce).map(|acc| acc.out);
        let unused: Vec<Reg> = results.filter(|reg| !used.contains(reg)).collect();
        for value in unused {
            let stored = self.stored(self.dtype(value));
            let arg = self.new_arg(stored, true);
            let (at, elements) = self.injective(1);
            self.need(arg, elements);
            self.stage.body.push(Inst { out: None, op: InstOp::Store { arg, at, value } });
        }
        if !self.stage.body.is_empty() {
            self.kernel.stages.push(std::mem::take(&mut self.stage));
        }
    }

    fn reduction(&mut self, value: Reg) -> Accumulate {
        use AccKind::*;
        let dtype = self.dtype(value);
        let kind = match dtype {
            DType::Bool => self.random.pick(&[Any, All, Max, Min, ArgMax, ArgMin]),
            _ => self.random.pick(&[Sum, Sum, Prod, Max, Min, ArgMax, ArgMin]),
        };
        let out = self.new_reg(if matches!(kind, ArgMax | ArgMin) { DType::I64 } else { dtype });
        Accumulate { kind, value, out }
    }

    fn new_reg(&mut self, dtype: DType) -> Reg {
        self.kernel.regs.push(dtype);
        Reg(self.kernel.regs.len() as u32 - 1)
    }

    fn dtype(&self, reg: Reg) -> DType {
        self.kernel.regs[reg.0 as usize]
    }

    fn inst(&mut self, op: InstOp, dtype: DType) -> Reg {
        let out = self.new_reg(dtype);
        self.stage.body.push(Inst { out: Some(out), op });
        self.local.push(out);
        out
    }

    fn int(&mut self, value: i64) -> Reg {
        self.inst(InstOp::Int(value), DType::I64)
    }

    fn binary(&mut self, op: Binary, x: Reg, y: Reg) -> Reg {
        self.inst(InstOp::Binary(op, x, y), self.dtype(x))
    }

    fn compare(&mut self, op: Compare, x: Reg, y: Reg) -> Reg {
        self.inst(InstOp::Compare(op, x, y), DType::Bool)
    }

    /// A register that can be read here; recent ones more often.
    fn any(&mut self) -> Option<Reg> {
        let all = self.outer.len() + self.local.len();
        if all == 0 {
            return None;
        }
        let at = self.random.below(all).max(self.random.below(all));
        Some(if at < self.outer.len() { self.outer[at] } else { self.local[at - self.outer.len()] })
    }

    /// A register of a dtype, made if there is none.
    fn of(&mut self, dtype: DType) -> Reg {
        for _ in 0..6 {
            match self.any() {
                Some(reg) if self.dtype(reg) == dtype => return reg,
                _ => {}
            }
        }
        match self.any() {
            Some(reg) if self.random.below(4) > 0 => self.inst(InstOp::Cast(reg), dtype),
            _ if self.random.once_in(3) => self.constant(dtype),
            _ => self.load(dtype),
        }
    }

    fn constant(&mut self, dtype: DType) -> Reg {
        let op = match dtype.is_float() {
            true => InstOp::Float(F64(self.random.pick(&FLOATS))),
            false => InstOp::Int(self.random.pick(&INTS)),
        };
        self.inst(op, dtype)
    }

    fn number(&mut self) -> DType {
        self.random.pick(&[DType::F32, DType::F32, DType::F64, DType::I64, DType::I32, DType::U32, DType::U8])
    }

    fn instruction(&mut self) {
        let any = |own: &mut Self| {
            let dtype = own.number();
            own.any().unwrap_or_else(|| own.load(dtype))
        };
        match self.random.below(24) {
            0 => {
                let dtype = self.number();
                self.constant(dtype);
            }
            1 => {
                if let Some(axis) = self.axis() {
                    self.inst(InstOp::Index(axis as u32), DType::I64);
                }
            }
            2..=5 => {
                let dtype = self.number();
                self.load(dtype);
            }
            6 => self.padded_load(),
            7 => self.gather(),
            8..=10 => {
                let x = any(self);
                self.unary(x);
            }
            11..=16 => {
                let x = any(self);
                let y = self.of(self.dtype(x));
                self.binary_of(x, y);
            }
            17 => {
                let x = any(self);
                let y = self.of(self.dtype(x));
                let op = self.random.pick(&Compare::ALL);
                self.compare(op, x, y);
            }
            18 => {
                let x = any(self);
                let (y, c) = (self.of(self.dtype(x)), self.of(DType::Bool));
                self.inst(InstOp::Select(c, x, y), self.dtype(x));
            }
            19 | 20 => {
                let dtype = self.random.pick(&[DType::F32, DType::F64]);
                let [x, y, z] = [(); 3].map(|()| self.of(dtype));
                self.inst(InstOp::Fma(x, y, z), dtype);
            }
            21 => {
                let (x, to) = (any(self), self.number());
                self.inst(InstOp::Cast(x), to);
            }
            22 => self.bitcast(),
            _ => {
                let (x, to) = (self.of(DType::F32), self.random.pick(&[DType::F16, DType::BF16]));
                self.inst(InstOp::Round(to, x), DType::F32);
            }
        }
    }

    /// The bits of a NaN are nobody's business: they are replaced before they become an integer.
    fn bitcast(&mut self) {
        let (from, to) = self.random.pick(&[
            (DType::F32, DType::I32),
            (DType::F32, DType::U32),
            (DType::F64, DType::I64),
            (DType::I32, DType::F32),
            (DType::U32, DType::F32),
            (DType::I64, DType::F64),
        ]);
        let mut x = self.of(from);
        if from.is_float() {
            let one = self.inst(InstOp::Float(F64(1.0)), from);
            let number = self.compare(Compare::Eq, x, x);
            x = self.inst(InstOp::Select(number, x, one), from);
        }
        self.inst(InstOp::Bitcast(x), to);
    }

    fn unary(&mut self, x: Reg) {
        use Unary::*;
        let dtype = self.dtype(x);
        let math = dtype.is_float() && self.options.math && self.random.once_in(2);
        let op = match dtype {
            DType::Bool => Not,
            DType::U8 | DType::U32 => self.random.pick(&[Not, Abs]),
            DType::I32 | DType::I64 => self.random.pick(&[Not, Abs, Neg, Sign]),
            _ if math => self.random.pick(&[
                Exp, Expm1, Log, Log1p, Rsqrt, Sin, Cos, Tan, Tanh, Erf, Erfc, Erfinv, Lgamma, Digamma,
            ]),
            _ => self.random.pick(&[Neg, Abs, Sqrt, Floor, Ceil, Round, Sign, IsNan, IsFinite]),
        };
        let out = if matches!(op, IsNan | IsFinite) { DType::Bool } else { dtype };
        self.inst(InstOp::Unary(op, x), out);
    }

    fn binary_of(&mut self, x: Reg, y: Reg) {
        use Binary::*;
        let op = match self.dtype(x) {
            DType::Bool => self.random.pick(&[And, Or, Xor, Min, Max]),
            d if d.is_float() && self.options.math && self.random.once_in(4) => {
                self.random.pick(&[Pow, Atan2])
            }
            d if d.is_float() => {
                self.random.pick(&[Add, Add, Sub, Sub, Mul, Mul, Mul, Div, Min, Max, Rem, FloorDiv])
            }
            _ => {
                self.random.pick(&[Add, Sub, Mul, Div, Rem, FloorDiv, Min, Max, And, Or, Xor, Shl, Shr, Pow])
            }
        };
        self.binary(op, x, y);
    }

    fn loops(&self) -> Vec<usize> {
        self.kernel.grid.iter().chain(&self.stage.loops).copied().collect()
    }

    fn axis(&mut self) -> Option<usize> {
        let rank = self.loops().len();
        (rank > 0).then(|| self.random.below(rank))
    }

    /// The buffer dtype that loads into or is stored from registers of a dtype.
    fn stored(&mut self, dtype: DType) -> DType {
        match dtype {
            DType::F32 => self.random.pick(&[DType::F32, DType::F32, DType::F16, DType::BF16]),
            other => other,
        }
    }

    fn new_arg(&mut self, dtype: DType, write: bool) -> ArgId {
        self.kernel.args.push(Arg { dtype, write });
        self.needs.push(Need::default());
        ArgId(self.kernel.args.len() as u32 - 1)
    }

    /// An argument to read, of a dtype that loads into `dtype`.
    fn source(&mut self, dtype: DType) -> ArgId {
        let fits = |a: &Arg| !a.write && a.dtype.compute() == dtype;
        let known: Vec<usize> = (0..self.kernel.args.len()).filter(|i| fits(&self.kernel.args[*i])).collect();
        if !known.is_empty() && self.random.below(3) > 0 {
            return ArgId(self.random.pick(&known) as u32);
        }
        let stored = self.stored(dtype);
        self.new_arg(stored, false)
    }

    fn need(&mut self, arg: ArgId, elements: usize) {
        let need = &mut self.needs[arg.0 as usize];
        need.elements = need.elements.max(elements);
    }

    /// Any address: strides of every kind, with what is below element 0 made up for by the offset.
    fn affine(&mut self, arg: ArgId, reserved: usize) -> Address {
        let sizes = self.loops();
        let mut row_major: Vec<i64> = vec![1; sizes.len()];
        for i in (1..sizes.len()).rev() {
            row_major[i - 1] = row_major[i] * sizes[i].max(1) as i64;
        }
        let (mut at, mut below, mut above) = (Address::default(), 0, 0);
        for (i, size) in sizes.iter().enumerate() {
            let stride = match self.random.below(8) {
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

    fn load(&mut self, dtype: DType) -> Reg {
        // What an earlier stage stored, over the same loops or none.
        let loops = &self.stage.loops;
        let known = |w: &&Written| w.loops == *loops || w.loops.is_empty();
        let earlier: Vec<Written> = self.written.iter().filter(known).cloned().collect();
        if !earlier.is_empty() && self.random.once_in(3) {
            let Written { arg, at, .. } = self.random.pick(&earlier);
            let stored = self.kernel.args[arg.0 as usize].dtype.compute();
            let value = self.inst(InstOp::Load { arg, at, mask: None }, stored);
            return if stored == dtype { value } else { self.inst(InstOp::Cast(value), dtype) };
        }
        let arg = self.source(dtype);
        let at = self.affine(arg, 0);
        let mask = self.random.once_in(6).then(|| self.of(DType::Bool));
        self.inst(InstOp::Load { arg, at, mask }, dtype)
    }

    /// A load that is masked where it would leave its buffer.
    fn padded_load(&mut self) {
        let Some(axis) = self.axis() else { return };
        let (n, shift) = (1 + self.random.below(40) as i64, self.random.below(12) as i64 - 4);
        let index = self.inst(InstOp::Index(axis as u32), DType::I64);
        let (shift_reg, zero, size) = (self.int(shift), self.int(0), self.int(n));
        let position = self.binary(Binary::Add, index, shift_reg);
        let (above, below) =
            (self.compare(Compare::Ge, position, zero), self.compare(Compare::Lt, position, size));
        let mask = self.binary(Binary::And, above, below);
        let dtype = self.number();
        let arg = self.source(dtype);
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
        self.inst(InstOp::Load { arg, at, mask: Some(mask) }, dtype);
    }

    /// A load at an index that was computed, and is held to a range.
    fn gather(&mut self) {
        let entry = self.of(DType::I64);
        let (n, scale) = (1 + self.random.below(20) as i64, 1 + self.random.below(3) as i64);
        let (zero, last, scale_reg) = (self.int(0), self.int(n - 1), self.int(scale));
        let raised = self.binary(Binary::Max, entry, zero);
        let clamped = self.binary(Binary::Min, raised, last);
        let index = self.binary(Binary::Mul, clamped, scale_reg);
        let dtype = self.number();
        let arg = self.source(dtype);
        let mut at = self.affine(arg, (scale * (n - 1)) as usize);
        at.index = Some(index);
        let mask = self.random.once_in(4).then(|| self.of(DType::Bool));
        self.inst(InstOp::Load { arg, at, mask }, dtype);
    }

    /// An address that is another one for every iteration.
    fn injective(&mut self, gap: i64) -> (Address, usize) {
        let sizes = self.loops();
        let mut order: Vec<usize> = (0..sizes.len()).collect();
        for i in (1..order.len()).rev() {
            if self.random.once_in(3) {
                order.swap(i, self.random.below(i + 1));
            }
        }
        let mut at = Address::default();
        at.strides.resize(sizes.len(), 0);
        let (mut stride, mut end) = (gap, 0);
        for axis in order.into_iter().rev() {
            let size = sizes[axis].max(1) as i64;
            let backwards = self.random.once_in(6);
            at.strides[axis] = if backwards { -stride } else { stride };
            end += stride * (size - 1);
            at.offset += if backwards { stride * (size - 1) } else { 0 };
            stride *= size;
            stride += if self.random.once_in(8) { self.random.below(3) as i64 } else { 0 };
        }
        at.trim();
        (at, end as usize + 1)
    }

    fn store(&mut self) {
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
        let pair = self.random.once_in(8);
        let gap = if pair { 2 } else { self.random.pick(&[1, 1, 1, 1, 2, 3]) };
        let (at, elements) = self.injective(gap);
        self.need(arg, elements + usize::from(pair));
        // An update reads the old value first.
        if self.random.once_in(4) {
            self.needs[arg.0 as usize].loaded = true;
            let old = self.inst(InstOp::Load { arg, at: at.clone(), mask: None }, dtype);
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

    fn store_to(&mut self, arg: ArgId, at: Address) {
        let dtype = self.kernel.args[arg.0 as usize].dtype.compute();
        let value = self.of(dtype);
        self.stores.push(Inst { out: None, op: InstOp::Store { arg, at, value } });
    }
}

/// Numbers of every size, now and then a special one.
fn contents(random: &mut Random, dtype: DType, elements: usize) -> HostTensor {
    match dtype.is_float() {
        true => {
            let value = |r: &mut Random| match r.below(40) {
                0 => r.pick(&FLOATS),
                1..=4 => r.below(9) as f64 - 4.0,
                5 => (r.below(2000) as f64 - 1000.0) * 2f64.powi(r.below(80) as i32 - 40),
                _ => (r.below(1 << 20) as f64 - f64::from(1 << 19)) * 2f64.powi(-18),
            };
            let values: Vec<f64> = (0..elements).map(|_| value(random)).collect();
            HostTensor::from_f64(dtype, &[elements], &values)
        }
        false => {
            let value = |r: &mut Random| match r.below(10) {
                0 => r.pick(&INTS),
                1 => r.bits() as i64,
                _ => r.below(50) as i64 - 10,
            };
            let values: Vec<i64> = (0..elements).map(|_| value(random)).collect();
            HostTensor::from_i64(dtype, &[elements], &values)
        }
    }
}
