//! Samples of gather, scatter and segment reductions.

use super::super::movement::samples::{counted, numbers};
use super::{Gather, Scatter, ScatterKind, Segment, SegmentKind};
use crate::ops::Sample;
use crate::{DType, Dim, HostTensor};

fn ints(dtype: DType, dims: &[usize], values: &[i64]) -> HostTensor {
    HostTensor::from_i64(dtype, dims, values)
}

/// Batch and indexed axes, operand's shape, indices, updates' shape.
type Case = (usize, usize, Vec<usize>, HostTensor, Vec<usize>);

/// Some indices repeat, some are out of bounds.
fn cases() -> Vec<Case> {
    use DType::{I32, I64, U32};
    vec![
        (0, 1, vec![5], ints(I64, &[3, 1], &[4, 0, 2]), vec![3]),
        (0, 1, vec![4, 3], ints(I64, &[2, 2, 1], &[1, 1, 3, 0]), vec![2, 2, 3]),
        (0, 1, vec![4, 2], ints(I32, &[4, 1], &[-1, 9, 2, 4]), vec![4, 2]),
        (0, 2, vec![3, 4], ints(U32, &[3, 2], &[0, 3, 2, 1, 0, 3]), vec![3]),
        (0, 2, vec![2, 3, 2], ints(I64, &[2, 2], &[1, 2, 1, 5]), vec![2, 2]),
        (1, 1, vec![2, 4], ints(I64, &[2, 1], &[3, 1]), vec![2]),
        (1, 1, vec![2, 3, 2], ints(I64, &[2, 3, 1], &[2, 2, 0, 1, -2, 1]), vec![2, 3, 2]),
        (2, 1, vec![2, 1, 3], ints(I32, &[2, 1, 2, 1], &[0, 2, 1, 1]), vec![2, 1, 2]),
        (0, 1, vec![3], ints(I64, &[1], &[1]), vec![]),
        (0, 0, vec![2, 2], ints(I64, &[3, 0], &[]), vec![3, 2, 2]),
        (0, 1, vec![3, 2], ints(I64, &[0, 1], &[]), vec![0, 2]),
        (0, 1, vec![3, 0], ints(I64, &[2, 1], &[1, 0]), vec![2, 0]),
    ]
}

pub(super) fn gathers() -> Vec<Sample> {
    let mut out = Vec::new();
    for (batch, indexed, operand, indices, _) in cases() {
        let op = Gather { batch, indexed };
        for dtype in [DType::Bool, DType::U8, DType::I64] {
            out.push(Sample::values(op, vec![counted(dtype, &operand), indices.clone()]));
        }
        out.push(Sample::smooth(op, vec![numbers(&operand, 0), indices]));
    }
    out
}

pub(super) fn scatters() -> Vec<Sample> {
    let mut out = Vec::new();
    for (batch, indexed, operand, indices, updates) in cases() {
        for kind in [ScatterKind::Set, ScatterKind::Add] {
            let op = Scatter { kind, batch, indexed };
            for dtype in [DType::Bool, DType::U8, DType::I64] {
                if dtype == DType::Bool && kind == ScatterKind::Add {
                    continue;
                }
                let inputs = vec![counted(dtype, &operand), indices.clone(), counted(dtype, &updates)];
                out.push(Sample::values(op, inputs));
            }
            out.push(Sample::smooth(op, vec![numbers(&operand, 0), indices.clone(), numbers(&updates, 1)]));
        }
    }
    out
}

pub(super) fn segments() -> Vec<Sample> {
    use DType::{I32, I64, U32};
    let cases: [(usize, usize, Vec<usize>, HostTensor); 7] = [
        (0, 3, vec![5], ints(I64, &[5], &[0, 0, 1, 2, 2])),
        (0, 4, vec![4, 2], ints(I32, &[4], &[0, 2, 2, 3])),
        (0, 2, vec![5, 1, 2], ints(I64, &[5], &[-1, 0, 0, 1, 7])),
        (1, 2, vec![2, 3], ints(U32, &[2, 3], &[0, 0, 1, 0, 1, 1])),
        (2, 2, vec![1, 2, 2, 2], ints(I64, &[1, 2, 2], &[0, 1, 1, 1])),
        (0, 2, vec![0, 3], ints(I64, &[0], &[])),
        (0, 0, vec![2], ints(I64, &[2], &[0, 1])),
    ];
    let mut out = Vec::new();
    for (batch, segments, data, ids) in cases {
        for kind in SegmentKind::ALL {
            let op = Segment { kind, batch, segments: Dim::from(segments) };
            for dtype in [DType::U8, DType::I32, DType::I64] {
                out.push(Sample::values(op.clone(), vec![counted(dtype, &data), ids.clone()]));
            }
            out.push(Sample::smooth(op, vec![numbers(&data, 0), ids.clone()]));
        }
    }
    out
}
