//! What is small: a program of many little steps, work for two threads that barely pays, compiling itself.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use wootz::cpu::isa::Isa;
use wootz::ir::{Builder, DType, Graph, HostTensor, TensorType, TypeError, Value};
use wootz_bench::kernels::{Case, Contender, Goal, Per, uniform};

use super::cases::{Planned, at_most, base, interpret};
use super::local::wide;
use super::program::{Running, compile, f32s, graph, tensor};

pub(super) fn all(isa: Isa, threads: usize) -> Vec<Planned> {
    let mut cases = vec![Planned::new("program of 50 dependent ops on 64 f64", move |name| small(name, isa))];
    if threads > 1 {
        cases.push(Planned::new("20 us of work, several threads", move |name| shared(name, isa, threads)));
    }
    let title = "code of 30 kernels of 10 to 50 ops";
    cases.push(Planned::new(title, move |name| compiling(name, isa, threads)));
    cases
}

/// Ten rounds of five ops on an 8 × 8 matrix: scaled, shifted, bent, summed along an axis, divided by the sums.
fn small(name: String, isa: Isa) -> Result<Case, String> {
    const ROUNDS: usize = 10;
    let ty = TensorType::new(DType::F64, [8, 8]);
    let named = [("x", ty.clone()), ("weight", ty.clone()), ("bias", ty)];
    let graph = graph(&named, |b, inputs| {
        let [mut x, weight, bias] = inputs[..] else { unreachable!("there are three inputs") };
        for round in 0..ROUNDS {
            let scaled = b.mul(x, weight)?;
            let shifted = b.add(scaled, bias)?;
            let bent = b.abs(shifted)?;
            let axis = round % 2;
            let sums = b.sum(bent, &[axis])?;
            let sums = b.expand_axis(sums, axis)?;
            x = b.div(bent, sums)?;
        }
        Ok(vec![x])
    })?;
    let tensors = ["x", "weight", "bias"].map(|name| {
        let values = wide(&uniform(0, name, &[8, 8], 0.5).values);
        HostTensor::from_f64(DType::F64, &[8, 8], &values.iter().map(|x| x + 1.0).collect::<Vec<_>>())
    });
    let expected = interpret(&graph, &tensors)?;
    let mut case = base(name, 1, Per::Step, expected, 1e-13);
    case.contenders.push(Running::boxed("wootz", graph, &tensors, isa, 1)?);
    case.goals.push(Goal::Time { at_most_ns: 1500.0 });
    Ok(case)
}

/// An elementwise kernel of as many elements as one thread computes in 20 µs.
fn shared(name: String, isa: Isa, threads: usize) -> Result<Case, String> {
    const WORK_NS: f64 = 20_000.0;
    let program = |len: usize| graph(&[("x", f32s(&[len]))], |b, x| Ok(vec![b.tanh(x[0])?]));
    let mut len = 8 << 10;
    // Twice: the time an element depends a little on the length.
    for _ in 0..2 {
        let input = tensor(&uniform(0, "x", &[len], 4.0))?;
        let mut one = Running::boxed("", program(len)?, &[input], isa, 1)?;
        let times = (0..201).map(|_| {
            let start = Instant::now();
            one.step().map(|()| start.elapsed().as_nanos() as f64)
        });
        let mut times: Vec<f64> = times.collect::<Result<_, _>>()?;
        times.sort_by(f64::total_cmp);
        len = ((len as f64 * WORK_NS / times[times.len() / 2]) as usize).max(64).next_multiple_of(64);
    }
    let input = uniform(0, "x", &[len], 4.0);
    let expected = input.values.iter().map(|x| f64::from(*x).tanh()).collect();
    let mut case = base(name, threads, Per::elements(len), expected, 1e-6);
    case.contenders.push(Running::boxed("wootz", program(len)?, &[tensor(&input)?], isa, threads)?);
    case.contenders.push(Running::boxed(ONE_THREAD, program(len)?, &[tensor(&input)?], isa, 1)?);
    case.goals.push(at_most(ONE_THREAD, 1.0 / 1.6));
    Ok(case)
}

