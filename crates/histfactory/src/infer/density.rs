//! The log-density and its derivatives at given parameters, for callers that evaluate often.

use super::session::{InferenceOptions, session, write};
use super::{InferenceError, session::bind_templates};
use crate::Model;
use std::sync::Arc;
use wootz_runtime::{Backend, Session};

/// The log-density of a model and its derivatives, each compiled when it is first used. One evaluation at a time, without allocation.
pub struct Density {
    model: Arc<Model>,
    backend: Arc<dyn Backend>,
    options: InferenceOptions,
    by_parameters: bool,
    /// (parameters, data) → ln L.
    value: Option<Session>,
    /// (parameters, data) → ln L and its derivatives.
    gradient: Option<Session>,
}

impl Density {
    /// To be differentiated by the parameters and the templates that are inputs, which hold the workspace's values. Nothing is compiled yet.
    pub fn new(model: Arc<Model>, backend: Arc<dyn Backend>, options: InferenceOptions) -> Density {
        Density { model, backend, options, by_parameters: true, value: None, gradient: None }
    }

    /// The same, to be differentiated by the templates alone.
    #[must_use]
    pub fn by_templates(self) -> Density {
        Density { by_parameters: false, gradient: None, ..self }
    }

    /// The model.
    pub fn model(&self) -> &Arc<Model> {
        &self.model
    }

    /// ln L at `parameters` of `data` (bins, then auxiliary data); NaN where a rate is negative.
    ///
    /// # Errors
    /// If an array has the wrong length or a number that cannot be; if the program cannot be compiled.
    pub fn logpdf(&mut self, parameters: &[f64], data: &[f64]) -> Result<f64, InferenceError> {
        self.model.check_parameters(parameters)?;
        self.model.check_data(data)?;
        let session = match &mut self.value {
            Some(session) => session,
            slot => {
                let graph = self.model.logpdf_graph(&Default::default())?;
                slot.insert(session(graph, &*self.backend, &self.options.compile)?)
            }
        };
        evaluate(session, parameters, data)
    }

    /// ln L, and its derivatives: by the parameters, then by each template that is an input.
    ///
    /// # Errors
    /// As [`Density::logpdf`].
    pub fn gradients(
        &mut self,
        parameters: &[f64],
        data: &[f64],
    ) -> Result<(f64, impl Iterator<Item = &[f64]>), InferenceError> {
        self.model.check_parameters(parameters)?;
        self.model.check_data(data)?;
        let session = match &mut self.gradient {
            Some(session) => session,
            slot => {
                let graph = &self.options.graph;
                let templates = (0..graph.inputs.len()).map(|i| i + 2);
                let by: Vec<usize> = self.by_parameters.then_some(0).into_iter().chain(templates).collect();
                let gradient = wootz_transform::grad(&self.model.logpdf_graph(graph)?, 0, &by)?;
                let mut session = session(gradient, &*self.backend, &self.options.compile)?;
                let templates: Vec<Vec<f64>> =
                    graph.inputs.iter().map(|t| self.model.template(*t).to_vec()).collect();
                bind_templates(&mut session, 2, &templates)?;
                slot.insert(session)
            }
        };
        let value = evaluate(session, parameters, data)?;
        Ok((value, session.outputs()[1..].iter().map(|t| t.as_slice::<f64>())))
    }
}

fn evaluate(session: &mut Session, parameters: &[f64], data: &[f64]) -> Result<f64, InferenceError> {
    write(session, 0, parameters)?;
    write(session, 1, data)?;
    session.run()?;
    Ok(session.outputs()[0].as_slice::<f64>()[0])
}
