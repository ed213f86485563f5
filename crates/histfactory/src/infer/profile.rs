//! The profiled likelihood of a parameter.

use super::interval::held;
use super::{Fit, FitOptions, Inference, InferenceError};

impl Inference {
    /// −2 ln λ of the parameter at `index` at each of `values`, all others fitted again. It is negative where such a fit is better than `fit`,
    /// which then was not the best one.
    ///
    /// # Errors
    /// If the parameter is fixed; if a value is not finite; if a fit does not converge.
    pub fn profile(
        &mut self,
        index: usize,
        values: &[f64],
        fit: &Fit,
        data: &[f64],
        options: &FitOptions,
    ) -> Result<Vec<f64>, InferenceError> {
        self.require_free(index, fit)?;
        if let Some(value) = values.iter().find(|x| !x.is_finite()) {
            let (what, needs) = ("a value to scan", "every number must be finite");
            return Err(InferenceError::Value { what, value: *value, needs });
        }
        let mut start = fit.parameters.clone();
        let mut rises = Vec::with_capacity(values.len());
        for value in values {
            let mut options = held(options, &fit.fitted, &start, index, *value);
            let bounds = options.bounds.get_or_insert_with(|| self.model().config().bounds.clone());
            // The parameter is held, so that a value outside its bounds is a value like any other.
            bounds[index] = (bounds[index].0.min(*value), bounds[index].1.max(*value));
            let found = self.fit(data, &options)?;
            rises.push(found.twice_nll - fit.twice_nll);
            start = found.parameters;
            self.advance();
        }
        Ok(rises)
    }
}
