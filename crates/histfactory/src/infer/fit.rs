//! Maximum likelihood fits.

use super::covariance::factor;
use super::dense::Factor;
use super::iteration::{Arg, Out};
use super::{EmptyBin, Inference, InferenceError, NotConverged};

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
    /// The most iterations of a start.
    pub max_iterations: usize,
    /// The most starting points. More than one are used where there may be several minima: where a step brought much more or less than a parabola
    /// would, a free factor other than the parameter of interest ends at a bound, interpolation has kinks, or no step of the first fit leads on.
    pub starts: usize,
}

impl FitOptions {
    /// The most starting points by default.
    pub const STARTS: usize = 6;
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
            starts: FitOptions::STARTS,
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
    /// Steps taken from the start that led here.
    pub iterations: usize,
    /// Evaluations of the objective and its derivatives, of all starts.
    pub evaluations: usize,
    /// Starting points tried.
    pub starts: usize,
}

/// Scaled gradients below this count as converged where rounding ends a fit.
pub(super) const PRECISION: f64 = 1e-5;
/// The share of the predicted decrease that a step must bring (Armijo's rule).
pub(super) const SUFFICIENT: f64 = 1e-4;
/// Below this expected decrease of −ln L the curvature is blended to the observed one.
pub(super) const NEAR: f64 = 0.5;
/// What the curvature's scaled diagonal is raised by: parameters that only act together leave it singular, and steps along what they leave
/// open are then as short as rounding is small.
pub(super) const DAMPING: f64 = 1e-10;
/// Shorter shares of a step are not tried: its direction is wrong, because bounds cut it or rounding made it.
pub(super) const SHORTEST: f64 = 1e-6;
/// The dampings tried then, one after the other. The last steps are along the gradient in units of the curvature's diagonal, which lower the
/// objective whatever the bounds.
pub(super) const RESCUES: [f64; 4] = [1e-3, 1.0, 1e3, 1e6];
/// The dampings tried for the exact Hessian, which need not be positive definite.
const SHIFTS: [f64; 5] = [DAMPING, 1e-3, 1e-2, 0.1, 1.0];
/// As many shares in a row below this call for the exact Hessian: the rates' own second derivatives decide how far a step may go.
const SHORT: (usize, f64) = (3, 0.1);
/// Scaled gradients below this are those of bins without counts in which nothing is expected either, and less could not be: the curvature
/// invented for them leaves this much.
const EDGE: f64 = 1e-4;
/// As many iterations without a smaller objective or gradient are the end of what numbers can tell.
const IDLE: usize = 8;
/// The exact Hessian costs as much as this share of the number of parameters in iterations, and is called for where more than that are left.
const ITERATIONS_A_PARAMETER: f64 = 0.2;
/// A contraction slower than this calls for the exact Hessian again, where steps are those of an earlier point's.
const STALE: f64 = 0.05;

/// Steps that should lower −ln L by less than this say nothing of other minima.
const MATTERS: f64 = 1e-2;
/// What a full step may bring, in units of what it would bring on a parabola, if there is to be no doubt that there is one minimum. What Poisson
/// terms do alone stays inside, but from starts far away.
const STRAIGHT: std::ops::RangeInclusive<f64> = 0.7..=1.35;

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

/// What is minimised, in checked form.
pub(super) struct Problem {
    what: String,
    pub(super) start: Vec<f64>,
    pub(super) free: Vec<f64>,
    pub(super) lower: Vec<f64>,
    pub(super) upper: Vec<f64>,
    tolerance: f64,
    max_iterations: usize,
    /// How far rounding can move −ln L.
    pub(super) noise: f64,
}

