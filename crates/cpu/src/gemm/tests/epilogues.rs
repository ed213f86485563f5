//! Hooks and in-register epilogues.

use super::*;

/// Where a hooked product's C goes.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Into {
    Rows,
    Packed,
    Tile,
}

/// Runs a batch of products with a hook that adds 100 to every element it gets and counts it; C as the hook left it.
fn run_hooked(spec: &GemmSpec, into: Into, isa: Isa, pool: &Pool) {
    let GemmSpec { batch, m, n, k, .. } = *spec;
    let b_at = |p: usize, j: usize| match spec.b {
        BLayout::Strided(b) => p * b.row_stride as usize + j * b.col_stride as usize,
        BLayout::Packed { .. } => p * n + j,
    };
    let plan = GemmPlan::new(spec, isa).expect("a valid spec");
    let (a, b) = (values(batch * m * k, 5), values(batch * k * n, 6));
    let (a, b): (Vec<f32>, Vec<f32>) =
        (a.iter().map(|&x| x as f32).collect(), b.iter().map(|&x| x as f32).collect());
    let packed_len = packed_len(m, n, Elem::F32).expect("small");
    let mut c = vec![-7.0f32; batch * if into == Into::Packed { packed_len } else { m * n }];
    let seen: Vec<AtomicUsize> = (0..batch * m * n).map(|_| AtomicUsize::new(0)).collect();
    let out = Mutex::new(vec![0.0f32; batch * m * n]);
    let hook = |block: &Block| {
        assert!(block.rows <= plan.block_rows() && block.cols <= plan.block_cols() && block.worker < 3);
        let mut out = out.lock().expect("no panic while locked");
        for i in 0..block.rows {
            for j in 0..block.cols {
                let at = (block.batch * m + block.row + i) * n + block.col + j;
                seen[at].fetch_add(1, Ordering::Relaxed);
                // SAFETY: a block holds its rows and columns.
                unsafe {
                    let c = block.c.cast::<f32>().offset(i as isize * block.row_stride + j as isize);
                    *c += 100.0;
                    out[at] = *c;
                }
            }
        }
    };
    let mut b_operand = b.clone();
    if matches!(spec.b, BLayout::Packed { .. }) {
        let pack =
            |z: usize| pack_b_slice(isa, &MatRef::new(&b[z * k * n..(z + 1) * k * n], k, n)).expect("B fits");
        b_operand = (0..batch).flat_map(pack).collect();
    }
    let mut scratch = vec![f32::NAN; plan.scratch_bytes(3) / 4];
    let epilogue = Epilogue { hook: Some(&hook), ..Epilogue::NONE };
    let c_ptr = if into == Into::Tile { std::ptr::null_mut() } else { c.as_mut_ptr().cast() };
    // SAFETY: the buffers have the spec's sizes.
    pool.session(3, |team| unsafe {
        let (a, b) = (a.as_ptr().cast(), b_operand.as_ptr().cast());
        plan.run(team, a, b, c_ptr, scratch.as_mut_ptr().cast(), &epilogue);
    });
    assert!(seen.iter().all(|count| count.load(Ordering::Relaxed) == 1), "{spec:?} {isa}: not once each");
    let out = out.into_inner().expect("no panic while locked");
    for z in 0..batch {
        for i in 0..m {
            for j in 0..n {
                let expected: f64 = (0..k)
                    .map(|p| f64::from(a[(z * m + i) * k + p]) * f64::from(b[z * k * n + b_at(p, j)]))
                    .sum::<f64>()
                    + 100.0;
                let got = match into {
                    Into::Rows => c[(z * m + i) * n + j],
                    Into::Packed => c[z * packed_len + (j / 16 * m + i) * 16 + j % 16],
                    Into::Tile => out[(z * m + i) * n + j],
                };
                assert!((f64::from(got) - expected).abs() < 1e-3, "{into:?} {isa}: {got} at {z} {i} {j}");
                assert_eq!(out[(z * m + i) * n + j], got);
            }
        }
    }
}

