//! Elementary and special functions, written once, in the kernel language.
//!
//! [`expand`] rewrites every transcendental instruction on f32 and f64 registers into the native ones: arithmetic, `sqrt`,
//! rounding to integers, comparisons, `select`, `bitcast`, shifts and bits of integers. There are no branches: all cases of a
//! function are computed and the right one is selected, which is what vector code wants. Functions are within 2 units in the
//! last place, `lgamma` and `digamma` next to zeros below 0, where terms cancel, within 5e-16; zeros keep their sign,
//! infinities, NaN and subnormal numbers give what the documentation of [`Unary`] and [`Binary`] says.
//!
//! One file a family. The coefficients are those of minimax polynomials, from `xtask/math/coefficients.py`.

mod atan;
mod builder;
mod code;
mod division;
mod erf;
mod exp;
mod gamma;
mod log;
mod pow;
mod sigmoid;
mod simple;
#[cfg(test)]
mod tests;
mod trig;

use crate::kernel::{Accumulate, Address, Inst, InstOp, Kernel, Reg, Stage};
use builder::Math;
use code::Code;
use std::borrow::Cow;
use wootz_ir::ops::{Binary, Unary};

/// The kernel in native instructions. `fused` says whether [`InstOp::Fma`] is one of them; without, it appears only where the
/// kernel itself has it.
///
/// Not rewritten, whatever runs kernels must know them: remainders of floats, powers of integers, divisions of i64 that may be
/// beyond 2⁵⁰, and [`Unary::Polygamma`] of orders above 1.
pub fn expand(kernel: &Kernel, fused: bool) -> Cow<'_, Kernel> {
    rewritten(kernel, fused, false).0
}

/// As [`expand`], with the position in `kernel` of what each instruction of the result was written for. Positions count
/// over the bodies of all stages. What several instructions share belongs to the first. No positions: nothing was rewritten.
pub fn expand_with_origins(kernel: &Kernel, fused: bool) -> (Cow<'_, Kernel>, Vec<u32>) {
    rewritten(kernel, fused, true)
}

fn rewritten(kernel: &Kernel, fused: bool, origins: bool) -> (Cow<'_, Kernel>, Vec<u32>) {
    let instructions = || kernel.stages.iter().flat_map(|s| &s.body);
    if !instructions().any(|inst| is_expanded(&inst.op) || is_division(kernel, &inst.op)) {
        return (Cow::Borrowed(kernel), Vec::new());
    }
    let mut expander = Expander {
        kernel,
        fused,
        map: vec![Reg(0); kernel.regs.len()],
        code: Code::with_capacity(4 * kernel.regs.len() + 64),
    };
    expander.code.origins = origins.then(Vec::new);
    let stages = kernel.stages.iter().map(|s| expander.stage(s)).collect();
    let kernel = Kernel {
        grid: kernel.grid.clone(),
        lanes: kernel.lanes,
        args: kernel.args.clone(),
        stages,
        regs: expander.code.regs,
    };
    (Cow::Owned(kernel), expander.code.origins.unwrap_or_default())
}

/// True if [`expand`] rewrites an instruction, of floats where the op is one of integers too.
fn is_expanded(op: &InstOp) -> bool {
    use Unary as U;
    match op {
        InstOp::Unary(op, _) => match op {
            U::Exp | U::Expm1 | U::Log | U::Log1p | U::Rsqrt | U::Tanh | U::Erf => true,
            U::Sign | U::IsNan | U::IsFinite | U::StopGradient => true,
            U::Neg | U::Abs | U::Sqrt | U::Floor | U::Ceil | U::Round | U::Not => false,
            U::Sin | U::Cos | U::Tan | U::Erfc | U::Erfinv | U::Lgamma | U::Digamma => true,
            U::Polygamma(order) => *order == 1,
        },
        InstOp::Sigmoid(_) => true,
        InstOp::Binary(op, ..) => matches!(op, Binary::FloorDiv | Binary::Pow | Binary::Atan2),
        _ => false,
    }
}

/// True of divisions of integers.
fn is_division(kernel: &Kernel, op: &InstOp) -> bool {
    match op {
        InstOp::Binary(Binary::Div | Binary::Rem, x, _) => !kernel.regs[x.0 as usize].is_float(),
        _ => false,
    }
}

struct Expander<'k> {
    kernel: &'k Kernel,
    fused: bool,
    /// The registers of the rewritten kernel, by those of the original.
    map: Vec<Reg>,
    code: Code,
}

