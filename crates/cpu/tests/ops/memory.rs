//! What is prepared of parameters, and memory that is not aligned.

use crate::support::compile as compile_graph;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use wootz_cpu::Cpu;
use wootz_cpu::isa::Isa;
use wootz_ir::{DType, Dims, Graph, HostTensor, Target, text};
use wootz_passes::Optimize;
use wootz_runtime::{
    Backend, BackendError, BackendOptions, Bindings, Definition, Description, Executable, Instance, Options,
    Params, Prepared, Stages, Unavailable,
};

/// The CPU, counting how often something is prepared.
struct Counting(Arc<AtomicUsize>);

struct Counted {
    inner: Arc<dyn Executable>,
    count: Arc<AtomicUsize>,
}

impl Backend for Counting {
    fn name(&self) -> &'static str {
        "counting"
    }

    fn check(&self) -> Result<(), Unavailable> {
        Cpu::default().check()
    }

    fn target(&self) -> Target {
        Target { backend: self.name(), ..Cpu::default().target() }
    }

    fn compile(
        &self,
        graph: &Graph,
        options: &BackendOptions,
        stages: &mut Stages,
    ) -> Result<Arc<dyn Executable>, BackendError> {
        let inner = Cpu::default().compile(graph, options, stages)?;
        Ok(Arc::new(Counted { inner, count: self.0.clone() }))
    }
}

impl Executable for Counted {
    fn describe(&self) -> Description {
        self.inner.describe()
    }

    fn source(&self) -> String {
        self.inner.source()
    }

    fn fingerprint(&self) -> u128 {
        self.inner.fingerprint()
    }

    fn reads(&self, input: usize) -> bool {
        self.inner.reads(input)
    }

    fn prepares(&self, input: usize) -> bool {
        self.inner.prepares(input)
    }

    fn prepare(&self, params: &[Option<HostTensor>]) -> Result<Prepared, BackendError> {
        self.count.fetch_add(1, Ordering::Relaxed);
        self.inner.prepare(params)
    }

    fn instance(&self) -> Result<Box<dyn Instance>, BackendError> {
        self.inner.instance()
    }
}

fn tensor(dims: &[usize]) -> HostTensor {
    let values: Vec<f64> = (0..dims.iter().product::<usize>()).map(|i| (i % 13) as f64 - 6.0).collect();
    HostTensor::from_f64(DType::F32, dims, &values)
}

/// A product with a packed matrix, of `rows` rows; the order of the parameters is that of `inputs`.
fn layer(rows: usize, inputs: &str) -> Definition {
    let graph = format!(
        r#"graph({inputs}) {{
             %p = dot[lhs_batch=[], rhs_batch=[], lhs_contract=[1], rhs_contract=[0]] %x, %w
             %c = broadcast[shape=[{rows}, 48], axes=[1]] %b
             %y = add %p, %c
             return "y" = %y
           }}"#
    );
    text::parse(&graph).expect("well formed").into()
}

