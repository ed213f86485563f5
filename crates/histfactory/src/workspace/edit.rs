//! Pruning, renaming and sorting. The original is left alone; the result is checked like any workspace.

use super::{MODIFIER_TYPES, Workspace, WorkspaceError};
use std::collections::{BTreeSet, HashMap, HashSet};

/// What to leave out, by name.
#[derive(Clone, Debug, Default)]
pub struct Prune {
    /// Modifiers, and the parameter configurations of their names.
    pub modifiers: Vec<String>,
    /// Modifiers of these types.
    pub modifier_types: Vec<String>,
    /// Samples, in every channel.
    pub samples: Vec<String>,
    /// Channels, and their observations.
    pub channels: Vec<String>,
    /// Measurements.
    pub measurements: Vec<String>,
}

/// Old name → new name.
#[derive(Clone, Debug, Default)]
pub struct Rename {
    /// Modifiers, parameter configurations and parameters of interest.
    pub modifiers: HashMap<String, String>,
    /// Samples, in every channel.
    pub samples: HashMap<String, String>,
    /// Channels, and their observations.
    pub channels: HashMap<String, String>,
    /// Measurements.
    pub measurements: HashMap<String, String>,
}

impl Workspace {
    /// The workspace without what `prune` names. Naming what is not there is an error.
    pub fn prune(&self, prune: &Prune) -> Result<Workspace, WorkspaceError> {
        let names = Names::of(self);
        names.types.check("modifier type", prune.modifier_types.iter())?;
        names.modifiers.check("modifier", prune.modifiers.iter())?;
        names.samples.check("sample", prune.samples.iter())?;
        names.channels.check("channel", prune.channels.iter())?;
        names.measurements.check("measurement", prune.measurements.iter())?;
        let has = |list: &[String]| -> HashSet<String> { list.iter().cloned().collect() };
        let (modifiers, types) = (has(&prune.modifiers), has(&prune.modifier_types));
        let (samples, channels) = (has(&prune.samples), has(&prune.channels));
        let measurements = has(&prune.measurements);

        let mut out = self.clone();
        out.channels.retain(|c| !channels.contains(&c.name));
        for channel in &mut out.channels {
            channel.samples.retain(|s| !samples.contains(&s.name));
            for sample in &mut channel.samples {
                sample
                    .modifiers
                    .retain(|m| !modifiers.contains(&m.name) && !types.contains(m.kind.type_name()));
            }
        }
        out.measurements.retain(|m| !measurements.contains(&m.name));
        for measurement in &mut out.measurements {
            measurement.config.parameters.retain(|p| !modifiers.contains(&p.name));
        }
        out.observations.retain(|o| !channels.contains(&o.name));
        out.check_not_empty()?;
        out.validate()?;
        Ok(out)
    }

    /// The workspace with other names. Naming what is not there is an error.
    pub fn rename(&self, rename: &Rename) -> Result<Workspace, WorkspaceError> {
        let names = Names::of(self);
        names.modifiers.check("modifier", rename.modifiers.keys())?;
        names.samples.check("sample", rename.samples.keys())?;
        names.channels.check("channel", rename.channels.keys())?;
        names.measurements.check("measurement", rename.measurements.keys())?;
        let apply = |map: &HashMap<String, String>, name: &mut String| {
            if let Some(new) = map.get(name) {
                name.clone_from(new);
            }
        };
        let mut out = self.clone();
        for channel in &mut out.channels {
            apply(&rename.channels, &mut channel.name);
            for sample in &mut channel.samples {
                apply(&rename.samples, &mut sample.name);
                sample.modifiers.iter_mut().for_each(|m| apply(&rename.modifiers, &mut m.name));
            }
        }
        for measurement in &mut out.measurements {
            apply(&rename.measurements, &mut measurement.name);
            apply(&rename.modifiers, &mut measurement.config.poi);
            measurement.config.parameters.iter_mut().for_each(|p| apply(&rename.modifiers, &mut p.name));
        }
        out.observations.iter_mut().for_each(|o| apply(&rename.channels, &mut o.name));
        out.check_lumi_names()?;
        out.validate()?;
        Ok(out)
    }

