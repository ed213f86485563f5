//! The same ops at other sizes, and their gradients: empty, one, odd, around vector and tile widths.

use crate::case::{Case, floats_as, single_op, tolerance_of};
use crate::numbers::Numbers;
use crate::samples::gradient_of;
use wootz_ir::ops::{ArgReduce, Dot, Reduce, ReduceKind};
use wootz_ir::{Axes, DType, HostTensor, Op};

pub(crate) fn cases() -> Vec<Case> {
    [elementwise(), reductions(), contractions()].concat()
}

const SIZES: [&[usize]; 7] = [&[0], &[3, 0, 2], &[7], &[33], &[3, 17], &[2, 5, 9], &[1031]];

/// Elementwise samples repeated to other sizes: every value stays inside the op's domain.
fn elementwise() -> Vec<Case> {
    let mut cases = Vec::new();
    for (i, sample) in Op::samples().into_iter().enumerate() {
        let is_elementwise =
            matches!(sample.op, Op::Unary(_) | Op::Binary(_) | Op::Compare(_) | Op::Ternary(_) | Op::Cast(_));
        let equal_sizes = sample.inputs.windows(2).all(|pair| pair[0].dims() == pair[1].dims());
        if !is_elementwise || !equal_sizes || sample.inputs.iter().any(HostTensor::is_empty) {
            continue;
        }
        let has_floats = sample.inputs.iter().any(|t| t.dtype().is_float());
        let dtypes: &[DType] =
            if has_floats { &[DType::F64, DType::F32, DType::F16, DType::BF16] } else { &[DType::F64] };
        for dtype in dtypes {
            for dims in SIZES {
                let inputs = floats_as(*dtype, &sample.inputs);
                let inputs: Vec<_> = inputs.iter().map(|t| repeated(t, dims)).collect();
                let types: Vec<_> = inputs.iter().map(|t| t.ty().to_string()).collect();
                let name = format!("{} sample {i} at {}", sample.op.name(), types.join(", "));
                push(&mut cases, name, sample.op.clone(), inputs, &sample.smooth);
            }
        }
    }
    cases
}

/// A tensor of other sizes with the elements of `tensor`, over and over.
fn repeated(tensor: &HostTensor, dims: &[usize]) -> HostTensor {
    let width = tensor.dtype().size();
    let count: usize = dims.iter().product();
    let bytes: Vec<u8> = tensor.as_bytes().iter().copied().cycle().take(count * width).collect();
    HostTensor::from_bytes(tensor.dtype(), dims, &bytes).expect("as many bytes as the shape has")
}

fn reductions() -> Vec<Case> {
    const SHAPES: [(&[usize], &[usize]); 12] = [
        (&[0], &[0]),
        (&[4, 0], &[1]),
        (&[0, 4], &[0]),
        (&[1], &[0]),
        (&[1037], &[0]),
        (&[33, 17], &[0]),
        (&[33, 17], &[1]),
        (&[33, 17], &[0, 1]),
        (&[5, 7, 19], &[0, 2]),
        (&[5, 7, 19], &[1]),
        (&[2, 70, 3], &[1]),
        (&[3, 5], &[]),
    ];
    let mut cases = Vec::new();
    let mut numbers = Numbers::new(1);
    for dtype in DType::ALL {
        for (dims, axes) in SHAPES {
            let x = numbers.tensor(dtype, dims);
            for kind in ReduceKind::ALL {
                let op = Reduce { kind, axes: Axes::from_slice(axes) };
                let name = format!("{} over {axes:?} of {}", kind.name(), x.ty());
                push(&mut cases, name, op, vec![x.clone()], &[0]);
            }
            // The shapes with several axes stand above with one.
            let single = axes.iter().filter(|_| axes.len() == 1);
            for (axis, max) in single.flat_map(|axis| [(*axis, true), (*axis, false)]) {
                let op = Op::from(ArgReduce { max, axis });
                let name = format!("{} over axis {axis} of {}", op.name(), x.ty());
                push(&mut cases, name, op, vec![x.clone()], &[]);
            }
        }
    }
    cases
}

fn contractions() -> Vec<Case> {
    const SIZES: [[usize; 4]; 15] = [
        // batch, m, n, k
        [1, 1, 1, 1],
        [1, 3, 5, 0],
        [1, 0, 4, 3],
        [1, 1, 37, 19],
        [1, 41, 1, 23],
        [1, 2, 17, 31],
        [1, 5, 16, 8],
        [1, 6, 16, 64],
        [1, 7, 33, 65],
        [1, 13, 48, 130],
        [1, 64, 64, 64],
        [1, 97, 101, 300],
        [3, 4, 5, 6],
        [2, 9, 17, 33],
        [5, 1, 8, 7],
    ];
    let mut cases = Vec::new();
    let mut numbers = Numbers::new(2);
    for dtype in [DType::F64, DType::F32, DType::F16, DType::BF16, DType::I32, DType::I64, DType::U8] {
        for [batch, m, n, k] in SIZES {
            for (lhs_transposed, rhs_transposed) in
                [(false, false), (false, true), (true, false), (true, true)]
            {
                let lhs = if lhs_transposed { [batch, k, m] } else { [batch, m, k] };
                let rhs = if rhs_transposed { [batch, n, k] } else { [batch, k, n] };
                let op = Dot {
                    lhs_batch: [0].as_slice().into(),
                    rhs_batch: [0].as_slice().into(),
                    lhs_contract: [if lhs_transposed { 1 } else { 2 }].as_slice().into(),
                    rhs_contract: [if rhs_transposed { 2 } else { 1 }].as_slice().into(),
                };
                let inputs = vec![numbers.tensor(dtype, &lhs), numbers.tensor(dtype, &rhs)];
                let name = format!(
                    "{dtype} product {lhs:?} · {rhs:?}, transposed {lhs_transposed}, {rhs_transposed}"
                );
                push(&mut cases, name, op, inputs, &[0, 1]);
            }
        }
    }
    cases
}

/// Adds the case, if the op takes these operands, and in f64 and f32 its derivatives by those that are named.
fn push(cases: &mut Vec<Case>, name: String, op: impl Into<Op>, inputs: Vec<HostTensor>, wrt: &[usize]) {
    let op = op.into();
    let Ok(graph) = single_op(&op, &inputs) else { return };
    let differentiable = graph.outputs.len() == 1
        && matches!(graph.output_type(0).dtype, DType::F64 | DType::F32)
        && !wrt.is_empty();
    let case = Case { name, graph, inputs, tolerance: tolerance_of(&op), derivative_of: None };
    let gradient = differentiable.then(|| gradient_of(&case, wrt)).flatten();
    cases.push(case);
    cases.extend(gradient);
}
