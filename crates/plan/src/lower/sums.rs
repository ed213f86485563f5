//! Long sums and products of f32 are made in f64 and rounded once at the end: a partial result that takes in many terms would
//! otherwise lose a little with each of them.

use super::tidy::number_registers;
use crate::kernel::{AccKind, Inst, InstOp, Kernel, LANES, Lanes, Reg, Stage};
use wootz_ir::DType;

/// Terms that a partial result takes in as f32. A term costs at most half an ulp of the partial result, so that so many keep
/// 1e-6, or nearly that where all the errors point one way.
const TERMS: usize = 128;

/// Makes the kernel's long sums in f64.
pub(super) fn widen(kernel: &mut Kernel) {
    let long: Vec<usize> =
        (0..kernel.stages.len()).filter(|i| terms(kernel, &kernel.stages[*i]) > TERMS).collect();
    // From the last on, so that stages inserted for results do not move those still to come.
    for stage in long.iter().rev() {
        widen_stage(kernel, *stage);
    }
    if !long.is_empty() {
        number_registers(kernel);
    }
}

/// Most terms of a partial result.
fn terms(kernel: &Kernel, stage: &Stage) -> usize {
    let all: usize = stage.loops.iter().product();
    match (kernel.lanes, stage.loops.last()) {
        (Lanes::Inner, Some(inner)) if *inner > 0 => all / inner * inner.div_ceil(LANES),
        _ => all,
    }
}

fn widen_stage(kernel: &mut Kernel, at: usize) {
    let Kernel { stages, regs, .. } = kernel;
    let (mut before, mut after) = (Vec::new(), Vec::new());
    for acc in &mut stages[at].reduce {
        let summed = matches!(acc.kind, AccKind::Sum | AccKind::Prod);
        if !summed || regs[acc.value.0 as usize] != DType::F32 {
            continue;
        }
        let [value, out] = [(); 2].map(|()| {
            regs.push(DType::F64);
            Reg(regs.len() as u32 - 1)
        });
        before.push(Inst { out: Some(value), op: InstOp::Cast(acc.value) });
        after.push(Inst { out: Some(acc.out), op: InstOp::Cast(out) });
        (acc.value, acc.out) = (value, out);
    }
    stages[at].body.append(&mut before);
    if after.is_empty() {
        return;
    }
    match stages.get_mut(at + 1) {
        Some(next) if next.loops.is_empty() => {
            next.body.splice(0..0, after);
        }
        _ => stages.insert(at + 1, Stage { body: after, ..Stage::default() }),
    }
}
