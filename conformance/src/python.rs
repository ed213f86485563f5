//! Cases as generated Python source: written to a folder, run by one process of the framework's Python, read back and held
//! to the reference interpreter as any backend's results are.

use crate::compare::{Difference, compare};
use crate::{Case, Primal, Scale, Tolerance};
use serde_json::{Value as Json, json};
use std::collections::HashSet;
use std::fmt::Write as _;
use std::fs;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use wootz_ir::ops::{Composite, Control, EvalError, Linalg, Segment, SegmentKind, Unary};
use wootz_ir::{DType, Graph, HostTensor, Op, TensorType, eval};
use wootz_passes::Optimize;
use wootz_pycode::{Framework, Options, Source, emit, has_64_bits, optimize};

/// The program that runs the cases.
const RUNNER: &str = include_str!("../python/run_cases.py");

/// What came of running cases.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PythonReport {
    /// How many sources were run.
    pub run: usize,
    /// Cases that the framework cannot run, with the reason it gives.
    pub unsupported: Vec<String>,
    /// What was wrong, a source each.
    pub failed: Vec<String>,
}

/// A source that is run, and what must come out.
struct Job {
    name: String,
    /// Of several, any.
    expected: Vec<Vec<HostTensor>>,
    outputs: Vec<String>,
    tolerance: Tolerance,
    text: String,
    /// Whether it has 64-bit types, which JAX has to be told of.
    wide: bool,
    /// What the runner is told.
    request: Json,
}

/// Derivatives that a framework does not take by itself, with the reason.
fn left_out(framework: Framework, primal: &Primal) -> Option<&'static str> {
    let has = |wanted: fn(&Op) -> bool| primal.graph.body.nodes().iter().any(|node| wanted(&node.op));
    let endless = |op: &Op| matches!(op, Op::Control(Control::While { .. }));
    let product = |op: &Op| matches!(op, Op::Segment(Segment { kind: SegmentKind::Prod, .. }));
    let segments = |op: &Op| matches!(op, Op::Segment(_));
    let symmetric = |op: &Op| matches!(op, Op::Linalg(Linalg::Cholesky));
    let weighted = |op: &Op| match op {
        Op::Composite(Composite::CrossEntropy { weighted, .. }) => *weighted,
        Op::Composite(Composite::NegativeLogLikelihood { weighted, .. }) => *weighted,
        _ => false,
    };
    let empty = |ty: &TensorType| ty.shape.count() == Some(0);
    let gives_nothing = || (0..primal.graph.outputs.len()).any(|i| empty(primal.graph.output_type(i)));
    let has_nothing = || {
        let body = &primal.graph.body;
        let mut values =
            body.nodes().iter().flat_map(|node| node.inputs.iter().copied().chain(node.outputs()));
        values.any(|value| empty(body.ty(value)))
    };
    match framework {
        Framework::Numpy => Some("NumPy takes no derivatives"),
        _ if has(symmetric) => Some("which of two equal elements takes the derivative is a convention"),
        Framework::Jax if has(endless) => {
            Some("JAX takes no reverse derivative of a loop without a known end")
        }
        Framework::Jax | Framework::Mlx if has(product) => {
            Some("JAX and MLX take no derivative of the product of what may be added to one place")
        }
        Framework::Jax if has(segments) && gives_nothing() => {
            Some("JAX takes no derivative of reads from nothing")
        }
        Framework::Torch if has(weighted) => Some("PyTorch takes no derivative by the weights of classes"),
        Framework::Mlx if has_nothing() => {
            Some("MLX crashes or hangs in derivatives of arrays without elements")
        }
        Framework::Jax | Framework::Torch | Framework::Mlx => None,
    }
}

