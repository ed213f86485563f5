//! The kernel verifier: registers are defined once and before use, dtypes fit, addresses stay within their loops' reach.

use crate::kernel::{AccKind, InstOp, Kernel, Reg};
use wootz_ir::DType;
use wootz_ir::ops::{Binary, Unary};

/// A kernel is malformed: always an error in what built it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[allow(missing_docs)] // the messages say what the fields are
pub enum KernelError {
    #[error("{reg} is used before it is defined, or out of its stage")]
    Undefined { reg: Reg },
    #[error("{reg} is defined twice or out of order")]
    Redefined { reg: Reg },
    #[error("{reg} is {found}, {what}")]
    DType { reg: Reg, found: DType, what: &'static str },
    #[error("argument {arg} {what}")]
    Arg { arg: usize, what: &'static str },
    #[error("an instruction has a result where it has none, or none where it has one")]
    Result,
    #[error("loop {axis} does not exist")]
    Loop { axis: usize },
}

/// Checks a kernel from scratch.
pub fn verify_kernel(kernel: &Kernel) -> Result<(), KernelError> {
    let mut check = Check { kernel, scope: vec![false; kernel.regs.len()] };
    for stage in &kernel.stages {
        let mut local = Vec::new();
        let axes = kernel.grid.len() + stage.loops.len();
        for inst in &stage.body {
            for operand in inst.op.operands() {
                check.defined(operand)?;
            }
            check.inst(&inst.op, inst.out, axes)?;
            if let Some(out) = inst.out {
                check.define(out)?;
                local.push(out);
            }
        }
        for acc in &stage.reduce {
            check.defined(acc.value)?;
        }
        // Values of a stage with loops exist per iteration; only its reductions outlive it.
        if !stage.loops.is_empty() {
            for reg in local {
                check.scope[reg.0 as usize] = false;
            }
        }
        for acc in &stage.reduce {
            let expected = match acc.kind {
                AccKind::ArgMax | AccKind::ArgMin => DType::I64,
                _ => check.ty(acc.value),
            };
            check.is(acc.out, expected, "not the reduction's dtype")?;
            check.define(acc.out)?;
        }
    }
    Ok(())
}

struct Check<'k> {
    kernel: &'k Kernel,
    scope: Vec<bool>,
}

impl Check<'_> {
    fn ty(&self, reg: Reg) -> DType {
        self.kernel.regs[reg.0 as usize]
    }

    fn defined(&self, reg: Reg) -> Result<(), KernelError> {
        let known = self.scope.get(reg.0 as usize).copied().unwrap_or(false);
        if known { Ok(()) } else { Err(KernelError::Undefined { reg }) }
    }

    fn define(&mut self, reg: Reg) -> Result<(), KernelError> {
        match self.scope.get_mut(reg.0 as usize) {
            Some(seen) if !*seen => *seen = true,
            _ => return Err(KernelError::Redefined { reg }),
        }
        Ok(())
    }

    fn is(&self, reg: Reg, dtype: DType, what: &'static str) -> Result<(), KernelError> {
        let found = self.ty(reg);
        if found == dtype { Ok(()) } else { Err(KernelError::DType { reg, found, what }) }
    }

    fn inst(&self, op: &InstOp, out: Option<Reg>, axes: usize) -> Result<(), KernelError> {
        if let InstOp::Load { arg, at, .. } | InstOp::Store { arg, at, .. } = op {
            if arg.0 as usize >= self.kernel.args.len() {
                return Err(KernelError::Arg { arg: arg.0 as usize, what: "does not exist" });
            }
            if at.strides.len() > axes {
                return Err(KernelError::Loop { axis: at.strides.len() - 1 });
            }
            if let Some(index) = at.index {
                self.is(index, DType::I64, "an address index is i64")?;
            }
        }
        if let InstOp::Store { arg, value, .. } = op {
            let target = self.kernel.args[arg.0 as usize];
            if !target.write {
                return Err(KernelError::Arg { arg: arg.0 as usize, what: "is written but read-only" });
            }
            return match out {
                None => self.is(*value, target.dtype.compute(), "not the buffer's compute dtype"),
                Some(_) => Err(KernelError::Result),
            };
        }
        let Some(out) = out else { return Err(KernelError::Result) };
        let dtype = self.ty(out);
        match op {
            InstOp::Float(_) if !dtype.is_float() => Err(KernelError::DType {
                reg: out,
                found: dtype,
                what: "a float constant needs a float register",
            }),
            InstOp::Int(_) if dtype.is_float() => Err(KernelError::DType {
                reg: out,
                found: dtype,
                what: "an integer constant needs an integer register",
            }),
            InstOp::Index(axis) if *axis as usize >= axes => Err(KernelError::Loop { axis: *axis as usize }),
            InstOp::Index(_) => self.is(out, DType::I64, "a loop index is i64"),
            InstOp::Load { arg, mask, .. } => {
                if let Some(mask) = mask {
                    self.is(*mask, DType::Bool, "a mask is bool")?;
                }
                self.is(
                    out,
                    self.kernel.args[arg.0 as usize].dtype.compute(),
                    "not the buffer's compute dtype",
                )
            }
            InstOp::Unary(Unary::IsNan | Unary::IsFinite, _) | InstOp::Compare(..) => {
                self.is(out, DType::Bool, "the result is bool")?;
                match op {
                    InstOp::Compare(_, x, y) => self.is(*y, self.ty(*x), "operands differ in dtype"),
                    _ => Ok(()),
                }
            }
            InstOp::Round(_, x) => {
                self.is(*x, DType::F32, "16-bit floats are f32 in registers")?;
                self.is(out, DType::F32, "16-bit floats are f32 in registers")
            }
            InstOp::Bitcast(x) => match (self.ty(*x), dtype) {
                (DType::F32, DType::I32 | DType::U32)
                | (DType::I32 | DType::U32, DType::F32)
                | (DType::F64, DType::I64)
                | (DType::I64, DType::F64) => Ok(()),
                _ => Err(KernelError::DType {
                    reg: out,
                    found: dtype,
                    what: "bits are kept between a float and an integer of one size",
                }),
            },
            InstOp::Unary(_, x) => self.is(out, self.ty(*x), "the result has the operand's dtype"),
            InstOp::Binary(op, x, y) => {
                debug_assert!(Binary::ALL.contains(op));
                self.is(*y, self.ty(*x), "operands differ in dtype")?;
                self.is(out, self.ty(*x), "the result has the operands' dtype")
            }
            InstOp::Select(c, x, y) => {
                self.is(*c, DType::Bool, "a condition is bool")?;
                self.is(*y, self.ty(*x), "operands differ in dtype")?;
                self.is(out, self.ty(*x), "the result has the operands' dtype")
            }
            InstOp::Fma(x, y, z) => {
                self.is(*y, self.ty(*x), "operands differ in dtype")?;
                self.is(*z, self.ty(*x), "operands differ in dtype")?;
                self.is(out, self.ty(*x), "the result has the operands' dtype")
            }
            InstOp::Float(_) | InstOp::Int(_) | InstOp::Tile | InstOp::Cast(_) | InstOp::Store { .. } => {
                Ok(())
            }
        }
    }
}
