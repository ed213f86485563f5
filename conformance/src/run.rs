//! Running cases: every level, every role, several thread counts.

use crate::compare::compare;
use crate::{Case, Difference};
use std::collections::BTreeMap;
use std::fmt::Write;
use std::sync::Arc;
use wootz_ir::{Graph, HostTensor, Input, Role, eval, text};
use wootz_passes::Optimize;
use wootz_runtime::{
    Backend, BackendError, BackendOptions, CompileError, Definition, Options, Params, RunError, State,
    compile,
};

/// What came of a case that did not fail.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Every result was right.
    Passed,
    /// The backend says that it cannot run it, and why.
    Unsupported(String),
}

/// A case that a backend gets wrong.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{case}, {setting}: {what}\n{graph}")]
pub struct Mismatch {
    /// The case.
    pub case: String,
    /// The level, roles and threads.
    pub setting: String,
    /// What is wrong.
    pub what: Fault,
    /// The program, as text.
    pub graph: String,
}

/// What is wrong with a result.
#[derive(Clone, Debug, thiserror::Error)]
pub enum Fault {
    /// An output differs from the reference.
    #[error("output `{output}`: {difference}")]
    Value {
        /// The output.
        output: String,
        /// How.
        difference: Box<Difference>,
    },
    /// The bits of an output depend on the number of threads.
    #[error("output `{output}` has other bits than on one thread")]
    Threads {
        /// The output.
        output: String,
    },
    /// Compiling or running failed.
    #[error("{0}")]
    Error(String),
}

/// Runs one case on one backend against the reference interpreter:
///
/// * at every optimisation level, every input given at the run;
/// * at the highest level with every other input as a parameter, for what backends prepare;
/// * at the highest level on 1, 2 and 3 threads, which must give the same bits.
pub fn run(backend: &dyn Backend, case: &Case) -> Result<Outcome, Mismatch> {
    let expected = match eval::region(&case.graph.body, &case.inputs) {
        Ok(expected) => expected,
        Err(error) => return Err(mismatch(case, "the reference", Fault::Error(error.to_string()))),
    };
    let mixed = with_parameters(&case.graph);
    let settings = [
        ("level none", &case.graph, Optimize::None, None),
        ("level basic", &case.graph, Optimize::Basic, None),
        ("level full", &case.graph, Optimize::Full, None),
        ("level full with parameters", &mixed, Optimize::Full, None),
        ("level full on 1 thread", &case.graph, Optimize::Full, Some(1)),
        ("level full on 2 threads", &case.graph, Optimize::Full, Some(2)),
        ("level full on 3 threads", &case.graph, Optimize::Full, Some(3)),
    ];
    let mut on_one: Option<Vec<HostTensor>> = None;
    for (setting, graph, level, threads) in settings {
        let options = Options { level, nan_check: false, backend: BackendOptions { threads } };
        let got = match execute(backend, graph, &case.inputs, &options) {
            Ok(got) => got,
            Err(Failure::Unsupported(reason)) => return Ok(Outcome::Unsupported(reason)),
            Err(Failure::Error(error)) => return Err(mismatch(case, setting, Fault::Error(error))),
        };
        for (output, (expected, got)) in graph.outputs.iter().zip(expected.iter().zip(&got)) {
            compare(expected, got, &case.tolerance).map_err(|difference| {
                mismatch(
                    case,
                    setting,
                    Fault::Value { output: output.name.to_string(), difference: Box::new(difference) },
                )
            })?;
        }
        match (&on_one, threads) {
            (Some(first), Some(_)) => {
                if let Some(i) = (0..got.len()).find(|i| got[*i] != first[*i]) {
                    let output = graph.outputs[i].name.to_string();
                    return Err(mismatch(case, setting, Fault::Threads { output }));
                }
            }
            (None, Some(_)) => on_one = Some(got),
            (_, None) => {}
        }
    }
    Ok(Outcome::Passed)
}

