//! Tests by pseudo-experiments, for every statistic.

use super::asymptotic::{BAND, normal_cdf};
use super::statistic::check_mu;
use super::{FitOptions, Inference, InferenceError, Statistic};
use crate::Model;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;
use rand_distr::{Distribution, Normal, Poisson};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

/// How toys are made.
#[derive(Clone, Debug, PartialEq)]
pub struct ToyOptions {
    /// Toys under each hypothesis.
    pub toys: usize,
    /// The same seed gives the same toys, whatever the number of threads.
    pub seed: u64,
    /// Threads; all that the machine has by default.
    pub threads: Option<usize>,
    /// The test statistic.
    pub statistic: Statistic,
    /// How fits are made.
    pub fit: FitOptions,
}

impl Default for ToyOptions {
    fn default() -> Self {
        let (statistic, fit) = (Statistic::default(), FitOptions::default());
        ToyOptions { toys: 2000, seed: 0, threads: None, statistic, fit }
    }
}

/// A test by toys.
#[derive(Clone, Debug, PartialEq)]
pub struct Toys {
    /// The tested value of the parameter of interest.
    pub mu: f64,
    /// The test statistic of the data.
    pub statistic: f64,
    /// The share of the toys with the tested signal whose statistic is at least that of the data.
    pub cls_b: f64,
    /// The same of the toys without signal (for q0: with a signal of μ = 1).
    pub cl_b: f64,
    /// CLs = CLs+b / CLb, NaN where no toy without signal reaches the statistic (more toys are needed then); for q0 the p-value of the background
    /// hypothesis.
    pub observed: f64,
    /// Its quantiles over the toys without signal, as pyhf's: from −2σ to +2σ.
    pub expected: [f64; 5],
    /// The statistics of the toys with the tested signal, in the order of their numbers; those whose fits failed are left out.
    pub signal: Vec<f64>,
    /// The same of the toys without signal (for q0: with a signal of μ = 1).
    pub background: Vec<f64>,
    /// How many toys were left out.
    pub failed: usize,
}

/// A source of toys: what their data are drawn from, and where their fits start.
struct Source {
    parameters: Vec<f64>,
    expected: Vec<f64>,
    /// Numbers the streams of random numbers.
    first: u64,
}

impl Inference {
    /// Tests the value `mu` of the parameter of interest by toys. Nuisance parameters are those fitted to the data under each hypothesis; auxiliary
    /// data are drawn as well, as in pyhf. (Where they stay at the observed ones instead, constraints pull every toy's fit back to where the data's was,
    /// and p-values are those of other pseudo-experiments: they do not approach the asymptotic ones.)
    ///
    /// # Errors
    /// If a fit to the data does not converge; if there is no parameter of interest, or it is fixed; if no toy could be fitted.
    pub fn toys(&mut self, mu: f64, data: &[f64], options: &ToyOptions) -> Result<Toys, InferenceError> {
        check_mu(options.statistic, mu)?;
        let other = if options.statistic == Statistic::Q0 { 1.0 } else { 0.0 };
        let observed = self.test_statistic(options.statistic, mu, data, &options.fit)?;
        let parameters = observed.conditional.parameters;
        let signal = Source { expected: self.expected_data(&parameters)?, parameters, first: 0 };
        let parameters = self.fit(data, &options.fit.from(&signal.parameters).at_poi(other))?.parameters;
        let expected = self.expected_data(&parameters)?;
        let background = Source { expected, parameters, first: options.toys as u64 };
        let signal = self.statistics(mu, &signal, options)?;
        let background = self.statistics(mu, &background, options)?;
        let failed = 2 * options.toys - signal.len() - background.len();
        if signal.is_empty() || background.is_empty() {
            return Err(InferenceError::NoToys { failed });
        }
        let (signal_sorted, background_sorted) = (sorted(&signal), sorted(&background));
        let p_values = |statistic: f64| {
            let cls_b = share_above(&signal_sorted, statistic);
            let cl_b = share_above(&background_sorted, statistic);
            let cls = if cl_b > 0.0 { cls_b / cl_b } else { f64::NAN };
            (cls_b, cl_b, if options.statistic == Statistic::Q0 { cls_b } else { cls })
        };
        let (cls_b, cl_b, result) = p_values(observed.value);
        let expected = sorted(&background.iter().map(|s| p_values(*s).2).collect::<Vec<_>>());
        Ok(Toys {
            mu,
            statistic: observed.value,
            cls_b,
            cl_b,
            observed: result,
            expected: BAND.map(|n| quantile(&expected, normal_cdf(-n))),
            signal,
            background,
            failed,
        })
    }

