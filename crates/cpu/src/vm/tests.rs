//! The VM against an interpreter of the kernel language that works element by element.

use super::{Code, lanes};
use crate::isa::Isa;
use proptest::prelude::*;
use wootz_ir::ops::{Binary, Compare, Unary};
use wootz_ir::{DType, Dims, F64};
use wootz_plan::kernel::{AccKind, Accumulate, Address, Arg, ArgId, Inst, InstOp, LANES, Lanes, Reg, Stage};
use wootz_plan::{Kernel, verify_kernel};

/// Elements of arguments, each of f64, i64 or bool.
type Memory = Vec<Vec<f64>>;

/// Everything is an `f64`: the integers that tests use are small.
struct Interpreter<'k> {
    kernel: &'k Kernel,
    memory: Memory,
    regs: Vec<f64>,
}

/// Calls `f` for every index of the loops, row-major.
fn each(loops: &[usize], mut f: impl FnMut(&[usize])) {
    let count: usize = loops.iter().product();
    let mut index = vec![0; loops.len()];
    for i in 0..count {
        let mut rest = i;
        for axis in (0..loops.len()).rev() {
            index[axis] = rest % loops[axis];
            rest /= loops[axis];
        }
        f(&index);
    }
}

fn combine(kind: AccKind, x: f64, y: f64) -> f64 {
    match kind {
        AccKind::Sum => x + y,
        AccKind::Prod => x * y,
        AccKind::Max if x.is_nan() || x > y => x,
        AccKind::Min if x.is_nan() || x < y => x,
        AccKind::Any | AccKind::All | AccKind::ArgMax | AccKind::ArgMin => unreachable!("not generated"),
        AccKind::Max | AccKind::Min => y,
    }
}

fn neutral(kind: AccKind) -> f64 {
    match kind {
        AccKind::Prod => 1.0,
        AccKind::Max => f64::NEG_INFINITY,
        AccKind::Min => f64::INFINITY,
        _ => 0.0,
    }
}

impl Interpreter<'_> {
    fn run(&mut self) {
        let kernel = self.kernel;
        each(&kernel.grid, |point| {
            for stage in &kernel.stages {
                self.stage(stage, point);
            }
        });
    }

    fn stage(&mut self, stage: &Stage, point: &[usize]) {
        let lanes = if self.kernel.lanes == Lanes::Inner { LANES } else { 1 };
        let mut partial: Vec<Vec<f64>> =
            stage.reduce.iter().map(|acc| vec![neutral(acc.kind); lanes]).collect();
        let mut best: Vec<Option<(f64, usize)>> = vec![None; stage.reduce.len()];
        let mut position = 0;
        each(&stage.loops, |inner| {
            let index: Vec<usize> = point.iter().chain(inner).copied().collect();
            for inst in &stage.body {
                self.inst(inst, &index);
            }
            let lane = inner.last().copied().unwrap_or(0) % lanes;
            for (i, acc) in stage.reduce.iter().enumerate() {
                let value = self.regs[acc.value.0 as usize];
                if acc.kind == AccKind::ArgMax {
                    if best[i].is_none_or(|(b, _)| !b.is_nan() && (value.is_nan() || value > b)) {
                        best[i] = Some((value, position));
                    }
                } else {
                    partial[i][lane] = combine(acc.kind, partial[i][lane], value);
                }
            }
            position += 1;
        });
        for (i, acc) in stage.reduce.iter().enumerate() {
            let mut half = lanes / 2;
            while half > 0 && acc.kind != AccKind::ArgMax {
                for j in 0..half {
                    partial[i][j] = combine(acc.kind, partial[i][j], partial[i][j + half]);
                }
                half /= 2;
            }
            self.regs[acc.out.0 as usize] = match acc.kind {
                AccKind::ArgMax => best[i].map_or(0, |(_, at)| at) as f64,
                _ => partial[i][0],
            };
        }
    }

    fn at(&self, at: &Address, index: &[usize]) -> usize {
        let affine: i64 = index.iter().enumerate().map(|(axis, i)| at.stride(axis) * *i as i64).sum();
        let computed = at.index.map_or(0, |r| self.regs[r.0 as usize] as i64);
        usize::try_from(at.offset + affine + computed).unwrap()
    }

    fn inst(&mut self, inst: &Inst, index: &[usize]) {
        let reg = |r: &Reg| self.regs[r.0 as usize];
        let value = match &inst.op {
            InstOp::Float(v) => v.0,
            InstOp::Int(v) => *v as f64,
            InstOp::Index(axis) => index[*axis as usize] as f64,
            InstOp::Load { mask: Some(mask), .. } if reg(mask) == 0.0 => 0.0,
            InstOp::Load { arg, at, .. } => self.memory[arg.0 as usize][self.at(at, index)],
            InstOp::Unary(Unary::Neg, x) => -reg(x),
            InstOp::Unary(Unary::Sqrt, x) => reg(x).sqrt(),
            InstOp::Binary(op, x, y) => match op {
                Binary::Add => reg(x) + reg(y),
                Binary::Sub => reg(x) - reg(y),
                Binary::Mul => reg(x) * reg(y),
                Binary::Rem => (reg(x) as i64 % reg(y) as i64) as f64,
                _ => unreachable!("not generated"),
            },
            InstOp::Compare(Compare::Lt, x, y) => f64::from(u8::from(reg(x) < reg(y))),
            InstOp::Select(c, x, y) => {
                if reg(c) != 0.0 {
                    reg(x)
                } else {
                    reg(y)
                }
            }
            InstOp::Fma(x, y, z) => reg(x).mul_add(reg(y), reg(z)),
            InstOp::Cast(x) => reg(x),
            InstOp::Store { arg, at, value } => {
                let (to, value) = (self.at(at, index), reg(value));
                self.memory[arg.0 as usize][to] = value;
                return;
            }
            other => unreachable!("{other:?} is not generated"),
        };
        self.regs[inst.out.unwrap().0 as usize] = value;
    }
}

