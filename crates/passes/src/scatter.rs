//! Sums of constant reads become scatters: what reads each element of its source at most once, however many gathers, masks and
//! sums lie between, adds each element to one place.
//!
//! The derivative of reading rows at constant indices is built of dense, padded sums, which vectors walk. A compiler that fuses a sum
//! into the reads of it computes it again for every read, and a person who reads them sees a chain where there is one list of
//! places. The order of a sum is the backend's, so that of the additions is open.
//!
//! Before:
//!
//! ```text
//! graph(%0: f64[3] = input "g") {
//!   %1 = constant[value=i32[2, 2, 1]{0, 1, 2, 0}] : i32[2, 2, 1]
//!   %2 = constant[value=bool[2, 2]{true, true, true, false}] : bool[2, 2]
//!   %3 = constant[value=f64[]{0.0}] : f64[]
//!   %4 = gather[batch=0, indexed=1] %0, %1 : f64[2, 2]
//!   %5 = broadcast[shape=[2, 2], axes=[]] %3 : f64[2, 2]
//!   %6 = select %2, %4, %5 : f64[2, 2]
//!   %7 = reduce_sum[axes=[0]] %6 : f64[2]
//!   return "y" = %7
//! }
//! ```
//!
//! After:
//!
//! ```text
//! graph(%0: f64[3] = input "g") {
//!   %1 = constant[value=f64[]{0.0}] : f64[]
//!   %2 = broadcast[shape=[2], axes=[]] %1 : f64[2]
//!   %3 = constant[value=i32[3, 1]{0, 1, 0}] : i32[3, 1]
//!   %4 = scatter_add[batch=0, indexed=1] %2, %3, %0 : f64[2]
//!   return "y" = %4
//! }
//! ```

use crate::emit::{Emit, Rule, Values, Walk};
use smallvec::smallvec;
use std::sync::Arc;
use wootz_ir::ops::{EvalCx, Movement, Op, Reduce, ReduceKind, Scatter, ScatterKind, Source, Ternary};
use wootz_ir::{DType, Dim, HostTensor, Region, Shape, Target, TensorType, TypeError, Value};

const RULES: [Rule; 1] = [rule];

/// Sums of more elements stay as they are: their reads are followed one by one.
const MAX_READS: usize = 1 << 16;

pub(crate) fn run(region: &Arc<Region>, target: &Target) -> Result<Arc<Region>, TypeError> {
    Walk::new(target, &RULES).with_cse().only(|op| matches!(op, Op::Reduce(_))).region(region)
}

/// sum(… gather(x, constant) …) → scatter_add(0, constant, x)
fn rule(e: &mut Emit<'_, '_>, op: &Op, x: &[Value]) -> Result<Option<Values>, TypeError> {
    let Op::Reduce(Reduce { kind: ReduceKind::Sum, axes }) = op else { return Ok(None) };
    if !reads_at_constants(e, x[0]) {
        return Ok(None);
    }
    let Some((source, places, rows)) = followed(e, x[0], axes) else { return Ok(None) };
    let vector = |size: usize| -> Shape { [Dim::from(size)].into_iter().collect() };
    let like = e.ty(source).with_shape(vector(rows));
    let zeros = e.full(HostTensor::scalar(like.dtype, 0.0), &like)?;
    let indices = HostTensor::from_i64(DType::I32, &[places.len(), 1], &places);
    let indices = e.emit(Source::Constant(indices), &[])?;
    let mut updates = source;
    if e.ty(source).rank() != 1 {
        updates = e.emit(Movement::Reshape { shape: vector(places.len()) }, &[source])?;
    }
    let scatter = Scatter { kind: ScatterKind::Add, batch: 0, indexed: 1 };
    Ok(Some(smallvec![e.emit(scatter, &[zeros, indices, updates])?]))
}

