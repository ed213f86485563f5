//! A model's compiled programs.

use super::InferenceError;
use super::derivatives::Programs;
use super::hessian;
use super::iteration::{self, Arg, Out};
use crate::{GraphOptions, Model, Template};
use std::collections::BTreeMap;
use std::sync::Arc;
use wootz_ir::{Graph, HostTensor, TypeError};
use wootz_runtime::{Backend, Definition, Options, Params, Session, compile};

/// How a model's programs are made.
#[derive(Clone, Debug, Default)]
pub struct InferenceOptions {
    /// The templates that may change, and what their change means.
    pub graph: GraphOptions,
    /// How programs are compiled.
    pub compile: Options,
}

/// Looks on while inference runs, from whichever thread runs it.
pub trait Observer: Send + Sync {
    /// Whether to give up, which ends in [`InferenceError::Stopped`]. Asked before every evaluation.
    fn stop(&self) -> bool {
        false
    }

    /// One of several like steps is done: a toy, a value of a scan or of a search for a limit, a parameter of a ranking.
    fn advance(&self) {}
}

/// Inference with one model: compiled once, used for any number of fits, one at a time. A clone of the programs for another thread is another
/// `Inference`; the compiled code is shared.
pub struct Inference {
    model: Arc<Model>,
    backend: Arc<dyn Backend>,
    options: InferenceOptions,
    iteration: Session,
    hessian: Option<(Session, hessian::Layout)>,
    expected: Option<Session>,
    auxdata: Option<Session>,
    /// (parameters) → the rates of each sample and their derivatives by the parameters.
    pub(super) yields: Option<Session>,
    pub(super) programs: Programs,
    /// The current values of the templates that may change.
    templates: Vec<Vec<f64>>,
    observer: Option<Arc<dyn Observer>>,
}

impl Inference {
    /// Compiles the iteration of a model's fits.
    ///
    /// # Errors
    /// If a program cannot be built or compiled.
    pub fn new(
        model: Arc<Model>,
        backend: Arc<dyn Backend>,
        options: InferenceOptions,
    ) -> Result<Inference, InferenceError> {
        let graph = iteration::graph(&model, &options.graph)?;
        let iteration = session(graph, &*backend, &options.compile)?;
        let templates = options.graph.inputs.iter().map(|t| model.template(*t).to_vec()).collect();
        let mut out = Inference {
            model,
            backend,
            options,
            iteration,
            hessian: None,
            expected: None,
            auxdata: None,
            yields: None,
            programs: Programs::default(),
            templates,
            observer: None,
        };
        bind_templates(&mut out.iteration, Arg::ALL.len(), &out.templates)?;
        Ok(out)
    }

    /// Another one of the same model and templates, for another thread.
    ///
    /// # Errors
    /// If a program cannot be compiled, or there is no memory for it.
    pub fn fork(&self) -> Result<Inference, InferenceError> {
        let mut out = Inference::new(self.model.clone(), self.backend.clone(), self.options.clone())?;
        for (template, values) in self.options.graph.inputs.iter().zip(&self.templates) {
            out.set_template(*template, values)?;
        }
        out.observer.clone_from(&self.observer);
        Ok(out)
    }

    /// Lets an observer look on from now on, or nobody.
    pub fn observe(&mut self, observer: Option<Arc<dyn Observer>>) {
        self.observer = observer;
    }

    /// Tells the observer that a step is done.
    pub(super) fn advance(&self) {
        if let Some(observer) = &self.observer {
            observer.advance();
        }
    }

    /// The model.
    pub fn model(&self) -> &Arc<Model> {
        &self.model
    }

    /// How the programs are made.
    pub(super) fn options(&self) -> &InferenceOptions {
        &self.options
    }

    pub(super) fn backend(&self) -> &dyn Backend {
        &*self.backend
    }

    pub(super) fn templates(&self) -> &[Vec<f64>] {
        &self.templates
    }

    /// Replaces a template that [`InferenceOptions`] declared an input.
    ///
    /// # Errors
    /// If it is not an input, or the length or a value is wrong.
    pub fn set_template(&mut self, template: Template, values: &[f64]) -> Result<(), InferenceError> {
        let Some(at) = self.options.graph.inputs.iter().position(|t| *t == template) else {
            return Err(InferenceError::NotAnInput { template: template.name() });
        };
        let expected = self.templates[at].len();
        if values.len() != expected {
            return Err(InferenceError::Length { what: template.name(), expected, got: values.len() });
        }
        if let Some(value) = values.iter().find(|v| !v.is_finite()) {
            let (what, needs) = (template.name(), "every number must be finite");
            return Err(InferenceError::Value { what, value: *value, needs });
        }
        self.templates[at].copy_from_slice(values);
        let others = [
            (self.hessian.as_mut().map(|(session, _)| session), 2),
            (self.expected.as_mut(), 1),
            (self.auxdata.as_mut(), 0),
            (self.yields.as_mut(), 1),
        ];
        let others = others.into_iter().filter_map(|(session, first)| Some((session?, first)));
        let all = [(&mut self.iteration, Arg::ALL.len())].into_iter().chain(others);
        for (session, first) in all.chain(self.programs.sessions()) {
            write(session, first + at, values)?;
        }
        Ok(())
    }