    /// The workspace with every list in the order of its names.
    #[must_use]
    pub fn sorted(&self) -> Workspace {
        let mut out = self.clone();
        out.channels.sort_by(|a, b| a.name.cmp(&b.name));
        for channel in &mut out.channels {
            channel.samples.sort_by(|a, b| a.name.cmp(&b.name));
            for sample in &mut channel.samples {
                sample
                    .modifiers
                    .sort_by(|a, b| (&a.name, a.kind.type_name()).cmp(&(&b.name, b.kind.type_name())));
            }
        }
        out.measurements.sort_by(|a, b| a.name.cmp(&b.name));
        for measurement in &mut out.measurements {
            measurement.config.parameters.sort_by(|a, b| a.name.cmp(&b.name));
        }
        out.observations.sort_by(|a, b| a.name.cmp(&b.name));
        out
    }

    /// Pruning may leave nothing where the format demands something.
    fn check_not_empty(&self) -> Result<(), WorkspaceError> {
        let empty = |path: String| WorkspaceError::Schema {
            path,
            problem: "nothing is left here: the array needs at least one element".into(),
        };
        for (name, is_empty) in [
            ("channels", self.channels.is_empty()),
            ("measurements", self.measurements.is_empty()),
            ("observations", self.observations.is_empty()),
        ] {
            if is_empty {
                return Err(empty(name.into()));
            }
        }
        match self.channels.iter().position(|c| c.samples.is_empty()) {
            Some(i) => Err(empty(format!("channels[{i}].samples"))),
            None => Ok(()),
        }
    }

    /// Renaming may give a lumi modifier another name.
    fn check_lumi_names(&self) -> Result<(), WorkspaceError> {
        for (i, channel) in self.channels.iter().enumerate() {
            for (j, sample) in channel.samples.iter().enumerate() {
                for (k, modifier) in sample.modifiers.iter().enumerate() {
                    if modifier.kind.type_name() == "lumi" && modifier.name != "lumi" {
                        return Err(WorkspaceError::Schema {
                            path: format!("channels[{i}].samples[{j}].modifiers[{k}].name"),
                            problem: format!("a lumi modifier is named `lumi`, not `{}`", modifier.name),
                        });
                    }
                }
            }
        }
        Ok(())
    }
}

/// The names in a workspace, each kind in alphabetical order.
pub(super) struct Names<'a> {
    pub(super) channels: NameSet<'a>,
    pub(super) samples: NameSet<'a>,
    pub(super) modifiers: NameSet<'a>,
    types: NameSet<'a>,
    measurements: NameSet<'a>,
}

pub(super) struct NameSet<'a>(pub(super) BTreeSet<&'a str>);

impl<'a> Names<'a> {
    pub(super) fn of(workspace: &'a Workspace) -> Names<'a> {
        let samples = || workspace.channels.iter().flat_map(|c| &c.samples);
        let modifiers = || samples().flat_map(|s| &s.modifiers);
        let used: BTreeSet<&str> = modifiers().map(|m| m.kind.type_name()).collect();
        Names {
            channels: NameSet(workspace.channels.iter().map(|c| c.name.as_str()).collect()),
            samples: NameSet(samples().map(|s| s.name.as_str()).collect()),
            modifiers: NameSet(modifiers().map(|m| m.name.as_str()).collect()),
            types: NameSet(MODIFIER_TYPES.into_iter().filter(|t| used.contains(t)).collect()),
            measurements: NameSet(workspace.measurements.iter().map(|m| m.name.as_str()).collect()),
        }
    }
}

impl NameSet<'_> {
    fn check<'n>(
        &self,
        what: &'static str,
        names: impl Iterator<Item = &'n String>,
    ) -> Result<(), WorkspaceError> {
        for name in names {
            if !self.0.contains(name.as_str()) {
                let known = self.0.iter().map(|n| (*n).to_string()).collect();
                return Err(WorkspaceError::Unknown { what, name: name.clone(), known });
            }
        }
        Ok(())
    }
}
