//! Plans, step by step.

use crate::kernel::{self, apply, indices};
use crate::memory::{Memory, Slot};
use std::collections::HashMap;
use wootz_ir::eval::scalar::Scalar;
use wootz_ir::ops::{Cumsum, Op, Scatter, Segment};
use wootz_ir::{DType, Graph, HostTensor, Role};
use wootz_plan::{
    ALIGN, BufferId, ControlStep, CumsumStep, GemmStep, LinalgStep, Matrix, Place, Plan, Rhs, ScatterStep,
    SegmentStep, Step, StepKind, SubPlan,
};

/// A plan with its memory: prepared once, run any number of times.
pub(crate) struct Machine<'p> {
    graph: &'p Graph,
    plan: &'p Plan,
    memory: Memory,
    constants: Vec<Slot>,
    prepared: Vec<(usize, Slot)>,
    arena: usize,
    /// What `PackRhs` packed, row-major, by buffer.
    packed: HashMap<BufferId, Vec<Scalar>>,
}

/// The buffers of a plan that is being run.
struct Frame<'a> {
    plan: &'a Plan,
    slots: Vec<Slot>,
}

impl Frame<'_> {
    fn arg(&self, id: BufferId) -> (BufferId, Slot) {
        (id, self.slots[id.0 as usize])
    }
}

