//! Fits, tests and limits.

use super::HistFactoryModel;
use super::report::{PastFit, Ranked, prediction_dict};
use crate::error::{Kind, OrRaise, Raise, guarded, with_causes};
use numpy::{PyArray1, PyArray2, PyArrayMethods, PyReadonlyArray1};
use pyo3::prelude::*;
use pyo3::types::{IntoPyDict, PyDict};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use wootz_histfactory::{
    Convergence, Fit, FitOptions, Hypotest, HypotestOptions, Inference, InferenceError, InferenceOptions,
    LimitOptions, Model, Observer, Statistic, ToyOptions,
};

/// Inference with a model. Threads may use it at once: each borrows compiled programs of its own.
#[pyclass(frozen, module = "wootz._native")]
pub(crate) struct HistFactoryInference {
    model: Arc<Model>,
    options: InferenceOptions,
    idle: Mutex<Vec<Inference>>,
}

/// How fits are made, as Python gives it.
#[derive(FromPyObject)]
#[pyo3(from_item_all)]
pub(super) struct Options {
    init: Option<Vec<f64>>,
    bounds: Option<Vec<(f64, f64)>>,
    fixed: Option<Vec<bool>>,
    mu: Option<f64>,
    tolerance: Option<f64>,
    max_iterations: Option<usize>,
    starts: Option<usize>,
}

impl Options {
    pub(super) fn get(self) -> FitOptions {
        let default = FitOptions::default();
        FitOptions {
            init: self.init,
            bounds: self.bounds,
            fixed: self.fixed,
            poi: self.mu,
            tolerance: self.tolerance.unwrap_or(default.tolerance),
            max_iterations: self.max_iterations.unwrap_or(default.max_iterations),
            starts: self.starts.unwrap_or(default.starts),
        }
    }
}

/// Looks for Ctrl-C now and then, and tells a function of Python how many steps are done.
struct Watch {
    state: Mutex<(Instant, Option<PyErr>)>,
    done: AtomicUsize,
    progress: Option<Py<PyAny>>,
}

impl Watch {
    fn new(progress: Option<Py<PyAny>>) -> Watch {
        Watch { state: Mutex::new((Instant::now(), None)), done: AtomicUsize::new(0), progress }
    }

    fn look(&self, py: Python<'_>) -> PyResult<()> {
        py.check_signals()?;
        if let Some(progress) = &self.progress {
            progress.call1(py, (self.done.load(Ordering::Relaxed),))?;
        }
        Ok(())
    }
}

impl Observer for Watch {
    fn stop(&self) -> bool {
        const EVERY: Duration = Duration::from_millis(50);
        let mut state = unpoisoned(&self.state);
        if state.1.is_none() && state.0.elapsed() >= EVERY {
            state.0 = Instant::now();
            drop(state);
            // Python code runs now: nothing is locked meanwhile.
            let raised = Python::attach(|py| self.look(py)).err();
            state = unpoisoned(&self.state);
            state.1 = state.1.take().or(raised);
        }
        state.1.is_some()
    }

    fn advance(&self) {
        self.done.fetch_add(1, Ordering::Relaxed);
    }
}

fn unpoisoned<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl HistFactoryInference {
    pub(super) fn with(model: Arc<Model>, options: InferenceOptions) -> HistFactoryInference {
        HistFactoryInference { model, options, idle: Mutex::default() }
    }

    /// Runs something without the interpreter.
    pub(super) fn run<R: Send>(
        &self,
        py: Python<'_>,
        f: impl FnOnce(&mut Inference) -> Result<R, InferenceError> + Send,
    ) -> PyResult<R> {
        self.run_watched(py, None, f)
    }

    /// Runs something of many steps without the interpreter. `progress` is called with the number of steps done, now and then.
    fn run_watched<R: Send>(
        &self,
        py: Python<'_>,
        progress: Option<Py<PyAny>>,
        f: impl FnOnce(&mut Inference) -> Result<R, InferenceError> + Send,
    ) -> PyResult<R> {
        let watch = Arc::new(Watch::new(progress));
        let run = || {
            let idle = unpoisoned(&self.idle).pop();
            let mut inference = match idle {
                Some(inference) => inference,
                None => {
                    let backend = Arc::new(wootz_cpu::Cpu::default());
                    Inference::new(self.model.clone(), backend, self.options.clone())?
                }
            };
            inference.observe(Some(watch.clone()));
            let result = f(&mut inference);
            inference.observe(None);
            unpoisoned(&self.idle).push(inference);
            result
        };
        let result = guarded(|| Ok(py.detach(run)))?;
        match unpoisoned(&watch.state).1.take() {
            Some(raised) => Err(raised),
            None => result.or_raise(),
        }
    }
}

