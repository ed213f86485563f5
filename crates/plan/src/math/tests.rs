//! The form of expanded kernels; their values are tested where kernels are run.

use super::{expand, expand_with_origins, is_expanded};
use crate::kernel::{Address, Arg, ArgId, Inst, InstOp, Kernel, Lanes, Reg, Stage};
use crate::verify_kernel;
use std::borrow::Cow;
use wootz_ir::DType;
use wootz_ir::ops::{Binary, Unary};

/// A kernel that stores the results of ops, each of two loads (unary ones of the first).
fn kernel(dtype: DType, ops: &[fn(Reg, Reg) -> InstOp]) -> Kernel {
    let at = || Address { strides: [1].into_iter().collect(), ..Address::default() };
    let mut body: Vec<Inst> = (0..2)
        .map(|i| Inst { out: Some(Reg(i)), op: InstOp::Load { arg: ArgId(i), at: at().into(), mask: None } })
        .collect();
    let count = ops.len() as u32;
    body.extend(ops.iter().zip(2..).map(|(op, i)| Inst { out: Some(Reg(i)), op: op(Reg(0), Reg(1)) }));
    let store = |i| InstOp::Store { arg: ArgId(i), at: at().into(), value: Reg(i) };
    body.extend((2..2 + count).map(|i| Inst { out: None, op: store(i) }));
    Kernel {
        grid: [100].into_iter().collect(),
        lanes: Lanes::Grid,
        args: (0..2 + count).map(|i| Arg { dtype, write: i >= 2 }).collect(),
        stages: vec![Stage { body, ..Stage::default() }],
        regs: vec![dtype; 2 + ops.len()],
    }
}

fn body(kernel: &Kernel) -> &[Inst] {
    &kernel.stages[0].body
}

const FUNCTIONS: [fn(Reg, Reg) -> InstOp; 21] = [
    |x, _| InstOp::Unary(Unary::Exp, x),
    |x, _| InstOp::Unary(Unary::Expm1, x),
    |x, _| InstOp::Unary(Unary::Log, x),
    |x, _| InstOp::Unary(Unary::Log1p, x),
    |x, _| InstOp::Unary(Unary::Rsqrt, x),
    |x, _| InstOp::Unary(Unary::Tanh, x),
    |x, _| InstOp::Sigmoid(x),
    |x, _| InstOp::Unary(Unary::Sin, x),
    |x, _| InstOp::Unary(Unary::Cos, x),
    |x, _| InstOp::Unary(Unary::Tan, x),
    |x, _| InstOp::Unary(Unary::Erf, x),
    |x, _| InstOp::Unary(Unary::Erfc, x),
    |x, _| InstOp::Unary(Unary::Erfinv, x),
    |x, _| InstOp::Unary(Unary::Lgamma, x),
    |x, _| InstOp::Unary(Unary::Digamma, x),
    |x, _| InstOp::Unary(Unary::Polygamma(1), x),
    |x, _| InstOp::Unary(Unary::Sign, x),
    |x, _| InstOp::Unary(Unary::StopGradient, x),
    |x, y| InstOp::Binary(Binary::FloorDiv, x, y),
    |x, y| InstOp::Binary(Binary::Pow, x, y),
    |x, y| InstOp::Binary(Binary::Atan2, x, y),
];

#[test]
fn only_native_instructions_are_left() {
    for dtype in [DType::F32, DType::F64] {
        for fused in [true, false] {
            let kernel = kernel(dtype, &FUNCTIONS);
            let expanded = expand(&kernel, fused);
            assert_eq!(verify_kernel(&expanded), Ok(()));
            assert!(body(&expanded).iter().all(|inst| !is_expanded(&inst.op)));
            let fma = body(&expanded).iter().any(|inst| matches!(inst.op, InstOp::Fma(..)));
            assert_eq!(fma, fused);
        }
    }
}

#[test]
fn native_kernels_are_left_alone() {
    let kernel =
        kernel(DType::F32, &[|x, y| InstOp::Binary(Binary::Mul, x, y), |x, _| InstOp::Unary(Unary::Sqrt, x)]);
    assert!(matches!(expand(&kernel, true), Cow::Borrowed(_)));
}

#[test]
fn instructions_know_what_they_were_written_for() {
    let kernel = kernel(DType::F32, &FUNCTIONS);
    let (expanded, origins) = expand_with_origins(&kernel, true);
    assert_eq!(origins.len(), body(&expanded).len());
    assert!(origins.is_sorted());
    for (inst, origin) in body(&expanded).iter().zip(&origins) {
        let origin = &body(&kernel)[*origin as usize];
        assert!(
            inst.op == origin.op || is_expanded(&origin.op) || inst.out.is_none(),
            "{inst:?} of {origin:?}"
        );
        assert_eq!(inst.out.is_none(), origin.out.is_none(), "{inst:?} of {origin:?}");
    }
}

#[test]
fn equal_instructions_share_registers() {
    let tanh: fn(Reg, Reg) -> InstOp = |x, _| InstOp::Unary(Unary::Tanh, x);
    let (once, twice) = (kernel(DType::F32, &[tanh]), kernel(DType::F32, &[tanh, tanh]));
    assert_eq!(body(&expand(&twice, true)).len(), body(&expand(&once, true)).len() + 1, "one more store");
    // Sine and cosine share the reduction of the angle.
    let sin: fn(Reg, Reg) -> InstOp = |x, _| InstOp::Unary(Unary::Sin, x);
    let cos: fn(Reg, Reg) -> InstOp = |x, _| InstOp::Unary(Unary::Cos, x);
    let lengths = [vec![sin], vec![cos], vec![sin, cos]].map(|ops| {
        let kernel = kernel(DType::F64, &ops);
        body(&expand(&kernel, true)).len()
    });
    assert!(lengths[2] < lengths[0] + 20 && lengths[2] < lengths[1] + 20, "{lengths:?}");
}
