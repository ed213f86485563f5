//! Small kernels that do not depend on each other become one, such as the updates of many small parameters: to start a step
//! costs more than such a kernel does. Those over one grid share it; of others, the smallest become loops, one after another, of a
//! kernel without a grid.

use super::memory::each_buffer;
use crate::kernel::{ArgId, InstOp, Kernel, Lanes, Reg, Stage};
use crate::{BufferId, Step, StepKind};
use std::sync::Arc;

/// Executions of the bodies that a kernel may have to count as small: their operands stay in the first-level cache.
const ITERATIONS: usize = 1 << 12;
/// The same where they become loops, which one thread runs.
const LOOPED: usize = 1 << 10;
/// Bounds of what becomes one kernel.
const INSTRUCTIONS: usize = 512;
const ARGS: usize = 64;
/// How many steps back a kernel may move.
const WINDOW: usize = 64;

/// Joins small kernels; the order of steps that depend on each other stays.
pub(super) fn join_small(steps: &mut Vec<Step>) {
    let mut joined: Vec<Step> = Vec::with_capacity(steps.len());
    for mut step in std::mem::take(steps) {
        match partner(&mut joined, &mut step) {
            Some(at) => join(&mut joined[at], &step),
            None => joined.push(step),
        }
    }
    *steps = joined;
}

/// The latest step that a kernel can be joined with, none of those after it standing in the way.
fn partner(steps: &mut [Step], step: &mut Step) -> Option<usize> {
    if !small(step) {
        return None;
    }
    let theirs = accesses(step);
    let from = steps.len().saturating_sub(WINDOW);
    for at in (from..steps.len()).rev() {
        let own = accesses(&mut steps[at]);
        let conflict = own.iter().any(|(b, written)| theirs.iter().any(|(c, w)| b == c && (*written || *w)));
        if conflict {
            return None;
        }
        if fits(&steps[at], step) {
            return Some(at);
        }
    }
    None
}

fn kernel(step: &Step) -> Option<&Kernel> {
    match &step.kind {
        StepKind::Kernel { kernel, .. } => Some(kernel),
        _ => None,
    }
}

fn small(step: &Step) -> bool {
    kernel(step).is_some_and(|k| k.iterations() <= ITERATIONS)
}

fn fits(first: &Step, second: &Step) -> bool {
    let (Some(a), Some(b)) = (kernel(first), kernel(second)) else { return false };
    let instructions = |k: &Kernel| k.stages.iter().map(|s| s.body.len() + s.reduce.len()).sum::<usize>();
    let together = shares_grid(a, b) || (is_looped(a) && is_looped(b) && fit_as_loops(a, b));
    together
        && a.iterations() <= ITERATIONS
        && instructions(a) + instructions(b) <= INSTRUCTIONS
        && a.args.len() + b.args.len() <= ARGS
}

/// Whether kernels are so small that one thread should run both, and their vectors have as many lanes.
fn fit_as_loops(a: &Kernel, b: &Kernel) -> bool {
    let is_wide = |k: &Kernel| k.regs.iter().any(|dtype| dtype.size() == 8);
    let is_scalar = |k: &Kernel| k.iterations() == 1;
    a.iterations() + b.iterations() <= LOOPED && (is_wide(a) == is_wide(b) || is_scalar(a) || is_scalar(b))
}

fn shares_grid(a: &Kernel, b: &Kernel) -> bool {
    a.grid == b.grid && a.lanes == b.lanes
}

/// One stage, whose loops are the grid.
fn is_elementwise(kernel: &Kernel) -> bool {
    matches!(&kernel.stages[..], [s] if s.loops.is_empty() && s.reduce.is_empty())
}

/// Whether a kernel has no grid, or needs none.
fn is_looped(kernel: &Kernel) -> bool {
    let needs_none = is_elementwise(kernel) && !kernel.grid.contains(&0);
    needs_none || (kernel.grid.is_empty() && kernel.lanes == Lanes::Inner)
}

/// Makes loops of the grid.
fn make_loops(kernel: &mut Kernel) {
    if let (true, [stage]) = (is_elementwise(kernel), &mut kernel.stages[..]) {
        stage.loops = std::mem::take(&mut kernel.grid);
        kernel.lanes = Lanes::Inner;
    }
}

/// The buffers that a step accesses, and whether it may write them.
fn accesses(step: &mut Step) -> Vec<(BufferId, bool)> {
    if let StepKind::Kernel { kernel, args } = &step.kind {
        return args.iter().copied().zip(kernel.args.iter().map(|a| a.write)).collect();
    }
    let mut all = Vec::new();
    each_buffer(step, &mut |b| all.push((*b, true)));
    all
}

fn join(first: &mut Step, second: &Step) {
    let StepKind::Kernel { kernel: into, args } = &mut first.kind else { return };
    let StepKind::Kernel { kernel: from, args: more } = &second.kind else { return };
    let joined = Arc::make_mut(into);
    let mut from = Kernel::clone(from);
    if !shares_grid(joined, &from) {
        make_loops(joined);
        make_loops(&mut from);
    }
    let mut numbers = Vec::with_capacity(more.len());
    for (buffer, arg) in more.iter().zip(&from.args) {
        let at = args.iter().position(|b| b == buffer).unwrap_or_else(|| {
            args.push(*buffer);
            joined.args.push(*arg);
            args.len() - 1
        });
        numbers.push(ArgId(at as u32));
    }
    let is_one = from.stages.len() == 1 && from.stages[0].reduce.is_empty();
    let shift = joined.regs.len() as u32;
    let reg = |r: Reg| Reg(r.0 + shift);
    joined.regs.extend_from_slice(&from.regs);
    for mut stage in from.stages {
        for inst in &mut stage.body {
            inst.op.map_operands(reg);
            inst.out = inst.out.map(reg);
            if let InstOp::Load { arg, .. } | InstOp::Store { arg, .. } = &mut inst.op {
                *arg = numbers[arg.0 as usize];
            }
        }
        for acc in &mut stage.reduce {
            (acc.value, acc.out) = (reg(acc.value), reg(acc.out));
        }
        // Independent: loops of the same sizes become one.
        let same = |s: &&mut Stage| s.loops == stage.loops && s.reduce.is_empty();
        match joined.stages.iter_mut().find(same) {
            Some(same) if is_one => same.body.append(&mut stage.body),
            _ => joined.stages.push(stage),
        }
    }
}
