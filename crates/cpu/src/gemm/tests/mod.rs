use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use half::{bf16, f16};
use proptest::prelude::*;

use super::*;
use crate::pool::{Pool, Team};

mod epilogues;

/// Numbers that are small, signed and different, the same for the same seed.
fn values(len: usize, seed: u64) -> Vec<f64> {
    let mut state = seed.wrapping_mul(2).wrapping_add(0x9e37_79b9_7f4a_7c15);
    (0..len)
        .map(|_| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            ((state >> 40) as f64 / f64::from(1u32 << 24)) * 2.0 - 1.0
        })
        .collect()
}

/// How a test lays a matrix out.
#[derive(Clone, Copy, Debug)]
enum Layout {
    RowMajor,
    ColMajor,
    /// Both strides above one.
    Sparse,
}

impl Layout {
    const ALL: [Layout; 3] = [Layout::RowMajor, Layout::ColMajor, Layout::Sparse];

    fn strides(self, rows: usize, cols: usize, gap: usize) -> (usize, usize) {
        match self {
            Layout::RowMajor => (cols + gap, 1),
            Layout::ColMajor => (1, rows + gap),
            Layout::Sparse => (3 * (cols + gap), 3),
        }
    }
}

/// Conversions from and to the numbers of the tests.
trait Number {
    fn from_test(x: f64) -> Self;
    fn to_test(self) -> f64;
}

/// An element type of the tests.
trait TestElem: Operand<Acc: TestAcc> + Number {}

impl<T: Operand<Acc: TestAcc> + Number> TestElem for T {}

/// An accumulator of the tests.
trait TestAcc: Real + Number {
    const EPSILON: f64;
    fn bits(self) -> u64;
}

macro_rules! number {
    ($($elem:ty, |$x:ident| $from:expr, |$y:ident| $to:expr;)+) => {$(
        impl Number for $elem {
            fn from_test($x: f64) -> Self {
                $from
            }
            fn to_test(self) -> f64 {
                let $y = self;
                $to
            }
        }
    )+};
}

number! {
    f32, |x| x as f32, |x| f64::from(x);
    f64, |x| x, |x| x;
    f16, |x| f16::from_f64(x), |x| x.to_f64();
    bf16, |x| bf16::from_f64(x), |x| x.to_f64();
}

impl TestAcc for f32 {
    const EPSILON: f64 = f32::EPSILON as f64;
    fn bits(self) -> u64 {
        u64::from(self.to_bits())
    }
}

impl TestAcc for f64 {
    const EPSILON: f64 = f64::EPSILON;
    fn bits(self) -> u64 {
        self.to_bits()
    }
}

/// A matrix whose last element is the last of a page that is followed by an inaccessible one, so that a read beyond
/// it ends the test.
#[cfg(unix)]
struct Guarded<T> {
    base: *mut u8,
    bytes: usize,
    len: usize,
    element: std::marker::PhantomData<T>,
}

#[cfg(unix)]
impl<T: Copy> Guarded<T> {
    const PAGE: usize = 1 << 14;

    fn new(values: &[T]) -> Guarded<T> {
        let bytes = size_of_val(values).next_multiple_of(Self::PAGE) + Self::PAGE;
        let layout = std::alloc::Layout::from_size_align(bytes, Self::PAGE).expect("a sane size");
        // SAFETY: the size is not zero; the last page is this allocation's own and is made accessible again in `drop`.
        unsafe {
            let base = std::alloc::alloc(layout);
            assert!(!base.is_null());
            let guarded: Guarded<T> =
                Guarded { base, bytes, len: values.len(), element: std::marker::PhantomData };
            std::ptr::copy_nonoverlapping(values.as_ptr(), guarded.ptr().cast_mut(), values.len());
            assert_eq!(protect(base.add(bytes - Self::PAGE), Self::PAGE, 0), 0);
            guarded
        }
    }

    fn ptr(&self) -> *const T {
        self.base.wrapping_add(self.bytes - Self::PAGE - self.len * size_of::<T>()).cast()
    }

    fn slice(&self) -> &[T] {
        // SAFETY: `new` filled these elements.
        unsafe { std::slice::from_raw_parts(self.ptr(), self.len) }
    }
}

