//! Matrix products with their epilogues.

use super::compile::{elem, matrix, right};
use super::epilogue::{Direct, Number, Source};
use super::{ExecError, part};
use crate::code::Code;
use crate::gemm::{BLayout, Block, CLayout, Epilogue, GemmPlan, GemmSpec, WrappingInt};
use crate::isa::Isa;
use crate::pool::Team;
use crate::vm;
use std::ops::Range;
use std::sync::Arc;
use wootz_ir::DType;
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
    /// They are finished while they are in registers, then they are stored.
    Direct(Direct, BufferId),
    /// The VM takes them from scratch memory.
    Code(Arc<Code>),
}

/// The pointers that a product works on.
pub(super) struct Operands<'a> {
    pub(super) lhs: *const u8,
    pub(super) rhs: *const u8,
    /// The buffer of `Finish::Store` and `Finish::Direct`.
    pub(super) out: *mut u8,
    pub(super) extra: Extra<*const u8>,
    /// The arguments of the epilogue's code.
    pub(super) args: &'a [*mut u8],
    pub(super) work: *mut u8,
    pub(super) work_stride: usize,
    pub(super) scratch: *mut u8,
}

/// What `Finish::Direct` reads; null for what it does not.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Extra<T> {
    pub(super) scale: T,
    pub(super) addend: T,
    pub(super) bias: T,
}