    /// The statistics of one source's toys whose fits converge. The calling thread takes part.
    fn statistics(
        &mut self,
        mu: f64,
        source: &Source,
        options: &ToyOptions,
    ) -> Result<Vec<f64>, InferenceError> {
        let available = thread::available_parallelism().map_or(1, usize::from);
        let threads = options.threads.unwrap_or(available).clamp(1, options.toys.max(1));
        let mut others: Vec<Inference> = (1..threads).map(|_| self.fork()).collect::<Result<_, _>>()?;
        let next = AtomicUsize::new(0);
        let work = |worker: &mut Inference| -> Result<Vec<(usize, f64)>, InferenceError> {
            let mut found = Vec::new();
            loop {
                let toy = next.fetch_add(1, Ordering::Relaxed);
                if toy >= options.toys {
                    return Ok(found);
                }
                let statistic = worker.toy(mu, source, toy, options).inspect_err(|_| {
                    // The others need not go on.
                    next.store(options.toys, Ordering::Relaxed);
                })?;
                found.extend(statistic.map(|s| (toy, s)));
                worker.advance();
            }
        };
        let found = thread::scope(|scope| {
            let work = &work;
            let running: Vec<_> = others.iter_mut().map(|worker| scope.spawn(move || work(worker))).collect();
            let own = work(self);
            let join = |handle: thread::ScopedJoinHandle<'_, _>| match handle.join() {
                Ok(found) => found,
                Err(panic) => std::panic::resume_unwind(panic),
            };
            std::iter::once(own).chain(running.into_iter().map(join)).collect::<Vec<_>>()
        });
        let mut found = found.into_iter().collect::<Result<Vec<_>, _>>()?.concat();
        found.sort_unstable_by_key(|(toy, _)| *toy);
        Ok(found.into_iter().map(|(_, statistic)| statistic).collect())
    }

    /// The statistic of one toy; `None` if a fit does not converge.
    fn toy(
        &mut self,
        mu: f64,
        source: &Source,
        toy: usize,
        options: &ToyOptions,
    ) -> Result<Option<f64>, InferenceError> {
        let mut random = ChaCha8Rng::seed_from_u64(options.seed);
        random.set_stream(source.first + toy as u64);
        let data = draw(self.model(), &source.expected, &mut random);
        match self.test_statistic(options.statistic, mu, &data, &options.fit.from(&source.parameters)) {
            Ok(test) => Ok(Some(test.value)),
            Err(InferenceError::NotConverged { .. } | InferenceError::NoDensity { .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }
}

/// Data drawn around the expected ones: counts and Poisson measurements, and normal measurements.
fn draw(model: &Model, expected: &[f64], random: &mut ChaCha8Rng) -> Vec<f64> {
    let bins = model.config().bins();
    let mut poisson = |mean: f64| Poisson::new(mean).map_or(0.0, |p| p.sample(random));
    let mut out = expected.to_vec();
    out[..bins].iter_mut().for_each(|n| *n = poisson(*n));
    let constraints = model.constraints();
    for term in &constraints.poisson {
        out[bins + term.auxiliary] = poisson(expected[bins + term.auxiliary]);
    }
    for term in &constraints.normal {
        let mean = expected[bins + term.auxiliary];
        out[bins + term.auxiliary] = Normal::new(mean, term.width).map_or(mean, |n| n.sample(random));
    }
    out
}

fn sorted(values: &[f64]) -> Vec<f64> {
    let mut out = values.to_vec();
    out.sort_unstable_by(f64::total_cmp);
    out
}

/// The share of sorted values that are at least `x`.
fn share_above(sorted: &[f64], x: f64) -> f64 {
    (sorted.len() - sorted.partition_point(|v| *v < x)) as f64 / sorted.len() as f64
}

/// A quantile of sorted values, interpolated linearly (NumPy's default).
fn quantile(sorted: &[f64], share: f64) -> f64 {
    let at = share * (sorted.len() - 1) as f64;
    let (low, high) = (at.floor() as usize, at.ceil() as usize);
    sorted[low] + (at - at.floor()) * (sorted[high] - sorted[low])
}
