//! Plan → [`Program`].

use super::product::Product;
use super::{ExecError, Loop, Op, Program, Routine, Scan, Steps, Sub};
use crate::code::{Batch, Code};
use crate::gemm;
use crate::isa::Isa;
use crate::jit::Declined;
use std::collections::HashMap;
use std::sync::Arc;
use wootz_ir::DType;
use wootz_plan::{
    BufferId, ControlStep, GemmStep, Kernel, Matrix, Place, Plan, Rhs, Step, StepKind, SubPlan,
};

/// Nanoseconds of steps between two questions whether to stop.
const PAUSE: f64 = 1e6;

impl Program {
    /// Compiles a plan for an instruction set and at most `threads` threads, with or without machine code.
    pub(crate) fn compile(plan: &Plan, isa: Isa, jit: bool, threads: usize) -> Result<Program, ExecError> {
        let threads = threads.max(1);
        let program = Program {
            routines: vec![],
            table: 0,
            most_args: 0,
            work: 0,
            scratch: 0,
            threads,
            isa,
            declined: vec![],
        };
        let mut batch = Batch::new(isa, jit);
        batch.add_all(&plans(plan).into_iter().flat_map(kernels).collect::<Vec<_>>(), threads)?;
        let mut compiler = Compiler { program, isa, batch, codes: vec![], routines: HashMap::new() };
        compiler.routine(plan)?;
        let Compiler { mut program, batch, codes, .. } = compiler;
        batch.finish();
        program.work = codes.iter().map(|c| c.work_bytes()).max().unwrap_or(0);
        program.declined = codes.iter().filter_map(|c| c.declined()).collect();
        Ok(program)
    }

    /// Why the tile VM runs kernels, one reason a kernel that it runs.
    pub(crate) fn declined(&self) -> &[Declined] {
        &self.declined
    }
}

/// The kernels that are steps of a plan.
fn kernels(plan: &Plan) -> impl Iterator<Item = &Arc<Kernel>> {
    plan.prepare.iter().chain(&plan.steps).filter_map(|step| match &step.kind {
        StepKind::Kernel { kernel, .. } => Some(kernel),
        _ => None,
    })
}

/// A plan and those it calls, in the order of a program's routines: callees first, each once.
pub(crate) fn plans(plan: &Plan) -> Vec<&Plan> {
    let mut found = Vec::new();
    collect(plan, &mut found);
    found
}

fn collect<'a>(plan: &'a Plan, found: &mut Vec<&'a Plan>) {
    for step in plan.prepare.iter().chain(&plan.steps) {
        let StepKind::Control(control) = &step.kind else { continue };
        let called = match &**control {
            ControlStep::Call { body, .. } | ControlStep::Scan { body, .. } => [Some(body), None],
            ControlStep::Cond { then, otherwise, .. } => [Some(then), Some(otherwise)],
            ControlStep::While { cond, body, .. } => [Some(cond), Some(body)],
        };
        for sub in called.into_iter().flatten() {
            if !found.iter().any(|p| std::ptr::eq(*p, Arc::as_ptr(&sub.plan))) {
                collect(&sub.plan, found);
            }
        }
    }
    found.push(plan);
}

struct Compiler {
    program: Program,
    isa: Isa,
    batch: Batch,
    /// The kernels' and epilogues' code.
    codes: Vec<Arc<Code>>,
    /// Compiled plans, by identity.
    routines: HashMap<*const Plan, usize>,
}

/// The element type of a product of floats.
pub(super) fn elem(dtype: DType) -> Option<gemm::Elem> {
    Some(match dtype {
        DType::F16 => gemm::Elem::F16,
        DType::BF16 => gemm::Elem::Bf16,
        DType::F32 => gemm::Elem::F32,
        DType::F64 => gemm::Elem::F64,
        _ => return None,
    })
}

/// A plan's matrix as the product sees it.
pub(super) fn matrix(of: &Matrix, elem: gemm::Elem) -> gemm::Matrix {
    gemm::Matrix {
        elem,
        row_stride: of.row as isize,
        col_stride: of.col as isize,
        batch_stride: of.batch as isize,
        group: of.group,
        group_stride: of.group_stride as isize,
    }
}

impl Compiler {
    fn routine(&mut self, plan: &Plan) -> Result<usize, ExecError> {
        let prepare = self.steps(plan, &plan.prepare)?;
        let steps = self.steps(plan, &plan.steps)?;
        let table = self.program.table;
        self.program.table += plan.buffers.len();
        let stays = |place| matches!(place, Place::Arena(_) | Place::Constant(_));
        let buffers = (0..).map(BufferId).zip(&plan.buffers);
        let foreign = buffers.filter(|(_, b)| !stays(b.place)).map(|(id, _)| id).collect();
        self.program.routines.push(Routine {
            index: self.program.routines.len() as u32,
            prepare,
            steps,
            constants: plan.constants.clone(),
            places: plan.buffers.iter().map(|b| b.place).collect(),
            foreign,
            table,
            inputs: plan.inputs.clone(),
            outputs: plan.outputs.clone(),
            arena: plan.arena,
            prepared: plan.prepared.clone(),
        });
        Ok(self.program.routines.len() - 1)
    }

    fn steps(&mut self, plan: &Plan, steps: &[Step]) -> Result<Steps, ExecError> {
        let mut made = Steps { ops: Vec::with_capacity(steps.len()), ..Steps::default() };
        let mut since = 0.0;
        for step in steps {
            let (op, cost) = self.step(plan, step)?;
            made.ops.push(op);
            made.cost += cost;
            since += cost;
            if since >= PAUSE {
                made.pauses.push(made.ops.len());
                since = 0.0;
            }
        }
        Ok(made)
    }

