//! Executes a [`Program`].

use super::product::Operands;
use super::{Buffers, Loop, Memory, Op, Program, Routine, Scan, Steps, Sub, cumsum, gather, linalg, part};
use crate::code::Code;
use crate::gemm;
use crate::isa::Isa;
use crate::pool::{self, PoolError, Team};
use std::cell::RefCell;
use wootz_plan::{BufferId, CumsumStep, LinalgStep, Place};
use wootz_runtime::{StepId, Trace};

/// The caller asked for the run to stop.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Cancelled;

/// Nanoseconds of a task that is worth handing to a thread.
const TASK: f64 = 5_000.0;
/// Bytes that one thread copies in a nanosecond.
const COPIED: f64 = 10.0;

/// A run.
struct Run<'a> {
    program: &'a Program,
    team: &'a Team<'a>,
    table: *mut *mut u8,
    args: *mut *mut u8,
    work: *mut u8,
    scratch: *mut u8,
    cancelled: &'a dyn Fn() -> bool,
    /// Records each step, if somebody asked.
    trace: Tracer<'a>,
}

type Tracer<'a> = Option<&'a RefCell<Trace>>;

/// Working memory, shared by the threads.
struct Work<'a> {
    code: &'a Code,
    args: &'a [*mut u8],
    work: *mut u8,
    stride: usize,
}

// SAFETY: units are disjoint, and each worker has its own working memory.
unsafe impl Sync for Work<'_> {}

impl Work<'_> {
    /// # Safety
    /// As [`Code::run`]; no two threads are the same worker, no units are run twice.
    unsafe fn run(&self, units: std::ops::Range<usize>, worker: usize) {
        // SAFETY: the caller's contract.
        unsafe { self.code.run(self.args, units, self.work.add(worker * self.stride)) }
    }
}

/// What is read and what is written by threads that share the work.
struct Pair {
    from: *const u8,
    to: *mut u8,
}

// SAFETY: the parts that threads write are disjoint.
unsafe impl Sync for Pair {}

impl Pair {
    /// # Safety
    /// As [`gemm::pack_b_slabs`].
    unsafe fn pack(
        &self,
        isa: Isa,
        matrix: &gemm::Matrix,
        k: usize,
        n: usize,
        slabs: std::ops::Range<usize>,
    ) {
        // SAFETY: the caller's contract.
        unsafe { gemm::pack_b_slabs(isa, matrix, self.from, k, n, slabs, self.to) }
    }

    /// # Safety
    /// Both hold that many bytes; they do not overlap.
    unsafe fn copy(&self, bytes: std::ops::Range<usize>) {
        // SAFETY: the caller's contract.
        unsafe {
            std::ptr::copy_nonoverlapping(self.from.add(bytes.start), self.to.add(bytes.start), bytes.len());
        }
    }
}

impl Program {
    /// The entries of the pointer table that [`Program::run`]'s caller fills: where inputs, outputs and what was prepared lie.
    pub(crate) fn foreign(&self) -> impl Iterator<Item = (usize, Place)> {
        let main = self.main();
        main.foreign.iter().map(|id| id.0 as usize).map(|at| (main.table + at, main.places[at]))
    }

    /// Runs the steps, and records them.
    ///
    /// # Safety
    /// `memory` was made for this program, and every [foreign](Program::foreign) entry of it that the steps use is
    /// [bound](Memory::bind): to memory that is valid for the input or output of the plan, outputs for writing, and aligned
    /// for its dtype, and to what [`Program::prepare`] filled. Outputs overlap nothing but the inputs whose buffers they are.
    pub(crate) unsafe fn run(
        &self,
        memory: &mut Memory,
        cancelled: &dyn Fn() -> bool,
        trace: Option<&mut Trace>,
    ) -> Result<Result<(), Cancelled>, PoolError> {
        let main = self.main();
        let Some(trace) = trace else {
            // SAFETY: the caller's contract.
            return self.with_team(main.steps.cost, |team| unsafe {
                self.steps(team, memory, &main.steps, main, cancelled, None)
            });
        };
        let cell = RefCell::new(std::mem::take(trace));
        // SAFETY: the caller's contract.
        let done = self.with_team(main.steps.cost, |team| unsafe {
            self.steps(team, memory, &main.steps, main, cancelled, Some(&cell))
        });
        *trace = cell.into_inner();
        done
    }