#[cfg(unix)]
impl<T> Drop for Guarded<T> {
    fn drop(&mut self) {
        let page = 1 << 14;
        let layout = std::alloc::Layout::from_size_align(self.bytes, page).expect("a sane size");
        // SAFETY: undoes what `new` did.
        unsafe {
            assert_eq!(protect(self.base.add(self.bytes - page), page, 3), 0);
            std::alloc::dealloc(self.base, layout);
        }
    }
}

#[cfg(unix)]
unsafe extern "C" {
    #[link_name = "mprotect"]
    fn protect(addr: *mut u8, len: usize, protection: i32) -> i32;
}

/// One product to check.
#[derive(Clone, Copy, Debug)]
struct Case {
    m: usize,
    n: usize,
    k: usize,
    a: Layout,
    /// `None` for packed.
    b: Option<Layout>,
    gap: usize,
    accumulate: bool,
    bias: bool,
    relu: bool,
}

impl Case {
    fn plain(m: usize, n: usize, k: usize) -> Case {
        let (a, b) = (Layout::RowMajor, Some(Layout::RowMajor));
        Case { m, n, k, a, b, gap: 0, accumulate: false, bias: false, relu: false }
    }
}

/// Elements that a strided matrix spans.
fn span(rows: usize, cols: usize, strides: (usize, usize)) -> usize {
    if rows == 0 || cols == 0 { 0 } else { (rows - 1) * strides.0 + (cols - 1) * strides.1 + 1 }
}

/// Computes the case with one team; C's bits. If `verify`, checks every element, and that nothing between C's rows is
/// touched.
fn check<T: TestElem>(case: &Case, isa: Isa, team: &Team<'_>, verify: bool) -> Vec<u64> {
    let Case { m, n, k, gap, .. } = *case;
    let a_strides = case.a.strides(m, k, gap);
    let b_strides = case.b.unwrap_or(Layout::RowMajor).strides(k, n, gap);
    let cast = |v: Vec<f64>| v.into_iter().map(T::from_test).collect::<Vec<T>>();
    let a_data = Guarded::new(&cast(values(span(m, k, a_strides), 1)));
    let b_data = Guarded::new(&cast(values(span(k, n, b_strides), 2)));
    let a =
        MatRef { data: a_data.slice(), rows: m, cols: k, row_stride: a_strides.0, col_stride: a_strides.1 };
    let b =
        MatRef { data: b_data.slice(), rows: k, cols: n, row_stride: b_strides.0, col_stride: b_strides.1 };
    let acc = |v: Vec<f64>| v.into_iter().map(T::Acc::from_test).collect::<Vec<T::Acc>>();
    let bias = acc(values(n, 3));
    let c_stride = n + gap;
    let before = acc(values(m * c_stride, 4));
    let mut c_data = before.clone();

    let packed = Guarded::new(&pack_b_slice(isa, &b).expect("B fits its slice"));
    let operand = match case.b {
        Some(_) => SliceB::Strided(b),
        None => SliceB::Packed { data: packed.slice(), k, n },
    };
    let mut c = MatMut { data: &mut c_data, rows: m, cols: n, row_stride: c_stride, col_stride: 1 };
    let its_bias = case.bias.then_some(&bias[..]);
    matmul(isa, team, &a, &operand, &mut c, case.accumulate, its_bias, case.relu).expect("a valid product");

    for i in 0..if verify { m } else { 0 } {
        for j in 0..c_stride {
            let (got, old) = (c_data[i * c_stride + j], before[i * c_stride + j]);
            if j >= n {
                assert_eq!(got.bits(), old.bits(), "{case:?} {isa}: wrote beyond row {i}");
                continue;
            }
            let start = if case.accumulate { old.to_test() } else { 0.0 };
            let (mut sum, mut size) = (start, start.abs());
            for p in 0..k {
                let x = a.data[i * a.row_stride + p * a.col_stride].to_test();
                let y = b.data[p * b.row_stride + j * b.col_stride].to_test();
                sum += x * y;
                size += (x * y).abs();
            }
            if case.bias {
                sum += bias[j].to_test();
                size += bias[j].to_test().abs();
            }
            if case.relu {
                sum = sum.max(0.0);
            }
            let tolerance = T::Acc::EPSILON * (k as f64 + 4.0) * size;
            let error = (got.to_test() - sum).abs();
            assert!(error <= tolerance, "{case:?} {isa} at ({i}, {j}): {got:?}, expected {sum}");
        }
    }
    c_data.into_iter().map(TestAcc::bits).collect()
}

