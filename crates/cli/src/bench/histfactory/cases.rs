//! The cases: a workload and what is asked of it, with what everybody must find.

use std::sync::Arc;

use wootz::Cpu;
use wootz::histfactory::workload::Workload;
use wootz::histfactory::{
    FitOptions, GraphOptions, HypotestOptions, Inference, InferenceOptions, Model, ModelOptions, Objective,
    ObjectiveData, Starts, Statistic, Template, Workspace,
};
use wootz::ir::{DType, Graph, HostTensor};
use wootz::transform::grad;
use wootz_bench::kernels::{Case, Goal, Peer, Per, Script, Tensor};

use super::super::kernels::Planned;
use super::{growth, native};

/// What depends on how thorough the run is.
#[derive(Clone, Copy)]
pub(super) struct Effort {
    /// Toys under each hypothesis.
    pub(super) toys: usize,
}

/// The stack that the others are compared with: wootz as its Python users have it.
const SUBJECT: &str = "wootz from Python";
const NEXTSTAT: (&str, &str) = ("NextStat", "nextstat");
/// The same from Rust.
pub(super) const NATIVE: &str = "wootz";

/// What is asked of a workload.
#[derive(Clone, Copy, PartialEq)]
pub(super) enum Task {
    Nll,
    Gradient,
    SignalGradient,
    Fit,
    Q0,
    Q0Gradient,
    Q0Asimov,
    ClsObserved,
    Cls,
    Open,
    Loss,
    Toys,
}

impl Task {
    const ALL: [Task; 12] = [
        Task::Nll,
        Task::Gradient,
        Task::SignalGradient,
        Task::Fit,
        Task::Q0,
        Task::Q0Gradient,
        Task::Q0Asimov,
        Task::ClsObserved,
        Task::Cls,
        Task::Open,
        Task::Loss,
        Task::Toys,
    ];

    pub(super) fn title(self) -> &'static str {
        match self {
            Task::Nll => "NLL",
            Task::Gradient => "NLL and gradient by parameters",
            Task::SignalGradient => "NLL and gradient by yields",
            Task::Fit => "free fit",
            Task::Q0 => "q0, observed",
            Task::Q0Gradient => "q0 and gradient, observed",
            Task::Q0Asimov => "q0 and gradient, Asimov, warm",
            Task::ClsObserved => "CLs, observed",
            Task::Cls => "CLs, observed and expected",
            Task::Open => "from the file to the first NLL",
            Task::Loss => "SignificanceLoss without network and fit",
            Task::Toys => "CLs by toys",
        }
    }

    /// The workers' name for it.
    fn operation(self) -> &'static str {
        match self {
            Task::Nll => "nll",
            Task::Gradient => "gradient",
            Task::SignalGradient => "signal_gradient",
            Task::Fit => "fit",
            Task::Q0 => "q0",
            Task::Q0Gradient => "q0_gradient",
            Task::Q0Asimov => "q0_asimov",
            Task::ClsObserved => "cls_observed",
            Task::Cls => "cls",
            Task::Open => "open",
            Task::Loss => "loss",
            Task::Toys => "toys",
        }
    }

    /// The stacks that can do it, besides wootz.
    fn peers(self) -> &'static [(&'static str, &'static str)] {
        const NUMPY: (&str, &str) = ("pyhf (NumPy)", "pyhf-numpy");
        const JAX: (&str, &str) = ("pyhf (JAX)", "pyhf-jax");
        match self {
            Task::Nll | Task::Fit | Task::Open => &[NEXTSTAT, NUMPY, JAX],
            Task::Gradient => &[NEXTSTAT, JAX],
            Task::Q0 | Task::Cls => &[NUMPY, JAX],
            Task::ClsObserved | Task::Toys => &[NEXTSTAT],
            Task::SignalGradient | Task::Q0Gradient | Task::Q0Asimov | Task::Loss => &[],
        }
    }

    /// The largest error, relative to the largest number of a result. Densities and gradients differ by rounding; optimisers that take
    /// gradients by differences, or end by a change of the function of 1e-6, miss a minimum's height by about that.
    fn tolerance(self, expected: &[f64], effort: Effort) -> f64 {
        let largest = expected.iter().fold(0.0, |a: f64, x| a.max(x.abs()));
        match self {
            Task::Nll | Task::Open => 1e-9,
            Task::Gradient | Task::SignalGradient => 1e-8,
            Task::Fit => 1e-2 / largest,
            Task::Q0 => 1e-2 / largest.max(0.1),
            Task::Q0Gradient | Task::Q0Asimov => 1e-6,
            Task::ClsObserved | Task::Cls => 1e-3,
            // The network's gradient is f32.
            Task::Loss => 1e-5,
            // Six standard deviations of a ratio of two tail probabilities from so many toys, and what asymptotic formulae miss; NextStat
            // keeps auxiliary data where they were observed, and so finds another number.
            Task::Toys => 6.0 * (2.0 / effort.toys as f64).sqrt() / largest + 0.4,
        }
    }

    /// What should be reached: times for 8 and for 184 parameters, in microseconds, and a ratio of toys.
    fn goal(self, workload: Workload) -> Option<Goal> {
        let [small, large] = match self {
            Task::Nll => [0.8, 20.0],
            Task::Gradient | Task::SignalGradient => [1.5, 50.0],
            Task::Fit => [30.0, 8e3],
            Task::Q0Gradient => [80.0, 20e3],
            Task::Q0Asimov => [30.0, 5e3],
            Task::Cls => [200.0, 50e3],
            Task::Open => [1e3, 60e3],
            Task::Loss => [200.0, 200.0],
            Task::Toys => return Some(Goal::Ratio { against: NEXTSTAT.0.to_owned(), at_most: 1.0 / 3.0 }),
            Task::Q0 | Task::ClsObserved => return None,
        };
        let us = match workload {
            Workload::Complex8p => small,
            Workload::ThuLike => large,
            Workload::Simple | Workload::Stress => return None,
        };
        Some(Goal::Time { at_most_ns: 1e3 * us })
    }
}