impl<'p> Machine<'p> {
    pub(crate) fn new(graph: &'p Graph, plan: &'p Plan) -> Machine<'p> {
        check_signature(graph, plan);
        let mut memory = Memory::default();
        let constants = plan.constants.iter().map(|c| memory.place(c, false)).collect();
        let mut prepared = Vec::new();
        for bytes in &plan.prepared {
            let base = memory.allocate(*bytes);
            let tag = memory.new_tag();
            prepared.push((*bytes, Slot { base, bytes: *bytes, dtype: DType::U8, tag, writable: false }));
        }
        let arena = memory.allocate(plan.arena);
        Machine { graph, plan, memory, constants, prepared, arena, packed: HashMap::new() }
    }

    /// Runs `prepare` on parameters: anything else it reads is a failure.
    pub(crate) fn prepare(&mut self, args: &[HostTensor]) {
        let inputs = self.inputs(args, true);
        let frame = self.frame(&inputs, &[], true);
        let steps = &self.plan.prepare;
        for step in steps {
            self.step(&frame, step);
        }
        self.memory.forget(self.arena, self.plan.arena);
    }

    /// One run; gives the results.
    pub(crate) fn run(&mut self, args: &[HostTensor]) -> Vec<HostTensor> {
        let inputs = self.inputs(args, false);
        let mut outputs = Vec::new();
        for id in &self.plan.outputs {
            let slot = self.memory.blank(&self.plan.buffers[id.0 as usize]);
            outputs.push(slot);
        }
        self.memory.forget(self.arena, self.plan.arena);
        let frame = self.frame(&inputs, &outputs, false);
        for step in &self.plan.steps {
            self.step(&frame, step);
        }
        let ids = self.plan.outputs.iter().enumerate();
        let results: Vec<HostTensor> = ids
            .map(|(i, id)| {
                let dims = self.graph.output_type(i).shape.concrete().unwrap();
                self.memory.tensor(frame.slots[id.0 as usize], &dims, *id)
            })
            .collect();
        results
    }

    /// The inputs in memory of their own. Only donated ones may be written; at preparation only parameters hold anything.
    fn inputs(&mut self, args: &[HostTensor], preparing: bool) -> Vec<Slot> {
        let mut slots = Vec::new();
        for (i, arg) in args.iter().enumerate() {
            let donated = self.graph.outputs.iter().any(|o| o.alias == Some(i));
            let mut slot = self.memory.place(arg, donated && !preparing);
            if preparing && (donated || self.graph.inputs[i].role != Role::Param) {
                slot.tag = self.memory.new_tag();
            }
            slots.push(slot);
        }
        slots
    }

    fn frame(&mut self, inputs: &[Slot], outputs: &[Slot], preparing: bool) -> Frame<'p> {
        let mut slots = Vec::new();
        for buffer in &self.plan.buffers {
            let slot = match buffer.place {
                Place::Input(i) => inputs[i],
                // Nothing to bind at preparation: whatever touches it fails.
                Place::Output(i) => match outputs.get(i) {
                    Some(slot) => *slot,
                    None => Slot { writable: false, ..self.memory.blank(buffer) },
                },
                Place::Constant(i) => self.constants[i],
                Place::Prepared(i) => {
                    let (bytes, slot) = self.prepared[i];
                    assert_eq!(bytes, buffer.bytes);
                    Slot { dtype: buffer.dtype, writable: preparing, ..slot }
                }
                Place::Arena(at) => {
                    assert_eq!(at % ALIGN, 0);
                    assert!(at + buffer.bytes <= self.plan.arena);
                    let tag = self.memory.new_tag();
                    let base = self.arena + at;
                    Slot { base, bytes: buffer.bytes, dtype: buffer.dtype, tag, writable: !preparing }
                }
            };
            assert_eq!((slot.dtype, slot.bytes), (buffer.dtype, buffer.bytes));
            slots.push(slot);
        }
        Frame { plan: self.plan, slots }
    }

    fn step(&mut self, frame: &Frame<'_>, step: &Step) {
        match &step.kind {
            StepKind::Kernel { kernel, args } => {
                let args: Vec<_> = args.iter().map(|id| frame.arg(*id)).collect();
                kernel::run(&mut self.memory, kernel, &args, None);
            }
            StepKind::Gemm(gemm) => self.gemm(frame, gemm),
            StepKind::PackRhs { k, n, rhs, out } => {
                let values =
                    indices(&[*k, *n]).map(|i| self.element(frame, rhs, 0, i[0], i[1])).collect::<Vec<_>>();
                let (_, slot) = frame.arg(*out);
                self.memory.write_bytes(slot, 0, &vec![0; slot.bytes]);
                self.packed.insert(*out, values);
            }
            StepKind::Copy { from, to, bytes } => {
                let ((id, from), (_, to)) = (frame.arg(*from), frame.arg(*to));
                assert_eq!((from.bytes, to.bytes), (*bytes, *bytes), "copies are of whole buffers");
                let data = self.memory.read_bytes(from, 0, *bytes, id).to_vec();
                self.memory.write_bytes(to, 0, &data);
            }
            StepKind::Scatter(s) => self.scatter(frame, s),
            StepKind::Segment(s) => self.segment(frame, s),
            StepKind::Cumsum(s) => self.cumsum(frame, s),
            StepKind::Linalg(s) => self.linalg(frame, s),
            StepKind::Control(c) => self.control(frame, c),
        }
    }

    fn element(&self, frame: &Frame<'_>, m: &Matrix, batch: usize, row: usize, col: usize) -> Scalar {
        let at = m.offset + m.batch_offset(batch) + m.row * row + m.col * col;
        let (id, slot) = frame.arg(m.buffer);
        self.memory.load(slot, at as i64, id)
    }

    fn gemm(&mut self, frame: &Frame<'_>, g: &GemmStep) {
        assert!(g.out.is_some() != g.epilogue.is_some());
        let grid = [g.batch, g.m, g.n];
        let mut product = Vec::new();
        for i in indices(&grid) {
            let terms: Vec<(Scalar, Scalar)> = (0..g.k)
                .map(|p| {
                    let rhs = match &g.rhs {
                        Rhs::Matrix(m) => self.element(frame, m, i[0], p, i[2]),
                        Rhs::Packed(buffer) => {
                            assert_eq!(g.batch, 1);
                            let (id, slot) = frame.arg(*buffer);
                            self.memory.read_bytes(slot, 0, slot.bytes, id);
                            self.packed[buffer][p * g.n + i[2]]
                        }
                    };
                    (self.element(frame, &g.lhs, i[0], i[1], p), rhs)
                })
                .collect();
            product.push(match g.dtype.is_float() {
                true => Scalar::Float(terms.iter().map(|(x, y)| x.float() * y.float()).sum()),
                false => Scalar::Int(
                    terms.iter().fold(0, |sum: i64, (x, y)| sum.wrapping_add(x.int().wrapping_mul(y.int()))),
                ),
            });
        }
        let mut operands = vec![g.lhs.buffer];
        if let Rhs::Matrix(m) = &g.rhs {
            operands.push(m.buffer);
        }
        for slot in operands.iter().map(|id| frame.arg(*id).1) {
            assert_eq!(slot.dtype, g.dtype);
            let written = g.epilogue.iter().flat_map(|e| e.args.iter().zip(&e.kernel.args));
            let written = written.filter(|(_, arg)| arg.write).map(|(id, _)| id).chain(&g.out);
            for out in written.map(|id| frame.arg(*id).1) {
                let apart = slot.base + slot.bytes <= out.base || out.base + out.bytes <= slot.base;
                assert!(apart || slot.bytes == 0, "a product overwrites its operand");
            }
        }
        match &g.epilogue {
            None => {
                let (id, slot) = frame.arg(g.out.unwrap());
                assert_eq!(slot.dtype, g.dtype);
                for (i, value) in product.iter().enumerate() {
                    self.memory.store(slot, i as i64, *value, id);
                }
            }
            Some(e) => {
                assert_eq!(e.kernel.grid[..], grid);
                assert!(e.kernel.stages.len() <= 1 && e.kernel.stages.iter().all(|s| s.loops.is_empty()));
                let args: Vec<_> = e.args.iter().map(|id| frame.arg(*id)).collect();
                let tile = |i: &[usize]| product[(i[0] * g.m + i[1]) * g.n + i[2]];
                kernel::run(&mut self.memory, &e.kernel, &args, Some(&tile));
            }
        }
    }

    fn read(&self, frame: &Frame<'_>, id: BufferId, dims: &[usize]) -> HostTensor {
        self.memory.tensor(frame.arg(id).1, dims, id)
    }

    fn scatter(&mut self, frame: &Frame<'_>, s: &ScatterStep) {
        let dims: Vec<usize> =
            [s.batch].into_iter().chain(s.indexed.iter().copied()).chain([s.slice]).collect();
        let operand = self.read(frame, s.out, &dims);
        let indices = self.read(frame, s.indices, &[s.batch, s.count, s.indexed.len()]);
        let updates = self.read(frame, s.updates, &[s.batch, s.count, s.slice]);
        assert_eq!((operand.dtype(), indices.dtype(), updates.dtype()), (s.dtype, s.index_dtype, s.dtype));
        let op = Op::Scatter(Scatter { kind: s.kind, batch: 1, indexed: s.indexed.len() });
        let result = apply(&op, &[operand, indices, updates], s.dtype, &dims);
        self.memory.write_bytes(frame.arg(s.out).1, 0, result.as_bytes());
    }

    fn segment(&mut self, frame: &Frame<'_>, s: &SegmentStep) {
        let data = self.read(frame, s.data, &[s.batch, s.rows, s.inner]);
        let ids = self.read(frame, s.ids, &[s.batch, s.rows]);
        assert_eq!((data.dtype(), ids.dtype()), (s.dtype, s.index_dtype));
        let op = Op::Segment(Segment { kind: s.kind, batch: 1, segments: s.segments.into() });
        let result = apply(&op, &[data, ids], s.dtype, &[s.batch, s.segments, s.inner]);
        self.memory.write_bytes(frame.arg(s.out).1, 0, result.as_bytes());
    }

    fn cumsum(&mut self, frame: &Frame<'_>, s: &CumsumStep) {
        let dims = [s.outer, s.count, s.inner];
        let data = self.read(frame, s.data, &dims);
        assert_eq!(data.dtype(), s.dtype);
        let op = Op::Cumsum(Cumsum { axis: 1, reverse: s.reverse, exclusive: s.exclusive });
        let result = apply(&op, &[data], s.dtype, &dims);
        self.memory.write_bytes(frame.arg(s.out).1, 0, result.as_bytes());
    }

    fn linalg(&mut self, frame: &Frame<'_>, s: &LinalgStep) {
        let sizes = [[s.batch, s.n, s.n], [s.batch, s.n, s.columns]];
        let inputs: Vec<HostTensor> =
            s.inputs.iter().zip(sizes).map(|(id, dims)| self.read(frame, *id, &dims)).collect();
        assert!(inputs.iter().all(|t| t.dtype() == s.dtype));
        let result = apply(&Op::Linalg(s.op), &inputs, s.dtype, &sizes[1]);
        self.memory.write_bytes(frame.arg(s.out).1, 0, result.as_bytes());
    }

    /// Runs a region's plan inside the scratch buffer.
    fn sub_plan(&mut self, frame: &Frame<'_>, sub: &SubPlan, inputs: &[Slot], outputs: &[Slot]) {
        let plan = &*sub.plan;
        assert!(plan.prepare.is_empty() && plan.prepared.is_empty());
        assert_eq!((plan.inputs.len(), plan.outputs.len()), (inputs.len(), outputs.len()));
        let scratch = frame.arg(sub.scratch).1;
        assert!(scratch.bytes >= plan.arena);
        for (i, id) in plan.outputs.iter().enumerate() {
            assert_eq!(plan.buffers[id.0 as usize].place, Place::Output(i), "a region takes over no buffers");
        }
        let mut slots = Vec::new();
        for buffer in &plan.buffers {
            let slot = match buffer.place {
                Place::Input(i) => Slot { writable: false, ..inputs[i] },
                Place::Output(i) => outputs[i],
                Place::Constant(i) => self.memory.place(&plan.constants[i], false),
                Place::Prepared(_) => panic!("a region prepares nothing"),
                Place::Arena(at) => {
                    assert_eq!((scratch.base + at) % ALIGN, 0);
                    assert!(at + buffer.bytes <= scratch.bytes);
                    let tag = self.memory.new_tag();
                    let base = scratch.base + at;
                    Slot { base, bytes: buffer.bytes, dtype: buffer.dtype, tag, writable: true }
                }
            };
            assert_eq!((slot.dtype, slot.bytes), (buffer.dtype, buffer.bytes));
            slots.push(slot);
        }
        let inner = Frame { plan, slots };
        for step in &inner.plan.steps {
            self.step(&inner, step);
        }
    }

    fn flag(&self, frame: &Frame<'_>, id: BufferId) -> bool {
        self.memory.load(frame.arg(id).1, 0, id).int() != 0
    }

    fn control(&mut self, frame: &Frame<'_>, control: &ControlStep) {
        let slots = |ids: &[BufferId]| -> Vec<Slot> { ids.iter().map(|id| frame.arg(*id).1).collect() };
        match control {
            ControlStep::Call { body, inputs, outputs } => {
                self.sub_plan(frame, body, &slots(inputs), &slots(outputs));
            }
            ControlStep::Cond { predicate, then, otherwise, inputs, outputs } => {
                let taken = if self.flag(frame, *predicate) { then } else { otherwise };
                self.sub_plan(frame, taken, &slots(inputs), &slots(outputs));
            }
            ControlStep::While { cond, predicate, body, captures, outputs, next } => {
                let inputs = [slots(outputs), slots(captures)].concat();
                loop {
                    self.sub_plan(frame, cond, &inputs, &slots(&[*predicate]));
                    if !self.flag(frame, *predicate) {
                        break;
                    }
                    self.sub_plan(frame, body, &inputs, &slots(next));
                    self.copy_back(frame, next, outputs);
                }
            }
            ControlStep::Scan { body, length, reverse, carry, next, xs, captures, ys } => {
                let row = |(id, bytes): &(BufferId, usize), t: usize| {
                    let slot = frame.arg(*id).1;
                    assert_eq!(slot.bytes, bytes * length);
                    Slot { base: slot.base + t * bytes, bytes: *bytes, ..slot }
                };
                for step in 0..*length {
                    let t = if *reverse { length - 1 - step } else { step };
                    let rows =
                        |list: &[(BufferId, usize)]| list.iter().map(|x| row(x, t)).collect::<Vec<_>>();
                    let inputs = [slots(carry), rows(xs), slots(captures)].concat();
                    let outputs = [slots(next), rows(ys)].concat();
                    self.sub_plan(frame, body, &inputs, &outputs);
                    self.copy_back(frame, next, carry);
                }
            }
        }
    }

    fn copy_back(&mut self, frame: &Frame<'_>, from: &[BufferId], to: &[BufferId]) {
        for (from, to) in from.iter().zip(to) {
            let ((id, from), (_, to)) = (frame.arg(*from), frame.arg(*to));
            let data = self.memory.read_bytes(from, 0, from.bytes, id).to_vec();
            self.memory.write_bytes(to, 0, &data);
        }
    }
}

/// Inputs and outputs lie where the graph's signature says.
fn check_signature(graph: &Graph, plan: &Plan) {
    assert_eq!((plan.inputs.len(), plan.outputs.len()), (graph.inputs.len(), graph.outputs.len()));
    for (i, id) in plan.inputs.iter().enumerate() {
        assert_eq!(plan.buffers[id.0 as usize].place, Place::Input(i));
    }
    for (i, id) in plan.outputs.iter().enumerate() {
        let place = graph.outputs[i].alias.map_or(Place::Output(i), Place::Input);
        assert_eq!(plan.buffers[id.0 as usize].place, place, "output {i}");
    }
}
