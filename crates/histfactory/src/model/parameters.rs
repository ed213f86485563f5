//! From modifiers to parameter sets: their order, defaults, conflicts, and what a measurement overrides.

use super::config::{Constraint, ParameterSet};
use super::error::ModelError;
use super::walk::Walk;
use crate::workspace::{MODIFIER_TYPES, ModifierKind, Numbers, ParameterConfig};
use std::collections::{HashMap, HashSet};

/// The bounds of parameters of statistical origin keep rates positive.
const POSITIVE: (f64, f64) = (1e-10, 10.0);

/// A parameter set with its values.
pub(super) struct Resolved {
    pub(super) set: ParameterSet,
    pub(super) init: Vec<f64>,
    pub(super) bounds: Vec<(f64, f64)>,
    pub(super) fixed: Vec<bool>,
    pub(super) auxdata: Vec<f64>,
    /// The widths of normal constraints, the rate factors of Poisson ones.
    pub(super) scales: Vec<f64>,
    /// Whether the measurement gives the scales: then they do not follow templates.
    pub(super) scales_given: bool,
    /// Whether the measurement gives the auxiliary data.
    pub(super) auxdata_given: bool,
}

/// What a modifier type asks of its parameter set.
struct Requirement {
    kind: &'static str,
    parameters: usize,
    scalar: bool,
    constraint: Constraint,
    init: Option<Vec<f64>>,
    bounds: Option<Vec<(f64, f64)>>,
    fixed: Vec<bool>,
    /// `None`: the measurement must give it.
    auxdata: Option<Vec<f64>>,
    sigmas: Scales,
    factors: Scales,
}

/// Widths or factors.
enum Scales {
    /// The constraint is of unit width, or there is none: nothing to configure.
    Unit,
    /// The measurement must give them.
    Needed,
    Given(Vec<f64>),
}

/// The parameter sets in pyhf's order: by modifier type; within a type as first met, staterrors by name.
pub(super) fn resolve(walk: &Walk<'_>, configs: &[ParameterConfig]) -> Result<Vec<Resolved>, ModelError> {
    let mut order: Vec<&str> = Vec::new();
    let mut requirements: HashMap<&str, Requirement> = HashMap::new();
    for kind in MODIFIER_TYPES {
        for (name, requirement) in collect(walk, kind)? {
            match requirements.get(name) {
                None => {
                    order.push(name);
                    requirements.insert(name, requirement);
                }
                Some(first) if compatible(first.kind, kind) => {}
                Some(first) => {
                    return Err(ModelError::NameReuse { name: name.into(), first: first.kind, second: kind });
                }
            }
        }
    }
    if order.is_empty() {
        return Err(ModelError::NoParameters);
    }
    let configs: HashMap<&str, &ParameterConfig> = configs.iter().map(|c| (c.name.as_str(), c)).collect();
    let (mut next, mut next_auxiliary) = (0, 0);
    let mut out = Vec::with_capacity(order.len());
    for name in order {
        let requirement = requirements.remove(name).expect("each name in the order has a requirement");
        let mut resolved = requirement.configured(name, configs.get(name).copied())?;
        let set = &mut resolved.set;
        set.slice = next..next + set.slice.len();
        next = set.slice.end;
        set.auxiliary = next_auxiliary..next_auxiliary + resolved.auxdata.len();
        next_auxiliary = set.auxiliary.end;
        out.push(resolved);
    }
    Ok(out)
}

/// Modifiers of two types can share a parameter set if they ask for the same one.
fn compatible(a: &str, b: &str) -> bool {
    let is_alpha = |kind: &str| matches!(kind, "histosys" | "normsys");
    is_alpha(a) && is_alpha(b)
}

fn collect<'w>(walk: &Walk<'w>, kind: &'static str) -> Result<Vec<(&'w str, Requirement)>, ModelError> {
    if kind == "staterror" {
        return staterrors(walk);
    }
    let mut seen: HashMap<&str, usize> = HashMap::new();
    let mut out: Vec<(&str, Requirement)> = Vec::new();
    for block in &walk.blocks {
        let bins = walk.bins(block);
        for modifier in block.modifiers.iter().filter(|m| m.kind.type_name() == kind) {
            let channel = || walk.channels[block.channel].name.clone();
            let Some(first) = seen.get(modifier.name.as_str()) else {
                seen.insert(&modifier.name, out.len());
                out.push((&modifier.name, Requirement::of(kind, &modifier.kind, &block.data.data)));
                continue;
            };
            let parameters = out[*first].1.parameters;
            let name = || modifier.name.clone();
            if kind == "shapesys" {
                let sample = block.data.name.clone();
                return Err(ModelError::NotShared { name: name(), channel: channel(), sample });
            }
            if kind == "shapefactor" && bins > parameters {
                let channel = channel();
                return Err(ModelError::ShapefactorBins { name: name(), parameters, channel, bins });
            }
        }
    }
    Ok(out)
}

