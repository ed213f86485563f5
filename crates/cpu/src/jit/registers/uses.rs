//! What a piece of code uses, and where it does so next: read once, from its end to its beginning.

use super::{NEVER, Registers};
use wootz_plan::kernel::{Inst, Operands, Reg};

/// What an instruction uses.
#[derive(Clone, Copy, Debug)]
pub(super) struct Uses {
    pub(super) operands: Operands,
    /// Of each operand: where it is used next. Of repeated ones, the first's is true.
    pub(super) next: [u32; 3],
}

/// The uses of a register of the kernel in a piece of code.
#[derive(Clone, Copy, Debug)]
pub(in crate::jit) struct Used {
    pub(in crate::jit) reg: Reg,
    pub(in crate::jit) count: u32,
    /// Where the first is.
    pub(super) first: u32,
}

impl Registers {
    /// Reads a piece of code: `insts`, then something for each register in `also`. Gives the most registers of one copy that
    /// are alive at once, of those that the stage's loop over lanes computes.
    pub(in crate::jit) fn read(&mut self, insts: &[&Inst], also: &[Reg], stage: usize) -> usize {
        let Registers { kinds, uses, used, next, counted, .. } = self;
        used.clear();
        uses.clear();
        // Each is written where it stays: what was stored in parts is slow to load as a whole.
        uses.resize(insts.len() + also.len(), Uses { operands: Operands::default(), next: [NEVER; 3] });
        let (mut alive, mut most) = (0, 0);
        for (position, Uses { operands, next: then }) in uses.iter_mut().enumerate().rev() {
            let inst = insts.get(position);
            *operands = match inst {
                Some(inst) => inst.op.operands(),
                None => Operands::from(also[position - insts.len()]),
            };
            // A result without a use needs its register for a moment, too.
            let defined = inst.and_then(|inst| inst.out).filter(|r| kinds[r.0 as usize].varies);
            alive -= usize::from(defined.is_some_and(|r| next[r.0 as usize] != NEVER));
            for (reg, then) in operands.iter().zip(then) {
                let at = reg.0 as usize;
                *then = std::mem::replace(&mut next[at], position as u32);
                if *then == NEVER {
                    counted[at] = used.len() as u32;
                    used.push(Used { reg: *reg, count: 0, first: NEVER });
                    alive += usize::from(kinds[at].varies && kinds[at].stage == Some(stage as u32));
                }
                used[counted[at] as usize].count += 1;
            }
            most = most.max(alive + usize::from(defined.is_some()));
        }
        for used in used {
            used.first = std::mem::replace(&mut next[used.reg.0 as usize], NEVER);
        }
        most
    }
}
