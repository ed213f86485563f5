//! Numbers made of a seed, the same on every machine.

use wootz_ir::{DType, HostTensor};

/// A stream of numbers (SplitMix64; Steele, Lea and Flood, OOPSLA 2014).
#[derive(Clone, Debug)]
pub(crate) struct Numbers(u64);

impl Numbers {
    pub(crate) fn new(seed: u64) -> Numbers {
        Numbers(seed)
    }

    pub(crate) fn bits(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// 0 ≤ n < `bound`.
    pub(crate) fn below(&mut self, bound: usize) -> usize {
        (self.bits() >> 11) as usize % bound.max(1)
    }

    /// One of `choices`.
    pub(crate) fn pick<'a, T>(&mut self, choices: &'a [T]) -> &'a T {
        &choices[self.below(choices.len())]
    }

    /// Uniform in (−1, 1).
    pub(crate) fn signed_unit(&mut self) -> f64 {
        (self.bits() >> 11) as f64 / (1u64 << 52) as f64 - 1.0
    }

    /// A tensor of floats in (−1, 1), or of integers in [0, 5).
    pub(crate) fn tensor(&mut self, dtype: DType, dims: &[usize]) -> HostTensor {
        let count: usize = dims.iter().product();
        if dtype.is_float() {
            let values: Vec<f64> = (0..count).map(|_| self.signed_unit()).collect();
            return HostTensor::from_f64(dtype, dims, &values);
        }
        let bound = if dtype == DType::Bool { 2 } else { 5 };
        let values: Vec<i64> = (0..count).map(|_| self.below(bound) as i64).collect();
        HostTensor::from_i64(dtype, dims, &values)
    }
}
