//! Register allocation within one straight piece of code.
//!
//! Values are placed as code is written. When registers run out, the value whose next use is farthest away is evicted (Belady's
//! rule, which is optimal where evictions cost the same): dropped if it also lies in memory, else stored to a slot of the
//! frame first. Between pieces of code nothing is in registers but what is held for a whole loop.

mod share;
mod uses;

use super::asm::vector::{LOAD, MASK_LOAD, MASK_STORE, STORE};
use super::asm::{Assembler, Gpr, Length, Mem, Vec};
use uses::{Used, Uses};
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
#[derive(Clone, Copy, Debug)]
struct Place {
    /// The piece of code of which this is true.
    piece: u32,
    /// The processor register, or [`NONE`].
    register: u8,
    /// Whether it lies in memory where it does between pieces of code.
    kept: bool,
    /// The slot it was evicted to, or [`NEVER`].
    slot: u32,
}

/// No register.
const NONE: u8 = u8::MAX;
/// No position, no slot.
const NEVER: u32 = u32::MAX;

/// Of a value that no piece of code has touched.
const ELSEWHERE: Place = Place { piece: 0, register: NONE, kept: true, slot: NEVER };

/// The processor registers of a class. Sets have one bit a register.
#[derive(Clone, Debug, Default)]
struct Bank {
    owners: [Option<Value>; 32],
    /// Without an owner and not held.
    free: u32,
    /// Operand or result of the instruction being written.
    locked: u32,
    /// Kept for the whole loop.
    held: u32,
    /// All there are.
    all: u32,
}

impl Bank {
    fn new(all: u32, held: u32) -> Bank {
        Bank { owners: [None; 32], free: all & !held, locked: 0, held, all }
    }

    /// Lets a register hold a value.
    #[inline]
    fn give(&mut self, register: Vec, value: Value) {
        self.owners[usize::from(register.0 & 31)] = Some(value);
        self.free &= !(1 << register.0);
    }
}

/// What allocation must know of a register of the kernel.
#[derive(Clone, Copy, Debug)]
pub(super) struct Kind {
    pub(super) class: Class,
    /// Whether lanes differ.
    pub(super) varies: bool,
    /// The stage whose loop over lanes computes it.
    pub(super) stage: Option<u32>,
}

/// The gpr that points to the frame.
pub(super) const FRAME: Gpr = Gpr::R15;
/// Bytes of a slot: of the longest vector.
pub(super) const SLOT: u32 = 64;
/// The mask of the lanes that a tail computes (AVX-512); not allocated.
pub(super) const TAIL_MASK: Vec = Vec(7);
/// Mask register 0 means "all lanes"; the tail's mask has its own use.
const RESERVED_MASKS: u32 = 1 | 1 << TAIL_MASK.0;
/// Most vectors that are computed side by side.
pub(super) const MOST_COPIES: usize = 4;

/// The state of allocation.
#[derive(Default)]
pub(super) struct Registers {
    pub(super) kinds: std::vec::Vec<Kind>,
    copies: usize,
    vectors: Bank,
    masks: Bank,
    /// By copy and register; of as many copies as a piece of code had.
    places: std::vec::Vec<Place>,
    /// Counts pieces of code.
    piece: u32,
    /// What each instruction uses.
    uses: std::vec::Vec<Uses>,
    /// Every register that is used.
    used: std::vec::Vec<Used>,
    /// By register: the position of the first use after the instruction being written.
    next: std::vec::Vec<u32>,
    /// By register: its position in `used`, if there.
    counted: std::vec::Vec<u32>,
    /// The instruction being written, and which of its copies.
    position: usize,
    copy: usize,
    /// While code is stamped: all registers of each bank, of which the allocated copy has a share, and whether that is too small.
    share: Option<[u32; 2]>,
    short: bool,
    /// Vector registers that no share has: for values that are the same for all copies.
    common: u32,
    /// Where the next evicted value goes, and the end of the frame.
    next_slot: u32,
    pub(super) frame_bytes: u32,
}

