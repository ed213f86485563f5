//! Fused loops as a person would write them with intrinsics.

use super::{Shared, check_lengths, part};
use crate::isa::Isa;
use crate::pool::Team;

/// An elementwise loop over f32 operands of one length, a multiple of [`super::BLOCK`], on one thread.
#[derive(Debug)]
pub enum Fused<'a> {
    /// gelu_tanh(a · b + c) · d + e.
    GeluTanh([&'a [f32]; 5]),
    /// The same with numbers for b, c, d, e.
    GeluTanhScalars(&'a [f32], [f32; 4]),
    /// min(max((1.5 x + 0.25) x − 0.5, −1), 2) · |x| + x − 0.125, every op rounded: ten ops, one operand.
    Chain(&'a [f32]),
}

impl Fused<'_> {
    /// Writes the result to `out`; false, and nothing is written, if there is no loop for the instruction set.
    ///
    /// # Panics
    /// If the lengths differ or are no multiple of a block.
    pub fn run(&self, isa: Isa, out: &mut [f32]) -> bool {
        match self {
            Fused::GeluTanh(operands) => check_lengths(out.len(), &operands.map(<[f32]>::len)),
            Fused::GeluTanhScalars(x, _) | Fused::Chain(x) => check_lengths(out.len(), &[x.len()]),
        }
        assert!(isa.is_available(), "the instruction set is one of this processor's");
        match isa {
            #[cfg(target_arch = "x86_64")]
            // SAFETY: the instruction set and the lengths were checked.
            Isa::Avx2 => unsafe { x86::avx2::fused(self, out) },
            #[cfg(target_arch = "x86_64")]
            // SAFETY: as above.
            Isa::Avx512 => unsafe { x86::avx512::fused(self, out) },
            _ => {}
        }
        isa != Isa::Portable
    }
}

/// The coefficients of Adam: m ← m + (1 − β₁)(g − m), v ← β₂ v + (1 − β₂) g², p ← p − size · m / (√v · root + eps).
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Adam {
    /// β₁.
    pub beta1: f32,
    /// β₂.
    pub beta2: f32,
    /// ε.
    pub eps: f32,
    /// The learning rate.
    pub lr: f32,
}

/// PyTorch's defaults.
pub const ADAM: Adam = Adam { beta1: 0.9, beta2: 0.999, eps: 1e-8, lr: 1e-3 };

impl Adam {
    /// Step number `step` (the first is 1) of one tensor, each of the team's threads on a part of its own; false, and
    /// nothing is done, if there is no loop for the instruction set.
    ///
    /// # Panics
    /// If the lengths differ or are no multiple of a block.
    #[must_use]
    pub fn step(
        &self,
        team: &Team<'_>,
        isa: Isa,
        step: u32,
        gradient: &[f32],
        [parameter, first, second]: [&mut [f32]; 3],
    ) -> bool {
        check_lengths(gradient.len(), &[parameter.len(), first.len(), second.len()]);
        assert!(isa.is_available(), "the instruction set is one of this processor's");
        if isa == Isa::Portable {
            return false;
        }
        let corrected = |beta: f32| 1.0 - f64::from(beta).powf(f64::from(step));
        let size = (f64::from(self.lr) / corrected(self.beta1)) as f32;
        let root = (1.0 / corrected(self.beta2).sqrt()) as f32;
        let threads = team.threads();
        let held = [parameter, first, second].map(|x| Shared(x.as_mut_ptr()));
        team.run(threads, &|index, _| {
            let range = part(gradient.len(), threads, index);
            // SAFETY: the parts are disjoint and within the operands.
            let held = held.map(|x| unsafe { x.part(range.clone()) });
            self.serial(isa, &gradient[range], held, [size, root]);
        });
        true
    }

    fn serial(&self, isa: Isa, gradient: &[f32], held: [&mut [f32]; 3], scalars: [f32; 2]) {
        match isa {
            #[cfg(target_arch = "x86_64")]
            // SAFETY: the instruction set and the lengths were checked.
            Isa::Avx2 => unsafe { x86::avx2::adam(self, gradient, held, scalars) },
            #[cfg(target_arch = "x86_64")]
            // SAFETY: as above.
            Isa::Avx512 => unsafe { x86::avx512::adam(self, gradient, held, scalars) },
            _ => {
                let _ = (gradient, held, scalars);
            }
        }
    }
}

#[cfg(target_arch = "x86_64")]
mod x86 {
    macro_rules! loops {
        ($isa:ident, $features:literal) => {
            pub(in super::super) mod $isa {
                use crate::yardstick::fused::{Adam, Fused};
                use crate::yardstick::vector::$isa::*;

                /// # Safety
                /// Operands have the length of `out`, which is whole blocks.
                #[target_feature(enable = $features)]
                pub(in super::super::super) unsafe fn fused(of: &Fused<'_>, out: &mut [f32]) {
                    // SAFETY: the caller's contract.
                    unsafe {
                        match of {
                            Fused::GeluTanh(operands) => {
                                let from = operands.map(<[f32]>::as_ptr);
                                each(out, |at| {
                                    let [a, b, c, d, e] = from.map(|x| load(x.add(at)));
                                    fma(gelu_tanh(fma(a, b, c)), d, e)
                                });
                            }
                            Fused::GeluTanhScalars(x, scalars) => {
                                let [b, c, d, e] = scalars.map(|s| splat(s));
                                each(out, |at| fma(gelu_tanh(fma(load(x.as_ptr().add(at)), b, c)), d, e));
                            }
                            Fused::Chain(x) => each(out, |at| chain(load(x.as_ptr().add(at)))),
                        }
                    }
                }

                /// Two vectors at a time, so that the chains of one hide the latency of the other's.
                ///
                /// # Safety
                /// The slice has whole blocks; `value` may be asked for every vector of it.
                #[target_feature(enable = $features)]
                #[inline]
                unsafe fn each(out: &mut [f32], value: impl Fn(usize) -> V) {
                    let (to, len) = (out.as_mut_ptr(), out.len());
                    let mut at = 0;
                    while at < len {
                        let (low, high) = (value(at), value(at + LANES));
                        // SAFETY: the caller's contract.
                        unsafe {
                            store(to.add(at), low);
                            store(to.add(at + LANES), high);
                        }
                        at += 2 * LANES;
                    }
                }

                #[target_feature(enable = $features)]
                #[inline]
                fn chain(x: V) -> V {
                    let y = sub(mul(add(mul(x, splat(1.5)), splat(0.25)), x), splat(0.5));
                    let y = min(max(y, splat(-1.0)), splat(2.0));
                    sub(add(mul(y, abs(x)), x), splat(0.125))
                }

                #[target_feature(enable = $features)]
                #[inline]
                fn gelu_tanh(x: V) -> V {
                    let inner = mul(x, fma(mul(x, x), splat(0.797_884_6 * 0.044_715), splat(0.797_884_6)));
                    let half = mul(x, splat(0.5));
                    fma(half, tanh(inner), half)
                }

                /// expm1(2x) / (expm1(2x) + 2), with 2x = n ln 2 + r and a polynomial for expm1(r).
                #[target_feature(enable = $features)]
                #[inline]
                fn tanh(x: V) -> V {
                    const LN2_HIGH: f32 = 0.693_145_75;
                    const LN2_LOW: f32 = 1.428_606_8e-6;
                    const SHIFT: f32 = 12_582_912.0;
                    let x = min(max(x, splat(-9.02)), splat(9.02));
                    let x = add(x, x);
                    let shifted = fma(x, splat(std::f32::consts::LOG2_E), splat(SHIFT));
                    let n = sub(shifted, splat(SHIFT));
                    let r = fnma(n, splat(LN2_LOW), fnma(n, splat(LN2_HIGH), x));
                    let scale = exp2_shifted(shifted);
                    let p = fma(r, splat(1.0 / 720.0), splat(1.0 / 120.0));
                    let p = fma(p, r, splat(1.0 / 24.0));
                    let p = fma(p, r, splat(1.0 / 6.0));
                    let p = fma(p, r, splat(0.5));
                    let p = fma(mul(p, r), r, r);
                    let expm1 = fma(scale, p, sub(scale, splat(1.0)));
                    div(expm1, add(expm1, splat(2.0)))
                }

                /// # Safety
                /// All slices have one length, in whole blocks.
                #[target_feature(enable = $features)]
                pub(in super::super::super) unsafe fn adam(
                    of: &Adam,
                    gradient: &[f32],
                    held: [&mut [f32]; 3],
                    [size, root]: [f32; 2],
                ) {
                    let (size, root, eps) = (splat(size), splat(root), splat(of.eps));
                    let (beta2, rest1, rest2) =
                        (splat(of.beta2), splat(1.0 - of.beta1), splat(1.0 - of.beta2));
                    let [parameter, first, second] = held.map(<[f32]>::as_mut_ptr);
                    let mut at = 0;
                    while at < gradient.len() {
                        // SAFETY: the caller's contract.
                        unsafe {
                            let g = load(gradient.as_ptr().add(at));
                            let (m, v) = (load(first.add(at)), load(second.add(at)));
                            let m = fma(sub(g, m), rest1, m);
                            let v = fma(mul(g, g), rest2, mul(v, beta2));
                            let step = mul(div(m, fma(sqrt(v), root, eps)), size);
                            store(parameter.add(at), sub(load(parameter.add(at)), step));
                            store(first.add(at), m);
                            store(second.add(at), v);
                        }
                        at += LANES;
                    }
                }
            }
        };
    }
    loops!(avx2, "avx2,fma");
    loops!(avx512, "avx512f,avx512dq");
}