/// Checks the case on every instruction set and with 1, 2 and 3 threads, whose bits must agree.
fn check_all<T: TestElem>(case: &Case, pool: &Pool) {
    for isa in Isa::available() {
        let serial = check::<T>(case, isa, &Team::serial(), true);
        for threads in [2, 3] {
            let bits = pool.session(threads, |team| check::<T>(case, isa, team, false));
            assert!(bits == serial, "{case:?} {isa}: {threads} threads give other bits");
        }
    }
}

fn layout() -> impl Strategy<Value = Layout> {
    (0..3usize).prop_map(|i| Layout::ALL[i])
}

/// Mostly small and odd sizes, with 0 and 1 often.
fn size(most: usize) -> impl Strategy<Value = usize> {
    prop_oneof![1 => Just(0usize), 3 => Just(1usize), 12 => 2..most]
}

fn case() -> impl Strategy<Value = Case> {
    let b = prop_oneof![1 => Just(None), 2 => layout().prop_map(Some)];
    (size(40), size(70), size(50), layout(), b, 0..3usize, any::<[bool; 3]>()).prop_map(
        |(m, n, k, a, b, gap, [accumulate, bias, relu])| Case { m, n, k, a, b, gap, accumulate, bias, relu },
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(150))]

    #[test]
    fn products_of_f32(case in case()) {
        check_all::<f32>(&case, &Pool::new(3));
    }

    #[test]
    fn products_of_f64(case in case()) {
        check_all::<f64>(&case, &Pool::new(3));
    }

    #[test]
    fn products_of_half(case in case()) {
        let pool = Pool::new(3);
        check_all::<f16>(&case, &pool);
        check_all::<bf16>(&case, &pool);
    }
}

/// Shapes with several tiles and several blocks of K, and matrix-vector products of some size.
#[test]
fn large_products() {
    let pool = Pool::new(3);
    let shapes =
        [(130, 550, 40), (33, 75, 1100), (9, 1030, 65), (1, 300, 1300), (300, 1, 1300), (257, 5, 70)];
    for (m, n, k) in shapes {
        for b in [None, Some(Layout::RowMajor), Some(Layout::ColMajor)] {
            for a in [Layout::RowMajor, Layout::ColMajor] {
                let case =
                    Case { a, b, bias: true, relu: k < 100, accumulate: m > 100, ..Case::plain(m, n, k) };
                check_all::<f32>(&case, &pool);
            }
        }
        check_all::<f64>(&Case { b: None, ..Case::plain(m, n, k) }, &pool);
    }
}

#[test]
fn nan_and_infinity_flow() {
    let nan = f32::NAN;
    for isa in Isa::available() {
        // 0 · ∞ is NaN, and ReLU keeps it.
        let (a, b) = ([0.0, 1.0, nan, 1.0], [f32::INFINITY, 2.0, 3.0, -4.0]);
        let mut c = [0.0; 4];
        let b = SliceB::Strided(MatRef::new(&b, 2, 2));
        let mut c_mat = MatMut::new(&mut c, 2, 2);
        matmul(isa, &Team::serial(), &MatRef::new(&a, 2, 2), &b, &mut c_mat, false, None, true)
            .expect("valid");
        assert!(c[0].is_nan() && c[2].is_nan() && c[3].is_nan(), "{isa}: {c:?}");
        assert_eq!(c[1], 0.0, "{isa}");
    }
}

#[test]
fn packed_layout_is_as_documented() {
    fn check<T>(isa: Isa, elem: Elem, b: &[T], k: usize, n: usize)
    where
        T: Operand<Acc = T> + PartialEq + Default + Copy + std::fmt::Debug,
    {
        let width = slab_cols(elem);
        // The rows of B in order, and its columns: those are transposed.
        for (row_stride, col_stride) in [(n, 1), (1, k)] {
            let matrix = MatRef { data: b, rows: k, cols: n, row_stride, col_stride };
            let packed = pack_b_slice(isa, &matrix).expect("B fits");
            assert_eq!(Some(packed.len()), packed_len(k, n, elem));
            for (at, &x) in packed.iter().enumerate() {
                let (slab, p, j) = (at / width / k, at / width % k, at % width);
                let col = slab * width + j;
                let expected = if col < n { b[p * row_stride + col * col_stride] } else { T::default() };
                assert_eq!(x, expected, "{isa} {elem:?} {k} x {n}, strides {row_stride}, {col_stride}: {at}");
            }
        }
    }
    for isa in Isa::available() {
        for (k, n) in [(5, 19), (16, 16), (37, 40), (64, 32)] {
            let b: Vec<f64> = values(k * n, 9);
            let single: Vec<f32> = b.iter().map(|x| *x as f32).collect();
            check(isa, Elem::F64, &b, k, n);
            check(isa, Elem::F32, &single, k, n);
        }
    }
}