impl Registers {
    /// For a kernel with such registers on a processor with 16 or 32 vector registers; in the memory of these.
    pub(super) fn reused(self, kinds: impl Iterator<Item = Kind>, vectors: usize) -> Registers {
        let mut new = Registers {
            vectors: Bank::new(u32::MAX >> (32 - vectors), 0),
            masks: Bank::new(0xff, RESERVED_MASKS),
            copies: 1,
            kinds: self.kinds,
            places: self.places,
            uses: self.uses,
            used: self.used,
            next: self.next,
            counted: self.counted,
            ..Registers::default()
        };
        new.kinds.clear();
        new.kinds.extend(kinds);
        let count = new.kinds.len();
        new.places.clear();
        new.places.resize(count, ELSEWHERE);
        new.next.clear();
        new.next.resize(count, NEVER);
        new.counted.resize(count, 0);
        new
    }

    /// Reserves bytes of the frame for good.
    pub(super) fn reserve(&mut self, bytes: u32) -> u32 {
        let at = self.frame_bytes;
        self.frame_bytes = (at + bytes).next_multiple_of(SLOT);
        at
    }

    /// The registers that the piece of code uses that was read.
    pub(super) fn used(&self) -> &[Used] {
        &self.used
    }

    /// Begins the piece of code that was read, for `copies` vectors side by side. Evicted values go to `spill_at` and after.
    pub(super) fn begin(&mut self, copies: usize, spill_at: u32) {
        self.copies = copies;
        (self.position, self.copy) = (0, 0);
        self.next_slot = spill_at;
        self.piece += 1;
        let places = self.kinds.len() * copies;
        if self.places.len() < places {
            self.places.resize(places, ELSEWHERE);
        }
        for bank in [&mut self.vectors, &mut self.masks] {
            bank.locked = 0;
            bank.free = bank.all & !bank.held;
        }
        for used in &self.used {
            self.next[used.reg.0 as usize] = used.first;
        }
        let mut held = self.vectors.held;
        while held != 0 {
            let index = held.trailing_zeros() as u8;
            held &= held - 1;
            if let Some(value) = self.vectors.owners[usize::from(index)] {
                self.place(value).register = index;
            }
        }
    }

    #[inline]
    fn key(&self, value: Value) -> usize {
        usize::from(value.copy) * self.kinds.len() + value.reg.0 as usize
    }

    /// Where a value is; one that this piece of code has not touched lies where it was kept.
    #[inline]
    fn place(&mut self, value: Value) -> &mut Place {
        let key = self.key(value);
        let place = &mut self.places[key];
        if place.piece != self.piece {
            *place = Place { piece: self.piece, register: NONE, kept: true, slot: NEVER };
        }
        place
    }

    /// Says that a result was stored where it lies between pieces of code.
    pub(super) fn set_kept(&mut self, value: Value) {
        self.place(value).kept = true;
    }

    /// The register that holds a value, if one does.
    #[inline]
    pub(super) fn resident(&self, value: Value) -> Option<Vec> {
        let place = &self.places[self.key(value)];
        (place.piece == self.piece && place.register != NONE).then_some(Vec(place.register))
    }

    /// The slot that a value was evicted to.
    pub(super) fn slot(&self, value: Value) -> Option<Mem> {
        let place = &self.places[self.key(value)];
        (place.piece == self.piece && place.slot != NEVER).then_some(Mem::Base(FRAME, place.slot as i32))
    }

    /// Whether the current instruction is the last that uses a value.
    #[inline]
    fn dies(&self, value: Value) -> bool {
        self.next[value.reg.0 as usize] == NEVER && (!value.shared || self.copy + 1 == self.copies)
    }

    #[inline]
    fn bank(&mut self, class: Class) -> &mut Bank {
        match class {
            Class::Vector(_) => &mut self.vectors,
            Class::Mask => &mut self.masks,
        }
    }

