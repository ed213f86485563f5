//! The largest error of elementwise functions of f32, in units of the last place, over all 2³² operands (or every n-th).
//!
//! `cargo xtask math-accuracy [--stride N] [--threads N] [FUNCTION…]`. Fails if an error exceeds 2 units.

use std::io::IsTerminal;
use std::sync::atomic::{AtomicU64, Ordering};
use wootz_cpu::Cpu;
use wootz_ir::eval::special;
use wootz_ir::{DType, HostTensor, text};
use wootz_passes::Optimize;
use wootz_runtime::{Backend, BackendOptions, Bindings, Stages};

type Failure = Box<dyn std::error::Error + Send + Sync>;

/// Operands of one run.
const CHUNK: u64 = 1 << 16;
/// The largest error that passes.
const BOUND: f64 = 2.0;

/// A function's name and the f64 function that it is compared with.
type Function = (&'static str, fn(f64) -> f64);

/// Functions; the references' own errors are far below a unit of f32.
const FUNCTIONS: [Function; 17] = [
    ("exp", libm::exp),
    ("expm1", libm::expm1),
    ("log", libm::log),
    ("log1p", libm::log1p),
    ("sqrt", libm::sqrt),
    ("rsqrt", |x| 1.0 / libm::sqrt(x)),
    ("tanh", libm::tanh),
    ("sigmoid", special::sigmoid),
    ("erf", libm::erf),
    ("erfc", libm::erfc),
    ("erfinv", special::erfinv),
    ("sin", libm::sin),
    ("cos", libm::cos),
    ("tan", libm::tan),
    ("lgamma", libm::lgamma),
    ("digamma", special::digamma),
    ("polygamma[order=1]", |x| special::polygamma(1, x)),
];

struct Memory {
    input: HostTensor,
    output: HostTensor,
}

impl Bindings for Memory {
    fn input(&self, _: usize) -> &[u8] {
        self.input.as_bytes()
    }

    fn output(&mut self, _: usize) -> &mut [u8] {
        self.output.bytes_mut()
    }
}

/// The error in units of the last place of the exact value; infinite for a wrong infinity, NaN or sign of zero.
fn ulps(got: f32, want: f64) -> f64 {
    let near = want as f32;
    let same = got == near && got.is_sign_negative() == near.is_sign_negative();
    if same || (got.is_nan() && near.is_nan()) {
        return if near == 0.0 || !near.is_finite() {
            0.0
        } else {
            (f64::from(got) - want).abs() / unit(want)
        };
    }
    // Beyond the largest number, and below the smallest, the nearest one is as good.
    let edge = near.is_infinite() && want.is_finite() && got == f32::MAX.copysign(near);
    let error = (f64::from(got) - want).abs() / unit(want);
    let wrong_zero = got == 0.0 && near == 0.0;
    if edge {
        1.0
    } else if near.is_infinite() || wrong_zero || error.is_nan() {
        f64::INFINITY
    } else {
        error
    }
}

fn unit(want: f64) -> f64 {
    let exponent = (want.abs().to_bits() >> 52) as i32 - 1023;
    2f64.powi((exponent - 23).max(-149))
}

/// The largest error and its operand, of the operands that `next` deals out.
fn search(
    name: &str,
    oracle: fn(f64) -> f64,
    stride: u64,
    next: &AtomicU64,
    progress: bool,
) -> Result<(f64, f32), Failure> {
    let source = format!("graph(%x: f32[{CHUNK}] = input \"x\") {{ %a = {name} %x return \"y\" = %a }}");
    let graph = text::parse(&source)?;
    let options = BackendOptions { threads: Some(1) };
    let backend = Cpu::default();
    let graph = wootz_passes::run(&graph, Optimize::None, &backend.target(), &mut |_, _| {})?;
    let executable = backend.compile(&graph, &options, &mut Stages::default())?;
    let zeros = HostTensor::zeros(DType::F32, &[CHUNK as usize])?;
    let mut memory = Memory { input: zeros.clone(), output: zeros };
    let prepared = executable.prepare(&[None])?;
    let mut instance = executable.instance()?;
    let mut worst = (0.0, 0.0);
    loop {
        let start = next.fetch_add(CHUNK * stride, Ordering::Relaxed);
        if start >= 1 << 32 {
            return Ok(worst);
        }
        let operand = |i: usize| f32::from_bits((start + i as u64 * stride) as u32);
        for (i, bytes) in memory.input.bytes_mut().chunks_exact_mut(4).enumerate() {
            bytes.copy_from_slice(&operand(i).to_le_bytes());
        }
        instance.run(&prepared, &mut memory)?;
        for (i, bytes) in memory.output.as_bytes().chunks_exact(4).enumerate() {
            let got = f32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]);
            let error = ulps(got, oracle(operand(i).into()));
            if error > worst.0 {
                worst = (error, operand(i));
            }
        }
        if progress {
            eprint!("\r{name}: {:.1} % ", start as f64 / (1u64 << 32) as f64 * 100.0);
        }
    }
}

fn check(name: &str, oracle: fn(f64) -> f64, stride: u64, threads: usize) -> Result<(f64, f32), Failure> {
    let next = AtomicU64::new(0);
    let terminal = std::io::stderr().is_terminal();
    let found = std::thread::scope(|scope| {
        let workers: Vec<_> = (0..threads)
            .map(|i| {
                let next = &next;
                scope.spawn(move || search(name, oracle, stride, next, terminal && i == 0))
            })
            .collect();
        workers
            .into_iter()
            .map(|worker| worker.join().map_err(|_| "a thread panicked")?)
            .collect::<Result<Vec<_>, Failure>>()
    })?;
    if terminal {
        eprint!("\r");
    }
    Ok(found.into_iter().fold((0.0, 0.0), |worst, new| if new.0 > worst.0 { new } else { worst }))
}

fn main() -> Result<(), Failure> {
    let mut args = std::env::args().skip(1).peekable();
    let mut number = |flag: &str, default: usize| -> Result<usize, Failure> {
        match args.next_if(|a| a == flag) {
            Some(_) => Ok(args.next().ok_or_else(|| format!("{flag} needs a number"))?.parse()?),
            None => Ok(default),
        }
    };
    let stride = number("--stride", 1)?.max(1) as u64;
    let threads = number("--threads", std::thread::available_parallelism()?.get())?.max(1);
    let names: Vec<String> = args.collect();
    if let Some(unknown) = names.iter().find(|n| FUNCTIONS.iter().all(|(name, _)| name != n)) {
        let known: Vec<&str> = FUNCTIONS.iter().map(|(name, _)| *name).collect();
        return Err(format!("`{unknown}` is not one of {}", known.join(", ")).into());
    }
    println!("on {}", Cpu::default().target().isa);
    let mut above = Vec::new();
    for (name, oracle) in FUNCTIONS {
        if names.is_empty() || names.iter().any(|n| n == name) {
            let (error, x) = check(name, oracle, stride, threads)?;
            println!("{name}: {error:.3} units at {x:e} (0x{:08x})", x.to_bits());
            above.extend((error > BOUND).then_some(name));
        }
    }
    if above.is_empty() { Ok(()) } else { Err(format!("above {BOUND} units: {}", above.join(", ")).into()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn some_operands_of_every_function() {
        for (name, oracle) in FUNCTIONS {
            let (error, x) = check(name, oracle, 65_537, 1).unwrap_or_else(|error| panic!("{name}: {error}"));
            assert!(error <= BOUND, "{name}: {error} units at {x:e}");
        }
    }
}
