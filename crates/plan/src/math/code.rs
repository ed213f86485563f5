//! The body of a stage while it is rewritten: equal instructions without effects share a register.

use crate::kernel::{Inst, InstOp, Reg};
use hashbrown::HashMap;
use wootz_ir::DType;
use wootz_ir::ops::{Binary, Compare, Unary};

/// Instructions of one stage, and the registers of the kernel so far.
pub(super) struct Code {
    /// The dtypes of all registers.
    pub(super) regs: Vec<DType>,
    /// The stage's instructions.
    pub(super) body: Vec<Inst>,
    known: HashMap<Key, Reg>,
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
            known: HashMap::with_capacity(regs),
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
