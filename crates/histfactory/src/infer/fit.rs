//! Maximum likelihood fits.

use super::dense::Factor;
use super::iteration::{Arg, Out};
use super::{Inference, InferenceError, NotConverged};

/// How a fit is made.
#[derive(Clone, Debug, PartialEq)]
pub struct FitOptions {
    /// Where it starts; the model's initial values by default. Put inside the bounds.
    pub init: Option<Vec<f64>>,
    /// Bounds; the model's by default.
    pub bounds: Option<Vec<(f64, f64)>>,
    /// Which parameters stay at their initial values; the model's by default.
    pub fixed: Option<Vec<bool>>,
    /// The value at which the parameter of interest is held: a conditional fit.
    pub poi: Option<f64>,
    /// The largest gradient component at the end, in units of the square root of the parameter's curvature.
    pub tolerance: f64,
    /// The most iterations.
    pub max_iterations: usize,
}

impl FitOptions {
    /// The tolerance by default: 2·ln L is within some 10⁻¹⁴ of its maximum for each parameter.
    pub const TOLERANCE: f64 = 1e-7;
    /// The tolerance where derivatives of the result are wanted, whose error is proportional to it.
    pub const TOLERANCE_FOR_GRADIENTS: f64 = 1e-10;

    /// The same with the parameter of interest held at a value.
    #[must_use]
    pub fn at_poi(&self, value: f64) -> FitOptions {
        FitOptions { poi: Some(value), ..self.clone() }
    }

    /// The same from another starting point.
    #[must_use]
    pub fn from(&self, parameters: &[f64]) -> FitOptions {
        FitOptions { init: Some(parameters.to_vec()), ..self.clone() }
    }
}

impl Default for FitOptions {
    fn default() -> Self {
        FitOptions {
            init: None,
            bounds: None,
            fixed: None,
            poi: None,
            tolerance: FitOptions::TOLERANCE,
            max_iterations: 200,
        }
    }
}

/// Why a fit is at its minimum.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub enum Convergence {
    /// The Karush-Kuhn-Tucker conditions hold to the tolerance.
    Gradient,
    /// They hold to within rounding: no step changes the objective any more.
    Precision,
}

/// A fit that converged.
#[derive(Clone, Debug, PartialEq)]
pub struct Fit {
    /// The best-fit parameters.
    pub parameters: Vec<f64>,
    /// −2 ln L there.
    pub twice_nll: f64,
    /// The gradient of −ln L by every parameter.
    pub gradient: Vec<f64>,
    /// Which parameters were fitted: not fixed.
    pub fitted: Vec<bool>,
    /// Which of those are held by a bound, or do not act on the data at all.
    pub held: Vec<bool>,
    /// The largest gradient component of the parameters that are fitted and not held, in units of the square root of their curvature.
    pub kkt: f64,
    /// Why it ended.
    pub convergence: Convergence,
    /// Steps taken.
    pub iterations: usize,
    /// Evaluations of the objective and its derivatives.
    pub evaluations: usize,
}

/// Scaled gradients below this count as converged where rounding ends a fit.
pub(super) const PRECISION: f64 = 1e-5;
/// The share of the predicted decrease that a step must bring (Armijo's rule).
pub(super) const SUFFICIENT: f64 = 1e-4;
/// Below this expected decrease of −ln L the curvature is blended to the observed one.
pub(super) const NEAR: f64 = 0.5;
/// The exact Hessian costs as much as this share of the number of parameters in iterations, and is called for where more than that are left.
const ITERATIONS_A_PARAMETER: f64 = 0.2;
/// A contraction slower than this calls for the exact Hessian again, where steps are those of an earlier point's.
const STALE: f64 = 0.05;

/// A point and what is known there.
#[derive(Clone, Debug, Default)]
struct Point {
    parameters: Vec<f64>,
    nll: f64,
    gradient: Vec<f64>,
    moving: Vec<bool>,
    step: Vec<f64>,
    kkt: f64,
}

impl Inference {
    /// The maximum likelihood fit.
    ///
    /// # Errors
    /// If it does not converge; if the options or the data are not right.
    pub fn fit(&mut self, data: &[f64], options: &FitOptions) -> Result<Fit, InferenceError> {
        let problem = Problem::new(self, data, options)?;
        problem.bind(self, data)?;
        let mut run = Run { inference: self, problem: &problem, data, evaluations: 0, exact: None };
        run.minimise()
    }