    /// A register for the current instruction, which is locked until the instruction ends.
    #[inline]
    fn take(&mut self, asm: &mut Assembler, class: Class) -> Vec {
        let bank = self.bank(class);
        let free = bank.free & !bank.locked;
        let index = if free != 0 { free.trailing_zeros() as u8 } else { self.evict(asm, class) };
        self.bank(class).locked |= 1 << index;
        Vec(index)
    }

    /// Frees the register whose value is used last.
    fn evict(&mut self, asm: &mut Assembler, class: Class) -> u8 {
        let bank = self.bank(class);
        let mut rest = bank.all & !(bank.free | bank.locked | bank.held);
        let mut best: Option<(u8, Value, (u32, bool))> = None;
        while rest != 0 {
            let index = rest.trailing_zeros() as u8;
            rest &= rest - 1;
            let Some(owner) = self.bank(class).owners[usize::from(index)] else { continue };
            let place = *self.place(owner);
            let rank = (self.next[owner.reg.0 as usize], place.kept || place.slot != NEVER);
            if best.is_none_or(|(_, _, b)| rank > b) {
                best = Some((index, owner, rank));
            }
        }
        // Copies have no slots of their own.
        if self.share.is_some() && best.is_none_or(|(.., (_, in_memory))| !in_memory) {
            self.short = true;
            return 0;
        }
        let (index, owner, (_, in_memory)) =
            best.expect("an instruction needs fewer registers than there are");
        if !in_memory {
            let slot = Mem::Base(FRAME, self.next_slot as i32);
            self.place(owner).slot = self.next_slot;
            self.next_slot += SLOT;
            self.frame_bytes = self.frame_bytes.max(self.next_slot);
            match class {
                Class::Vector(length) => asm.v1(STORE[0], length, Vec(index), slot),
                Class::Mask => asm.v1(MASK_STORE, Length::L128, Vec(index), slot),
            }
        }
        self.place(owner).register = NONE;
        self.bank(class).free |= 1 << index;
        index
    }

    /// Locks the register that holds a value, if one does.
    #[inline]
    pub(super) fn lock(&mut self, value: Value, class: Class) -> Option<Vec> {
        let register = self.resident(value)?;
        self.bank(class).locked |= 1 << register.0;
        Some(register)
    }

    /// The value in a register, loaded from where it lies.
    pub(super) fn load(&mut self, asm: &mut Assembler, value: Value, class: Class, from: Mem) -> Vec {
        if let Class::Vector(length) = class
            && value.shared
            && let Some(register) = self.take_common(value)
        {
            asm.once_for_all(LOAD[0], length, register, from);
            return register;
        }
        let register = self.take(asm, class);
        match class {
            Class::Vector(length) => asm.v1(LOAD[0], length, register, from),
            Class::Mask => asm.v1(MASK_LOAD, Length::L128, register, from),
        }
        self.own(register, class, value);
        register
    }

    /// Whether it is better to read a value from where it lies than to spend a register on it.
    #[inline]
    pub(super) fn once(&self, value: Value, class: Class) -> bool {
        let Class::Vector(_) = class else { return false };
        // What is the same for all lanes and worth a register is held for the whole loop.
        (value.shared && (self.copies > 1 || self.share.is_some()))
            || (self.vectors.free & !self.vectors.locked).count_ones() <= 2
            || self.dies(value)
    }

    #[inline]
    fn own(&mut self, register: Vec, class: Class, value: Value) {
        self.bank(class).give(register, value);
        self.place(value).register = register.0;
    }

    /// A register for the current instruction's intermediate results.
    pub(super) fn temp(&mut self, asm: &mut Assembler, class: Class) -> Vec {
        self.take(asm, class)
    }

    /// A register for a result. It may be written before all operands are read.
    #[inline]
    pub(super) fn define(&mut self, asm: &mut Assembler, value: Value, class: Class) -> Vec {
        let register = self.take(asm, class);
        self.define_in(register, value, class);
        register
    }

    #[inline]
    fn define_in(&mut self, register: Vec, value: Value, class: Class) {
        self.bank(class).give(register, value);
        // It is computed only here: it lies nowhere else.
        let key = self.key(value);
        self.places[key] = Place { piece: self.piece, register: register.0, kept: false, slot: NEVER };
    }

