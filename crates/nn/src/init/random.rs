//! Random fills, written so that LLVM vectorises them: a chunk of counters a loop, no branches in it.

use half::{bf16, f16};
use wootz_ir::ops::random::threefry2x32;
use wootz_ir::{DType, HostTensor};

/// The key made of a seed: its high and low words.
pub(super) fn key(seed: u64) -> [u32; 2] {
    [(seed >> 32) as u32, seed as u32]
}

/// The key for a stream of its own, as the op `fold_in`.
pub(super) fn fold_in(key: [u32; 2], data: u32) -> [u32; 2] {
    threefry2x32(key, [data, u32::MAX])
}

/// Fills with numbers uniform in [low, high), up to rounding.
pub(super) fn uniform(out: &mut HostTensor, key: [u32; 2], low: f64, high: f64) {
    if out.dtype() == DType::F64 {
        return fill64(out.as_mut_slice(), key, |u| low + u * (high - low));
    }
    let (scale, low) = ((high - low) as f32 * (1.0 / (1 << 24) as f32), low as f32);
    fill_narrow(out, key, |w| low + (w >> 8) as f32 * scale);
}

/// Fills with normal numbers.
pub(super) fn normal(out: &mut HostTensor, key: [u32; 2], mean: f64, std: f64) {
    if out.dtype() == DType::F64 {
        return normal64(out.as_mut_slice(), key, mean, std);
    }
    let (mean, scale) = (mean as f32, (std * std::f64::consts::SQRT_2) as f32);
    // (w + ½) · 2⁻²³ − 1 over 24-bit w lies in the open interval (−1, 1).
    let step = 1.0 / (1 << 23) as f32;
    fill_narrow(out, key, |w| mean + scale * erfinv((w >> 8) as f32 * step + (0.5 * step - 1.0)));
}

/// Box and Muller's pairs; an odd last element is the first of a pair whose angle is 0.
fn normal64(out: &mut [f64], key: [u32; 2], mean: f64, std: f64) {
    fill64(out, key, |u| u);
    for pair in out.chunks_mut(2) {
        let radius = (-2.0 * (1.0 - pair[0]).ln()).sqrt();
        let angle = std::f64::consts::TAU * pair.get(1).copied().unwrap_or(0.0);
        for (value, direction) in pair.iter_mut().zip([angle.cos(), angle.sin()]) {
            *value = mean + std * radius * direction;
        }
    }
}

/// Fills a float tensor narrower than `f64` with values computed in `f32`.
fn fill_narrow(out: &mut HostTensor, key: [u32; 2], f: impl Fn(u32) -> f32) {
    match out.dtype() {
        DType::F16 => fill32(out.as_mut_slice(), key, |w| f16::from_f32(f(w))),
        DType::BF16 => fill32(out.as_mut_slice(), key, |w| bf16::from_f32(f(w))),
        _ => fill32(out.as_mut_slice(), key, f),
    }
}

/// Element i is `f` of word i mod 2 of block ⌊i/2⌋, as the op `random_bits`.
fn fill32<T: Copy + Default>(out: &mut [T], key: [u32; 2], f: impl Fn(u32) -> T) {
    let mut blocks = Blocks::new(key);
    let mut values = [T::default(); 2 * LANES];
    for chunk in out.chunks_mut(2 * LANES) {
        let (first, second) = blocks.next();
        let (first, second) = (first.map(&f), second.map(&f));
        for lane in 0..LANES {
            (values[2 * lane], values[2 * lane + 1]) = (first[lane], second[lane]);
        }
        chunk.copy_from_slice(&values[..chunk.len()]);
    }
}

/// Element i is `f` of the 53 upper bits of block i, scaled to [0, 1).
fn fill64(out: &mut [f64], key: [u32; 2], f: impl Fn(f64) -> f64) {
    let mut blocks = Blocks::new(key);
    for chunk in out.chunks_mut(LANES) {
        let (first, second) = blocks.next();
        for (lane, value) in chunk.iter_mut().enumerate() {
            let bits = u64::from(first[lane]) << 32 | u64::from(second[lane]);
            *value = f((bits >> 11) as f64 * (1.0 / (1u64 << 53) as f64));
        }
    }
}

/// Blocks whose rounds run side by side: enough vectors to hide latency, few enough to stay in registers.
const WIDE: usize = 8;
/// Blocks computed together: a loop long enough that it is vectorised and not unrolled. Divides 2³².
const LANES: usize = 128;

/// Blocks of [`threefry2x32`] with counters 0, 1, 2, …, first and second words apart.
struct Blocks {
    key: [u32; 2],
    counter: u64,
    words: ([u32; LANES], [u32; LANES]),
}

impl Blocks {
    fn new(key: [u32; 2]) -> Blocks {
        Blocks { key, counter: 0, words: ([0; LANES], [0; LANES]) }
    }