pub(super) fn statistic(name: &str) -> PyResult<Statistic> {
    Statistic::parse(name).ok_or_else(|| {
        let known = Statistic::ALL.map(Statistic::name).join(", ");
        Kind::UnknownName.error(format!("there is no test statistic `{name}`; there are: {known}"))
    })
}

pub(super) fn fit_dict<'py>(py: Python<'py>, fit: &Fit) -> PyResult<Bound<'py, PyDict>> {
    let convergence = match fit.convergence {
        Convergence::Gradient => "gradient",
        Convergence::Precision => "precision",
    };
    let out = PyDict::new(py);
    out.set_item("parameters", PyArray1::from_slice(py, &fit.parameters))?;
    out.set_item("twice_nll", fit.twice_nll)?;
    out.set_item("gradient", PyArray1::from_slice(py, &fit.gradient))?;
    out.set_item("fitted", PyArray1::from_slice(py, &fit.fitted))?;
    out.set_item("held", PyArray1::from_slice(py, &fit.held))?;
    out.set_item("kkt", fit.kkt)?;
    out.set_item("convergence", convergence)?;
    out.set_item("iterations", fit.iterations)?;
    out.set_item("evaluations", fit.evaluations)?;
    out.set_item("starts", fit.starts)?;
    Ok(out)
}

type Advised<'py> = (Bound<'py, PyDict>, Option<&'static str>);

fn hypotest_dict<'py>(py: Python<'py>, test: &Hypotest) -> PyResult<Advised<'py>> {
    let Hypotest { mu, observed, expected, cls_b, cl_b, statistic, asimov, advice } = test;
    let out = [
        ("mu", *mu),
        ("observed", *observed),
        ("cls_b", *cls_b),
        ("cl_b", *cl_b),
        ("statistic", *statistic),
        ("asimov", *asimov),
    ]
    .into_py_dict(py)?;
    out.set_item("expected", band(expected))?;
    Ok((out, *advice))
}

/// A band as a tuple.
fn band<T: Copy>(values: &[T; 5]) -> (T, T, T, T, T) {
    let [a, b, c, d, e] = *values;
    (a, b, c, d, e)
}

fn square<'py>(py: Python<'py>, values: Vec<f64>, columns: usize) -> PyResult<Bound<'py, PyArray2<f64>>> {
    let rows = values.len().checked_div(columns).unwrap_or(0);
    PyArray1::from_vec(py, values).reshape([rows, columns])
}

type Data<'py> = PyReadonlyArray1<'py, f64>;

#[pymethods]
impl HistFactoryInference {
    /// Inference with this model; programs are compiled when they are first used.
    #[new]
    fn new(model: &HistFactoryModel, threads: Option<usize>) -> HistFactoryInference {
        let mut options = InferenceOptions::default();
        options.compile.backend.threads = threads;
        HistFactoryInference::with(model.shared(), options)
    }

    /// A fit.
    fn fit<'py>(&self, py: Python<'py>, data: Data<'py>, options: Options) -> PyResult<Bound<'py, PyDict>> {
        let (data, options) = (data.to_vec()?, options.get());
        let fit = self.run(py, |i| i.fit(&data, &options))?;
        fit_dict(py, &fit)
    }