#[test]
fn programs_of_several_batch_sizes_share_what_is_prepared() {
    let count = Arc::new(AtomicUsize::new(0));
    let backend = Counting(count.clone());
    let params = Params::new([("w".into(), tensor(&[80, 48])), ("b".into(), tensor(&[48]))]);
    let weights = r#"%w: f32[80, 48] = param "w", %b: f32[48] = param "b""#;
    let graphs = [
        (32, format!(r#"%x: f32[32, 80] = input "x", {weights}"#)),
        (128, format!(r#"%x: f32[128, 80] = input "x", {weights}"#)),
        (64, format!(r#"{weights}, %x: f32[64, 80] = input "x""#)),
    ];
    for (rows, inputs) in &graphs {
        let program = wootz_runtime::compile(
            &layer(*rows, inputs),
            &BTreeMap::<String, Dims>::new(),
            &backend,
            &Options::default(),
        )
        .expect("compiles");
        let out = program.run(&params, &[("x", tensor(&[*rows, 80]))]).expect("runs");
        assert_eq!(out.get("y").expect("an output").dims(), [*rows, 48]);
    }
    assert_eq!(count.load(Ordering::Relaxed), 1, "prepared more than once");
    params.set("w", tensor(&[80, 48])).expect("the same type");
    let program =
        wootz_runtime::compile(&layer(32, &graphs[0].1), &BTreeMap::new(), &backend, &Options::default())
            .expect("compiles");
    program.run(&params, &[("x", tensor(&[32, 80]))]).expect("runs");
    assert_eq!(count.load(Ordering::Relaxed), 2, "a changed parameter is prepared again");
}

/// Memory that begins one byte after an aligned address.
struct Shifted {
    inputs: Vec<Vec<u8>>,
    outputs: Vec<Vec<u8>>,
}

/// Sixteen bytes more than are needed, and where the shifted part begins.
fn shifted(memory: &[u8]) -> usize {
    memory.as_ptr().align_offset(8) + 1
}

impl Bindings for Shifted {
    fn input(&self, index: usize) -> &[u8] {
        let memory = &self.inputs[index];
        let start = shifted(memory);
        &memory[start..start + memory.len() - 16]
    }

    fn output(&mut self, index: usize) -> &mut [u8] {
        let memory = &mut self.outputs[index];
        let (start, bytes) = (shifted(memory), memory.len() - 16);
        &mut memory[start..start + bytes]
    }
}

#[test]
fn memory_need_not_be_aligned() {
    let graph: Graph = text::parse(
        r#"graph(%x: f32[70] = input "x", %n: f64[5] = state "n") {
             %y = mul %x, %x
             %m = add %n, %n
             return "y" = %y, "n" = %m alias "n"
           }"#,
    )
    .expect("well formed");
    for isa in Isa::available() {
        let executable = compile_graph(&graph, Optimize::Full, isa, 1);
        let mut memory = Shifted {
            inputs: vec![vec![0; 70 * 4 + 16], vec![]],
            outputs: vec![vec![0; 70 * 4 + 16], vec![0; 5 * 8 + 16]],
        };
        let x = tensor(&[70]);
        let start = shifted(&memory.inputs[0]);
        memory.inputs[0][start..start + 280].copy_from_slice(x.as_bytes());
        for (i, bytes) in memory.output(1).chunks_exact_mut(8).enumerate() {
            bytes.copy_from_slice(&(i as f64).to_ne_bytes());
        }
        let prepared = executable.prepare(&[None, None]).expect("nothing to prepare");
        let mut instance = executable.instance().expect("memory");
        for run in 1..=2 {
            instance.run(&prepared, &mut memory).expect("runs");
            let y = HostTensor::from_bytes(DType::F32, &[70], memory.output(0)).expect("the size fits");
            assert!(y.to_f64().iter().zip(x.to_f64()).all(|(y, x)| *y == x * x));
            let n = HostTensor::from_bytes(DType::F64, &[5], memory.output(1)).expect("the size fits");
            assert!(n.to_f64().iter().enumerate().all(|(i, v)| *v == (i << run) as f64));
        }
    }
}

#[test]
fn memory_of_another_size_is_an_error() {
    let graph: Graph = text::parse(r#"graph(%x: f32[70] = input "x") { %y = mul %x, %x return "y" = %y }"#)
        .expect("well formed");
    for isa in Isa::available() {
        let executable = compile_graph(&graph, Optimize::Full, isa, 1);
        let prepared = executable.prepare(&[None]).expect("nothing to prepare");
        let mut instance = executable.instance().expect("memory");
        for (input, output) in [(69, 70), (70, 69)] {
            let vec = |elements: usize| vec![0; elements * 4 + 16];
            let mut memory = Shifted { inputs: vec![vec(input)], outputs: vec![vec(output)] };
            let error = instance.run(&prepared, &mut memory).expect_err("too short");
            assert!(error.to_string().contains("276 bytes"), "{error}");
        }
    }
}