impl Requirement {
    fn of(kind: &'static str, modifier: &ModifierKind, nominal: &[f64]) -> Requirement {
        let bins = nominal.len();
        let free = |scalar: bool, parameters: usize| Requirement {
            kind,
            parameters,
            scalar,
            constraint: Constraint::None,
            init: Some(vec![1.0; parameters]),
            bounds: Some(vec![(0.0, 10.0); parameters]),
            fixed: vec![false; parameters],
            auxdata: Some(Vec::new()),
            sigmas: Scales::Unit,
            factors: Scales::Unit,
        };
        match modifier {
            ModifierKind::Normfactor => free(true, 1),
            ModifierKind::Shapefactor => free(false, bins),
            ModifierKind::Histosys { .. } | ModifierKind::Normsys { .. } => Requirement {
                constraint: Constraint::Normal,
                init: Some(vec![0.0]),
                bounds: Some(vec![(-5.0, 5.0)]),
                auxdata: Some(vec![0.0]),
                ..free(true, 1)
            },
            ModifierKind::Lumi => Requirement {
                constraint: Constraint::Normal,
                init: None,
                bounds: None,
                auxdata: None,
                sigmas: Scales::Needed,
                ..free(true, 1)
            },
            ModifierKind::Shapesys(errors) => {
                let factors: Vec<f64> =
                    nominal.iter().zip(&**errors).map(|(n, e)| rate_factor(*n, *e)).collect();
                let valid = |i: usize| nominal[i] > 0.0 && errors[i] > 0.0;
                Requirement {
                    constraint: Constraint::Poisson,
                    bounds: Some(vec![POSITIVE; bins]),
                    fixed: (0..bins).map(|i| !valid(i)).collect(),
                    auxdata: Some(factors.clone()),
                    factors: Scales::Given(factors),
                    ..free(false, bins)
                }
            }
            ModifierKind::Staterror(_) => free(false, bins),
        }
    }

    /// The parameter set with the measurement's values in place of the defaults.
    fn configured(self, name: &str, config: Option<&ParameterConfig>) -> Result<Resolved, ModelError> {
        let count = |field: &'static str, got: usize| -> Result<(), ModelError> {
            let expected = self.parameters;
            if got == expected {
                return Ok(());
            }
            Err(ModelError::ValueCount { name: name.into(), field, expected, got })
        };
        let needed = |field: &'static str| ModelError::Unconfigured { name: name.into(), field };
        let given = |field: &'static str, values: Option<&Numbers>, fits: bool| match values {
            Some(_) if !fits => Err(ModelError::NotConfigurable { name: name.into(), field }),
            Some(values) => count(field, values.len()).map(|()| Some(values.to_vec())),
            None => Ok(None),
        };
        let field = |f: fn(&ParameterConfig) -> Option<&Numbers>| config.and_then(f);

        let constrained = self.constraint != Constraint::None;
        let auxdata = given("auxdata", field(|c| c.auxdata.as_ref()), constrained)?;
        let auxdata_given = auxdata.is_some();
        let auxdata = auxdata.or(self.auxdata).ok_or_else(|| needed("auxdata"))?;
        let has = |scales: &Scales| !matches!(scales, Scales::Unit);
        let sigmas = given("sigmas", field(|c| c.sigmas.as_ref()), has(&self.sigmas))?;
        let factors = given("factors", field(|c| c.factors.as_ref()), has(&self.factors))?;
        let scales_given = sigmas.is_some() || factors.is_some();
        let scales = match (sigmas.or(factors), self.sigmas, self.factors) {
            (Some(values), ..) => values,
            (None, Scales::Given(values), _) | (None, _, Scales::Given(values)) => values,
            (None, Scales::Needed, _) => return Err(needed("sigmas")),
            _ => vec![1.0; if constrained { self.parameters } else { 0 }],
        };
        if let Some(value) = scales.iter().find(|v| **v <= 0.0) {
            let field = if self.constraint == Constraint::Poisson { "factors" } else { "sigmas" };
            return Err(ModelError::NotPositive { name: name.into(), field, value: *value });
        }
        let init = given("inits", field(|c| c.inits.as_ref()), true)?;
        let init = init.or(self.init).ok_or_else(|| needed("inits"))?;
        let bounds = match config.and_then(|c| c.bounds.as_ref()) {
            Some(pairs) => {
                count("bounds", pairs.len())?;
                pairs.iter().map(|pair| (pair[0], pair[1])).collect()
            }
            None => self.bounds.ok_or_else(|| needed("bounds"))?,
        };
        let fixed = match config.and_then(|c| c.fixed) {
            Some(fixed) => vec![fixed; self.parameters],
            None => self.fixed,
        };
        let set = ParameterSet {
            name: name.into(),
            slice: 0..self.parameters,
            scalar: self.scalar,
            constraint: self.constraint,
            auxiliary: 0..0,
        };
        Ok(Resolved { set, init, bounds, fixed, auxdata, scales, scales_given, auxdata_given })
    }
}

