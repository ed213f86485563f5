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

use crate::emit::Values;
use hashbrown::{DefaultHashBuilder, HashTable};
use std::hash::{BuildHasher, Hash, Hasher};
use wootz_ir::ops::{Family, Op, Source};
use wootz_ir::{Def, NodeId, Region, Value};

/// The nodes emitted so far, by op and operands.
#[derive(Default)]
pub(crate) struct Seen {
    hasher: DefaultHashBuilder,
    nodes: HashTable<(u64, NodeId)>,
}

impl Seen {
    /// The results of an equal node of `region`.
    pub(crate) fn find(&self, region: &Region, op: &Op, inputs: &[Value]) -> Option<Values> {
        let hash = self.hash(op, inputs);
        let same = |(_, id): &(u64, NodeId)| {
            let node = region.node(*id);
            node.inputs[..] == *inputs && node.op == *op
        };
        let (_, id) = self.nodes.find(hash, same)?;
        Some(region.node(*id).outputs().collect())
    }

    /// Notes the node of `region` that gives `outputs`.
    pub(crate) fn insert(&mut self, region: &Region, op: &Op, inputs: &[Value], outputs: &[Value]) {
        let Some(Def::Node(id, _)) = outputs.first().map(|v| region.def(*v)) else { return };
        let hash = self.hash(op, inputs);
        self.nodes.insert_unique(hash, (hash, id), |(hash, _)| *hash);
    }

    /// Large constants and regions count by their outline only: equality, which looks at the whole, is asked rarely.
    fn hash(&self, op: &Op, inputs: &[Value]) -> u64 {
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
