//! Deterministic workspaces of known sizes, for tests and benchmarks.
//!
//! Every call gives the same workspace, on every machine. [`Workload::ALL`] names those that stand in reports; [`stress`] and [`scaling`] take sizes.

mod large;
mod small;

pub use large::{scaling, stress, thu_like};
pub use small::{complex_8p, simple};

use crate::Workspace;
use crate::workspace::{
    Channel, Measurement, MeasurementConfig, Modifier, ModifierKind, Number, Observation, ParameterConfig,
    Sample, Version,
};

/// A workspace that stands in reports.
#[derive(Copy, Clone, Debug, PartialEq, Eq, Hash)]
pub enum Workload {
    /// One channel, 2 bins, 3 parameters: a signal over a background with uncorrelated uncertainties.
    Simple,
    /// Two channels, 4 bins, 8 parameters: one of every modifier but shapesys.
    Complex8p,
    /// 11 channels, 41 bins, 12 samples, 184 parameters, as sparse as a real analysis of that size.
    ThuLike,
    /// 50 channels of 4 bins, 201 parameters.
    Stress,
}

impl Workload {
    /// Every workload.
    pub const ALL: [Workload; 4] =
        [Workload::Simple, Workload::Complex8p, Workload::ThuLike, Workload::Stress];

    /// The name in reports and on the command line.
    pub const fn name(self) -> &'static str {
        match self {
            Workload::Simple => "simple",
            Workload::Complex8p => "complex-8p",
            Workload::ThuLike => "thu-like",
            Workload::Stress => "stress",
        }
    }

    /// The workload of this name.
    pub fn parse(name: &str) -> Option<Workload> {
        Workload::ALL.into_iter().find(|w| w.name() == name)
    }

    /// The workspace.
    pub fn workspace(self) -> Workspace {
        match self {
            Workload::Simple => simple(),
            Workload::Complex8p => complex_8p(),
            Workload::ThuLike => thu_like(),
            Workload::Stress => stress(50, 4),
        }
    }
}

/// A workspace with one measurement of the parameter `mu`.
fn workspace(
    channels: Vec<Channel>,
    observations: Vec<(String, Vec<f64>)>,
    parameters: Vec<ParameterConfig>,
) -> Workspace {
    let observation = |(name, data): (String, Vec<f64>)| Observation { data: data.into(), name };
    let config = MeasurementConfig { parameters, poi: "mu".into() };
    Workspace {
        channels,
        measurements: vec![Measurement { config, name: "measurement".into() }],
        observations: observations.into_iter().map(observation).collect(),
        version: Version::V1,
    }
}

fn sample(name: &str, data: Vec<f64>, modifiers: Vec<Modifier>) -> Sample {
    Sample { data: data.into(), modifiers, name: name.into() }
}

fn modifier(name: &str, kind: ModifierKind) -> Modifier {
    Modifier { name: name.into(), kind }
}

fn normfactor(name: &str) -> Modifier {
    modifier(name, ModifierKind::Normfactor)
}

fn normsys(name: &str, lo: f64, hi: f64) -> Modifier {
    modifier(name, ModifierKind::Normsys { hi: Number::from(hi), lo: Number::from(lo) })
}

fn histosys(name: &str, lo: Vec<f64>, hi: Vec<f64>) -> Modifier {
    modifier(name, ModifierKind::Histosys { hi_data: hi.into(), lo_data: lo.into() })
}

/// A luminosity of 1 known to `width`.
fn lumi_config(width: f64) -> ParameterConfig {
    ParameterConfig {
        auxdata: Some(vec![1.0].into()),
        bounds: Some(vec![vec![0.5, 1.5].into()]),
        factors: None,
        fixed: None,
        inits: Some(vec![1.0].into()),
        name: "lumi".into(),
        sigmas: Some(vec![width].into()),
    }
}

/// SplitMix64 (Steele, Lea, Flood, *Fast splittable pseudorandom number generators*, OOPSLA 2014).
struct Random(u64);

impl Random {
    /// Uniform in [0, 1).
    fn uniform(&mut self) -> f64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^= z >> 31;
        (z >> 11) as f64 / (1u64 << 53) as f64
    }

    /// Uniform between two numbers, rounded to six digits so that files stay short.
    fn between(&mut self, low: f64, high: f64) -> f64 {
        round(low + (high - low) * self.uniform())
    }
}

fn round(value: f64) -> f64 {
    (value * 1e6).round() / 1e6
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ModelOptions;
    use crate::workspace::DigestAlgorithm;
    use std::collections::BTreeMap;

    fn entries(workload: Workload) -> BTreeMap<&'static str, usize> {
        workload.workspace().summary().entries
    }

    #[test]
    fn workloads_have_the_sizes_they_are_known_for() {
        for (workload, channels, bins, samples, parameters) in [
            (Workload::Simple, 1, 2, 2, 3),
            (Workload::Complex8p, 2, 4, 3, 8),
            (Workload::ThuLike, 11, 41, 12, 184),
            (Workload::Stress, 50, 200, 2, 201),
        ] {
            let workspace = workload.workspace();
            let model = workspace.model(&ModelOptions::default()).unwrap();
            let config = model.config();
            let got = (config.channels.len(), config.bins(), config.samples.len(), config.parameters());
            assert_eq!(got, (channels, bins, samples, parameters), "{}", workload.name());
            let read = Workspace::from_json(workspace.to_json().as_bytes()).unwrap();
            assert_eq!(read, workspace, "{}", workload.name());
            let data = workspace.data(&model).unwrap();
            assert!(model.eval_logpdf(&config.init, &data).unwrap().is_finite(), "{}", workload.name());
        }
        let model = scaling(100, 30).model(&ModelOptions::default()).unwrap();
        assert_eq!((model.config().bins(), model.config().parameters()), (100, 31));
    }

    /// Numbers that were measured with a workload are those of this workload.
    #[test]
    fn workloads_never_change() {
        let check = |workspace: Workspace, digest: &str| {
            assert_eq!(workspace.digest(DigestAlgorithm::Sha256), digest);
        };
        check(simple(), "38eec078edd7f7620b2889a0802389a86172d0713cb7b1641458fd8c5270f279");
        check(complex_8p(), "f6ea225048d35f68f28a9ba230d5cd980ce8938a3d71cc30c44e00d97df0c472");
        check(thu_like(), "1c872b8fc194ea5bbe044fb1dcfd746cfe25a2664da8deec1e7f464c497feb09");
        check(stress(50, 4), "934162ea7b9c1bf033a9b8f353fa6f6f8bcfc2f13758a40bee7c532311287c77");
        check(scaling(100, 30), "fad15415352e851d234c4563b123d4af540157208f3bc429da71d9bf6c376a3a");
    }

    #[test]
    fn thu_like_is_as_sparse_as_it_says() {
        let expected =
            [("histosys", 1629), ("lumi", 121), ("normfactor", 73), ("normsys", 2090), ("staterror", 121)];
        assert_eq!(entries(Workload::ThuLike), BTreeMap::from(expected));
    }
}
