//! Kernels, one element after another.

use crate::memory::{Lane, Memory, Slot, vector};
use std::collections::HashMap;
use wootz_ir::ops::{ArgReduce, Cast, EvalCx, Op, Reduce, ReduceKind, Ternary};
use wootz_ir::{DType, HostTensor, TensorType};
use wootz_plan::kernel::{AccKind, Address, InstOp, Kernel, Reg, Stage};
use wootz_plan::{BufferId, verify_kernel};

/// Who touched an element of a written buffer: (grid point, stage, iteration).
type Place = (usize, usize, usize);

/// A product at a grid point.
pub(crate) type Tile<'t> = &'t dyn Fn(&[usize]) -> Lane;

/// Runs a kernel on buffers; `tile` gives the product at a grid point of an epilogue.
pub(crate) fn run(memory: &mut Memory, kernel: &Kernel, args: &[(BufferId, Slot)], tile: Option<Tile<'_>>) {
    verify_kernel(kernel).unwrap();
    assert_eq!(kernel.args.len(), args.len());
    for (i, (arg, (id, slot))) in kernel.args.iter().zip(args).enumerate() {
        assert_eq!(arg.dtype, slot.dtype, "{id}");
        for (other, (_, theirs)) in kernel.args.iter().zip(args).skip(i + 1) {
            let apart = slot.base + slot.bytes <= theirs.base || theirs.base + theirs.bytes <= slot.base;
            let both_read = !arg.write && !other.write;
            assert!(apart || both_read || slot.bytes == 0, "arguments overlap\n{kernel}");
        }
    }
    let mut machine = Machine {
        memory,
        kernel,
        args,
        tile,
        regs: vec![None; kernel.regs.len()],
        touched: Touched::default(),
    };
    for (n, point) in indices(&kernel.grid).enumerate() {
        machine.regs.fill(None);
        for (s, stage) in kernel.stages.iter().enumerate() {
            machine.stage(stage, &point, (n, s));
        }
    }
}

/// Every index of a loop nest, row-major.
pub(crate) fn indices(dims: &[usize]) -> impl Iterator<Item = Vec<usize>> + use<> {
    let dims = dims.to_vec();
    (0..dims.iter().product::<usize>()).map(move |mut n| {
        let mut index = vec![0; dims.len()];
        for (i, size) in index.iter_mut().zip(&dims).rev() {
            *i = n % size;
            n /= size;
        }
        index
    })
}

/// Elements of written buffers: a point may read what it wrote itself (in an earlier stage, or the element an iteration is
/// about to overwrite); nobody else may read or write them, in whatever order points and iterations run.
#[derive(Default)]
struct Touched {
    written: HashMap<(u32, i64), Place>,
    read: HashMap<(u32, i64), Vec<Place>>,
}

fn compatible(reader: Place, writer: Place) -> bool {
    reader.0 == writer.0 && (reader.1 != writer.1 || reader.2 == writer.2)
}

impl Touched {
    fn load(&mut self, arg: u32, at: i64, reader: Place) {
        if let Some(writer) = self.written.get(&(arg, at)) {
            assert!(compatible(reader, *writer), "a{arg}[{at}] is read at {reader:?}, written at {writer:?}");
        }
        self.read.entry((arg, at)).or_default().push(reader);
    }

    fn store(&mut self, arg: u32, at: i64, writer: Place) {
        for reader in self.read.get(&(arg, at)).into_iter().flatten() {
            assert!(compatible(*reader, writer), "a{arg}[{at}] is read at {reader:?}, written at {writer:?}");
        }
        let before = self.written.insert((arg, at), writer);
        assert!(before.is_none(), "a{arg}[{at}] is written twice, at {before:?} and {writer:?}");
    }
}

struct Machine<'m> {
    memory: &'m mut Memory,
    kernel: &'m Kernel,
    args: &'m [(BufferId, Slot)],
    tile: Option<Tile<'m>>,
    regs: Vec<Option<Lane>>,
    touched: Touched,
}