/// One op that only reads, masks or sums, by its first operand that is no constant.
enum Step<'e> {
    /// A gather at constant indices, or a movement.
    Read(&'e Op, &'e [Value]),
    /// A selection from zeros.
    Mask(HostTensor),
    Sum(&'e [usize]),
    /// Additions to a vector of zeros.
    Add(&'e HostTensor),
}

/// What gives this value, if it only reads, masks or sums, and what that reads.
fn step<'e>(e: &'e Emit<'_, '_>, value: Value) -> Option<(Step<'e>, Value)> {
    let (op, x) = e.def(value)?;
    Some(match op {
        Op::Movement(
            Movement::Reshape { .. }
            | Movement::Transpose { .. }
            | Movement::Broadcast { .. }
            | Movement::Slice { .. },
        ) => (Step::Read(op, &x[..1]), x[0]),
        Op::Gather(_) if e.constant(x[1]).is_some() => (Step::Read(op, x), x[0]),
        Op::Ternary(Ternary::Select) if e.is_splat(x[2], 0.0) => (Step::Mask(mask(e, x[0])?), x[1]),
        Op::Reduce(Reduce { kind: ReduceKind::Sum, axes }) => (Step::Sum(axes), x[0]),
        Op::Scatter(Scatter { kind: ScatterKind::Add, batch: 0, indexed: 1 })
            if e.ty(value).rank() == 1 && e.is_splat(x[0], 0.0) =>
        {
            (Step::Add(e.constant(x[1])?), x[2])
        }
        _ => return None,
    })
}

/// A constant condition, as long as what it chooses from.
fn mask(e: &Emit<'_, '_>, condition: Value) -> Option<HostTensor> {
    if let Some(constant) = e.constant(condition) {
        return Some(constant.clone());
    }
    let (op @ Op::Movement(Movement::Broadcast { shape, .. }), x) = e.def(condition)? else { return None };
    if shape.count()? > MAX_READS {
        return None;
    }
    let output = e.ty(condition).clone();
    op.eval(&EvalCx { inputs: &[e.constant(x[0])?], outputs: &[output] }).ok()?.pop()
}

/// Whether a gather or a scatter lies below, seen by the ops alone.
fn reads_at_constants(e: &Emit<'_, '_>, mut value: Value) -> bool {
    while let Some((op, x)) = e.def(value) {
        value = match op {
            Op::Gather(_) | Op::Scatter(_) => return e.constant(x[1]).is_some(),
            Op::Movement(_) | Op::Reduce(_) => x[0],
            Op::Ternary(Ternary::Select) => x[1],
            _ => return false,
        };
    }
    false
}

/// What a sum of `x` over `axes` reads, the row that each element of it is added to (past the end if none), and how many rows there are.
fn followed(e: &Emit<'_, '_>, x: Value, axes: &[usize]) -> Option<(Value, Vec<i64>, usize)> {
    let dims = e.ty(x).shape.concrete()?;
    let mut kept = (0..dims.len()).filter(|axis| !axes.contains(axis));
    let (Some(row), None) = (kept.next(), kept.next()) else { return None };
    let rows = dims[row];
    let mut value = x;
    let mut reads = Reads { pairs: (0..rows).map(|i| (i, i)).collect(), gathers: 0, ragged: false };
    reads.sum(&dims, axes)?;
    // As far up as the last gather.
    let mut found = None;
    while let Some((step, operand)) = step(e, value) {
        let gathers = reads.gathers;
        let dims = e.ty(operand).shape.concrete()?;
        match step {
            Step::Read(op, operands) => reads.read(e, op, operands, value)?,
            Step::Mask(mask) => reads.mask(&mask),
            Step::Sum(axes) => reads.sum(&dims, axes)?,
            Step::Add(indices) => reads.add(indices)?,
        }
        value = operand;
        if reads.gathers > gathers {
            // A lone gather without holes is what it seems.
            let more = reads.gathers > 1 || reads.ragged;
            found = reads
                .places(dims.iter().product(), rows)
                .filter(|_| more)
                .map(|places| (value, places, rows));
        }
    }
    found
}

