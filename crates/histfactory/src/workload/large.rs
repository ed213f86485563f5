//! Workspaces of the sizes of real analyses, and larger.

use super::{Random, histosys, lumi_config, modifier, normfactor, normsys, round, sample, workspace};
use crate::Workspace;
use crate::workspace::{Channel, Modifier, ModifierKind, Sample};
use std::collections::BTreeSet;

const CHANNELS: usize = 11;
const SAMPLES: usize = 12;
/// Bins of each channel: 41 together.
const BINS: [usize; CHANNELS] = [2, 3, 3, 4, 4, 5, 6, 4, 4, 3, 3];
/// Samples of each channel: all but one. The signal is everywhere.
const BLOCKS: usize = CHANNELS * (SAMPLES - 1);
const SYSTEMATICS: usize = 138;
const NORMSYS: usize = 2090;
const HISTOSYS: usize = 1629;
const FREE: [&str; 4] = ["mu", "mu_ttW", "mu_ttZ", "mu_fakes"];
const NORMFACTORS: usize = 73;

/// 11 channels, 41 bins, 12 samples of which each channel has 11, 184 parameters: 138 systematics, the luminosity, 4 free normalisations, a
/// statistical factor a bin. 2,090 normsys, 1,629 histosys, 121 staterror, 121 lumi and 73 normfactor modifiers. A few systematics
/// touch most samples, most touch few.
pub fn thu_like() -> Workspace {
    let mut random = Random(184);
    let norms = choose(&mut random, NORMSYS, Rarity::of);
    let shapes = choose(&mut random, HISTOSYS, |s| if s % 5 == 4 { Rarity::VeryRare } else { Rarity::of(s) });
    let mut channels = Vec::new();
    let mut observations = Vec::new();
    let mut factors = 0;
    for channel in 0..CHANNELS {
        let name = format!("region_{channel:02}");
        let missing = 1 + channel % (SAMPLES - 1);
        let bins = BINS[channel];
        let mut samples: Vec<Sample> = Vec::new();
        for index in (0..SAMPLES).filter(|s| *s != missing) {
            let block = channel * (SAMPLES - 1) + samples.len();
            let scale = if index == 0 { 2.5 } else { 60.0 / (1.0 + index as f64) };
            let yields: Vec<f64> = (0..bins)
                .map(|b| random.between(0.7, 1.3) * scale / (1.0 + 0.4 * b as f64))
                .map(round)
                .collect();
            let mut modifiers = vec![modifier("lumi", ModifierKind::Lumi)];
            modifiers.push(staterror(&mut random, &name, &yields));
            if factors < NORMFACTORS && (index == 0 || !block.is_multiple_of(5)) {
                modifiers.push(normfactor(FREE[if index == 0 { 0 } else { 1 + index % 3 }]));
                factors += 1;
            }
            for systematic in 0..SYSTEMATICS {
                let name = format!("alpha_{systematic:03}");
                if norms.contains(&(systematic, block)) {
                    let size = random.between(0.005, 0.12);
                    modifiers.push(normsys(
                        &name,
                        round(1.0 - size * random.between(0.6, 1.2)),
                        round(1.0 + size),
                    ));
                }
                if shapes.contains(&(systematic, block)) {
                    modifiers.push(variation(&mut random, &name, &yields));
                }
            }
            samples.push(sample(&format!("process_{index:02}"), yields, modifiers));
        }
        observations.push((name.clone(), counts(&samples)));
        channels.push(Channel { name, samples });
    }
    workspace(channels, observations, vec![lumi_config(0.017)])
}

/// A signal of free strength and a background with uncorrelated uncertainties in each of `channels` channels of `bins` bins: 1 + channels · bins parameters.
pub fn stress(channels: usize, bins: usize) -> Workspace {
    let mut random = Random(201);
    let mut list = Vec::new();
    let mut observations = Vec::new();
    for channel in 0..channels {
        let name = format!("channel_{channel:04}");
        let signal: Vec<f64> =
            (0..bins).map(|b| round(random.between(0.5, 1.5) * (1.0 + b as f64))).collect();
        let background: Vec<f64> = (0..bins).map(|_| random.between(20.0, 100.0)).collect();
        let errors: Vec<f64> = background.iter().map(|n| round(n * random.between(0.03, 0.15))).collect();
        let uncertainty =
            modifier(&format!("uncertainty_{channel:04}"), ModifierKind::Shapesys(errors.into()));
        let samples = vec![
            sample("signal", signal, vec![normfactor("mu")]),
            sample("background", background, vec![uncertainty]),
        ];
        observations.push((name.clone(), counts(&samples)));
        list.push(Channel { name, samples });
    }
    workspace(list, observations, Vec::new())
}

