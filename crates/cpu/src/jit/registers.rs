//! Register allocation within one straight piece of code.
//!
//! Values are placed as code is written. When registers run out, the value whose next use is farthest away is evicted (Belady's
//! rule, which is optimal where evictions cost the same): dropped if it also lies in memory, else stored to a slot of the
//! frame first. Between pieces of code nothing is in registers but what is held for a whole loop.

use super::asm::vector::{LOAD, MASK_LOAD, MASK_STORE, STORE};
use super::asm::{Assembler, Gpr, Length, Mem, Rm, Vec};
use wootz_plan::kernel::Reg;

/// A value: a register of the kernel, in one of the vectors that are computed side by side.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Value {
    pub(super) reg: Reg,
    pub(super) copy: u8,
    /// Whether all copies use the same one, whose `copy` is then 0.
    pub(super) shared: bool,
}

/// What kind of processor register holds a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Class {
    Vector(Length),
    /// One bit a lane (AVX-512).
    Mask,
}

/// Where a value is.
#[derive(Clone, Copy, Debug, Default)]
struct Place {
    register: Option<Vec>,
    memory: Option<Mem>,
}

/// A processor register.
#[derive(Clone, Copy, Debug, Default)]
struct Cell {
    owner: Option<Value>,
    /// Operand or result of the instruction being written.
    locked: bool,
    /// Kept for the whole loop.
    held: bool,
}

/// Positions at which a register of the kernel is used, in order.
#[derive(Clone, Debug, Default)]
pub(super) struct Uses {
    positions: std::vec::Vec<u32>,
}

/// The gpr that points to the frame.
pub(super) const FRAME: Gpr = Gpr::R15;
/// Bytes of a slot: of the longest vector.
pub(super) const SLOT: u32 = 64;
/// The mask of the lanes that a tail computes (AVX-512); not allocated.
pub(super) const TAIL_MASK: Vec = Vec(7);

/// The state of allocation.
pub(super) struct Registers {
    copies: usize,
    vectors: std::vec::Vec<Cell>,
    masks: std::vec::Vec<Cell>,
    places: std::vec::Vec<Place>,
    uses: std::vec::Vec<Uses>,
    /// The instruction being written, and which of its copies.
    position: u32,
    copy: usize,
    /// Where the next evicted value goes, and the end of the frame.
    next_slot: u32,
    pub(super) frame_bytes: u32,
}

impl Registers {
    /// For a kernel of `count` registers on a processor with 16 or 32 vector registers.
    pub(super) fn new(count: usize, vectors: usize) -> Registers {
        let mut masks = vec![Cell::default(); 8];
        // Mask register 0 means "all lanes"; the tail's mask has its own use.
        masks[0].held = true;
        masks[usize::from(TAIL_MASK.0)].held = true;
        Registers {
            copies: 1,
            vectors: vec![Cell::default(); vectors],
            masks,
            places: vec![Place::default(); count],
            uses: vec![Uses::default(); count],
            position: 0,
            copy: 0,
            next_slot: 0,
            frame_bytes: 0,
        }
    }

    /// Reserves bytes of the frame for good.
    pub(super) fn reserve(&mut self, bytes: u32) -> u32 {
        let at = self.frame_bytes;
        self.frame_bytes = (at + bytes).next_multiple_of(SLOT);
        at
    }

