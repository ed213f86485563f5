//! Workspaces: pyhf's JSON format 1.0.0, read strictly and edited as pyhf edits it.
//!
//! A workspace is what is written down: channels with samples and their modifiers, observations, measurements. It becomes a
//! [`Model`](crate::Model) by [`Workspace::model`].

mod combine;
mod digest;
mod edit;
mod error;
mod number;
mod parse;
mod patch;
mod summary;
mod validate;

pub use combine::{Join, MergeChannels};
pub use digest::DigestAlgorithm;
pub use edit::{Prune, Rename};
pub use error::WorkspaceError;
pub use number::{Number, Numbers};
pub use patch::{Patch, PatchKey, PatchSet};
pub use summary::Summary;

use serde::{Deserialize, Serialize};

/// A workspace. Fields stand in the order in which they are digested.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Workspace {
    /// What is measured: at least one channel.
    #[serde(deserialize_with = "parse::nonempty")]
    pub channels: Vec<Channel>,
    /// Which parameter is of interest and how parameters are configured: at least one measurement.
    #[serde(deserialize_with = "parse::nonempty")]
    pub measurements: Vec<Measurement>,
    /// Observed counts: at least one channel's.
    #[serde(deserialize_with = "parse::nonempty")]
    pub observations: Vec<Observation>,
    /// The version of the format.
    pub version: Version,
}

/// The version of the format.
#[derive(Copy, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Version {
    /// 1.0.0, the only one there is.
    #[serde(rename = "1.0.0")]
    V1,
}

/// A region of data: a list of bins and the samples that contribute to them.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Channel {
    /// Unique among the channels.
    pub name: String,
    /// At least one; all have the same number of bins.
    #[serde(deserialize_with = "parse::nonempty")]
    pub samples: Vec<Sample>,
}

/// A process's contribution to a channel.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Sample {
    /// The nominal yield in each bin.
    pub data: Numbers,
    /// What changes the yields.
    pub modifiers: Vec<Modifier>,
    /// Unique in its channel.
    pub name: String,
}

/// Something that changes a sample's yields as a function of parameters.
#[derive(Clone, Debug, PartialEq)]
pub struct Modifier {
    /// The name of its parameter set; modifiers of one name share it.
    pub name: String,
    /// What it does.
    pub kind: ModifierKind,
}

/// What a modifier does, with its data.
#[derive(Clone, Debug, PartialEq)]
pub enum ModifierKind {
    /// Interpolates additively between histograms at −1, 0 and +1.
    Histosys {
        /// The yields at +1.
        hi_data: Numbers,
        /// The yields at −1.
        lo_data: Numbers,
    },
    /// Multiplies by the luminosity; always called `lumi`.
    Lumi,
    /// Multiplies by a free parameter.
    Normfactor,
    /// Interpolates multiplicatively between factors at −1, 0 and +1.
    Normsys {
        /// The factor at +1.
        hi: Number,
        /// The factor at −1.
        lo: Number,
    },
    /// Multiplies each bin by a free parameter of its own.
    Shapefactor,
    /// Multiplies each bin by a parameter constrained by a Poisson measurement; the data are absolute uncertainties.
    Shapesys(Numbers),
    /// Multiplies each bin by a parameter shared by samples and constrained by a normal; the data are absolute uncertainties.
    Staterror(Numbers),
}

impl ModifierKind {
    /// The name of the type in the format.
    pub fn type_name(&self) -> &'static str {
        match self {
            ModifierKind::Histosys { .. } => "histosys",
            ModifierKind::Lumi => "lumi",
            ModifierKind::Normfactor => "normfactor",
            ModifierKind::Normsys { .. } => "normsys",
            ModifierKind::Shapefactor => "shapefactor",
            ModifierKind::Shapesys(_) => "shapesys",
            ModifierKind::Staterror(_) => "staterror",
        }
    }
}

/// The names of the modifier types, in alphabetical order.
pub const MODIFIER_TYPES: [&str; 7] =
    ["histosys", "lumi", "normfactor", "normsys", "shapefactor", "shapesys", "staterror"];

/// A parameter of interest and the configuration of parameters.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Measurement {
    /// What is configured.
    pub config: MeasurementConfig,
    /// Unique among the measurements.
    pub name: String,
}

/// A measurement's configuration.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MeasurementConfig {
    /// What differs from the modifiers' defaults.
    pub parameters: Vec<ParameterConfig>,
    /// The name of the parameter of interest; the empty string for none.
    pub poi: String,
}

/// What a measurement says of one parameter set; absent fields keep the modifier's defaults.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ParameterConfig {
    /// The auxiliary data, one a parameter.
    #[serde(default, deserialize_with = "parse::present", skip_serializing_if = "Option::is_none")]
    pub auxdata: Option<Numbers>,
    /// `[lower, upper]` for each parameter.
    #[serde(default, deserialize_with = "parse::bounds", skip_serializing_if = "Option::is_none")]
    pub bounds: Option<Vec<Numbers>>,
    /// The rate factors of Poisson constraints, one a parameter.
    #[serde(default, deserialize_with = "parse::present", skip_serializing_if = "Option::is_none")]
    pub factors: Option<Numbers>,
    /// Whether fits keep all of them at their initial values.
    #[serde(default, deserialize_with = "parse::present", skip_serializing_if = "Option::is_none")]
    pub fixed: Option<bool>,
    /// Initial values, one a parameter.
    #[serde(default, deserialize_with = "parse::present", skip_serializing_if = "Option::is_none")]
    pub inits: Option<Numbers>,
    /// The parameter set.
    pub name: String,
    /// The widths of normal constraints, one a parameter.
    #[serde(default, deserialize_with = "parse::present", skip_serializing_if = "Option::is_none")]
    pub sigmas: Option<Numbers>,
}

/// A channel's observed counts.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Observation {
    /// One a bin.
    pub data: Numbers,
    /// The channel.
    pub name: String,
}

impl Channel {
    /// The number of bins.
    pub fn bins(&self) -> usize {
        self.samples.first().map_or(0, |s| s.data.len())
    }
}

impl Workspace {
    /// The measurement of this name; the first one if no name is given.
    pub fn measurement(&self, name: Option<&str>) -> Result<&Measurement, WorkspaceError> {
        let found = match name {
            Some(name) => self.measurements.iter().find(|m| m.name == name),
            None => self.measurements.first(),
        };
        found.ok_or_else(|| WorkspaceError::Unknown {
            what: "measurement",
            name: name.unwrap_or_default().into(),
            known: self.measurements.iter().map(|m| m.name.clone()).collect(),
        })
    }

    /// The channel of this name.
    pub fn channel(&self, name: &str) -> Option<&Channel> {
        self.channels.iter().find(|c| c.name == name)
    }
}
