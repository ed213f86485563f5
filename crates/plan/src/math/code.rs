//! The body of a stage while it is rewritten: equal instructions without effects share a register.

use crate::kernel::{Inst, InstOp, Reg};
use hashbrown::HashMap;
use std::hash::{BuildHasherDefault, Hasher};
use wootz_ir::DType;
use wootz_ir::ops::{Binary, Compare, Unary};

/// Instructions of one stage, and the registers of the kernel so far.
pub(super) struct Code {
    /// The dtypes of all registers.
    pub(super) regs: Vec<DType>,
    /// The stage's instructions.
    pub(super) body: Vec<Inst>,
    known: HashMap<Key, Reg, BuildHasherDefault<Mixer>>,
}

/// A quick hash for the few small numbers of a [`Key`].
#[derive(Default)]
struct Mixer(u64);

impl Hasher for Mixer {
    fn finish(&self) -> u64 {
        // The table takes the position from the low bits.
        self.0 ^ self.0 >> 32
    }

    fn write(&mut self, bytes: &[u8]) {
        bytes.iter().for_each(|b| self.write_u64((*b).into()));
    }

    fn write_u8(&mut self, x: u8) {
        self.write_u64(x.into());
    }

    fn write_u32(&mut self, x: u32) {
        self.write_u64(x.into());
    }

    fn write_u64(&mut self, x: u64) {
        self.0 = (self.0.rotate_left(23) ^ x).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    }

    fn write_i64(&mut self, x: i64) {
        self.write_u64(x as u64);
    }

    fn write_isize(&mut self, x: isize) {
        self.write_u64(x as u64);
    }
}

/// An instruction without effects; together with the dtype of its result where operands leave that open.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
enum Key {
    Float(u64, DType),
    Int(i64, DType),
    Index(u32),
    Unary(Unary, Reg),
    Binary(Binary, Reg, Reg),
    Compare(Compare, Reg, Reg),
    Select(Reg, Reg, Reg),
    Fma(Reg, Reg, Reg),
    Cast(Reg, DType),
    Bitcast(Reg, DType),
    Round(DType, Reg),
}

fn key(op: &InstOp, dtype: DType) -> Option<Key> {
    Some(match *op {
        InstOp::Float(x) => Key::Float(x.0.to_bits(), dtype),
        InstOp::Int(x) => Key::Int(x, dtype),
        InstOp::Index(axis) => Key::Index(axis),
        InstOp::Unary(op, x) => Key::Unary(op, x),
        InstOp::Binary(op, x, y) => Key::Binary(op, x, y),
        InstOp::Compare(op, x, y) => Key::Compare(op, x, y),
        InstOp::Select(c, x, y) => Key::Select(c, x, y),
        InstOp::Fma(x, y, z) => Key::Fma(x, y, z),
        InstOp::Cast(x) => Key::Cast(x, dtype),
        InstOp::Bitcast(x) => Key::Bitcast(x, dtype),
        InstOp::Round(to, x) => Key::Round(to, x),
        InstOp::Load { .. } | InstOp::Tile | InstOp::Store { .. } => return None,
    })
}

impl Code {
    pub(super) fn with_capacity(regs: usize) -> Code {
        Code {
            regs: Vec::with_capacity(regs),
            body: Vec::with_capacity(regs),
            known: HashMap::with_capacity_and_hasher(regs, BuildHasherDefault::default()),
        }
    }

    /// The register of a value: a new one unless an equal instruction stands before.
    pub(super) fn value(&mut self, op: InstOp, dtype: DType) -> Reg {
        // Next to be defined, if it is new.
        let next = Reg(self.regs.len() as u32);
        let known = key(&op, dtype).map_or(next, |key| *self.known.entry(key).or_insert(next));
        if known == next {
            self.regs.push(dtype);
            self.body.push(Inst { out: Some(next), op });
        }
        known
    }

    /// A register that an instruction of this stage does not define.
    pub(super) fn register(&mut self, dtype: DType) -> Reg {
        self.regs.push(dtype);
        Reg(self.regs.len() as u32 - 1)
    }

    pub(super) fn dtype(&self, reg: Reg) -> DType {
        self.regs[reg.0 as usize]
    }

    /// The stage's instructions. The next stage sees none of their registers again: those of a stage with loops end with it.
    pub(super) fn finish_stage(&mut self) -> Vec<Inst> {
        self.known.clear();
        std::mem::take(&mut self.body)
    }
}
