//! Multiply-adds in registers: the peak of arithmetic.

use crate::isa::Isa;
use crate::pool::Team;

/// Chains of multiply-adds that touch no memory, enough of them to hide their latency.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fma {
    /// On f32.
    F32,
    /// On f64.
    F64,
}

impl Fma {
    /// Both.
    pub const ALL: [Fma; 2] = [Fma::F32, Fma::F64];

    /// The dtype's name.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Fma::F32 => "f32",
            Fma::F64 => "f64",
        }
    }

    /// Executes `steps` steps on every thread of the team; the floating-point operations done (2 a multiply-add), 0 where
    /// there is no loop for the instruction set.
    #[must_use]
    pub fn run(self, team: &Team<'_>, isa: Isa, steps: usize) -> f64 {
        #[cfg(target_arch = "x86_64")]
        {
            assert!(isa.is_available(), "the instruction set is one of this processor's");
            let (f, lanes): (unsafe fn(usize), usize) = match (isa, self) {
                (Isa::Portable, _) => return 0.0,
                (Isa::Avx2, Fma::F32) => (x86::avx2_f32, 12 * 8),
                (Isa::Avx2, Fma::F64) => (x86::avx2_f64, 12 * 4),
                (Isa::Avx512, Fma::F32) => (x86::avx512_f32, 24 * 16),
                (Isa::Avx512, Fma::F64) => (x86::avx512_f64, 24 * 8),
            };
            team.run(team.threads(), &|_, _| {
                // SAFETY: the instruction set is available.
                unsafe { f(steps) }
            });
            (2 * lanes * steps * team.threads()) as f64
        }
        #[cfg(not(target_arch = "x86_64"))]
        {
            let _ = (team, isa, steps);
            0.0
        }
    }
}

#[cfg(target_arch = "x86_64")]
mod x86 {
    use std::arch::x86_64::*;
    use std::hint::black_box;

    macro_rules! chains {
        ($name:ident, $features:literal, $chains:literal, $set:ident, $fma:ident, $float:ty) => {
            #[target_feature(enable = $features)]
            pub(super) fn $name(steps: usize) {
                let (x, y) = ($set(black_box(0.5 as $float)), $set(black_box(0.25 as $float)));
                let mut chains = [$set(0.0); $chains];
                for _ in 0..steps {
                    for chain in &mut chains {
                        *chain = $fma(*chain, x, y);
                    }
                }
                black_box(chains);
            }
        };
    }
    chains!(avx2_f32, "avx2,fma", 12, _mm256_set1_ps, _mm256_fmadd_ps, f32);
    chains!(avx2_f64, "avx2,fma", 12, _mm256_set1_pd, _mm256_fmadd_pd, f64);
    chains!(avx512_f32, "avx512f", 24, _mm512_set1_ps, _mm512_fmadd_ps, f32);
    chains!(avx512_f64, "avx512f", 24, _mm512_set1_pd, _mm512_fmadd_pd, f64);
}
