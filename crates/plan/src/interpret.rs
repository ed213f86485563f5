//! The reference interpreter of the kernel language: one grid point, one iteration, one instruction after another. Slow and
//! obvious, the definition that the tile VM and the JIT are held to, and a watchman: what a kernel may not do is an error.

use crate::kernel::{AccKind, Accumulate, Address, InstOp, Kernel, LANES, Lanes, Reg, Stage};
use crate::verify::{KernelError, verify_kernel};
use hashbrown::HashMap;
use wootz_ir::eval::scalar::{Scalar, binary, compare, fma, unary};
use wootz_ir::eval::special;
use wootz_ir::ops::{Binary, Compare};
use wootz_ir::{DType, HostTensor};

/// A kernel is malformed, was given the wrong buffers, or did what no kernel may do.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InterpretError {
    /// It is malformed.
    #[error(transparent)]
    Kernel(#[from] KernelError),
    /// Another number of buffers than of arguments.
    #[error("the kernel has {expected} arguments, {got} buffers were given")]
    Arguments {
        /// Arguments of the kernel.
        expected: usize,
        /// Buffers given.
        got: usize,
    },
    /// A buffer of another dtype.
    #[error("a{arg} is {expected}, the buffer is {got}")]
    DType {
        /// The argument.
        arg: usize,
        /// Its dtype.
        expected: DType,
        /// That of the buffer.
        got: DType,
    },
    /// An address outside of its buffer.
    #[error("a{arg}[{element}] at {place} is outside of the buffer's {elements} elements")]
    OutOfBounds {
        /// The argument.
        arg: usize,
        /// The address.
        element: i64,
        /// Elements of the buffer.
        elements: usize,
        /// Where it is accessed.
        place: Place,
    },
    /// A read of what was never written.
    #[error("a{arg}[{element}] is read at {place} and was never written")]
    Uninitialised {
        /// The argument.
        arg: usize,
        /// The address.
        element: i64,
        /// Where it is read.
        place: Place,
    },
    /// Two accesses of an element, at least one of them a write, whose order the language leaves open.
    #[error("a{arg}[{element}] is written at {writer}, accessed at {other} as well")]
    Race {
        /// The argument.
        arg: usize,
        /// The address.
        element: i64,
        /// Where it is written.
        writer: Place,
        /// The other access.
        other: Place,
    },
    /// `tile` in a kernel that is run by itself.
    #[error("`tile` has a value in an epilogue only")]
    NoTile,
}

/// Where in a run an access happens.
#[derive(Copy, Clone, Debug, PartialEq, Eq, Hash)]
pub struct Place {
    /// Number of the grid point, row-major.
    pub point: usize,
    /// Number of the stage.
    pub stage: usize,
    /// Number of the iteration of the stage's loops, row-major.
    pub iteration: usize,
}

impl std::fmt::Display for Place {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "point {}, stage {}, iteration {}", self.point, self.stage, self.iteration)
    }
}

/// The memory of a kernel's arguments.
pub trait Memory {
    /// The element of an argument in memory.
    fn load(&mut self, arg: usize, element: i64, place: Place) -> Result<Scalar, InterpretError>;

    /// Writes an element of an argument, converted to the dtype in memory.
    fn store(&mut self, arg: usize, element: i64, value: Scalar, place: Place) -> Result<(), InterpretError>;

    /// The product at a grid point, in a kernel that is an epilogue.
    fn tile(&mut self, point: &[usize]) -> Option<Scalar> {
        let _ = point;
        None
    }
}

/// A typed buffer that knows which of its elements hold something.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Buffer {
    dtype: DType,
    bytes: Vec<u8>,
    written: Vec<bool>,
}

impl Buffer {
    /// A buffer holding a tensor's elements.
    pub fn holding(tensor: &HostTensor) -> Buffer {
        let (bytes, written) = (tensor.as_bytes().to_vec(), vec![true; tensor.len()]);
        Buffer { dtype: tensor.dtype(), bytes, written }
    }

    /// A buffer of this many elements that hold nothing.
    pub fn blank(dtype: DType, elements: usize) -> Buffer {
        Buffer { dtype, bytes: vec![0xAA; elements * dtype.size()], written: vec![false; elements] }
    }