/// τ = (ν/ε)², the rate of the auxiliary measurement behind a shapesys parameter; 1 where there is none.
pub(super) fn rate_factor(nominal: f64, error: f64) -> f64 {
    if nominal > 0.0 && error > 0.0 { nominal * nominal / (error * error) } else { 1.0 }
}

/// Staterror parameter sets: one parameter a bin of the channels that have the modifier, of width √Σε²/Σν over the samples that
/// carry it.
fn staterrors<'w>(walk: &Walk<'w>) -> Result<Vec<(&'w str, Requirement)>, ModelError> {
    let names = walk.modifiers.iter().filter(|(_, kind)| *kind == "staterror").map(|(name, _)| *name);
    let mut carriers: HashMap<&str, Carriers> = names.clone().map(|n| (n, Carriers::default())).collect();
    for block in &walk.blocks {
        for modifier in &block.modifiers {
            let ModifierKind::Staterror(errors) = &modifier.kind else { continue };
            let carriers = carriers.get_mut(modifier.name.as_str()).expect("every name was listed");
            carriers.add(block.channel, block.sample, &block.data.data, errors);
        }
    }
    names
        .map(|name| {
            let carriers = &carriers[name];
            if let Some(sample) = carriers.inconsistent() {
                let sample = walk.samples[sample].to_string();
                return Err(ModelError::StaterrorChannels { name: name.into(), sample });
            }
            let sigmas: Vec<f64> = carriers.channels.iter().flat_map(|c| c.widths()).collect();
            let fixed: Vec<bool> = sigmas.iter().map(|s| *s == 0.0).collect();
            let sigmas: Vec<f64> = sigmas.into_iter().map(|s| if s == 0.0 { 1.0 } else { s }).collect();
            let bins = sigmas.len();
            let requirement = Requirement {
                kind: "staterror",
                parameters: bins,
                scalar: false,
                constraint: Constraint::Normal,
                init: Some(vec![1.0; bins]),
                bounds: Some(vec![POSITIVE; bins]),
                fixed,
                auxdata: Some(vec![1.0; bins]),
                sigmas: Scales::Given(sigmas),
                factors: Scales::Unit,
            };
            Ok((name, requirement))
        })
        .collect()
}

/// The samples that carry one staterror modifier, by channel.
#[derive(Default)]
struct Carriers {
    channels: Vec<Carried>,
}

struct Carried {
    channel: usize,
    samples: HashSet<usize>,
    nominal: Vec<f64>,
    /// Positions of the errors' sums of squares are those of the bins.
    errors: Vec<Vec<f64>>,
}

impl Carriers {
    fn add(&mut self, channel: usize, sample: usize, nominal: &[f64], errors: &[f64]) {
        if self.channels.last().is_none_or(|c| c.channel != channel) {
            let nominal = vec![0.0; nominal.len()];
            self.channels.push(Carried { channel, samples: HashSet::new(), nominal, errors: Vec::new() });
        }
        let carried = self.channels.last_mut().expect("one was just pushed if there was none");
        carried.samples.insert(sample);
        carried.nominal.iter_mut().zip(nominal).for_each(|(sum, n)| *sum += n);
        carried.errors.push(errors.to_vec());
    }

    /// A sample that carries the modifier in some of the channels only.
    fn inconsistent(&self) -> Option<usize> {
        let all: HashSet<usize> = self.channels.iter().flat_map(|c| c.samples.iter().copied()).collect();
        let mut partial: Vec<usize> =
            all.into_iter().filter(|s| self.channels.iter().any(|c| !c.samples.contains(s))).collect();
        partial.sort_unstable();
        partial.first().copied()
    }
}

impl Carried {
    /// √Σ(ε/Σν)² a bin; 0 where the yields' sum is not positive.
    fn widths(&self) -> Vec<f64> {
        let width = |bin: usize| {
            let total = self.nominal[bin];
            let squares = |e: &Vec<f64>| (e[bin] / total).powi(2);
            if total > 0.0 { self.errors.iter().map(squares).sum::<f64>().sqrt() } else { 0.0 }
        };
        (0..self.nominal.len()).map(width).collect()
    }
}
