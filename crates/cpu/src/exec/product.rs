//! Matrix products with their epilogues.

use super::ExecError;
use super::compile::{elem, matrix, right};
use crate::gemm::{BLayout, Block, CLayout, Epilogue, GemmPlan, GemmSpec, WrappingInt};
use crate::isa::Isa;
use crate::pool::Team;
use crate::vm::{self, Code};
use std::sync::Arc;
use wootz_ir::ops::Binary;
use wootz_ir::{DType, F64};
use wootz_plan::kernel::{Address, Arg, ArgId, Inst, InstOp, Lanes, Reg, Stage};
use wootz_plan::{BufferId, GemmStep, Kernel, Rhs};

/// A compiled product.
pub(super) struct Product {
    step: GemmStep,
    /// The plan of a product of floats.
    plan: Option<GemmPlan>,
    finish: Finish,
    /// The buffers of the epilogue's arguments.
    pub(super) args: Vec<BufferId>,
}

/// What happens to finished elements.
enum Finish {
    /// They are stored as they are, in the buffer.
    Store(BufferId),
    /// Bias and ReLU are applied while they are in registers, then they are stored.
    Direct { out: BufferId, bias: Option<BufferId>, relu: bool },
    /// The VM takes them from scratch memory.
    Code(Arc<Code>),
}

/// The pointers that a product works on.
pub(super) struct Operands<'a> {
    pub(super) lhs: *const u8,
    pub(super) rhs: *const u8,
    /// The buffer of `Finish::Store` and `Finish::Direct`.
    pub(super) out: *mut u8,
    pub(super) bias: *const u8,
    /// The arguments of the epilogue's code.
    pub(super) args: &'a [*mut u8],
    pub(super) work: *mut u8,
    pub(super) work_stride: usize,
    pub(super) scratch: *mut u8,
}

/// What the epilogue's hook needs, shared by the threads.
struct Hook<'a> {
    code: &'a Code,
    args: &'a [*mut u8],
    work: *mut u8,
    work_stride: usize,
}

// SAFETY: blocks are disjoint, and each worker has its own working memory.
unsafe impl Sync for Hook<'_> {}

impl Hook<'_> {
    fn block(&self, block: &Block) {
        let part = vm::Block {
            batch: block.batch,
            row: block.row,
            col: block.col,
            rows: block.rows,
            cols: block.cols,
            data: block.c,
            row_stride: block.row_stride,
        };
        // SAFETY: the product hands out each part once, on the worker it names; see `Product::run`.
        unsafe { self.code.run_block(self.args, &part, self.work.add(block.worker * self.work_stride)) }
    }
}

impl Product {
    pub(super) fn compile(step: &GemmStep, code: Option<Arc<Code>>, isa: Isa) -> Result<Product, ExecError> {
        let args = step.epilogue.as_ref().map_or(vec![], |e| e.args.clone());
        let (finish, args) = match (step.out, code) {
            (None, Some(code)) => match direct(step) {
                Some(direct) => (direct, vec![]),
                None => (Finish::Code(code), args),
            },
            // Sums of 16-bit floats are f32: rounding them is an epilogue.
            (Some(out), _) if matches!(step.dtype, DType::F16 | DType::BF16) => {
                let code = Code::compile_epilogue(&rounding(step), isa);
                (Finish::Code(Arc::new(code)), vec![out])
            }
            (Some(out), _) => (Finish::Store(out), args),
            (None, None) => (Finish::Code(Arc::new(Code::compile_epilogue(&nothing(step), isa))), vec![]),
        };
        let plan = match elem(step.dtype) {
            Some(elem) => Some(GemmPlan::new(
                &GemmSpec {
                    batch: step.batch,
                    m: step.m,
                    n: step.n,
                    k: step.k,
                    a: matrix(&step.lhs, elem),
                    b: match &step.rhs {
                        Rhs::Matrix(m) => BLayout::Strided(matrix(m, elem)),
                        Rhs::Packed(_) => BLayout::Packed { batch_stride: 0 },
                    },
                    c: match finish {
                        Finish::Code(_) => CLayout::Tile,
                        _ => {
                            let batch_stride = (step.m * step.n) as isize;
                            CLayout::Rows { row_stride: step.n as isize, batch_stride }
                        }
                    },
                    accumulate: false,
                },
                isa,
            )?),
            None => None,
        };
        Ok(Product { step: step.clone(), plan, finish, args })
    }

