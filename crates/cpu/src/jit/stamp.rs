//! The body of a loop over lanes for several vectors side by side: allocated once, written with its [copies](super::asm::Stamp),
//! and written once more for the lanes that are left.

use super::asm::vector::*;
use super::asm::{Mem, Recording, Rm, Stamp, Vec};
use super::generate::{Generator, LANE, Mode};
use super::registers::{FRAME, TAIL_MASK};
use super::shape::Pieces;
use wootz_plan::kernel::{Inst, InstOp, Stage};

/// A copy's share of the registers is too small.
#[derive(Debug)]
pub(super) struct Short;

/// The instructions of one copy.
pub(super) struct Stamped {
    recording: Recording,
    /// A register that is free at each store, for the mask.
    spares: std::vec::Vec<Vec>,
    /// Lines of the listing, each with the instruction it stands before.
    lines: std::vec::Vec<(usize, usize)>,
}

impl<'k> Generator<'k> {
    /// Whether the code of a body differs between vectors in registers and lanes alone.
    pub(super) fn is_stampable(&self, stage: &Stage, pieces: &Pieces<'_>) -> bool {
        let alike = |inst: &&Inst| match &inst.op {
            InstOp::Index(_) => false,
            InstOp::Load { at, mask, .. } => mask.is_none() && self.shape.contiguous(stage, at),
            InstOp::Store { at, .. } => self.shape.contiguous(stage, at),
            _ => true,
        };
        stage.reduce.is_empty() && !pieces.uniform && pieces.accesses.iter().all(alike)
    }

    /// Writes a body that was [read](super::registers::Registers::read) for `copies` whole vectors; one may be all. Gives the
    /// instructions of one if a tail can be made of them.
    ///
    /// # Errors
    /// If there are too few registers for that. Then nothing was written.
    pub(super) fn stamp(&mut self, pieces: &Pieces<'k>, copies: usize) -> Result<Option<Stamped>, Short> {
        (self.mode, self.first, self.copies) = (Mode::Full, 0, 1);
        let [vectors, masks] = self.registers.begin_share(copies);
        let lanes = self.shape.lanes as i32;
        let stamp = Stamp { copies: copies as u8, vectors, masks, lane: LANE, lanes };
        let mark = self.asm.begin_stamp(stamp);
        let listed = self.lines.as_ref().map_or(0, std::vec::Vec::len);
        let (mut lines, mut spares, mut stores) = (vec![], vec![], 0);
        for (position, inst) in pieces.lanes.iter().enumerate() {
            self.line(inst);
            if let Some((_, line)) = self.lines.as_ref().and_then(|l| l.last()) {
                lines.push((self.asm.stamped(), *line));
            }
            self.registers.advance(position, 0);
            self.inst(inst, 0);
            if matches!(inst.op, InstOp::Store { .. }) {
                stores += 1;
                spares.extend(self.registers.spare());
            }
            self.keep(inst, 0);
            self.registers.retire(inst.out);
            if self.registers.is_short() {
                break;
            }
        }
        self.asm.end_stamp();
        self.registers.end_share();
        if self.registers.is_short() {
            self.asm.rewind(mark);
            self.lines.iter_mut().for_each(|l| l.truncate(listed));
            return Err(Short);
        }
        let plain =
            pieces.accesses.iter().all(|inst| self.is_plain(inst)) && (self.wide || spares.len() == stores);
        let stamped = self.asm.take_stamped().filter(|_| plain);
        Ok(stamped.map(|recording| Stamped { recording, spares, lines }))
    }

    /// Whether an instruction loads and stores whole lanes, if any.
    fn is_plain(&self, inst: &Inst) -> bool {
        match &inst.op {
            InstOp::Load { arg, .. } | InstOp::Store { arg, .. } => {
                self.shape.kernel.args[arg.0 as usize].dtype.size() >= 4
            }
            _ => true,
        }
    }

    /// Writes the instructions of one copy for the lanes of a tail.
    pub(super) fn write_tail(&mut self, stamped: &Stamped) {
        let mut lines = stamped.lines.iter().peekable();
        let mut spares = stamped.spares.iter().copied();
        let Recording { insts, lanes } = &stamped.recording;
        for (i, recorded) in insts.iter().enumerate() {
            while let Some((_, line)) = lines.next_if(|(at, _)| *at <= i) {
                let position = self.asm.position();
                self.lines.iter_mut().for_each(|l| l.push((position, *line)));
            }
            // Values that cross stages have room for a whole vector.
            let argument =
                |inst: &&VectorInst| matches!(inst.rm, Rm::Mem(Mem::Indexed(base, ..)) if base != FRAME);
            match lanes.get(recorded.lanes as usize).filter(argument) {
                Some(inst) => self.guarded(inst, &mut spares),
                None => self.asm.encode_again(recorded),
            }
        }
    }

    /// A load or store of the lanes that there are.
    fn guarded(&mut self, inst: &VectorInst, spares: &mut dyn Iterator<Item = Vec>) {
        let load = LOAD.contains(&inst.op);
        if self.wide {
            let guarded = inst.masked(Masked { by: TAIL_MASK.0, zero: load });
            return self.asm.encode(guarded);
        }
        let VectorInst { op, rm, parts: Parts { length, reg, .. } } = *inst;
        let pair = usize::from(op == LOAD[1] || op == STORE[1]);
        let mask =
            if load { reg } else { spares.next().expect("stores without a spare register are not plain") };
        self.asm.v1(LOAD[0], length, mask, Mem::Base(FRAME, self.tail_masks[pair] as i32));
        self.asm.v(if load { MASKED_LOAD[pair] } else { MASKED_STORE[pair] }, length, reg, mask, rm);
    }
}
