//! Rows that a kernel computes in one stage and reads again in a later one, such as the exponentials of a softmax: they are
//! kept where the result will lie, not in a buffer of their own that would have to travel through the caches as well.

use crate::kernel::{Address, ArgId, InstOp, Kernel};

/// Lets intermediate values be stored in an output of the kernel until the result takes their place; `later` says of every
/// argument whether it is read after the kernel.
pub(super) fn keep_in_outputs(kernel: &mut Kernel, later: &[bool]) {
    for from in 0..kernel.args.len() {
        let Some(row) = intermediate(kernel, from, later[from]) else { continue };
        let Some(to) = (0..kernel.args.len()).find(|to| takes(kernel, *to, from, &row)) else { continue };
        for inst in kernel.stages.iter_mut().flat_map(|s| &mut s.body) {
            if let InstOp::Load { arg, .. } | InstOp::Store { arg, .. } = &mut inst.op
                && arg.0 as usize == from
            {
                *arg = ArgId(to as u32);
            }
        }
    }
}

/// A value that one stage stores and later ones read back, each iteration what it stored itself.
struct Row {
    stored: usize,
    at: Address,
    /// The last load: its stage and its position there.
    read: (usize, usize),
}

/// An access: its stage, its position there, its address, whether it is a load and has a mask.
type Access<'k> = (usize, usize, &'k Address, bool, bool);

fn accesses(kernel: &Kernel, of: usize) -> impl Iterator<Item = Access<'_>> {
    let stages = kernel.stages.iter().enumerate();
    let insts =
        stages.flat_map(|(s, stage)| stage.body.iter().enumerate().map(move |(i, inst)| (s, i, inst)));
    insts.filter_map(move |(s, i, inst)| match &inst.op {
        InstOp::Load { arg, at, mask } if arg.0 as usize == of => Some((s, i, at, true, mask.is_some())),
        InstOp::Store { arg, at, .. } if arg.0 as usize == of => Some((s, i, at, false, false)),
        _ => None,
    })
}

fn intermediate(kernel: &Kernel, arg: usize, later: bool) -> Option<Row> {
    let (stored, _, at, is_load, _) = accesses(kernel, arg).next()?;
    if later || is_load || at.index.is_some() {
        return None;
    }
    let loops = &kernel.stages[stored].loops;
    let mut read = None;
    for (stage, position, other, is_load, masked) in accesses(kernel, arg).skip(1) {
        let same = other == at && kernel.stages[stage].loops == *loops;
        if !is_load || masked || stage == stored || !same {
            return None;
        }
        read = Some((stage, position));
    }
    Some(Row { stored, at: at.clone(), read: read? })
}

/// True if an argument is written once, where the row lies, when nothing reads the row any more.
fn takes(kernel: &Kernel, to: usize, from: usize, row: &Row) -> bool {
    let mut all = accesses(kernel, to);
    let (Some((stage, position, at, false, _)), None) = (all.next(), all.next()) else { return false };
    to != from
        && kernel.args[to].dtype == kernel.args[from].dtype
        && kernel.stages[stage].loops == kernel.stages[row.stored].loops
        && *at == row.at
        && (stage, position) > row.read
}
