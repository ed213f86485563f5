//! Joining two workspaces, with pyhf's joins.

use super::{Channel, Measurement, MeasurementConfig, Observation, Workspace, WorkspaceError};
use std::collections::HashMap;

/// How things that both workspaces have are joined.
#[derive(Copy, Clone, Debug, PartialEq, Eq, Default)]
pub enum Join {
    /// Nothing may be in common.
    #[default]
    None,
    /// What is in common must be equal; measurements of one name merge their parameter configurations.
    Outer,
    /// The left one's is taken.
    LeftOuter,
    /// The right one's is taken.
    RightOuter,
}

/// Whether channels of one name are merged sample by sample.
#[derive(Copy, Clone, Debug, PartialEq, Eq, Default)]
pub enum MergeChannels {
    /// A channel is taken whole.
    #[default]
    No,
    /// Samples that only one of them has are added to the other.
    Yes,
}

/// Something with a name.
trait Named: Clone + PartialEq {
    fn name(&self) -> &str;
}

macro_rules! named {
    ($($t:ty),*) => { $(impl Named for $t { fn name(&self) -> &str { &self.name } })* };
}
named!(Channel, Observation, Measurement, super::Sample, super::ParameterConfig);

const RENAME: &str = "joining by `none` allows nothing in common; rename one, or use an outer join";
const DIFFERS: &str = "they differ; rename one, or use a left or right outer join";

impl Workspace {
    /// The combination of two workspaces: their channels, observations and measurements. Modifiers of one name become
    /// correlated.
    pub fn combine(
        left: &Workspace,
        right: &Workspace,
        join: Join,
        merge: MergeChannels,
    ) -> Result<Workspace, WorkspaceError> {
        if merge == MergeChannels::Yes && join == Join::None {
            return Err(WorkspaceError::MergeNeedsOuterJoin);
        }
        let channels = match merge {
            MergeChannels::No => join_items("channel", join, &left.channels, &right.channels)?,
            MergeChannels::Yes => merge_channels(join, &left.channels, &right.channels),
        };
        let observations = join_items("observation", join, &left.observations, &right.observations)?;
        let measurements = match join {
            Join::Outer => join_measurements(&left.measurements, &right.measurements)?,
            _ => join_items("measurement", join, &left.measurements, &right.measurements)?,
        };
        let out = Workspace { channels, measurements, observations, version: left.version };
        out.validate()?;
        Ok(out)
    }
}

/// The side that wins, then the other.
fn ordered<'a, T>(join: Join, left: &'a [T], right: &'a [T]) -> (&'a [T], &'a [T]) {
    if join == Join::RightOuter { (right, left) } else { (left, right) }
}

fn join_items<T: Named>(
    what: &'static str,
    join: Join,
    left: &[T],
    right: &[T],
) -> Result<Vec<T>, WorkspaceError> {
    let (first, second) = ordered(join, left, right);
    let known: HashMap<&str, &T> = first.iter().map(|item| (item.name(), item)).collect();
    let mut out = first.to_vec();
    for item in second {
        let problem = match (known.get(item.name()), join) {
            (None, _) => {
                out.push(item.clone());
                continue;
            }
            (Some(_), Join::None) => RENAME,
            (Some(other), Join::Outer) if **other != *item => DIFFERS,
            _ => continue,
        };
        return Err(WorkspaceError::Combine { what, name: item.name().into(), problem });
    }
    Ok(out)
}

fn merge_channels(join: Join, left: &[Channel], right: &[Channel]) -> Vec<Channel> {
    let (first, second) = ordered(join, left, right);
    let known: HashMap<&str, usize> = first.iter().enumerate().map(|(i, c)| (c.name.as_str(), i)).collect();
    let mut out = first.to_vec();
    for channel in second {
        let Some(at) = known.get(channel.name.as_str()) else {
            out.push(channel.clone());
            continue;
        };
        let own: Vec<String> = out[*at].samples.iter().map(|s| s.name.clone()).collect();
        let added = channel.samples.iter().filter(|s| !own.contains(&s.name)).cloned();
        out[*at].samples.extend(added);
    }
    out
}

fn join_measurements(
    left: &[Measurement],
    right: &[Measurement],
) -> Result<Vec<Measurement>, WorkspaceError> {
    let known: HashMap<&str, usize> = left.iter().enumerate().map(|(i, m)| (m.name.as_str(), i)).collect();
    let mut out = left.to_vec();
    for measurement in right {
        let Some(at) = known.get(measurement.name.as_str()) else {
            out.push(measurement.clone());
            continue;
        };
        let own = &mut out[*at].config;
        if own.poi != measurement.config.poi {
            return Err(WorkspaceError::Combine {
                what: "measurement",
                name: measurement.name.clone(),
                problem: "they have different parameters of interest; rename one",
            });
        }
        let parameters = join_items(
            "parameter configuration",
            Join::Outer,
            &own.parameters,
            &measurement.config.parameters,
        )?;
        *own = MeasurementConfig { parameters, poi: own.poi.clone() };
    }
    Ok(out)
}
