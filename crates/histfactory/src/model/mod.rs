//! Models: a workspace's measurement as parameters, constraints and templates, in pyhf's order.

mod config;
mod error;
mod options;
mod parameters;
mod structure;
#[cfg(test)]
mod tests;
mod walk;

pub use config::{ChannelConfig, Config, Constraint, ParameterSet};
pub use error::{ModelError, NegativeRate};
pub use options::{HistosysCode, ModelOptions, ModifierSettings, NormsysCode, Poi};
use structure::StatisticalElement;
pub(crate) use structure::Structure;
pub use structure::{Constraints, NormalTerm, PoissonTerm};

use crate::workspace::WorkspaceError;
use crate::{Template, Workspace};
use std::ops::Range;
use walk::Walk;

/// A statistical model: Poisson counts in bins whose rates depend on parameters, and auxiliary measurements that constrain them.
#[derive(Clone, Debug, PartialEq)]
pub struct Model {
    config: Config,
    structure: Structure,
    options: ModelOptions,
}

impl Workspace {
    /// The model of one measurement.
    pub fn model(&self, options: &ModelOptions) -> Result<Model, ModelError> {
        let measurement = self.measurement(options.measurement.as_deref())?;
        let walk = Walk::of(self);
        let sets = parameters::resolve(&walk, &measurement.config.parameters)?;
        let poi = match &options.poi {
            Poi::Measurement => Some(measurement.config.poi.as_str()).filter(|name| !name.is_empty()),
            Poi::Name(name) => Some(name.as_str()),
            Poi::None => None,
        };
        let config = config(&walk, &sets, poi)?;
        let structure = Structure::build(&walk, &sets);
        Ok(Model { config, structure, options: options.clone() })
    }

    /// The observed counts in the order of the model's bins, then its auxiliary data at nominal.
    pub fn data(&self, model: &Model) -> Result<Vec<f64>, ModelError> {
        let mut out = self.observed(model)?;
        out.extend_from_slice(&model.config.auxdata);
        Ok(out)
    }

    /// The observed counts in the order of the model's bins.
    pub fn observed(&self, model: &Model) -> Result<Vec<f64>, ModelError> {
        let mut out = Vec::with_capacity(model.config.data_len());
        for channel in &model.config.channels {
            let Some(at) = self.observations.iter().position(|o| o.name == channel.name) else {
                return Err(WorkspaceError::NoObservation { channel: channel.name.clone() }.into());
            };
            let (counts, expected) = (&self.observations[at].data, channel.slice.len());
            let path = || format!("observations[{at}].data");
            if counts.len() != expected {
                let (channel, got) = (channel.name.clone(), counts.len());
                return Err(WorkspaceError::BinCount { path: path(), channel, expected, got }.into());
            }
            if let Some(i) = counts.iter().position(|n| *n < 0.0) {
                let path = format!("{}[{i}]", path());
                return Err(WorkspaceError::NegativeCount { path, value: counts[i] }.into());
            }
            out.extend_from_slice(counts);
        }
        Ok(out)
    }
}

impl Model {
    /// What the arrays mean.
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// The constraint terms.
    pub fn constraints(&self) -> &Constraints {
        &self.structure.constraints
    }

    /// The uncertainties that auxiliary measurements leave the parameters: the width of a normal constraint, 1/√τ of a Poisson one, 0 without
    /// one.
    pub fn prefit_uncertainties(&self) -> Vec<f64> {
        let mut out = vec![0.0; self.config.parameters()];
        self.constraints().normal.iter().for_each(|t| out[t.parameter] = t.width);
        self.constraints().poisson.iter().for_each(|t| out[t.parameter] = t.rate.sqrt().recip());
        out
    }

    /// What was chosen beyond the workspace.
    pub fn options(&self) -> &ModelOptions {
        &self.options
    }

    pub(crate) fn structure(&self) -> &Structure {
        &self.structure
    }

    /// The model with its templates acting on other parameters: rates depend on the structure alone.
    pub(crate) fn with_structure(&self, structure: Structure) -> Model {
        Model { structure, ..self.clone() }
    }