    /// The element type.
    pub fn dtype(&self) -> DType {
        self.dtype
    }

    /// The number of elements.
    pub fn len(&self) -> usize {
        self.written.len()
    }

    /// True if there are no elements.
    pub fn is_empty(&self) -> bool {
        self.written.is_empty()
    }

    /// The elements in memory; those that hold nothing are arbitrary.
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// The element, if there is one and it holds something.
    pub fn get(&self, element: usize) -> Option<Scalar> {
        let size = self.dtype.size();
        let bytes = self.bytes.get(element * size..(element + 1) * size)?;
        self.written[element].then(|| Scalar::from_bytes(self.dtype, bytes))
    }

    fn set(&mut self, element: usize, value: Scalar) {
        let size = self.dtype.size();
        let value = value.to_tensor(self.dtype);
        self.bytes[element * size..(element + 1) * size].copy_from_slice(value.as_bytes());
        self.written[element] = true;
    }
}

/// Runs a kernel on buffers, one an argument.
pub fn interpret(kernel: &Kernel, buffers: &mut [Buffer]) -> Result<(), InterpretError> {
    if kernel.args.len() != buffers.len() {
        return Err(InterpretError::Arguments { expected: kernel.args.len(), got: buffers.len() });
    }
    for (arg, (expected, buffer)) in kernel.args.iter().zip(buffers.iter()).enumerate() {
        if expected.dtype != buffer.dtype {
            return Err(InterpretError::DType { arg, expected: expected.dtype, got: buffer.dtype });
        }
    }
    interpret_on(kernel, &mut Buffers(buffers))
}

/// Runs a kernel on a memory of the caller's.
pub fn interpret_on(kernel: &Kernel, memory: &mut dyn Memory) -> Result<(), InterpretError> {
    verify_kernel(kernel)?;
    let regs = vec![Scalar::Int(0); kernel.regs.len()];
    let mut run = Run { kernel, memory, regs, accesses: HashMap::new() };
    for point in 0..kernel.points() {
        let at = unravel(point, &kernel.grid);
        for (number, stage) in kernel.stages.iter().enumerate() {
            run.stage(stage, &at, Place { point, stage: number, iteration: 0 })?;
        }
    }
    Ok(())
}

/// The index of an element of a row-major loop nest.
fn unravel(mut position: usize, sizes: &[usize]) -> Vec<usize> {
    let mut index = vec![0; sizes.len()];
    for (i, size) in index.iter_mut().zip(sizes).rev() {
        *i = position % size;
        position /= size;
    }
    index
}

struct Buffers<'b>(&'b mut [Buffer]);

impl Buffers<'_> {
    fn position(&self, arg: usize, element: i64, place: Place) -> Result<usize, InterpretError> {
        let elements = self.0[arg].len();
        let position = usize::try_from(element).ok().filter(|i| *i < elements);
        position.ok_or(InterpretError::OutOfBounds { arg, element, elements, place })
    }
}

impl Memory for Buffers<'_> {
    fn load(&mut self, arg: usize, element: i64, place: Place) -> Result<Scalar, InterpretError> {
        let position = self.position(arg, element, place)?;
        self.0[arg].get(position).ok_or(InterpretError::Uninitialised { arg, element, place })
    }

    fn store(&mut self, arg: usize, element: i64, value: Scalar, place: Place) -> Result<(), InterpretError> {
        let position = self.position(arg, element, place)?;
        self.0[arg].set(position, value);
        Ok(())
    }
}

/// Who accessed an element of a written argument.
#[derive(Default)]
struct Accesses {
    writer: Option<Place>,
    readers: Vec<Place>,
}

/// Whether the language says which of two accesses comes first: those of one point in different stages, or in one iteration.
fn ordered(x: Place, y: Place) -> bool {
    x.point == y.point && (x.stage != y.stage || x.iteration == y.iteration)
}

struct Run<'r> {
    kernel: &'r Kernel,
    memory: &'r mut dyn Memory,
    regs: Vec<Scalar>,
    /// By argument and element, of written arguments.
    accesses: HashMap<(usize, i64), Accesses>,
}