    /// The expected rates, then the expected auxiliary data.
    ///
    /// # Errors
    /// If the parameters are not one finite number each.
    pub fn expected_data(&mut self, parameters: &[f64]) -> Result<Vec<f64>, InferenceError> {
        self.model.check_parameters(parameters)?;
        if self.expected.is_none() {
            let graph = self.model.expected_data_graph(&self.options.graph)?;
            let mut session = session(graph, &*self.backend, &self.options.compile)?;
            bind_templates(&mut session, 1, &self.templates)?;
            self.expected = Some(session);
        }
        let session = self.expected.as_mut().expect("it was just made");
        write(session, 0, parameters)?;
        session.run()?;
        Ok(session.outputs()[0].as_slice::<f64>().to_vec())
    }

    /// The auxiliary data at nominal for the current templates.
    pub(super) fn nominal_auxdata(&mut self) -> Result<Vec<f64>, InferenceError> {
        let (model, options) = (self.model().clone(), self.options().clone());
        if model.config().auxdata.is_empty() || options.graph.inputs.is_empty() {
            return Ok(model.config().auxdata.clone());
        }
        if self.auxdata.is_none() {
            let graph = super::graph_of(&model, &options.graph, &[], &["auxdata"], |b, _, templates| {
                Ok::<_, TypeError>(vec![model.auxdata(b, templates)?])
            });
            let graph = graph.map_err(wootz_ir::ops::RuleError::from)?;
            self.auxdata = Some(self.program(graph, 0)?);
        }
        let session = self.auxdata.as_mut().expect("it was just made");
        session.run()?;
        Ok(session.outputs()[0].as_slice::<f64>().to_vec())
    }

    /// The Hessian of −ln L, row-major.
    ///
    /// # Errors
    /// If a program cannot be built, compiled or run.
    pub fn hessian(&mut self, parameters: &[f64], data: &[f64]) -> Result<Vec<f64>, InferenceError> {
        self.model.check_parameters(parameters)?;
        self.model.check_data(data)?;
        let (session, layout) = match &mut self.hessian {
            Some(found) => found,
            slot => {
                let (graph, layout) = hessian::graph(&self.model, &self.options.graph)?;
                let mut session = session(graph, &*self.backend, &self.options.compile)?;
                bind_templates(&mut session, 2, &self.templates)?;
                slot.insert((session, layout))
            }
        };
        write(session, 0, parameters)?;
        write(session, 1, data)?;
        session.run()?;
        let outputs = session.outputs();
        Ok(layout.dense(outputs[0].as_slice(), outputs[1].as_slice()))
    }

    /// Sets an argument of the iteration.
    pub(super) fn set(&mut self, arg: Arg, values: &[f64]) -> Result<(), InferenceError> {
        write(&mut self.iteration, arg as usize, values)
    }

    /// Runs the iteration.
    pub(super) fn iterate(&mut self) -> Result<(), InferenceError> {
        if self.observer.as_ref().is_some_and(|o| o.stop()) {
            return Err(InferenceError::Stopped);
        }
        Ok(self.iteration.run()?)
    }

    /// A result of the iteration.
    pub(super) fn result(&self, out: Out) -> &[f64] {
        self.iteration.outputs()[out as usize].as_slice()
    }
}

pub(crate) fn session(
    graph: Graph,
    backend: &dyn Backend,
    options: &Options,
) -> Result<Session, InferenceError> {
    let program = compile(&Definition::from(graph), &BTreeMap::new(), backend, options)?;
    Ok(program.session(&Params::new([]))?)
}

pub(super) fn bind_templates(
    session: &mut Session,
    first: usize,
    templates: &[Vec<f64>],
) -> Result<(), InferenceError> {
    templates.iter().enumerate().try_for_each(|(i, values)| write(session, first + i, values))
}

pub(crate) fn write(session: &mut Session, input: usize, values: &[f64]) -> Result<(), InferenceError> {
    let tensor: &mut HostTensor = session.input_mut(input)?;
    tensor.as_mut_slice::<f64>().copy_from_slice(values);
    Ok(())
}
