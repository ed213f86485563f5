//! Asymptotic tests as graphs: CLs, observed and expected, which batch and differentiate like any other function.

use super::asymptotic::{BAND, normal_cdf};
use super::profile_graph::{ProfileOptions, Profiles, next_start, or_nan, signature, start, value};
use super::{Built, InferenceError, Statistic};
use crate::{GraphOptions, Model};
use std::f64::consts::{FRAC_1_SQRT_2, PI};
use wootz_ir::ops::{Control, RuleError};
use wootz_ir::{Builder, DType, Graph, HostTensor, Shape, TensorType, TypeError, Value};

impl Model {
    /// An asymptotic test as a graph: `mu` (a scalar), `data`, then the chosen templates → `observed` (CLs; for q0 the p-value), `expected` `f64[5]` (from
    /// −2σ to +2σ), `statistic`, `asimov` (the statistic of Asimov data), `mu_hat`.
    ///
    /// It is that of [`Inference::hypotest`](crate::Inference::hypotest) at tight tolerance, with the model's initial values, bounds and fixed
    /// parameters. All results are differentiable in reverse mode by every input; Asimov data follow the fit that they are made from. The
    /// derivatives of a statistic that is 0 are 0. All results are NaN where a fit does not converge. Under `vmap`, over toys,
    /// hypotheses or templates, finished fits wait for the others.
    ///
    /// # Errors
    /// If the model has no parameter of interest; if the statistic has no asymptotic form here; if a transformation fails, which is an error in
    /// wootz.
    pub fn hypotest_graph(
        &self,
        statistic: Statistic,
        options: &GraphOptions,
        fits: ProfileOptions,
    ) -> Result<Graph, InferenceError> {
        let config = self.config();
        let poi = config.poi.ok_or(InferenceError::NoPoi)?;
        if matches!(statistic, Statistic::Tmu | Statistic::TmuTilde) {
            return Err(InferenceError::NotAsymptotic { statistic: statistic.name() });
        }
        let asimov_mu = if statistic == Statistic::Q0 { 1.0 } else { 0.0 };
        let is_inside = (config.bounds[poi].0..=config.bounds[poi].1).contains(&asimov_mu);
        let outputs = ["observed", "expected", "statistic", "asimov", "mu_hat"];
        let (inputs, outputs) = signature(self, &outputs, fits);
        let built = super::graph_of(self, options, &inputs, &outputs, |b, args, templates| {
            let [mu, data] = [args[0], args[1]];
            let profiles = Profiles::new(b, self, poi, templates, fits.max_evaluations)?;
            let start = start(b, &profiles, args)?;
            let best = profiles.free(b, start, data)?;
            let held = profiles.at(b, mu, best.parameters, data)?;
            let mu_hat = profiles.poi(b, best.parameters)?;
            let q = value(b, statistic, mu, mu_hat, [held.nll, best.nll])?;

            let asimov_mu = b.scalar(DType::F64, asimov_mu);
            let nuisances = profiles.at(b, asimov_mu, best.parameters, data)?;
            let asimov = self.expected_data(b, nuisances.parameters, templates)?;
            let point = b.stop_gradient(nuisances.parameters)?;
            let held_asimov = profiles.at(b, mu, point, asimov)?;
            let mut converged = b.and(best.converged, held.converged)?;
            for fit in [&nuisances, &held_asimov] {
                converged = b.and(converged, fit.converged)?;
            }
            // Asimov data are fitted by what they were made from, if bounds let it.
            let (best_asimov, at) = if is_inside {
                let logpdf = self.logpdf(b, point, asimov, templates)?;
                (b.neg(logpdf)?, asimov_mu)
            } else {
                let fit = profiles.free(b, point, asimov)?;
                converged = b.and(converged, fit.converged)?;
                (fit.nll, profiles.poi(b, fit.parameters)?)
            };
            let q_asimov = value(b, statistic, mu, at, [held_asimov.nll, best_asimov])?;

            let (root, asimov) = (root(b, q)?, root(b, q_asimov)?);
            let observed = match statistic {
                Statistic::Q0 => upper_tail(b, root)?,
                _ => cls(b, root, asimov, statistic == Statistic::QmuTilde)?,
            };
            let expected = expected(b, asimov, statistic == Statistic::Q0)?;
            let results = [observed, expected, q, q_asimov, mu_hat];
            let masked = results.into_iter().map(|x| or_nan(b, converged, x));
            let mut results = masked.collect::<Result<Vec<_>, _>>()?;
            results.extend(fits.warm.then(|| next_start(b, &best, start)).transpose()?);
            Ok::<_, RuleError>(results)
        });
        Ok(built?)
    }
}