    /// The covariance at these parameters, of those marked.
    fn covariance<'py>(
        &self,
        py: Python<'py>,
        parameters: Data<'py>,
        data: Data<'py>,
        moving: Vec<bool>,
    ) -> PyResult<Bound<'py, PyArray2<f64>>> {
        let (parameters, data) = (parameters.to_vec()?, data.to_vec()?);
        let covariance = self.run(py, |i| i.covariance_of(&parameters, &data, &moving))?;
        square(py, covariance, parameters.len())
    }

    /// A test statistic with its two fits, and advice.
    fn test_statistic<'py>(
        &self,
        py: Python<'py>,
        name: &str,
        mu: f64,
        data: Data<'py>,
        options: Options,
    ) -> PyResult<Advised<'py>> {
        let (data, statistic, options) = (data.to_vec()?, statistic(name)?, options.get());
        let test = self.run(py, |i| i.test_statistic(statistic, mu, &data, &options))?;
        let out = [("mu", test.mu), ("value", test.value)].into_py_dict(py)?;
        out.set_item("conditional", fit_dict(py, &test.conditional)?)?;
        out.set_item("free", fit_dict(py, &test.free)?)?;
        Ok((out, test.advice))
    }

    /// An asymptotic test of a value, and advice.
    fn hypotest<'py>(
        &self,
        py: Python<'py>,
        mu: f64,
        data: Data<'py>,
        name: &str,
        options: Options,
    ) -> PyResult<Advised<'py>> {
        let data = data.to_vec()?;
        let options = HypotestOptions { statistic: statistic(name)?, fit: options.get() };
        let test = self.run(py, |i| i.hypotest(mu, &data, &options))?;
        hypotest_dict(py, &test)
    }

    /// Expected data at fitted parameters.
    fn asimov_data<'py>(
        &self,
        py: Python<'py>,
        mu: f64,
        data: Data<'py>,
        options: Options,
    ) -> PyResult<Bound<'py, PyArray1<f64>>> {
        let (data, options) = (data.to_vec()?, options.get());
        Ok(PyArray1::from_vec(py, self.run(py, |i| i.asimov_data(mu, &data, &options))?))
    }

    /// The significance of a discovery.
    fn significance<'py>(
        &self,
        py: Python<'py>,
        data: Data<'py>,
        options: Options,
    ) -> PyResult<Bound<'py, PyDict>> {
        let (data, options) = (data.to_vec()?, options.get());
        let z = self.run(py, |i| i.significance(&data, &options))?;
        [("observed", z.observed), ("expected", z.expected), ("p_value", z.p_value), ("mu_hat", z.mu_hat)]
            .into_py_dict(py)
    }

    /// An upper limit. As everywhere `progress` is called with the number of steps done.
    fn upper_limit<'py>(
        &self,
        py: Python<'py>,
        data: Data<'py>,
        level: f64,
        name: &str,
        options: Options,
        progress: Option<Py<PyAny>>,
    ) -> PyResult<Bound<'py, PyDict>> {
        let data = data.to_vec()?;
        let test = HypotestOptions { statistic: statistic(name)?, fit: options.get() };
        let options = LimitOptions { level, test, ..LimitOptions::default() };
        let limit = self.run_watched(py, progress, |i| i.upper_limit(&data, &options))?;
        let out = PyDict::new(py);
        out.set_item("observed", limit.observed)?;
        out.set_item("expected", band(&limit.expected))?;
        out.set_item("widened", limit.widened)?;
        Ok(out)
    }

    /// Tests at several values, each with advice, and the limits between them.
    fn scan<'py>(
        &self,
        py: Python<'py>,
        values: Vec<f64>,
        data: Data<'py>,
        level: f64,
        name: &str,
        options: Options,
        progress: Option<Py<PyAny>>,
    ) -> PyResult<(Vec<Advised<'py>>, Bound<'py, PyDict>)> {
        let data = data.to_vec()?;
        let test = HypotestOptions { statistic: statistic(name)?, fit: options.get() };
        let options = LimitOptions { level, test, ..LimitOptions::default() };
        let scan = self.run_watched(py, progress, |i| i.scan(&values, &data, &options))?;
        let tests = scan.tests.iter().map(|t| hypotest_dict(py, t)).collect::<PyResult<_>>()?;
        let limits = PyDict::new(py);
        limits.set_item("observed", scan.observed)?;
        limits.set_item("expected", band(&scan.expected))?;
        Ok((tests, limits))
    }

    /// A test by toys.
    fn toys<'py>(
        &self,
        py: Python<'py>,
        mu: f64,
        data: Data<'py>,
        toys: usize,
        seed: u64,
        threads: Option<usize>,
        name: &str,
        options: Options,
        progress: Option<Py<PyAny>>,
    ) -> PyResult<Bound<'py, PyDict>> {
        let (data, statistic, fit) = (data.to_vec()?, statistic(name)?, options.get());
        let options = ToyOptions { toys, seed, threads, statistic, fit };
        let toys = self.run_watched(py, progress, |i| i.toys(mu, &data, &options))?;
        let out = [
            ("mu", toys.mu),
            ("statistic", toys.statistic),
            ("cls_b", toys.cls_b),
            ("cl_b", toys.cl_b),
            ("observed", toys.observed),
        ]
        .into_py_dict(py)?;
        out.set_item("expected", band(&toys.expected))?;
        out.set_item("signal", PyArray1::from_vec(py, toys.signal))?;
        out.set_item("background", PyArray1::from_vec(py, toys.background))?;
        out.set_item("failed", toys.failed)?;
        Ok(out)
    }

    /// Both ends of a parameter's interval.
    fn interval<'py>(
        &self,
        py: Python<'py>,
        index: usize,
        sigmas: f64,
        fit: PastFit,
        data: Data<'py>,
        options: Options,
    ) -> PyResult<(Option<f64>, Option<f64>)> {
        let (fit, data, options) = (fit.get(), data.to_vec()?, options.get());
        let interval = self.run(py, |i| i.interval(index, sigmas, &fit, &data, &options))?;
        Ok((interval.lower, interval.upper))
    }

    /// −2 ln λ of a parameter at each value.
    fn profile<'py>(
        &self,
        py: Python<'py>,
        index: usize,
        values: Vec<f64>,
        fit: PastFit,
        data: Data<'py>,
        options: Options,
        progress: Option<Py<PyAny>>,
    ) -> PyResult<Bound<'py, PyArray1<f64>>> {
        let (fit, data, options) = (fit.get(), data.to_vec()?, options.get());
        let rises = self.run_watched(py, progress, |i| i.profile(index, &values, &fit, &data, &options))?;
        Ok(PyArray1::from_vec(py, rises))
    }

    /// Impacts, the largest first: position, impacts after and before the fit.
    fn ranking<'py>(
        &self,
        py: Python<'py>,
        fit: PastFit,
        data: Data<'py>,
        options: Options,
        progress: Option<Py<PyAny>>,
    ) -> PyResult<Vec<Ranked>> {
        let (fit, data, options) = (fit.get(), data.to_vec()?, options.get());
        let ranking = self.run_watched(py, progress, |i| i.ranking(&fit, &data, &options))?;
        let impacts = ranking.into_iter().map(|i| (i.parameter, i.postfit.into(), i.prefit.map(Into::into)));
        Ok(impacts.collect())
    }

    /// χ², degrees of freedom, p-value.
    fn goodness_of_fit<'py>(
        &self,
        py: Python<'py>,
        fit: PastFit,
        data: Data<'py>,
    ) -> PyResult<(f64, usize, Option<f64>)> {
        let (fit, data) = (fit.get(), data.to_vec()?);
        let goodness = self.run(py, |i| i.goodness_of_fit(&fit, &data))?;
        Ok((goodness.chi2, goodness.degrees_of_freedom, goodness.p_value))
    }

    /// Pull and constraint of each parameter that has them.
    fn pulls<'py>(
        &self,
        py: Python<'py>,
        fit: PastFit,
        data: Data<'py>,
    ) -> PyResult<Vec<Option<(f64, f64)>>> {
        let (fit, data) = (fit.get(), data.to_vec()?);
        let pulls = self.run(py, |i| i.pulls(&fit, &data))?;
        Ok(pulls.into_iter().map(|p| p.map(|p| (p.value, p.uncertainty))).collect())
    }

    /// Yields at parameters with a covariance; without any, those before a fit.
    fn prediction<'py>(
        &self,
        py: Python<'py>,
        at: Option<(Data<'py>, Vec<f64>)>,
    ) -> PyResult<Bound<'py, PyDict>> {
        let at = at.map(|(parameters, covariance)| Ok::<_, PyErr>((parameters.to_vec()?, covariance)));
        let at = at.transpose()?;
        let found = self.run(py, |i| match &at {
            Some((parameters, covariance)) => i.prediction(parameters, covariance),
            None => i.prefit_prediction(),
        })?;
        prediction_dict(py, &found)
    }
}

