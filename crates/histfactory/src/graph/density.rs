//! The log-density: Poisson counts in bins, normal and Poisson auxiliary measurements.

use super::rows::gather;
use super::templates::{FactorsOf, Templates, Tensor};
use super::{Built, part};
use crate::Model;
use std::f64::consts::TAU;
use wootz_ir::{Builder, DType, HostTensor, TypeError, Value};

impl Model {
    /// The log-density, a scalar, at `parameters` `f64[parameters]` of `data` `f64[bins + auxiliary data]`. It is NaN where a rate is negative.
    pub fn logpdf(&self, b: &mut Builder, parameters: Value, data: Value, templates: &Templates) -> Built {
        let rates = self.rates(b, parameters, templates)?;
        let main = self.main_logpdf(b, rates, data)?;
        match self.constraint_logpdf(b, parameters, data, templates)? {
            Some(constraint) => b.add(main, constraint),
            None => Ok(main),
        }
    }

    /// Σ over bins of the Poisson log-density n·ln ν − ν − lnΓ(n + 1) at the rates `f64[bins]`.
    pub fn main_logpdf(&self, b: &mut Builder, rates: Value, data: Value) -> Built {
        part(b, "main", |b| {
            let counts = b.slice(data, &[0], &[self.config().bins()], &[1])?;
            let terms = poisson(b, counts, rates)?;
            b.sum(terms, &[0])
        })
    }

    /// The log-density of the auxiliary data; `None` if the model has none.
    pub fn constraint_logpdf(
        &self,
        b: &mut Builder,
        parameters: Value,
        data: Value,
        templates: &Templates,
    ) -> Result<Option<Value>, TypeError> {
        let constraints = self.constraints();
        let mut terms = Vec::new();
        if !constraints.normal.is_empty() {
            terms
                .push(part(b, "normal constraints", |b| self.normal_logpdf(b, parameters, data, templates))?);
        }
        if !constraints.poisson.is_empty() {
            terms.push(part(b, "poisson constraints", |b| {
                self.poisson_logpdf(b, parameters, data, templates)
            })?);
        }
        match terms.as_slice() {
            [] => Ok(None),
            [term] => Ok(Some(*term)),
            [first, second, ..] => b.add(*first, *second).map(Some),
        }
    }

    /// The auxiliary data at nominal, `f64[auxiliary data]`: under [`Convention::Recomputed`](super::Convention::Recomputed) those of shapesys modifiers
    /// follow the templates.
    pub fn auxdata(&self, b: &mut Builder, templates: &Templates) -> Built {
        let config = self.config();
        let factors = templates.rate_factors(b, self, FactorsOf::Auxdata)?;
        let poisson = &self.constraints().poisson;
        let nominal = Tensor::vector(&config.auxdata).value(b);
        let Tensor::Value(factors) = factors else { return Ok(nominal) };
        let mut term_of: Vec<Option<usize>> = vec![None; config.auxdata.len()];
        poisson.iter().enumerate().for_each(|(i, t)| term_of[t.auxiliary] = Some(i));
        let indices: Vec<i64> = term_of.iter().map(|t| t.unwrap_or(0) as i64).collect();
        let spread = gather(b, factors, &indices, &[indices.len()])?;
        let mask: Vec<i64> = term_of.iter().map(|t| i64::from(t.is_some())).collect();
        let mask = b.constant(HostTensor::from_i64(DType::Bool, &[mask.len()], &mask));
        b.select(mask, spread, nominal)
    }

    /// The expected auxiliary data, `f64[auxiliary data]`: parameters, times the rate factors of Poisson measurements.
    pub fn expected_auxdata(&self, b: &mut Builder, parameters: Value, templates: &Templates) -> Built {
        let constraints = self.constraints();
        let auxiliary = self.config().auxdata.len();
        let mut positions = vec![0i64; auxiliary];
        constraints.normal.iter().for_each(|t| positions[t.auxiliary] = t.parameter as i64);
        constraints.poisson.iter().for_each(|t| positions[t.auxiliary] = t.parameter as i64);
        let expected = gather(b, parameters, &positions, &[auxiliary])?;
        if constraints.poisson.is_empty() {
            return Ok(expected);
        }
        let factors = templates.rate_factors(b, self, FactorsOf::Rates)?.value(b);
        let mut terms = vec![0i64; auxiliary];
        let mut is_poisson = vec![false; auxiliary];
        for (i, term) in constraints.poisson.iter().enumerate() {
            (terms[term.auxiliary], is_poisson[term.auxiliary]) = (i as i64, true);
        }
        let factors = gather(b, factors, &terms, &[auxiliary])?;
        let factors = super::rows::select_constant(b, &is_poisson, &[auxiliary], factors, 1.0)?;
        b.mul(expected, factors)
    }

