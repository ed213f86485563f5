//! Intervals from the profiled likelihood, as MINOS gives them.

use super::{Fit, FitOptions, Inference, InferenceError};

/// Where −2 ln λ of one parameter, all others profiled, reaches a threshold.
#[derive(Copy, Clone, Debug, PartialEq)]
pub struct Interval {
    /// Below the best fit; `None` if the lower bound comes first.
    pub lower: Option<f64>,
    /// Above the best fit; `None` if the upper bound comes first.
    pub upper: Option<f64>,
}

/// The relative precision of −2 ln λ at an end.
const PRECISION: f64 = 1e-8;
const STEPS: usize = 60;

impl Inference {
    /// The interval of the parameter at `index` with −2 ln λ = `sigmas`² at its ends (James, Roos, Comput. Phys. Commun. 10 (1975) 343).
    ///
    /// # Errors
    /// If the parameter is fixed; if a fit does not converge; if −2 ln λ does not rise.
    pub fn interval(
        &mut self,
        index: usize,
        sigmas: f64,
        fit: &Fit,
        data: &[f64],
        options: &FitOptions,
    ) -> Result<Interval, InferenceError> {
        if sigmas.is_nan() || sigmas <= 0.0 {
            let (what, needs) = ("the number of standard deviations", "it must be positive");
            return Err(InferenceError::Value { what, value: sigmas, needs });
        }
        let error = self.uncertainty(index, fit, data)?;
        let end = |inference: &mut Inference, side: f64| {
            inference.end(index, sigmas, side * error, fit, data, options)
        };
        Ok(Interval { lower: end(self, -1.0)?, upper: end(self, 1.0)? })
    }

    /// The end of an interval on the side of `error`, the signed uncertainty.
    fn end(
        &mut self,
        index: usize,
        sigmas: f64,
        error: f64,
        fit: &Fit,
        data: &[f64],
        options: &FitOptions,
    ) -> Result<Option<f64>, InferenceError> {
        let best = fit.parameters[index];
        let (lower, upper) = self.bounds(index, options);
        let bound = if error < 0.0 { lower } else { upper };
        let inside = |x: f64| if error < 0.0 { x.max(bound) } else { x.min(bound) };
        // √(−2 ln λ) is close to a straight line, and its derivative is known: Newton's method between the nearest points on either side.
        let (mut near, mut far) = (best, None);
        let mut start = fit.parameters.clone();
        let mut at = inside(best + sigmas * error);
        for _ in 0..STEPS {
            let held = self.fit(data, &held(options, &fit.fitted, &start, index, at))?;
            let root = (held.twice_nll - fit.twice_nll).max(0.0).sqrt();
            if (root - sigmas).abs() <= PRECISION * sigmas {
                return Ok(Some(at));
            }
            match root < sigmas {
                true if at == bound => return Ok(None),
                true => near = at,
                false => far = Some(at),
            }
            let slope = held.gradient[index] / root;
            let mut next = inside(at + (sigmas - root) / slope);
            let is_between =
                |x: f64| (x - near) * error > 0.0 && far.is_none_or(|far| (far - x) * error > 0.0);
            if !is_between(next) {
                next = inside(far.map_or(near + 2.0 * (at - best) + error, |far| 0.5 * (near + far)));
            }
            if next == at {
                return Ok(Some(at));
            }
            start = held.parameters;
            at = next;
        }
        let name = self.model().config().names[index].clone();
        Err(InferenceError::NoInterval { name, value: at, sigmas })
    }

    /// The uncertainty of a parameter that a fit may move.
    pub(super) fn uncertainty(
        &mut self,
        index: usize,
        fit: &Fit,
        data: &[f64],
    ) -> Result<f64, InferenceError> {
        self.require_free(index, fit)?;
        let n = fit.parameters.len();
        // At a bound the others' covariance still stands; a step for the parameter itself comes from its own curvature.
        let mut moving: Vec<bool> = fit.fitted.iter().zip(&fit.held).map(|(f, h)| *f && !h).collect();
        moving[index] = true;
        let variance = self.covariance_of(&fit.parameters, data, &moving)?[index * n + index];
        Ok(variance.sqrt())
    }

    /// Refuses positions without a parameter, and parameters that the fit did not move.
    pub(super) fn require_free(&self, index: usize, fit: &Fit) -> Result<(), InferenceError> {
        if index >= fit.parameters.len() {
            let (what, needs) = ("the position of a parameter", "it must be one of the model's");
            return Err(InferenceError::Value { what, value: index as f64, needs });
        }
        if !fit.fitted[index] {
            return Err(InferenceError::ParameterFixed { name: self.model().config().names[index].clone() });
        }
        Ok(())
    }

    pub(super) fn bounds(&self, index: usize, options: &FitOptions) -> (f64, f64) {
        options.bounds.as_ref().unwrap_or(&self.model().config().bounds)[index]
    }
}

/// The same fit with a parameter held at a value.
pub(super) fn held(
    options: &FitOptions,
    fitted: &[bool],
    start: &[f64],
    index: usize,
    value: f64,
) -> FitOptions {
    let mut init = start.to_vec();
    init[index] = value;
    let mut fixed: Vec<bool> = fitted.iter().map(|f| !f).collect();
    fixed[index] = true;
    FitOptions { init: Some(init), fixed: Some(fixed), poi: None, ..options.clone() }
}
