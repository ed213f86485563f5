//! The micro-kernel: a few rows of A times a few slabs of B, accumulated in registers over one block of K.

use super::simd::{Portable, Real, Simd};
#[cfg(target_arch = "x86_64")]
use super::x86::{Avx2, Avx512};
use crate::isa::Isa;

/// Where the operands of one micro-kernel call lie. Strides count elements.
#[derive(Clone, Copy, Debug)]
pub struct TileArgs<E> {
    /// Products summed.
    pub k: usize,
    /// First element of A's rows.
    pub a: *const E,
    /// Distance between rows of A (row-major kernels, whose A is contiguous along K) or between steps of K
    /// (column-major kernels, whose A is contiguous along its rows).
    pub a_stride: isize,
    /// First element of B's slabs.
    pub b: *const E,
    /// Distance between steps of K in a slab.
    pub b_k_stride: isize,
    /// Distance between slabs of B.
    pub b_slab_stride: isize,
    /// What will be read of B next: a cache line of it is fetched into the second-level cache at each step of K.
    pub b_next: *const E,
    /// Distance between those lines; 0 if nothing is to be fetched.
    pub b_next_stride: isize,
    /// Where [`Form::RowMajorPacking`] copies the slabs of B to, each `k` steps after the one before.
    pub b_packed: *mut E,
    /// First element of C.
    pub c: *mut E,
    /// Distance between rows of C.
    pub c_stride: isize,
    /// Distance between slabs of C.
    pub c_slab_stride: isize,
    /// Columns of C to write: more than all slabs but the last hold, at most what all hold.
    pub cols: usize,
    /// Whether the sum starts from what C holds (else from zero).
    pub accumulate: bool,
    /// The sum is multiplied by this at the end.
    pub scale: Option<E>,
    /// Added to the sum, scaled or not, if not null: laid out as C, and may be C.
    pub addend: *const E,
    /// Added to every row at the end, if not null: one element a column.
    pub bias: *const E,
    /// Whether `max(x, 0)` is taken at the end.
    pub relu: bool,
}

/// How a micro-kernel reads A, and whether it packs B on its way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Form {
    /// A is contiguous along K.
    RowMajor,
    /// A is contiguous along its rows.
    ColMajor,
    /// As [`Form::RowMajor`]; what is read of B is also written to [`TileArgs::b_packed`].
    RowMajorPacking,
}

const ROW_MAJOR: u8 = Form::RowMajor as u8;
const COL_MAJOR: u8 = Form::ColMajor as u8;
const PACKING: u8 = Form::RowMajorPacking as u8;

/// Steps of K that a packing kernel fetches ahead: its rows of B may each be on a page of their own, where the
/// processor's own prefetching ends.
const AHEAD: isize = 8;

/// A micro-kernel for a fixed number of rows and slabs.
///
/// # Safety
/// The instruction set it was selected for must be available; A and whole slabs of B must be readable, C and bias
/// valid for the rows and for `cols` columns.
pub type Kernel<E> = unsafe fn(&TileArgs<E>);

/// The micro-kernels of one instruction set and element type.
#[derive(Clone, Copy, Debug)]
pub struct Kernels<E> {
    /// Most rows of a kernel.
    pub rows: usize,
    /// Most slabs of a kernel.
    pub slabs: usize,
    /// Most slabs of a one-row kernel, which needs more of them to hide the multiply-add's latency.
    pub slabs_of_one_row: usize,
    /// The kernel for some rows and slabs.
    pub select: fn(usize, usize, Form) -> Kernel<E>,
}

/// Element types that have micro-kernels.
pub trait Select: Sized {
    /// The kernels for an instruction set, which must be available.
    fn kernels(isa: Isa) -> Kernels<Self>;
}

