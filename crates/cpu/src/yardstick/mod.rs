//! What this machine can do at best, by loops written by hand: bandwidth ([`Stream`]), multiply-adds ([`Fma`]) a few
//! fused loops ([`Fused`]), and all of it as a [`Roofline`]. Benchmarks and profiles are held to these; nothing that is compiled uses them.

// Reason: vectors are read and written through pointers, by functions chosen for an instruction set.
#![allow(unsafe_code)]

mod fma;
mod fused;
mod roofline;
mod stream;
#[cfg(test)]
mod tests;
#[cfg(target_arch = "x86_64")]
mod vector;

pub use fma::Fma;
pub use fused::{ADAM, Adam, Fused};
pub use roofline::{Arithmetic, Bandwidth, Options, Roofline};
pub use stream::Stream;

/// Elements that a loop's operands are a multiple of.
pub const BLOCK: usize = 64;

/// A pointer that the threads of a team may share: each works on a part of its own.
#[derive(Clone, Copy)]
struct Shared(*mut f32);

// SAFETY: every use hands disjoint parts to the threads.
unsafe impl Sync for Shared {}

impl Shared {
    /// # Safety
    /// The elements lie within what the pointer is valid for, and no other thread has them.
    unsafe fn part<'a>(self, range: std::ops::Range<usize>) -> &'a mut [f32] {
        // SAFETY: the caller's contract.
        unsafe { std::slice::from_raw_parts_mut(self.0.add(range.start), range.len()) }
    }
}

/// Part `index` of `parts` nearly equal parts of `len` elements, in whole blocks.
fn part(len: usize, parts: usize, index: usize) -> std::ops::Range<usize> {
    let blocks = len / BLOCK;
    let at = |i: usize| blocks * i / parts * BLOCK;
    at(index)..at(index + 1)
}

/// Stops unless the operands of a loop have one length, in whole blocks.
fn check_lengths(first: usize, rest: &[usize]) {
    assert!(
        first.is_multiple_of(BLOCK) && rest.iter().all(|len| *len == first),
        "operands have one length, a multiple of {BLOCK}"
    );
}
