//! Rows that a kernel computes in one stage and reads again in a later one, such as the exponentials of a softmax: they are
//! kept where the result will lie, not in a buffer of their own that would have to travel through the caches as well.

use crate::kernel::{ArgId, InstOp, Kernel};
use smallvec::SmallVec;

/// Lets intermediate values be stored in an output of the kernel until the result takes their place; `later` says of every
/// argument whether it is read after the kernel.
pub(super) fn keep_in_outputs(kernel: &mut Kernel, later: &[bool]) {
    let mut accesses = accesses(kernel);
    let rows: Vec<usize> = (0..accesses.len()).filter(|arg| !later[*arg]).collect();
    for from in rows {
        let Some(row) = intermediate(kernel, &accesses[from]) else { continue };
        let takes = |to: &usize| {
            *to != from
                && kernel.args[*to].dtype == kernel.args[from].dtype
                && takes(kernel, &accesses[*to], &row)
        };
        let Some(to) = (0..accesses.len()).find(takes) else { continue };
        for access in std::mem::take(&mut accesses[from]) {
            let inst = &mut kernel.stages[access.stage].body[access.position];
            if let InstOp::Load { arg, .. } | InstOp::Store { arg, .. } = &mut inst.op {
                *arg = ArgId(to as u32);
            }
            accesses[to].push(access);
        }
    }
}

/// A value that one stage stores and later ones read back, each iteration what it stored itself.
struct Row {
    stored: Access,
    /// The last load.
    read: Access,
}

/// Where an argument is loaded or stored.
#[derive(Copy, Clone)]
struct Access {
    stage: usize,
    position: usize,
}

impl Access {
    fn instruction<'k>(&self, kernel: &'k Kernel) -> &'k InstOp {
        &kernel.stages[self.stage].body[self.position].op
    }
}

/// The accesses of each argument, in order.
fn accesses(kernel: &Kernel) -> Vec<SmallVec<[Access; 4]>> {
    let mut accesses = vec![SmallVec::new(); kernel.args.len()];
    for (stage, stages) in kernel.stages.iter().enumerate() {
        for (position, inst) in stages.body.iter().enumerate() {
            if let InstOp::Load { arg, .. } | InstOp::Store { arg, .. } = &inst.op {
                accesses[arg.0 as usize].push(Access { stage, position });
            }
        }
    }
    accesses
}

fn intermediate(kernel: &Kernel, accesses: &[Access]) -> Option<Row> {
    let [stored, loads @ ..] = accesses else { return None };
    let InstOp::Store { at, .. } = stored.instruction(kernel) else { return None };
    if at.index.is_some() {
        return None;
    }
    let loops = &kernel.stages[stored.stage].loops;
    let reads_back = |load: &Access| {
        matches!(load.instruction(kernel), InstOp::Load { at: other, mask: None, .. } if other == at)
            && load.stage != stored.stage
            && kernel.stages[load.stage].loops == *loops
    };
    if !loads.iter().all(reads_back) {
        return None;
    }
    Some(Row { stored: *stored, read: *loads.last()? })
}

/// True if an argument is written once, where the row lies, when nothing reads the row any more.
fn takes(kernel: &Kernel, accesses: &[Access], row: &Row) -> bool {
    let ([access], InstOp::Store { at: row_at, .. }) = (accesses, row.stored.instruction(kernel)) else {
        return false;
    };
    matches!(access.instruction(kernel), InstOp::Store { at, .. } if at == row_at)
        && kernel.stages[access.stage].loops == kernel.stages[row.stored.stage].loops
        && (access.stage, access.position) > (row.read.stage, row.read.position)
}
