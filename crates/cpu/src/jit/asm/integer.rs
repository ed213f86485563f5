//! Instructions on general-purpose registers, all of 64 bits unless named otherwise.

use super::{Assembler, Gpr, Label, Mem, Rm};

/// When a jump is taken, after a comparison of signed numbers.
#[derive(Clone, Copy, Debug)]
#[repr(u8)]
pub(in crate::jit) enum Condition {
    Equal = 4,
    Less = 12,
    AtLeast = 13,
    AtMost = 14,
    Above = 15,
}

impl Assembler {
    /// One instruction with REX.W.
    fn wide(&mut self, opcode: &[u8], reg: u8, rm: Rm, trailing: usize) {
        let (x, b) = match rm {
            Rm::Reg(r) => (0, r >> 3),
            Rm::Mem(Mem::Base(base, _)) => (0, base.0 >> 3),
            Rm::Mem(Mem::Indexed(base, index, ..)) => (index.0 >> 3, base.0 >> 3),
            Rm::Mem(Mem::Pool(_) | Mem::Lanes(..)) => (0, 0),
        };
        self.interrupted |= self.stamp.is_some();
        self.byte(0x48 | (reg >> 3) << 2 | x << 1 | b);
        opcode.iter().for_each(|o| self.byte(*o));
        self.modrm(reg, rm, trailing);
    }

    pub(in crate::jit) fn mov(&mut self, to: Gpr, from: Gpr) {
        if to != from {
            self.wide(&[0x8b], to.0, Rm::Reg(from.0), 0);
        }
    }

    pub(in crate::jit) fn load(&mut self, to: Gpr, from: Mem) {
        self.wide(&[0x8b], to.0, from.into(), 0);
    }

    pub(in crate::jit) fn store(&mut self, to: Mem, from: Gpr) {
        self.wide(&[0x89], from.0, to.into(), 0);
    }

    pub(in crate::jit) fn lea(&mut self, to: Gpr, of: Mem) {
        self.wide(&[0x8d], to.0, of.into(), 0);
    }

    pub(in crate::jit) fn mov_imm(&mut self, to: Gpr, value: i64) {
        match i32::try_from(value) {
            Ok(value) => {
                self.wide(&[0xc7], 0, Rm::Reg(to.0), 4);
                self.long(value);
            }
            Err(_) => {
                self.byte(0x48 | to.0 >> 3);
                self.byte(0xb8 | (to.0 & 7));
                self.code.extend_from_slice(&value.to_le_bytes());
            }
        }
    }

    /// Writes a constant to eight bytes of memory.
    pub(in crate::jit) fn store_imm(&mut self, to: Mem, value: i32) {
        self.wide(&[0xc7], 0, to.into(), 4);
        self.long(value);
    }

    pub(in crate::jit) fn add(&mut self, to: Gpr, rm: Rm) {
        self.wide(&[0x03], to.0, rm, 0);
    }

    pub(in crate::jit) fn sub(&mut self, to: Gpr, rm: Rm) {
        self.wide(&[0x2b], to.0, rm, 0);
    }

    pub(in crate::jit) fn and(&mut self, to: Gpr, rm: Rm) {
        self.wide(&[0x23], to.0, rm, 0);
    }

    /// The group of immediate arithmetic: 0 is addition, 4 and, 5 subtraction, 7 comparison.
    fn arithmetic_imm(&mut self, group: u8, rm: Rm, value: i32) {
        match i8::try_from(value) {
            Ok(value) => {
                self.wide(&[0x83], group, rm, 1);
                self.byte(value as u8);
            }
            Err(_) => {
                self.wide(&[0x81], group, rm, 4);
                self.long(value);
            }
        }
    }

    pub(in crate::jit) fn add_imm(&mut self, to: Rm, value: i32) {
        self.arithmetic_imm(0, to, value);
    }

    pub(in crate::jit) fn sub_imm(&mut self, to: Rm, value: i32) {
        self.arithmetic_imm(5, to, value);
    }

    pub(in crate::jit) fn cmp_imm(&mut self, x: Rm, value: i32) {
        self.arithmetic_imm(7, x, value);
    }

    pub(in crate::jit) fn cmp(&mut self, x: Gpr, y: Rm) {
        self.wide(&[0x3b], x.0, y, 0);
    }

    /// to = x · value
    pub(in crate::jit) fn imul_imm(&mut self, to: Gpr, x: Rm, value: i32) {
        self.wide(&[0x69], to.0, x, 4);
        self.long(value);
    }

    /// to = to · x
    pub(in crate::jit) fn imul(&mut self, to: Gpr, x: Rm) {
        self.wide(&[0x0f, 0xaf], to.0, x, 0);
    }

    pub(in crate::jit) fn shl(&mut self, to: Gpr, bits: u8) {
        if bits > 0 {
            self.wide(&[0xc1], 4, Rm::Reg(to.0), 1);
            self.byte(bits);
        }
    }

    pub(in crate::jit) fn and_imm(&mut self, to: Rm, value: i32) {
        self.arithmetic_imm(4, to, value);
    }

    pub(in crate::jit) fn neg(&mut self, to: Gpr) {
        self.wide(&[0xf7], 3, Rm::Reg(to.0), 0);
    }

    /// Extends the low 32 bits with their sign.
    pub(in crate::jit) fn sign_extend(&mut self, reg: Gpr) {
        self.wide(&[0x63], reg.0, Rm::Reg(reg.0), 0);
    }

    /// Moves if the condition holds.
    pub(in crate::jit) fn cmov(&mut self, condition: Condition, to: Gpr, from: Rm) {
        self.wide(&[0x0f, 0x40 | condition as u8], to.0, from, 0);
    }

    /// The zero-extended byte.
    pub(in crate::jit) fn load_byte(&mut self, to: Gpr, from: Mem) {
        self.wide(&[0x0f, 0xb6], to.0, from.into(), 0);
    }

    /// The zero-extended 16 bits.
    pub(in crate::jit) fn load_half(&mut self, to: Gpr, from: Mem) {
        self.wide(&[0x0f, 0xb7], to.0, from.into(), 0);
    }

    /// Brings a cache line near, to be read or to be written; accesses nothing.
    pub(in crate::jit) fn prefetch(&mut self, of: Mem, to_write: bool) {
        let opcode = if to_write { 0x0d } else { 0x18 };
        self.wide(&[0x0f, opcode], 1, of.into(), 0);
    }

    pub(in crate::jit) fn push(&mut self, reg: Gpr) {
        if reg.0 >= 8 {
            self.byte(0x41);
        }
        self.byte(0x50 | (reg.0 & 7));
    }

    pub(in crate::jit) fn pop(&mut self, reg: Gpr) {
        if reg.0 >= 8 {
            self.byte(0x41);
        }
        self.byte(0x58 | (reg.0 & 7));
    }

    pub(in crate::jit) fn ret(&mut self) {
        self.byte(0xc3);
    }

    pub(in crate::jit) fn jump(&mut self, to: Label) {
        self.byte(0xe9);
        self.jumps.push((self.code.len(), to));
        self.long(0);
    }

    pub(in crate::jit) fn jump_if(&mut self, condition: Condition, to: Label) {
        self.byte(0x0f);
        self.byte(0x80 | condition as u8);
        self.jumps.push((self.code.len(), to));
        self.long(0);
    }
}
