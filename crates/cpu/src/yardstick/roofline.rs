//! The roofline of this machine: bandwidth by working set and threads, arithmetic by instruction set and threads.
//!
//! S. Williams, A. Waterman, D. Patterson, "Roofline: an insightful visual performance model for multicore
//! architectures", CACM 52(4), 2009.

use std::time::{Duration, Instant};

use super::{BLOCK, Fma, Stream};
use crate::isa::{Caches, Isa};
use crate::pool::{Pool, PoolError, Team, default_threads};
use wootz_runtime::ForkLock;

/// What one machine can do at best.
#[derive(Clone, Debug, PartialEq)]
pub struct Roofline {
    /// Bandwidths, by threads, then by working set, smallest first.
    pub bandwidth: Vec<Bandwidth>,
    /// Peaks of arithmetic.
    pub arithmetic: Vec<Arithmetic>,
}

/// The bandwidth of one loop over one working set.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Bandwidth {
    /// The loop.
    pub stream: Stream,
    /// Threads, each with a part of the working set.
    pub threads: usize,
    /// Bytes of all operands together.
    pub bytes: usize,
    /// The level that holds it: `L1`, `L2`, `L3`, `memory`.
    pub level: &'static str,
    /// Bytes read and written a nanosecond (GB/s).
    pub rate: f64,
}

/// The peak of multiply-adds.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Arithmetic {
    /// The dtype.
    pub fma: Fma,
    /// The instruction set.
    pub isa: Isa,
    /// Threads.
    pub threads: usize,
    /// Floating-point operations a nanosecond (GFLOP/s), 2 a multiply-add.
    pub rate: f64,
}

/// How thoroughly to measure.
#[derive(Clone, Debug)]
pub struct Options {
    /// Numbers of threads.
    pub threads: Vec<usize>,
    /// Instruction sets; the widest moves the streams.
    pub isas: Vec<Isa>,
    /// Loops over memory.
    pub streams: Vec<Stream>,
    /// Working sets a cache level.
    pub sizes: usize,
    /// The time of one sample; the best of five counts.
    pub sample: Duration,
}

impl Options {
    /// Every number of threads that is a power of two, and all of them; every instruction set.
    ///
    /// # Errors
    /// [`PoolError::InvalidThreads`] as [`default_threads`].
    pub fn thorough() -> Result<Options, PoolError> {
        let most = default_threads()?;
        let mut threads: Vec<usize> =
            std::iter::successors(Some(1), |n| Some(2 * n)).take_while(|n| *n < most).collect();
        threads.push(most);
        let (isas, streams) = (Isa::available().collect(), Stream::ALL.to_vec());
        Ok(Options { threads, isas, streams, sizes: 2, sample: Duration::from_millis(10) })
    }
}

impl Roofline {
    /// Measures.
    #[must_use]
    pub fn measure(options: &Options) -> Roofline {
        let widest = options.isas.iter().copied().max().unwrap_or(Isa::Portable);
        let mut roofline = Roofline { bandwidth: Vec::new(), arithmetic: Vec::new() };
        for threads in &options.threads {
            let pool = Pool::new(*threads);
            pool.session(*threads, |team| {
                for stream in options.streams.iter().copied() {
                    for (level, bytes) in working_sets(options.sizes, *threads) {
                        let rate = bandwidth(team, widest, stream, bytes, options.sample);
                        let threads = *threads;
                        roofline.bandwidth.push(Bandwidth { stream, threads, bytes, level, rate });
                    }
                }
                for isa in options.isas.iter().copied().filter(|isa| *isa != Isa::Portable) {
                    for fma in Fma::ALL {
                        let rate = arithmetic(team, isa, fma, options.sample);
                        roofline.arithmetic.push(Arithmetic { fma, isa, threads: *threads, rate });
                    }
                }
            });
        }
        roofline
    }

    /// A quick measurement for an instruction set and a number of threads, made once a process for each.
    #[must_use]
    pub fn quick(isa: Isa, threads: usize) -> Roofline {
        type Measured = Vec<((Isa, usize), Roofline)>;
        static MEASURED: ForkLock<Measured> = ForkLock::new();
        MEASURED.with(|measured| {
            if let Some((_, roofline)) = measured.iter().find(|(key, _)| *key == (isa, threads)) {
                return roofline.clone();
            }
            let sample = Duration::from_millis(1);
            // The fastest loops there are.
            let streams = vec![Stream::Read, Stream::Update];
            let options = Options { threads: vec![threads], isas: vec![isa], streams, sizes: 1, sample };
            let roofline = Roofline::measure(&options);
            measured.push(((isa, threads), roofline.clone()));
            roofline
        })
    }