    /// Computes the prepared buffers.
    ///
    /// # Safety
    /// `input` gives memory that is valid for every input that the prepare part reads, and aligned for its dtype; nobody else
    /// has `prepared`.
    pub(crate) unsafe fn prepare(
        &self,
        prepared: &mut Buffers,
        input: &dyn Fn(usize) -> *mut u8,
    ) -> Result<(), PrepareError> {
        let main = self.main();
        if main.prepare.ops.is_empty() {
            return Ok(());
        }
        let mut memory = Memory::new(self).map_err(PrepareError::Memory)?;
        for (entry, place) in self.foreign() {
            match place {
                Place::Input(i) => memory.bind(entry, input(i)),
                Place::Prepared(i) => memory.bind(entry, prepared.piece(i)),
                Place::Output(_) | Place::Arena(_) | Place::Constant(_) => {}
            }
        }
        self.with_team(main.prepare.cost, |team| {
            // SAFETY: as above; all buffers are bound. Nothing cancels it.
            let done = unsafe { self.steps(team, &mut memory, &main.prepare, main, &|| false, None) };
            done.unwrap_or(());
        })
        .map_err(PrepareError::Pool)
    }

    /// Runs `f` with as many threads as `cost` is worth.
    fn with_team<R>(&self, cost: f64, f: impl FnOnce(&Team<'_>) -> R) -> Result<R, PoolError> {
        pool::session_for(self.threads, cost, f)
    }

    /// # Safety
    /// As [`Program::run`]; the routine's table is filled.
    unsafe fn steps(
        &self,
        team: &Team<'_>,
        memory: &mut Memory,
        steps: &Steps,
        routine: &Routine,
        cancelled: &dyn Fn() -> bool,
        trace: Tracer<'_>,
    ) -> Result<(), Cancelled> {
        let run = Run {
            program: self,
            team,
            table: memory.table.as_mut_ptr(),
            args: memory.args.as_mut_ptr(),
            work: memory.work.as_mut_ptr(),
            scratch: memory.scratch.as_mut_ptr(),
            cancelled,
            trace,
        };
        // SAFETY: the caller's contract.
        unsafe { run.steps(routine, steps) }
    }
}

/// The prepare part could not be run.
#[derive(Clone, Debug)]
pub(crate) enum PrepareError {
    /// This many bytes could not be had.
    Memory(usize),
    /// The thread pool cannot be set up.
    Pool(PoolError),
}

impl Run<'_> {
    /// # Safety
    /// As [`Program::run`]; the routine's table is filled.
    unsafe fn steps(&self, routine: &Routine, steps: &Steps) -> Result<(), Cancelled> {
        if steps.pauses.is_empty() && self.trace.is_none() {
            // SAFETY: the caller's contract.
            return steps.ops.iter().try_for_each(|step| unsafe { self.step(routine, step) });
        }
        let mut start = 0;
        for end in steps.pauses.iter().copied().chain([steps.ops.len()]) {
            if start > 0 && (self.cancelled)() {
                return Err(Cancelled);
            }
            for (index, step) in (start..end).zip(&steps.ops[start..end]) {
                // SAFETY: the caller's contract.
                let run = || unsafe { self.step(routine, step) };
                match self.trace {
                    None => run()?,
                    Some(trace) => {
                        trace.borrow_mut().enter(StepId { plan: routine.index, step: index as u32 });
                        let done = run();
                        trace.borrow_mut().exit();
                        done?;
                    }
                }
            }
            start = end;
        }
        Ok(())
    }

