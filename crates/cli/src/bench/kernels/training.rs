//! The optimizer's step over many tensors.

use std::sync::Arc;

use wootz::cpu::isa::Isa;
use wootz::cpu::yardstick::{ADAM, Stream};
use wootz::ir::{Builder, DType, Graph, HostTensor, Input, Output, Role, TensorType, TypeError, Value};
use wootz::runtime::{Bindings, Program, State};
use wootz_bench::kernels::{Case, Contender, Peer, Per, Tensor, uniform};

use super::cases::{Planned, at_most, base};
use super::local::{HAND_WRITTEN, Loop, UPDATE, bandwidth, wide, with_team};
use super::program::{compile, f32s, tensor};

pub(super) fn all(isa: Isa, threads: usize) -> Vec<Planned> {
    vec![Planned::new("Adam step, 10M parameters in 60 tensors", move |name| adam(name, isa, threads))]
}

/// Sizes of the tensors: those of ten layers of a transformer with 288 features.
fn sizes() -> Vec<usize> {
    const WIDTH: usize = 288;
    (0..10)
        .flat_map(|_| {
            [3 * WIDTH * WIDTH, WIDTH * WIDTH, 4 * WIDTH * WIDTH, 4 * WIDTH * WIDTH, WIDTH * 4, WIDTH * 8]
        })
        .collect()
}

fn adam(name: String, isa: Isa, threads: usize) -> Result<Case, String> {
    let sizes = sizes();
    let tensors = |prefix: &str, bound: f32| -> Vec<Tensor> {
        sizes.iter().enumerate().map(|(i, n)| uniform(0, &format!("{prefix}{i}"), &[*n], bound)).collect()
    };
    let (parameters, gradients) = (tensors("p", 1.0), tensors("g", 1.0));
    let total: usize = sizes.iter().sum();
    // The first step moves every parameter by the learning rate against the sign of its gradient.
    let moved = |(p, g): (&f32, &f32)| {
        let (p, g) = (f64::from(*p), f64::from(*g));
        p - f64::from(ADAM.lr) * g / (g.abs() + f64::from(ADAM.eps))
    };
    let expected =
        parameters.iter().zip(&gradients).flat_map(|(p, g)| p.values.iter().zip(&g.values).map(moved));
    let mut case = base(name, threads, Per::Bytes(7 * 4 * total as u64), expected.collect(), 1e-6);
    case.contenders.push(Box::new(Wootz::new(&parameters, &gradients, isa, threads)?));
    if isa != Isa::Portable {
        let state = Hand::new(&parameters, &gradients, isa, threads);
        case.contenders.push(Loop::boxed(HAND_WRITTEN, state, Hand::step, |s| Some(s.first.clone())));
    }
    // As many bytes: half of them read, half of them written.
    let data: Arc<[f32]> = vec![0.0; 7 * total / 2 / 64 * 64].into();
    case.contenders.push(bandwidth(Stream::Update, isa, threads, data));
    case.goals.push(at_most(UPDATE, 1.0 / 0.85));
    for (peer, operation, goal) in
        [("PyTorch fused", "adam_fused", 1.0), ("PyTorch foreach", "adam_foreach", 1.0 / 1.5)]
    {
        case.peers.push(Peer::new(peer, "pytorch", operation));
        case.goals.push(at_most(peer, goal));
    }
    case.inputs = [parameters, gradients].concat();
    Ok(case)
}

struct Hand {
    isa: Isa,
    threads: usize,
    steps: u32,
    gradients: Vec<Tensor>,
    /// Parameter and moments of each tensor.
    held: Vec<[Vec<f32>; 3]>,
    /// The parameters after the first step.
    first: Vec<f64>,
}

impl Hand {
    fn new(parameters: &[Tensor], gradients: &[Tensor], isa: Isa, threads: usize) -> Hand {
        let zeros = |p: &Tensor| vec![0.0; p.values.len()];
        let held = parameters.iter().map(|p| [p.values.clone(), zeros(p), zeros(p)]).collect();
        Hand { isa, threads, steps: 0, gradients: gradients.to_vec(), held, first: Vec::new() }
    }

    fn step(&mut self) -> Result<(), String> {
        self.steps += 1;
        let ran = with_team(self.threads, |team| {
            self.held.iter_mut().zip(&self.gradients).all(|(held, gradient)| {
                let held = held.each_mut().map(Vec::as_mut_slice);
                ADAM.step(team, self.isa, self.steps, &gradient.values, held)
            })
        });
        if self.first.is_empty() {
            self.first = self.held.iter().flat_map(|[p, _, _]| wide(p)).collect();
        }
        ran.then_some(()).ok_or_else(|| "there is no loop for the instruction set".to_owned())
    }
}

struct Wootz {
    program: Program,
    state: State,
    memory: Memory,
    /// The parameters after the first step.
    first: Vec<f64>,
    names: Vec<String>,
}

struct Memory(Vec<Option<HostTensor>>);