#[test]
fn wrong_operands_are_refused() {
    let (a, mut c) = ([0.0f32; 6], [0.0f32; 6]);
    let isa = Isa::best();
    let mut run = |a: MatRef<'_, f32>, b: SliceB<'_, f32>, rows, cols, row_stride, bias: Option<&[f32]>| {
        let mut c = MatMut { data: &mut c, rows, cols, row_stride, col_stride: 1 };
        matmul(isa, &Team::serial(), &a, &b, &mut c, false, bias, false)
    };
    let (a23, b32) = (MatRef::new(&a, 2, 3), MatRef::new(&a, 3, 2));
    let b = SliceB::Strided(b32);
    assert_eq!(run(a23, b, 2, 2, 2, None), Ok(()));
    let is = |result: Result<(), GemmError>, name| match result {
        Err(GemmError::Operand { operand, .. }) => assert_eq!(operand, name),
        other => panic!("{other:?}"),
    };
    is(run(MatRef { row_stride: 4, ..a23 }, b, 2, 2, 2, None), "A");
    is(run(MatRef { row_stride: usize::MAX, ..a23 }, b, 2, 2, 2, None), "A");
    is(run(a23, SliceB::Strided(a23), 2, 2, 2, None), "B");
    is(run(a23, SliceB::Packed { data: &a, k: 3, n: 2 }, 2, 2, 2, None), "B");
    is(run(a23, b, 2, 3, 3, None), "C");
    is(run(a23, b, 2, 2, 5, None), "C");
    is(run(a23, b, 2, 2, 1, None), "C");
    is(run(a23, b, 2, 2, 2, Some(&[1.0])), "bias");
    let spec = GemmSpec {
        batch: 1,
        m: 1 << 40,
        n: 1 << 40,
        k: 1,
        a: Matrix::row_major(Elem::F32, 1),
        b: BLayout::Packed { batch_stride: 0 },
        c: CLayout::Rows { row_stride: 1 << 40, batch_stride: 0 },
        accumulate: false,
    };
    assert!(matches!(GemmPlan::new(&spec, isa), Err(GemmError::TooLarge { .. })));
    let mixed = GemmSpec { m: 2, n: 2, b: BLayout::Strided(Matrix::row_major(Elem::F64, 2)), ..spec };
    assert!(matches!(GemmPlan::new(&mixed, isa), Err(GemmError::MixedElements { .. })));
    let tile = GemmSpec { m: 2, n: 2, c: CLayout::Tile, accumulate: true, ..spec };
    assert_eq!(GemmPlan::new(&tile, isa), Err(GemmError::AccumulateIntoTile));
}

#[test]
fn integers_wrap() {
    let (a, b) = ([200u8, 100, 3, 4], [2u8, 3, 1, 255]);
    let mut c = [1u8; 4];
    int_matmul(&MatRef::new(&a, 2, 2), &MatRef::new(&b, 2, 2).t(), &mut MatMut::new(&mut c, 2, 2), true)
        .expect("valid");
    let product = |x: usize, y: usize| (1 + x * y) as u8;
    let expected = [
        product(200, 2).wrapping_add(product(100, 3)).wrapping_sub(1),
        product(200, 1).wrapping_add(product(100, 255)).wrapping_sub(1),
        product(3, 2).wrapping_add(product(4, 3)).wrapping_sub(1),
        product(3, 1).wrapping_add(product(4, 255)).wrapping_sub(1),
    ];
    assert_eq!(c, expected);
    let mut c = [i64::MAX];
    int_matmul(&MatRef::new(&[1i64], 1, 1), &MatRef::new(&[1], 1, 1), &mut MatMut::new(&mut c, 1, 1), true)
        .expect("valid");
    assert_eq!(c, [i64::MIN]);
}