/// Channels of 10 bins (the last may have fewer) with 4 samples, each with 6 normsys and 4 histosys modifiers of `systematics` systematics: entries
/// grow linearly with `bins`, whatever the number of parameters, which is 1 + systematics. (At least 10 systematics, and enough samples to use all.)
pub fn scaling(bins: usize, systematics: usize) -> Workspace {
    const WIDTH: usize = 10;
    let mut random = Random(10_000);
    let mut channels = Vec::new();
    let mut observations = Vec::new();
    let mut next = 0;
    for channel in 0..bins.div_ceil(WIDTH) {
        let name = format!("channel_{channel:05}");
        let width = WIDTH.min(bins - channel * WIDTH);
        let mut samples = Vec::new();
        for index in 0..4 {
            let scale = if index == 0 { 3.0 } else { 40.0 };
            let yields: Vec<f64> = (0..width).map(|_| random.between(0.5 * scale, 1.5 * scale)).collect();
            let mut modifiers = if index == 0 { vec![normfactor("mu")] } else { Vec::new() };
            for i in 0..WIDTH.min(systematics) {
                let name = format!("alpha_{:05}", next % systematics);
                next += 1;
                if i < 6 {
                    let size = random.between(0.01, 0.1);
                    modifiers.push(normsys(&name, round(1.0 - size), round(1.0 + size)));
                } else {
                    modifiers.push(variation(&mut random, &name, &yields));
                }
            }
            samples.push(sample(&format!("process_{index}"), yields, modifiers));
        }
        observations.push((name.clone(), counts(&samples)));
        channels.push(Channel { name, samples });
    }
    workspace(channels, observations, Vec::new())
}

/// How often a systematic is found.
#[derive(Copy, Clone, PartialEq, Eq)]
enum Rarity {
    Common,
    Rare,
    VeryRare,
}

impl Rarity {
    fn of(systematic: usize) -> Rarity {
        if systematic < 24 { Rarity::Common } else { Rarity::Rare }
    }
}

/// `count` of the (systematic, block) pairs, each systematic at least once: those with the largest keys, which are powers of uniform numbers.
fn choose(random: &mut Random, count: usize, rarity: impl Fn(usize) -> Rarity) -> BTreeSet<(usize, usize)> {
    let mut keys = Vec::with_capacity(SYSTEMATICS * BLOCKS);
    for systematic in 0..SYSTEMATICS {
        for block in 0..BLOCKS {
            let first = random.uniform();
            let eighth = (0..3).fold(first, |power, _| power * power);
            let key = match rarity(systematic) {
                _ if block == (systematic * 7) % BLOCKS => 1.0,
                Rarity::Common => first,
                Rarity::Rare => eighth,
                Rarity::VeryRare => (0..3).fold(eighth, |power, _| power * power),
            };
            keys.push((key, (systematic, block)));
        }
    }
    keys.sort_by(|a, b| b.0.total_cmp(&a.0));
    keys.into_iter().take(count).map(|k| k.1).collect()
}

fn staterror(random: &mut Random, channel: &str, yields: &[f64]) -> Modifier {
    let errors: Vec<f64> = yields.iter().map(|n| round(n * random.between(0.01, 0.08))).collect();
    modifier(&format!("staterror_{channel}"), ModifierKind::Staterror(errors.into()))
}

fn variation(random: &mut Random, name: &str, yields: &[f64]) -> Modifier {
    let size = random.between(0.005, 0.08);
    let mut lo = Vec::with_capacity(yields.len());
    let mut hi = Vec::with_capacity(yields.len());
    for nominal in yields {
        lo.push(round(nominal * (1.0 - size * random.between(0.2, 1.4))));
        hi.push(round(nominal * (1.0 + size * random.between(0.2, 1.4))));
    }
    histosys(name, lo, hi)
}

/// Whole counts around the samples' sum.
fn counts(samples: &[Sample]) -> Vec<f64> {
    let bins = samples[0].data.len();
    let total = |bin: usize| samples.iter().map(|s| s.data[bin]).sum::<f64>();
    (0..bins).map(|bin| (total(bin) * (1.0 + 0.03 * ((bin * 7 % 5) as f64 - 2.0))).round()).collect()
}
