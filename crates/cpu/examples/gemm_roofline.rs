//! Measures matrix products against the multiply-add peak of this machine.
//!
//! `cargo run --release -p wootz-cpu --example gemm_roofline [-- THREADS [FILTER]]` prints, for the layers of an MLP at
//! batch 32, 128 and 1024, the time and the share of peak of the forward product with bias and ReLU (`forward`: weights
//! `[out, in]` as they lie; `packed`: weights packed before), of `dx = dy · W`, of `dW = dyᵀ · x` and of
//! `W - rate · dyᵀ · x` in place (`update`). Only the products whose name contains FILTER are measured. Shapes are measured
//! in turn, round after round, and the best of all rounds counts; one thread is timed by its processor time, several by
//! the clock.

// Reason: plans run on raw pointers.
#![allow(unsafe_code)]

use std::hint::black_box;
use std::sync::OnceLock;
use std::time::Instant;

use wootz_cpu::gemm::{BLayout, CLayout, Elem, Epilogue, GemmPlan, GemmSpec, Matrix, pack_b, packed_len};
use wootz_cpu::isa::Isa;
use wootz_cpu::pool::{Pool, Team, default_threads};

/// Features in and out of the layers.
const LAYERS: [(usize, usize); 5] = [(784, 1024), (1024, 1024), (1024, 512), (512, 256), (256, 10)];
const ROUNDS: usize = 40;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let isa = Isa::detect()?;
    let threads = match std::env::args().nth(1) {
        Some(count) => count.parse()?,
        None => default_threads()?,
    };
    let filter = std::env::args().nth(2).unwrap_or_default();
    let pool = Pool::new(threads);
    let mut cases = cases(isa, threads)?;
    cases.retain(|case| case.name.contains(&filter));
    let mut peak = [0.0f64; 2];
    for _ in 0..ROUNDS {
        peak[0] = peak[0].max(fma_rate(&Team::serial(), isa));
        peak[1] = peak[1].max(pool.session(threads, |team| fma_rate(team, isa)));
        for case in &mut cases {
            pool.session(threads, |team| case.measure(team));
        }
    }
    println!(
        "{isa}, {threads} threads: multiply-add peak {:.1} GFLOP/s (one thread {:.1})",
        peak[1], peak[0]
    );
    println!("{:28} {:>9} {:>9} {:>7} {:>6}", "product", "us", "GFLOP/s", "peak", "tiles");
    for case in &cases {
        let rate = case.flops() / case.best * 1e-9;
        let (us, share) = (case.best * 1e6, 100.0 * rate / peak[1]);
        println!("{:28} {us:9.1} {rate:9.1} {share:6.1}% {:6}", case.name, case.plan.tiles());
    }
    Ok(())
}

/// A product with its operands.
struct Case {
    name: String,
    plan: GemmPlan,
    spec: GemmSpec,
    /// Whether bias and ReLU follow.
    forward: bool,
    a: Vec<Line>,
    b: Vec<Line>,
    c: Vec<Line>,
    bias: Vec<Line>,
    scratch: Vec<Line>,
    /// Seconds.
    best: f64,
}

/// The products of every layer and batch size.
fn cases(isa: Isa, threads: usize) -> Result<Vec<Case>, Box<dyn std::error::Error>> {
    let mut cases = Vec::new();
    for batch in [32, 128, 1024] {
        for (input, output) in LAYERS {
            let shape = format!("{batch}x{input}->{output}");
            let x = Matrix::row_major(Elem::F32, input);
            let dy = Matrix::row_major(Elem::F32, output);
            let w = Matrix::row_major(Elem::F32, input);
            let packed = BLayout::Packed { batch_stride: 0 };
            let dims = [
                ("forward", [batch, output, input], x, BLayout::Strided(w.transposed())),
                ("packed", [batch, output, input], x, packed),
                ("dx", [batch, input, output], dy, BLayout::Strided(w)),
                ("dW", [output, input, batch], dy.transposed(), BLayout::Strided(x)),
                ("update", [output, input, batch], dy.transposed(), BLayout::Strided(x)),
            ];
            for (kind, [m, n, k], a, b) in dims {
                let c = CLayout::Rows { row_stride: n as isize, batch_stride: 0 };
                let spec = GemmSpec { batch: 1, m, n, k, a, b, c, accumulate: kind == "update" };
                let forward = matches!(kind, "forward" | "packed");
                cases.push(Case::new(format!("{kind} {shape}"), spec, forward, isa, threads)?);
            }
        }
    }
    Ok(cases)
}

/// A cache line of numbers, so that vectors of lines are aligned as an arena's buffers are.
#[derive(Clone, Copy)]
#[repr(align(64))]
struct Line([f32; 16]);

/// At least `len` small numbers.
fn numbers(len: usize) -> Vec<Line> {
    let number = |i: usize| ((i * 37) % 101) as f32 * 0.01 - 0.5;
    (0..len.div_ceil(16)).map(|line| Line(std::array::from_fn(|i| number(line * 16 + i)))).collect()
}