    /// # Safety
    /// As [`Run::steps`].
    unsafe fn at(&self, routine: &Routine, buffer: BufferId) -> *mut u8 {
        // SAFETY: the table has an entry for every buffer.
        unsafe { *self.table.add(routine.table + buffer.0 as usize) }
    }

    /// The pointers of a kernel's arguments.
    ///
    /// # Safety
    /// As [`Run::steps`]; the slice is used until the next call only.
    unsafe fn args(&self, routine: &Routine, buffers: &[BufferId]) -> &[*mut u8] {
        // SAFETY: there is room for the arguments of every kernel.
        unsafe {
            for (i, buffer) in buffers.iter().enumerate() {
                self.args.add(i).write(self.at(routine, *buffer));
            }
            std::slice::from_raw_parts(self.args, buffers.len())
        }
    }

    /// # Safety
    /// As [`Run::steps`].
    unsafe fn step(&self, routine: &Routine, step: &Op) -> Result<(), Cancelled> {
        // SAFETY: the caller's contract: buffers hold what the plan says.
        unsafe {
            match step {
                Op::Kernel { code, args } => self.kernel(code, self.args(routine, args)),
                Op::Product(product) => {
                    let ([(lhs, lhs_at), (rhs, rhs_at)], out) = product.buffers();
                    let pointer =
                        |b: Option<BufferId>| b.map_or(std::ptr::null_mut(), |b| self.at(routine, b));
                    let operands = Operands {
                        lhs: self.at(routine, lhs).wrapping_add(lhs_at),
                        rhs: self.at(routine, rhs).wrapping_add(rhs_at),
                        out: pointer(out),
                        extra: product.extra().map(|b| pointer(b).cast_const()),
                        args: self.args(routine, &product.args),
                        work: self.work,
                        work_stride: self.program.work,
                        scratch: self.scratch,
                    };
                    product.run(self.team, &operands);
                }
                Op::Pack { matrix, k, n, from, offset, to } => {
                    let from = self.at(routine, *from).add(*offset);
                    self.pack(matrix, *k, *n, from, self.at(routine, *to));
                }
                Op::Copy { from, to, bytes } => self.copy(routine, *from, *to, *bytes),
                Op::Scatter(s) => {
                    let [indices, updates, out] = [s.indices, s.updates, s.out].map(|b| self.at(routine, b));
                    gather::scatter(s, indices, updates, out);
                }
                Op::Segment(s) => {
                    let [data, ids, out] = [s.data, s.ids, s.out].map(|b| self.at(routine, b));
                    gather::segment(s, data, ids, out);
                }
                Op::Cumsum(s) => self.cumsum(routine, s),
                Op::Linalg(s) => self.linalg(routine, s),
                Op::Call { body, inputs, outputs } => self.call(routine, *body, &[inputs], &[outputs])?,
                Op::Cond { predicate, branches, inputs, outputs } => {
                    let taken = *self.at(routine, *predicate) != 0;
                    self.call(routine, branches[usize::from(taken)], &[inputs], &[outputs])?;
                }
                Op::While(op) => self.repeat(routine, op)?,
                Op::Scan(op) => self.scan(routine, op)?,
            }
        }
        Ok(())
    }

    /// # Safety
    /// As [`Run::steps`].
    unsafe fn kernel(&self, code: &Code, args: &[*mut u8]) {
        let units = code.units();
        let tasks = self.tasks(code.cost(), units);
        // SAFETY: the caller's contract; parts of the units are disjoint.
        unsafe {
            if tasks <= 1 {
                return code.run(args, 0..units, self.work);
            }
            let work = Work { code, args, work: self.work, stride: self.program.work };
            self.team.run(tasks, &|task, worker| work.run(part(units, tasks, task), worker));
        }
    }

