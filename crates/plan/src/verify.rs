//! The kernel verifier: every register is defined once and before use, dtypes fit, addresses name what exists, and, where the
//! sizes of the buffers are known, stay within them.

use crate::kernel::{AccKind, Accumulate, Address, ArgId, InstOp, Kernel, Reg, Stage};
use wootz_ir::DType;
use wootz_ir::ops::{Binary, Unary};

/// A kernel is malformed: always an error in what built it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[allow(missing_docs)] // the messages say what the fields are
pub enum KernelError {
    #[error("{reg} is used before it is defined, or out of its stage")]
    Undefined { reg: Reg },
    #[error("{reg} is defined twice, or has no dtype")]
    Redefined { reg: Reg },
    #[error("{reg} has a dtype and is never defined")]
    Missing { reg: Reg },
    #[error("{reg} is {found}, {what}")]
    DType { reg: Reg, found: DType, what: &'static str },
    #[error("argument {arg} {what}")]
    Arg { arg: usize, what: &'static str },
    #[error("an instruction has a result where it has none, or none where it has one")]
    Result,
    #[error("loop {axis} does not exist")]
    Loop { axis: usize },
    #[error("the loops have more iterations than can be counted")]
    TooLarge,
    #[error("argument {arg} is accessed from element {first} to {last}, it has {elements}")]
    OutOfBounds { arg: usize, first: i128, last: i128, elements: usize },
}

/// Checks a kernel from scratch.
pub fn verify_kernel(kernel: &Kernel) -> Result<(), KernelError> {
    verify_sizes(kernel)?;
    let narrow = kernel.regs.iter().position(|d| d.compute() != *d);
    if let Some(reg) = narrow {
        let found = kernel.regs[reg];
        let what = "16-bit floats are f32 in registers";
        return Err(KernelError::DType { reg: Reg(reg as u32), found, what });
    }
    let count = kernel.regs.len();
    let mut check = Check { kernel, scope: vec![false; count], defined: vec![false; count] };
    for stage in &kernel.stages {
        check.stage(stage)?;
    }
    match check.defined.iter().position(|defined| !defined) {
        Some(reg) => Err(KernelError::Missing { reg: Reg(reg as u32) }),
        None => Ok(()),
    }
}

/// Checks a kernel and that every address without a computed index or a mask lies within its buffer, of which `elements` are
/// the sizes.
pub fn verify_kernel_on(kernel: &Kernel, elements: &[usize]) -> Result<(), KernelError> {
    verify_kernel(kernel)?;
    if elements.len() != kernel.args.len() {
        return Err(KernelError::Arg {
            arg: elements.len(),
            what: "has no buffer, or there is one too many",
        });
    }
    for stage in &kernel.stages {
        let sizes: Vec<usize> = kernel.grid.iter().chain(&stage.loops).copied().collect();
        if sizes.contains(&0) {
            continue;
        }
        for inst in &stage.body {
            let (InstOp::Load { arg, at, mask: None } | InstOp::Store { arg, at, .. }) = &inst.op else {
                continue;
            };
            if at.index.is_none() {
                verify_address(*arg, at, &sizes, elements[arg.0 as usize])?;
            }
        }
    }
    Ok(())
}

/// Loops whose iterations can be counted in an `i64`.
fn verify_sizes(kernel: &Kernel) -> Result<(), KernelError> {
    let largest = kernel.stages.iter().map(|s| &s.loops[..]).chain([&[][..]]);
    for loops in largest {
        let sizes = kernel.grid.iter().chain(loops);
        let product = sizes.filter(|n| **n != 0).try_fold(1usize, |product, n| product.checked_mul(*n));
        if product.is_none_or(|n| n > i64::MAX as usize) {
            return Err(KernelError::TooLarge);
        }
    }
    Ok(())
}

fn verify_address(arg: ArgId, at: &Address, sizes: &[usize], elements: usize) -> Result<(), KernelError> {
    // In 128 bits nothing overflows: sizes and strides have 64 each, and there are few loops.
    let (mut first, mut last) = (i128::from(at.offset), i128::from(at.offset));
    for (axis, size) in sizes.iter().enumerate() {
        let reach = i128::from(at.stride(axis)).saturating_mul(*size as i128 - 1);
        if reach < 0 { first = first.saturating_add(reach) } else { last = last.saturating_add(reach) }
    }
    if first < 0 || last >= elements as i128 {
        return Err(KernelError::OutOfBounds { arg: arg.0 as usize, first, last, elements });
    }
    Ok(())
}

struct Check<'k> {
    kernel: &'k Kernel,
    /// Registers that can be read here, and those defined anywhere so far.
    scope: Vec<bool>,
    defined: Vec<bool>,
}

impl Check<'_> {
    fn stage(&mut self, stage: &Stage) -> Result<(), KernelError> {
        let mut local = Vec::new();
        let axes = self.kernel.grid.len() + stage.loops.len();
        for inst in &stage.body {
            for operand in inst.op.operands() {
                self.visible(operand)?;
            }
            self.inst(&inst.op, inst.out, axes)?;
            if let Some(out) = inst.out {
                self.define(out)?;
                local.push(out);
            }
        }
        for acc in &stage.reduce {
            self.visible(acc.value)?;
        }
        // Values of a stage with loops exist per iteration; only its reductions outlive it.
        if !stage.loops.is_empty() {
            for reg in local {
                self.scope[reg.0 as usize] = false;
            }
        }
        for acc in &stage.reduce {
            self.reduction(acc)?;
            self.define(acc.out)?;
        }
        Ok(())
    }

