//! Reverse mode in two halves: `augment` builds the op so that it also returns residuals, `vjp` builds the op that reads them.
//!
//! A scan goes backwards over its stacked residuals, with the carries' cotangents and the sums of the captures' cotangents
//! as its carry; what depends on captures alone is not stacked. A cond returns the residuals of both branches, zeros for the
//! branch not taken.

use super::{Control, activity};
use crate::ops::{AugmentCx, Augmented, RegionTransforms, Residual, RuleError, VjpCx, VjpRegions};
use crate::{Builder, Dim, Region, TensorType, TypeError, Value};
use std::sync::Arc;

pub(super) fn augment(op: &Control, cx: &mut AugmentCx<'_>) -> Result<Option<Augmented>, RuleError> {
    let results = cx.has_cotangent.len();
    let op = match op {
        Control::Call { body } => {
            let split = call_split(cx.regions, body, cx.needs, cx.has_cotangent)?;
            let op = Control::Call { body: split.forward.clone() };
            let mut outputs = cx.b.push_multi(op, cx.inputs)?;
            let rest = outputs.split_off(results);
            let saved = split.saved(&outputs, &rest);
            return Ok(Some(Augmented { outputs, saved }));
        }
        Control::CustomVjp { forward, .. } => Control::Call { body: forward.clone() },
        Control::Cond { then, otherwise } => {
            let split = CondSplit::new(cx.regions, [then, otherwise], &cx.needs[1..], cx.has_cotangent)?;
            let [then, otherwise] = [0, 1].map(|i| split.forward(cx.b, i, results));
            Control::Cond { then: then?, otherwise: otherwise? }
        }
        // Reported only if a cotangent arrives.
        Control::While { .. } => return Ok(None),
        Control::Scan { body, carries, xs, length, reverse } => {
            let split = ScanSplit::new(cx.regions, body, *carries, *xs, cx.needs, cx.has_cotangent)?;
            let op = Control::Scan {
                body: split.forward(cx.b, body)?,
                carries: *carries,
                xs: *xs,
                length: length.clone(),
                reverse: *reverse,
            };
            let mut outputs = cx.b.push_multi(op, cx.inputs)?;
            let rest = outputs.split_off(results);
            let saved = split.saved(&outputs, rest);
            return Ok(Some(Augmented { outputs, saved }));
        }
    };
    let mut outputs = cx.b.push_multi(op, cx.inputs)?;
    let saved = outputs.split_off(results);
    Ok(Some(Augmented { outputs, saved }))
}

pub(super) fn vjp(op: &Control, cx: &mut VjpCx<'_>) -> Result<Vec<Option<Value>>, RuleError> {
    let has_cotangent: Vec<bool> = cx.cotangents.iter().map(Option::is_some).collect();
    match op {
        Control::Call { body } => {
            let split = call_split(cx.regions, body, cx.needs, &has_cotangent)?;
            let used = split.uses.iter().map(|i| cx.inputs[*i]);
            let operands: Vec<Value> = used.chain(cx.saved.iter().copied()).chain(given(cx)).collect();
            let found = cx.b.push_multi(Control::Call { body: split.backward.clone() }, &operands)?;
            Ok(place(cx.needs, &split.nonzero, found))
        }
        Control::CustomVjp { backward, .. } => {
            let mut operands = cx.saved.to_vec();
            for (cotangent, output) in cx.cotangents.iter().zip(cx.outputs) {
                operands.push(match cotangent {
                    Some(cotangent) => *cotangent,
                    None => cx.b.full_like(*output, 0.0)?,
                });
            }
            let found = cx.b.push_multi(Control::Call { body: backward.clone() }, &operands)?;
            Ok(found.into_iter().zip(cx.needs).map(|(v, needed)| needed.then_some(v)).collect())
        }
        Control::Cond { then, otherwise } => {
            let split = CondSplit::new(cx.regions, [then, otherwise], &cx.needs[1..], &has_cotangent)?;
            let (uses, slots) = (&split.uses, cx.saved.len());
            let used = uses.iter().map(|i| cx.inputs[1 + i]);
            let operands: Vec<Value> = std::iter::once(cx.inputs[0])
                .chain(used)
                .chain(cx.saved.iter().copied())
                .chain(given(cx))
                .collect();
            let types: Vec<TensorType> = operands[1..].iter().map(|v| cx.b.ty(*v).clone()).collect();
            let [then, otherwise] = [0, 1].map(|i| split.backward(cx.b, i, &types, slots));
            let op = Control::Cond { then: then?, otherwise: otherwise? };
            let found = cx.b.push_multi(op, &operands)?;
            let mut out = vec![None];
            out.extend(place(&cx.needs[1..], &split.nonzero, found));
            Ok(out)
        }
        Control::While { .. } => Err(RuleError::NotDifferentiable {
            op: "while",
            mode: "reverse",
            reason: "the number of steps is not known, so their values cannot be kept; use scan, or give the derivative \
                     with custom_vjp",
            site: cx.b.site().clone(),
        }),
        Control::Scan { body, carries, xs, length, reverse } => {
            let split = ScanSplit::new(cx.regions, body, *carries, *xs, cx.needs, &has_cotangent)?;
            split.backward(cx, length, *reverse)
        }
    }
}