    /// Into how many tasks `cost` nanoseconds of `most` pieces of work are cut.
    fn tasks(&self, cost: f64, most: usize) -> usize {
        match self.team.threads() {
            1 => 1,
            threads => (cost / TASK).min(4.0 * threads as f64).min(most as f64) as usize,
        }
    }

    /// # Safety
    /// As [`Run::steps`].
    unsafe fn pack(&self, matrix: &gemm::Matrix, k: usize, n: usize, from: *const u8, to: *mut u8) {
        let slabs = n.div_ceil(gemm::slab_cols(matrix.elem));
        let tasks = self.tasks((k * n) as f64, slabs);
        let (pair, isa) = (Pair { from, to }, self.program.isa);
        // SAFETY: the caller's contract; parts of the slabs are disjoint.
        unsafe {
            if tasks <= 1 {
                return gemm::pack_b_slabs(isa, matrix, from, k, n, 0..slabs, to);
            }
            self.team.run(tasks, &|task, _| pair.pack(isa, matrix, k, n, part(slabs, tasks, task)));
        }
    }

    /// # Safety
    /// As [`Run::steps`].
    unsafe fn copy(&self, routine: &Routine, from: BufferId, to: BufferId, bytes: usize) {
        // SAFETY: the caller's contract. Buffers may share memory.
        unsafe {
            let pair = Pair { from: self.at(routine, from), to: self.at(routine, to) };
            let tasks = self.tasks(bytes as f64 / COPIED, bytes);
            if tasks <= 1 || pair.from.addr().abs_diff(pair.to.addr()) < bytes {
                return std::ptr::copy(pair.from, pair.to, bytes);
            }
            self.team.run(tasks, &|task, _| pair.copy(part(bytes, tasks, task)));
        }
    }

    /// # Safety
    /// As [`Run::steps`].
    unsafe fn cumsum(&self, routine: &Routine, step: &CumsumStep) {
        // SAFETY: the caller's contract; groups of lines are disjoint.
        unsafe {
            let lines = cumsum::Lines::new(step, self.at(routine, step.data), self.at(routine, step.out));
            let tasks = self.tasks(cumsum::cost(step), lines.groups());
            if tasks <= 1 {
                return lines.run(0..lines.groups());
            }
            self.team.run(tasks, &|task, _| lines.run(part(lines.groups(), tasks, task)));
        }
    }

    /// # Safety
    /// As [`Run::steps`].
    unsafe fn linalg(&self, routine: &Routine, step: &LinalgStep) {
        // SAFETY: the caller's contract; parts of the batch are disjoint.
        unsafe {
            let inputs = [0, 1].map(|i| step.inputs.get(i).map(|b| self.at(routine, *b).cast_const()));
            let systems = linalg::Systems::new(step, self.program.isa, inputs, self.at(routine, step.out));
            let tasks = self.tasks(linalg::cost(step), step.batch);
            if tasks <= 1 {
                return systems.run(0..step.batch);
            }
            self.team.run(tasks, &|task, _| systems.run(part(step.batch, tasks, task)));
        }
    }

    /// Runs a called plan on buffers of the caller's, which are lists one after another.
    ///
    /// # Safety
    /// As [`Run::steps`].
    unsafe fn call(
        &self,
        routine: &Routine,
        sub: Sub,
        inputs: &[&[BufferId]],
        outputs: &[&[BufferId]],
    ) -> Result<(), Cancelled> {
        let callee = &self.program.routines[sub.routine];
        // SAFETY: the caller's contract; the table has entries for the callee.
        unsafe {
            self.enter(routine, sub);
            let list = inputs.iter().flat_map(|l| l.iter());
            list.zip(&callee.inputs).for_each(|(from, to)| self.bind(callee, *to, self.at(routine, *from)));
            let list = outputs.iter().flat_map(|l| l.iter());
            list.zip(&callee.outputs).for_each(|(from, to)| self.bind(callee, *to, self.at(routine, *from)));
            self.steps(callee, &callee.steps)
        }
    }

