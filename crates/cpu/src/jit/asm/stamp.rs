//! Copies of straight code: registers are allocated for the first, the others are the same instructions on other registers and
//! lanes. Every instruction is followed by its copies, so that none waits for another.

use super::vector::{Recorded, VectorInst, VectorOp};
use super::{Assembler, Gpr, Length, Mem, Vec};

/// How copies differ.
#[derive(Clone, Copy, Debug)]
pub(in crate::jit) struct Stamp {
    pub(in crate::jit) copies: u8,
    /// Vector registers of a copy. Those of the first are 0 and so on, then come those of the second. What lies after the last
    /// is the same for all.
    pub(in crate::jit) vectors: u8,
    /// Mask registers of a copy. Those of the first are 1 and so on.
    pub(in crate::jit) masks: u8,
    /// What counts lanes, and how many a copy has.
    pub(in crate::jit) lane: Gpr,
    pub(in crate::jit) lanes: i32,
}

impl Stamp {
    pub(super) fn vector(&self, reg: Vec, copy: u8) -> Vec {
        if reg.0 < self.vectors { Vec(reg.0 + copy * self.vectors) } else { reg }
    }

    pub(super) fn mask(&self, reg: Vec, copy: u8) -> Vec {
        if (1..=self.masks).contains(&reg.0) { Vec(reg.0 + copy * self.masks) } else { reg }
    }

    pub(super) fn mem(&self, mem: Mem, copy: u8) -> Mem {
        match mem {
            Mem::Indexed(base, index, shift, disp) if index == self.lane => {
                Mem::Indexed(base, index, shift, disp + ((i32::from(copy) * self.lanes) << shift))
            }
            _ => mem,
        }
    }
}

/// The instructions of one copy.
#[derive(Debug, Default)]
pub(in crate::jit) struct Recording {
    pub(in crate::jit) insts: std::vec::Vec<Recorded>,
    /// Those of them that address lanes.
    pub(in crate::jit) lanes: std::vec::Vec<VectorInst>,
}

impl Recording {
    fn clear(&mut self) {
        self.insts.clear();
        self.lanes.clear();
    }
}

/// A place that code can be taken back to.
#[derive(Clone, Copy, Debug)]
pub(in crate::jit) struct Mark {
    code: usize,
    labels: usize,
    jumps: usize,
    pooled: usize,
}

impl Assembler {
    /// From here on until [`Assembler::end_stamp`], instructions are copied. Only vector instructions may depend on the lane, none
    /// may address lanes by a register.
    pub(in crate::jit) fn begin_stamp(&mut self, stamp: Stamp) -> Mark {
        self.stamp = Some(stamp);
        self.recorded.clear();
        self.interrupted = false;
        let (labels, jumps) = (self.labels.len(), self.jumps.len());
        Mark { code: self.code.len(), labels, jumps, pooled: self.pooled.len() }
    }

    /// Loads a register that all copies read.
    pub(in crate::jit) fn once_for_all(&mut self, op: VectorOp, length: Length, dst: Vec, from: Mem) {
        let stamp = self.stamp.map(|stamp| Stamp { copies: 1, ..stamp });
        let stamp = std::mem::replace(&mut self.stamp, stamp);
        self.v1(op, length, dst, from);
        self.stamp = stamp;
    }

    pub(in crate::jit) fn end_stamp(&mut self) {
        self.stamp = None;
    }

    /// Takes back what was written since.
    pub(in crate::jit) fn rewind(&mut self, to: Mark) {
        self.code.truncate(to.code);
        self.labels.truncate(to.labels);
        self.jumps.truncate(to.jumps);
        self.pooled.truncate(to.pooled);
    }

    /// How many instructions of one copy were stamped since [`Assembler::begin_stamp`].
    pub(in crate::jit) fn stamped(&self) -> usize {
        self.recorded.insts.len()
    }

    /// The instructions of one copy, if they are all there was.
    pub(in crate::jit) fn take_stamped(&mut self) -> Option<Recording> {
        let recorded = std::mem::take(&mut self.recorded);
        (!self.interrupted).then_some(recorded)
    }
}
