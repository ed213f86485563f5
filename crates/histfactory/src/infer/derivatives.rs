//! Partial derivatives by templates and data: the programs, and sums of what they give.

use super::session::{bind_templates, session, write};
use super::{Inference, InferenceError};
use crate::{Model, Template};
use wootz_ir::ops::RuleError;
use wootz_ir::{Builder, Graph, Shape, TypeError, Value};
use wootz_runtime::Session;

/// Derivatives of one number by the data and by each template that is an input.
#[derive(Clone, Debug, PartialEq)]
pub struct Derivatives {
    /// One a datum: counts, then auxiliary data.
    pub by_data: Vec<f64>,
    /// One an element of each template.
    pub by_template: Vec<(Template, Vec<f64>)>,
}

impl Derivatives {
    /// Adds `weight` times the rows that a program gave, which are by the data and then by each template.
    fn add<'a>(&mut self, weight: f64, mut rows: impl Iterator<Item = &'a [f64]>) {
        if let Some(row) = rows.next() {
            add(&mut self.by_data, weight, row);
        }
        self.add_templates(weight, rows);
    }

    fn add_templates<'a>(&mut self, weight: f64, rows: impl Iterator<Item = &'a [f64]>) {
        self.by_template.iter_mut().zip(rows).for_each(|((_, sum), row)| add(sum, weight, row));
    }

    /// Multiplies all of them.
    pub(super) fn scale(&mut self, factor: f64) {
        let templates = self.by_template.iter_mut().map(|(_, values)| values);
        templates.chain([&mut self.by_data]).for_each(|values| values.iter_mut().for_each(|x| *x *= factor));
    }
}

fn add(sum: &mut [f64], weight: f64, terms: &[f64]) {
    sum.iter_mut().zip(terms).for_each(|(sum, term)| *sum += weight * term);
}

/// The programs, each compiled when it is first used.
#[derive(Default)]
pub(super) struct Programs {
    /// (parameters, data) → ln L and its derivatives by data and templates.
    partial: Option<Session>,
    /// (weights) → Σ weights · auxiliary data at nominal, and its derivatives by templates.
    auxiliary: Option<Session>,
    /// (parameters, weights) → Σ weights · expected data, and its derivatives by parameters and templates.
    expected: Option<Session>,
    /// (parameters, data, …, direction) → the directional derivative of ln L by the parameters, and its derivatives by data and templates.
    mixed: Option<Session>,
    /// (parameters, data, …, direction, direction) → the second directional derivative of ln L, and its derivatives by parameters, data and
    /// templates.
    curved: Option<Session>,
}

impl Programs {
    /// Those there are, with the number of inputs before the templates.
    pub(super) fn sessions(&mut self) -> impl Iterator<Item = (&mut Session, usize)> {
        let Programs { partial, auxiliary, expected, mixed, curved } = self;
        [(partial, 2), (auxiliary, 1), (expected, 2), (mixed, 2), (curved, 2)]
            .into_iter()
            .filter_map(|(session, first)| Some((session.as_mut()?, first)))
    }
}

fn rows(session: &Session, first: usize) -> impl Iterator<Item = &[f64]> {
    session.outputs()[first..].iter().map(|t| t.as_slice::<f64>())
}

impl Inference {
    /// No derivatives yet.
    pub(super) fn zero_derivatives(&self) -> Derivatives {
        let zeros = |t: &Template| (*t, vec![0.0; self.model().template(*t).len()]);
        Derivatives {
            by_data: vec![0.0; self.model().config().data_len()],
            by_template: self.options().graph.inputs.iter().map(zeros).collect(),
        }
    }

    /// ln L.
    pub(super) fn log_density(&mut self, parameters: &[f64], data: &[f64]) -> Result<f64, InferenceError> {
        let session = self.partial()?;
        write(session, 0, parameters)?;
        write(session, 1, data)?;
        session.run()?;
        Ok(session.outputs()[0].as_slice::<f64>()[0])
    }

    /// Adds `weight` times the partial derivatives of ln L.
    pub(super) fn add_partial(
        &mut self,
        sum: &mut Derivatives,
        weight: f64,
        parameters: &[f64],
        data: &[f64],
    ) -> Result<(), InferenceError> {
        self.log_density(parameters, data)?;
        sum.add(weight, rows(self.partial()?, 1));
        Ok(())
    }

    /// Turns derivatives by auxiliary data that are the nominal ones into derivatives by templates, and adds them.
    pub(super) fn add_nominal_auxdata(&mut self, sum: &mut Derivatives) -> Result<(), InferenceError> {
        let config = self.model().config();
        if config.auxdata.is_empty() || self.options().graph.inputs.is_empty() {
            return Ok(());
        }
        let weights = sum.by_data[config.bins()..].to_vec();
        if self.programs.auxiliary.is_none() {
            let inputs = [("weights", Shape::from([weights.len()]))];
            let graph = self.weighted_sum(&inputs, |b, model, args, templates| {
                let auxdata = model.auxdata(b, templates)?;
                b.mul(auxdata, args[0])
            })?;
            self.programs.auxiliary = Some(self.by_templates(&graph, 1, &[])?);
        }
        let session = self.programs.auxiliary.as_mut().expect("it was just made");
        write(session, 0, &weights)?;
        session.run()?;
        sum.add_templates(1.0, rows(session, 1));
        Ok(())
    }

