//! A hash of what a plan prepares that does not depend on what it does with it.

use crate::isa::Isa;
use std::collections::hash_map::Entry;
use std::collections::{BTreeSet, HashMap};
use std::hash::{Hash, Hasher};
use wootz_plan::{BufferId, ControlStep, Place, Plan, Rhs, StepKind, SubPlan};
use xxhash_rust::xxh3::Xxh3;

/// Equal for plans that prepare the same from the same parameters, however many inputs and buffers they have otherwise: buffers
/// are numbered in the order in which the prepare part names them, parameters among those it reads, and where temporary
/// buffers lie does not count.
pub(crate) fn fingerprint(plan: &Plan, isa: Isa) -> u128 {
    let mut hasher = Xxh3::new();
    isa.hash(&mut hasher);
    plan.prepared.hash(&mut hasher);
    let mut steps: Vec<StepKind> = plan.prepare.iter().map(|s| s.kind.clone()).collect();
    let named: Vec<BufferId> = steps.iter_mut().flat_map(buffers).map(|b| *b).collect();
    let place = |b: &BufferId| plan.buffers[b.0 as usize].place;
    let parameters: BTreeSet<usize> = named
        .iter()
        .map(place)
        .filter_map(|p| if let Place::Input(i) = p { Some(i) } else { None })
        .collect();

    let mut numbers: HashMap<BufferId, u32> = HashMap::new();
    for id in named {
        let next = numbers.len() as u32;
        match numbers.entry(id) {
            Entry::Occupied(_) => continue,
            Entry::Vacant(entry) => entry.insert(next),
        };
        let buffer = &plan.buffers[id.0 as usize];
        (buffer.dtype, buffer.bytes).hash(&mut hasher);
        std::mem::discriminant(&buffer.place).hash(&mut hasher);
        match buffer.place {
            Place::Input(i) => parameters.range(..i).count().hash(&mut hasher),
            Place::Prepared(i) | Place::Output(i) => i.hash(&mut hasher),
            Place::Constant(i) => hasher.write(plan.constants[i].as_bytes()),
            Place::Arena(_) => {}
        }
    }
    for step in &mut steps {
        for id in buffers(step) {
            *id = BufferId(numbers[id]);
        }
        step.hash(&mut hasher);
    }
    hasher.digest128()
}

/// Every mention of a buffer of the plan that the step belongs to.
fn buffers(step: &mut StepKind) -> Vec<&mut BufferId> {
    match step {
        StepKind::Kernel { args, .. } => args.iter_mut().collect(),
        StepKind::Gemm(gemm) => {
            let rhs = match &mut gemm.rhs {
                Rhs::Matrix(m) => &mut m.buffer,
                Rhs::Packed(b) => b,
            };
            let epilogue = gemm.epilogue.iter_mut().flat_map(|e| &mut e.args);
            [&mut gemm.lhs.buffer, rhs].into_iter().chain(&mut gemm.out).chain(epilogue).collect()
        }
        StepKind::PackRhs { rhs, out, .. } => vec![&mut rhs.buffer, out],
        StepKind::Copy { from, to, .. } => vec![from, to],
        StepKind::Scatter(s) => vec![&mut s.indices, &mut s.updates, &mut s.out],
        StepKind::Segment(s) => vec![&mut s.data, &mut s.ids, &mut s.out],
        StepKind::Cumsum(s) => vec![&mut s.data, &mut s.out],
        StepKind::Linalg(s) => s.inputs.iter_mut().chain([&mut s.out]).collect(),
        StepKind::Control(control) => control_buffers(control),
    }
}

fn control_buffers(control: &mut ControlStep) -> Vec<&mut BufferId> {
    fn scratch(sub: &mut SubPlan) -> &mut BufferId {
        &mut sub.scratch
    }
    match control {
        ControlStep::Call { body, inputs, outputs } => {
            [scratch(body)].into_iter().chain(inputs).chain(outputs).collect()
        }
        ControlStep::Cond { predicate, then, otherwise, inputs, outputs } => {
            [predicate, scratch(then), scratch(otherwise)].into_iter().chain(inputs).chain(outputs).collect()
        }
        ControlStep::While { cond, predicate, body, captures, outputs, next } => {
            let one = [scratch(cond), predicate, scratch(body)];
            one.into_iter().chain(captures).chain(outputs).chain(next).collect()
        }
        ControlStep::Scan { body, carry, next, xs, captures, ys, .. } => {
            let rows = xs.iter_mut().chain(ys).map(|(b, _)| b);
            [scratch(body)].into_iter().chain(carry).chain(next).chain(captures).chain(rows).collect()
        }
    }
}
