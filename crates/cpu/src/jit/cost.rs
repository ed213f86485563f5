//! How long a kernel's code takes on one thread, estimated from what is executed a vector and from the memory it touches.

use super::shape::{Pieces, Shape};
use wootz_ir::DType;
use wootz_ir::ops::{Binary, Unary};
use wootz_plan::kernel::{Address, Inst, InstOp, Stage};

/// Nanoseconds of a cycle.
const CYCLE: f64 = 0.3;
/// Cycles of most instructions on vectors.
const QUICK: f64 = 0.5;
/// Cycles of an instruction that is executed once for all lanes: nothing hides its latency.
const UNIFORM: f64 = 3.0;
/// Cycles of a loop around vectors: its counter, its addresses and a branch that may be mispredicted.
const LOOP: f64 = 8.0;
/// Cycles of combining the partial results of a reduction.
const JOIN: f64 = 30.0;
/// Bytes a nanosecond by how many there are: of the first two caches, of the last, of memory.
const BANDWIDTH: [(f64, f64); 2] = [((512 << 10) as f64, 80.0), ((8 << 20) as f64, 40.0)];
const MEMORY: f64 = 12.0;

/// Nanoseconds of all points of the grid.
pub(super) fn nanoseconds(shape: &Shape<'_>) -> f64 {
    let cycles: f64 = shape
        .kernel
        .stages
        .iter()
        .zip(&shape.pieces)
        .map(|(stage, pieces)| cycles(shape, stage, pieces))
        .sum();
    let bytes = bytes(shape);
    let bandwidth = BANDWIDTH.iter().find(|(most, _)| bytes <= *most).map_or(MEMORY, |(_, b)| *b);
    (cycles * CYCLE).max(bytes / bandwidth)
}

fn cycles(shape: &Shape<'_>, stage: &Stage, pieces: &Pieces<'_>) -> f64 {
    let points = shape.kernel.points() as f64;
    let loops = stage.loops.iter().product::<usize>() as f64;
    let lane = shape.lanes_of(stage);
    let extent = lane.map_or(1, |axis| shape.extent(stage, axis)) as f64;
    let vectors = (extent / shape.lanes as f64).ceil();
    // How often the loop over lanes begins, and the stage.
    let begins = if extent > 0.0 { points * loops / extent } else { 0.0 };
    let stages = match lane {
        Some(axis) if axis < shape.kernel.grid.len() => points / extent,
        _ => points,
    };
    let across = lane.is_some_and(|axis| axis < shape.kernel.grid.len());
    let uniform = stages * pieces.stage.len() as f64 + begins * pieces.outer.len() as f64;
    let slow = pieces.accesses.iter().chain(&pieces.divisions);
    let slower: f64 = slow.map(|inst| throughput(shape, stage, inst) - QUICK).sum();
    let varying = slower + QUICK * pieces.lanes.len() as f64;
    let cycles = begins * (LOOP + vectors * varying) + uniform * UNIFORM;
    let reductions = stage.reduce.len() as f64;
    let folding = begins * vectors * if across { 1.5 } else { 1.0 };
    cycles + reductions * (folding + if across { 0.0 } else { stages * JOIN })
}

/// Cycles between the starts of two such instructions on vectors.
fn throughput(shape: &Shape<'_>, stage: &Stage, inst: &Inst) -> f64 {
    let lanes = shape.lanes as f64;
    let moved = |at: &Address, single: f64| match shape.contiguous(stage, at) {
        true => QUICK,
        false if shape.lanes_of(stage).is_none_or(|a| at.stride(a) == 0) && at.index.is_none() => QUICK,
        false => single * lanes,
    };
    match &inst.op {
        InstOp::Load { at, .. } => moved(at, 1.0),
        InstOp::Store { at, .. } => moved(at, 1.5),
        InstOp::Unary(Unary::Sqrt, x) | InstOp::Binary(Binary::Div, x, _) => {
            let double = shape.dtype(*x) == DType::F64;
            lanes * if double { 2.0 } else { 0.6 }
        }
        _ => QUICK,
    }
}

/// Bytes of memory that are touched, each argument's once.
fn bytes(shape: &Shape<'_>) -> f64 {
    let kernel = shape.kernel;
    let mut touched = vec![0.0f64; kernel.args.len()];
    for (stage, pieces) in kernel.stages.iter().zip(&shape.pieces) {
        let Pieces { once, stage: each, outer, accesses, .. } = pieces;
        for inst in [once, each, outer, accesses].into_iter().flatten() {
            let (InstOp::Load { arg, at, .. } | InstOp::Store { arg, at, .. }) = &inst.op else { continue };
            let extents = kernel.grid.iter().chain(&stage.loops).enumerate();
            let moves = |axis: usize| at.index.is_some() || at.stride(axis) != 0;
            let elements: usize =
                extents.filter(|(axis, _)| moves(*axis)).map(|(_, extent)| *extent).product();
            let size = kernel.args[arg.0 as usize].dtype.size();
            let touched = &mut touched[arg.0 as usize];
            *touched = touched.max((elements * size) as f64);
        }
    }
    touched.iter().sum()
}
