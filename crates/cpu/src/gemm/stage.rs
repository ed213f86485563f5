//! Tiles that are summed in a thread's memory and then written to C, transposed or as they are.

use std::ops::Range;

use super::drive::{Place, Run, TileScratch};
use super::pack::{Source, pack};
use super::plan::Tiles;
use super::simd::{Portable, Real, Simd};
use super::spec::CLayout;
#[cfg(target_arch = "x86_64")]
use super::x86::{Avx2, Avx512};
use super::{Block, Elem};
use crate::isa::Isa;

impl<E: Real> Run<'_, E> {
    /// Where the micro-kernels sum a slab of a tile (its first row), the distance between rows and that between slabs.
    pub(super) fn sums(
        &self,
        tiles: &Tiles,
        place: &Place,
        slab: usize,
        own: &TileScratch<E>,
    ) -> (*mut E, isize, isize) {
        let index = slab - place.slabs.start;
        if tiles.staged {
            let stride = self.plan.tile_cols(tiles) as isize;
            return (own.sums.wrapping_add(index * E::SLAB), stride, E::SLAB as isize);
        }
        let (c, row_stride, slab_stride) = self.part_of_c(tiles, place, own);
        (c.wrapping_offset(index as isize * slab_stride), row_stride, slab_stride)
    }

    /// A tile's rows and columns of C.
    fn rows_and_cols(&self, tiles: &Tiles, place: &Place) -> [Range<usize>; 2] {
        let lanes = place.slabs.start * E::SLAB..(place.slabs.end * E::SLAB).min(self.plan.spec.n);
        let rows = place.rows.clone();
        if tiles.swapped { [lanes, rows] } else { [rows, lanes] }
    }

    /// A tile's first element of C, the distance between rows and that between slabs.
    fn part_of_c(&self, tiles: &Tiles, place: &Place, own: &TileScratch<E>) -> (*mut E, isize, isize) {
        let [rows, cols] = self.rows_and_cols(tiles, place).map(|range| range.start as isize);
        let slab_cols = E::SLAB as isize;
        match self.plan.spec.c {
            CLayout::Rows { row_stride, .. } => {
                let at = rows * row_stride + cols;
                (self.c_of(place.batch).wrapping_offset(at), row_stride, slab_cols)
            }
            CLayout::Packed { .. } => {
                let slab_len = self.plan.spec.m as isize * slab_cols;
                let at = place.slabs.start as isize * slab_len + rows * slab_cols;
                (self.c_of(place.batch).wrapping_offset(at), slab_cols, slab_len)
            }
            CLayout::Tile => {
                let (rows, cols) = (self.plan.tile_rows(tiles), self.plan.tile_cols(tiles));
                (own.c, if tiles.swapped { rows } else { cols } as isize, slab_cols)
            }
        }
    }

    /// Writes a staged tile to C and applies the hook.
    ///
    /// # Safety
    /// The place is a tile of the plan whose sums are complete, and `own` the worker's memory.
    pub(super) unsafe fn finish(&self, tiles: &Tiles, place: &Place, own: &TileScratch<E>, worker: usize) {
        let [rows, cols] = self.rows_and_cols(tiles, place);
        let (c, row_stride, slab_stride) = self.part_of_c(tiles, place, own);
        if tiles.staged {
            let bias = &self.bias;
            let staged = Staged {
                sums: own.sums,
                sums_stride: self.plan.tile_cols(tiles),
                slab: if tiles.swapped { own.slab } else { std::ptr::null_mut() },
                rows: rows.len(),
                cols: cols.len(),
                c,
                c_stride: row_stride,
                c_slab_stride: slab_stride,
                scale: self.scale,
                addend: self.addend_of(c),
                bias: if bias.is_null() { *bias } else { bias.wrapping_add(cols.start) },
                relu: self.epilogue.relu,
            };
            // SAFETY: the part is the tile's own; the plan has room for its sums and for their transpose's slab.
            unsafe { unstage(&staged, self.plan.isa()) };
        }
        if self.epilogue.hook.is_none() {
            return;
        }
        let by_slab = matches!(self.plan.spec.c, CLayout::Packed { .. });
        let (parts, width) = if by_slab { (place.slabs.len(), E::SLAB) } else { (1, cols.len()) };
        for i in 0..parts {
            let col = cols.start + i * width;
            self.hook(&Block {
                batch: place.batch,
                row: rows.start,
                col,
                rows: rows.len(),
                cols: width.min(cols.end - col),
                c: c.wrapping_offset(i as isize * slab_stride).cast(),
                row_stride,
                worker,
            });
        }
    }
}

