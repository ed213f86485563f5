//! Positions of extremes, in instructions that have vector forms: one stage finds the extreme, another the least position at
//! which it stands. A NaN is the extreme of what it is in, and stands where there is a NaN.

use smallvec::SmallVec;
use std::borrow::Cow;
use wootz_ir::DType;
use wootz_ir::ops::{Binary, Compare};
use wootz_plan::Kernel;
use wootz_plan::kernel::{AccKind, Accumulate, Inst, InstOp, Reg, Stage};

/// The kernel without `argmax` and `argmin`, as far as that can be.
pub(crate) fn written_out(kernel: &Kernel) -> Cow<'_, Kernel> {
    if !kernel.stages.iter().any(|stage| stage.reduce.iter().any(is_position)) {
        return Cow::Borrowed(kernel);
    }
    let mut written = Kernel { stages: vec![], ..kernel.clone() };
    for stage in &kernel.stages {
        let found = stage.reduce.iter().any(is_position);
        if !found || stage.loops.is_empty() || reads_what_it_stores(stage) {
            written.stages.push(stage.clone());
        } else if stage.loops.contains(&0) {
            nothing(stage, &mut written);
        } else {
            two_stages(stage, &mut written);
        }
    }
    Cow::Owned(written)
}

fn is_position(acc: &Accumulate) -> bool {
    matches!(acc.kind, AccKind::ArgMax | AccKind::ArgMin)
}

/// Whether executing a stage's loads again may read something else.
fn reads_what_it_stores(stage: &Stage) -> bool {
    let stored =
        |arg| stage.body.iter().any(|i| matches!(&i.op, InstOp::Store { arg: to, .. } if *to == arg));
    stage.body.iter().any(|i| matches!(&i.op, InstOp::Load { arg, .. } if stored(*arg)))
}

/// Positions in loops without iterations are 0.
fn nothing(stage: &Stage, written: &mut Kernel) {
    let (positions, others): (Vec<Accumulate>, Vec<Accumulate>) =
        stage.reduce.iter().partition(|a| is_position(a));
    written.stages.push(Stage { reduce: others, ..stage.clone() });
    let zeros = positions.iter().map(|acc| Inst { out: Some(acc.out), op: InstOp::Int(0) });
    written.stages.push(Stage { body: zeros.collect(), ..Stage::default() });
}

fn two_stages(stage: &Stage, written: &mut Kernel) {
    let mut extremes = stage.clone();
    let mut positions = Stage { loops: stage.loops.clone(), ..Stage::default() };
    let mut copies = vec![None; written.regs.len()];
    for acc in extremes.reduce.iter_mut().filter(|acc| is_position(acc)) {
        let max = acc.kind == AccKind::ArgMax;
        let copied = copied(acc.value, stage, &mut copies, written, &mut positions.body);
        let (mut value, mut again) = (acc.value, copied);
        if matches!(written.regs[value.0 as usize], DType::Bool | DType::U8) {
            value = push(written, &mut extremes.body, InstOp::Cast(value), DType::I32);
            again = push(written, &mut positions.body, InstOp::Cast(again), DType::I32);
        }
        let dtype = written.regs[value.0 as usize];
        let extreme = new_reg(written, dtype);
        let kind = if max { AccKind::Max } else { AccKind::Min };
        let body = &mut positions.body;
        let mut here = push(written, body, InstOp::Compare(Compare::Eq, again, extreme), DType::Bool);
        if dtype.is_float() {
            let nan = push(written, body, InstOp::Compare(Compare::Ne, again, again), DType::Bool);
            here = push(written, body, InstOp::Binary(Binary::Or, here, nan), DType::Bool);
        }
        let position = position(written, stage, body);
        let nowhere = push(written, body, InstOp::Int(i64::MAX), DType::I64);
        let candidate = push(written, body, InstOp::Select(here, position, nowhere), DType::I64);
        positions.reduce.push(Accumulate { kind: AccKind::Min, value: candidate, out: acc.out });
        *acc = Accumulate { kind, value, out: extreme };
    }
    written.stages.extend([extremes, positions]);
}

/// The row-major position in a stage's loops.
fn position(kernel: &mut Kernel, stage: &Stage, body: &mut Vec<Inst>) -> Reg {
    let rank = kernel.grid.len();
    let (mut sum, mut stride) = (None, 1);
    for (axis, extent) in stage.loops.iter().enumerate().rev() {
        let mut term = push(kernel, body, InstOp::Index((rank + axis) as u32), DType::I64);
        if stride != 1 {
            let by = push(kernel, body, InstOp::Int(stride), DType::I64);
            term = push(kernel, body, InstOp::Binary(Binary::Mul, term, by), DType::I64);
        }
        sum = Some(match sum {
            None => term,
            Some(sum) => push(kernel, body, InstOp::Binary(Binary::Add, term, sum), DType::I64),
        });
        stride *= *extent as i64;
    }
    sum.expect("the stage has loops")
}

/// What a register of a stage holds, computed again at the end of `body`.
fn copied(
    value: Reg,
    stage: &Stage,
    copies: &mut [Option<Reg>],
    kernel: &mut Kernel,
    body: &mut Vec<Inst>,
) -> Reg {
    let mut wanted: SmallVec<[Reg; 8]> = SmallVec::from_elem(value, 1);
    let mut needed = vec![false; stage.body.len()];
    for (i, inst) in stage.body.iter().enumerate().rev() {
        if inst.out.is_some_and(|out| wanted.contains(&out)) {
            needed[i] = true;
            wanted.extend(inst.op.operands());
        }
    }
    for (inst, _) in stage.body.iter().zip(needed).filter(|(_, needed)| *needed) {
        let Some(out) = inst.out.filter(|out| copies[out.0 as usize].is_none()) else { continue };
        let mut op = inst.op.clone();
        op.map_operands(|reg| copies[reg.0 as usize].unwrap_or(reg));
        let dtype = kernel.regs[out.0 as usize];
        copies[out.0 as usize] = Some(push(kernel, body, op, dtype));
    }
    // A result of an earlier stage is what it is.
    copies[value.0 as usize].unwrap_or(value)
}

fn push(kernel: &mut Kernel, body: &mut Vec<Inst>, op: InstOp, dtype: DType) -> Reg {
    let out = new_reg(kernel, dtype);
    body.push(Inst { out: Some(out), op });
    out
}

fn new_reg(kernel: &mut Kernel, dtype: DType) -> Reg {
    kernel.regs.push(dtype);
    Reg(kernel.regs.len() as u32 - 1)
}