impl Case {
    fn new(
        name: String,
        spec: GemmSpec,
        forward: bool,
        isa: Isa,
        threads: usize,
    ) -> Result<Case, Box<dyn std::error::Error>> {
        let plan = GemmPlan::new(&spec, isa)?;
        let GemmSpec { m, n, k, .. } = spec;
        let mut b = numbers(k * n);
        if matches!(spec.b, BLayout::Packed { .. }) {
            let mut packed = numbers(packed_len(k, n, Elem::F32).ok_or("too large")?);
            let w = Matrix::row_major(Elem::F32, k).transposed();
            // SAFETY: B is `n × k` row-major, read as its transpose, and the buffer has the packed length.
            unsafe { pack_b(isa, &w, b.as_ptr().cast(), k, n, packed.as_mut_ptr().cast()) };
            b = packed;
        }
        let scratch = numbers(plan.scratch_bytes(threads) / 4);
        let (a, c, bias) = (numbers(m * k), numbers(m * n), numbers(n));
        Ok(Case { name, plan, spec, forward, a, b, c, bias, scratch, best: f64::INFINITY })
    }

    fn flops(&self) -> f64 {
        2.0 * self.spec.m as f64 * self.spec.n as f64 * self.spec.k as f64
    }

    fn measure(&mut self, team: &Team<'_>) {
        let bias = if self.forward { self.bias.as_ptr().cast() } else { std::ptr::null() };
        let scale = self.spec.accumulate.then_some(-1e-6);
        let epilogue = Epilogue { scale, bias, relu: self.forward, ..Epilogue::NONE };
        let repeats = (2e8 / self.flops()).clamp(2.0, 50.0) as usize;
        for _ in 0..repeats {
            let start = seconds(team);
            // SAFETY: the operands have the spec's sizes, the scratch memory the plan's.
            unsafe {
                let (a, b) = (self.a.as_ptr().cast(), self.b.as_ptr().cast());
                let (c, scratch) = (self.c.as_mut_ptr().cast(), self.scratch.as_mut_ptr().cast());
                self.plan.run(team, a, b, c, scratch, &epilogue);
            }
            self.best = self.best.min(seconds(team) - start);
        }
        black_box(self.c.first().map(|line| line.0));
    }
}

/// Processor time of this thread if the team is this thread alone, else the time of a clock.
fn seconds(team: &Team<'_>) -> f64 {
    static START: OnceLock<Instant> = OnceLock::new();
    #[cfg(target_os = "linux")]
    if team.threads() == 1 {
        const THREAD_CPUTIME: i32 = 3;
        let mut now = [0i64; 2];
        // SAFETY: two words hold the seconds and nanoseconds of every 64-bit Linux's `timespec`.
        unsafe { clock_gettime(THREAD_CPUTIME, now.as_mut_ptr()) };
        return now[0] as f64 + now[1] as f64 * 1e-9;
    }
    let _ = team;
    START.get_or_init(Instant::now).elapsed().as_secs_f64()
}

#[cfg(target_os = "linux")]
unsafe extern "C" {
    fn clock_gettime(clock: i32, time: *mut i64) -> i32;
}

/// Multiply-adds in registers on every thread of the team, in GFLOP/s.
fn fma_rate(team: &Team<'_>, isa: Isa) -> f64 {
    const STEPS: usize = 100_000;
    let flops_a_step = match isa {
        Isa::Portable => return 0.0,
        Isa::Avx2 => 12 * 8 * 2,
        Isa::Avx512 => 24 * 16 * 2,
    };
    let start = seconds(team);
    team.run(team.threads(), &|_, _| {
        // SAFETY: the instruction set was detected.
        #[cfg(target_arch = "x86_64")]
        unsafe {
            match isa {
                Isa::Avx512 => peak::avx512(STEPS),
                _ => peak::avx2(STEPS),
            }
        }
    });
    (team.threads() * STEPS * flops_a_step) as f64 / (seconds(team) - start) * 1e-9
}

/// Chains of multiply-adds that touch no memory.
#[cfg(target_arch = "x86_64")]
mod peak {
    use std::arch::x86_64::*;
    use std::hint::black_box;

    #[target_feature(enable = "avx2,fma")]
    pub(super) fn avx2(steps: usize) {
        let (x, y) = (_mm256_set1_ps(black_box(0.5)), _mm256_set1_ps(black_box(0.25)));
        let mut acc = [_mm256_setzero_ps(); 12];
        for _ in 0..steps {
            for chain in &mut acc {
                *chain = _mm256_fmadd_ps(*chain, x, y);
            }
        }
        black_box(acc);
    }

    #[target_feature(enable = "avx512f")]
    pub(super) fn avx512(steps: usize) {
        let (x, y) = (_mm512_set1_ps(black_box(0.5)), _mm512_set1_ps(black_box(0.25)));
        let mut acc = [_mm512_setzero_ps(); 24];
        for _ in 0..steps {
            for chain in &mut acc {
                *chain = _mm512_fmadd_ps(*chain, x, y);
            }
        }
        black_box(acc);
    }
}
