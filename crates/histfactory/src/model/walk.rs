//! A workspace's samples in the order in which pyhf visits them: channels, samples and modifiers by name.

use crate::workspace::{Channel, Modifier, Sample, Workspace};
use std::collections::{BTreeSet, HashMap};

/// The workspace's parts in the order of their names.
pub(super) struct Walk<'w> {
    pub(super) channels: Vec<&'w Channel>,
    pub(super) samples: Vec<&'w str>,
    pub(super) modifiers: Vec<(&'w str, &'static str)>,
    /// The samples that channels have, by (channel, sample).
    pub(super) blocks: Vec<WalkBlock<'w>>,
}

/// One channel's sample.
pub(super) struct WalkBlock<'w> {
    /// Position in [`Walk::channels`].
    pub(super) channel: usize,
    /// Position in [`Walk::samples`].
    pub(super) sample: usize,
    pub(super) data: &'w Sample,
    /// By name, then type.
    pub(super) modifiers: Vec<&'w Modifier>,
}

impl<'w> Walk<'w> {
    pub(super) fn of(workspace: &'w Workspace) -> Walk<'w> {
        let mut channels: Vec<&Channel> = workspace.channels.iter().collect();
        channels.sort_by(|a, b| a.name.cmp(&b.name));
        let samples: BTreeSet<&str> =
            channels.iter().flat_map(|c| &c.samples).map(|s| s.name.as_str()).collect();
        let samples: Vec<&str> = samples.into_iter().collect();
        let position: HashMap<&str, usize> = samples.iter().enumerate().map(|(i, s)| (*s, i)).collect();
        let mut blocks = Vec::new();
        let mut modifiers = BTreeSet::new();
        for (channel, item) in channels.iter().enumerate() {
            let mut own: Vec<WalkBlock<'_>> = item
                .samples
                .iter()
                .map(|data| {
                    let mut list: Vec<&Modifier> = data.modifiers.iter().collect();
                    list.sort_by(|a, b| (&a.name, a.kind.type_name()).cmp(&(&b.name, b.kind.type_name())));
                    modifiers.extend(list.iter().map(|m| (m.name.as_str(), m.kind.type_name())));
                    WalkBlock { channel, sample: position[data.name.as_str()], data, modifiers: list }
                })
                .collect();
            own.sort_by_key(|b| b.sample);
            blocks.extend(own);
        }
        Walk { channels, samples, modifiers: modifiers.into_iter().collect(), blocks }
    }

    pub(super) fn bins(&self, block: &WalkBlock<'_>) -> usize {
        self.channels[block.channel].bins()
    }
}
