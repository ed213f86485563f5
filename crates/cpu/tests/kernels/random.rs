//! Random kernels.

use crate::execute::check;
use wootz_plan_testing::{Options, generate};

/// `WOOTZ_KERNELS=first..last` runs other kernels than the usual ones, to look longer or to repeat one.
fn seeds() -> std::ops::Range<u64> {
    let chosen = std::env::var("WOOTZ_KERNELS").ok();
    let chosen = chosen.as_deref().and_then(|text| text.split_once(".."));
    chosen.map_or(0..400, |(first, last)| first.parse().unwrap()..last.parse().unwrap())
}

#[test]
fn random_kernels_agree_with_the_interpreter() {
    for seed in seeds() {
        check(&generate(seed, &Options::default()), &format!("kernel {seed}"));
    }
}

#[test]
fn small_random_kernels_agree_with_the_interpreter() {
    for seed in seeds() {
        let options = Options { iterations: 40, ..Options::default() };
        check(&generate(seed ^ 0xA5A5_0000, &options), &format!("small kernel {seed}"));
    }
}
