//! Registers for one of the copies of a piece of code that is [stamped](super::super::asm::Stamp).

use super::super::asm::{Length, Vec};
use super::{Class, NEVER, NONE, Registers, Value};

impl Registers {
    /// Begins the piece of code that was read, for the first of so many copies, which get equal shares of what no loop holds.
    /// Gives how many vector and mask registers a share has: the first ones. One copy alone has all.
    pub(in crate::jit) fn begin_share(&mut self, copies: usize) -> [u8; 2] {
        self.short = false;
        if copies == 1 {
            self.begin(1, self.frame_bytes);
            return [0; 2];
        }
        self.share = Some([self.vectors.all, self.masks.all]);
        let held = self.vectors.all & self.vectors.held;
        let below_held = held.trailing_zeros().min(self.vectors.all.count_ones());
        let vectors = below_held / copies as u32;
        let masks = (self.masks.all & !self.masks.held).count_ones() / copies as u32;
        self.vectors.all = (1 << vectors) - 1;
        self.masks.all = ((1 << masks) - 1) << 1;
        for index in vectors * copies as u32..below_held {
            self.common |= 1 << index;
            self.vectors.owners[index as usize] = None;
        }
        self.vectors.held |= self.common;
        self.begin(1, self.frame_bytes);
        [vectors as u8, masks as u8]
    }

    /// Whether the share is too small: what was written since is not to be used.
    pub(in crate::jit) fn is_short(&self) -> bool {
        self.short
    }

    /// A register that the current instruction leaves free.
    pub(in crate::jit) fn spare(&self) -> Option<Vec> {
        let free = self.vectors.free & !self.vectors.locked;
        (free != 0).then(|| Vec(free.trailing_zeros() as u8))
    }

    /// Ends what [`Registers::begin_share`] began.
    pub(in crate::jit) fn end_share(&mut self) {
        if let Some([vectors, masks]) = self.share.take() {
            (self.vectors.all, self.masks.all) = (vectors, masks);
            self.vectors.held &= !std::mem::take(&mut self.common);
        }
    }

    /// One of the registers that copies have in common: a free one, or that whose value is used last.
    pub(super) fn take_common(&mut self, value: Value) -> Option<Vec> {
        let mut rest = self.common & !self.vectors.locked;
        let mut best: Option<(u32, u8)> = None;
        while rest != 0 {
            let index = rest.trailing_zeros() as u8;
            rest &= rest - 1;
            let owner = self.vectors.owners[usize::from(index)];
            let next = owner.map_or(NEVER, |owner| self.next[owner.reg.0 as usize]);
            if best.is_none_or(|(farthest, _)| next > farthest) {
                best = Some((next, index));
            }
        }
        let (_, index) = best?;
        if let Some(owner) = self.vectors.owners[usize::from(index)] {
            self.place(owner).register = NONE;
        }
        self.vectors.locked |= 1 << index;
        self.own(Vec(index), Class::Vector(Length::L128), value);
        Some(Vec(index))
    }
}
