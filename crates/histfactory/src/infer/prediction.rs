//! Expected yields with their uncertainties.

use super::session::{session, write};
use super::{Inference, InferenceError};

/// Yields and uncertainties that parameters with a covariance predict, by linear propagation.
#[derive(Clone, Debug, PartialEq)]
pub struct Prediction {
    /// The total, one a bin.
    pub bins: Vec<Yield>,
    /// The total of each channel, with the correlations of its bins.
    pub channels: Vec<Yield>,
    /// Each sample in each bin, `[samples][bins]`; 0 where a channel has not the sample.
    pub samples: Vec<Vec<Yield>>,
    /// Each sample in each channel, `[samples][channels]`.
    pub sample_totals: Vec<Vec<Yield>>,
}

/// A yield.
#[derive(Copy, Clone, Debug, Default, PartialEq)]
pub struct Yield {
    /// Its expectation.
    pub value: f64,
    /// Its standard deviation.
    pub uncertainty: f64,
}

impl Inference {
    /// The yields at parameters with this covariance (row-major, `[parameters × parameters]`).
    ///
    /// # Errors
    /// If a length is wrong; if a program cannot be built, compiled or run.
    pub fn prediction(
        &mut self,
        parameters: &[f64],
        covariance: &[f64],
    ) -> Result<Prediction, InferenceError> {
        self.model().check_parameters(parameters)?;
        let n = parameters.len();
        if covariance.len() != n * n {
            let (what, expected, got) = ("the covariance", n * n, covariance.len());
            return Err(InferenceError::Length { what, expected, got });
        }
        if self.yields.is_none() {
            let graph = self.model().sample_rates_graph(&self.options().graph)?;
            let graph = wootz_transform::jacfwd(&graph, &[0])?;
            let mut session = session(graph, self.backend(), &self.options().compile)?;
            super::session::bind_templates(&mut session, 1, self.templates())?;
            self.yields = Some(session);
        }
        let config = self.model().clone();
        let config = config.config();
        let (samples, bins) = (config.samples.len(), config.bins());
        let session = self.yields.as_mut().expect("it was just made");
        write(session, 0, parameters)?;
        session.run()?;
        let outputs = session.outputs();
        let (rates, jacobian) = (outputs[0].as_slice::<f64>(), outputs[1].as_slice::<f64>());
        // Adds up cells, each a sample in a bin.
        let sum = |cells: &mut dyn Iterator<Item = (usize, usize)>| {
            let (mut value, mut slope) = (0.0, vec![0.0; n]);
            for (sample, bin) in cells {
                let cell = sample * bins + bin;
                value += rates[cell];
                slope.iter_mut().zip(&jacobian[cell * n..]).for_each(|(sum, d)| *sum += d);
            }
            let variance: f64 = (0..n)
                .filter(|i| slope[*i] != 0.0)
                .map(|i| slope[i] * dot(&covariance[i * n..(i + 1) * n], &slope))
                .sum();
            Yield { value, uncertainty: variance.max(0.0).sqrt() }
        };
        let slices: Vec<_> = config.channels.iter().map(|c| c.slice.clone()).collect();
        let all = |bins: std::ops::Range<usize>| bins.flat_map(|bin| (0..samples).map(move |s| (s, bin)));
        Ok(Prediction {
            bins: (0..bins).map(|bin| sum(&mut all(bin..bin + 1))).collect(),
            channels: slices.iter().map(|slice| sum(&mut all(slice.clone()))).collect(),
            samples: (0..samples)
                .map(|s| (0..bins).map(|bin| sum(&mut std::iter::once((s, bin)))).collect())
                .collect(),
            sample_totals: (0..samples)
                .map(|s| slices.iter().map(|slice| sum(&mut slice.clone().map(|bin| (s, bin)))).collect())
                .collect(),
        })
    }

    /// The yields before any fit: at initial parameters, each with the uncertainty that its auxiliary measurement leaves.
    ///
    /// # Errors
    /// As [`prediction`](Inference::prediction).
    pub fn prefit_prediction(&mut self) -> Result<Prediction, InferenceError> {
        let model = self.model().clone();
        let config = model.config();
        let n = config.parameters();
        let mut covariance = vec![0.0; n * n];
        for (i, width) in model.prefit_uncertainties().iter().enumerate().filter(|(i, _)| !config.fixed[*i]) {
            covariance[i * n + i] = width * width;
        }
        self.prediction(&config.init.clone(), &covariance)
    }
}

fn dot(x: &[f64], y: &[f64]) -> f64 {
    x.iter().zip(y).map(|(x, y)| x * y).sum()
}