fn call_split(
    regions: &dyn RegionTransforms,
    body: &Arc<Region>,
    needs: &[bool],
    has_cotangent: &[bool],
) -> Result<Arc<VjpRegions>, RuleError> {
    regions.vjp(body, needs, has_cotangent, &vec![false; needs.len()])
}

/// The cotangents that are there.
fn given<'a>(cx: &VjpCx<'a>) -> impl Iterator<Item = Value> + use<'a> {
    cx.cotangents.iter().copied().flatten()
}

/// Spreads the cotangents of the operands marked in `needs` over all operands.
fn place(needs: &[bool], nonzero: &[bool], found: Vec<Value>) -> Vec<Option<Value>> {
    let mut found = found.into_iter();
    let all = needs.iter().map(|needed| if *needed { found.next() } else { None });
    all.zip(nonzero).map(|(value, nonzero)| value.filter(|_| *nonzero)).collect()
}

/// Both branches of a cond, split.
struct CondSplit {
    branches: [Arc<VjpRegions>; 2],
    /// Captures that either backward part reads.
    uses: Vec<usize>,
    /// The types of the results that carry residuals, shared by the branches where types allow.
    slots: Vec<TensorType>,
    /// For each branch, the slot of each of its residuals.
    places: [Vec<usize>; 2],
    nonzero: Vec<bool>,
}

impl CondSplit {
    fn new(
        regions: &dyn RegionTransforms,
        branches: [&Arc<Region>; 2],
        needs: &[bool],
        has_cotangent: &[bool],
    ) -> Result<CondSplit, RuleError> {
        let [then, otherwise] = branches.map(|r| call_split(regions, r, needs, has_cotangent));
        let branches = [then?, otherwise?];
        let uses = (0..needs.len()).filter(|i| branches.iter().any(|split| split.uses.contains(i))).collect();
        let mut slots: Vec<TensorType> = Vec::new();
        let places = [&branches[0], &branches[1]].map(|split| {
            let mut places: Vec<usize> = Vec::with_capacity(split.residuals.len());
            for Residual { ty, .. } in &split.residuals {
                let free = (0..slots.len()).find(|i| slots[*i] == *ty && !places.contains(i));
                places.push(free.unwrap_or_else(|| {
                    slots.push(ty.clone());
                    slots.len() - 1
                }));
            }
            places
        });
        let nonzero = (0..needs.len()).map(|i| branches.iter().any(|split| split.nonzero[i])).collect();
        Ok(CondSplit { branches, uses, slots, places, nonzero })
    }

    /// A branch that returns its results and then every slot.
    fn forward(&self, b: &Builder, branch: usize, results: usize) -> Result<Arc<Region>, TypeError> {
        let forward = &self.branches[branch].forward;
        b.subregion(forward.param_types(), |b, params| {
            let mut out = b.inline(forward, params)?;
            let rest = out.split_off(results);
            let residuals = self.branches[branch].saved(&out, &rest);
            for (i, ty) in self.slots.iter().enumerate() {
                let own = self.places[branch].iter().position(|place| *place == i);
                out.push(match own {
                    Some(residual) => residuals[residual],
                    None => b.full(ty, 0.0)?,
                });
            }
            Ok(out)
        })
    }