#[test]
fn hooks_see_every_element_once() {
    let pool = Pool::new(3);
    let shapes = [
        (1, 37, 50, 20),
        (3, 1, 33, 40),
        (2, 45, 1, 9),
        (2, 130, 70, 33),
        (1, 64, 520, 3),
        (2, 5, 17, 0),
        (2, 16, 300, 40),
        (1, 33, 700, 50),
    ];
    for (batch, m, n, k) in shapes {
        for into in [Into::Rows, Into::Packed, Into::Tile] {
            let elem = Elem::F32;
            let c = match into {
                Into::Rows => CLayout::Rows { row_stride: n as isize, batch_stride: (m * n) as isize },
                Into::Packed => {
                    CLayout::Packed { batch_stride: packed_len(m, n, elem).expect("small") as isize }
                }
                Into::Tile => CLayout::Tile,
            };
            let a = Matrix { batch_stride: (m * k) as isize, ..Matrix::row_major(elem, k) };
            let b = Matrix { batch_stride: (k * n) as isize, ..Matrix::row_major(elem, n) };
            let packed = BLayout::Packed { batch_stride: packed_len(k, n, elem).expect("small") as isize };
            let b_transposed =
                Matrix { batch_stride: b.batch_stride, ..Matrix::row_major(elem, k).transposed() };
            for b in [BLayout::Strided(b), BLayout::Strided(b_transposed), packed] {
                let spec = GemmSpec { batch, m, n, k, a, b, c, accumulate: false };
                for isa in Isa::available() {
                    run_hooked(&spec, into, isa, &pool);
                }
            }
        }
    }
}

/// Runs a product with an epilogue; C's bits.
fn run_bits(spec: &GemmSpec, isa: Isa, team: &Team<'_>, epilogue: &Epilogue<'_>, c: &[f32]) -> Vec<u32> {
    let numbers = |len: usize, seed| values(len, seed).iter().map(|&x| x as f32).collect::<Vec<f32>>();
    let (a, b) = (numbers(spec.m * spec.k, 7), numbers(spec.k * spec.n, 8));
    let plan = GemmPlan::new(spec, isa).expect("a valid spec");
    let mut scratch = vec![f32::NAN; plan.scratch_bytes(team.threads()) / 4];
    let mut c = c.to_vec();
    // SAFETY: the buffers have the spec's sizes.
    unsafe {
        let (a, b) = (a.as_ptr().cast(), b.as_ptr().cast());
        plan.run(team, a, b, c.as_mut_ptr().cast(), scratch.as_mut_ptr().cast(), epilogue);
    }
    c.iter().map(|x| x.to_bits()).collect()
}

/// An update is the product's own bits, scaled, added, biased and clipped with one rounding each: in place and from
/// another matrix, also where tiles are staged (several blocks of K, transposes) and in matrix-vector products.
#[test]
fn updates_round_each_operation() {
    let pool = Pool::new(3);
    let shapes = [(70, 90, 33), (37, 50, 2100), (32, 200, 40), (33, 75, 1100), (1, 40, 60), (40, 1, 60)];
    for (m, n, k) in shapes {
        let old: Vec<f32> = values(m * n, 9).iter().map(|&x| x as f32).collect();
        let other: Vec<f32> = values(m * n, 10).iter().map(|&x| x as f32).collect();
        let bias: Vec<f32> = values(n, 11).iter().map(|&x| x as f32).collect();
        let row_major = [Matrix::row_major(Elem::F32, k), Matrix::row_major(Elem::F32, n)];
        let transposed =
            [Matrix::row_major(Elem::F32, m), Matrix::row_major(Elem::F32, k)].map(Matrix::transposed);
        for (a, b) in
            [0, 1, 2, 3].map(|i| ([row_major[0], transposed[0]][i % 2], [row_major[1], transposed[1]][i / 2]))
        {
            let c = CLayout::Rows { row_stride: n as isize, batch_stride: 0 };
            let plain = GemmSpec { batch: 1, m, n, k, a, b: BLayout::Strided(b), c, accumulate: false };
            let update = GemmSpec { accumulate: true, ..plain };
            for isa in Isa::available() {
                let product = run_bits(&plain, isa, &Team::serial(), &Epilogue::NONE, &old);
                for (scale, addend, with_bias) in
                    [(Some(-0.3), None, false), (Some(0.7), Some(&other), true), (None, None, false)]
                {
                    let expected: Vec<u32> = (0..m * n)
                        .map(|i| {
                            let x = f32::from_bits(product[i]) * scale.unwrap_or(1.0) as f32;
                            let x = addend.unwrap_or(&old)[i] + x;
                            let x = if with_bias { (x + bias[i % n]).max(0.0) } else { x };
                            x.to_bits()
                        })
                        .collect();
                    let epilogue = Epilogue {
                        scale,
                        addend: addend.map_or(std::ptr::null(), |other| other.as_ptr().cast()),
                        bias: if with_bias { bias.as_ptr().cast() } else { std::ptr::null() },
                        relu: with_bias,
                        hook: None,
                    };
                    for threads in [1, 3] {
                        let bits =
                            pool.session(threads, |team| run_bits(&update, isa, team, &epilogue, &old));
                        assert!(bits == expected, "{update:?} {isa} {scale:?} {threads}");
                    }
                }
            }
        }
    }
}