/// Builds kernels from random choices. All arguments hold f64; argument 0 is read, the others are written.
struct Generator {
    kernel: Kernel,
    /// Registers of f64, i64 and bool that later code may use.
    floats: Vec<Reg>,
    ints: Vec<Reg>,
    bools: Vec<Reg>,
    choices: std::vec::IntoIter<usize>,
}

/// Elements of the read argument.
const SOURCE: usize = 4096;

impl Generator {
    fn next(&mut self) -> usize {
        self.choices.next().unwrap_or(0)
    }

    fn push(&mut self, stage: &mut Stage, op: InstOp, dtype: DType) -> Reg {
        self.kernel.regs.push(dtype);
        let reg = Reg(self.kernel.regs.len() as u32 - 1);
        stage.body.push(Inst { out: Some(reg), op });
        match dtype {
            DType::Bool => self.bools.push(reg),
            DType::I64 => self.ints.push(reg),
            _ => self.floats.push(reg),
        }
        reg
    }

    fn float(&mut self) -> Reg {
        let i = self.next();
        self.floats[i % self.floats.len()]
    }

    fn inst(&mut self, stage: &mut Stage) {
        let axes = self.kernel.grid.len() + stage.loops.len();
        let sizes: Vec<usize> = self.kernel.grid.iter().chain(&stage.loops).copied().collect();
        let (x, y, z) = (self.float(), self.float(), self.float());
        match self.next() % 10 {
            0 => drop(self.push(stage, InstOp::Binary(Binary::Add, x, y), DType::F64)),
            1 => drop(self.push(stage, InstOp::Binary(Binary::Mul, x, y), DType::F64)),
            2 => drop(self.push(stage, InstOp::Unary(Unary::Neg, x), DType::F64)),
            3 => drop(self.push(stage, InstOp::Fma(x, y, z), DType::F64)),
            4 => {
                let less = self.push(stage, InstOp::Compare(Compare::Lt, x, y), DType::Bool);
                self.push(stage, InstOp::Select(less, y, z), DType::F64);
            }
            5 if axes > 0 => {
                let axis = self.next() % axes;
                let index = self.push(stage, InstOp::Index(axis as u32), DType::I64);
                self.push(stage, InstOp::Cast(index), DType::F64);
            }
            6 if !self.ints.is_empty() => {
                let i = self.next() % self.ints.len();
                let limit = self.push(stage, InstOp::Int(50), DType::I64);
                let index = self.push(stage, InstOp::Binary(Binary::Rem, self.ints[i], limit), DType::I64);
                let at = Address { offset: 3, strides: Default::default(), index: Some(index) };
                let mask = self.bools.last().copied();
                self.push(stage, InstOp::Load { arg: ArgId(0), at: at.into(), mask }, DType::F64);
            }
            7 => drop(self.push(stage, InstOp::Float(F64(0.75)), DType::F64)),
            _ => {
                // Strides 0, 1, 3 in bounds whatever the sizes.
                let strides = sizes.iter().map(|_| [0, 1, 1, 3][self.next() % 4]).collect();
                let at = Address { offset: (self.next() % 5) as i64, strides, index: None };
                self.push(stage, InstOp::Load { arg: ArgId(0), at: at.into(), mask: None }, DType::F64);
            }
        }
    }