impl Run<'_> {
    fn stage(&mut self, stage: &Stage, point: &[usize], mut place: Place) -> Result<(), InterpretError> {
        let mut reductions: Vec<Reduction> =
            stage.reduce.iter().map(|acc| Reduction::new(self.kernel, acc)).collect();
        for iteration in 0..stage.loops.iter().product() {
            place.iteration = iteration;
            let index = [point, &unravel(iteration, &stage.loops)].concat();
            for inst in &stage.body {
                let value = self.inst(&inst.op, inst.out, &index, place)?;
                if let (Some(out), Some(value)) = (inst.out, value) {
                    self.regs[out.0 as usize] = value;
                }
            }
            let inner = if stage.loops.is_empty() { 0 } else { index[index.len() - 1] };
            for (acc, reduction) in stage.reduce.iter().zip(&mut reductions) {
                reduction.take(self.reg(acc.value), inner, iteration);
            }
        }
        for (acc, reduction) in stage.reduce.iter().zip(reductions) {
            self.regs[acc.out.0 as usize] = reduction.result();
        }
        Ok(())
    }

    fn reg(&self, reg: Reg) -> Scalar {
        self.regs[reg.0 as usize]
    }

    fn dtype(&self, reg: Reg) -> DType {
        self.kernel.regs[reg.0 as usize]
    }

    fn address(&self, at: &Address, index: &[usize]) -> i64 {
        let terms = index.iter().enumerate().map(|(axis, i)| at.stride(axis).wrapping_mul(*i as i64));
        let affine = terms.fold(at.offset, i64::wrapping_add);
        affine.wrapping_add(at.index.map_or(0, |reg| self.reg(reg).int()))
    }

    fn inst(
        &mut self,
        op: &InstOp,
        out: Option<Reg>,
        index: &[usize],
        place: Place,
    ) -> Result<Option<Scalar>, InterpretError> {
        // Only stores have no result.
        let dtype = out.map_or(DType::I64, |reg| self.dtype(reg));
        Ok(Some(match op {
            InstOp::Float(x) => Scalar::Float(x.0).cast(dtype),
            InstOp::Int(x) => Scalar::Int(*x).cast(dtype),
            InstOp::Index(axis) => Scalar::Int(index[*axis as usize] as i64),
            InstOp::Load { mask: Some(mask), .. } if !self.reg(*mask).is_true() => Scalar::zero(dtype),
            InstOp::Load { arg, at, .. } => {
                let (arg, element) = (arg.0 as usize, self.address(at, index));
                let value = self.memory.load(arg, element, place)?;
                self.read(arg, element, place)?;
                value
            }
            InstOp::Store { arg, at, value } => {
                let (arg, element) = (arg.0 as usize, self.address(at, index));
                self.memory.store(arg, element, self.reg(*value), place)?;
                self.written(arg, element, place)?;
                return Ok(None);
            }
            InstOp::Tile => {
                let rank = self.kernel.grid.len();
                self.memory.tile(&index[..rank]).ok_or(InterpretError::NoTile)?.cast(dtype)
            }
            InstOp::Unary(op, x) => unary(*op, self.reg(*x), dtype),
            InstOp::Binary(op, x, y) => binary(*op, self.reg(*x), self.reg(*y), dtype),
            InstOp::Compare(op, x, y) => Scalar::Bool(compare(*op, self.reg(*x), self.reg(*y))),
            InstOp::Select(c, x, y) => self.reg(if self.reg(*c).is_true() { *x } else { *y }),
            InstOp::Sigmoid(x) => Scalar::Float(special::sigmoid(self.reg(*x).float())).cast(dtype),
            InstOp::Fma(x, y, z) => fma(self.reg(*x), self.reg(*y), self.reg(*z), dtype),
            InstOp::Cast(x) => self.reg(*x).cast(dtype),
            InstOp::Bitcast(x) => self.reg(*x).bitcast(self.dtype(*x), dtype),
            InstOp::Round(to, x) => self.reg(*x).cast(*to),
        }))
    }

    fn read(&mut self, arg: usize, element: i64, reader: Place) -> Result<(), InterpretError> {
        if !self.kernel.args[arg].write {
            return Ok(());
        }
        let accesses = self.accesses.entry((arg, element)).or_default();
        accesses.readers.push(reader);
        match accesses.writer.filter(|writer| !ordered(*writer, reader)) {
            Some(writer) => Err(InterpretError::Race { arg, element, writer, other: reader }),
            None => Ok(()),
        }
    }

    fn written(&mut self, arg: usize, element: i64, writer: Place) -> Result<(), InterpretError> {
        let accesses = self.accesses.entry((arg, element)).or_default();
        let others = accesses.readers.iter().chain(&accesses.writer);
        if let Some(other) = others.copied().find(|other| !ordered(*other, writer)) {
            return Err(InterpretError::Race { arg, element, writer, other });
        }
        accesses.writer = Some(writer);
        Ok(())
    }
}