impl Problem {
    pub(super) fn new(
        inference: &Inference,
        data: &[f64],
        options: &FitOptions,
    ) -> Result<Problem, InferenceError> {
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
        let size: f64 = data.iter().map(|n| n.abs() * (1.0 + n.max(1.0).ln())).sum();
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
    pub(super) fn bind(&self, inference: &mut Inference, data: &[f64]) -> Result<(), InferenceError> {
        inference.set(Arg::Data, data)?;
        inference.set(Arg::Free, &self.free)?;
        inference.set(Arg::Lower, &self.lower)?;
        inference.set(Arg::Upper, &self.upper)?;
        inference.set(Arg::Damping, &[DAMPING])?;
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

/// A fit from one start.
pub(super) struct Run<'a> {
    inference: &'a mut Inference,
    problem: &'a Problem,
    data: &'a [f64],
    pub(super) evaluations: usize,
    /// Whether a step showed that the objective is not close to a parabola.
    pub(super) is_bent: bool,
    /// The exact Hessian that steps are those of.
    exact: Option<Exact>,
    /// The share of the last step that was taken.
    share: f64,
}

impl<'a> Run<'a> {
    pub(super) fn new(inference: &'a mut Inference, problem: &'a Problem, data: &'a [f64]) -> Run<'a> {
        Run { inference, problem, data, evaluations: 0, is_bent: false, exact: None, share: 1.0 }
    }

    pub(super) fn minimise(&mut self) -> Result<Fit, InferenceError> {
        let mut at = self.evaluate(self.problem.start.clone())?;
        if !at.nll.is_finite() {
            let negative = self.inference.model().negative_rate(&at.parameters)?.map(Box::new);
            let empty = self.empty_bin(&at.parameters)?.map(Box::new);
            let what = self.problem.what.clone();
            return Err(InferenceError::NoDensity { what, value: -at.nll, negative, empty });
        }
        let (mut is_near, mut wants_exact, mut idle, mut short) = (false, false, 0, 0);
        for iteration in 0..self.problem.max_iterations {
            if at.kkt <= self.problem.tolerance {
                return Ok(self.done(at, Convergence::Gradient, iteration));
            }
            if idle >= IDLE && at.kkt <= PRECISION {
                return Ok(self.done(at, Convergence::Precision, iteration));
            }
            if at.step.iter().any(|s| s.is_nan()) {
                at = self.damped(at, iteration)?;
            }
            if wants_exact {
                self.take_exact_step(&mut at)?;
            }
            let mut next = self.search(&at)?;
            if next.is_none() && wants_exact {
                (wants_exact, self.exact) = (false, None);
                at = self.evaluate(at.parameters)?;
                next = self.search(&at)?;
            }
            let is_rescue = next.is_none() && at.kkt > PRECISION;
            if is_rescue {
                is_near = false;
                next = self.rescue(&at)?;
            }
            let Some(next) = next else {
                if at.kkt <= EDGE {
                    return Ok(self.done(at, Convergence::Precision, iteration));
                }
                return Err(self.failed(at, NotConverged::Stalled, iteration));
            };
            self.is_bent = self.is_bent || is_rescue || self.bends(&at, &next);
            let is_progress = next.nll < at.nll - self.problem.noise || next.kkt < 0.9 * at.kkt;
            idle = if is_progress { 0 } else { idle + 1 };
            short = if self.share < SHORT.1 { short + 1 } else { 0 };
            wants_exact = wants_exact || short >= SHORT.0;
            if !is_near {
                self.exact = None;
            }
            let decrease = -dot(&next.gradient, &next.step, &next.moving) / 2.0;
            if !is_near && !is_rescue && decrease < NEAR {
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

    /// The first bin with counts in which nothing is expected.
    fn empty_bin(&mut self, parameters: &[f64]) -> Result<Option<EmptyBin>, InferenceError> {
        let rates = self.inference.expected_data(parameters)?;
        let channels = self.inference.model().config().channels.iter();
        let mut bins = channels.flat_map(|c| c.slice.clone().map(move |i| (c, i)));
        let found = bins.find(|(_, i)| rates[*i] == 0.0 && self.data[*i] > 0.0);
        Ok(found.map(|(channel, i)| EmptyBin {
            channel: channel.name.clone(),
            bin: i - channel.slice.start,
            count: self.data[i],
        }))
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

    /// Whether a step that matters changed the objective by much else than a parabola would. Steps that a bound cuts are those of no parabola.
    fn bends(&self, at: &Point, next: &Point) -> bool {
        let mut slope = 0.0;
        for i in 0..at.parameters.len() {
            let (x, shift) = (next.parameters[i], next.parameters[i] - at.parameters[i]);
            if shift != 0.0 && (x == self.problem.lower[i] || x == self.problem.upper[i]) {
                return false;
            }
            slope += at.gradient[i] * shift;
        }
        let parabola = slope / 2.0;
        parabola < -MATTERS && !STRAIGHT.contains(&((next.nll - at.nll) / parabola))
    }

    /// The first point along the projected step, halved as often as needed, that lowers the objective enough.
    fn search(&mut self, at: &Point) -> Result<Option<Point>, InferenceError> {
        let mut share = 1.0;
        while share > SHORTEST {
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
                self.share = share;
                return Ok(Some(next));
            }
            share *= if share == 1.0 { 0.5 } else { 0.25 };
        }
        Ok(None)
    }

    /// The next point by steps that are less and less those of Newton's method.
    fn rescue(&mut self, at: &Point) -> Result<Option<Point>, InferenceError> {
        self.inference.set(Arg::Blend, &[0.0])?;
        let mut found = None;
        for damping in RESCUES {
            self.inference.set(Arg::Damping, &[damping])?;
            let again = self.evaluate(at.parameters.clone())?;
            found = self.search(&again)?;
            if found.is_some() {
                break;
            }
        }
        self.inference.set(Arg::Damping, &[DAMPING])?;
        Ok(found)
    }

    /// The same point with a step from a damped curvature.
    fn damped(&mut self, at: Point, iteration: usize) -> Result<Point, InferenceError> {
        for damping in RESCUES {
            self.inference.set(Arg::Damping, &[damping])?;
            let again = self.evaluate(at.parameters.clone())?;
            if again.step.iter().all(|s| s.is_finite()) {
                self.inference.set(Arg::Damping, &[DAMPING])?;
                return Ok(again);
            }
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

    /// Replaces the step by that of an exact Hessian, of this point or one nearby, if little
    /// makes that positive definite.
    fn take_exact_step(&mut self, at: &mut Point) -> Result<(), InferenceError> {
        let n = at.parameters.len();
        let moving: Vec<usize> = (0..n).filter(|i| at.moving[*i]).collect();
        let exact = match self.exact.take() {
            Some(exact) if exact.moving == at.moving => exact,
            _ => {
                let hessian = self.inference.hessian(&at.parameters, self.data)?;
                let shifted = |shift: &f64| factor(&hessian, n, &moving, *shift);
                let Some((factor, scale)) = SHIFTS.iter().find_map(shifted) else { return Ok(()) };
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
            starts: 1,
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
