//! Checks that need more than one place of the document: bin counts and names.

use super::{Channel, Modifier, ModifierKind, Sample, Workspace, WorkspaceError};
use std::collections::{HashMap, HashSet};

impl Workspace {
    /// Checks bin counts and the uniqueness of names.
    pub fn validate(&self) -> Result<(), WorkspaceError> {
        let mut bins: HashMap<&str, usize> = HashMap::new();
        for (i, channel) in self.channels.iter().enumerate() {
            let path = || format!("channels[{i}]");
            if bins.insert(&channel.name, channel.bins()).is_some() {
                return duplicate(path(), "channel", &channel.name);
            }
            check_channel(channel, &path)?;
        }
        let mut seen = HashSet::new();
        for (i, measurement) in self.measurements.iter().enumerate() {
            if !seen.insert(&measurement.name) {
                return duplicate(format!("measurements[{i}]"), "measurement", &measurement.name);
            }
            let mut parameters = HashSet::new();
            for (j, parameter) in measurement.config.parameters.iter().enumerate() {
                if !parameters.insert(&parameter.name) {
                    let path = format!("measurements[{i}].config.parameters[{j}]");
                    return duplicate(path, "parameter configuration", &parameter.name);
                }
            }
        }
        let mut seen = HashSet::new();
        for (i, observation) in self.observations.iter().enumerate() {
            if !seen.insert(&observation.name) {
                return duplicate(format!("observations[{i}]"), "observation", &observation.name);
            }
            if let Some(expected) = bins.get(observation.name.as_str()) {
                let path = || format!("observations[{i}].data");
                check_bins(&observation.name, *expected, observation.data.len(), &path)?;
            }
        }
        Ok(())
    }
}

fn check_channel(channel: &Channel, path: &dyn Fn() -> String) -> Result<(), WorkspaceError> {
    let mut names = HashSet::new();
    for (i, sample) in channel.samples.iter().enumerate() {
        let path = || format!("{}.samples[{i}]", path());
        if !names.insert(&sample.name) {
            return duplicate(path(), "sample of this channel", &sample.name);
        }
        check_bins(&channel.name, channel.bins(), sample.data.len(), &|| format!("{}.data", path()))?;
        check_modifiers(channel, sample, &path)?;
    }
    Ok(())
}

fn check_modifiers(
    channel: &Channel,
    sample: &Sample,
    path: &dyn Fn() -> String,
) -> Result<(), WorkspaceError> {
    let mut seen = HashSet::new();
    for (i, modifier) in sample.modifiers.iter().enumerate() {
        let path = || format!("{}.modifiers[{i}]", path());
        if !seen.insert((modifier.kind.type_name(), &modifier.name)) {
            return duplicate(path(), "modifier of this type on this sample", &modifier.name);
        }
        check_modifier(channel, modifier, &path)?;
    }
    Ok(())
}

fn check_modifier(
    channel: &Channel,
    modifier: &Modifier,
    path: &dyn Fn() -> String,
) -> Result<(), WorkspaceError> {
    let check = |got: usize, field: &str| check_bins(&channel.name, channel.bins(), got, &|| path() + field);
    match &modifier.kind {
        ModifierKind::Histosys { hi_data, lo_data } => {
            check(hi_data.len(), ".data.hi_data")?;
            check(lo_data.len(), ".data.lo_data")
        }
        ModifierKind::Shapesys(data) | ModifierKind::Staterror(data) => check(data.len(), ".data"),
        ModifierKind::Normsys { hi, lo } => match (hi.value > 0.0, lo.value > 0.0) {
            (true, true) => Ok(()),
            (hi_fits, _) => {
                let (field, value) = if hi_fits { ("lo", lo.value) } else { ("hi", hi.value) };
                Err(WorkspaceError::Schema {
                    path: format!("{}.data.{field}", path()),
                    problem: format!(
                        "the factor of normsys modifier `{}` is {value}, and its interpolation takes the logarithm: \
                         it must be positive",
                        modifier.name
                    ),
                })
            }
        },
        ModifierKind::Lumi | ModifierKind::Normfactor | ModifierKind::Shapefactor => Ok(()),
    }
}

fn check_bins(
    channel: &str,
    expected: usize,
    got: usize,
    path: &dyn Fn() -> String,
) -> Result<(), WorkspaceError> {
    if expected == got {
        return Ok(());
    }
    Err(WorkspaceError::BinCount { path: path(), channel: channel.into(), expected, got })
}

fn duplicate(path: String, what: &'static str, name: &str) -> Result<(), WorkspaceError> {
    Err(WorkspaceError::Duplicate { path, what, name: name.into() })
}