    /// Gives the register of an operand to the result of a single instruction, if the operand is in one and used for the
    /// last time.
    #[inline]
    pub(super) fn inherit(&mut self, value: Value, class: Class, operand: Value) -> Option<Vec> {
        // Most are used again.
        if !self.dies(operand) {
            return None;
        }
        let register = self.resident(operand)?;
        let bank = self.bank(class);
        (bank.held >> register.0 & 1 == 0).then_some(())?;
        bank.locked |= 1 << register.0;
        let key = self.key(operand);
        self.places[key].register = NONE;
        self.define_in(register, value, class);
        Some(register)
    }

    /// Whether the register of a value may be overwritten by the current instruction.
    pub(super) fn expires(&self, value: Value) -> bool {
        self.resident(value).is_some_and(|r| self.vectors.held >> r.0 & 1 == 0) && self.dies(value)
    }

    /// Goes on to a copy of an instruction.
    #[inline]
    pub(super) fn advance(&mut self, position: usize, copy: usize) {
        (self.position, self.copy) = (position, copy);
        if copy == 0 {
            let Uses { operands, next } = &self.uses[position];
            for (reg, next) in operands.iter().zip(next).rev() {
                self.next[reg.0 as usize] = *next;
            }
        }
    }

    /// Ends a copy of an instruction: frees what it used for the last time, and a result that nobody uses.
    #[inline]
    pub(super) fn retire(&mut self, out: Option<Reg>) {
        (self.vectors.locked, self.masks.locked) = (0, 0);
        for reg in self.uses[self.position].operands {
            self.free(reg);
        }
        if let Some(out) = out {
            self.free(out);
        }
    }

    /// Frees a register of the kernel if it is not used any more.
    #[inline(always)]
    fn free(&mut self, reg: Reg) {
        if self.next[reg.0 as usize] == NEVER {
            self.free_last(reg);
        }
    }

    fn free_last(&mut self, reg: Reg) {
        let Kind { varies, class, .. } = self.kinds[reg.0 as usize];
        let value = Value { reg, copy: if varies { self.copy as u8 } else { 0 }, shared: !varies };
        let Some(register) = self.resident(value) else { return };
        let bit = 1 << register.0;
        if self.bank(class).held & bit == 0 && self.dies(value) {
            self.place(value).register = NONE;
            self.bank(class).free |= bit;
        }
    }

    /// Frees the intermediate results of the current instruction but some.
    pub(super) fn unlock_but(&mut self, kept: &[Vec]) {
        let kept = kept.iter().fold(0, |set, k| set | 1 << k.0);
        self.vectors.locked &= !self.vectors.free | kept;
        self.masks.locked &= !self.masks.free;
    }

    /// Registers that no loop holds.
    pub(super) fn free_vectors(&self) -> usize {
        (self.vectors.all & !self.vectors.held).count_ones() as usize
    }

    /// Takes a register out of allocation, for a value or for none, until [`Registers::release`].
    pub(super) fn hold(&mut self, value: Option<Value>) -> Option<Vec> {
        let bank = &mut self.vectors;
        let free = bank.all & !bank.held;
        let index = free.checked_ilog2()?;
        bank.held |= 1 << index;
        bank.owners[index as usize] = value;
        Some(Vec(index as u8))
    }

    /// The same of a mask register (AVX-512).
    pub(super) fn hold_mask(&mut self) -> Option<Vec> {
        let free = self.masks.all & !self.masks.held;
        let index = free.checked_ilog2()?;
        self.masks.held |= 1 << index;
        Some(Vec(index as u8))
    }

    /// Ends some holds.
    pub(super) fn drop_held(&mut self, held: &[Vec]) {
        held.iter().for_each(|r| self.vectors.held &= !(1 << r.0));
    }

    /// Ends all holds.
    pub(super) fn release(&mut self) {
        self.vectors.held = 0;
        self.masks.held = RESERVED_MASKS;
    }
}
