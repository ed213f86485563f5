//! Reading, copying and combining streams: the peaks of bandwidth. After J. McCalpin's STREAM benchmark.

use super::{Shared, check_lengths, part};
use crate::isa::{Caches, Isa};
use crate::pool::Team;

/// A loop over streams of f32.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stream {
    /// Reads x.
    Read,
    /// z = x.
    Copy,
    /// z = x + 3 y.
    Triad,
    /// z = 3 z, in place: what is written is in a cache already.
    Update,
}

impl Stream {
    /// All of them.
    pub const ALL: [Stream; 4] = [Stream::Read, Stream::Copy, Stream::Triad, Stream::Update];

    /// The name in reports.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Stream::Read => "read",
            Stream::Copy => "copy",
            Stream::Triad => "triad",
            Stream::Update => "update",
        }
    }

    /// How often the loop moves an element: reads and writes.
    #[must_use]
    pub fn moves(self) -> usize {
        match self {
            Stream::Read => 1,
            Stream::Copy | Stream::Update => 2,
            Stream::Triad => 3,
        }
    }

    /// Which of x, y and z the loop has.
    #[must_use]
    pub fn operands(self) -> [bool; 3] {
        match self {
            Stream::Read => [true, false, false],
            Stream::Copy => [true, false, true],
            Stream::Triad => [true, true, true],
            Stream::Update => [false, false, true],
        }
    }

    /// Runs the loop once over its operands, which have one length, a multiple of [`super::BLOCK`]; those that the loop
    /// does not have are empty. Each of the team's threads has a part of its own. What is only written goes past the
    /// caches if the operands do not fit into them.
    ///
    /// # Panics
    /// If the lengths are not as said.
    pub fn run(self, team: &Team<'_>, isa: Isa, x: &[f32], y: &[f32], z: &mut [f32]) {
        let operands = self.operands();
        let len = x.len().max(z.len());
        let lengths = [x.len(), y.len(), z.len()];
        let fits = |(has, length): (bool, usize)| length == if has { len } else { 0 };
        assert!(
            operands.into_iter().zip(lengths).all(fits),
            "the loop's operands have one length, others none"
        );
        check_lengths(len, &[]);
        assert!(isa.is_available(), "the instruction set is one of this processor's");
        let bytes = 4 * len * operands.iter().filter(|has| **has).count();
        // Non-temporal stores need whole aligned lines.
        let past = bytes > Caches::detect().l3 && z.as_ptr().addr().is_multiple_of(64);
        let (threads, z) = (team.threads(), Shared(z.as_mut_ptr()));
        team.run(threads, &|index, _| {
            let range = part(len, threads, index);
            let its = |has: bool| if has { range.clone() } else { 0..0 };
            // SAFETY: the parts are disjoint and within the operand.
            let z = unsafe { z.part(its(operands[2])) };
            serial(self, isa, &x[its(operands[0])], &y[its(operands[1])], z, past);
        });
    }
}

/// The loop on one thread.
fn serial(stream: Stream, isa: Isa, x: &[f32], y: &[f32], z: &mut [f32], past: bool) {
    match isa {
        #[cfg(target_arch = "x86_64")]
        // SAFETY: the instruction set was checked, the lengths too.
        Isa::Avx2 => unsafe {
            match stream {
                Stream::Read => x86::avx2::read(x),
                Stream::Copy => x86::avx2::copy(x, z, past),
                Stream::Triad => x86::avx2::triad(x, y, z, past),
                Stream::Update => x86::avx2::update(z),
            }
        },
        #[cfg(target_arch = "x86_64")]
        // SAFETY: as above.
        Isa::Avx512 => unsafe {
            match stream {
                Stream::Read => x86::avx512::read(x),
                Stream::Copy => x86::avx512::copy(x, z, past),
                Stream::Triad => x86::avx512::triad(x, y, z, past),
                Stream::Update => x86::avx512::update(z),
            }
        },
        _ => {
            let _ = past;
            portable(stream, x, y, z);
        }
    }
}

fn portable(stream: Stream, x: &[f32], y: &[f32], z: &mut [f32]) {
    match stream {
        Stream::Read => {
            let mut all = [0u32; 32];
            for chunk in x.as_chunks::<32>().0 {
                all.iter_mut().zip(chunk).for_each(|(a, x)| *a |= x.to_bits());
            }
            std::hint::black_box(all);
        }
        Stream::Copy => z.copy_from_slice(x),
        Stream::Update => z.iter_mut().for_each(|z| *z *= 3.0),
        Stream::Triad => z.iter_mut().zip(x.iter().zip(y)).for_each(|(z, (x, y))| *z = x + 3.0 * y),
    }
}

#[cfg(target_arch = "x86_64")]
mod x86 {
    macro_rules! loops {
        ($isa:ident, $features:literal) => {
            pub(in super::super) mod $isa {
                use crate::yardstick::vector::$isa::*;
                use std::hint::black_box;

                #[target_feature(enable = $features)]
                pub(in super::super::super) unsafe fn read(x: &[f32]) {
                    let mut all = [splat(0.0); 4];
                    let mut at = 0;
                    while at < x.len() {
                        for (i, part) in all.iter_mut().enumerate() {
                            // SAFETY: blocks are whole.
                            *part = or(*part, unsafe { load(x.as_ptr().add(at + i * LANES)) });
                        }
                        at += 4 * LANES;
                    }
                    black_box(all);
                }

                #[target_feature(enable = $features)]
                pub(in super::super::super) unsafe fn copy(x: &[f32], z: &mut [f32], past: bool) {
                    // SAFETY: blocks are whole; past the caches, lines are aligned.
                    unsafe { each(z, past, |at| load(x.as_ptr().add(at))) }
                }

                #[target_feature(enable = $features)]
                pub(in super::super::super) unsafe fn triad(x: &[f32], y: &[f32], z: &mut [f32], past: bool) {
                    // SAFETY: as above.
                    unsafe {
                        each(z, past, |at| {
                            fma(load(y.as_ptr().add(at)), splat(3.0), load(x.as_ptr().add(at)))
                        })
                    }
                }

                #[target_feature(enable = $features)]
                pub(in super::super::super) unsafe fn update(z: &mut [f32]) {
                    let from = z.as_ptr();
                    // SAFETY: as above.
                    unsafe { each(z, false, |at| mul(load(from.add(at)), splat(3.0))) }
                }

                /// # Safety
                /// The slice has whole blocks; past the caches, it begins on a line.
                #[target_feature(enable = $features)]
                #[inline]
                unsafe fn each(z: &mut [f32], past: bool, value: impl Fn(usize) -> V) {
                    let (to, len) = (z.as_mut_ptr(), z.len());
                    let mut at = 0;
                    // SAFETY: the caller's contract.
                    unsafe {
                        while at < len {
                            for i in 0..4 {
                                let at = at + i * LANES;
                                if past {
                                    stream(to.add(at), value(at));
                                } else {
                                    store(to.add(at), value(at));
                                }
                            }
                            at += 4 * LANES;
                        }
                        if past {
                            std::arch::x86_64::_mm_sfence();
                        }
                    }
                }
            }
        };
    }
    loops!(avx2, "avx2,fma");
    loops!(avx512, "avx512f,avx512dq");
}
