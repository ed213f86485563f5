//! Common subexpressions: equal ops on equal operands are one node. Random ops too: what tells two draws apart is their key,
//! which is an operand.
//!
//! Before:
//!
//! ```text
//! graph(%0: f32[2] = input "x") {
//!   %1 = exp %0 : f32[2]
//!   %2 = exp %0 : f32[2]
//!   %3 = add %1, %2 : f32[2]
//!   return "y" = %3
//! }
//! ```
//!
//! After:
//!
//! ```text
//! graph(%0: f32[2] = input "x") {
//!   %1 = exp %0 : f32[2]
//!   %2 = add %1, %1 : f32[2]
//!   return "y" = %2
//! }
//! ```

use hashbrown::{DefaultHashBuilder, HashTable};
use std::hash::{BuildHasher, Hash, Hasher};
use wootz_ir::ops::{Family, Op, Source};
use wootz_ir::{NodeId, Region, Value};

/// The nodes emitted so far, by op and operands.
#[derive(Default)]
pub(crate) struct Seen {
    hasher: DefaultHashBuilder,
    nodes: HashTable<(u64, NodeId)>,
}

impl Seen {
    /// An equal node of `region`, by the [hash](Seen::hash) of the op and its operands.
    pub(crate) fn find(&self, hash: u64, region: &Region, op: &Op, inputs: &[Value]) -> Option<NodeId> {
        let same = |(_, id): &(u64, NodeId)| {
            let node = region.node(*id);
            node.inputs[..] == *inputs && node.op == *op
        };
        self.nodes.find(hash, same).map(|(_, id)| *id)
    }

    /// Notes a node.
    pub(crate) fn insert(&mut self, hash: u64, node: NodeId) {
        self.nodes.insert_unique(hash, (hash, node), |(hash, _)| *hash);
    }

    /// Large constants and regions count by their outline only: equality, which looks at the whole, is asked rarely.
    pub(crate) fn hash(&self, op: &Op, inputs: &[Value]) -> u64 {
        let mut state = self.hasher.build_hasher();
        inputs.hash(&mut state);
        match op {
            Op::Source(Source::Constant(tensor)) => {
                tensor.dims().hash(&mut state);
                let bytes = tensor.as_bytes();
                bytes[..bytes.len().min(256)].hash(&mut state);
            }
            Op::Control(control) => {
                control.name().hash(&mut state);
                for region in control.regions() {
                    (region.nodes().len(), region.values()).hash(&mut state);
                }
            }
            op => op.hash(&mut state),
        }
        state.finish()
    }
}
