//! Generated kernels.
#![no_main]

#[path = "../../crates/cpu/tests/kernels/guard.rs"]
mod guard;
#[path = "../../crates/cpu/tests/kernels/execute.rs"]
mod execute;

use libfuzzer_sys::fuzz_target;
use wootz_plan_testing::{Options, generate};

fuzz_target!(|input: (u64, u16, bool)| {
    let (seed, iterations, native) = input;
    let options = Options { iterations: usize::from(iterations) % 4000, native, ..Options::default() };
    execute::check(&generate(seed, &options), &format!("kernel {seed} of {iterations}"));
});