/// The elements of a value that are summed into each row.
struct Reads {
    /// (row, element)
    pairs: Vec<(usize, usize)>,
    gathers: usize,
    /// Whether rows have different numbers of elements, as far as is known.
    ragged: bool,
}

impl Reads {
    /// Elements that are each the sum of several.
    fn split(&mut self, members: &[Vec<usize>]) -> Option<()> {
        let count: usize = self.pairs.iter().map(|(_, element)| members[*element].len()).sum();
        if count > MAX_READS {
            return None;
        }
        self.pairs = self
            .pairs
            .iter()
            .flat_map(|(row, element)| members[*element].iter().map(move |m| (*row, *m)))
            .collect();
        Some(())
    }

    /// Through a sum over `axes` of an operand of these sizes.
    fn sum(&mut self, dims: &[usize], axes: &[usize]) -> Option<()> {
        let count: usize = dims.iter().product();
        if count > MAX_READS {
            return None;
        }
        let kept = (0..dims.len()).filter(|axis| !axes.contains(axis));
        let mut members = vec![Vec::new(); kept.clone().map(|axis| dims[axis]).product()];
        for element in 0..count {
            let at = |axis: usize| element / dims[axis + 1..].iter().product::<usize>() % dims[axis];
            members[kept.clone().fold(0, |all, axis| all * dims[axis] + at(axis))].push(element);
        }
        self.split(&members)
    }

    /// Through an op that gives elements of its first operand.
    fn read(&mut self, e: &Emit<'_, '_>, op: &Op, x: &[Value], result: Value) -> Option<()> {
        let dims = e.ty(x[0]).shape.concrete()?;
        let count: usize = dims.iter().product();
        if count > MAX_READS || e.ty(result).shape.count()? > MAX_READS {
            return None;
        }
        let numbers: Vec<i64> = (0..count as i64).collect();
        let numbers = HostTensor::from_i64(DType::I64, &dims, &numbers);
        let inputs: Vec<&HostTensor> = std::iter::once(Some(&numbers))
            .chain(x[1..].iter().map(|v| e.constant(*v)))
            .collect::<Option<_>>()?;
        let output = TensorType { dtype: DType::I64, ..e.ty(result).clone() };
        let from = op.eval(&EvalCx { inputs: &inputs, outputs: &[output] }).ok()?.pop()?.to_i64();
        self.pairs.iter_mut().for_each(|(_, element)| *element = from[*element] as usize);
        self.gathers += usize::from(matches!(op, Op::Gather(_)));
        Some(())
    }

    fn mask(&mut self, mask: &HostTensor) {
        let filled = mask.to_i64();
        self.pairs.retain(|(_, element)| filled[*element] != 0);
        self.ragged = true;
    }

    /// Through additions at these indices to zeros.
    fn add(&mut self, indices: &HostTensor) -> Option<()> {
        let at = indices.to_i64();
        let last = self.pairs.iter().map(|(_, element)| *element).max().unwrap_or(0);
        let mut members = vec![Vec::new(); last + 1];
        for (update, at) in at.iter().enumerate() {
            if let Some(members) = usize::try_from(*at).ok().and_then(|at| members.get_mut(at)) {
                members.push(update);
            }
        }
        (self.gathers, self.ragged) = (self.gathers + 1, true);
        self.split(&members)
    }

    /// The row of each of `count` elements, `rows` for those that none reads; `None` if one is read twice, or most by none.
    fn places(&self, count: usize, rows: usize) -> Option<Vec<i64>> {
        let mut places = vec![rows as i64; count];
        for (row, element) in &self.pairs {
            let place = &mut places[*element];
            if *place != rows as i64 {
                return None;
            }
            *place = *row as i64;
        }
        (2 * self.pairs.len() >= count).then_some(places)
    }
}