    fn ty(&self, reg: Reg) -> DType {
        // Operands were found visible and results are looked up with `get`.
        self.kernel.regs[reg.0 as usize]
    }

    fn visible(&self, reg: Reg) -> Result<(), KernelError> {
        let known = self.scope.get(reg.0 as usize).copied().unwrap_or(false);
        if known { Ok(()) } else { Err(KernelError::Undefined { reg }) }
    }

    fn define(&mut self, reg: Reg) -> Result<(), KernelError> {
        match self.defined.get_mut(reg.0 as usize) {
            Some(seen) if !*seen => *seen = true,
            _ => return Err(KernelError::Redefined { reg }),
        }
        self.scope[reg.0 as usize] = true;
        Ok(())
    }

    fn is(&self, reg: Reg, dtype: DType, what: &'static str) -> Result<(), KernelError> {
        self.fits(reg, |found| found == dtype, what)
    }

    fn fits(&self, reg: Reg, fits: impl Fn(DType) -> bool, what: &'static str) -> Result<(), KernelError> {
        match self.kernel.regs.get(reg.0 as usize) {
            None => Err(KernelError::Redefined { reg }),
            Some(found) if fits(*found) => Ok(()),
            Some(found) => Err(KernelError::DType { reg, found: *found, what }),
        }
    }

    fn reduction(&self, acc: &Accumulate) -> Result<(), KernelError> {
        let dtype = self.ty(acc.value);
        let result = match acc.kind {
            AccKind::ArgMax | AccKind::ArgMin => DType::I64,
            _ => dtype,
        };
        match acc.kind {
            AccKind::Any | AccKind::All => self.is(acc.value, DType::Bool, "`any` and `all` are of bool")?,
            AccKind::Sum | AccKind::Prod => {
                self.fits(acc.value, |d| d != DType::Bool, "a sum or product is of numbers")?;
            }
            AccKind::Max | AccKind::Min | AccKind::ArgMax | AccKind::ArgMin => {}
        }
        self.is(acc.out, result, "not the reduction's dtype")
    }

    fn access(&self, arg: ArgId, at: &Address, axes: usize) -> Result<(), KernelError> {
        if arg.0 as usize >= self.kernel.args.len() {
            return Err(KernelError::Arg { arg: arg.0 as usize, what: "does not exist" });
        }
        if at.strides.len() > axes {
            return Err(KernelError::Loop { axis: at.strides.len() - 1 });
        }
        at.index.map_or(Ok(()), |index| self.is(index, DType::I64, "an address index is i64"))
    }