/// Runs every case at these optimisation levels in processes of `python`, which has the framework: as many as there are
/// processors. Levels that give the same source are run once.
pub fn run_python(
    python: &Path,
    framework: Framework,
    levels: &[Optimize],
    cases: &[Case],
) -> io::Result<PythonReport> {
    let folder = tempfile::tempdir()?;
    let mut report = PythonReport::default();
    let mut jobs = export(folder.path(), framework, levels, cases, &mut report)?;
    // What runs as one program has to agree about 64-bit types; equal sources are compiled once.
    jobs.sort_by_cached_key(|job| (job.wide, job.text.clone(), job.request["derivative"].to_string()));
    fs::write(folder.path().join("run_cases.py"), RUNNER)?;
    let count = thread::available_parallelism().map_or(1, |n| n.get());
    let mut parts: Vec<(PathBuf, Vec<Job>)> =
        (0..count).map(|i| (folder.path().join(format!("part-{i}")), Vec::new())).collect();
    let mut part = 0;
    for job in jobs {
        if parts[part].1.last().is_some_and(|last| last.text != job.text) {
            part = (part + 1) % count;
        }
        parts[part].1.push(job);
    }
    let running: Vec<Child> = parts
        .iter()
        .map(|(part, jobs)| start(python, framework, folder.path(), part, jobs))
        .collect::<io::Result<_>>()?;
    for ((part, jobs), process) in parts.iter().zip(running) {
        finish(process, part, jobs, &mut report)?;
    }
    Ok(report)
}

/// Starts a process on some of the jobs.
fn start(python: &Path, framework: Framework, folder: &Path, part: &Path, jobs: &[Job]) -> io::Result<Child> {
    fs::create_dir(part)?;
    let mut manifest = io::BufWriter::new(fs::File::create(part.join("cases.jsonl"))?);
    for job in jobs {
        writeln!(manifest, "{}", job.request)?;
    }
    manifest.flush()?;
    Command::new(python)
        .arg(folder.join("run_cases.py"))
        .arg(framework.name())
        .arg(folder.join("cases.bin"))
        .arg(part)
        // Thousands of small programs: what counts is how fast XLA compiles them.
        .env("XLA_FLAGS", "--xla_backend_optimization_level=0 --xla_llvm_disable_expensive_passes=true")
        .stdout(Stdio::null())
        .stderr(fs::File::create(part.join("errors.txt"))?)
        .spawn()
}

/// Waits for a process and holds its results to the reference.
fn finish(mut process: Child, part: &Path, jobs: &[Job], report: &mut PythonReport) -> io::Result<()> {
    let status = process.wait()?;
    let results = fs::read_to_string(part.join("results.jsonl")).unwrap_or_default();
    let bytes = fs::read(part.join("results.bin")).unwrap_or_default();
    let mut done = 0;
    for (job, line) in jobs.iter().zip(results.lines()) {
        done += 1;
        if let Err(what) = check(job, line, &bytes) {
            report.failed.push(format!("{}: {what}\n{}", job.name, job.text));
        }
    }
    report.run += done;
    if !status.success() || done < jobs.len() {
        let errors = fs::read_to_string(part.join("errors.txt")).unwrap_or_default();
        let next = jobs.get(done).map_or("", |job| &job.name);
        report.failed.push(format!(
            "{} of {} sources gave no result, `{next}` the first of them ({status})\n{errors}",
            jobs.len() - done,
            jobs.len()
        ));
    }
    Ok(())
}

