//! wootz from Rust as a contender.

use std::sync::Arc;

use wootz::Cpu;
use wootz::histfactory::{
    FitOptions, HypotestOptions, InferenceError, ModelOptions, Objective, ObjectiveData, Starts, Statistic,
    Template, ToyOptions, Workspace,
};
use wootz::ir::Graph;
use wootz::runtime::{self, BackendOptions, Definition, Options, Params, Session};
use wootz::transform::grad;
use wootz_bench::kernels::Contender;

use super::cases::{NATIVE, Subject, Task};

/// How programs of at most so many threads are compiled.
pub(super) fn options(threads: usize) -> Options {
    Options { backend: BackendOptions { threads: Some(threads) }, ..Options::default() }
}

/// wootz at a task, unless that is one of Python's.
pub(super) fn contender(
    subject: &Subject,
    task: Task,
    toys: usize,
) -> Result<Option<Box<dyn Contender>>, String> {
    if task == Task::Loss {
        return Ok(None);
    }
    native(subject, task, toys).map(Some)
}

/// wootz at a task that Rust has.
pub(super) fn native(subject: &Subject, task: Task, toys: usize) -> Result<Box<dyn Contender>, String> {
    let Subject { data, point, threads, .. } = subject;
    let (data, threads) = (data.clone(), *threads);
    let text = |e: InferenceError| e.to_string();
    let fit = FitOptions::default();
    let hypotest = HypotestOptions::default();
    match task {
        Task::Nll => density(subject.logpdf(vec![])?, &[point, &data], 0, threads),
        Task::Gradient => {
            let graph = grad(&subject.logpdf(vec![])?, 0, &[0]).map_err(|e| e.to_string())?;
            density(graph, &[point, &data], 1, threads)
        }
        Task::SignalGradient => {
            let graph =
                grad(&subject.logpdf(vec![Template::Nominal])?, 0, &[2]).map_err(|e| e.to_string())?;
            density(graph, &[point, &data, subject.model.template(Template::Nominal)], 1, threads)
        }
        Task::Fit => {
            let mut inference = subject.inference(vec![])?;
            boxed(move || Ok(vec![inference.fit(&data, &fit).map_err(text)?.twice_nll]))
        }
        Task::Q0 => {
            let mut inference = subject.inference(vec![])?;
            boxed(move || {
                Ok(vec![inference.test_statistic(Statistic::Q0, 0.0, &data, &fit).map_err(text)?.value])
            })
        }
        Task::Q0Gradient | Task::Q0Asimov => {
            let mut inference = subject.inference(vec![Template::Nominal])?;
            let fit = FitOptions { tolerance: FitOptions::TOLERANCE_FOR_GRADIENTS, ..fit };
            let counts = (task == Task::Q0Gradient).then(|| subject.counts().to_vec());
            let mut starts = Starts::default();
            boxed(move || {
                let data = match &counts {
                    Some(counts) => {
                        starts = Starts::default();
                        ObjectiveData::Observed(counts)
                    }
                    None => ObjectiveData::Asimov,
                };
                let found = inference.objective(Objective::Q0, data, &fit, &mut starts).map_err(text)?;
                let gradients = found.derivatives.by_template.into_iter().flat_map(|(_, values)| values);
                Ok(std::iter::once(found.value).chain(gradients).collect())
            })
        }
        Task::ClsObserved => {
            let mut inference = subject.inference(vec![])?;
            boxed(move || Ok(vec![inference.hypotest(1.0, &data, &hypotest).map_err(text)?.observed]))
        }
        Task::Cls => {
            let mut inference = subject.inference(vec![])?;
            boxed(move || {
                let found = inference.hypotest(1.0, &data, &hypotest).map_err(text)?;
                Ok([&[found.observed][..], &found.expected[..]].concat())
            })
        }
        Task::Open => open(subject),
        Task::Loss => Err("the loss is one of PyTorch's".to_owned()),
        Task::Toys => {
            let mut inference = subject.inference(vec![])?;
            let options = ToyOptions { toys, threads: Some(threads), ..ToyOptions::default() };
            boxed(move || Ok(vec![inference.toys(1.0, &data, &options).map_err(text)?.observed]))
        }
    }
}

/// From a file's contents to the first −ln L, nothing compiled before.
fn open(subject: &Subject) -> Result<Box<dyn Contender>, String> {
    let json = subject.workspace.to_json();
    let (point, threads) = (subject.point.clone(), subject.threads);
    boxed(move || {
        runtime::clear_cache();
        let workspace = Workspace::from_json(json.as_bytes()).map_err(|e| e.to_string())?;
        let model = Arc::new(workspace.model(&ModelOptions::default()).map_err(|e| e.to_string())?);
        let data = workspace.data(&model).map_err(|e| e.to_string())?;
        let graph =
            model.logpdf_graph(&wootz::histfactory::GraphOptions::default()).map_err(|e| e.to_string())?;
        let mut session = session(graph, &[&point, &data], threads)?;
        session.run().map_err(|e| e.to_string())?;
        Ok(vec![-session.outputs()[0].to_f64()[0]])
    })
}

/// A program of a log-density; the output of this index is the result, with the other sign.
fn density(
    graph: Graph,
    inputs: &[&[f64]],
    output: usize,
    threads: usize,
) -> Result<Box<dyn Contender>, String> {
    let session = session(graph, inputs, threads)?;
    Ok(Box::new(Density { session, output, first: None }))
}

fn session(graph: Graph, inputs: &[&[f64]], threads: usize) -> Result<Session, String> {
    let definition = Definition::from(graph);
    let program = runtime::compile(&definition, &Default::default(), &Cpu::default(), &options(threads))
        .map_err(|e| e.to_string())?;
    let mut session = program.session(&Params::default()).map_err(|e| e.to_string())?;
    for (i, values) in inputs.iter().enumerate() {
        let input = session.input_mut(i).map_err(|e| e.to_string())?;
        input.as_mut_slice::<f64>().copy_from_slice(values);
    }
    Ok(session)
}

struct Density {
    session: Session,
    output: usize,
    first: Option<Vec<f64>>,
}

impl Contender for Density {
    fn name(&self) -> &str {
        NATIVE
    }

    fn step(&mut self) -> Result<(), String> {
        self.session.run().map_err(|e| e.to_string())?;
        if self.first.is_none() {
            self.first = Some(self.session.outputs()[self.output].to_f64().into_iter().map(|x| -x).collect());
        }
        Ok(())
    }

    fn output(&mut self) -> Result<Option<Vec<f64>>, String> {
        Ok(self.first.clone())
    }
}

struct Call<F> {
    call: F,
    first: Option<Vec<f64>>,
}

fn boxed(call: impl FnMut() -> Result<Vec<f64>, String> + 'static) -> Result<Box<dyn Contender>, String> {
    Ok(Box::new(Call { call, first: None }))
}

impl<F: FnMut() -> Result<Vec<f64>, String>> Contender for Call<F> {
    fn name(&self) -> &str {
        NATIVE
    }

    fn step(&mut self) -> Result<(), String> {
        let result = (self.call)()?;
        self.first.get_or_insert(result);
        Ok(())
    }

    fn output(&mut self) -> Result<Option<Vec<f64>>, String> {
        Ok(self.first.clone())
    }
}