/// The body of every micro-kernel: `R` rows, `V` vectors (`V * LANES` columns in `V * LANES / SLAB` slabs).
///
/// Each element of C is one chain of multiply-adds in the order of K, whatever `R` and `V`: how C is cut into tiles
/// cannot change a bit of the result.
#[inline(always)]
unsafe fn tile<S: Simd, const R: usize, const V: usize, const FORM: u8>(t: &TileArgs<S::E>) {
    let per_slab = S::E::SLAB / S::LANES;
    let slab =
        |v: usize, stride: isize| (v / per_slab) as isize * stride + (v % per_slab * S::LANES) as isize;
    // SAFETY: rows below R, steps of K below t.k and columns below t.cols only, which the caller vouches for; whole
    // slabs of B are readable.
    unsafe {
        let c_at = |r: usize, v: usize| t.c.offset(r as isize * t.c_stride + slab(v, t.c_slab_stride));
        let mut acc = [[S::zero(); V]; R];
        if t.accumulate {
            for r in 0..R {
                for v in 0..V {
                    let cols = t.cols.saturating_sub(v * S::LANES);
                    if cols >= S::LANES {
                        acc[r][v] = S::load(c_at(r, v));
                    } else if cols > 0 {
                        acc[r][v] = S::load_first(c_at(r, v), cols);
                    }
                }
            }
        }
        let addend_at =
            |r: usize, v: usize| t.addend.offset(r as isize * t.c_stride + slab(v, t.c_slab_stride));
        let (mut b, mut next) = (t.b, t.b_next);
        if FORM != COL_MAJOR {
            // One pointer for four rows: x86 addresses base + index, base + 2·index, and a second index gives 3·.
            let (stride, stride3) = (t.a_stride, 3 * t.a_stride);
            let bases: [*const S::E; 3] =
                std::array::from_fn(|i| t.a.wrapping_offset(4 * i as isize * stride));
            for p in 0..t.k as isize {
                let bv: [S::V; V] = std::array::from_fn(|v| S::load(b.offset(slab(v, t.b_slab_stride))));
                if FORM == PACKING {
                    let step = t.b_packed.offset(p * S::E::SLAB as isize);
                    let packed_stride = (t.k * S::E::SLAB) as isize;
                    for v in 0..V {
                        S::store(step.offset(slab(v, packed_stride)), bv[v]);
                        S::prefetch(b.wrapping_offset(AHEAD * t.b_k_stride + slab(v, t.b_slab_stride)));
                    }
                }
                for r in 0..R {
                    let row = bases[r / 4].offset(p);
                    let x = S::splat(match r % 4 {
                        0 => row,
                        1 => row.offset(stride),
                        2 => row.offset(2 * stride),
                        _ => row.offset(stride3),
                    });
                    for v in 0..V {
                        acc[r][v] = S::mul_add(x, bv[v], acc[r][v]);
                    }
                }
                S::prefetch_l2(next);
                next = next.wrapping_offset(t.b_next_stride);
                b = b.wrapping_offset(t.b_k_stride);
            }
        } else {
            let mut a = t.a;
            for _ in 0..t.k {
                let bv: [S::V; V] = std::array::from_fn(|v| S::load(b.offset(slab(v, t.b_slab_stride))));
                for r in 0..R {
                    let x = S::splat(a.add(r));
                    for v in 0..V {
                        acc[r][v] = S::mul_add(x, bv[v], acc[r][v]);
                    }
                }
                a = a.wrapping_offset(t.a_stride);
                S::prefetch_l2(next);
                next = next.wrapping_offset(t.b_next_stride);
                b = b.wrapping_offset(t.b_k_stride);
            }
        }
        if let Some(scale) = &t.scale {
            let scale = S::splat(scale);
            for r in 0..R {
                for v in 0..V {
                    acc[r][v] = S::mul(acc[r][v], scale);
                }
            }
        }
        if !t.addend.is_null() {
            for r in 0..R {
                for v in 0..V {
                    let from = addend_at(r, v);
                    let cols = t.cols.saturating_sub(v * S::LANES);
                    if cols >= S::LANES {
                        acc[r][v] = S::add(S::load(from), acc[r][v]);
                    } else if cols > 0 {
                        acc[r][v] = S::add(S::load_first(from, cols), acc[r][v]);
                    }
                }
            }
        }
        if !t.bias.is_null() {
            for v in 0..V {
                let cols = t.cols.saturating_sub(v * S::LANES);
                let bias = match cols {
                    0 => continue,
                    _ if cols >= S::LANES => S::load(t.bias.add(v * S::LANES)),
                    _ => S::load_first(t.bias.add(v * S::LANES), cols),
                };
                for r in 0..R {
                    acc[r][v] = S::add(acc[r][v], bias);
                }
            }
        }
        if t.relu {
            for r in 0..R {
                for v in 0..V {
                    acc[r][v] = S::relu(acc[r][v]);
                }
            }
        }
        for r in 0..R {
            for v in 0..V {
                let cols = t.cols.saturating_sub(v * S::LANES);
                if cols >= S::LANES {
                    S::store(c_at(r, v), acc[r][v]);
                } else if cols > 0 {
                    S::store_first(c_at(r, v), acc[r][v], cols);
                }
            }
        }
    }
}