/// Writes the sources of all cases, and their arguments to a file.
fn export(
    folder: &Path,
    framework: Framework,
    levels: &[Optimize],
    cases: &[Case],
    report: &mut PythonReport,
) -> io::Result<Vec<Job>> {
    let mut tensors =
        Tensors { file: io::BufWriter::new(fs::File::create(folder.join("cases.bin"))?), written: 0 };
    let mut jobs = Vec::new();
    for case in cases {
        let expected = match references(framework, case) {
            Ok(expected) => expected,
            Err(error) => {
                report.failed.push(format!("{}: the reference: {error}", case.name));
                continue;
            }
        };
        let mut inputs = Vec::new();
        for (input, tensor) in case.graph.inputs.iter().zip(&case.inputs) {
            inputs.push(json!({
                "name": &*input.name, "role": input.role.name(), "tensor": tensors.put(tensor)?
            }));
        }
        let mut seen = HashSet::new();
        for level in levels {
            let source = match written(&case.graph, *level, &Options::new(framework)) {
                Ok(source) => source,
                Err(Failure::Unsupported(why)) => {
                    report.unsupported.push(format!("{}: {why}", case.name));
                    break;
                }
                Err(Failure::Error(why)) => {
                    report.failed.push(format!("{}, level {level:?}: {why}", case.name));
                    continue;
                }
            };
            if seen.insert(source.text.clone()) {
                let tolerance = tolerance(framework, case);
                jobs.push(job(case, *level, source, &inputs, &expected, tolerance));
            }
        }
        let Some(primal) = &case.derivative_of else { continue };
        if left_out(framework, primal).is_some() {
            continue;
        }
        let name = format!("{}, taken by {framework}", case.name);
        match written(&primal.graph, Optimize::Full, &Options::new(framework)) {
            Ok(source) => jobs.push(taken(framework, name, case, primal, source, &inputs, &expected)),
            Err(Failure::Unsupported(why)) => report.unsupported.push(format!("{name}: {why}")),
            Err(Failure::Error(why)) => report.failed.push(format!("{name}: {why}")),
        }
    }
    tensors.file.flush()?;
    Ok(jobs)
}

fn job(
    case: &Case,
    level: Optimize,
    source: Source,
    inputs: &[Json],
    expected: &[Vec<HostTensor>],
    tolerance: Tolerance,
) -> Job {
    let outputs: Vec<Json> = case
        .graph
        .outputs
        .iter()
        .map(|o| json!({"name": &*o.name, "held": o.alias.map(|i| &*case.graph.inputs[i].name)}))
        .collect();
    let wide = has_64_bits(&case.graph.body);
    let request = json!({
        "source": source.text,
        "function": source.function,
        "held": source.held,
        "inputs": inputs,
        "outputs": outputs,
        "wide": wide,
    });
    Job {
        name: format!("{}, level {level:?}", case.name),
        expected: expected.to_vec(),
        outputs: case.graph.outputs.iter().map(|o| o.name.to_string()).collect(),
        tolerance,
        text: source.text,
        wide,
        request,
    }
}

/// The derivative that a framework takes of a source.
fn taken(
    framework: Framework,
    name: String,
    case: &Case,
    primal: &Primal,
    source: Source,
    inputs: &[Json],
    expected: &[Vec<HostTensor>],
) -> Job {
    let given = primal.graph.inputs.len();
    let cotangents = case.graph.inputs[given..].iter().map(|input| input.name.trim_start_matches("ct."));
    let gradients = case.graph.outputs[primal.graph.outputs.len()..].iter().map(|output| &*output.name);
    let wide = has_64_bits(&primal.graph.body);
    let outputs: Vec<String> = case.graph.outputs.iter().map(|o| o.name.to_string()).collect();
    let request = json!({
        "source": source.text,
        "function": source.function,
        "held": source.held,
        "inputs": inputs,
        "outputs": outputs.iter().map(|name| json!({"name": name})).collect::<Vec<_>>(),
        "wide": wide,
        "derivative": {
            "wrt": primal.wrt,
            "given": given,
            "outputs": cotangents.collect::<Vec<_>>(),
            "gradients": gradients.collect::<Vec<_>>(),
        },
    });
    let (expected, tolerance) = (expected.to_vec(), tolerance_taken(framework, case, primal));
    Job { name, expected, outputs, tolerance, text: source.text, wide, request }
}

/// What may come out. XLA's code takes subnormal operands as zeros, most of the time: for JAX both are right.
fn references(framework: Framework, case: &Case) -> Result<Vec<Vec<HostTensor>>, EvalError> {
    let exact = eval::region(&case.graph.body, &case.inputs)?;
    if framework != Framework::Jax {
        return Ok(vec![exact]);
    }
    let flushed = |tensor: &HostTensor| {
        let smallest = match tensor.dtype() {
            DType::F64 => f64::MIN_POSITIVE,
            DType::F32 | DType::BF16 => f64::from(f32::MIN_POSITIVE),
            _ => return tensor.clone(),
        };
        let values = tensor.to_f64();
        if values.iter().all(|x| *x == 0.0 || x.is_nan() || x.abs() >= smallest) {
            return tensor.clone();
        }
        let values: Vec<f64> =
            values.into_iter().map(|x| if x.abs() < smallest { 0f64.copysign(x) } else { x }).collect();
        HostTensor::from_f64(tensor.dtype(), tensor.dims(), &values)
    };
    let inputs: Vec<HostTensor> = case.inputs.iter().map(flushed).collect();
    if inputs == case.inputs {
        return Ok(vec![exact]);
    }
    Ok(vec![eval::region(&case.graph.body, &inputs)?, exact])
}

