//! Places in the arena: buffers whose lifetimes do not overlap share memory.

use super::Lowering;
use crate::{ALIGN, Buffer, BufferId, ControlStep, Place, Plan, Rhs, Step, StepKind};

/// When a buffer is first and last used, in steps.
type Lifetime = (usize, usize);

/// Gives every arena buffer an offset, forgets buffers that nothing uses, and makes the plan.
pub(super) fn place(lowering: Lowering<'_>) -> Plan {
    let Lowering { buffers, mut prepare, mut steps, mut inputs, mut outputs, constants, prepared, .. } =
        lowering;
    let mut used = vec![false; buffers.len()];
    for buffer in inputs.iter().chain(&outputs) {
        used[buffer.0 as usize] = true;
    }
    for step in prepare.iter_mut().chain(&mut steps) {
        each_buffer(step, &mut |b| used[b.0 as usize] = true);
    }
    let mut next = 0;
    let numbers: Vec<u32> = used
        .iter()
        .map(|used| {
            next += u32::from(*used);
            next.saturating_sub(1)
        })
        .collect();
    let mut renumber = |b: &mut BufferId| b.0 = numbers[b.0 as usize];
    inputs.iter_mut().chain(&mut outputs).for_each(&mut renumber);
    for step in prepare.iter_mut().chain(&mut steps) {
        each_buffer(step, &mut renumber);
    }
    let mut buffers: Vec<Buffer> =
        buffers.into_iter().zip(used).filter(|(_, used)| *used).map(|(b, _)| b).collect();
    let arena = assign(&mut buffers, &mut steps);
    Plan { buffers, prepare, steps, inputs, outputs, arena, prepared, constants }
}

/// First fit by decreasing size; returns the bytes needed.
fn assign(buffers: &mut [Buffer], steps: &mut [Step]) -> usize {
    let mut lifetimes: Vec<Option<Lifetime>> = vec![None; buffers.len()];
    for (time, step) in steps.iter_mut().enumerate() {
        each_buffer(step, &mut |b| lifetimes[b.0 as usize].get_or_insert((time, time)).1 = time);
    }
    let in_arena = |i: &usize| matches!(buffers[*i].place, Place::Arena(_));
    let mut order: Vec<usize> = (0..buffers.len()).filter(in_arena).collect();
    // Large buffers first: they are the hardest to fit. Ties in order of creation, so that plans are reproducible.
    order.sort_by_key(|i| (std::cmp::Reverse(buffers[*i].bytes), *i));
    let mut arena = 0;
    let mut placed: Vec<(usize, usize, Lifetime)> = Vec::new();
    let mut taken: Vec<(usize, usize)> = Vec::new();
    for i in order {
        let Some(life) = lifetimes[i] else { continue };
        let bytes = buffers[i].bytes.next_multiple_of(ALIGN);
        taken.clear();
        taken.extend(placed.iter().filter(|p| p.2.0 <= life.1 && life.0 <= p.2.1).map(|p| (p.0, p.1)));
        taken.sort_unstable();
        let mut at = 0;
        for (start, end) in &taken {
            if at + bytes <= *start {
                break;
            }
            at = at.max(*end);
        }
        buffers[i].place = Place::Arena(at);
        placed.push((at, at + bytes, life));
        arena = arena.max(at + bytes);
    }
    arena
}

/// Calls `f` on every buffer a step reads or writes.
pub(super) fn each_buffer(step: &mut Step, f: &mut dyn FnMut(&mut BufferId)) {
    match &mut step.kind {
        StepKind::Kernel { args, .. } => args.iter_mut().for_each(f),
        StepKind::Gemm(gemm) => {
            f(&mut gemm.lhs.buffer);
            match &mut gemm.rhs {
                Rhs::Matrix(m) => f(&mut m.buffer),
                Rhs::Packed(b) => f(b),
            }
            let epilogue = gemm.epilogue.iter_mut().flat_map(|e| &mut e.args);
            gemm.out.iter_mut().chain(epilogue).for_each(f);
        }
        StepKind::PackRhs { rhs, out, .. } => [&mut rhs.buffer, out].into_iter().for_each(f),
        StepKind::Copy { from, to, .. } => [from, to].into_iter().for_each(f),
        StepKind::Scatter(s) => [&mut s.indices, &mut s.updates, &mut s.out].into_iter().for_each(f),
        StepKind::Segment(s) => [&mut s.data, &mut s.ids, &mut s.out].into_iter().for_each(f),
        StepKind::Cumsum(s) => [&mut s.data, &mut s.out].into_iter().for_each(f),
        StepKind::Linalg(s) => s.inputs.iter_mut().chain([&mut s.out]).for_each(f),
        StepKind::Control(control) => each_control_buffer(control, f),
    }
}

fn each_control_buffer(control: &mut ControlStep, f: &mut dyn FnMut(&mut BufferId)) {
    match control {
        ControlStep::Call { body, inputs, outputs } => {
            f(&mut body.scratch);
            inputs.iter_mut().chain(outputs).for_each(f);
        }
        ControlStep::Cond { predicate, then, otherwise, inputs, outputs } => {
            [predicate, &mut then.scratch, &mut otherwise.scratch].into_iter().for_each(&mut *f);
            inputs.iter_mut().chain(outputs).for_each(f);
        }
        ControlStep::While { cond, predicate, body, captures, outputs, next } => {
            [&mut cond.scratch, predicate, &mut body.scratch].into_iter().for_each(&mut *f);
            captures.iter_mut().chain(outputs).chain(next).for_each(f);
        }
        ControlStep::Scan { body, carry, next, xs, captures, ys, .. } => {
            f(&mut body.scratch);
            carry.iter_mut().chain(next).chain(captures).for_each(&mut *f);
            xs.iter_mut().chain(ys).for_each(|(b, _)| f(b));
        }
    }
}
