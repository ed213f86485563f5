//! Kernels on the memory of a plan.

use crate::memory::{Memory, Slot};
use wootz_ir::eval::scalar::Scalar;
use wootz_ir::ops::{EvalCx, Op};
use wootz_ir::{DType, HostTensor, TensorType};
use wootz_plan::interpret::{InterpretError, Memory as KernelMemory, Place, interpret_on};
use wootz_plan::kernel::Kernel;
use wootz_plan::{BufferId, verify_kernel_on};

/// A product at a grid point.
pub(crate) type Tile<'t> = &'t dyn Fn(&[usize]) -> Scalar;

/// Runs a kernel on buffers; `tile` gives the product at a grid point of an epilogue.
pub(crate) fn run(memory: &mut Memory, kernel: &Kernel, args: &[(BufferId, Slot)], tile: Option<Tile<'_>>) {
    let elements: Vec<usize> = args.iter().map(|(_, slot)| slot.bytes / slot.dtype.size()).collect();
    verify_kernel_on(kernel, &elements).unwrap();
    for (i, (arg, (id, slot))) in kernel.args.iter().zip(args).enumerate() {
        assert_eq!(arg.dtype, slot.dtype, "{id}");
        for (other, (_, theirs)) in kernel.args.iter().zip(args).skip(i + 1) {
            let apart = slot.base + slot.bytes <= theirs.base || theirs.base + theirs.bytes <= slot.base;
            let both_read = !arg.write && !other.write;
            assert!(apart || both_read || slot.bytes == 0, "arguments overlap\n{kernel}");
        }
    }
    assert_eq!(kernel.to_string().parse().as_ref(), Ok(kernel), "the text does not parse back\n{kernel}");
    interpret_on(kernel, &mut Bound { memory, args, tile }).unwrap();
}

struct Bound<'b> {
    memory: &'b mut Memory,
    args: &'b [(BufferId, Slot)],
    tile: Option<Tile<'b>>,
}

/// The plan's memory fails by itself on what is out of bounds or was never written.
impl KernelMemory for Bound<'_> {
    fn load(&mut self, arg: usize, element: i64, _place: Place) -> Result<Scalar, InterpretError> {
        let (id, slot) = self.args[arg];
        Ok(self.memory.load(slot, element, id))
    }

    fn store(
        &mut self,
        arg: usize,
        element: i64,
        value: Scalar,
        _place: Place,
    ) -> Result<(), InterpretError> {
        let (id, slot) = self.args[arg];
        self.memory.store(slot, element, value, id);
        Ok(())
    }

    fn tile(&mut self, point: &[usize]) -> Option<Scalar> {
        self.tile.map(|tile| tile(point))
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

/// An op of the graph on tensors.
pub(crate) fn apply(op: &Op, inputs: &[HostTensor], dtype: DType, dims: &[usize]) -> HostTensor {
    let inputs: Vec<&HostTensor> = inputs.iter().collect();
    let outputs = [TensorType::new(dtype, dims)];
    op.eval(&EvalCx { inputs: &inputs, outputs: &outputs }).unwrap().remove(0)
}