    /// Begins a piece of code that computes `copies` vectors side by side. `uses` lists the kernel registers read by each
    /// instruction. Evicted values go to `spill_at` and after.
    pub(super) fn begin<'i>(
        &mut self,
        copies: usize,
        spill_at: u32,
        uses: impl Iterator<Item = (usize, smallvec::SmallVec<[Reg; 3]>)> + 'i,
    ) {
        self.copies = copies;
        (self.position, self.copy) = (0, 0);
        self.next_slot = spill_at;
        for cell in self.vectors.iter_mut().chain(&mut self.masks) {
            cell.locked = false;
            if !cell.held {
                cell.owner = None;
            }
        }
        let count = self.uses.len();
        self.places.clear();
        self.places.resize(count * copies, Place::default());
        for list in &mut self.uses {
            list.positions.clear();
        }
        for (position, operands) in uses {
            for reg in operands {
                self.uses[reg.0 as usize].positions.push(position as u32);
            }
        }
        for i in 0..self.vectors.len() {
            if let Cell { owner: Some(value), held: true, .. } = self.vectors[i] {
                self.place(value).register = Some(Vec(i as u8));
            }
        }
    }

    fn key(&self, value: Value) -> usize {
        value.reg.0 as usize * self.copies + usize::from(value.copy)
    }

    fn place(&mut self, value: Value) -> &mut Place {
        let key = self.key(value);
        &mut self.places[key]
    }

    /// Says that a value lies in memory.
    pub(super) fn set_memory(&mut self, value: Value, at: Mem) {
        self.place(value).memory = Some(at);
    }

    /// Says that a value lies in memory no more.
    pub(super) fn clear_memory(&mut self, value: Value) {
        self.place(value).memory = None;
    }

    /// The register that holds a value, if one does.
    pub(super) fn resident(&self, value: Value) -> Option<Vec> {
        self.places[self.key(value)].register
    }

    /// Where the value lies in memory, if it does.
    pub(super) fn memory(&self, value: Value) -> Option<Mem> {
        self.places[self.key(value)].memory
    }

    /// The position of the next use after the current instruction.
    fn next_use(&self, reg: Reg) -> u32 {
        let positions = &self.uses[reg.0 as usize].positions;
        let from = positions.partition_point(|p| *p <= self.position);
        positions.get(from).copied().unwrap_or(u32::MAX)
    }

    /// Whether the current instruction is the last that uses a value.
    fn dies(&self, value: Value) -> bool {
        self.next_use(value.reg) == u32::MAX && (!value.shared || self.copy + 1 == self.copies)
    }

    fn cells(&mut self, class: Class) -> &mut [Cell] {
        match class {
            Class::Vector(_) => &mut self.vectors,
            Class::Mask => &mut self.masks,
        }
    }

    /// A register for the current instruction, which is locked until the instruction ends.
    fn take(&mut self, asm: &mut Assembler, class: Class) -> Vec {
        let free = self.cells(class).iter().position(|c| c.owner.is_none() && !c.locked && !c.held);
        let index = free.unwrap_or_else(|| self.evict(asm, class));
        self.cells(class)[index].locked = true;
        Vec(index as u8)
    }

    /// Frees the register whose value is used last.
    fn evict(&mut self, asm: &mut Assembler, class: Class) -> usize {
        let cells: &[Cell] = match class {
            Class::Vector(_) => &self.vectors,
            Class::Mask => &self.masks,
        };
        let mut best: Option<(usize, (u32, bool))> = None;
        for (i, cell) in cells.iter().enumerate().filter(|(_, c)| !c.locked && !c.held) {
            let Some(owner) = cell.owner else { continue };
            let rank = (self.next_use(owner.reg), self.memory(owner).is_some());
            if best.is_none_or(|(_, b)| rank > b) {
                best = Some((i, rank));
            }
        }
        let (index, _) = best.expect("an instruction needs fewer registers than there are");
        let owner = cells[index].owner.expect("only owned registers are evicted");
        if self.memory(owner).is_none() {
            let slot = Mem::Base(FRAME, self.next_slot as i32);
            self.next_slot += SLOT;
            self.frame_bytes = self.frame_bytes.max(self.next_slot);
            match class {
                Class::Vector(length) => asm.v1(STORE[0], length, Vec(index as u8), slot),
                Class::Mask => asm.v1(MASK_STORE, Length::L128, Vec(index as u8), slot),
            }
            self.place(owner).memory = Some(slot);
        }
        self.place(owner).register = None;
        self.cells(class)[index].owner = None;
        index
    }

    /// The value in a register, loaded from memory if it is not in one.
    pub(super) fn read(&mut self, asm: &mut Assembler, value: Value, class: Class) -> Vec {
        if let Some(register) = self.resident(value) {
            self.cells(class)[usize::from(register.0)].locked = true;
            return register;
        }
        let from = self.memory(value).expect("a value that is used was computed");
        let register = self.take(asm, class);
        match class {
            Class::Vector(length) => asm.v1(LOAD[0], length, register, from),
            Class::Mask => asm.v1(MASK_LOAD, Length::L128, register, from),
        }
        self.own(register, class, value);
        register
    }

    /// The value as the last operand of an instruction.
    pub(super) fn read_any(&mut self, asm: &mut Assembler, value: Value, class: Class) -> Rm {
        match (self.resident(value), self.memory(value)) {
            (None, Some(memory)) if self.once(value, class) => memory.into(),
            _ => self.read(asm, value, class).into(),
        }
    }

    /// Whether it is better to read a value from where it lies than to spend a register on it.
    fn once(&self, value: Value, class: Class) -> bool {
        let Class::Vector(_) = class else { return false };
        let free = self.vectors.iter().filter(|c| c.owner.is_none() && !c.locked && !c.held).count();
        free <= 2 || self.dies(value)
    }

    fn own(&mut self, register: Vec, class: Class, value: Value) {
        self.cells(class)[usize::from(register.0)].owner = Some(value);
        self.place(value).register = Some(register);
    }

    /// A register for the current instruction's intermediate results.
    pub(super) fn temp(&mut self, asm: &mut Assembler, class: Class) -> Vec {
        self.take(asm, class)
    }

    /// A register for a result. It may be written before all operands are read.
    pub(super) fn define(&mut self, asm: &mut Assembler, value: Value, class: Class) -> Vec {
        let register = self.take(asm, class);
        self.own(register, class, value);
        register
    }

    /// A register for the result of a single instruction: that of an operand used for the last time, if there is one.
    pub(super) fn define_over(
        &mut self,
        asm: &mut Assembler,
        value: Value,
        class: Class,
        operands: &[Value],
    ) -> Vec {
        let dying = operands.iter().find_map(|operand| {
            let register = self.resident(*operand)?;
            let free = self.dies(*operand) && !self.is_held(register, class);
            free.then_some((*operand, register))
        });
        match dying {
            Some((operand, register)) => {
                self.place(operand).register = None;
                self.cells(class)[usize::from(register.0)].locked = true;
                self.own(register, class, value);
                register
            }
            None => self.define(asm, value, class),
        }
    }

    fn is_held(&self, register: Vec, class: Class) -> bool {
        match class {
            Class::Vector(_) => self.vectors[usize::from(register.0)].held,
            Class::Mask => self.masks[usize::from(register.0)].held,
        }
    }

    /// Whether the register of a value may be overwritten by the current instruction.
    pub(super) fn expires(&self, value: Value) -> bool {
        let held = self.resident(value).is_none_or(|r| self.vectors[usize::from(r.0)].held);
        !held && self.dies(value)
    }

    /// Frees what the current instruction used for the last time. A result that nobody uses stays until the instruction ends.
    pub(super) fn retire(&mut self) {
        for class in [Class::Vector(Length::L512), Class::Mask] {
            for i in 0..self.cells(class).len() {
                let cell = self.cells(class)[i];
                self.cells(class)[i].locked = false;
                if let (Some(owner), false) = (cell.owner, cell.held)
                    && (owner.shared || usize::from(owner.copy) == self.copy)
                    && self.dies(owner)
                {
                    self.place(owner).register = None;
                    self.cells(class)[i].owner = None;
                }
            }
        }
    }

    /// Frees the intermediate results of the current instruction but some.
    pub(super) fn unlock_but(&mut self, kept: &[Vec]) {
        for (i, cell) in self.vectors.iter_mut().enumerate() {
            cell.locked &= cell.owner.is_some() || kept.iter().any(|k| usize::from(k.0) == i);
        }
        self.masks.iter_mut().for_each(|cell| cell.locked &= cell.owner.is_some());
    }

    /// Goes on to a copy of an instruction.
    pub(super) fn advance(&mut self, position: usize, copy: usize) {
        (self.position, self.copy) = (position as u32, copy);
    }

    /// Registers that are neither held nor in use.
    pub(super) fn free_vectors(&self) -> usize {
        self.vectors.iter().filter(|c| c.owner.is_none() && !c.held).count()
    }

    /// Takes a register out of allocation, for a value or for none, until [`Registers::release`].
    pub(super) fn hold(&mut self, value: Option<Value>) -> Option<Vec> {
        let index = self.vectors.iter().rposition(|c| c.owner.is_none() && !c.held)?;
        self.vectors[index] = Cell { owner: value, locked: false, held: true };
        Some(Vec(index as u8))
    }

    /// Ends some holds.
    pub(super) fn drop_held(&mut self, held: &[Vec]) {
        held.iter().for_each(|r| self.vectors[usize::from(r.0)] = Cell::default());
    }

    /// Ends all holds.
    pub(super) fn release(&mut self) {
        for cell in &mut self.vectors {
            *cell = Cell::default();
        }
    }
}
