//! What a model's arrays mean: parameters, auxiliary data and bins, in pyhf's order.

use std::ops::Range;

/// The layout of a model's arrays.
#[derive(Clone, Debug, PartialEq)]
pub struct Config {
    /// The parameter sets, in the order of their parameters (pyhf's `par_order`).
    pub parameter_sets: Vec<ParameterSet>,
    /// One name a parameter: the set's, with `[i]` appended in sets of several (pyhf's `par_names`).
    pub names: Vec<String>,
    /// Initial values.
    pub init: Vec<f64>,
    /// Lower and upper bounds.
    pub bounds: Vec<(f64, f64)>,
    /// Which parameters fits leave at their initial values.
    pub fixed: Vec<bool>,
    /// The auxiliary data at nominal.
    pub auxdata: Vec<f64>,
    /// The channels by name, with their bins.
    pub channels: Vec<ChannelConfig>,
    /// The samples' names, in alphabetical order.
    pub samples: Vec<String>,
    /// Name and type of the modifiers, in alphabetical order.
    pub modifiers: Vec<(String, &'static str)>,
    /// The position of the parameter of interest.
    pub poi: Option<usize>,
}

/// Parameters that go by one name.
#[derive(Clone, Debug, PartialEq)]
pub struct ParameterSet {
    /// The modifiers' name.
    pub name: String,
    /// The positions of its parameters.
    pub slice: Range<usize>,
    /// True for a set that is one parameter by nature (and not one that a channel of one bin made).
    pub scalar: bool,
    /// What constrains it.
    pub constraint: Constraint,
    /// The positions of its auxiliary data; empty if it is free.
    pub auxiliary: Range<usize>,
}

/// What constrains a parameter set.
#[derive(Copy, Clone, Debug, PartialEq, Eq, Hash)]
pub enum Constraint {
    /// Nothing.
    None,
    /// Normal auxiliary measurements.
    Normal,
    /// Poisson auxiliary measurements.
    Poisson,
}

/// A channel's bins.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChannelConfig {
    /// The name.
    pub name: String,
    /// The positions of its bins.
    pub slice: Range<usize>,
}

impl Config {
    /// The number of parameters.
    pub fn parameters(&self) -> usize {
        self.names.len()
    }

    /// The number of bins.
    pub fn bins(&self) -> usize {
        self.channels.last().map_or(0, |c| c.slice.end)
    }

    /// The number of observed and auxiliary data together.
    pub fn data_len(&self) -> usize {
        self.bins() + self.auxdata.len()
    }

    /// The parameter set of this name.
    pub fn parameter_set(&self, name: &str) -> Option<&ParameterSet> {
        self.parameter_sets.iter().find(|s| s.name == name)
    }

    /// The channel and the position in it of a bin.
    pub fn locate(&self, bin: usize) -> Option<(&ChannelConfig, usize)> {
        let channel = self.channels.iter().find(|c| c.slice.contains(&bin))?;
        Some((channel, bin - channel.slice.start))
    }
}