const ONE_THREAD: &str = "wootz, one thread";

fn compiling(name: String, isa: Isa, threads: usize) -> Result<Case, String> {
    let items = Per::Items { count: KERNELS as u64, unit: "kernel".to_owned() };
    let mut case = base(name, threads, items, Vec::new(), 0.0);
    case.contenders.push(Box::new(Compiling { isa, stages: CODE, threads, name: "wootz" }));
    if threads > 1 {
        case.contenders.push(Box::new(Compiling { isa, stages: CODE, threads: 1, name: ONE_THREAD }));
    }
    case.contenders.push(Box::new(Compiling { isa, stages: &[], threads, name: "all stages" }));
    case.goals.push(Goal::Time { at_most_ns: 10_000.0 });
    Ok(case)
}

/// The stages of a report that make code of a plan.
const CODE: &[&str] = &["code", "jit"];
const KERNELS: usize = 30;

/// Compiles programs that no cache has seen.
struct Compiling {
    isa: Isa,
    /// What is counted; everything if empty.
    stages: &'static [&'static str],
    /// Threads that compile, and that the program may use.
    threads: usize,
    name: &'static str,
}

impl Compiling {
    fn once(&self) -> Result<wootz::runtime::Report, String> {
        let program = compile(many_kernels().map_err(|e| e.to_string())?, self.isa, self.threads)?;
        let report = program.report();
        match report.description.kernels.len() {
            KERNELS => Ok(report),
            other => Err(format!("the program has {other} kernels instead of {KERNELS}")),
        }
    }
}

impl Contender for Compiling {
    fn name(&self) -> &str {
        self.name
    }

    fn step(&mut self) -> Result<(), String> {
        self.once().map(|_| ())
    }

    fn output(&mut self) -> Result<Option<Vec<f64>>, String> {
        Ok(None)
    }

    fn sample(&mut self, iterations: u64) -> Result<u64, String> {
        let mut total = 0;
        for _ in 0..iterations {
            let report = self.once()?;
            let counted = |name: &str| self.stages.is_empty() || self.stages.contains(&name);
            let stages = report.compiled.iter().filter(|(name, _)| counted(name));
            total += stages.map(|(_, time)| time.as_nanos() as u64).sum::<u64>();
        }
        Ok(total)
    }
}

/// Kernels of 10 to 50 ops over vectors of different lengths, too long to be joined, so that none is fused with another; a number in
/// each is new at every call, so that none was compiled before.
fn many_kernels() -> Result<Graph, TypeError> {
    static CALLS: AtomicU64 = AtomicU64::new(0);
    let unique = 1.0 + CALLS.fetch_add(1, Ordering::Relaxed) as f64 / f64::from(1u32 << 20);
    let mut b = Builder::new();
    let inputs: Vec<Value> = (0..KERNELS).map(|i| b.param(f32s(&[2048 + i]))).collect();
    let mut results = Vec::new();
    for (i, x) in inputs.iter().enumerate() {
        let ops = 10 + 40 * i / (KERNELS - 1);
        let mut y = *x;
        for op in 0..ops {
            let number = unique + (i * 64 + op) as f64 / 4096.0;
            y = match op % 10 {
                0 | 4 => b.mul_scalar(y, number)?,
                1 | 5 => b.add_scalar(y, -number)?,
                2 => b.mul(y, *x)?,
                3 => b.add(y, *x)?,
                6 => b.abs(y)?,
                7 => b.maximum(y, *x)?,
                8 => b.sub(y, *x)?,
                _ => b.tanh(y)?,
            };
        }
        results.push(y);
    }
    let name = |prefix: &str, i: usize| format!("{prefix}{i}").into();
    let role = wootz::ir::Role::Input;
    Ok(Graph {
        inputs: (0..KERNELS).map(|i| wootz::ir::Input { name: name("x", i), role }).collect(),
        outputs: (0..KERNELS).map(|i| wootz::ir::Output { name: name("y", i), alias: None }).collect(),
        body: b.finish(&results).into(),
    })
}