    /// The covariance of fitted parameters as the inverse of the observed Hessian on those that no bound holds; 0 for the others. Row-major.
    ///
    /// # Errors
    /// If the Hessian is not positive definite.
    pub fn covariance(&mut self, fit: &Fit, data: &[f64]) -> Result<Vec<f64>, InferenceError> {
        let moving: Vec<bool> =
            fit.fitted.iter().zip(&fit.held).map(|(fitted, held)| *fitted && !held).collect();
        self.covariance_of(&fit.parameters, data, &moving)
    }

    /// The covariance at any parameters, of those that are marked.
    ///
    /// # Errors
    /// If the Hessian is not positive definite.
    pub fn covariance_of(
        &mut self,
        parameters: &[f64],
        data: &[f64],
        moving: &[bool],
    ) -> Result<Vec<f64>, InferenceError> {
        let n = parameters.len();
        if moving.len() != n {
            return Err(InferenceError::Length { what: "moving", expected: n, got: moving.len() });
        }
        let hessian = self.hessian(parameters, data)?;
        let moving: Vec<usize> = (0..n).filter(|i| moving[*i]).collect();
        let factor = factor(&hessian, n, &moving).ok_or(InferenceError::SingularHessian)?;
        let mut out = vec![0.0; n * n];
        let inverse = factor.0.inverse();
        for (i, row) in moving.iter().enumerate() {
            for (j, column) in moving.iter().enumerate() {
                let scale = factor.1[i] * factor.1[j];
                out[row * n + column] = inverse[i * moving.len() + j] * scale;
            }
        }
        Ok(out)
    }
}

/// The factor of the part of a matrix that belongs to these rows, scaled to a diagonal of ones, with the scales.
fn factor(matrix: &[f64], n: usize, rows: &[usize]) -> Option<(Factor, Vec<f64>)> {
    if rows.iter().any(|i| matrix[i * n + i].is_nan() || matrix[i * n + i] <= 0.0) {
        return None;
    }
    let scale: Vec<f64> = rows.iter().map(|i| matrix[i * n + i].sqrt().recip()).collect();
    let mut part = Vec::with_capacity(rows.len() * rows.len());
    for (i, row) in rows.iter().enumerate() {
        part.extend(
            rows.iter().enumerate().map(|(j, column)| matrix[row * n + column] * scale[i] * scale[j]),
        );
    }
    Factor::new(rows.len(), part).map(|f| (f, scale))
}

/// What is minimised, in checked form.
struct Problem {
    what: String,
    start: Vec<f64>,
    free: Vec<f64>,
    lower: Vec<f64>,
    upper: Vec<f64>,
    tolerance: f64,
    max_iterations: usize,
    /// How far rounding can move −ln L.
    noise: f64,
}

impl Problem {
    fn new(inference: &Inference, data: &[f64], options: &FitOptions) -> Result<Problem, InferenceError> {
        let model = inference.model();
        let config = model.config();
        let n = config.parameters();
        let length = |what, got| match got == n {
            true => Ok(()),
            false => Err(InferenceError::Length { what, expected: n, got }),
        };
        model.check_data(data)?;
        let mut start = options.init.clone().unwrap_or_else(|| config.init.clone());
        let bounds = options.bounds.as_ref().unwrap_or(&config.bounds);
        let mut fixed = options.fixed.clone().unwrap_or_else(|| config.fixed.clone());
        length("init", start.len())?;
        length("bounds", bounds.len())?;
        length("fixed", fixed.len())?;
        let mut what = "all parameters".to_owned();
        if let Some(value) = options.poi {
            let poi = config.poi.ok_or(InferenceError::NoPoi)?;
            (start[poi], fixed[poi]) = (value, true);
            what = format!("the parameters at {} = {value}", config.names[poi]);
        }
        model.check_parameters(&start)?;
        for (i, (lower, upper)) in bounds.iter().enumerate() {
            let in_order = lower <= upper;
            if !in_order {
                let (name, lower, upper) = (config.names[i].clone(), *lower, *upper);
                return Err(InferenceError::Bounds { name, lower, upper });
            }
            if !fixed[i] {
                start[i] = start[i].clamp(*lower, *upper);
            }
        }
        if options.tolerance.is_nan() || options.tolerance <= 0.0 {
            let (what, value) = ("the tolerance", options.tolerance);
            return Err(InferenceError::Value { what, value, needs: "it must be positive" });
        }
        let counts = &data[..config.bins()];
        let size: f64 = counts.iter().map(|n| n * (1.0 + n.max(1.0).ln())).sum();
        Ok(Problem {
            what,
            start,
            free: fixed.iter().map(|f| if *f { 0.0 } else { 1.0 }).collect(),
            lower: bounds.iter().map(|b| b.0).collect(),
            upper: bounds.iter().map(|b| b.1).collect(),
            tolerance: options.tolerance,
            max_iterations: options.max_iterations,
            noise: 4.0 * f64::EPSILON * (size + data.len() as f64),
        })
    }

