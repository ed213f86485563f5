//! What each nuisance parameter does to the parameter of interest.

use super::interval::held;
use super::{Fit, FitOptions, Inference, InferenceError};

/// How far the parameter of interest moves when a nuisance parameter is fixed off its best fit and all others are fitted again.
#[derive(Copy, Clone, Debug, PartialEq)]
pub struct Impact {
    /// The nuisance parameter's position.
    pub parameter: usize,
    /// With the parameter its uncertainty after the fit below and above its best fit.
    pub postfit: [f64; 2],
    /// The same with its uncertainty before the fit; `None` without a constraint.
    pub prefit: Option<[f64; 2]>,
}

impl Impact {
    /// The larger of the two impacts after the fit.
    pub fn size(&self) -> f64 {
        self.postfit[0].abs().max(self.postfit[1].abs())
    }
}

impl Inference {
    /// The impacts of all nuisance parameters that a fit could move, the largest first.
    ///
    /// # Errors
    /// If there is no parameter of interest, or it is fixed; if a fit does not converge.
    pub fn ranking(
        &mut self,
        fit: &Fit,
        data: &[f64],
        options: &FitOptions,
    ) -> Result<Vec<Impact>, InferenceError> {
        let (poi, _) = self.poi(options)?;
        let covariance = self.covariance(fit, data)?;
        let prefit = self.model().prefit_uncertainties();
        let n = fit.parameters.len();
        let mut out = Vec::new();
        for parameter in (0..n).filter(|i| *i != poi && fit.fitted[*i] && !fit.held[*i]) {
            let mut moved = |error: f64| -> Result<[f64; 2], InferenceError> {
                let (lower, upper) = self.bounds(parameter, options);
                let mut shifts = [-error, error];
                for shift in &mut shifts {
                    let value = (fit.parameters[parameter] + *shift).clamp(lower, upper);
                    let options = held(options, &fit.fitted, &fit.parameters, parameter, value);
                    *shift = self.fit(data, &options)?.parameters[poi] - fit.parameters[poi];
                }
                Ok(shifts)
            };
            let postfit = moved(covariance[parameter * n + parameter].sqrt())?;
            let prefit = match prefit[parameter] {
                0.0 => None,
                error => Some(moved(error)?),
            };
            out.push(Impact { parameter, postfit, prefit });
            self.advance();
        }
        out.sort_by(|a, b| b.size().total_cmp(&a.size()));
        Ok(out)
    }
}