    /// A step with its estimated nanoseconds.
    fn step(&mut self, plan: &Plan, step: &Step) -> Result<(Op, f64), ExecError> {
        Ok(match &step.kind {
            StepKind::Kernel { kernel, args } => {
                let code = self.code(kernel, false);
                self.program.most_args = self.program.most_args.max(args.len());
                let cost = code.cost();
                (Op::Kernel { code, args: args.clone() }, cost)
            }
            StepKind::Gemm(gemm) => self.gemm(gemm)?,
            StepKind::PackRhs { k, n, rhs, out } => {
                let dtype = plan.buffers[rhs.buffer.0 as usize].dtype;
                let elem = elem(dtype).unwrap_or(gemm::Elem::F32);
                let op = Op::Pack {
                    matrix: matrix(rhs, elem),
                    k: *k,
                    n: *n,
                    from: rhs.buffer,
                    offset: rhs.offset * dtype.size(),
                    to: *out,
                };
                (op, (k * n) as f64)
            }
            StepKind::Copy { from, to, bytes } => {
                (Op::Copy { from: *from, to: *to, bytes: *bytes }, *bytes as f64 / 10.0)
            }
            StepKind::Scatter(s) => (Op::Scatter(s.clone()), (s.batch * s.count * s.slice) as f64),
            StepKind::Segment(s) => (Op::Segment(s.clone()), (s.batch * s.rows * s.inner) as f64),
            StepKind::Cumsum(s) => (Op::Cumsum(s.clone()), super::cumsum::cost(s)),
            StepKind::Linalg(s) => (Op::Linalg(s.clone()), super::linalg::cost(s)),
            StepKind::Control(control) => self.control(plan, control)?,
        })
    }

    fn code(&mut self, kernel: &Arc<Kernel>, epilogue: bool) -> Arc<Code> {
        let code = self.batch.add(kernel, epilogue);
        self.codes.push(code.clone());
        code
    }

    fn gemm(&mut self, step: &GemmStep) -> Result<(Op, f64), ExecError> {
        let args = step.epilogue.as_ref().map_or(0, |e| e.args.len());
        let isa = self.isa;
        let product = Product::compile(step, isa, &mut |kernel| self.code(kernel, true))?;
        let program = &mut self.program;
        program.most_args = program.most_args.max(args.max(1));
        program.scratch = program.scratch.max(product.scratch_bytes(program.threads));
        let flops = step.batch as f64 * step.m as f64 * step.n as f64 * step.k as f64;
        Ok((Op::Product(Box::new(product)), flops / if step.dtype.is_float() { 30.0 } else { 2.0 }))
    }

    fn sub(&mut self, sub: &SubPlan) -> Result<(Sub, f64), ExecError> {
        let key = Arc::as_ptr(&sub.plan);
        let routine = match self.routines.get(&key) {
            Some(routine) => *routine,
            None => {
                let routine = self.routine(&sub.plan)?;
                self.routines.insert(key, routine);
                routine
            }
        };
        Ok((Sub { routine, scratch: sub.scratch }, self.program.routines[routine].steps.cost))
    }

    fn control(&mut self, plan: &Plan, control: &ControlStep) -> Result<(Op, f64), ExecError> {
        let sizes = |list: &[BufferId]| list.iter().map(|b| plan.buffers[b.0 as usize].bytes).collect();
        Ok(match control {
            ControlStep::Call { body, inputs, outputs } => {
                let (body, cost) = self.sub(body)?;
                (Op::Call { body, inputs: inputs.clone(), outputs: outputs.clone() }, cost)
            }
            ControlStep::Cond { predicate, then, otherwise, inputs, outputs } => {
                let ((then, a), (otherwise, b)) = (self.sub(then)?, self.sub(otherwise)?);
                let op = Op::Cond {
                    predicate: *predicate,
                    branches: [otherwise, then],
                    inputs: inputs.clone(),
                    outputs: outputs.clone(),
                };
                (op, a.max(b))
            }
            ControlStep::While { cond, predicate, body, captures, outputs, next } => {
                let ((cond, a), (body, b)) = (self.sub(cond)?, self.sub(body)?);
                let op = Loop {
                    cond,
                    predicate: *predicate,
                    body,
                    captures: captures.clone(),
                    carry: outputs.clone(),
                    next: next.clone(),
                    bytes: sizes(next),
                };
                // How often it runs is not known: often.
                (Op::While(Box::new(op)), 100.0 * (a + b))
            }
            ControlStep::Scan { body, length, reverse, carry, next, xs, captures, ys } => {
                let (body, cost) = self.sub(body)?;
                let op = Scan {
                    body,
                    length: *length,
                    reverse: *reverse,
                    carry: carry.clone(),
                    next: next.clone(),
                    bytes: sizes(next),
                    xs: xs.clone(),
                    captures: captures.clone(),
                    ys: ys.clone(),
                };
                (Op::Scan(Box::new(op)), *length as f64 * cost)
            }
        })
    }
}

/// The right operand of a step and its offset in elements.
pub(super) fn right(step: &GemmStep) -> (BufferId, usize) {
    match &step.rhs {
        Rhs::Matrix(m) => (m.buffer, m.offset),
        Rhs::Packed(b) => (*b, 0),
    }
}
