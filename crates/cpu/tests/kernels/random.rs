//! Random kernels.

use crate::execute::check;
use crate::executors::{check_executors, native};
use wootz_cpu::isa::Isa;
use wootz_plan_testing::{Case, Options, generate};

/// `WOOTZ_KERNELS=first..last` runs other kernels than the usual ones, to look longer or to repeat one.
fn seeds() -> std::ops::Range<u64> {
    let chosen = std::env::var("WOOTZ_KERNELS").ok();
    let chosen = chosen.as_deref().and_then(|text| text.split_once(".."));
    chosen.map_or(0..400, |(first, last)| first.parse().unwrap()..last.parse().unwrap())
}

/// How kernels are generated and compared.
struct Plan {
    what: &'static str,
    options: Options,
    /// What seeds differ by from those of other tests.
    salt: u64,
    /// Of a hundred kernels, machine code runs at least so many on each instruction set of x86.
    least: usize,
}

fn agree(plan: &Plan, check: fn(&Case, &str)) {
    let Plan { what, options, salt, least } = plan;
    let (mut cases, mut compiled) = (0, vec![]);
    for seed in seeds() {
        let case = generate(seed ^ salt, options);
        check(&case, &format!("{what} {seed}"));
        cases += 1;
        compiled.extend(native(&case));
    }
    for isa in Isa::available().filter(|isa| *isa != Isa::Portable) {
        let count = compiled.iter().filter(|of| **of == isa).count();
        println!("{what}: {count} of {cases} as machine code for {isa}");
        // A share means nothing where a few seeds are repeated.
        assert!(cases < 100 || count * 100 >= cases * least, "{what}: {count} of {cases} for {isa}");
    }
}

#[test]
fn random_kernels_agree_with_the_interpreter() {
    agree(&Plan { what: "kernel", options: Options::default(), salt: 0, least: 15 }, check);
}

#[test]
fn small_random_kernels_agree_with_the_interpreter() {
    let options = Options { iterations: 40, ..Options::default() };
    agree(&Plan { what: "small kernel", options, salt: 0xA5A5_0000, least: 13 }, check);
}

#[test]
fn random_native_kernels_agree_with_the_interpreter() {
    let options = Options { native: true, ..Options::default() };
    agree(&Plan { what: "native kernel", options, salt: 0x5A5A_0000, least: 95 }, check);
}

#[test]
fn small_random_native_kernels_agree_with_the_interpreter() {
    let options = Options { native: true, iterations: 40, ..Options::default() };
    agree(&Plan { what: "small native kernel", options, salt: 0xC3C3_0000, least: 94 }, check);
}

/// Elementary functions are written in native instructions once: what executes those does not change a bit.
#[test]
fn random_kernels_with_math_agree_with_each_other() {
    let options = Options { native: true, math: true, iterations: 300 };
    agree(&Plan { what: "kernel with math", options, salt: 0x3C3C_0000, least: 94 }, check_executors);
}