/// Defines `$select`, which returns the micro-kernel for given rows and slabs of one instruction set and element type.
macro_rules! kernels {
    ($select:ident, $kernel:ident, $simd:ty, $elem:ty, [$($feature:literal)?],
     $(($slabs:literal slabs = $vectors:literal vectors: $($rows:literal)+))+) => {
        $(#[target_feature(enable = $feature)])?
        unsafe fn $kernel<const R: usize, const V: usize, const FORM: u8>(t: &TileArgs<$elem>) {
            // SAFETY: the caller's contract; the instruction set is enabled here.
            unsafe { tile::<$simd, R, V, FORM>(t) }
        }

        fn $select(rows: usize, slabs: usize, form: Form) -> Kernel<$elem> {
            match (rows, slabs, form) {
                $($(
                    ($rows, $slabs, Form::RowMajor) => $kernel::<$rows, $vectors, ROW_MAJOR>,
                    ($rows, $slabs, Form::ColMajor) => $kernel::<$rows, $vectors, COL_MAJOR>,
                    ($rows, $slabs, Form::RowMajorPacking) => $kernel::<$rows, $vectors, PACKING>,
                )+)+
                _ => unreachable!("no micro-kernel of {rows} rows and {slabs} slabs"),
            }
        }
    };
}

kernels!(portable_f32, kernel_portable_f32, Portable<f32, 4>, f32, [], (1 slabs = 4 vectors: 1 2));
kernels!(portable_f64, kernel_portable_f64, Portable<f64, 2>, f64, [], (1 slabs = 4 vectors: 1 2));

#[cfg(target_arch = "x86_64")]
kernels!(
    avx2_f32, kernel_avx2_f32, Avx2<f32>, f32, ["avx2,fma"],
    (1 slabs = 2 vectors: 1 2 3 4 5 6) (2 slabs = 4 vectors: 1) (3 slabs = 6 vectors: 1) (4 slabs = 8 vectors: 1)
);
#[cfg(target_arch = "x86_64")]
kernels!(
    avx2_f64, kernel_avx2_f64, Avx2<f64>, f64, ["avx2,fma"],
    (1 slabs = 2 vectors: 1 2 3 4 5 6) (2 slabs = 4 vectors: 1) (3 slabs = 6 vectors: 1) (4 slabs = 8 vectors: 1)
);
#[cfg(target_arch = "x86_64")]
kernels!(
    avx512_f32, kernel_avx512_f32, Avx512<f32>, f32, ["avx512f,avx512bw,avx512dq,avx512vl,avx2,fma"],
    (1 slabs = 1 vectors: 1 2 3 4 5 6 7 8) (2 slabs = 2 vectors: 1 2 3 4 5 6 7 8)
    (3 slabs = 3 vectors: 1 2 3 4 5 6 7 8) (4 slabs = 4 vectors: 1) (5 slabs = 5 vectors: 1) (6 slabs = 6 vectors: 1)
    (7 slabs = 7 vectors: 1) (8 slabs = 8 vectors: 1)
);
#[cfg(target_arch = "x86_64")]
kernels!(
    avx512_f64, kernel_avx512_f64, Avx512<f64>, f64, ["avx512f,avx512bw,avx512dq,avx512vl,avx2,fma"],
    (1 slabs = 1 vectors: 1 2 3 4 5 6 7 8) (2 slabs = 2 vectors: 1 2 3 4 5 6 7 8)
    (3 slabs = 3 vectors: 1 2 3 4 5 6 7 8) (4 slabs = 4 vectors: 1) (5 slabs = 5 vectors: 1) (6 slabs = 6 vectors: 1)
    (7 slabs = 7 vectors: 1) (8 slabs = 8 vectors: 1)
);

/// Implements [`Select`] for an element type from its `select` functions.
macro_rules! select {
    ($elem:ty, $portable:ident, $avx2:ident, $avx512:ident) => {
        impl Select for $elem {
            fn kernels(isa: Isa) -> Kernels<$elem> {
                match isa {
                    #[cfg(target_arch = "x86_64")]
                    Isa::Avx2 => Kernels { rows: 6, slabs: 1, slabs_of_one_row: 4, select: $avx2 },
                    #[cfg(target_arch = "x86_64")]
                    Isa::Avx512 => Kernels { rows: 8, slabs: 3, slabs_of_one_row: 8, select: $avx512 },
                    _ => Kernels { rows: 2, slabs: 1, slabs_of_one_row: 1, select: $portable },
                }
            }
        }
    };
}

select!(f32, portable_f32, avx2_f32, avx512_f32);
select!(f64, portable_f64, avx2_f64, avx512_f64);