    fn stage(&mut self, loops: Dims) {
        let mut stage = Stage { loops, ..Stage::default() };
        let known = (self.floats.len(), self.ints.len(), self.bools.len());
        self.push(&mut stage, InstOp::Float(F64(1.5)), DType::F64);
        for _ in 0..2 + self.next() % 8 {
            self.inst(&mut stage);
        }
        if self.next().is_multiple_of(2) {
            let value = *self.floats.last().unwrap();
            let sizes: Vec<usize> = self.kernel.grid.iter().chain(&stage.loops).copied().collect();
            let mut strides = vec![1i64; sizes.len()];
            for axis in (1..sizes.len()).rev() {
                strides[axis - 1] = strides[axis] * sizes[axis] as i64;
            }
            let arg = ArgId(self.kernel.args.len() as u32);
            self.kernel.args.push(Arg { dtype: DType::F64, write: true });
            let at = Address { offset: 0, strides: strides.into_iter().collect(), index: None };
            stage.body.push(Inst { out: None, op: InstOp::Store { arg, at: at.into(), value } });
        }
        let values: Vec<Reg> = (0..self.next() % 3).map(|_| self.float()).collect();
        if !stage.loops.is_empty() {
            self.floats.truncate(known.0);
            self.ints.truncate(known.1);
            self.bools.truncate(known.2);
        }
        for value in values {
            let kinds = [AccKind::Sum, AccKind::Max, AccKind::Min, AccKind::ArgMax];
            let kind = kinds[self.next() % kinds.len()];
            let dtype = if kind == AccKind::ArgMax { DType::I64 } else { DType::F64 };
            self.kernel.regs.push(dtype);
            let out = Reg(self.kernel.regs.len() as u32 - 1);
            stage.reduce.push(Accumulate { kind, value, out });
            if dtype == DType::F64 { self.floats.push(out) } else { self.ints.push(out) }
        }
        self.kernel.stages.push(stage);
    }
}

fn generate(grid: &[usize], loops: &[Vec<usize>], inner: bool, choices: Vec<usize>) -> Kernel {
    let kernel = Kernel {
        grid: grid.iter().copied().collect(),
        lanes: if inner { Lanes::Inner } else { Lanes::Grid },
        args: vec![Arg { dtype: DType::F64, write: false }],
        stages: vec![],
        regs: vec![],
    };
    let choices = choices.into_iter();
    let mut generator = Generator { kernel, floats: vec![], ints: vec![], bools: vec![], choices };
    for loops in loops {
        generator.stage(loops.iter().copied().collect());
    }
    generator.kernel
}

/// Elements of an argument's buffer, with room for canaries.
const ROOM: usize = 1 << 15;
const CANARY: f64 = -7777.25;

