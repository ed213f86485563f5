//! Every op at its samples, on every instruction set.

use crate::check::{Bound, assert_close, run};
use crate::support::{compile, compile_with, graph};
use std::panic::{AssertUnwindSafe, catch_unwind};
use wootz_cpu::Cpu;
use wootz_cpu::isa::Isa;
use wootz_ir::ops::{Op, Unary};
use wootz_ir::{Builder, DType, HostTensor, Region, Value, eval};
use wootz_passes::Optimize;

fn region(op: &Op, inputs: &[HostTensor]) -> Option<Region> {
    let mut b = Builder::new();
    let params: Vec<Value> = inputs.iter().map(|t| b.param(t.ty())).collect();
    let outputs = b.push_multi(op.clone(), &params).ok()?;
    Some(b.finish(&outputs))
}

/// Floats cast to another float dtype.
fn cast(tensor: &HostTensor, dtype: DType) -> HostTensor {
    match tensor.dtype().is_float() {
        true => HostTensor::from_f64(dtype, tensor.dims(), &tensor.to_f64()),
        false => tensor.clone(),
    }
}

/// Whether all elements have the same bits; all NaNs are one.
fn same_bits(x: &HostTensor, y: &HostTensor) -> bool {
    let same = |(x, y): (f64, f64)| x.to_bits() == y.to_bits() || (x.is_nan() && y.is_nan());
    match x.dtype().is_float() {
        true => x.to_f64().into_iter().zip(y.to_f64()).all(same),
        false => x.as_bytes() == y.as_bytes(),
    }
}

fn check(op: &Op, inputs: &[HostTensor], isa: Isa) -> Result<(), String> {
    let Some(region) = region(op, inputs) else { return Ok(()) };
    let Ok(want) = eval::region(&region, inputs) else { return Ok(()) };
    let graph = graph(&region);
    let types: Vec<String> = inputs.iter().map(|t| t.ty().to_string()).collect();
    let what = format!("{op:?} of {} on {isa}", types.join(", "));
    let done = catch_unwind(AssertUnwindSafe(|| {
        let executable = compile(&graph, Optimize::None, isa, 1);
        let got = run(&graph, &*executable, inputs);
        if isa != Isa::Portable {
            let tiles = compile_with(&graph, Optimize::None, Cpu { isa: Some(isa), jit: Some(false) }, 1);
            for (i, (machine, tiles)) in got.iter().zip(&run(&graph, &*tiles, inputs)).enumerate() {
                assert!(
                    same_bits(machine, tiles),
                    "{what}, result {i}: {machine:?} and, without machine code, {tiles:?}"
                );
            }
        }
        let composite =
            matches!(op, Op::Composite(_) | Op::Control(_) | Op::Dot(_) | Op::Reduce(_) | Op::Linalg(_));
        for (i, (got, want)) in got.iter().zip(&want).enumerate() {
            let bound = if composite {
                Bound::Sum
            } else if matches!(op, Op::Unary(Unary::Digamma | Unary::Polygamma(_))) {
                // The interpreter's own series err by as much.
                Bound::Units(16.0)
            } else if matches!(op, Op::Unary(Unary::Lgamma)) {
                // Below 0 the interpreter's two terms cancel.
                Bound::UnitsOr(4.0, 1e-15)
            } else {
                Bound::Units(4.0)
            };
            assert_close(&format!("{what}, result {i}"), got, want, bound);
        }
    }));
    done.map_err(|panic| {
        let text = panic.downcast_ref::<String>().cloned();
        let text = text.or_else(|| panic.downcast_ref::<&str>().map(|s| (*s).to_owned()));
        format!("{what}: {}", text.unwrap_or_default())
    })
}

fn check_all(isa: Isa) {
    let mut failures = Vec::new();
    let mut count = 0;
    for sample in Op::samples() {
        let mut variants = vec![sample.inputs.clone()];
        if sample.inputs.iter().any(|t| t.dtype() == DType::F64) {
            for dtype in [DType::F32, DType::F16, DType::BF16] {
                variants.push(sample.inputs.iter().map(|t| cast(t, dtype)).collect());
            }
        }
        for inputs in variants {
            count += 1;
            failures.extend(check(&sample.op, &inputs, isa).err());
        }
    }
    assert!(failures.is_empty(), "{} of {count} fail:\n{}", failures.len(), failures.join("\n"));
}

#[test]
fn every_sample() {
    for isa in Isa::available() {
        check_all(isa);
    }
}
