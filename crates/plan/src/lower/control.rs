//! Ops that own regions: each region is planned once and bound to buffers of the plan around it.

use super::{Lowering, PlanError, Signature, region};
use crate::{BufferId, ControlStep, Place, Plan, StepKind, SubPlan};
use hashbrown::HashMap;
use std::sync::Arc;
use wootz_ir::ops::Control;
use wootz_ir::{DType, Node, NodeId, Region};

/// Plans of regions, by identity: calls to one region share one plan.
#[derive(Default)]
pub(super) struct SubPlans {
    /// The region is kept alive so that its address stays its own.
    plans: HashMap<*const Region, (Arc<Region>, Arc<Plan>)>,
}

impl Lowering<'_> {
    fn sub_plan(&mut self, body: &Arc<Region>, regions: &mut SubPlans) -> Result<SubPlan, PlanError> {
        let key = Arc::as_ptr(body);
        let plan = match regions.plans.get(&key) {
            Some((_, plan)) => plan.clone(),
            None => {
                let signature = Signature {
                    params: vec![false; body.param_types().len()],
                    aliases: vec![None; body.results().len()],
                    allow_prepare: false,
                };
                let plan = Arc::new(region(body, &signature, self.target, regions)?);
                regions.plans.insert(key, (body.clone(), plan.clone()));
                plan
            }
        };
        let scratch = self.raw_buffer(DType::U8, plan.arena, Place::Arena(0));
        Ok(SubPlan { plan, scratch })
    }

    pub(super) fn control(
        &mut self,
        id: NodeId,
        node: &Node,
        op: &Control,
        regions: &mut SubPlans,
    ) -> Result<(), PlanError> {
        let inputs: Vec<BufferId> = node.inputs.iter().map(|v| self.buffer(*v)).collect();
        let outputs: Vec<BufferId> = node.outputs().map(|v| self.buffer(v)).collect();
        let step = match op {
            Control::Call { body } => {
                ControlStep::Call { body: self.sub_plan(body, regions)?, inputs, outputs }
            }
            Control::CustomVjp { primal, .. } => {
                ControlStep::Call { body: self.sub_plan(primal, regions)?, inputs, outputs }
            }
            Control::Cond { then, otherwise } => ControlStep::Cond {
                predicate: inputs[0],
                then: self.sub_plan(then, regions)?,
                otherwise: self.sub_plan(otherwise, regions)?,
                inputs: inputs[1..].to_vec(),
                outputs,
            },
            Control::While { cond, body, carries } => {
                let next = self.carry(id, &inputs[..*carries], &outputs);
                ControlStep::While {
                    cond: self.sub_plan(cond, regions)?,
                    predicate: self.raw_buffer(DType::Bool, 1, Place::Arena(0)),
                    body: self.sub_plan(body, regions)?,
                    captures: inputs[*carries..].to_vec(),
                    outputs,
                    next,
                }
            }
            Control::Scan { body, carries, xs, length, reverse } => {
                let (carry, ys) = outputs.split_at(*carries);
                let next = self.carry(id, &inputs[..*carries], carry);
                let length = length.as_const().unwrap_or(0);
                let rows = |l: &Self, list: &[BufferId]| -> Vec<(BufferId, usize)> {
                    let row =
                        |b: &BufferId| (*b, l.buffers[b.0 as usize].bytes.checked_div(length).unwrap_or(0));
                    list.iter().map(row).collect()
                };
                ControlStep::Scan {
                    body: self.sub_plan(body, regions)?,
                    length,
                    reverse: *reverse,
                    carry: carry.to_vec(),
                    next,
                    xs: rows(self, &inputs[*carries..carries + xs]),
                    captures: inputs[carries + xs..].to_vec(),
                    ys: rows(self, ys),
                }
            }
        };
        self.push(StepKind::Control(Box::new(step)), id, false);
        Ok(())
    }

    /// Copies initial values to where the carry lives; returns buffers for the next carry.
    fn carry(&mut self, id: NodeId, initial: &[BufferId], carry: &[BufferId]) -> Vec<BufferId> {
        for (from, to) in initial.iter().zip(carry) {
            self.copy(*from, *to, id, false);
        }
        let next = |b: &BufferId| {
            let buffer = self.buffers[b.0 as usize].clone();
            self.raw_buffer(buffer.dtype, buffer.bytes, Place::Arena(0))
        };
        carry.iter().map(next).collect()
    }
}
