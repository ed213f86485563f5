//! The comparison of a plan with its graph.

use crate::machine::Machine;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use wootz_ir::{DType, Graph, HostTensor, Input, Output, Region, Role, Target, eval, text};
use wootz_passes::Optimize;
use wootz_plan::{Plan, lower};

pub(crate) fn target() -> Target {
    Target {
        backend: "test",
        isa: "",
        dtypes: DType::ALL.to_vec(),
        claims: vec![],
        panel: 64,
        caches: [32 << 10, 1 << 20, 32 << 20],
        differentiable: false,
    }
}

/// A graph of inputs with these roles and outputs with these aliases.
pub(crate) fn graph(body: Region, roles: &[Role], aliases: &[Option<usize>]) -> Graph {
    let input = |i: usize| Input {
        name: format!("in{i}").into(),
        role: roles.get(i).copied().unwrap_or(Role::Input),
    };
    let output =
        |i: usize| Output { name: format!("out{i}").into(), alias: aliases.get(i).copied().flatten() };
    Graph {
        inputs: (0..body.params().len()).map(input).collect(),
        outputs: (0..body.results().len()).map(output).collect(),
        body: Arc::new(body),
    }
}

pub(crate) fn optimized(graph: &Graph, level: Optimize) -> Graph {
    wootz_passes::run(graph, level, &target(), &mut |_, _| {}).unwrap()
}

/// How far results may be from the reference, relative to the largest element.
#[derive(Copy, Clone, PartialEq)]
pub(crate) enum Tolerance {
    /// Sums are in another order.
    Order,
    /// 16-bit floats keep more precision inside a kernel.
    Excess,
}

impl Tolerance {
    fn of(self, dtype: DType) -> f64 {
        let order: f64 = match dtype {
            DType::F64 => 1e-11,
            DType::F32 => 1e-5,
            DType::F16 => 4e-3,
            DType::BF16 => 3e-2,
            _ => return 0.0,
        };
        if self == Tolerance::Excess { order.max(3e-2) } else { order }
    }
}

/// Why `got` is not `expected`.
fn difference(got: &HostTensor, expected: &HostTensor, tolerance: Tolerance) -> Option<String> {
    if got.ty() != expected.ty() {
        return Some(format!("{} is not {}", got.ty(), expected.ty()));
    }
    if !got.dtype().is_float() {
        return (got != expected).then(|| format!("{:?} is not {:?}", got.to_i64(), expected.to_i64()));
    }
    let (got, expected, relative) = (got.to_f64(), expected.to_f64(), tolerance.of(got.dtype()));
    let finite = expected.iter().filter(|x| x.is_finite());
    let scale = finite.fold(1e-3f64, |m, x| m.max(x.abs()));
    let close = |x: f64, y: f64| {
        x == y || x.is_nan() && y.is_nan() || (x - y).abs() <= relative * scale && y.is_finite()
    };
    let same = got.iter().zip(&expected).all(|(x, y)| close(*x, *y));
    (!same).then(|| format!("{got:?} is not {expected:?}"))
}

/// Lowers a graph and runs its plan `runs` times, outputs that take over an input feeding it; compares every run.
pub(crate) fn check(graph: &Graph, args: &[HostTensor], runs: usize, tolerance: Tolerance) -> Plan {
    let plan = lower(graph, &target()).unwrap();
    let context = || format!("\n{}\n{plan}", text::print(graph));
    let compared = catch_unwind(AssertUnwindSafe(|| {
        let mut machine = Machine::new(graph, &plan);
        machine.prepare(args);
        let mut args = args.to_vec();
        for run in 0..runs {
            let expected = eval::region(&graph.body, &args).unwrap();
            let got = machine.run(&args);
            for (i, (got, expected)) in got.iter().zip(&expected).enumerate() {
                if let Some(difference) = difference(got, expected, tolerance) {
                    panic!("run {run}, output {i}: {difference}");
                }
            }
            for (output, value) in graph.outputs.iter().zip(expected) {
                if let Some(input) = output.alias {
                    args[input] = value;
                }
            }
        }
    }));
    if let Err(panic) = compared {
        let message = panic.downcast_ref::<String>().map(String::as_str);
        let message =
            message.or(panic.downcast_ref::<&str>().copied()).unwrap_or("a panic without a message");
        panic!("{message}{}", context());
    }
    plan
}