/// √q; where q is 0 its derivative is taken to be 0.
fn root(b: &mut Builder, q: Value) -> Built {
    let (zero, one) = (b.scalar(DType::F64, 0.0), b.scalar(DType::F64, 1.0));
    // Only what is known to be 0 is not a root, so that NaN stays one.
    let is_zero = b.eq(q, zero)?;
    let inside = b.select(is_zero, one, q)?;
    let root = b.sqrt(inside)?;
    b.select(is_zero, zero, root)
}

/// Φ(−x).
fn upper_tail(b: &mut Builder, x: Value) -> Built {
    let scaled = b.mul_scalar(x, FRAC_1_SQRT_2)?;
    let twice = b.erfc(scaled)?;
    b.mul_scalar(twice, 0.5)
}

/// The expected band of CLs (of the p-value), given √q of Asimov data.
fn expected(b: &mut Builder, asimov: Value, is_discovery: bool) -> Built {
    let shape = Shape::from([BAND.len()]);
    let row = |b: &mut Builder, values: [f64; BAND.len()]| {
        b.constant(HostTensor::from_f64(DType::F64, &[values.len()], &values))
    };
    let (band, below) = (row(b, BAND), row(b, BAND.map(|n| normal_cdf(-n))));
    let asimov = b.broadcast(asimov, &shape, &[])?;
    let shifted = b.add(band, asimov)?;
    let both = upper_tail(b, shifted)?;
    if is_discovery { Ok(both) } else { b.div(both, below) }
}

/// From here on tails are taken relative to the normal density: before they underflow.
const FAR: f64 = 8.0;
/// From here on only the first term of an expansion by a is left.
const VANISHING: f64 = 1e8;

/// CLs of √q and √q of Asimov data, as [`asymptotic::cls`](super::asymptotic::cls), with its derivatives.
fn cls(b: &mut Builder, root: Value, asimov: Value, is_tilde: bool) -> Result<Value, RuleError> {
    let scalar = TensorType::new(DType::F64, Shape::scalar());
    let types = [scalar.clone(), scalar.clone()];
    let primal =
        b.subregion::<RuleError>(&types, |b, p| Ok(vec![Ratio::new(b, p[0], p[1], is_tilde)?.value]))?;
    let forward = b.subregion::<RuleError>(&types, |b, p| {
        Ok(vec![Ratio::new(b, p[0], p[1], is_tilde)?.value, p[0], p[1]])
    })?;
    let saved = [scalar.clone(), scalar.clone(), scalar];
    let backward = b.subregion::<RuleError>(&saved, |b, p| {
        let slopes = Ratio::new(b, p[0], p[1], is_tilde)?.slopes(b)?;
        Ok(vec![b.mul(slopes[0], p[2])?, b.mul(slopes[1], p[2])?])
    })?;
    Ok(b.push_multi(Control::CustomVjp { primal, forward, backward }, &[root, asimov])?[0])
}

/// Φ(−(s + a)) / Φ(−s) and what it is made from.
struct Ratio {
    root: Value,
    asimov: Value,
    is_above: Value,
    /// s, and s + a.
    points: [Value; 2],
    /// Φ(−s).
    below: Value,
    /// 1/R − x of Mills' ratio R at both points.
    excess: [Value; 2],
    is_far: Value,
    vanishes: Value,
    value: Value,
}