impl Bindings for Memory {
    fn input(&self, index: usize) -> &[u8] {
        self.0[index].as_ref().map_or(&[], HostTensor::as_bytes)
    }

    fn output(&mut self, _index: usize) -> &mut [u8] {
        &mut []
    }
}

impl Wootz {
    fn new(parameters: &[Tensor], gradients: &[Tensor], isa: Isa, threads: usize) -> Result<Wootz, String> {
        let program = compile(adam_graph(parameters, gradients).map_err(|e| e.to_string())?, isa, threads)?;
        let signature = program.signature();
        let mut held = Vec::new();
        for input in signature.inputs.iter().filter(|i| i.role != Role::Input) {
            let tensor = match parameters.iter().find(|p| *p.name == *input.name) {
                Some(p) => tensor(p)?,
                None => {
                    let dims = input.ty.shape.concrete().unwrap_or_default();
                    HostTensor::zeros(input.ty.dtype, &dims).map_err(|e| e.to_string())?
                }
            };
            held.push((input.name.clone(), tensor));
        }
        let state = State::from_tensors(signature, held).map_err(|e| e.to_string())?;
        let given = |i: &wootz::runtime::InputSpec| {
            gradients.iter().find(|g| *g.name == *i.name).map(tensor).transpose()
        };
        let memory = Memory(signature.inputs.iter().map(given).collect::<Result<_, _>>()?);
        let names = parameters.iter().map(|p| p.name.clone()).collect();
        Ok(Wootz { state, memory, first: Vec::new(), names, program })
    }
}

impl Contender for Wootz {
    fn name(&self) -> &str {
        "wootz"
    }

    fn step(&mut self) -> Result<(), String> {
        self.program.step_with(&mut self.state, &mut self.memory).map_err(|e| e.to_string())?;
        if self.first.is_empty() {
            for name in &self.names {
                self.first.extend(self.state.get(name).map_err(|e| e.to_string())?.to_f64());
            }
        }
        Ok(())
    }

    fn output(&mut self) -> Result<Option<Vec<f64>>, String> {
        Ok(Some(self.first.clone()))
    }
}

/// Adam as a program over given gradients: parameters `p…`, moments `m…` and `v…`, the counter `step`.
fn adam_graph(parameters: &[Tensor], gradients: &[Tensor]) -> Result<Graph, TypeError> {
    let mut b = Builder::new();
    let (mut inputs, mut outputs, mut results) = (Vec::new(), Vec::new(), Vec::new());
    let mut input = |b: &mut Builder, name: &str, role: Role, ty: TensorType| {
        inputs.push(Input { name: name.into(), role });
        b.param(ty)
    };
    let step = input(&mut b, "step", Role::State, TensorType::scalar(DType::I64));
    let mut all = Vec::new();
    for (i, (p, g)) in parameters.iter().zip(gradients).enumerate() {
        let ty = f32s(&p.shape);
        all.push([
            input(&mut b, &p.name, Role::Param, ty.clone()),
            input(&mut b, &format!("m{i}"), Role::State, ty.clone()),
            input(&mut b, &format!("v{i}"), Role::State, ty.clone()),
            input(&mut b, &g.name, Role::Input, ty),
        ]);
    }
    let next = b.add_scalar(step, 1.0)?;
    let t = b.cast(next, DType::F32)?;
    let corrected = |b: &mut Builder, beta: f32| -> Result<Value, TypeError> {
        let power = b.mul_scalar(t, f64::from(beta).ln())?;
        let expm1 = b.expm1(power)?;
        b.neg(expm1)
    };
    let (first, second) = (corrected(&mut b, ADAM.beta1)?, corrected(&mut b, ADAM.beta2)?);
    let lr = b.scalar(DType::F32, f64::from(ADAM.lr));
    let size = b.div(lr, first)?;
    let root = b.rsqrt(second)?;
    let mut output = |index: usize, value: Value| {
        outputs.push(Output { name: inputs[index].name.clone(), alias: Some(index) });
        results.push(value);
    };
    output(0, next);
    for (i, [p, m, v, g]) in all.into_iter().enumerate() {
        let change = b.sub(g, m)?;
        let change = b.mul_scalar(change, 1.0 - f64::from(ADAM.beta1))?;
        let m = b.add(m, change)?;
        let square = b.mul(g, g)?;
        let square = b.mul_scalar(square, 1.0 - f64::from(ADAM.beta2))?;
        let kept = b.mul_scalar(v, f64::from(ADAM.beta2))?;
        let v = b.add(kept, square)?;
        let sqrt = b.sqrt(v)?;
        let sqrt = b.mul(sqrt, root)?;
        let denominator = b.add_scalar(sqrt, f64::from(ADAM.eps))?;
        let ratio = b.div(m, denominator)?;
        let change = b.mul(ratio, size)?;
        let p = b.sub(p, change)?;
        for (k, value) in [p, m, v].into_iter().enumerate() {
            output(1 + 4 * i + k, value);
        }
    }
    Ok(Graph { inputs, outputs, body: b.finish(&results).into() })
}