impl Machine<'_> {
    fn stage(&mut self, stage: &Stage, point: &[usize], (n, s): (usize, usize)) {
        let mut collected: Vec<Vec<Lane>> = vec![Vec::new(); stage.reduce.len()];
        for (i, inner) in indices(&stage.loops).enumerate() {
            let index: Vec<usize> = point.iter().chain(&inner).copied().collect();
            for inst in &stage.body {
                let value = self.inst(&inst.op, inst.out, &index, (n, s, i));
                if let (Some(out), Some(value)) = (inst.out, value) {
                    self.regs[out.0 as usize] = Some(value);
                }
            }
            for (acc, values) in stage.reduce.iter().zip(&mut collected) {
                values.push(self.reg(acc.value));
            }
        }
        for (acc, values) in stage.reduce.iter().zip(&collected) {
            let values = vector(self.ty(acc.value), values);
            self.regs[acc.out.0 as usize] = Some(reduce(acc.kind, &values, self.ty(acc.out)));
        }
    }

    fn reg(&self, reg: Reg) -> Lane {
        self.regs[reg.0 as usize].expect("the verifier saw that it is defined")
    }

    fn ty(&self, reg: Reg) -> DType {
        self.kernel.regs[reg.0 as usize]
    }

    fn address(&self, at: &Address, index: &[usize]) -> i64 {
        let computed = at.index.map_or(0, |reg| self.reg(reg).int());
        let affine: i64 = index.iter().enumerate().map(|(axis, i)| at.stride(axis) * *i as i64).sum();
        at.offset + affine + computed
    }

    fn inst(&mut self, op: &InstOp, out: Option<Reg>, index: &[usize], place: Place) -> Option<Lane> {
        let apply = |op: Op, operands: &[Reg]| {
            let inputs: Vec<HostTensor> =
                operands.iter().map(|r| self.reg(*r).to_tensor(self.ty(*r))).collect();
            eval(&op, &inputs, self.ty(out.unwrap()), &[])
        };
        Some(match op {
            InstOp::Float(x) => Lane::from_tensor(&HostTensor::scalar(self.ty(out?), x.0)),
            InstOp::Int(x) => Lane::from_tensor(&HostTensor::from_i64(self.ty(out?), &[], &[*x])),
            InstOp::Index(axis) => Lane::Int(index[*axis as usize] as i64),
            InstOp::Load { arg, at, mask } => {
                if mask.is_some_and(|m| self.reg(m).int() == 0) {
                    return Some(match self.ty(out?).is_float() {
                        true => Lane::Float(0.0),
                        false => Lane::Int(0),
                    });
                }
                let at = self.address(at, index);
                let (id, slot) = self.args[arg.0 as usize];
                if self.kernel.args[arg.0 as usize].write {
                    self.touched.load(arg.0, at, place);
                }
                self.memory.load(slot, at, id)
            }
            InstOp::Store { arg, at, value } => {
                let at = self.address(at, index);
                let (id, slot) = self.args[arg.0 as usize];
                self.touched.store(arg.0, at, place);
                self.memory.store(slot, at, self.reg(*value), id);
                return None;
            }
            InstOp::Tile => {
                let tile = self.tile.expect("only an epilogue has a tile");
                Lane::from_tensor(&tile(index).to_tensor(self.ty(out?)))
            }
            InstOp::Unary(op, x) => apply(Op::Unary(*op), &[*x]),
            InstOp::Binary(op, x, y) => apply(Op::Binary(*op), &[*x, *y]),
            InstOp::Compare(op, x, y) => apply(Op::Compare(*op), &[*x, *y]),
            InstOp::Select(c, x, y) => apply(Op::Ternary(Ternary::Select), &[*c, *x, *y]),
            InstOp::Cast(x) => apply(Op::Cast(Cast { dtype: self.ty(out?) }), &[*x]),
            InstOp::Fma(x, y, z) => {
                let [x, y, z] = [x, y, z].map(|r| self.reg(*r).float());
                Lane::Float(match self.ty(out?) {
                    DType::F64 => x.mul_add(y, z),
                    _ => f64::from((x as f32).mul_add(y as f32, z as f32)),
                })
            }
            InstOp::Bitcast(x) => {
                Lane::from_bytes(self.ty(out?), self.reg(*x).to_tensor(self.ty(*x)).as_bytes())
            }
            InstOp::Round(dtype, x) => Lane::from_tensor(&self.reg(*x).to_tensor(*dtype)),
        })
    }
}

/// An op of the graph on tensors.
pub(crate) fn apply(op: &Op, inputs: &[HostTensor], dtype: DType, dims: &[usize]) -> HostTensor {
    let inputs: Vec<&HostTensor> = inputs.iter().collect();
    let outputs = [TensorType::new(dtype, dims)];
    op.eval(&EvalCx { inputs: &inputs, outputs: &outputs }).unwrap().remove(0)
}

fn eval(op: &Op, inputs: &[HostTensor], dtype: DType, dims: &[usize]) -> Lane {
    Lane::from_tensor(&apply(op, inputs, dtype, dims))
}

fn reduce(kind: AccKind, values: &HostTensor, dtype: DType) -> Lane {
    let reduce = |kind| Op::Reduce(Reduce { kind, axes: [0].into_iter().collect() });
    let op = match kind {
        AccKind::Sum => reduce(ReduceKind::Sum),
        AccKind::Prod => reduce(ReduceKind::Prod),
        AccKind::Max => reduce(ReduceKind::Max),
        AccKind::Min => reduce(ReduceKind::Min),
        AccKind::Any => reduce(ReduceKind::Any),
        AccKind::All => reduce(ReduceKind::All),
        AccKind::ArgMax | AccKind::ArgMin => {
            Op::ArgReduce(ArgReduce { max: kind == AccKind::ArgMax, axis: 0 })
        }
    };
    eval(&op, std::slice::from_ref(values), dtype, &[])
}
