//! Cases as generated Python source: written to a folder, run by one process of the framework's Python, read back and held
//! to the reference interpreter as any backend's results are.

use crate::compare::compare;
use crate::{Case, Tolerance};
use serde_json::{Value as Json, json};
use std::collections::HashSet;
use std::fmt::Write as _;
use std::fs;
use std::io::{self, Write as _};
use std::path::Path;
use std::process::Command;
use wootz_ir::ops::EvalError;
use wootz_ir::{DType, Graph, HostTensor, Region, eval};
use wootz_passes::Optimize;
use wootz_pycode::{Framework, Options, Source, emit, optimize};

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
    expected: Vec<HostTensor>,
    outputs: Vec<String>,
    tolerance: Tolerance,
    text: String,
}

/// Runs every case at these optimisation levels in one process of `python`, which has the framework. Levels that give the same
/// source are run once.
pub fn run_python(
    python: &Path,
    framework: Framework,
    levels: &[Optimize],
    cases: &[Case],
) -> io::Result<PythonReport> {
    let folder = tempfile::tempdir()?;
    let mut report = PythonReport::default();
    let jobs = export(folder.path(), framework, levels, cases, &mut report)?;
    let runner = folder.path().join("run_cases.py");
    fs::write(&runner, RUNNER)?;
    let output = Command::new(python)
        .arg(&runner)
        .arg(framework.name())
        .arg(folder.path())
        // Thousands of small programs: what counts is how fast XLA compiles them.
        .env("XLA_FLAGS", "--xla_backend_optimization_level=0 --xla_llvm_disable_expensive_passes=true")
        .output()?;
    if !output.status.success() {
        let errors = String::from_utf8_lossy(&output.stderr).into_owned();
        return Err(io::Error::other(format!("{} failed: {errors}", runner.display())));
    }
    let results = fs::read_to_string(folder.path().join("results.jsonl"))?;
    let bytes = fs::read(folder.path().join("results.bin"))?;
    for (job, line) in jobs.iter().zip(results.lines()) {
        report.run += 1;
        if let Err(what) = check(job, line, &bytes) {
            report.failed.push(format!("{}: {what}\n{}", job.name, job.text));
        }
    }
    if report.run < jobs.len() {
        report.failed.push(format!("{} of {} sources gave no result", jobs.len() - report.run, jobs.len()));
    }
    Ok(report)
}

/// Writes the sources and their arguments; gives what must come out.
fn export(
    folder: &Path,
    framework: Framework,
    levels: &[Optimize],
    cases: &[Case],
    report: &mut PythonReport,
) -> io::Result<Vec<Job>> {
    let mut manifest = io::BufWriter::new(fs::File::create(folder.join("cases.jsonl"))?);
    let mut tensors =
        Tensors { file: io::BufWriter::new(fs::File::create(folder.join("cases.bin"))?), written: 0 };
    let mut jobs = Vec::new();
    for case in cases {
        let expected = match reference(framework, case) {
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
            // Only JAX is meant to be compiled whatever the program; op by op it would compile each op as well.
            let options = Options { jit: framework == Framework::Jax, ..Options::new(framework) };
            let source = match written(&case.graph, *level, &options) {
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
            if !seen.insert(source.text.clone()) {
                continue;
            }
            let outputs: Vec<Json> = case
                .graph
                .outputs
                .iter()
                .map(|o| json!({"name": &*o.name, "held": o.alias.map(|i| &*case.graph.inputs[i].name)}))
                .collect();
            let job = json!({
                "source": source.text,
                "function": source.function,
                "held": source.held,
                "inputs": inputs,
                "outputs": outputs,
                "wide": is_wide(&case.graph.body),
            });
            writeln!(manifest, "{job}")?;
            jobs.push(Job {
                name: format!("{}, level {level:?}", case.name),
                expected: expected.clone(),
                outputs: case.graph.outputs.iter().map(|o| o.name.to_string()).collect(),
                tolerance: case.tolerance,
                text: source.text,
            });
        }
    }
    manifest.flush()?;
    tensors.file.flush()?;
    Ok(jobs)
}

/// What must come out. XLA's code takes subnormal operands as zeros: for JAX so does the reference.
fn reference(framework: Framework, case: &Case) -> Result<Vec<HostTensor>, EvalError> {
    if framework != Framework::Jax {
        return eval::region(&case.graph.body, &case.inputs);
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
    eval::region(&case.graph.body, &inputs)
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

/// Whether a program has 64-bit types, which JAX has to be told of.
fn is_wide(region: &Region) -> bool {
    let wide = |v| matches!(region.ty(v).dtype, DType::F64 | DType::I64);
    let nodes = region.nodes();
    region.params().any(wide)
        || nodes.iter().any(|n| n.outputs().any(wide) || n.op.regions().into_iter().any(|r| is_wide(r)))
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
    for (i, (expected, name)) in job.expected.iter().zip(&job.outputs).enumerate() {
        let got = tensor(&result["outputs"][i], bytes)
            .ok_or_else(|| format!("output `{name}` is unreadable: {line}"))?;
        if let Err(difference) = compare(expected, &got, &job.tolerance) {
            let _ = writeln!(faults, "output `{name}`: {difference}");
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
