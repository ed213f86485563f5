//! The body of a stage while it is rewritten: equal instructions without effects share a register.

use super::division::Range;
use crate::kernel::{Inst, InstOp, Reg};
use wootz_ir::DType;
use wootz_ir::ops::Binary;

/// Instructions of one stage, and the registers of the kernel so far.
pub(super) struct Code {
    /// The dtypes of all registers.
    pub(super) regs: Vec<DType>,
    /// The stage's instructions.
    body: Vec<Inst>,
    /// The position in `body` of the last instruction of each hash, plus 1.
    last: [u32; HASHES],
    /// By position in `body`.
    seen: Vec<Seen>,
    /// The position in the original kernel, counted over all stages, of what is being rewritten.
    pub(super) origin: u32,
    /// By instruction so far: of what it was first written for, if that is wanted.
    pub(super) origins: Option<Vec<u32>>,
    /// Sizes of the loops around the stage: the grid's, then its own.
    pub(super) extents: Vec<usize>,
    /// What is known of results that were written as several instructions.
    ranges: Vec<(Reg, Range)>,
}

/// How an instruction is found again.
#[derive(Clone, Copy)]
struct Seen {
    key: u64,
    /// The position of the instruction before it with its hash, plus 1.
    before: u32,
}

/// Hashes of instructions.
const HASHES: usize = 256;

fn hash(key: u64) -> usize {
    (key.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> (64 - HASHES.ilog2())) as usize
}

/// Instructions that a range is followed through.
const MOST_STEPS: usize = 6;

/// A range, unless the dtype wraps it.
fn within(range: Range, dtype: Option<Range>) -> Option<Range> {
    match dtype {
        Some((low, high)) if range.0 < low || range.1 > high => dtype,
        _ => Some(range),
    }
}

/// The range of op(x, y); `None` if it may wrap.
fn combined(op: Binary, x: Option<Range>, y: Option<Range>) -> Option<Range> {
    if op == Binary::And {
        // No more than either that is not negative.
        let highs = [x, y].into_iter().flatten().filter(|(low, _)| *low >= 0);
        return highs.map(|(_, high)| (0, high)).min();
    }
    let (x, y) = (x?, y?);
    Some(match op {
        Binary::Add => (x.0.checked_add(y.0)?, x.1.checked_add(y.1)?),
        Binary::Sub => (x.0.checked_sub(y.1)?, x.1.checked_sub(y.0)?),
        Binary::Mul => {
            let ends = [(x.0, y.0), (x.0, y.1), (x.1, y.0), (x.1, y.1)];
            let mut products = [0; 4];
            for (product, (x, y)) in products.iter_mut().zip(ends) {
                *product = x.checked_mul(y)?;
            }
            (*products.iter().min()?, *products.iter().max()?)
        }
        Binary::Min => (x.0.min(y.0), x.1.min(y.1)),
        Binary::Max => (x.0.max(y.0), x.1.max(y.1)),
        _ => return None,
    })
}

impl Code {
    pub(super) fn with_capacity(regs: usize) -> Code {
        Code {
            regs: Vec::with_capacity(regs),
            body: Vec::with_capacity(regs),
            last: [0; HASHES],
            seen: Vec::with_capacity(regs),
            origin: 0,
            origins: None,
            extents: Vec::new(),
            ranges: Vec::new(),
        }
    }

    /// The register of a value: a new one unless an equal instruction stands before.
    pub(super) fn value(&mut self, op: InstOp, dtype: DType) -> Reg {
        let mut seen = Seen { key: 0, before: 0 };
        if let Some(word) = op.word() {
            let key = word ^ (dtype as u64) << 57;
            let last = &mut self.last[hash(key)];
            seen = Seen { key, before: *last };
            let mut at = *last;
            while at != 0 {
                let other = self.seen[at as usize - 1];
                if other.key == key
                    && let Inst { out: Some(out), op: known } = &self.body[at as usize - 1]
                    && self.regs[out.0 as usize] == dtype
                    && *known == op
                {
                    return *out;
                }
                at = other.before;
            }
            *last = self.body.len() as u32 + 1;
        }
        let out = self.register(dtype);
        self.push(Inst { out: Some(out), op }, seen);
        out
    }

    /// Adds an instruction without a result.
    pub(super) fn effect(&mut self, op: InstOp) {
        self.push(Inst { out: None, op }, Seen { key: 0, before: 0 });
    }

    #[inline]
    fn push(&mut self, inst: Inst, seen: Seen) {
        self.body.push(inst);
        self.seen.push(seen);
        self.origins.iter_mut().for_each(|origins| origins.push(self.origin));
    }

    /// A register that an instruction of this stage does not define.
    pub(super) fn register(&mut self, dtype: DType) -> Reg {
        self.regs.push(dtype);
        Reg(self.regs.len() as u32 - 1)
    }

    pub(super) fn dtype(&self, reg: Reg) -> DType {
        self.regs[reg.0 as usize]
    }

    pub(super) fn set_range(&mut self, reg: Reg, range: Range) {
        self.ranges.push((reg, range));
    }

    /// The numbers that an integer register may hold, if there is a bound.
    pub(super) fn range(&self, reg: Reg) -> Option<Range> {
        self.range_within(reg, MOST_STEPS)
    }

    fn range_within(&self, reg: Reg, steps: usize) -> Option<Range> {
        let of_dtype = match self.dtype(reg) {
            DType::Bool => Some((0, 1)),
            DType::U8 => Some((0, u8::MAX.into())),
            DType::I32 => Some((i32::MIN.into(), i32::MAX.into())),
            DType::U32 => Some((0, u32::MAX.into())),
            DType::F16 | DType::BF16 | DType::F32 | DType::F64 => return None,
            DType::I64 => None,
        };
        if let Some((_, known)) = self.ranges.iter().find(|(r, _)| *r == reg) {
            return within(*known, of_dtype);
        }
        let Some(steps) = steps.checked_sub(1) else { return of_dtype };
        let inst = self.body.iter().rev().find(|inst| inst.out == Some(reg));
        let of = |x: &Reg| self.range_within(*x, steps);
        let computed = inst.and_then(|inst| match &inst.op {
            InstOp::Int(value) => Some((*value, *value)),
            InstOp::Index(axis) => {
                let last = self.extents.get(*axis as usize)?.saturating_sub(1);
                Some((0, i64::try_from(last).ok()?))
            }
            InstOp::Cast(x) => of(x),
            InstOp::Select(_, x, y) => {
                let (x, y) = (of(x)?, of(y)?);
                Some((x.0.min(y.0), x.1.max(y.1)))
            }
            InstOp::Binary(op, x, y) => combined(*op, of(x), of(y)),
            _ => None,
        });
        computed.and_then(|range| within(range, of_dtype)).or(of_dtype)
    }

    /// The stage's instructions. The next stage sees none of their registers again: those of a stage with loops end with it.
    pub(super) fn finish_stage(&mut self) -> Vec<Inst> {
        self.last = [0; HASHES];
        self.seen.clear();
        std::mem::take(&mut self.body)
    }
}