impl Raise for InferenceError {
    fn raise(self) -> PyErr {
        let kind = match self {
            InferenceError::Model(error) => return error.raise(),
            InferenceError::Transform(error) => return error.raise(),
            InferenceError::Compile(error) => return error.raise(),
            InferenceError::Run(error) => return error.raise(),
            InferenceError::Stopped => return pyo3::exceptions::PyKeyboardInterrupt::new_err(()),
            InferenceError::NotConverged { ref parameters, .. } => {
                let parameters = parameters.clone();
                let error = Kind::Fit.error(with_causes(&self));
                let set = |py: Python<'_>| {
                    error.value(py).setattr("parameters", PyArray1::from_vec(py, parameters))
                };
                return match Python::attach(set) {
                    Ok(()) => error,
                    Err(other) => other,
                };
            }
            InferenceError::NoDensity { .. }
            | InferenceError::SingularHessian
            | InferenceError::NoToys { .. }
            | InferenceError::NoLimit { .. } => Kind::Fit,
            InferenceError::Rule(_) => Kind::Internal,
            InferenceError::NoInterval { .. } => Kind::Fit,
            InferenceError::Length { .. } => Kind::Shape,
            InferenceError::NoPoi
            | InferenceError::PoiFixed { .. }
            | InferenceError::ParameterFixed { .. }
            | InferenceError::Bounds { .. }
            | InferenceError::NotAnInput { .. }
            | InferenceError::Value { .. }
            | InferenceError::NotAsymptotic { .. } => Kind::Model,
        };
        kind.error(with_causes(&self))
    }
}
