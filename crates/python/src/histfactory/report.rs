//! What a fit says, to and from Python.

use numpy::{PyArray1, PyArray2, PyArrayMethods};
use pyo3::prelude::*;
use pyo3::types::PyDict;
use wootz_histfactory::{Convergence, Fit, Prediction, Yield};

/// A fit, as Python keeps it.
#[derive(FromPyObject)]
pub(super) struct PastFit {
    parameters: Vec<f64>,
    twice_nll: f64,
    fitted: Vec<bool>,
    held: Vec<bool>,
}

impl PastFit {
    pub(super) fn get(self) -> Fit {
        let n = self.parameters.len();
        Fit {
            gradient: vec![0.0; n],
            parameters: self.parameters,
            twice_nll: self.twice_nll,
            fitted: self.fitted,
            held: self.held,
            kkt: 0.0,
            convergence: Convergence::Gradient,
            iterations: 0,
            evaluations: 0,
            starts: 1,
        }
    }
}

/// Position, impacts after and before the fit.
pub(super) type Ranked = (usize, Pair<f64>, Option<Pair<f64>>);

type Pair<T> = (T, T);

pub(super) fn prediction_dict<'py>(py: Python<'py>, of: &Prediction) -> PyResult<Bound<'py, PyDict>> {
    let out = PyDict::new(py);
    out.set_item("bins", vector(py, &of.bins))?;
    out.set_item("channels", vector(py, &of.channels))?;
    out.set_item("samples", matrix(py, &of.samples)?)?;
    out.set_item("sample_totals", matrix(py, &of.sample_totals)?)?;
    Ok(out)
}

/// Values and uncertainties.
fn vector<'py>(py: Python<'py>, yields: &[Yield]) -> Pair<Bound<'py, PyArray1<f64>>> {
    let array = |of: fn(&Yield) -> f64| PyArray1::from_iter(py, yields.iter().map(of));
    (array(|y| y.value), array(|y| y.uncertainty))
}

fn matrix<'py>(py: Python<'py>, rows: &[Vec<Yield>]) -> PyResult<Pair<Bound<'py, PyArray2<f64>>>> {
    let columns = rows.first().map_or(0, Vec::len);
    let array = |of: fn(&Yield) -> f64| {
        PyArray1::from_iter(py, rows.iter().flatten().map(of)).reshape([rows.len(), columns])
    };
    Ok((array(|y| y.value)?, array(|y| y.uncertainty)?))
}