    /// Gives the iteration what stays the same.
    fn bind(&self, inference: &mut Inference, data: &[f64]) -> Result<(), InferenceError> {
        inference.set(Arg::Data, data)?;
        inference.set(Arg::Free, &self.free)?;
        inference.set(Arg::Lower, &self.lower)?;
        inference.set(Arg::Upper, &self.upper)?;
        inference.set(Arg::Damping, &[0.0])?;
        inference.set(Arg::Blend, &[0.0])
    }

    /// The point a share of a step away, inside the bounds.
    fn moved(&self, from: &[f64], step: &[f64], share: f64, moving: &[bool]) -> Vec<f64> {
        (0..from.len())
            .map(|i| match moving[i] {
                true => (from[i] + share * step[i]).clamp(self.lower[i], self.upper[i]),
                false => from[i],
            })
            .collect()
    }
}

/// The factor of a Hessian at some point, for the parameters that moved there.
struct Exact {
    factor: Factor,
    scale: Vec<f64>,
    moving: Vec<bool>,
}

struct Run<'a> {
    inference: &'a mut Inference,
    problem: &'a Problem,
    data: &'a [f64],
    evaluations: usize,
    /// The exact Hessian that steps are those of.
    exact: Option<Exact>,
}

impl Run<'_> {
    fn minimise(&mut self) -> Result<Fit, InferenceError> {
        let mut at = self.evaluate(self.problem.start.clone())?;
        if !at.nll.is_finite() {
            let negative = self.inference.model().negative_rate(&at.parameters)?.map(Box::new);
            return Err(InferenceError::NoDensity { value: -at.nll, negative });
        }
        let (mut is_near, mut wants_exact) = (false, false);
        for iteration in 0..self.problem.max_iterations {
            if at.kkt <= self.problem.tolerance {
                return Ok(self.done(at, Convergence::Gradient, iteration));
            }
            if at.step.iter().any(|s| s.is_nan()) {
                at = self.damped(at, iteration)?;
            }
            if wants_exact {
                self.take_exact_step(&mut at)?;
            }
            let Some(next) = self.search(&at)? else {
                if at.kkt <= PRECISION {
                    return Ok(self.done(at, Convergence::Precision, iteration));
                }
                return Err(self.failed(at, NotConverged::Stalled, iteration));
            };
            let decrease = -dot(&next.gradient, &next.step, &next.moving) / 2.0;
            if !is_near && decrease < NEAR {
                is_near = true;
                self.inference.set(Arg::Blend, &[1.0])?;
            } else if is_near && next.moving == at.moving {
                let contraction = next.kkt / at.kkt;
                wants_exact = wants_exact || self.is_slow(contraction, next.kkt);
                if contraction > STALE {
                    self.exact = None;
                }
            }
            at = next;
        }
        if at.kkt <= self.problem.tolerance {
            let iterations = self.problem.max_iterations;
            return Ok(self.done(at, Convergence::Gradient, iterations));
        }
        Err(self.failed(at, NotConverged::Iterations, self.problem.max_iterations))
    }

    fn evaluate(&mut self, parameters: Vec<f64>) -> Result<Point, InferenceError> {
        self.inference.set(Arg::Parameters, &parameters)?;
        self.inference.iterate()?;
        self.evaluations += 1;
        let result = |out| self.inference.result(out);
        let moving: Vec<bool> = result(Out::Moving).iter().map(|m| *m > 0.0).collect();
        let (gradient, curvature) = (result(Out::Gradient), result(Out::Curvature));
        let scaled = |i: usize| (gradient[i] / curvature[i].sqrt()).abs();
        // Not `f64::max`: a NaN must not be lost.
        let larger = |m: f64, x: f64| if x > m || x.is_nan() { x } else { m };
        let kkt = (0..moving.len()).filter(|i| moving[*i]).map(scaled).fold(0.0, larger);
        Ok(Point {
            nll: result(Out::Nll)[0],
            gradient: gradient.to_vec(),
            step: result(Out::Step).to_vec(),
            moving,
            kkt,
            parameters,
        })
    }

    /// The first point along the projected step, halved as often as needed, that lowers the objective enough.
    fn search(&mut self, at: &Point) -> Result<Option<Point>, InferenceError> {
        let mut share = 1.0;
        while share > 1e-12 {
            let parameters = self.problem.moved(&at.parameters, &at.step, share, &at.moving);
            if parameters == at.parameters {
                return Ok(None);
            }
            let predicted: f64 =
                (0..parameters.len()).map(|i| at.gradient[i] * (parameters[i] - at.parameters[i])).sum();
            let next = self.evaluate(parameters)?;
            let decrease = next.nll - at.nll;
            let enough = decrease <= SUFFICIENT * predicted;
            // Below what rounding leaves of the objective the gradient decides.
            let closer = decrease.abs() <= self.problem.noise && next.kkt < at.kkt;
            if next.nll.is_finite() && ((enough && predicted < 0.0) || closer) {
                return Ok(Some(next));
            }
            share *= if share == 1.0 { 0.5 } else { 0.25 };
        }
        Ok(None)
    }

    /// The same point with a step from a damped curvature.
    fn damped(&mut self, at: Point, iteration: usize) -> Result<Point, InferenceError> {
        let mut damping = 1e-10;
        while damping < 1e3 {
            self.inference.set(Arg::Damping, &[damping])?;
            let again = self.evaluate(at.parameters.clone())?;
            if again.step.iter().all(|s| s.is_finite()) {
                self.inference.set(Arg::Damping, &[0.0])?;
                return Ok(again);
            }
            damping *= 100.0;
        }
        Err(self.failed(at, NotConverged::Singular, iteration))
    }

    /// Whether so many iterations are left at this contraction that the exact Hessian costs less.
    fn is_slow(&self, contraction: f64, kkt: f64) -> bool {
        let left = (kkt / self.problem.tolerance).ln() / -contraction.ln();
        // Nothing is left, or the gradient does not shrink.
        let is_done = kkt <= self.problem.tolerance;
        !is_done && (contraction >= 1.0 || left > ITERATIONS_A_PARAMETER * self.problem.start.len() as f64)
    }

    /// Replaces the step by that of an exact Hessian, of this point or one nearby, if that is positive definite.
    fn take_exact_step(&mut self, at: &mut Point) -> Result<(), InferenceError> {
        let n = at.parameters.len();
        let moving: Vec<usize> = (0..n).filter(|i| at.moving[*i]).collect();
        let exact = match self.exact.take() {
            Some(exact) if exact.moving == at.moving => exact,
            _ => {
                let hessian = self.inference.hessian(&at.parameters, self.data)?;
                let Some((factor, scale)) = factor(&hessian, n, &moving) else { return Ok(()) };
                Exact { factor, scale, moving: at.moving.clone() }
            }
        };
        let scaled = moving.iter().zip(&exact.scale);
        let mut step: Vec<f64> = scaled.map(|(i, s)| -at.gradient[*i] * s).collect();
        exact.factor.solve(&mut step);
        for ((i, step), scale) in moving.iter().zip(step).zip(&exact.scale) {
            at.step[*i] = step * scale;
        }
        self.exact = Some(exact);
        Ok(())
    }

    fn done(&self, at: Point, convergence: Convergence, iterations: usize) -> Fit {
        let fitted: Vec<bool> = self.problem.free.iter().map(|f| *f > 0.0).collect();
        Fit {
            held: fitted.iter().zip(&at.moving).map(|(fitted, moving)| *fitted && !moving).collect(),
            fitted,
            twice_nll: 2.0 * at.nll,
            parameters: at.parameters,
            gradient: at.gradient,
            kkt: at.kkt,
            convergence,
            iterations,
            evaluations: self.evaluations,
        }
    }

    fn failed(&self, at: Point, reason: NotConverged, iterations: usize) -> InferenceError {
        InferenceError::NotConverged {
            what: self.problem.what.clone(),
            reason,
            iterations,
            kkt: at.kkt,
            tolerance: self.problem.tolerance,
            parameters: at.parameters,
        }
    }
}

fn dot(x: &[f64], y: &[f64], on: &[bool]) -> f64 {
    (0..x.len()).filter(|i| on[*i]).map(|i| x[i] * y[i]).sum()
}
