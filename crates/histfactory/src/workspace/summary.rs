//! What is in a workspace, as a table.

use super::Workspace;
use super::edit::Names;
use std::collections::BTreeMap;
use std::fmt;

/// What is in a workspace; prints as a table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Summary {
    /// Name and number of bins, by name.
    pub channels: Vec<(String, usize)>,
    /// Names, by name.
    pub samples: Vec<String>,
    /// Parameter set name and modifier type, by name.
    pub modifiers: Vec<(String, &'static str)>,
    /// How many entries of each modifier type there are.
    pub entries: BTreeMap<&'static str, usize>,
    /// Name, parameter of interest and number of configured parameter sets, in order.
    pub measurements: Vec<(String, String, usize)>,
}

impl Workspace {
    /// What is in the workspace.
    pub fn summary(&self) -> Summary {
        let names = Names::of(self);
        let modifiers = || self.channels.iter().flat_map(|c| &c.samples).flat_map(|s| &s.modifiers);
        let mut entries = BTreeMap::new();
        modifiers().for_each(|m| *entries.entry(m.kind.type_name()).or_insert(0) += 1);
        let mut pairs: Vec<(&str, &'static str)> =
            modifiers().map(|m| (m.name.as_str(), m.kind.type_name())).collect();
        pairs.sort_unstable();
        pairs.dedup();
        let bins: BTreeMap<&str, usize> = self.channels.iter().map(|c| (c.name.as_str(), c.bins())).collect();
        let measurement =
            |m: &super::Measurement| (m.name.clone(), m.config.poi.clone(), m.config.parameters.len());
        Summary {
            channels: bins.into_iter().map(|(name, bins)| (name.to_string(), bins)).collect(),
            samples: names.samples.0.iter().map(|s| (*s).to_string()).collect(),
            modifiers: pairs.into_iter().map(|(name, kind)| (name.to_string(), kind)).collect(),
            entries,
            measurements: self.measurements.iter().map(measurement).collect(),
        }
    }
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let bins: usize = self.channels.iter().map(|c| c.1).sum();
        writeln!(f, "{:>12}  {} ({bins} bins)", "channels", self.channels.len())?;
        writeln!(f, "{:>12}  {}", "samples", self.samples.len())?;
        writeln!(f, "{:>12}  {}", "parameters", self.modifiers.len())?;
        writeln!(f, "{:>12}  {}", "modifiers", self.entries.values().sum::<usize>())?;
        let names = self
            .channels
            .iter()
            .map(|c| c.0.len())
            .chain(self.samples.iter().map(String::len))
            .chain(self.modifiers.iter().map(|m| m.0.len()));
        let width = names.max().unwrap_or(0).max(11);
        writeln!(f, "\n{:<width$}  bins", "channel")?;
        for (name, bins) in &self.channels {
            writeln!(f, "{name:<width$}  {bins}")?;
        }
        writeln!(f, "\nsample")?;
        for name in &self.samples {
            writeln!(f, "{name}")?;
        }
        writeln!(f, "\n{:<width$}  type", "parameter")?;
        for (name, kind) in &self.modifiers {
            writeln!(f, "{name:<width$}  {kind}")?;
        }
        writeln!(f, "\n{:<width$}  poi, configured parameters", "measurement")?;
        for (name, poi, parameters) in &self.measurements {
            let poi = if poi.is_empty() { "(none)" } else { poi };
            writeln!(f, "{name:<width$}  {poi}, {parameters}")?;
        }
        Ok(())
    }
}