    /// Used captures, slots, cotangents (of these `types`) → cotangents of the captures.
    fn backward(
        &self,
        b: &Builder,
        branch: usize,
        types: &[TensorType],
        slots: usize,
    ) -> Result<Arc<Region>, TypeError> {
        let split = &self.branches[branch];
        b.subregion(types, |b, params| {
            let (used, rest) = params.split_at(self.uses.len());
            let (slots, cotangents) = rest.split_at(slots);
            let own = self.uses.iter().zip(used).filter(|(i, _)| split.uses.contains(i)).map(|(_, v)| *v);
            let residuals = self.places[branch].iter().map(|place| slots[*place]);
            let args: Vec<Value> = own.chain(residuals).chain(cotangents.iter().copied()).collect();
            b.inline(&split.backward, &args)
        })
    }
}

/// The body of a scan, split.
struct ScanSplit {
    carries: usize,
    xs: usize,
    /// Body parameters whose cotangent is computed: of the carries, those that have one at any step.
    needs: Vec<bool>,
    regions: Arc<VjpRegions>,
}

impl ScanSplit {
    fn new(
        regions: &dyn RegionTransforms,
        body: &Arc<Region>,
        carries: usize,
        xs: usize,
        needs: &[bool],
        has_cotangent: &[bool],
    ) -> Result<ScanSplit, RuleError> {
        let params = body.param_types().len();
        let mut active = needs.to_vec();
        loop {
            let values = activity::active(body, &active);
            if !grow(&mut active[..carries], body.results().iter().map(|v| values[v.index()])) {
                break;
            }
        }
        let mut useful = has_cotangent.to_vec();
        loop {
            let values = activity::useful(body, &useful);
            if !grow(&mut useful[..carries], body.params().map(|v| values[v.index()])) {
                break;
            }
        }
        let mut needs = active;
        let mut has_cotangent = useful;
        for i in 0..carries {
            needs[i] = needs[i] && has_cotangent[i] && body.param_types()[i].dtype.is_float();
            has_cotangent[i] = needs[i];
        }
        // What depends on captures alone is the same at every step.
        let captured: Vec<bool> = (0..params).map(|i| i >= carries + xs).collect();
        let mut split = regions.vjp(body, &needs, &has_cotangent, &captured)?;
        let zero = |i: &usize| needs[*i] && !split.nonzero[*i];
        let zeros: Vec<usize> = (carries..params).filter(zero).collect();
        if !zeros.is_empty() {
            zeros.into_iter().for_each(|i| needs[i] = false);
            split = regions.vjp(body, &needs, &has_cotangent, &captured)?;
        }
        Ok(ScanSplit { carries, xs, needs, regions: split })
    }

    /// One step that also returns, to be stacked, the residuals that are no rows of ys and the carries that are read.
    fn forward(&self, b: &Builder, body: &Region) -> Result<Arc<Region>, TypeError> {
        b.subregion(body.param_types(), |b, params| {
            let mut results = b.inline(&self.regions.forward, params)?;
            let rest = results.split_off(body.results().len());
            let residuals = self.regions.saved(&results, &rest);
            let stacked = self.regions.residuals.iter().zip(residuals).filter(|(r, _)| self.row(r).is_none());
            results.extend(stacked.map(|(_, value)| value));
            results.extend(self.stacked_carries().iter().map(|i| params[*i]));
            Ok(results)
        })
    }

    /// Every residual and then the carries that are read, stacked, given what the forward scan returned: the original's
    /// results, then the `rest`.
    fn saved(&self, results: &[Value], rest: Vec<Value>) -> Vec<Value> {
        let mut rest = rest.into_iter();
        let rows = self.regions.residuals.iter().map(|r| self.row(r).map(|i| results[i]));
        let mut saved: Vec<Value> = rows.filter_map(|row| row.or_else(|| rest.next())).collect();
        saved.extend(rest);
        saved
    }

    /// The row of ys that a residual is, if it is one.
    fn row(&self, residual: &Residual) -> Option<usize> {
        residual.result.filter(|i| *i >= self.carries)
    }

    /// The carries that the backward part reads, which the augmented scan therefore stacks.
    fn stacked_carries(&self) -> Vec<usize> {
        self.used(0..self.carries)
    }