/// Every case.
pub(super) fn all(effort: Effort, threads: usize) -> Vec<Planned> {
    let mut cases = Vec::new();
    for workload in Workload::ALL {
        for task in Task::ALL {
            // Toys are thrown where many are wanted: cheap fits, many parameters.
            if task == Task::Toys && workload != Workload::Stress {
                continue;
            }
            if task == Task::Loss && task.goal(workload).is_none() {
                continue;
            }
            let threads = if task == Task::Toys { threads } else { 1 };
            let name = format!("{}: {}", workload.name(), task.title());
            cases.push(Planned::new(name, move |name| case(name, workload, task, effort, threads)));
        }
    }
    cases.extend(growth::all());
    cases
}

/// A workload, ready to be asked.
pub(super) struct Subject {
    pub(super) workspace: Workspace,
    pub(super) model: Arc<Model>,
    pub(super) data: Vec<f64>,
    /// A point near the initial parameters at which no interpolation is trivial. Its values are f32.
    pub(super) point: Vec<f64>,
    pub(super) threads: usize,
}

impl Subject {
    pub(super) fn new(workspace: Workspace, threads: usize) -> Result<Subject, String> {
        let model = Arc::new(workspace.model(&ModelOptions::default()).map_err(|e| e.to_string())?);
        let data = workspace.data(&model).map_err(|e| e.to_string())?;
        let away = |(i, init): (usize, &f64)| f64::from((init + 0.05 * (1.0 + i as f64).sin()) as f32);
        let point = model.config().init.iter().enumerate().map(away).collect();
        Ok(Subject { workspace, model, data, point, threads })
    }

    pub(super) fn inference(&self, inputs: Vec<Template>) -> Result<Inference, String> {
        let graph = GraphOptions { inputs, ..GraphOptions::default() };
        let options = InferenceOptions { graph, compile: native::options(self.threads) };
        Inference::new(self.model.clone(), Arc::new(Cpu::default()), options).map_err(|e| e.to_string())
    }

    /// −ln L as a graph of parameters, data and the templates.
    pub(super) fn logpdf(&self, inputs: Vec<Template>) -> Result<Graph, String> {
        let options = GraphOptions { inputs, ..GraphOptions::default() };
        self.model.logpdf_graph(&options).map_err(|e| e.to_string())
    }

    /// Observed counts without auxiliary data.
    pub(super) fn counts(&self) -> &[f64] {
        &self.data[..self.model.config().bins()]
    }
}

