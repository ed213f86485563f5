//! Places in the arena: buffers whose lifetimes do not overlap share memory.

use super::Lowering;
use crate::{ALIGN, BufferId, ControlStep, Place, Plan, Rhs, Step, StepKind};

/// Gives every arena buffer an offset and makes the plan.
pub(super) fn place(lowering: Lowering<'_>) -> Plan {
    let Lowering { mut buffers, prepare, steps, inputs, outputs, constants, prepared, .. } = lowering;
    let mut lifetimes: Vec<Option<(usize, usize)>> = vec![None; buffers.len()];
    for (time, step) in steps.iter().enumerate() {
        for buffer in touched(step) {
            let life = lifetimes[buffer.0 as usize].get_or_insert((time, time));
            life.1 = time;
        }
    }
    let mut order: Vec<usize> =
        (0..buffers.len()).filter(|i| matches!(buffers[*i].place, Place::Arena(_)) && lifetimes[*i].is_some()).collect();
    // Large buffers first: they are the hardest to fit. Ties in order of creation, so that plans are reproducible.
    order.sort_by_key(|i| (std::cmp::Reverse(buffers[*i].bytes), *i));
    let mut arena = 0;
    let mut placed: Vec<(usize, usize, (usize, usize))> = Vec::new();
    for i in order {
        let Some(life) = lifetimes[i] else { continue };
        let bytes = buffers[i].bytes.next_multiple_of(ALIGN);
        let mut taken: Vec<(usize, usize)> =
            placed.iter().filter(|(_, _, other)| other.0 <= life.1 && life.0 <= other.1).map(|p| (p.0, p.1)).collect();
        taken.sort_unstable();
        let mut at = 0;
        for (start, end) in taken {
            if at + bytes <= start {
                break;
            }
            at = at.max(end);
        }
        buffers[i].place = Place::Arena(at);
        placed.push((at, at + bytes, life));
        arena = arena.max(at + bytes);
    }
    Plan { buffers, prepare, steps, inputs, outputs, arena, prepared, constants }
}

/// Every buffer a step reads or writes.
fn touched(step: &Step) -> Vec<BufferId> {
    match &step.kind {
        StepKind::Kernel { args, .. } => args.clone(),
        StepKind::Gemm(gemm) => {
            let rhs = match &gemm.rhs {
                Rhs::Matrix(m) => m.buffer,
                Rhs::Packed(b) => *b,
            };
            let epilogue = gemm.epilogue.iter().flat_map(|e| e.args.iter().copied());
            [gemm.lhs.buffer, rhs].into_iter().chain(gemm.out).chain(epilogue).collect()
        }
        StepKind::PackRhs { rhs, out, .. } => vec![rhs.buffer, *out],
        StepKind::Copy { from, to, .. } => vec![*from, *to],
        StepKind::Scatter(s) => vec![s.indices, s.updates, s.out],
        StepKind::Segment(s) => vec![s.data, s.ids, s.out],
        StepKind::Control(control) => match &**control {
            ControlStep::Call { body, inputs, outputs } => [&[body.scratch][..], inputs, outputs].concat(),
            ControlStep::Cond { predicate, then, otherwise, inputs, outputs } => {
                [&[*predicate, then.scratch, otherwise.scratch][..], inputs, outputs].concat()
            }
            ControlStep::While { cond, predicate, body, captures, outputs, next } => {
                [&[cond.scratch, *predicate, body.scratch][..], captures, outputs, next].concat()
            }
            ControlStep::Scan { body, carry, next, xs, captures, ys, .. } => {
                let rows = xs.iter().chain(ys).map(|(b, _)| *b);
                [&[body.scratch][..], carry, next, captures].concat().into_iter().chain(rows).collect()
            }
        },
    }
}