    fn used(&self, range: std::ops::Range<usize>) -> Vec<usize> {
        self.regions.uses.iter().copied().filter(|i| range.contains(i)).collect()
    }

    fn needed(&self, range: std::ops::Range<usize>) -> Vec<usize> {
        range.filter(|i| self.needs[*i]).collect()
    }

    /// The scan the other way round.
    fn backward(
        &self,
        cx: &mut VjpCx<'_>,
        length: &Dim,
        reverse: bool,
    ) -> Result<Vec<Option<Value>>, RuleError> {
        let (n, m, all) = (self.carries, self.carries + self.xs, cx.inputs.len());
        let (carried, scanned, captured) = (self.needed(0..n), self.needed(n..m), self.needed(m..all));
        let mut operands = Vec::new();
        for i in &carried {
            operands.push(match cx.cotangents[*i] {
                Some(cotangent) => cotangent,
                None => cx.b.full_like(cx.inputs[*i], 0.0)?,
            });
        }
        for i in &captured {
            operands.push(cx.b.full_like(cx.inputs[*i], 0.0)?);
        }
        let carries = operands.len();
        operands.extend(self.used(n..m).iter().map(|i| cx.inputs[*i]));
        operands.extend(cx.saved);
        operands.extend(cx.cotangents[n..].iter().flatten());
        let xs = operands.len() - carries;
        operands.extend(self.used(m..all).iter().map(|i| cx.inputs[*i]));
        let body = self.backward_body(cx, carries, xs, &operands)?;
        let op = Control::Scan { body, carries, xs, length: length.clone(), reverse: !reverse };
        let found = cx.b.push_multi(op, &operands)?;
        let mut out = vec![None; all];
        for (i, value) in carried.iter().chain(&captured).chain(&scanned).zip(found) {
            out[*i] = Some(value);
        }
        Ok(out)
    }

    /// One step: [carry cotangents, sums], [used xs, residuals, stacked carries, ys cotangents], [used captures] →
    /// [carry cotangents, sums], [xs cotangents].
    fn backward_body(
        &self,
        cx: &VjpCx<'_>,
        carries: usize,
        xs: usize,
        operands: &[Value],
    ) -> Result<Arc<Region>, RuleError> {
        let (n, m, all) = (self.carries, self.carries + self.xs, cx.inputs.len());
        let is_row = |i: usize| (carries..carries + xs).contains(&i);
        let types: Vec<TensorType> = operands
            .iter()
            .enumerate()
            .map(|(i, v)| match cx.b.ty(*v) {
                ty if is_row(i) => ty.with_shape(ty.shape.without(&[0])),
                ty => ty.clone(),
            })
            .collect();
        let carried = self.needed(0..n).len();
        let residuals = self.regions.residuals.len();
        let (used_xs, used_carries) = (self.used(n..m).len(), self.stacked_carries().len());
        Ok(cx.b.subregion(&types, |b, params| {
            let (carry, rest) = params.split_at(carries);
            let (rows, captures) = rest.split_at(xs);
            let (carry_cotangents, sums) = carry.split_at(carried);
            let (used, rest) = rows.split_at(used_xs);
            let (residual, rest) = rest.split_at(residuals);
            let (stacked, ys) = rest.split_at(used_carries);
            let args = [stacked, used, captures, residual, carry_cotangents, ys].concat();
            let found = b.inline(&self.regions.backward, &args)?;
            let scanned = self.needed(n..m).len();
            let (next, found) = found.split_at(carried);
            let (xs_cotangents, capture_cotangents) = found.split_at(scanned);
            debug_assert_eq!(capture_cotangents.len(), self.needed(m..all).len());
            let mut results = next.to_vec();
            for (sum, term) in sums.iter().zip(capture_cotangents) {
                results.push(b.add(*sum, *term)?);
            }
            results.extend(xs_cotangents);
            Ok::<_, TypeError>(results)
        })?)
    }
}

/// Adds what `found` marks; says whether that changed anything.
fn grow(flags: &mut [bool], found: impl Iterator<Item = bool>) -> bool {
    let mut grew = false;
    for (flag, found) in flags.iter_mut().zip(found) {
        grew |= found && !*flag;
        *flag |= found;
    }
    grew
}