impl Ratio {
    fn new(b: &mut Builder, root: Value, asimov: Value, is_tilde: bool) -> Result<Ratio, TypeError> {
        let one = b.scalar(DType::F64, 1.0);
        let (far, vanishing) = (b.scalar(DType::F64, FAR), b.scalar(DType::F64, VANISHING));
        let squared = b.mul(root, root)?;
        let is_above = match is_tilde {
            true => b.gt(root, asimov)?,
            false => b.constant(HostTensor::from_i64(DType::Bool, &[], &[0])),
        };
        let s = {
            let own = b.mul(asimov, asimov)?;
            let difference = b.sub(squared, own)?;
            let twice = b.mul_scalar(asimov, 2.0)?;
            let above = b.div(difference, twice)?;
            let usual = b.sub(root, asimov)?;
            b.select(is_above, above, usual)?
        };
        let t = b.add(s, asimov)?;
        let is_near = b.lt(s, far)?;
        let (below, both) = (upper_tail(b, s)?, upper_tail(b, t)?);
        let near = b.div(both, below)?;
        let excess = [mills_excess(b, s)?, mills_excess(b, t)?];
        let inverse = [b.add(s, excess[0])?, b.add(t, excess[1])?];
        let change = b.div(inverse[0], inverse[1])?;
        let vanishes = b.gt(s, vanishing)?;
        let change = b.select(vanishes, one, change)?;
        let exponent = {
            let above = b.mul_scalar(squared, 0.5)?;
            let half = b.mul_scalar(asimov, 0.5)?;
            let middle = b.add(s, half)?;
            let usual = b.mul(asimov, middle)?;
            let exponent = b.select(is_above, above, usual)?;
            b.neg(exponent)?
        };
        let size = b.exp(exponent)?;
        let distant = b.mul(change, size)?;
        let value = b.select(is_near, near, distant)?;
        let is_far = b.not(is_near)?;
        Ok(Ratio { root, asimov, is_above, points: [s, t], below, excess, is_far, vanishes, value })
    }

    /// Its derivatives by √q and by √q of Asimov data.
    fn slopes(&self, b: &mut Builder) -> Result<[Value; 2], TypeError> {
        let near = self.near_slopes(b)?;
        let far = self.far_slopes(b)?;
        Ok([b.select(self.is_far, far[0], near[0])?, b.select(self.is_far, far[1], near[1])?])
    }

    fn near_slopes(&self, b: &mut Builder) -> Result<[Value; 2], TypeError> {
        let one = b.scalar(DType::F64, 1.0);
        let densities = [density(b, self.points[0])?, density(b, self.points[1])?];
        let ratio = b.div(self.root, self.asimov)?;
        let squared = b.mul(ratio, ratio)?;
        let by_root = b.select(self.is_above, ratio, one)?;
        // −(r²/a² + 1)/2 above Asimov data, −1 below.
        let squared = b.select(self.is_above, squared, one)?;
        let sum = b.add(squared, one)?;
        let by_asimov = b.mul_scalar(sum, -0.5)?;
        let direct = b.add(by_asimov, one)?;
        let slope = |b: &mut Builder, of_s: Value, of_t: Value| {
            let below = b.mul(self.value, densities[0])?;
            let below = b.mul(below, of_s)?;
            let both = b.mul(densities[1], of_t)?;
            let change = b.sub(below, both)?;
            b.div(change, self.below)
        };
        Ok([slope(b, by_root, by_root)?, slope(b, by_asimov, direct)?])
    }

