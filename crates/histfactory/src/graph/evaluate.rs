//! Evaluation without a backend, by the reference interpreter, and what is wrong where there is no density.

use super::{GraphOptions, Templates};
use crate::{Model, ModelError, NegativeRate};
use wootz_ir::{Builder, DType, HostTensor, Value, eval};

impl Model {
    /// The expected rates at these parameters, by the reference interpreter.
    pub fn eval_rates(&self, parameters: &[f64]) -> Result<Vec<f64>, ModelError> {
        self.check_parameters(parameters)?;
        let graph = self.rates_graph(&GraphOptions::default())?;
        let parameters = HostTensor::from_f64(DType::F64, &[parameters.len()], parameters);
        Ok(eval::region(&graph.body, &[parameters])?[0].to_f64())
    }

    /// The log-density, by the reference interpreter. A negative rate is an error.
    pub fn eval_logpdf(&self, parameters: &[f64], data: &[f64]) -> Result<f64, ModelError> {
        self.check_parameters(parameters)?;
        self.check_data(data)?;
        let graph = self.logpdf_graph(&GraphOptions::default())?;
        let tensor = |values: &[f64]| HostTensor::from_f64(DType::F64, &[values.len()], values);
        let logpdf = eval::region(&graph.body, &[tensor(parameters), tensor(data)])?[0].to_f64()[0];
        match self.negative_rate(parameters)? {
            Some(negative) if logpdf.is_nan() => Err(Box::new(negative).into()),
            _ => Ok(logpdf),
        }
    }

    /// The first bin whose expected rate at these parameters is negative: why a log-density is NaN.
    pub fn negative_rate(&self, parameters: &[f64]) -> Result<Option<NegativeRate>, ModelError> {
        self.check_parameters(parameters)?;
        let mut b = Builder::new();
        let at = b.constant(HostTensor::from_f64(DType::F64, &[parameters.len()], parameters));
        let templates = Templates::constant();
        let results: [Value; 2] =
            [self.rates(&mut b, at, &templates)?, self.sample_rates(&mut b, at, &templates)?];
        let values = eval::region(&b.finish(&results), &[])?;
        let (rates, samples) = (values[0].to_f64(), values[1].to_f64());
        let Some(bin) = rates.iter().position(|r| *r < 0.0) else { return Ok(None) };
        let config = self.config();
        let Some((channel, in_channel)) = config.locate(bin) else { return Ok(None) };
        let contribution = |sample: usize| samples[sample * rates.len() + bin];
        let lowest = (0..config.samples.len())
            .min_by(|a, b| contribution(*a).total_cmp(&contribution(*b)))
            .unwrap_or(0);
        Ok(Some(NegativeRate {
            channel: channel.name.clone(),
            bin: in_channel,
            sample: config.samples[lowest].clone(),
            rate: rates[bin],
            contribution: contribution(lowest),
        }))
    }

    /// Checks that an array holds one finite number a parameter.
    pub fn check_parameters(&self, parameters: &[f64]) -> Result<(), ModelError> {
        check("parameters", parameters, self.config().parameters())
    }

    /// Checks that an array holds one finite number a bin and auxiliary datum, and no negative count.
    pub fn check_data(&self, data: &[f64]) -> Result<(), ModelError> {
        check("data", data, self.config().data_len())?;
        let counts = &data[..self.config().bins()];
        if counts.iter().fold(true, |all, n| all & (*n >= 0.0)) {
            return Ok(());
        }
        let index = counts.iter().position(|n| *n < 0.0).unwrap_or_default();
        let (value, needs) = (data[index], "an observed count cannot be negative");
        Err(ModelError::Value { what: "data", index, value, needs })
    }
}

fn check(what: &'static str, values: &[f64], expected: usize) -> Result<(), ModelError> {
    if values.len() != expected {
        return Err(ModelError::Length { what, expected, got: values.len() });
    }
    // Without a way out of the loop it takes vectors.
    if values.iter().fold(true, |all, v| all & v.is_finite()) {
        return Ok(());
    }
    let index = values.iter().position(|v| !v.is_finite()).unwrap_or_default();
    Err(ModelError::Value { what, index, value: values[index], needs: "every number must be finite" })
}