    pub(super) fn work_bytes(&self) -> usize {
        match &self.finish {
            Finish::Code(code) => code.work_bytes(),
            _ => 0,
        }
    }

    pub(super) fn scratch_bytes(&self, threads: usize) -> usize {
        match &self.plan {
            Some(plan) => plan.scratch_bytes(threads),
            // A row of integers.
            None => 8 * self.step.n,
        }
    }

    /// The left operand, the right one, each with its offset in bytes, the result and the bias, where there are any.
    pub(super) fn buffers(&self) -> ([(BufferId, usize); 2], Option<BufferId>, Option<BufferId>) {
        let size = self.step.dtype.size();
        let (rhs, offset) = right(&self.step);
        let operands = [(self.step.lhs.buffer, self.step.lhs.offset * size), (rhs, offset * size)];
        match self.finish {
            Finish::Store(out) => (operands, Some(out), None),
            Finish::Direct { out, bias, .. } => (operands, Some(out), bias),
            Finish::Code(_) => (operands, None, None),
        }
    }

    /// Computes the product.
    ///
    /// # Safety
    /// The pointers are those of the step's buffers, `work` holds `work_stride` bytes for each of the team's threads,
    /// `scratch` what [`Product::scratch_bytes`] says.
    pub(super) unsafe fn run(&self, team: &Team<'_>, on: &Operands<'_>) {
        // SAFETY: the caller's contract.
        unsafe {
            let Some(plan) = &self.plan else { return self.integers(on) };
            match &self.finish {
                Finish::Store(_) => plan.run(team, on.lhs, on.rhs, on.out, on.scratch, &Epilogue::NONE),
                Finish::Direct { relu, .. } => {
                    let epilogue = Epilogue { bias: on.bias, relu: *relu, ..Epilogue::NONE };
                    plan.run(team, on.lhs, on.rhs, on.out, on.scratch, &epilogue);
                }
                Finish::Code(code) => {
                    let hook = Hook { code, args: on.args, work: on.work, work_stride: on.work_stride };
                    let call = |block: &Block| hook.block(block);
                    let epilogue = Epilogue { hook: Some(&call), ..Epilogue::NONE };
                    plan.run(team, on.lhs, on.rhs, std::ptr::null_mut(), on.scratch, &epilogue);
                }
            }
        }
    }

    /// # Safety
    /// As [`Product::run`].
    unsafe fn integers(&self, on: &Operands<'_>) {
        // SAFETY: the caller's contract.
        unsafe {
            match self.step.dtype {
                DType::U32 => self.rows::<u32>(on),
                DType::I32 => self.rows::<i32>(on),
                DType::I64 => self.rows::<i64>(on),
                _ => self.rows::<u8>(on),
            }
        }
    }

    /// # Safety
    /// As [`Product::run`]; the operands' elements are `T`.
    unsafe fn rows<T: WrappingInt>(&self, on: &Operands<'_>) {
        let step = &self.step;
        let Rhs::Matrix(right) = &step.rhs else { return };
        let (lhs, rhs) = (on.lhs.cast::<T>(), on.rhs.cast::<T>());
        for batch in 0..step.batch {
            for i in 0..step.m {
                // SAFETY: the caller's contract.
                unsafe {
                    let to = match self.finish {
                        Finish::Code(_) => on.scratch.cast::<T>(),
                        _ => on.out.cast::<T>().add((batch * step.m + i) * step.n),
                    };
                    let row = std::slice::from_raw_parts_mut(to, step.n);
                    row.fill(T::default());
                    for p in 0..step.k {
                        let x = *lhs.add(batch * step.lhs.batch + i * step.lhs.row + p * step.lhs.col);
                        let from = rhs.add(batch * right.batch + p * right.row);
                        for (j, sum) in row.iter_mut().enumerate() {
                            *sum = sum.wrapping_mul_add(x, *from.add(j * right.col));
                        }
                    }
                    if let Finish::Code(code) = &self.finish {
                        let data = to.cast_const().cast();
                        let (rows, cols) = (1, step.n);
                        let block = vm::Block { batch, row: i, col: 0, rows, cols, data, row_stride: 0 };
                        code.run_block(on.args, &block, on.work);
                    }
                }
            }
        }
    }
}