    fn far_slopes(&self, b: &mut Builder) -> Result<[Value; 2], TypeError> {
        let one = b.scalar(DType::F64, 1.0);
        let (root, asimov, [near, far]) = (self.root, self.asimov, self.excess);
        let gap = b.sub(near, far)?;
        // Below: −(a + far − near) and −(near + s).
        let below = [b.sub(gap, asimov)?, {
            let sum = b.add(near, self.points[0])?;
            b.neg(sum)?
        }];
        // Above: (near − far)·r/a − r and (far·(r²/a² − 1) − near·(r²/a² + 1))/2.
        let ratio = b.div(root, asimov)?;
        let above = [
            {
                let scaled = b.mul(gap, ratio)?;
                b.sub(scaled, root)?
            },
            {
                let squared = b.mul(ratio, ratio)?;
                let (less, more) = (b.sub(squared, one)?, b.add(squared, one)?);
                let (less, more) = (b.mul(far, less)?, b.mul(near, more)?);
                let difference = b.sub(less, more)?;
                b.mul_scalar(difference, 0.5)?
            },
        ];
        // As a vanishes: −r and −4a/r².
        let limit = [b.neg(root)?, {
            let squared = b.mul(root, root)?;
            let ratio = b.div(asimov, squared)?;
            b.mul_scalar(ratio, -4.0)?
        }];
        let mut out = below;
        for (i, slope) in out.iter_mut().enumerate() {
            let above = b.select(self.vanishes, limit[i], above[i])?;
            let relative = b.select(self.is_above, above, *slope)?;
            *slope = b.mul(relative, self.value)?;
        }
        Ok(out)
    }
}

/// The standard normal density.
fn density(b: &mut Builder, x: Value) -> Built {
    let squared = b.mul(x, x)?;
    let exponent = b.mul_scalar(squared, -0.5)?;
    let size = b.exp(exponent)?;
    b.mul_scalar(size, 1.0 / (2.0 * PI).sqrt())
}

/// 1/R(x) − x with Mills' ratio R(x) = Φ(−x)/φ(x) for x of [`FAR`] or more, by its continued fraction: Abramowitz and Stegun 26.2.14.
fn mills_excess(b: &mut Builder, x: Value) -> Built {
    const TERMS: u32 = 20;
    let mut rest = x;
    for k in (2..=TERMS).rev() {
        let term = b.scalar(DType::F64, f64::from(k));
        let term = b.div(term, rest)?;
        rest = b.add(x, term)?;
    }
    let one = b.scalar(DType::F64, 1.0);
    b.div(one, rest)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::infer::asymptotic;
    use wootz_ir::eval;
    use wootz_ir::ops::RegionTransforms;
    use wootz_transform::Transforms;

    /// In every regime: both tails ordinary, the upper one underflowing, a vanishing, a of 0.
    #[test]
    fn cls_and_its_derivatives_are_those_of_the_driver() {
        let scalar = TensorType::new(DType::F64, Shape::scalar());
        for is_tilde in [false, true] {
            let mut b = Builder::new();
            let params = [b.param(scalar.clone()), b.param(scalar.clone())];
            let body = b
                .subregion::<RuleError>(&[scalar.clone(), scalar.clone()], |b, p| {
                    Ok(vec![cls(b, p[0], p[1], is_tilde)?])
                })
                .unwrap();
            let value = b.inline(&body, &params).unwrap()[0];
            let one = b.scalar(DType::F64, 1.0);
            let slopes =
                Transforms::new().vjp_inline(&mut b, &body, &params, &[Some(one)], &[true, true]).unwrap();
            let region = b.finish(&[value, slopes[0].unwrap(), slopes[1].unwrap()]);
            for (r, a) in [
                (0.0, 0.0),
                (0.0, 1.3),
                (0.3, 0.9),
                (1.0, 0.4),
                (2.1, 0.5),
                (4.0, 0.7),
                (19.0, 1.0),
                (21.5, 1.0),
                (5.0, 0.3),
                (41.0, 1.0),
                (9.0, 2.0),
                (3.0, 0.01),
                (1.5, 1e-6),
                (1.5, 1e-12),
                (1.5, 0.0),
            ] {
                let inputs = [r, a].map(|x| HostTensor::scalar(DType::F64, x));
                let found: Vec<f64> =
                    eval::region(&region, &inputs).unwrap().iter().map(|t| t.to_f64()[0]).collect();
                let (value, slopes) = asymptotic::cls(r, a, is_tilde);
                for (got, expected) in found.iter().zip([value, slopes[0], slopes[1]]) {
                    let allowed = 1e-11 * expected.abs().max(1e-3 * value);
                    assert!(
                        (got - expected).abs() <= allowed,
                        "{r} {a} {is_tilde}: {found:?} {value} {slopes:?}"
                    );
                }
            }
        }
    }
}