    /// The next blocks' words.
    fn next(&mut self) -> &([u32; LANES], [u32; LANES]) {
        let key = self.key;
        let schedule = [key[0], key[1], key[0] ^ key[1] ^ 0x1BD1_1BDA];
        // The counter is a multiple of LANES: its high word is the same in all lanes.
        let (high, low) = ((self.counter >> 32) as u32, self.counter as u32);
        let (first, second) = &mut self.words;
        for (group, (first, second)) in
            first.chunks_exact_mut(WIDE).zip(second.chunks_exact_mut(WIDE)).enumerate()
        {
            let mut x = [high.wrapping_add(schedule[0]); WIDE];
            let mut y = [low.wrapping_add(schedule[1]); WIDE];
            for lane in 0..WIDE {
                y[lane] = y[lane].wrapping_add((group * WIDE + lane) as u32);
            }
            macro_rules! rounds {
                ($($rotation:literal)* then $injected:literal) => {
                    $(
                        for lane in 0..WIDE {
                            x[lane] = x[lane].wrapping_add(y[lane]);
                        }
                        for lane in 0..WIDE {
                            y[lane] = y[lane].rotate_left($rotation) ^ x[lane];
                        }
                    )*
                    for lane in 0..WIDE {
                        x[lane] = x[lane].wrapping_add(schedule[$injected % 3]);
                        y[lane] = y[lane].wrapping_add(schedule[($injected + 1) % 3].wrapping_add($injected));
                    }
                };
            }
            rounds!(13 15 26 6 then 1);
            rounds!(17 29 16 24 then 2);
            rounds!(13 15 26 6 then 3);
            rounds!(17 29 16 24 then 4);
            rounds!(13 15 26 6 then 5);
            first.copy_from_slice(&x);
            second.copy_from_slice(&y);
        }
        self.counter += LANES as u64;
        &self.words
    }
}

/// The inverse of the error function on (−1, 1), to single precision and without branches.
///
/// M. Giles, "Approximating the erfinv function", GPU Computing Gems (2012).
#[inline(always)]
fn erfinv(x: f32) -> f32 {
    const CENTRAL: [f32; 9] = [
        2.810_226_4e-08,
        3.432_739_4e-07,
        -3.523_387_7e-06,
        -4.391_506_5e-06,
        2.185_808_7e-04,
        -1.253_725_e-03,
        -4.177_681_6e-03,
        2.466_407_3e-01,
        1.501_409_4,
    ];
    const TAIL: [f32; 9] = [
        -2.002_142_6e-04,
        1.009_505_6e-04,
        1.349_343_2e-03,
        -3.673_428_4e-03,
        5.739_507_7e-03,
        -7.622_461_3e-03,
        9.438_870_5e-03,
        1.001_674,
        2.832_976_8,
    ];
    // (1 − x)(1 + x) keeps the digits of 1 − x² near ±1.
    let w = -ln((1.0 - x) * (1.0 + x));
    // Both branches are computed: a select vectorises, a choice of coefficients does not.
    let (central, tail) = (polynomial(&CENTRAL, w - 2.5), polynomial(&TAIL, w.sqrt() - 3.0));
    x * if w < 5.0 { central } else { tail }
}

/// c₀ xⁿ + … + cₙ.
#[inline(always)]
fn polynomial<const N: usize>(coefficients: &[f32; N], x: f32) -> f32 {
    coefficients[1..].iter().fold(coefficients[0], |p, c| p * x + c)
}

/// Natural logarithm of a positive normal number, to single precision and without branches (Cephes' `logf`).
#[inline(always)]
fn ln(x: f32) -> f32 {
    const P: [f32; 9] = [
        7.037_683_6e-2,
        -1.151_461_e-1,
        1.167_699_9e-1,
        -1.242_014_1e-1,
        1.424_932_3e-1,
        -1.666_805_8e-1,
        2.000_071_5e-1,
        -2.499_999_4e-1,
        3.333_333e-1,
    ];
    // x = m · 2ᵉ with m in [√½, √2).
    const SQRT_HALF: u32 = 0x3F35_04F3;
    let shifted = x.to_bits().wrapping_sub(SQRT_HALF);
    let exponent = ((shifted as i32) >> 23) as f32;
    let m = f32::from_bits((shifted & 0x007F_FFFF).wrapping_add(SQRT_HALF)) - 1.0;
    let square = m * m;
    let low = polynomial(&P, m) * m * square - 2.121_944_4e-4 * exponent - 0.5 * square;
    m + low + 0.693_359_4 * exponent
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lanes_are_blocks_of_threefry() {
        let key = [0x1319_8a2e, 0x0370_7344];
        for start in [0, 1 << 32] {
            let mut blocks = Blocks { counter: start, ..Blocks::new(key) };
            for first in [start, start + LANES as u64] {
                let (x, y) = *blocks.next();
                for lane in 0..LANES {
                    let counter = first + lane as u64;
                    let expected = threefry2x32(key, [(counter >> 32) as u32, counter as u32]);
                    assert_eq!([x[lane], y[lane]], expected);
                }
            }
        }
    }

    #[test]
    fn erfinv_inverts_erf() {
        for i in 0..1 << 12 {
            let x = ((i << 11) as f32 + 0.5) / (1 << 22) as f32 - 1.0;
            let y = f64::from(erfinv(x));
            // Giles states a relative error of 3.5e-7; the logarithm's rounding adds to it.
            let slope = 2.0 / std::f64::consts::PI.sqrt() * (-y * y).exp();
            let error = (libm::erf(y) - f64::from(x)).abs();
            assert!(error <= 1e-6 * (slope * y).abs() + 1e-15, "{x}: {y}");
        }
    }

    #[test]
    fn ln_is_single_precision() {
        for i in 1..4000 {
            let x = i as f32 * 1.3e-3;
            let error = (f64::from(ln(x)) - f64::from(x).ln()).abs();
            assert!(error <= 1.2e-7 * f64::from(x).ln().abs().max(0.1), "{x}");
        }
    }
}