/// How far floats may be off. XLA's lgamma is as accurate as the terms of a sum, and so not relative to its zeros at 1 and 2.
fn tolerance(framework: Framework, case: &Case) -> Tolerance {
    match framework == Framework::Jax && has(&case.graph, Unary::Lgamma) {
        true => Tolerance { scale: Scale::Tensor, ..case.tolerance },
        false => case.tolerance,
    }
}

/// The same for a derivative that the framework takes. PyTorch's of ψ has nine digits.
fn tolerance_taken(framework: Framework, case: &Case, primal: &Primal) -> Tolerance {
    let tolerance = tolerance(framework, case);
    let digamma = framework == Framework::Torch && has(&primal.graph, Unary::Digamma);
    Tolerance { factor: tolerance.factor * if digamma { 1e3 } else { 1.0 }, ..tolerance }
}

fn has(graph: &Graph, op: Unary) -> bool {
    graph.body.nodes().iter().any(|node| node.op == Op::Unary(op))
}

enum Failure {
    Unsupported(String),
    Error(String),
}

fn written(graph: &Graph, level: Optimize, options: &Options) -> Result<Source, Failure> {
    let graph =
        optimize(graph, level, options.framework).map_err(|error| Failure::Error(error.to_string()))?;
    emit(&graph, options).map_err(|error| match error {
        wootz_pycode::EmitError::DType { .. } => Failure::Unsupported(error.to_string()),
        error => Failure::Error(error.to_string()),
    })
}

/// The tensors of all cases in one file.
struct Tensors<W> {
    file: W,
    written: usize,
}

impl<W: io::Write> Tensors<W> {
    fn put(&mut self, tensor: &HostTensor) -> io::Result<Json> {
        let entry = json!({"dtype": tensor.dtype().name(), "dims": tensor.dims(), "at": self.written});
        self.file.write_all(tensor.as_bytes())?;
        self.written += tensor.as_bytes().len();
        Ok(entry)
    }
}

/// Holds one line of results to the reference.
fn check(job: &Job, line: &str, bytes: &[u8]) -> Result<(), String> {
    let result: Json = serde_json::from_str(line).map_err(|error| error.to_string())?;
    if let Some(error) = result["error"].as_str() {
        return Err(error.to_owned());
    }
    let mut faults = String::new();
    for (i, name) in job.outputs.iter().enumerate() {
        let got = tensor(&result["outputs"][i], bytes)
            .ok_or_else(|| format!("output `{name}` is unreadable: {line}"))?;
        let differences: Vec<Difference> = job
            .expected
            .iter()
            .map_while(|expected| compare(&expected[i], &got, &job.tolerance).err())
            .collect();
        if differences.len() == job.expected.len() {
            let _ = writeln!(faults, "output `{name}`: {}", differences[0]);
        }
    }
    if faults.is_empty() { Ok(()) } else { Err(faults) }
}

fn tensor(entry: &Json, bytes: &[u8]) -> Option<HostTensor> {
    let dtype: DType = entry["dtype"].as_str()?.parse().ok()?;
    let dims: Vec<usize> =
        entry["dims"].as_array()?.iter().map(|d| d.as_u64().map(|d| d as usize)).collect::<Option<_>>()?;
    let at = usize::try_from(entry["at"].as_u64()?).ok()?;
    let length = dims.iter().product::<usize>() * dtype.size();
    HostTensor::from_bytes(dtype, &dims, bytes.get(at..at + length)?).ok()
}