impl<T> Extra<T> {
    pub(super) fn map<R>(self, mut f: impl FnMut(T) -> R) -> Extra<R> {
        Extra { scale: f(self.scale), addend: f(self.addend), bias: f(self.bias) }
    }
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

/// Products of integers with fewer multiplications are left to one thread.
const SHARED: usize = 50_000;

/// The pointers of a product of integers, shared by the threads.
struct Shared<'a>(&'a Operands<'a>);

// SAFETY: threads write disjoint rows, and each has its own scratch and working memory.
unsafe impl Sync for Shared<'_> {}

impl Shared<'_> {
    fn get(&self) -> &Operands<'_> {
        self.0
    }
}

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
    pub(super) fn compile(
        step: &GemmStep,
        isa: Isa,
        code: &mut dyn FnMut(&Arc<Kernel>) -> Arc<Code>,
    ) -> Result<Product, ExecError> {
        let args = step.epilogue.as_ref().map_or(vec![], |e| e.args.clone());
        let (finish, args) = match (step.out, &step.epilogue) {
            (None, Some(epilogue)) => match super::epilogue::direct(step) {
                Some((direct, out)) => (Finish::Direct(direct, out), vec![]),
                None => (Finish::Code(code(&epilogue.kernel)), args),
            },
            // Sums of 16-bit floats are f32: rounding them is an epilogue.
            (Some(out), _) if matches!(step.dtype, DType::F16 | DType::BF16) => {
                (Finish::Code(code(&Arc::new(rounding(step)))), vec![out])
            }
            (Some(out), _) => (Finish::Store(out), args),
            (None, None) => (Finish::Code(code(&Arc::new(nothing(step)))), vec![]),
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
                    accumulate: matches!(finish, Finish::Direct(Direct { addend: Some(_), .. }, _)),
                },
                isa,
            )?),
            None => None,
        };
        Ok(Product { step: step.clone(), plan, finish, args })
    }

    pub(super) fn scratch_bytes(&self, threads: usize) -> usize {
        match &self.plan {
            Some(plan) => plan.scratch_bytes(threads),
            // A row of integers a thread.
            None => 8 * self.step.n * threads,
        }
    }

    /// The left operand and the right one, each with its offset in bytes, and the result, if there is one.
    pub(super) fn buffers(&self) -> ([(BufferId, usize); 2], Option<BufferId>) {
        let size = self.step.dtype.size();
        let (rhs, offset) = right(&self.step);
        let operands = [(self.step.lhs.buffer, self.step.lhs.offset * size), (rhs, offset * size)];
        match self.finish {
            Finish::Store(out) | Finish::Direct(_, out) => (operands, Some(out)),
            Finish::Code(_) => (operands, None),
        }
    }

    /// The buffers of [`Extra`].
    pub(super) fn extra(&self) -> Extra<Option<BufferId>> {
        let Finish::Direct(direct, out) = &self.finish else { return Extra::default() };
        let scale = direct.scale.and_then(|s| match s.value {
            Source::Buffer(buffer) => Some(buffer),
            Source::Constant(_) => None,
        });
        // Of the result itself, null says that it is updated in place.
        Extra { scale, addend: direct.addend.filter(|b| b != out), bias: direct.bias }
    }

    /// A factor as a number.
    ///
    /// # Safety
    /// `from` is the factor's buffer, if it has one.
    unsafe fn factor(&self, factor: Number, from: *const u8) -> f64 {
        // SAFETY: the caller's contract.
        let value = unsafe {
            match (factor.value, self.step.dtype) {
                (Source::Constant(value), _) => value,
                (Source::Buffer(_), DType::F64) => from.cast::<f64>().read(),
                (Source::Buffer(_), _) => from.cast::<f32>().read().into(),
            }
        };
        if factor.negative { -value } else { value }
    }

    /// Computes the product.
    ///
    /// # Safety
    /// The pointers are those of the step's buffers, `work` holds `work_stride` bytes for each of the team's threads,
    /// `scratch` what [`Product::scratch_bytes`] says.
    pub(super) unsafe fn run(&self, team: &Team<'_>, on: &Operands<'_>) {
        // SAFETY: the caller's contract.
        unsafe {
            let Some(plan) = &self.plan else { return self.integers(team, on) };
            match &self.finish {
                Finish::Store(_) => plan.run(team, on.lhs, on.rhs, on.out, on.scratch, &Epilogue::NONE),
                Finish::Direct(direct, _) => {
                    let epilogue = Epilogue {
                        scale: direct.scale.map(|s| self.factor(s, on.extra.scale)),
                        addend: on.extra.addend,
                        bias: on.extra.bias,
                        relu: direct.relu,
                        hook: None,
                    };
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
    unsafe fn integers(&self, team: &Team<'_>, on: &Operands<'_>) {
        let rows = self.step.batch * self.step.m;
        let tasks = match team.threads() {
            threads if rows * self.step.n * self.step.k >= SHARED => rows.min(4 * threads),
            _ => 1,
        };
        let shared = Shared(on);
        // SAFETY: the caller's contract; parts of the rows are disjoint, each worker has its own row of scratch memory.
        team.run(tasks, &|task, worker| unsafe {
            let (rows, on) = (part(rows, tasks, task), shared.get());
            match self.step.dtype {
                DType::U32 => self.rows::<u32>(on, rows, worker),
                DType::I32 => self.rows::<i32>(on, rows, worker),
                DType::I64 => self.rows::<i64>(on, rows, worker),
                _ => self.rows::<u8>(on, rows, worker),
            }
        });
    }

    /// Some of the rows of all matrices, one after another.
    ///
    /// # Safety
    /// As [`Product::run`]; the operands' elements are `T`.
    unsafe fn rows<T: WrappingInt>(&self, on: &Operands<'_>, rows: Range<usize>, worker: usize) {
        let step = &self.step;
        let Rhs::Matrix(right) = &step.rhs else { return };
        let (lhs, rhs) = (on.lhs.cast::<T>(), on.rhs.cast::<T>());
        for at in rows {
            let (batch, i) = (at / step.m, at % step.m);
            let (left_at, right_at) = (step.lhs.batch_offset(batch), right.batch_offset(batch));
            // SAFETY: the caller's contract.
            unsafe {
                let to = match self.finish {
                    Finish::Code(_) => on.scratch.add(worker * 8 * step.n).cast::<T>(),
                    _ => on.out.cast::<T>().add(at * step.n),
                };
                let row = std::slice::from_raw_parts_mut(to, step.n);
                row.fill(T::default());
                for p in 0..step.k {
                    let x = *lhs.add(left_at + i * step.lhs.row + p * step.lhs.col);
                    let from = rhs.add(right_at + p * right.row);
                    for (j, sum) in row.iter_mut().enumerate() {
                        *sum = sum.wrapping_mul_add(x, *from.add(j * right.col));
                    }
                }
                if let Finish::Code(code) = &self.finish {
                    let data = to.cast_const().cast();
                    let (rows, cols) = (1, step.n);
                    let block = vm::Block { batch, row: i, col: 0, rows, cols, data, row_stride: 0 };
                    code.run_block(on.args, &block, on.work.add(worker * on.work_stride));
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
        Inst { out: None, op: InstOp::Store { arg: ArgId(0), at: Box::new(at), value: Reg(0) } },
    ];
    Kernel {
        args: vec![Arg { dtype: step.dtype, write: true }],
        stages: vec![Stage { body, ..Stage::default() }],
        regs: vec![step.dtype.compute()],
        ..nothing(step)
    }
}
