//! Log-densities of single points, with as little between the caller and the program as there can be.

use super::{HistFactoryModel, template};
use crate::array::vector;
use crate::error::{Kind, OrRaise, guarded};
use numpy::{PyArray1, PyArrayMethods};
use pyo3::prelude::*;
use std::sync::{Arc, Mutex, PoisonError};
use wootz_histfactory::{
    Convention, Density, GraphOptions, InferenceError, InferenceOptions, Model, Template,
};

/// A model's log-density and its derivatives. Threads may use it at once: each borrows compiled programs of its own.
#[pyclass(frozen, module = "wootz._native")]
pub(crate) struct HistFactoryDensity {
    model: Arc<Model>,
    options: InferenceOptions,
    by_parameters: bool,
    /// Whether an evaluation takes so long that other threads should run Python meanwhile.
    is_long: bool,
    idle: Mutex<Vec<Density>>,
}

/// Template entries of a model from which on an evaluation takes tens of microseconds.
const LONG: usize = 1 << 15;

type Gradients<'py> = (f64, Vec<Bound<'py, PyArray1<f64>>>);

#[pymethods]
impl HistFactoryDensity {
    /// The log-density of a model, to be differentiated by the parameters, if so wanted, and these templates.
    #[new]
    fn new(
        model: &HistFactoryModel,
        by_parameters: bool,
        templates: Vec<String>,
        recomputed: bool,
    ) -> PyResult<HistFactoryDensity> {
        let inputs = templates.iter().map(|t| template(t)).collect::<PyResult<Vec<_>>>()?;
        let convention = if recomputed { Convention::Recomputed } else { Convention::Frozen };
        let graph = GraphOptions { inputs, convention };
        let options = InferenceOptions { graph, ..InferenceOptions::default() };
        let model = model.shared();
        let entries: usize = Template::ALL.map(|t| model.template(t).len()).iter().sum();
        Ok(HistFactoryDensity {
            model,
            options,
            by_parameters,
            is_long: entries > LONG,
            idle: Mutex::default(),
        })
    }

    /// The log-density at a point, given as dense `float64` vectors of the right lengths; `None` if they are anything else.
    fn logpdf(
        &self,
        py: Python<'_>,
        parameters: &Bound<'_, PyAny>,
        data: &Bound<'_, PyAny>,
    ) -> PyResult<Option<f64>> {
        let Some((x, n)) = self.point(parameters, data) else { return Ok(None) };
        self.run(py, |density| density.logpdf(x, n)).and_then(|value| self.checked(value, x)).map(Some)
    }

    /// The same and its derivatives, one array each.
    fn gradients<'py>(
        &self,
        py: Python<'py>,
        parameters: &Bound<'py, PyAny>,
        data: &Bound<'py, PyAny>,
    ) -> PyResult<Option<Gradients<'py>>> {
        let Some((x, n)) = self.point(parameters, data) else { return Ok(None) };
        let parameters = self.by_parameters.then_some(x.len()).into_iter();
        let sizes = parameters.chain(self.options.graph.inputs.iter().map(|t| self.model.template(*t).len()));
        // Dense arrays without gaps: they are written where Python will find them.
        let arrays: Vec<_> = sizes.map(|size| PyArray1::<f64>::zeros(py, size, false)).collect();
        let mut targets: Vec<&mut [f64]> = Vec::with_capacity(arrays.len());
        for array in &arrays {
            // SAFETY: the array was made just now, is dense, and nobody else has seen it.
            targets.push(unsafe { array.as_slice_mut() }?);
        }
        let value = self.run(py, |density| {
            let (value, rows) = density.gradients(x, n)?;
            targets.iter_mut().zip(rows).for_each(|(target, row)| target.copy_from_slice(row));
            Ok(value)
        })?;
        Ok(Some((self.checked(value, x)?, arrays)))
    }
}

impl HistFactoryDensity {
    fn point<'a>(
        &self,
        parameters: &'a Bound<'_, PyAny>,
        data: &'a Bound<'_, PyAny>,
    ) -> Option<(&'a [f64], &'a [f64])> {
        let config = self.model.config();
        Some((vector(parameters, config.parameters())?, vector(data, config.data_len())?))
    }

    fn run<R: Send>(
        &self,
        py: Python<'_>,
        f: impl FnOnce(&mut Density) -> Result<R, InferenceError> + Send,
    ) -> PyResult<R> {
        guarded(|| {
            let idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner).pop();
            let is_new = idle.is_none();
            let mut density = idle.unwrap_or_else(|| {
                let backend = Arc::new(wootz_cpu::Cpu::default());
                let density = Density::new(self.model.clone(), backend, self.options.clone());
                if self.by_parameters { density } else { density.by_templates() }
            });
            let result = if self.is_long || is_new { py.detach(|| f(&mut density)) } else { f(&mut density) };
            self.idle.lock().unwrap_or_else(PoisonError::into_inner).push(density);
            result.or_raise()
        })
    }

    /// A log-density that is a number, or the error that says why it is none.
    fn checked(&self, value: f64, parameters: &[f64]) -> PyResult<f64> {
        if value.is_nan()
            && let Some(negative) = guarded(|| self.model.negative_rate(parameters).or_raise())?
        {
            return Err(Kind::NegativeRate.error(negative.to_string()));
        }
        Ok(value)
    }
}