fn case(
    name: String,
    workload: Workload,
    task: Task,
    effort: Effort,
    threads: usize,
) -> Result<Case, String> {
    let subject = Subject::new(workload.workspace(), threads)?;
    let expected = reference(&subject, task)?;
    let peers = [(SUBJECT, "wootz")].iter().chain(task.peers());
    let peer = |(name, stack): &(&str, &str)| Peer::of(Script::HistFactory, name, stack, task.operation());
    let tensor =
        |name: &str, shape: Vec<usize>, values: Vec<f32>| Tensor { name: name.to_owned(), shape, values };
    let inputs = match task {
        Task::Nll | Task::Gradient | Task::SignalGradient | Task::Open => {
            let values: Vec<f32> = subject.point.iter().map(|x| *x as f32).collect();
            vec![tensor("point", vec![values.len()], values)]
        }
        Task::Toys => vec![tensor("toys", vec![], vec![effort.toys as f32])],
        Task::Fit
        | Task::Q0
        | Task::Q0Gradient
        | Task::Q0Asimov
        | Task::ClsObserved
        | Task::Cls
        | Task::Loss => Vec::new(),
    };
    Ok(Case {
        name,
        threads,
        per: Per::Step,
        tolerance: task.tolerance(&expected, effort),
        expected,
        subject: SUBJECT.to_owned(),
        contenders: native::contender(&subject, task, effort.toys)?.into_iter().collect(),
        peers: peers.map(peer).collect(),
        inputs,
        document: Some(subject.workspace.to_json()),
        goals: task.goal(workload).into_iter().collect(),
    })
}

/// What must come out: densities and gradients by the reference interpreter, fits and tests by fits of the tightest tolerance, toys by the
/// asymptotic formulae.
pub(super) fn reference(subject: &Subject, task: Task) -> Result<Vec<f64>, String> {
    let fit = FitOptions { tolerance: FitOptions::TOLERANCE_FOR_GRADIENTS, ..FitOptions::default() };
    let test = |statistic| HypotestOptions { statistic, fit: fit.clone() };
    let Subject { data, point, .. } = subject;
    let text = |e: wootz::histfactory::InferenceError| e.to_string();
    match task {
        Task::Nll | Task::Open => Ok(vec![-interpreted(&subject.logpdf(vec![])?, &[point, data])?[0]]),
        // The worker's ratios: of its value to that of the objective, and of its gradient to autograd's of histogram and objective.
        Task::Loss => Ok(vec![1.0, 1.0]),
        Task::Gradient => {
            let graph = grad(&subject.logpdf(vec![])?, 0, &[0]).map_err(|e| e.to_string())?;
            Ok(interpreted(&graph, &[point, data])?[1..].iter().map(|x| -x).collect())
        }
        Task::SignalGradient => {
            let graph = subject.logpdf(vec![Template::Nominal])?;
            let graph = grad(&graph, 0, &[2]).map_err(|e| e.to_string())?;
            let nominal = subject.model.template(Template::Nominal);
            Ok(interpreted(&graph, &[point, data, nominal])?[1..].iter().map(|x| -x).collect())
        }
        Task::Fit => Ok(vec![subject.inference(vec![])?.fit(data, &fit).map_err(text)?.twice_nll]),
        Task::Q0 => {
            let found = subject.inference(vec![])?.test_statistic(Statistic::Q0, 0.0, data, &fit);
            Ok(vec![found.map_err(text)?.value])
        }
        Task::Q0Gradient | Task::Q0Asimov => {
            let data = if task == Task::Q0Gradient {
                ObjectiveData::Observed(subject.counts())
            } else {
                ObjectiveData::Asimov
            };
            let mut inference = subject.inference(vec![Template::Nominal])?;
            let found =
                inference.objective(Objective::Q0, data, &fit, &mut Starts::default()).map_err(text)?;
            let gradients = found.derivatives.by_template.into_iter().flat_map(|(_, values)| values);
            Ok(std::iter::once(found.value).chain(gradients).collect())
        }
        Task::ClsObserved | Task::Toys => {
            let found =
                subject.inference(vec![])?.hypotest(1.0, data, &test(Statistic::QmuTilde)).map_err(text)?;
            Ok(vec![found.observed])
        }
        Task::Cls => {
            let found =
                subject.inference(vec![])?.hypotest(1.0, data, &test(Statistic::QmuTilde)).map_err(text)?;
            Ok([&[found.observed][..], &found.expected[..]].concat())
        }
    }
}

fn interpreted(graph: &Graph, inputs: &[&[f64]]) -> Result<Vec<f64>, String> {
    let tensor = |x: &&[f64]| HostTensor::from_f64(DType::F64, &[x.len()], x);
    let inputs: Vec<HostTensor> = inputs.iter().map(tensor).collect();
    super::super::kernels::interpret(graph, &inputs)
}