    /// Turns derivatives by data that are expected at `parameters` into derivatives by templates, which it adds, and by parameters, which it gives
    /// back.
    pub(super) fn add_expected(
        &mut self,
        sum: &mut Derivatives,
        by_data: &[f64],
        parameters: &[f64],
    ) -> Result<Vec<f64>, InferenceError> {
        if self.programs.expected.is_none() {
            let config = self.model().config();
            let inputs = [
                ("parameters", Shape::from([config.parameters()])),
                ("weights", Shape::from([config.data_len()])),
            ];
            let graph = self.weighted_sum(&inputs, |b, model, args, templates| {
                let mut data = model.rates(b, args[0], templates)?;
                if !model.config().auxdata.is_empty() {
                    let auxdata = model.expected_auxdata(b, args[0], templates)?;
                    data = b.concat(&[data, auxdata], 0)?;
                }
                b.mul(data, args[1])
            })?;
            self.programs.expected = Some(self.by_templates(&graph, 2, &[0])?);
        }
        let session = self.programs.expected.as_mut().expect("it was just made");
        write(session, 0, parameters)?;
        write(session, 1, by_data)?;
        session.run()?;
        sum.add_templates(1.0, rows(session, 2));
        Ok(session.outputs()[1].as_slice::<f64>().to_vec())
    }

    /// Adds `weight` times the derivatives, by data and templates, of the directional derivative of ln L by the parameters.
    pub(super) fn add_mixed(
        &mut self,
        sum: &mut Derivatives,
        weight: f64,
        parameters: &[f64],
        data: &[f64],
        direction: &[f64],
    ) -> Result<(), InferenceError> {
        let last = 2 + self.templates().len();
        if self.programs.mixed.is_none() {
            let graph = wootz_transform::jvp(&self.model().logpdf_graph(&self.options().graph)?, &[0])?;
            let wrt: Vec<usize> = (1..last).collect();
            self.programs.mixed = Some(self.program(wootz_transform::grad(&graph, 1, &wrt)?, 2)?);
        }
        let session = self.programs.mixed.as_mut().expect("it was just made");
        write(session, 0, parameters)?;
        write(session, 1, data)?;
        write(session, last, direction)?;
        session.run()?;
        sum.add(weight, rows(session, 2));
        Ok(())
    }

    /// Adds `weight` times the derivatives, by data and templates, of the second directional derivative of ln L; gives back those by the
    /// parameters.
    pub(super) fn add_curved(
        &mut self,
        sum: &mut Derivatives,
        weight: f64,
        parameters: &[f64],
        data: &[f64],
        direction: &[f64],
    ) -> Result<Vec<f64>, InferenceError> {
        let last = 2 + self.templates().len();
        if self.programs.curved.is_none() {
            let graph = self.model().logpdf_graph(&self.options().graph)?;
            let graph = wootz_transform::jvp(&wootz_transform::jvp(&graph, &[0])?, &[0])?;
            let wrt: Vec<usize> = (0..last).collect();
            self.programs.curved = Some(self.program(wootz_transform::grad(&graph, 3, &wrt)?, 2)?);
        }
        let session = self.programs.curved.as_mut().expect("it was just made");
        write(session, 0, parameters)?;
        write(session, 1, data)?;
        write(session, last, direction)?;
        write(session, last + 1, direction)?;
        session.run()?;
        sum.add(weight, rows(session, 5));
        Ok(session.outputs()[4].as_slice::<f64>().iter().map(|x| weight * x).collect())
    }

    fn partial(&mut self) -> Result<&mut Session, InferenceError> {
        if self.programs.partial.is_none() {
            let graph = self.model().logpdf_graph(&self.options().graph)?;
            self.programs.partial = Some(self.by_templates(&graph, 2, &[1])?);
        }
        Ok(self.programs.partial.as_mut().expect("it was just made"))
    }

    /// A graph of the sum of what `build` gives.
    fn weighted_sum(
        &self,
        inputs: &[(&str, Shape)],
        build: impl FnOnce(&mut Builder, &Model, &[Value], &crate::Templates) -> Result<Value, TypeError>,
    ) -> Result<Graph, InferenceError> {
        let model = self.model();
        let graph = super::graph_of(model, &self.options().graph, inputs, &["sum"], |b, args, templates| {
            let terms = build(b, model, args, templates)?;
            Ok::<_, TypeError>(vec![b.sum(terms, &[0])?])
        });
        Ok(graph.map_err(RuleError::from)?)
    }

    /// A graph's first output and its derivatives by these inputs, then by the templates, which come after `first` others.
    fn by_templates(&self, graph: &Graph, first: usize, others: &[usize]) -> Result<Session, InferenceError> {
        let templates = first..first + self.templates().len();
        let wrt: Vec<usize> = others.iter().copied().chain(templates).collect();
        self.program(wootz_transform::grad(graph, 0, &wrt)?, first)
    }

    /// A session with the current templates after `first` other inputs.
    pub(super) fn program(&self, graph: Graph, first: usize) -> Result<Session, InferenceError> {
        let mut session = session(graph, self.backend(), &self.options().compile)?;
        bind_templates(&mut session, first, self.templates())?;
        Ok(session)
    }
}