    /// Binds a callee's arena and constants.
    ///
    /// # Safety
    /// As [`Run::call`].
    unsafe fn enter(&self, routine: &Routine, sub: Sub) {
        let callee = &self.program.routines[sub.routine];
        // SAFETY: the caller's contract.
        unsafe {
            let arena = self.at(routine, sub.scratch);
            for (i, place) in callee.places.iter().enumerate() {
                let pointer = match place {
                    Place::Arena(at) => arena.wrapping_add(*at),
                    Place::Constant(c) => callee.constants[*c].as_bytes().as_ptr().cast_mut(),
                    // Bound by the caller; sub-plans prepare nothing.
                    Place::Input(_) | Place::Output(_) | Place::Prepared(_) => continue,
                };
                self.table.add(callee.table + i).write(pointer);
            }
        }
    }

    /// # Safety
    /// As [`Run::call`].
    unsafe fn bind(&self, callee: &Routine, buffer: BufferId, to: *mut u8) {
        // SAFETY: the table has an entry for every buffer.
        unsafe { self.table.add(callee.table + buffer.0 as usize).write(to) }
    }

    /// # Safety
    /// As [`Run::steps`].
    unsafe fn repeat(&self, routine: &Routine, op: &Loop) -> Result<(), Cancelled> {
        // SAFETY: the caller's contract.
        unsafe {
            loop {
                self.call(routine, op.cond, &[&op.carry, &op.captures], &[&[op.predicate]])?;
                if *self.at(routine, op.predicate) == 0 {
                    return Ok(());
                }
                if (self.cancelled)() {
                    return Err(Cancelled);
                }
                self.call(routine, op.body, &[&op.carry, &op.captures], &[&op.next])?;
                self.carry(routine, &op.next, &op.carry, &op.bytes);
            }
        }
    }

    /// # Safety
    /// As [`Run::steps`].
    unsafe fn carry(&self, routine: &Routine, next: &[BufferId], carry: &[BufferId], bytes: &[usize]) {
        for (i, bytes) in bytes.iter().enumerate() {
            // SAFETY: the caller's contract.
            unsafe { self.copy(routine, next[i], carry[i], *bytes) };
        }
    }

    /// # Safety
    /// As [`Run::steps`].
    unsafe fn scan(&self, routine: &Routine, op: &Scan) -> Result<(), Cancelled> {
        let callee = &self.program.routines[op.body.routine];
        for step in 0..op.length {
            let t = if op.reverse { op.length - 1 - step } else { step };
            if (self.cancelled)() {
                return Err(Cancelled);
            }
            // SAFETY: the caller's contract; row t lies within its buffer.
            unsafe {
                self.enter(routine, op.body);
                let mut to = callee.inputs.iter();
                let mut bind_next = |pointer: *mut u8| {
                    if let Some(buffer) = to.next() {
                        self.bind(callee, *buffer, pointer);
                    }
                };
                op.carry.iter().for_each(|b| bind_next(self.at(routine, *b)));
                op.xs.iter().for_each(|(b, row)| bind_next(self.at(routine, *b).wrapping_add(t * row)));
                op.captures.iter().for_each(|b| bind_next(self.at(routine, *b)));
                let mut to = callee.outputs.iter();
                let mut bind_next = |pointer: *mut u8| {
                    if let Some(buffer) = to.next() {
                        self.bind(callee, *buffer, pointer);
                    }
                };
                op.next.iter().for_each(|b| bind_next(self.at(routine, *b)));
                op.ys.iter().for_each(|(b, row)| bind_next(self.at(routine, *b).wrapping_add(t * row)));
                self.steps(callee, &callee.steps)?;
                self.carry(routine, &op.next, &op.carry, &op.bytes);
            }
        }
        Ok(())
    }
}