    /// Where the template of a channel's sample stands in the template input `nominal`.
    pub fn nominal_slice(&self, channel: &str, sample: &str) -> Option<Range<usize>> {
        Some(self.structure.blocks[self.block(channel, sample)?].cells.clone())
    }

    /// Where a modifier of a channel's sample stands in a template other than [`Template::Nominal`]; without a name, whichever comes first.
    pub fn modifier_slice(
        &self,
        template: Template,
        channel: &str,
        sample: &str,
        modifier: Option<&str>,
    ) -> Option<Range<usize>> {
        let s = &self.structure;
        let block = self.block(channel, sample)?;
        let wanted = match modifier {
            Some(name) => self.config.parameter_sets.iter().find(|set| set.name == name)?.slice.clone(),
            None => 0..self.config.parameters(),
        };
        let cells = &s.blocks[block].cells;
        // One run of elements a modifier, whose parameters are those of one name.
        let run = |elements: &[StatisticalElement], parameter: &dyn Fn(usize) -> usize| {
            let is_in =
                |e: &StatisticalElement| cells.contains(&e.cell) && wanted.contains(&parameter(e.term));
            let first = elements.iter().position(is_in)?;
            Some(first..first + cells.len())
        };
        match template {
            Template::Nominal => None,
            Template::HistosysLo | Template::HistosysHi => s
                .histosys
                .iter()
                .find(|e| e.block == block && wanted.contains(&e.parameter))
                .map(|e| e.elements.clone()),
            Template::NormsysLo | Template::NormsysHi => s
                .normsys
                .iter()
                .position(|e| e.block == block && wanted.contains(&e.parameter))
                .map(|i| i..i + 1),
            Template::Staterror => run(&s.staterror, &|term| s.constraints.normal[term].parameter),
            Template::Shapesys => run(&s.shapesys, &|term| s.constraints.poisson[term].parameter),
        }
    }

    fn block(&self, channel: &str, sample: &str) -> Option<usize> {
        let channel = self.config.channels.iter().position(|c| c.name == channel)?;
        let sample = self.config.samples.iter().position(|s| s == sample)?;
        self.structure.blocks.iter().position(|b| b.channel == channel && b.sample == sample)
    }
}

fn config(walk: &Walk<'_>, sets: &[parameters::Resolved], poi: Option<&str>) -> Result<Config, ModelError> {
    let poi = poi.map(|name| {
        let Some(set) = sets.iter().map(|s| &s.set).find(|s| s.name == name) else {
            let known = sets.iter().map(|s| s.set.name.clone()).collect();
            return Err(ModelError::UnknownPoi { name: name.into(), known });
        };
        match set.slice.len() {
            1 => Ok(set.slice.start),
            parameters => Err(ModelError::PoiNotScalar { name: name.into(), parameters }),
        }
    });
    let names = sets.iter().flat_map(|s| {
        let name = &s.set.name;
        (0..s.set.slice.len()).map(move |i| if s.set.scalar { name.clone() } else { format!("{name}[{i}]") })
    });
    let mut first = 0;
    let channels = walk.channels.iter().map(|channel| {
        let slice = first..first + channel.bins();
        first = slice.end;
        ChannelConfig { name: channel.name.clone(), slice }
    });
    Ok(Config {
        names: names.collect(),
        init: sets.iter().flat_map(|s| s.init.iter().copied()).collect(),
        bounds: sets.iter().flat_map(|s| s.bounds.iter().copied()).collect(),
        fixed: sets.iter().flat_map(|s| s.fixed.iter().copied()).collect(),
        auxdata: sets.iter().flat_map(|s| s.auxdata.iter().copied()).collect(),
        channels: channels.collect(),
        samples: walk.samples.iter().map(|s| (*s).to_string()).collect(),
        modifiers: walk.modifiers.iter().map(|(name, kind)| ((*name).to_string(), *kind)).collect(),
        parameter_sets: sets.iter().map(|s| s.set.clone()).collect(),
        poi: poi.transpose()?,
    })
}
