//! Kernels that use the whole language and do nothing it forbids: addresses stay in bounds, what is read holds something, no
//! two points write the same element.

mod memory;

use crate::{Case, Random};
use wootz_ir::ops::{Binary, Compare, Unary};
use wootz_ir::{DType, Dims, F64, HostTensor};
use wootz_plan::Kernel;
use wootz_plan::interpret::Buffer;
use wootz_plan::kernel::{AccKind, Accumulate, Address, ArgId, Inst, InstOp, Lanes, Reg, Stage};

/// What generated kernels may contain.
#[derive(Copy, Clone, Debug)]
pub struct Options {
    /// Instructions whose results are not defined to the bit: exponentials, powers and the like.
    pub math: bool,
    /// Only what a processor's vectors have instructions for, so that a compiler of machine code takes nearly every kernel: no
    /// division of i64, no arithmetic on bytes, no scattered elements of less than four bytes, no positions of extremes.
    pub native: bool,
    /// Most executions of stages' bodies.
    pub iterations: usize,
}

impl Default for Options {
    fn default() -> Options {
        Options { math: false, native: false, iterations: 3000 }
    }
}

/// The kernel of a seed, with buffers.
pub fn generate(seed: u64, options: &Options) -> Case {
    let mut random = Random::new(seed);
    let grid = sizes(&mut random, options.iterations, 4);
    let inner = !random.once_in(2) || (options.native && grid.is_empty());
    let lanes = if inner { Lanes::Inner } else { Lanes::Grid };
    let mut generator = Generator::new(random, options, grid, lanes);
    let count = 1 + generator.random.below(4);
    for last in (0..count).rev() {
        generator.stage(last == 0);
    }
    generator.last_stage();
    generator.finish()
}

/// The epilogue of a product, with buffers: a kernel over `[batch, m, n]` without loops, whose first instruction loads the
/// product's element from the first argument, which is row-major. [`Case::epilogue`] is what is run on blocks.
pub fn generate_epilogue(seed: u64, options: &Options) -> Case {
    let mut random = Random::new(seed);
    let grid = Dims::from_iter([1 + random.below(3), random.pick(&SIZES[..12]), random.pick(&SIZES)]);
    let dtype = random.pick(&[DType::F32, DType::F64]);
    let (m, n) = (grid[1] as i64, grid[2] as i64);
    let mut generator = Generator::new(random, options, grid, Lanes::Grid);
    let product = generator.new_arg(dtype, false);
    let mut at = Address::default();
    at.strides.extend([m * n, n, 1]);
    generator.need(product, generator.kernel.points());
    let value = generator.inst(InstOp::Load { arg: product, at: at.into(), mask: None }, dtype);
    let other = generator.of(dtype);
    generator.binary_of(value, other);
    for _ in 0..generator.random.below(12) {
        generator.instruction();
    }
    for _ in 0..1 + generator.random.below(2) {
        generator.store();
    }
    let mut stage = std::mem::take(&mut generator.stage);
    stage.body.append(&mut generator.stores);
    generator.kernel.stages.push(stage);
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
    fn new(random: Random, options: &Options, grid: Dims, lanes: Lanes) -> Generator {
        Generator {
            random,
            options: *options,
            kernel: Kernel { grid, lanes, args: vec![], stages: vec![], regs: vec![] },
            needs: vec![],
            outer: vec![],
            local: vec![],
            stage: Stage::default(),
            stores: vec![],
            written: vec![],
            pending: vec![],
        }
    }

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
        let reductions = match self.stage.loops.is_empty() {
            true if self.options.native => 0,
            true => self.random.below(12) / 10,
            false => self.random.below(3),
        };
        let mut sources: Vec<Reg> = (0..reductions).filter_map(|_| self.any()).collect();
        sources.retain(|reg| self.is_reducible(*reg));
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
            let (at, elements) = self.injective(arg, 1);
            self.need(arg, elements);
            self.stage.body.push(Inst { out: None, op: InstOp::Store { arg, at: at.into(), value } });
        }
        if !self.stage.body.is_empty() {
            self.kernel.stages.push(std::mem::take(&mut self.stage));
        }
    }

    fn is_reducible(&self, value: Reg) -> bool {
        match self.dtype(value) {
            DType::U8 => !self.options.native,
            DType::Bool => !self.options.native || self.kernel.lanes == Lanes::Inner,
            _ => true,
        }
    }

    fn reduction(&mut self, value: Reg) -> Accumulate {
        use AccKind::*;
        let dtype = self.dtype(value);
        let kind = match dtype {
            DType::Bool if self.options.native => self.random.pick(&[Any, All, Max, Min]),
            DType::Bool => self.random.pick(&[Any, All, Max, Min, ArgMax, ArgMin]),
            _ if self.options.native => self.random.pick(&[Sum, Sum, Prod, Max, Min]),
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

    fn cast(&mut self, x: Reg, to: DType) -> Reg {
        self.inst(InstOp::Cast(x), to)
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
            Some(reg) if self.random.below(4) > 0 => self.cast(reg, dtype),
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

    /// A dtype whose elements may lie anywhere.
    fn scattered(&mut self) -> DType {
        match self.number() {
            DType::U8 if self.options.native => DType::I32,
            dtype => dtype,
        }
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
                self.cast(x, to);
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
            DType::U8 if self.options.native => return,
            DType::U8 | DType::U32 => self.random.pick(&[Not, Abs]),
            DType::I32 | DType::I64 => self.random.pick(&[Not, Abs, Neg, Sign]),
            _ if math => self.random.pick(&[
                Exp, Expm1, Log, Log1p, Rsqrt, Sin, Cos, Tan, Tanh, Erf, Erfc, Erfinv, Lgamma, Digamma,
            ]),
            _ => self.random.pick(&[Neg, Abs, Sqrt, Floor, Ceil, Round, Sign, IsNan, IsFinite]),
        };
        if math && self.random.once_in(15) {
            self.inst(InstOp::Sigmoid(x), dtype);
            return;
        }
        let out = if matches!(op, IsNan | IsFinite) { DType::Bool } else { dtype };
        self.inst(InstOp::Unary(op, x), out);
    }

    fn binary_of(&mut self, x: Reg, y: Reg) {
        use Binary::*;
        let op = match self.dtype(x) {
            DType::Bool => self.random.pick(&[And, Or, Xor, Min, Max]),
            DType::U8 if self.options.native => self.random.pick(&[And, Or, Xor, Min, Max]),
            d if d.is_float() && self.options.math && self.random.once_in(4) => {
                self.random.pick(&[Pow, Atan2])
            }
            d if d.is_float() && self.options.native => {
                self.random.pick(&[Add, Add, Sub, Sub, Mul, Mul, Mul, Div, Min, Max])
            }
            d if d.is_float() => {
                self.random.pick(&[Add, Add, Sub, Sub, Mul, Mul, Mul, Div, Min, Max, Rem, FloorDiv])
            }
            DType::I64 if self.options.native => {
                self.random.pick(&[Add, Sub, Mul, Min, Max, And, Or, Xor, Shl, Shr])
            }
            _ if self.options.native => {
                self.random.pick(&[Add, Sub, Mul, Div, Rem, FloorDiv, Min, Max, And, Or, Xor, Shl, Shr])
            }
            _ => {
                self.random.pick(&[Add, Sub, Mul, Div, Rem, FloorDiv, Min, Max, And, Or, Xor, Shl, Shr, Pow])
            }
        };
        self.binary(op, x, y);
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
