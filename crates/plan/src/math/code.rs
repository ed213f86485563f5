//! The body of a stage while it is rewritten: equal instructions without effects share a register.

use crate::kernel::{Inst, InstOp, Reg};
use wootz_ir::DType;

/// Instructions of one stage, and the registers of the kernel so far.
pub(super) struct Code {
    /// The dtypes of all registers.
    pub(super) regs: Vec<DType>,
    /// The stage's instructions.
    body: Vec<Inst>,
    /// The position in `body` of the last instruction of each hash, plus 1.
    last: [u32; HASHES],
    /// By position in `body`: that of the instruction before it with its hash, plus 1.
    before: Vec<u32>,
    /// The position in the original kernel, counted over all stages, of what is being rewritten, and of what each instruction
    /// so far was first written for.
    pub(super) origin: u32,
    pub(super) origins: Vec<u32>,
}

/// Hashes of instructions.
const HASHES: usize = 256;

/// The hash of an instruction without effects, from which the result follows, dtype included.
fn hash(op: &InstOp, dtype: DType) -> Option<usize> {
    let regs =
        |tag: u64, [x, y, z]: [u32; 3]| tag ^ u64::from(x) << 8 ^ u64::from(y) << 26 ^ u64::from(z) << 44;
    let bits = match op {
        InstOp::Float(x) => x.0.to_bits() ^ 1,
        InstOp::Int(x) => *x as u64 ^ 2 << 56,
        InstOp::Index(axis) => regs(3, [*axis, 0, 0]),
        InstOp::Unary(_, x) => regs(4, [x.0, 0, 0]),
        InstOp::Binary(op, x, y) => regs(5 + *op as u64, [x.0, y.0, 0]),
        InstOp::Compare(op, x, y) => regs(32 + *op as u64, [x.0, y.0, 0]),
        InstOp::Select(c, x, y) => regs(64, [c.0, x.0, y.0]),
        InstOp::Fma(x, y, z) => regs(65, [x.0, y.0, z.0]),
        InstOp::Cast(x) => regs(66 + ((dtype as u64) << 3), [x.0, 0, 0]),
        InstOp::Bitcast(x) => regs(67, [x.0, 0, 0]),
        InstOp::Round(_, x) => regs(68, [x.0, 0, 0]),
        InstOp::Load { .. } | InstOp::Tile | InstOp::Store { .. } => return None,
    };
    Some((bits.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> (64 - HASHES.ilog2())) as usize)
}

impl Code {
    pub(super) fn with_capacity(regs: usize) -> Code {
        Code {
            regs: Vec::with_capacity(regs),
            body: Vec::with_capacity(regs),
            last: [0; HASHES],
            before: Vec::with_capacity(regs),
            origin: 0,
            origins: Vec::with_capacity(regs),
        }
    }

    /// The register of a value: a new one unless an equal instruction stands before.
    pub(super) fn value(&mut self, op: InstOp, dtype: DType) -> Reg {
        let mut before = 0;
        if let Some(hash) = hash(&op, dtype) {
            before = self.last[hash];
            let mut at = before;
            while at != 0 {
                let inst = &self.body[at as usize - 1];
                if let Some(out) = inst.out
                    && inst.op == op
                    && self.dtype(out) == dtype
                {
                    return out;
                }
                at = self.before[at as usize - 1];
            }
            self.last[hash] = self.body.len() as u32 + 1;
        }
        let out = self.register(dtype);
        self.push(Inst { out: Some(out), op }, before);
        out
    }

    /// Adds an instruction without a result.
    pub(super) fn effect(&mut self, op: InstOp) {
        self.push(Inst { out: None, op }, 0);
    }

    fn push(&mut self, inst: Inst, before: u32) {
        self.body.push(inst);
        self.before.push(before);
        self.origins.push(self.origin);
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
        self.last = [0; HASHES];
        self.before.clear();
        std::mem::take(&mut self.body)
    }
}
