//! The largest error of elementwise functions of f32, in units of the last place, over all 2³² operands (or every n-th).
//!
//! `cargo run --release -p wootz-cpu --example math_accuracy -- [--stride N] [FUNCTION…]`

use std::io::IsTerminal;
use wootz_cpu::Cpu;
use wootz_ir::eval::special;
use wootz_ir::{DType, HostTensor, text};
use wootz_runtime::{Backend, BackendOptions, Bindings, Stages};

/// Operands of one run.
const CHUNK: usize = 1 << 16;

type Oracle = fn(f64) -> f64;

const FUNCTIONS: [(&str, Oracle); 18] = [
    ("exp", libm::exp),
    ("expm1", libm::expm1),
    ("log", libm::log),
    ("log1p", libm::log1p),
    ("sqrt", libm::sqrt),
    ("rsqrt", |x| 1.0 / libm::sqrt(x)),
    ("tanh", libm::tanh),
    ("erf", libm::erf),
    ("erfc", libm::erfc),
    ("erfinv", special::erfinv),
    ("sin", libm::sin),
    ("cos", libm::cos),
    ("tan", libm::tan),
    ("lgamma", libm::lgamma),
    ("digamma", special::digamma),
    ("polygamma[order=1]", |x| special::polygamma(1, x)),
    ("sign", |x| if x == 0.0 || x.is_nan() { x } else { x.signum() }),
    ("floor", f64::floor),
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
    if near.is_nan() || near.is_infinite() || near == 0.0 {
        let same = (near.is_nan() && got.is_nan())
            || (near == got && near.is_sign_negative() == got.is_sign_negative());
        let close = !near.is_nan() && (f64::from(got) - want).abs() <= 2f64.powi(-149);
        // Between the largest number and infinity.
        let edge = near.is_infinite() && want.is_finite() && got.abs() == f32::MAX;
        return if same {
            0.0
        } else if close || edge {
            1.0
        } else {
            f64::INFINITY
        };
    }
    let exponent = (want.abs().to_bits() >> 52) as i32 - 1023;
    let unit = 2f64.powi((exponent - 23).max(-149));
    let error = (f64::from(got) - want).abs() / unit;
    if error.is_nan() { f64::INFINITY } else { error }
}

fn check(name: &str, oracle: Oracle, stride: u64) -> Result<(f64, f32), Box<dyn std::error::Error>> {
    let source = format!("graph(%x: f32[{CHUNK}] = input \"x\") {{ %a = {name} %x return \"y\" = %a }}");
    let graph = text::parse(&source)?;
    let options = BackendOptions { threads: Some(1), ..Default::default() };
    let executable = Cpu::default().compile(&graph, &options, &mut Stages::default())?;
    let zeros = HostTensor::zeros(DType::F32, &[CHUNK])?;
    let mut memory = Memory { input: zeros.clone(), output: zeros };
    let prepared = executable.prepare(&[None])?;
    let mut instance = executable.instance()?;
    let mut worst = (0.0, 0.0);
    let mut next = 0u64;
    let terminal = std::io::stderr().is_terminal();
    while next < 1 << 32 {
        let start = next;
        let operand = |i: usize| f32::from_bits(start.wrapping_add(i as u64 * stride) as u32);
        for (i, bytes) in memory.input.bytes_mut().chunks_exact_mut(4).enumerate() {
            bytes.copy_from_slice(&operand(i).to_le_bytes());
        }
        instance.run(&prepared, &mut memory)?;
        for (i, bytes) in memory.output.as_bytes().chunks_exact(4).enumerate() {
            let got = f32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]);
            let x = operand(i);
            let error = ulps(got, oracle(x.into()));
            if error > worst.0 {
                worst = (error, x);
            }
        }
        next += CHUNK as u64 * stride;
        if terminal {
            eprint!("\r{name}: {:.1} %", next as f64 / (1u64 << 32) as f64 * 100.0);
        }
    }
    if terminal {
        eprint!("\r");
    }
    Ok(worst)
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut args = std::env::args().skip(1).peekable();
    let mut stride = 1;
    if args.next_if(|a| a == "--stride").is_some() {
        stride = args.next().ok_or("--stride N")?.parse()?;
    }
    let names: Vec<String> = args.collect();
    for (name, oracle) in FUNCTIONS {
        if names.is_empty() || names.iter().any(|n| n == name) {
            let (error, x) = check(name, oracle, stride)?;
            println!("{name}: {error:.3} ulp at {x:e} (0x{:08x})", x.to_bits());
        }
    }
    Ok(())
}