fn run(kernel: &Kernel, isa: Isa, memory: &Memory, cut: usize) -> Memory {
    let code = Code::compile_along(kernel, lane_axis(kernel), isa);
    let mut memory: Memory = memory.clone();
    let args: Vec<*mut u8> = memory.iter_mut().map(|m| m.as_mut_ptr().cast()).collect();
    // Dirty working memory must not show.
    let mut work = vec![[0x3fu64; 8]; code.work_bytes().div_ceil(64) + 1];
    let offset = work.as_ptr().cast::<u8>().align_offset(64);
    // SAFETY: arguments and working memory are large enough; addresses stay within `ROOM`.
    unsafe {
        let work = work.as_mut_ptr().cast::<u8>().add(offset);
        let units = code.units();
        code.run(&args, 0..cut.min(units), work);
        code.run(&args, cut.min(units)..units, work);
    }
    memory
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn agrees_with_the_interpreter(
        grid in prop::collection::vec(1usize..7, 0..3),
        loops in prop::collection::vec(prop::collection::vec(0usize..5, 0..3), 1..4),
        wide in 1usize..150,
        inner: bool,
        choices in prop::collection::vec(0usize..1000, 80),
        cut in 0usize..6,
    ) {
        let (mut grid, mut loops) = (grid, loops);
        match inner {
            true => loops.iter_mut().filter_map(|l| l.last_mut()).for_each(|n| *n = wide),
            false => grid.iter_mut().last().into_iter().for_each(|n| *n = wide),
        }
        let kernel = generate(&grid, &loops, inner, choices);
        prop_assert_eq!(verify_kernel(&kernel), Ok(()));
        let source: Vec<f64> = (0..SOURCE).map(|i| ((i * 37 % 101) as f64 - 50.0) / 8.0).collect();
        let mut memory: Memory = vec![vec![CANARY; ROOM]; kernel.args.len()];
        memory[0][..SOURCE].copy_from_slice(&source);
        let regs = vec![0.0; kernel.regs.len()];
        let mut interpreter = Interpreter { kernel: &kernel, memory: memory.clone(), regs };
        interpreter.run();
        for isa in Isa::available() {
            let got = run(&kernel, isa, &memory, cut);
            for (arg, (got, want)) in got.iter().zip(&interpreter.memory).enumerate() {
                for (i, (g, w)) in got.iter().zip(want).enumerate() {
                    let same = g == w || (g.is_nan() && w.is_nan());
                    prop_assert!(same, "argument {} element {}: {} for {} on {}\n{}", arg, i, g, w, isa, kernel);
                }
            }
        }
    }
}

/// One lane of a binary op on i64.
fn scalar(op: Binary, dtype: DType, x: i64, y: i64) -> i64 {
    let mut out = 0i64;
    let f = lanes::binary(op, dtype, lanes::Splats::default(), Isa::Portable);
    let (x, y) = (&raw const x, &raw const y);
    // SAFETY: one lane each.
    unsafe { f((&raw mut out).cast(), x.cast(), y.cast(), x.cast(), 1) };
    out
}

#[test]
fn integers_at_their_edges() {
    let cases = [
        (Binary::Div, i64::MIN, -1, i64::MIN),
        (Binary::Div, 7, 0, 0),
        (Binary::Div, -7, 2, -3),
        (Binary::Rem, i64::MIN, -1, 0),
        (Binary::Rem, -7, 2, -1),
        (Binary::FloorDiv, -7, 2, -4),
        (Binary::FloorDiv, 7, 0, 0),
        (Binary::Pow, -1, -3, -1),
        (Binary::Pow, -1, -2, 1),
        (Binary::Pow, 2, -1, 0),
        (Binary::Pow, 3, 4, 81),
        (Binary::Shl, 1, 64, 0),
        (Binary::Shl, 1, -1, 0),
        (Binary::Shr, -8, 1, -4),
        (Binary::Shr, -8, 64, -1),
        (Binary::Shr, 8, -1, 0),
    ];
    for (op, x, y, want) in cases {
        assert_eq!(scalar(op, DType::I64, x, y), want, "{op:?} {x} {y}");
    }
}

/// The grid loop that tiles run along.
fn lane_axis(kernel: &Kernel) -> Option<usize> {
    kernel.grid.len().checked_sub(1).filter(|_| kernel.lanes == Lanes::Grid)
}