    fn inst(&self, op: &InstOp, out: Option<Reg>, axes: usize) -> Result<(), KernelError> {
        if let InstOp::Store { arg, at, value } = op {
            self.access(*arg, at, axes)?;
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
        match op {
            InstOp::Float(_) => self.fits(out, DType::is_float, "a float constant needs a float register"),
            InstOp::Int(_) => {
                self.fits(out, |d| !d.is_float(), "an integer constant needs an integer register")
            }
            InstOp::Index(axis) if *axis as usize >= axes => Err(KernelError::Loop { axis: *axis as usize }),
            InstOp::Index(_) => self.is(out, DType::I64, "a loop index is i64"),
            InstOp::Load { arg, at, mask } => {
                self.access(*arg, at, axes)?;
                if let Some(mask) = mask {
                    self.is(*mask, DType::Bool, "a mask is bool")?;
                }
                let stored = self.kernel.args[arg.0 as usize].dtype;
                self.is(out, stored.compute(), "not the buffer's compute dtype")
            }
            InstOp::Tile | InstOp::Cast(_) => self.fits(out, |_| true, ""),
            InstOp::Unary(op, x) => self.unary(*op, *x, out),
            InstOp::Binary(op, x, y) => {
                self.fits(*x, |d| takes(*op, d), "a dtype that the op does not take")?;
                self.alike(*x, &[*y, out])
            }
            InstOp::Compare(_, x, y) => {
                self.alike(*x, &[*y])?;
                self.is(out, DType::Bool, "a comparison gives bool")
            }
            InstOp::Select(c, x, y) => {
                self.is(*c, DType::Bool, "a condition is bool")?;
                self.alike(*x, &[*y, out])
            }
            InstOp::Fma(x, y, z) => {
                self.fits(*x, DType::is_float, "`fma` is of floats")?;
                self.alike(*x, &[*y, *z, out])
            }
            InstOp::Sigmoid(x) => {
                self.fits(*x, DType::is_float, "`sigmoid` is of floats")?;
                self.alike(*x, &[out])
            }
            InstOp::Bitcast(x) => {
                let from = self.ty(*x);
                let keeps = |to| {
                    matches!(
                        (from, to),
                        (DType::F32, DType::I32 | DType::U32)
                            | (DType::I32 | DType::U32, DType::F32)
                            | (DType::F64, DType::I64)
                            | (DType::I64, DType::F64)
                    )
                };
                self.fits(out, keeps, "bits are kept between a float and an integer of one size")
            }
            InstOp::Round(to, x) => {
                let narrow = to.compute() != *to;
                self.fits(out, |_| narrow, "values are rounded to a 16-bit float")?;
                self.is(*x, DType::F32, "16-bit floats are f32 in registers")?;
                self.is(out, DType::F32, "16-bit floats are f32 in registers")
            }
            InstOp::Store { .. } => Ok(()),
        }
    }

    fn alike(&self, x: Reg, others: &[Reg]) -> Result<(), KernelError> {
        let dtype = self.ty(x);
        others.iter().try_for_each(|reg| self.is(*reg, dtype, "operands and result differ in dtype"))
    }

    fn unary(&self, op: Unary, x: Reg, out: Reg) -> Result<(), KernelError> {
        let what = "a dtype that the op does not take";
        match op {
            Unary::IsNan | Unary::IsFinite => {
                self.fits(x, DType::is_float, what)?;
                return self.is(out, DType::Bool, "the result is bool");
            }
            Unary::Neg | Unary::Sign => self.fits(x, DType::is_signed, what)?,
            Unary::Abs => self.fits(x, |d| d != DType::Bool, what)?,
            Unary::Not => self.fits(x, |d| !d.is_float(), what)?,
            Unary::StopGradient => {}
            _ => self.fits(x, DType::is_float, what)?,
        }
        self.alike(x, &[out])
    }
}

/// Whether an op has operands of a dtype; as in the ops' own type rules.
fn takes(op: Binary, dtype: DType) -> bool {
    match op {
        Binary::And | Binary::Or | Binary::Xor => !dtype.is_float(),
        Binary::Shl | Binary::Shr => dtype.is_int(),
        Binary::Atan2 => dtype.is_float(),
        Binary::Min | Binary::Max => true,
        Binary::Add | Binary::Sub | Binary::Mul | Binary::Div | Binary::Rem | Binary::FloorDiv => {
            dtype != DType::Bool
        }
        Binary::Pow => dtype != DType::Bool,
    }
}
