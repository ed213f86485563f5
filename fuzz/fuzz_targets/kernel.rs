//! Texts of kernels.
#![no_main]

#[path = "../../crates/cpu/tests/kernels/guard.rs"]
mod guard;
#[path = "../../crates/cpu/tests/kernels/execute.rs"]
mod execute;

use libfuzzer_sys::fuzz_target;
use wootz_ir::ops::{Binary, Unary};
use wootz_ir::{DType, HostTensor};
use wootz_plan::Kernel;
use wootz_plan::interpret::Buffer;
use wootz_plan::kernel::InstOp;
use wootz_plan_testing::Case;

/// Elements of every buffer: small addresses are in bounds.
const ELEMENTS: usize = 100;

fuzz_target!(|text: &str| {
    let Ok(kernel) = text.parse::<Kernel>() else { return };
    let printed = kernel.to_string();
    assert_eq!(printed.parse::<Kernel>().as_ref(), Ok(&kernel), "{printed}");
    let loops = kernel.stages.iter().map(|s| s.loops.iter().fold(1, |n: usize, m| n.saturating_mul(*m)));
    let iterations = loops.fold(0, usize::saturating_add).saturating_mul(kernel.points());
    if kernel.args.len() > 16 || iterations > 5000 || !is_exact(&kernel) {
        return;
    }
    let buffers = kernel.args.iter().enumerate().map(|(i, arg)| contents(arg.dtype, i)).collect();
    execute::check(&Case { kernel, buffers }, "fuzzed");
});

fn contents(dtype: DType, seed: usize) -> Buffer {
    let values: Vec<f64> = (0..ELEMENTS).map(|i| ((i * 7 + seed * 5) % 23) as f64 / 2.0 - 3.0).collect();
    Buffer::holding(&HostTensor::from_f64(dtype, &[ELEMENTS], &values))
}

/// Whether every result is defined to the bit: no exponentials and the like, no bits of what may be NaN.
fn is_exact(kernel: &Kernel) -> bool {
    let insts = kernel.stages.iter().flat_map(|s| &s.body);
    insts.map(|i| &i.op).all(|op| match op {
        InstOp::Tile => false,
        InstOp::Bitcast(x) => !kernel.regs[x.0 as usize].is_float(),
        InstOp::Unary(op, _) => matches!(
            op,
            Unary::Neg | Unary::Abs | Unary::Sign | Unary::Sqrt | Unary::Floor | Unary::Ceil | Unary::Round
                | Unary::Not | Unary::IsNan | Unary::IsFinite | Unary::StopGradient
        ),
        InstOp::Binary(Binary::Atan2, ..) => false,
        InstOp::Binary(Binary::Pow, x, _) => !kernel.regs[x.0 as usize].is_float(),
        _ => true,
    })
}
