//! Objectives with their derivatives, for training.

use super::inference::{HistFactoryInference, Options};
use super::{HistFactoryModel, template};
use crate::error::{Kind, guarded};
use numpy::{PyArray1, PyArrayMethods, PyReadonlyArray1};
use pyo3::prelude::*;
use pyo3::types::PyDict;
use std::sync::{Mutex, PoisonError};
use wootz_histfactory::{
    Convention, GraphOptions, InferenceOptions, Objective, ObjectiveData, Starts, Template, Which,
};

/// An objective of a model as a function of some of its templates. Fits start where those of the last call ended.
#[pyclass(frozen, module = "wootz._native")]
pub(crate) struct HistFactoryObjective {
    inference: HistFactoryInference,
    templates: Vec<Template>,
    objective: Objective,
    /// `None` for Asimov data.
    counts: Option<Vec<f64>>,
    starts: Mutex<Starts>,
}

#[pymethods]
impl HistFactoryObjective {
    /// `kind` is `q0`, `z0`, `cls` (of `mu`), `upper_limit` (at `level`), `parameter` or `uncertainty` (of the parameter `index`); `sigmas` says
    /// which CLs or limit: expected, this many standard deviations from the median, or `None` for observed.
    #[new]
    fn new(
        model: &HistFactoryModel,
        templates: Vec<String>,
        recomputed: bool,
        kind: &str,
        mu: f64,
        level: f64,
        sigmas: Option<f64>,
        index: usize,
        counts: Option<Vec<f64>>,
    ) -> PyResult<HistFactoryObjective> {
        let templates = templates.iter().map(|t| template(t)).collect::<PyResult<Vec<_>>>()?;
        let convention = if recomputed { Convention::Recomputed } else { Convention::Frozen };
        let which = sigmas.map_or(Which::Observed, Which::Expected);
        let objective = match kind {
            "q0" => Objective::Q0,
            "z0" => Objective::Z0,
            "cls" => Objective::Cls { mu, which },
            "upper_limit" => Objective::UpperLimit { level, which },
            "parameter" => Objective::Parameter(index),
            "uncertainty" => Objective::Uncertainty(index),
            _ => return Err(Kind::Internal.error(format!("there is no objective `{kind}`"))),
        };
        let graph = GraphOptions { inputs: templates.clone(), convention };
        let options = InferenceOptions { graph, ..InferenceOptions::default() };
        let inference = HistFactoryInference::with(model.shared(), options);
        Ok(HistFactoryObjective { inference, templates, objective, counts, starts: Mutex::default() })
    }

    /// The objective for these templates (in the order of those given to the constructor) as a dict: `value`, `statistic`, `mu_hat`, the fitted parameters
    /// `free` and `conditional`, and `gradients`, one array a template.
    fn evaluate<'py>(
        &self,
        py: Python<'py>,
        templates: Vec<PyReadonlyArray1<'py, f64>>,
        options: Options,
    ) -> PyResult<Bound<'py, PyDict>> {
        let values = templates.iter().map(|t| Ok(t.to_vec()?)).collect::<PyResult<Vec<_>>>()?;
        let options = options.get();
        let mut starts = self.locked(|starts| starts.clone());
        let (at, starts) = self.inference.run(py, |inference| {
            for (template, values) in self.templates.iter().zip(&values) {
                inference.set_template(*template, values)?;
            }
            let data = self.counts.as_deref().map_or(ObjectiveData::Asimov, ObjectiveData::Observed);
            let at = inference.objective(self.objective, data, &options, &mut starts)?;
            Ok((at, starts))
        })?;
        self.locked(|kept| *kept = starts);
        guarded(|| {
            let out = PyDict::new(py);
            out.set_item("value", at.value)?;
            out.set_item("statistic", at.statistic)?;
            out.set_item("mu_hat", at.mu_hat)?;
            out.set_item("free", PyArray1::from_vec(py, at.free))?;
            out.set_item("conditional", at.conditional.map(|p| PyArray1::from_vec(py, p)))?;
            let gradients = at.derivatives.by_template.into_iter().map(|(_, g)| PyArray1::from_vec(py, g));
            out.set_item("gradients", gradients.collect::<Vec<_>>())?;
            out.set_item("by_data", PyArray1::from_vec(py, at.derivatives.by_data))?;
            Ok(out)
        })
    }

    /// Forgets where fits ended.
    fn reset(&self) {
        self.locked(|starts| *starts = Starts::default());
    }
}

impl HistFactoryObjective {
    fn locked<R>(&self, f: impl FnOnce(&mut Starts) -> R) -> R {
        f(&mut self.starts.lock().unwrap_or_else(PoisonError::into_inner))
    }
}