impl Expander<'_> {
    fn stage(&mut self, stage: &Stage) -> Stage {
        self.code.extents.clear();
        self.code.extents.extend(self.kernel.grid.iter().chain(&stage.loops));
        for inst in &stage.body {
            self.inst(inst);
            self.code.origin += 1;
        }
        let body = self.code.finish_stage();
        let reduce = stage.reduce.iter().map(|acc| {
            let value = self.map[acc.value.0 as usize];
            let out = self.code.register(self.kernel.regs[acc.out.0 as usize]);
            self.map[acc.out.0 as usize] = out;
            Accumulate { kind: acc.kind, value, out }
        });
        Stage { loops: stage.loops.clone(), reduce: reduce.collect(), body }
    }

    fn inst(&mut self, inst: &Inst) {
        let map = |r: &Reg| self.map[r.0 as usize];
        let address = |at: &Address| Box::new(Address { index: at.index.as_ref().map(map), ..at.clone() });
        let Some(out) = inst.out else {
            if let InstOp::Store { arg, at, value } = &inst.op {
                let op = InstOp::Store { arg: *arg, at: address(at), value: map(value) };
                self.code.effect(op);
            }
            return;
        };
        let dtype = self.kernel.regs[out.0 as usize];
        let op = match &inst.op {
            InstOp::Unary(op, x) => {
                let x = map(x);
                if let Some(value) = unary(&mut self.math(x), *op, x) {
                    return self.map[out.0 as usize] = value;
                }
                InstOp::Unary(*op, x)
            }
            InstOp::Binary(op, x, y) => {
                let (x, y) = (map(x), map(y));
                if let Some(value) = binary(&mut self.math(x), *op, x, y) {
                    return self.map[out.0 as usize] = value;
                }
                InstOp::Binary(*op, x, y)
            }
            InstOp::Sigmoid(x) => {
                let x = map(x);
                return self.map[out.0 as usize] = sigmoid::sigmoid(&mut self.math(x), x);
            }
            InstOp::Compare(op, x, y) => InstOp::Compare(*op, map(x), map(y)),
            InstOp::Select(c, x, y) => InstOp::Select(map(c), map(x), map(y)),
            InstOp::Fma(x, y, z) => InstOp::Fma(map(x), map(y), map(z)),
            InstOp::Cast(x) => InstOp::Cast(map(x)),
            InstOp::Bitcast(x) => InstOp::Bitcast(map(x)),
            InstOp::Round(to, x) => InstOp::Round(*to, map(x)),
            InstOp::Load { arg, at, mask } => {
                InstOp::Load { arg: *arg, at: address(at), mask: mask.as_ref().map(map) }
            }
            InstOp::Float(value) => InstOp::Float(*value),
            InstOp::Int(value) => InstOp::Int(*value),
            InstOp::Index(axis) => InstOp::Index(*axis),
            InstOp::Tile => InstOp::Tile,
            // It has no result, so it was handled above.
            op @ InstOp::Store { .. } => op.clone(),
        };
        self.map[out.0 as usize] = self.code.value(op, dtype);
    }

    /// Writes instructions of the dtype of an operand.
    fn math(&mut self, operand: Reg) -> Math<'_> {
        let dtype = self.code.dtype(operand);
        Math::new(&mut self.code, dtype, self.fused)
    }
}

fn unary(m: &mut Math<'_>, op: Unary, x: Reg) -> Option<Reg> {
    Some(match op {
        Unary::StopGradient => x,
        Unary::Sign => simple::sign(m, x),
        Unary::IsNan => m.ne(x, x),
        Unary::IsFinite => simple::is_finite(m, x),
        Unary::Exp => exp::exp(m, x),
        Unary::Expm1 => exp::expm1(m, x),
        Unary::Tanh => exp::tanh(m, x),
        Unary::Log => log::log(m, x),
        Unary::Log1p => log::log1p(m, x),
        Unary::Rsqrt => simple::rsqrt(m, x),
        Unary::Erf => erf::erf(m, x),
        Unary::Erfc => erf::erfc(m, x),
        Unary::Erfinv => erf::erfinv(m, x),
        Unary::Sin => trig::sin(m, x),
        Unary::Cos => trig::cos(m, x),
        Unary::Tan => trig::tan(m, x),
        Unary::Lgamma => gamma::lgamma(m, x),
        Unary::Digamma => gamma::digamma(m, x),
        Unary::Polygamma(1) => gamma::trigamma(m, x),
        Unary::Polygamma(_) | Unary::Neg | Unary::Abs | Unary::Sqrt => return None,
        Unary::Floor | Unary::Ceil | Unary::Round | Unary::Not => return None,
    })
}

fn binary(m: &mut Math<'_>, op: Binary, x: Reg, y: Reg) -> Option<Reg> {
    match op {
        Binary::Div | Binary::Rem | Binary::FloorDiv if !m.is_float() => division::divide(m, op, x, y),
        Binary::FloorDiv if m.is_float() => Some(simple::floor_div(m, x, y)),
        Binary::Pow if m.is_float() => Some(pow::pow(m, x, y)),
        Binary::Atan2 => Some(atan::atan2(m, x, y)),
        Binary::Pow | Binary::FloorDiv | Binary::Rem => None,
        Binary::Add | Binary::Sub | Binary::Mul | Binary::Div | Binary::Min | Binary::Max => None,
        Binary::And | Binary::Or | Binary::Xor | Binary::Shl | Binary::Shr => None,
    }
}