/// An epilogue that does nothing, for a product that nothing reads.
fn nothing(step: &GemmStep) -> Kernel {
    let grid = [step.batch, step.m, step.n].into_iter().collect();
    Kernel { grid, lanes: Lanes::Grid, args: vec![], stages: vec![], regs: vec![] }
}

/// An epilogue that stores the product, rounded to the step's dtype.
fn rounding(step: &GemmStep) -> Kernel {
    let strides = [(step.m * step.n) as i64, step.n as i64, 1].into_iter().collect();
    let at = Address { offset: 0, strides, index: None };
    let body = vec![
        Inst { out: Some(Reg(0)), op: InstOp::Tile },
        Inst { out: None, op: InstOp::Store { arg: ArgId(0), at, value: Reg(0) } },
    ];
    Kernel {
        args: vec![Arg { dtype: step.dtype, write: true }],
        stages: vec![Stage { body, ..Stage::default() }],
        regs: vec![step.dtype.compute()],
        ..nothing(step)
    }
}

/// The epilogue as bias and ReLU, if it is no more than that.
fn direct(step: &GemmStep) -> Option<Finish> {
    let epilogue = step.epilogue.as_ref()?;
    let kernel = &epilogue.kernel;
    let [stage] = &kernel.stages[..] else { return None };
    if !stage.loops.is_empty() || !matches!(step.dtype, DType::F32 | DType::F64) {
        return None;
    }
    let row_major = [(step.m * step.n) as i64, step.n as i64, 1];
    let sizes = [step.batch, step.m, step.n];
    let walks = |at: &Address, strides: [i64; 3]| {
        at.offset == 0 && at.index.is_none() && (0..3).all(|i| sizes[i] == 1 || at.stride(i) == strides[i])
    };
    // The registers that hold the product so far, the bias, and zero.
    let (mut value, mut bias, mut zero) = (None, None, None);
    let (mut has_bias, mut relu, mut out) = (None, false, None);
    for inst in &stage.body {
        if out.is_some() {
            return None;
        }
        match &inst.op {
            InstOp::Tile => value = inst.out,
            InstOp::Load { arg, at, mask: None } if walks(at, [0, 0, 1]) => {
                let same = kernel.args[arg.0 as usize].dtype == step.dtype;
                bias = Some((inst.out.filter(|_| same)?, *arg));
            }
            InstOp::Float(F64(v)) if v.to_bits() == 0 => zero = inst.out,
            InstOp::Binary(Binary::Add, x, y) if !relu && has_bias.is_none() => {
                let (bias, arg) = bias?;
                let operands = [Some(*x), Some(*y)];
                if operands != [value, Some(bias)] && operands != [Some(bias), value] {
                    return None;
                }
                (value, has_bias) = (inst.out, Some(epilogue.args[arg.0 as usize]));
            }
            InstOp::Binary(Binary::Max, x, y) if !relu => {
                let operands = [Some(*x), Some(*y)];
                if zero.is_none() || (operands != [value, zero] && operands != [zero, value]) {
                    return None;
                }
                (value, relu) = (inst.out, true);
            }
            InstOp::Store { arg, at, value: stored } if Some(*stored) == value && walks(at, row_major) => {
                out = Some(epilogue.args[arg.0 as usize]);
            }
            _ => return None,
        }
    }
    Some(Finish::Direct { out: out?, bias: has_bias, relu })
}