/// Runs every case; `Err` lists all that fail. `Ok` lists those that the backend cannot run, with its reasons.
pub fn run_all(backend: &dyn Backend, cases: &[Case]) -> Result<Vec<String>, String> {
    let (mut unsupported, mut failed) = (Vec::new(), Vec::new());
    for case in cases {
        match run(backend, case) {
            Ok(Outcome::Passed) => {}
            Ok(Outcome::Unsupported(reason)) => unsupported.push(format!("{}: {reason}", case.name)),
            Err(mismatch) => failed.push(mismatch),
        }
    }
    if failed.is_empty() {
        return Ok(unsupported);
    }
    let mut report = format!("{} of {} cases fail on `{}`\n", failed.len(), cases.len(), backend.name());
    for mismatch in &failed {
        let _ = writeln!(report, "\n{mismatch}");
    }
    Err(report)
}

fn mismatch(case: &Case, setting: &str, what: Fault) -> Mismatch {
    let graph = text::print(&case.graph);
    Mismatch { case: case.name.clone(), setting: setting.to_owned(), what, graph }
}

/// The graph with every other input a parameter, from the second on. Graphs with state stay as they are.
fn with_parameters(graph: &Graph) -> Graph {
    if graph.inputs.iter().any(|i| i.role != Role::Input) {
        return graph.clone();
    }
    let role = |i: usize| if i % 2 == 1 { Role::Param } else { Role::Input };
    let input = |(i, input): (usize, &Input)| Input { name: input.name.clone(), role: role(i) };
    Graph { inputs: graph.inputs.iter().enumerate().map(input).collect(), ..graph.clone() }
}

enum Failure {
    Unsupported(String),
    Error(String),
}

impl From<CompileError> for Failure {
    fn from(error: CompileError) -> Failure {
        match error {
            CompileError::Backend(error) => error.into(),
            error => Failure::Error(error.to_string()),
        }
    }
}

impl From<RunError> for Failure {
    fn from(error: RunError) -> Failure {
        match error {
            RunError::Backend(error) => error.into(),
            error => Failure::Error(error.to_string()),
        }
    }
}

impl From<BackendError> for Failure {
    fn from(error: BackendError) -> Failure {
        match error {
            BackendError::Unsupported { .. } => Failure::Unsupported(error.to_string()),
            error => Failure::Error(error.to_string()),
        }
    }
}

/// Compiles and runs; gives the results in the order of the graph's outputs.
fn execute(
    backend: &dyn Backend,
    graph: &Graph,
    args: &[HostTensor],
    options: &Options,
) -> Result<Vec<HostTensor>, Failure> {
    let definition = Definition::from(graph.clone());
    let program = compile(&definition, &BTreeMap::new(), backend, options)?;
    let mut given = Vec::new();
    let mut held: Vec<(Arc<str>, HostTensor)> = Vec::new();
    for (input, tensor) in graph.inputs.iter().zip(args) {
        match input.role {
            Role::Input => given.push((&*input.name, tensor.clone())),
            Role::Param | Role::State => held.push((input.name.clone(), tensor.clone())),
        }
    }
    let (state, outputs) = if program.signature().updates() {
        let state = State::from_tensors(program.signature(), held)?;
        let (state, outputs) = program.step(state, &given).map_err(|e| Failure::from(e.error))?;
        (Some(state), outputs)
    } else {
        (None, program.run(&Params::new(held), &given)?)
    };
    let mut results = Vec::new();
    for output in &graph.outputs {
        let updated = match (&state, output.alias) {
            (Some(state), Some(input)) => Some(state.get(&graph.inputs[input].name)?),
            _ => None,
        };
        let found = updated.or_else(|| outputs.get(&output.name));
        let missing = || Failure::Error(format!("there is no output `{}`", output.name));
        results.push(found.ok_or_else(missing)?.clone());
    }
    Ok(results)
}