/// A summed tile and the part of C that it becomes. Strides count elements.
#[derive(Clone, Copy, Debug)]
pub(super) struct Staged<E> {
    /// The sums: rows of whole slabs.
    pub(super) sums: *const E,
    /// Distance between the sums' rows.
    pub(super) sums_stride: usize,
    /// If the sums are of C's transpose, room for a slab of each row of the part of C; else null.
    pub(super) slab: *mut E,
    /// Rows of the part of C.
    pub(super) rows: usize,
    /// Columns of the part of C.
    pub(super) cols: usize,
    /// The part's first element.
    pub(super) c: *mut E,
    /// Distance between rows of C.
    pub(super) c_stride: isize,
    /// Distance between slabs of C.
    pub(super) c_slab_stride: isize,
    /// The sums are multiplied by this.
    pub(super) scale: Option<E>,
    /// Added then, if not null: the same part of a matrix laid out as C.
    pub(super) addend: *const E,
    /// Added then, if not null: one element a column of the part.
    pub(super) bias: *const E,
    /// Whether `max(x, 0)` is taken at the end.
    pub(super) relu: bool,
}

/// Writes a tile to C.
///
/// # Safety
/// The instruction set must be available and the pointers valid for what they describe.
pub(super) unsafe fn unstage<E: Real>(staged: &Staged<E>, isa: Isa) {
    let staged: *const Staged<E> = staged;
    // SAFETY: the caller's contract; `E` is `f32` or `f64`, told apart by its tag.
    unsafe {
        match E::ELEM {
            Elem::F64 => unstage_f64(&*staged.cast(), isa),
            _ => unstage_f32(&*staged.cast(), isa),
        }
    }
}

/// The body of [`unstage`].
#[inline(always)]
unsafe fn write<S: Simd>(t: &Staged<S::E>, isa: Isa) {
    let slab_cols = S::E::SLAB;
    for slab in 0..t.cols.div_ceil(slab_cols) {
        let first = slab * slab_cols;
        let width = slab_cols.min(t.cols - first);
        // SAFETY: rows and columns of the part only, and whole slabs of the sums; the rest is the caller's contract.
        unsafe {
            let (from, stride) = if t.slab.is_null() {
                (t.sums.add(first), t.sums_stride)
            } else {
                let (ptr, lane_stride) = (t.sums.add(first * t.sums_stride), t.sums_stride as isize);
                let source = Source { isa, elem: S::E::ELEM, ptr: ptr.cast(), k_stride: 1, lane_stride };
                pack(source, t.rows, width, slab_cols, t.slab);
                (t.slab.cast_const(), slab_cols)
            };
            for row in 0..t.rows {
                for v in 0..width.div_ceil(S::LANES) {
                    let (lane, left) = (v * S::LANES, width - v * S::LANES);
                    let load =
                        |p: *const S::E| if left >= S::LANES { S::load(p) } else { S::load_first(p, left) };
                    let at = slab as isize * t.c_slab_stride + row as isize * t.c_stride + lane as isize;
                    let mut x = S::load(from.add(row * stride + lane));
                    if let Some(scale) = &t.scale {
                        x = S::mul(x, S::splat(scale));
                    }
                    if !t.addend.is_null() {
                        x = S::add(load(t.addend.offset(at)), x);
                    }
                    if !t.bias.is_null() {
                        x = S::add(x, load(t.bias.add(first + lane)));
                    }
                    if t.relu {
                        x = S::relu(x);
                    }
                    if left >= S::LANES {
                        S::store(t.c.offset(at), x);
                    } else {
                        S::store_first(t.c.offset(at), x, left);
                    }
                }
            }
        }
    }
}

/// Defines `$name` for one element type.
macro_rules! unstage {
    ($name:ident, $elem:ty, $lanes:literal) => {
        unsafe fn $name(staged: &Staged<$elem>, isa: Isa) {
            #[cfg(target_arch = "x86_64")]
            #[target_feature(enable = "avx2,fma")]
            unsafe fn avx2(staged: &Staged<$elem>) {
                // SAFETY: the caller's contract; the instruction set is enabled here.
                unsafe { write::<Avx2<$elem>>(staged, Isa::Avx2) }
            }

            #[cfg(target_arch = "x86_64")]
            #[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx2,fma")]
            unsafe fn avx512(staged: &Staged<$elem>) {
                // SAFETY: the caller's contract; the instruction set is enabled here.
                unsafe { write::<Avx512<$elem>>(staged, Isa::Avx512) }
            }

            // SAFETY: the caller's contract.
            unsafe {
                match isa {
                    #[cfg(target_arch = "x86_64")]
                    Isa::Avx2 => avx2(staged),
                    #[cfg(target_arch = "x86_64")]
                    Isa::Avx512 => avx512(staged),
                    _ => write::<Portable<$elem, $lanes>>(staged, Isa::Portable),
                }
            }
        }
    };
}

unstage!(unstage_f32, f32, 4);
unstage!(unstage_f64, f64, 2);