    /// Σ ln N(a|θ, σ), written over all parameters: those without a constraint have weight 0, and no parameter is read by index.
    fn normal_logpdf(&self, b: &mut Builder, parameters: Value, data: Value, templates: &Templates) -> Built {
        let terms = &self.constraints().normal;
        let mut term_of: Vec<Option<usize>> = vec![None; self.config().parameters()];
        terms.iter().enumerate().for_each(|(i, t)| term_of[t.parameter] = Some(i));
        let auxiliary = term_of.iter().map(|t| t.map_or(0, |i| terms[i].auxiliary));
        let measured = self.auxiliary(b, data, auxiliary)?;
        let widths = templates.widths(b, self)?;
        let (weights, normalisation) = match &widths {
            Tensor::Constant(widths) => {
                let widths = widths.as_slice::<f64>();
                let weights: Vec<f64> =
                    term_of.iter().map(|t| t.map_or(0.0, |i| (widths[i] * widths[i]).recip())).collect();
                let normalisation: f64 = widths.iter().map(|w| w.ln() + 0.5 * TAU.ln()).sum();
                (Tensor::vector(&weights).value(b), b.scalar(DType::F64, normalisation))
            }
            Tensor::Value(widths) => {
                let indices: Vec<i64> = term_of.iter().map(|t| t.unwrap_or(0) as i64).collect();
                let spread = gather(b, *widths, &indices, &[indices.len()])?;
                let squares = b.mul(spread, spread)?;
                let one = b.scalar(DType::F64, 1.0);
                let weights = b.div(one, squares)?;
                let is_term: Vec<bool> = term_of.iter().map(Option::is_some).collect();
                let weights = super::rows::select_constant(b, &is_term, &[is_term.len()], weights, 0.0)?;
                let logs = b.log(*widths)?;
                let logs = b.sum(logs, &[0])?;
                (weights, b.add_scalar(logs, 0.5 * TAU.ln() * terms.len() as f64)?)
            }
        };
        let pulls = b.sub(measured, parameters)?;
        let squares = b.mul(pulls, pulls)?;
        let squares = b.mul(squares, weights)?;
        let sum = b.sum(squares, &[0])?;
        let sum = b.mul_scalar(sum, -0.5)?;
        b.sub(sum, normalisation)
    }

    /// Σ of the Poisson log-densities of auxiliary counts at the rates γ·τ.
    fn poisson_logpdf(
        &self,
        b: &mut Builder,
        parameters: Value,
        data: Value,
        templates: &Templates,
    ) -> Built {
        let terms = &self.constraints().poisson;
        let positions: Vec<i64> = terms.iter().map(|t| t.parameter as i64).collect();
        let gammas = gather(b, parameters, &positions, &[positions.len()])?;
        let factors = templates.rate_factors(b, self, FactorsOf::Rates)?.value(b);
        let rates = b.mul(gammas, factors)?;
        let counts = self.auxiliary(b, data, terms.iter().map(|t| t.auxiliary))?;
        let poisson = poisson(b, counts, rates)?;
        b.sum(poisson, &[0])
    }

    /// Auxiliary data at these positions.
    fn auxiliary(&self, b: &mut Builder, data: Value, positions: impl Iterator<Item = usize>) -> Built {
        let indices: Vec<i64> = positions.map(|p| (self.config().bins() + p) as i64).collect();
        gather(b, data, &indices, &[indices.len()])
    }
}

/// n·ln ν − ν − lnΓ(n + 1) elementwise, for real n ≥ 0: 0 for n = ν = 0, −∞ for n > 0 = ν, NaN for ν < 0.
fn poisson(b: &mut Builder, counts: Value, rates: Value) -> Built {
    let zero = b.scalar(DType::F64, 0.0);
    let one = b.scalar(DType::F64, 1.0);
    let is_empty = b.eq(counts, zero)?;
    // Where nothing is counted the logarithm is left out, and its derivative 0/0 with it.
    let read = b.select(is_empty, one, rates)?;
    let logs = b.log(read)?;
    let logs = b.mul(counts, logs)?;
    let is_negative = b.lt(rates, zero)?;
    let not_a_number = b.scalar(DType::F64, f64::NAN);
    let minus = b.neg(rates)?;
    let minus = b.select(is_negative, not_a_number, minus)?;
    let sum = b.add(logs, minus)?;
    let next = b.add(counts, one)?;
    let normalisation = b.lgamma(next)?;
    b.sub(sum, normalisation)
}
