//! Inlining: a call whose body is called once in the whole graph, or is small, becomes its body. Blocks that repeat and are
//! large stay calls, so that they are planned and compiled once.
//!
//! Before:
//!
//! ```text
//! region @body(%0: f32[2]) -> (f32[2]) {
//!   %1 = exp %0 : f32[2]
//!   return %1
//! }
//! graph(%0: f32[2] = input "x") {
//!   %1 = call[body=@body] %0 : f32[2]
//!   return "y" = %1
//! }
//! ```
//!
//! After:
//!
//! ```text
//! graph(%0: f32[2] = input "x") {
//!   %1 = exp %0 : f32[2]
//!   return "y" = %1
//! }
//! ```

use hashbrown::{HashMap, HashSet};
use std::sync::Arc;
use wootz_ir::ops::{Control, Op};
use wootz_ir::{Builder, Region, Target, TypeError, Value};

/// Bodies of at most so many nodes are inlined however often they are called.
const SMALL: usize = 16;

pub(crate) fn run(region: &Arc<Region>, _target: &Target) -> Result<Arc<Region>, TypeError> {
    let mut calls = Calls::default();
    calls.count(region);
    if calls.sites.is_empty() {
        return Ok(region.clone());
    }
    Inline { calls: calls.sites, done: HashMap::new() }.region(region)
}

/// How often each region is called, by address.
#[derive(Default)]
struct Calls {
    sites: HashMap<*const Region, usize>,
    visited: HashSet<*const Region>,
}

impl Calls {
    fn count(&mut self, region: &Arc<Region>) {
        if !self.visited.insert(Arc::as_ptr(region)) {
            return;
        }
        for node in region.nodes() {
            if let Op::Control(Control::Call { body }) = &node.op {
                *self.sites.entry(Arc::as_ptr(body)).or_default() += 1;
            }
            node.op.regions().into_iter().for_each(|r| self.count(r));
        }
    }
}

struct Inline {
    calls: HashMap<*const Region, usize>,
    /// Regions done, by address, with the original kept alive.
    done: HashMap<*const Region, (Arc<Region>, Arc<Region>)>,
}

impl Inline {
    fn region(&mut self, region: &Arc<Region>) -> Result<Arc<Region>, TypeError> {
        if let Some((_, done)) = self.done.get(&Arc::as_ptr(region)) {
            return Ok(done.clone());
        }
        let mut b = Builder::new();
        let mut map: Vec<Value> = region.param_types().iter().map(|ty| b.param(ty.clone())).collect();
        for node in region.nodes() {
            let inputs: Vec<Value> = node.inputs.iter().map(|v| map[v.index()]).collect();
            b.set_site(node.site.clone());
            let values = match &node.op {
                Op::Control(Control::Call { body }) => {
                    let once = self.calls.get(&Arc::as_ptr(body)) == Some(&1);
                    let body = self.region(body)?;
                    if once || body.nodes().len() <= SMALL {
                        b.inline(&body, &inputs)?
                    } else {
                        b.push_multi(Control::Call { body }, &inputs)?
                    }
                }
                Op::Control(control) => {
                    let control = control.try_map_regions(|r| self.region(r))?;
                    b.push_multi(control, &inputs)?
                }
                op => b.push_multi(op.clone(), &inputs)?,
            };
            map.extend(values);
        }
        let results: Vec<Value> = region.results().iter().map(|v| map[v.index()]).collect();
        let new = Arc::new(b.finish(&results));
        self.done.insert(Arc::as_ptr(region), (region.clone(), new.clone()));
        Ok(new)
    }
}