/// The partial results of a reduction, in the order that [`Kernel`] documents.
struct Reduction {
    kind: AccKind,
    dtype: DType,
    partial: Vec<Scalar>,
    /// Of an arg-reduction: the best value so far and where it stands.
    best: Option<(Scalar, usize)>,
}

impl Reduction {
    fn new(kernel: &Kernel, acc: &Accumulate) -> Reduction {
        let dtype = kernel.regs[acc.value.0 as usize];
        let lanes = if kernel.lanes == Lanes::Inner { LANES } else { 1 };
        Reduction { kind: acc.kind, dtype, partial: vec![neutral(acc.kind, dtype); lanes], best: None }
    }

    /// Takes in the value of an iteration, at position `inner` of the innermost loop.
    fn take(&mut self, value: Scalar, inner: usize, iteration: usize) {
        let comparison = match self.kind {
            AccKind::ArgMax => Compare::Gt,
            AccKind::ArgMin => Compare::Lt,
            _ => {
                let lanes = self.partial.len();
                let partial = &mut self.partial[inner % lanes];
                *partial = combine(self.kind, *partial, value, self.dtype);
                return;
            }
        };
        // NaN beats every number and loses to no NaN.
        let nan = |x: Scalar| x.float().is_nan();
        let beats = |best: Scalar| !nan(best) && (nan(value) || compare(comparison, value, best));
        if self.best.is_none_or(|(best, _)| beats(best)) {
            self.best = Some((value, iteration));
        }
    }

    fn result(mut self) -> Scalar {
        if matches!(self.kind, AccKind::ArgMax | AccKind::ArgMin) {
            return Scalar::Int(self.best.map_or(0, |(_, at)| at as i64));
        }
        let mut half = self.partial.len() / 2;
        while half > 0 {
            for i in 0..half {
                self.partial[i] = combine(self.kind, self.partial[i], self.partial[i + half], self.dtype);
            }
            half /= 2;
        }
        self.partial[0]
    }
}

fn combine(kind: AccKind, x: Scalar, y: Scalar, dtype: DType) -> Scalar {
    let op = match kind {
        AccKind::Sum => Binary::Add,
        AccKind::Prod => Binary::Mul,
        AccKind::Max | AccKind::ArgMax => Binary::Max,
        AccKind::Min | AccKind::ArgMin => Binary::Min,
        AccKind::Any => Binary::Or,
        AccKind::All => Binary::And,
    };
    binary(op, x, y, dtype)
}

/// What changes no value it is combined with.
fn neutral(kind: AccKind, dtype: DType) -> Scalar {
    let number = |float: f64, int: i64| match dtype.is_float() {
        true => Scalar::Float(float),
        false => Scalar::Int(int).cast(dtype),
    };
    let (lowest, highest) = match dtype {
        DType::Bool => (0, 1),
        DType::U8 => (0, u8::MAX.into()),
        DType::U32 => (0, u32::MAX.into()),
        DType::I32 => (i32::MIN.into(), i32::MAX.into()),
        _ => (i64::MIN, i64::MAX),
    };
    match kind {
        AccKind::Sum => number(0.0, 0),
        AccKind::Prod => number(1.0, 1),
        AccKind::Max | AccKind::ArgMax => number(f64::NEG_INFINITY, lowest),
        AccKind::Min | AccKind::ArgMin => number(f64::INFINITY, highest),
        AccKind::Any => number(0.0, 0),
        AccKind::All => number(1.0, 1),
    }
}