    /// The fastest that any loop moves `bytes` bytes of a working set of that size, in bytes a nanosecond.
    #[must_use]
    pub fn bandwidth_at(&self, bytes: usize) -> f64 {
        let fits = self.bandwidth.iter().filter(|b| b.bytes >= bytes).map(|b| b.bytes).min();
        let size = fits.or_else(|| self.bandwidth.iter().map(|b| b.bytes).max()).unwrap_or(0);
        let rates = self.bandwidth.iter().filter(|b| b.bytes == size).map(|b| b.rate);
        rates.fold(0.0, f64::max)
    }

    /// The peak of f32 or f64, in floating-point operations a nanosecond; 0 if it was not measured.
    #[must_use]
    pub fn arithmetic_of(&self, fma: Fma) -> f64 {
        self.arithmetic.iter().filter(|a| a.fma == fma).map(|a| a.rate).fold(0.0, f64::max)
    }
}

/// Sizes in bytes that lie well inside each level, and one that fits into none.
fn working_sets(sizes: usize, threads: usize) -> Vec<(&'static str, usize)> {
    let Caches { l1d, l2, l3 } = Caches::detect();
    let levels = [("L1", l1d * threads, 0), ("L2", l2 * threads, l1d * threads), ("L3", l3, l2 * threads)];
    let mut sets = Vec::new();
    for (level, holds, below) in levels.into_iter().filter(|(_, holds, below)| *holds > 2 * *below) {
        for step in (0..sizes).rev() {
            // Half the level, a quarter, …, as long as the level below does not hold it.
            let bytes = holds >> (step + 1);
            if bytes > below + below / 2 {
                sets.push((level, bytes));
            }
        }
    }
    sets.push(("memory", 4 * l3.max(8 << 20)));
    sets
}

fn bandwidth(team: &Team<'_>, isa: Isa, stream: Stream, bytes: usize, sample: Duration) -> f64 {
    let operands = stream.operands();
    let count = operands.iter().filter(|has| **has).count();
    let len = (bytes / 4 / count / BLOCK).max(team.threads()) * BLOCK;
    let [x, y, mut z] = operands.map(|has| vec![Line([0.0; 16]); if has { len / 16 } else { 0 }]);
    let moved = (len * 4 * stream.moves()) as f64;
    let batch = if bytes < 1 << 20 { 8 } else { 1 };
    moved * best(sample, batch, || stream.run(team, isa, floats(&x), floats(&y), floats_mut(&mut z)))
}

fn arithmetic(team: &Team<'_>, isa: Isa, fma: Fma, sample: Duration) -> f64 {
    const STEPS: usize = 10_000;
    let mut flops = 0.0;
    let rate = best(sample, 1, || flops = fma.run(team, isa, STEPS));
    flops * rate
}

/// Runs a nanosecond, in the best of five samples. The clock is looked at after every `batch` runs.
fn best(sample: Duration, batch: u32, mut run: impl FnMut()) -> f64 {
    run();
    let mut best = 0.0f64;
    for _ in 0..5 {
        let (start, mut runs) = (Instant::now(), 0u32);
        let elapsed = loop {
            (0..batch).for_each(|_| run());
            runs += batch;
            let elapsed = start.elapsed();
            if elapsed >= sample {
                break elapsed;
            }
        };
        best = best.max(f64::from(runs) / elapsed.as_nanos() as f64);
    }
    best
}

/// A cache line, so that operands are aligned as an arena's buffers are.
#[derive(Clone, Copy)]
#[repr(C, align(64))]
struct Line([f32; 16]);

fn floats(lines: &[Line]) -> &[f32] {
    // SAFETY: a line is 16 numbers without padding.
    unsafe { std::slice::from_raw_parts(lines.as_ptr().cast(), 16 * lines.len()) }
}

fn floats_mut(lines: &mut [Line]) -> &mut [f32] {
    // SAFETY: as above.
    unsafe { std::slice::from_raw_parts_mut(lines.as_mut_ptr().cast(), 16 * lines.len()) }
}
