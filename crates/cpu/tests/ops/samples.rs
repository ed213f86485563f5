//! Every op at its samples, on every instruction set.

use crate::check::{Bound, assert_close, run};
use crate::support::{compile, graph};
use std::panic::{AssertUnwindSafe, catch_unwind};
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

fn check(op: &Op, inputs: &[HostTensor], isa: Isa) -> Result<(), String> {
    let Some(region) = region(op, inputs) else { return Ok(()) };
    let Ok(want) = eval::region(&region, inputs) else { return Ok(()) };
    let graph = graph(&region);
    let types: Vec<String> = inputs.iter().map(|t| t.ty().to_string()).collect();
    let what = format!("{op:?} of {} on {isa}", types.join(", "));
    let done = catch_unwind(AssertUnwindSafe(|| {
        let executable = compile(&graph, Optimize::None, isa, 1);
        let got = run(&graph, &*executable, inputs);
        let composite =
            matches!(op, Op::Composite(_) | Op::Control(_) | Op::Dot(_) | Op::Reduce(_) | Op::Linalg(_));
        for (i, (got, want)) in got.iter().zip(&want).enumerate() {
            let bound = if composite {
                Bound::Sum
            } else if matches!(op, Op::Unary(Unary::Digamma | Unary::Polygamma(_))) {
                // The interpreter's own series err by as much.
                Bound::Units(16.0)
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
