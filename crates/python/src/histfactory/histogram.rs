//! Histograms with derivatives by what is filled into them.

use crate::array::vector;
use crate::error::{Kind, OrRaise, guarded};
use numpy::{PyArray1, PyReadonlyArray1, PyUntypedArray, PyUntypedArrayMethods};
use pyo3::prelude::*;
use std::borrow::Cow;
use std::sync::{Arc, Mutex, PoisonError};
use wootz_histfactory::{Ends, Events, InferenceError, SoftHistogram, Spread};

/// A histogram of soft shares. Threads may use it at once: each borrows compiled programs of its own.
#[pyclass(frozen, module = "wootz._native")]
pub(crate) struct HistFactoryHistogram {
    bins: usize,
    spread: Spread,
    ends: Ends,
    idle: Mutex<Vec<SoftHistogram>>,
}

/// Events times edges from which on an evaluation takes tens of microseconds.
const LONG: usize = 1 << 14;

type Derivatives<'py> = (Option<Bound<'py, PyAny>>, Option<Bound<'py, PyAny>>, Option<f64>);

#[pymethods]
impl HistFactoryHistogram {
    /// `mode` is `kde` or `sigmoid`; with `clip` the outer bins reach to infinity.
    #[new]
    fn new(bins: usize, mode: &str, clip: bool) -> PyResult<HistFactoryHistogram> {
        let spread = match mode {
            "kde" => Spread::Normal,
            "sigmoid" => Spread::Logistic,
            _ => return Err(Kind::Internal.error(format!("there is no histogram of mode `{mode}`"))),
        };
        let ends = if clip { Ends::Infinite } else { Ends::Edges };
        Ok(HistFactoryHistogram { bins, spread, ends, idle: Mutex::default() })
    }

    /// The contents for events and weights of float32 or float64.
    fn contents<'py>(
        &self,
        py: Python<'py>,
        x: &Bound<'py, PyAny>,
        weights: Option<&Bound<'py, PyAny>>,
        edges: Vec<f64>,
        h: f64,
        scale: f64,
    ) -> PyResult<Bound<'py, PyArray1<f64>>> {
        let (x, weights) = (Column::of(x)?, weights.map(Column::of).transpose()?);
        x.check("events")?;
        weights.as_ref().map_or(Ok(()), |weights| weights.check("weights"))?;
        let events = Events { x: &x.values, weights: weights.as_ref().map(|w| &*w.values) };
        let contents =
            self.run(py, x.values.len(), |histogram| histogram.contents(events, &edges, h, scale))?;
        Ok(PyArray1::from_vec(py, contents))
    }

    /// The derivatives of the sum of `cotangent` times the contents: by the events, by the weights, by the bandwidth; each if it is needed.
    fn derivatives<'py>(
        &self,
        py: Python<'py>,
        x: &Bound<'py, PyAny>,
        weights: Option<&Bound<'py, PyAny>>,
        edges: Vec<f64>,
        h: f64,
        scale: f64,
        cotangent: Vec<f64>,
        needs: (bool, bool, bool),
    ) -> PyResult<Derivatives<'py>> {
        let (x, weights) = (Column::of(x)?, weights.map(Column::of).transpose()?);
        let events = Events { x: &x.values, weights: weights.as_ref().map(|w| &*w.values) };
        let (by_x, by_weights, by_h) = self.run(py, x.values.len(), |histogram| {
            let by_x =
                needs.0.then(|| histogram.by_events(events, &edges, h, scale, &cotangent)).transpose()?;
            let by_weights =
                needs.1.then(|| histogram.by_weights(events, &edges, h, scale, &cotangent)).transpose()?;
            let by_h =
                needs.2.then(|| histogram.by_bandwidth(events, &edges, h, scale, &cotangent)).transpose()?;
            Ok((by_x, by_weights, by_h))
        })?;
        let by_weights = weights.and_then(|weights| Some(weights.like(py, by_weights?)));
        Ok((by_x.map(|by_x| x.like(py, by_x)), by_weights, by_h))
    }
}

impl HistFactoryHistogram {
    fn run<R: Send>(
        &self,
        py: Python<'_>,
        events: usize,
        f: impl FnOnce(&mut SoftHistogram) -> Result<R, InferenceError> + Send,
    ) -> PyResult<R> {
        guarded(|| {
            let idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner).pop();
            let mut histogram = idle.unwrap_or_else(|| {
                SoftHistogram::new(self.bins, self.spread, self.ends, Arc::new(wootz_cpu::Cpu::default()))
            });
            let is_long = events.saturating_mul(self.bins + 1) > LONG;
            let result = if is_long { py.detach(|| f(&mut histogram)) } else { f(&mut histogram) };
            self.idle.lock().unwrap_or_else(PoisonError::into_inner).push(histogram);
            result.or_raise()
        })
    }
}

/// Numbers of a vector of either type.
struct Column<'a> {
    values: Cow<'a, [f64]>,
    is_single: bool,
}

impl<'a> Column<'a> {
    fn of(given: &'a Bound<'_, PyAny>) -> PyResult<Column<'a>> {
        if let Ok(single) = given.extract::<PyReadonlyArray1<'_, f32>>() {
            let values = single.as_array().iter().map(|x| f64::from(*x)).collect();
            return Ok(Column { values: Cow::Owned(values), is_single: true });
        }
        let length = given.cast::<PyUntypedArray>()?.len();
        let values = match vector(given, length) {
            Some(values) => Cow::Borrowed(values),
            None => Cow::Owned(given.extract::<PyReadonlyArray1<'_, f64>>()?.as_array().to_vec()),
        };
        Ok(Column { values, is_single: false })
    }

    /// An error unless all of them are finite.
    fn check(&self, what: &str) -> PyResult<()> {
        let (wrong, all) = (self.values.iter().filter(|x| !x.is_finite()).count(), self.values.len());
        if wrong == 0 {
            return Ok(());
        }
        let message = format!("{wrong} of {all} {what} are NaN or infinite; a histogram takes finite ones");
        Err(Kind::Model.error(message))
    }

    /// An array of the same type.
    fn like<'py>(&self, py: Python<'py>, values: Vec<f64>) -> Bound<'py, PyAny> {
        match self.is_single {
            true => PyArray1::from_iter(py, values.into_iter().map(|x| x as f32)).into_any(),
            false => PyArray1::from_vec(py, values).into_any(),
        }
    }
}
