//! What the frameworks write alike: products, slices, gathers.

use super::{Arg, Indices};
use crate::py::{Py, atom, attribute, call, index, infix, int, keyword, size, string};
use wootz_ir::Shape;
use wootz_ir::ops::{Cumsum, Dot, Gather};

/// How a framework spells the parts of a product.
pub(super) struct Products {
    /// Exchanges the last two axes of an array of more than two.
    pub(super) swap: fn(Py) -> Py,
    /// `einsum`.
    pub(super) einsum: &'static str,
    /// Arguments after the operands of `einsum`.
    pub(super) einsum_args: fn() -> Vec<Py>,
}

/// A contraction: `@` where that is what it is, else `einsum`.
pub(super) fn dot(spelling: &Products, op: &Dot, x: Arg, y: Arg) -> Py {
    let (rank_x, rank_y) = (x.dims.len(), y.dims.len());
    let batch = op.lhs_batch.len();
    let leading = |axes: &[usize]| axes.iter().copied().eq(0..batch);
    let turned = |code: Py, rank: usize, turn: bool| match (turn, rank) {
        (false, _) => code,
        (true, 2) => attribute(code, "T"),
        (true, _) => (spelling.swap)(code),
    };
    if let ([k_x], [k_y]) = (&op.lhs_contract[..], &op.rhs_contract[..])
        && leading(&op.lhs_batch)
        && leading(&op.rhs_batch)
    {
        let matrices = rank_x == batch + 2 && rank_y == batch + 2;
        let rows = batch == 0 && *k_x + 1 == rank_x && (1..=2).contains(&rank_y);
        let row = batch == 0 && rank_x == 1 && rank_y == 2;
        if matrices || rows || row {
            let turn_x = rank_x > 1 && *k_x + 1 != rank_x;
            let turn_y = rank_y > 1 && *k_y != rank_y - 2;
            return infix(turned(x.code, rank_x, turn_x), "@", turned(y.code, rank_y, turn_y));
        }
    }
    let mut args = vec![string(&equation(op, rank_x, rank_y)), x.code, y.code];
    args.extend((spelling.einsum_args)());
    call(spelling.einsum, args)
}

/// The contraction in Einstein's notation: `abc,acd->abd`.
fn equation(op: &Dot, rank_x: usize, rank_y: usize) -> String {
    let mut letters = ('a'..='z').chain('A'..='Z');
    let mut next = || letters.next().unwrap_or('z');
    let x: Vec<char> = (0..rank_x).map(|_| next()).collect();
    let mut y: Vec<Option<char>> = vec![None; rank_y];
    for (of_x, of_y) in
        op.lhs_batch.iter().zip(&op.rhs_batch).chain(op.lhs_contract.iter().zip(&op.rhs_contract))
    {
        y[*of_y] = Some(x[*of_x]);
    }
    let y: Vec<char> = y.into_iter().map(|c| c.unwrap_or_else(&mut next)).collect();
    let batch = op.lhs_batch.iter().map(|i| x[*i]);
    let free = op.lhs_free(rank_x).into_iter().map(|i| x[i]);
    let result: String = batch.chain(free).chain(op.rhs_free(rank_y).into_iter().map(|i| y[i])).collect();
    let text = |v: &[char]| v.iter().collect::<String>();
    format!("{},{}->{result}", text(&x), text(&y))
}

/// `x[start:stop:step, …]`, an entry an axis up to the last that is cut.
pub(super) fn slice(x: Arg, start: &Shape, stop: &Shape, step: &[usize]) -> Py {
    let number = |shape: &Shape, i: usize| shape[i].as_const().unwrap_or(0);
    let entry = |i: usize| {
        let (start, stop, step) = (number(start, i), number(stop, i), step[i]);
        let from = if start == 0 { String::new() } else { start.to_string() };
        let to = if stop == x.dims[i] { String::new() } else { stop.to_string() };
        if step == 1 { format!("{from}:{to}") } else { format!("{from}:{to}:{step}") }
    };
    let mut entries: Vec<String> = (0..x.dims.len()).map(entry).collect();
    while entries.last().is_some_and(|e| e == ":") {
        entries.pop();
    }
    if entries.is_empty() { x.code } else { index(x.code, entries.into_iter().map(atom)) }
}

/// Operands as they are indexed from the end where some axes are reversed: `x[::-1]`.
pub(super) fn reversed(x: Py, axes: &[usize]) -> Py {
    let last = axes.last().copied().unwrap_or(0);
    index(x, (0..=last).map(|i| atom(if axes.contains(&i) { "::-1" } else { ":" })))
}

/// The arguments of the helper `cumsum`.
pub(super) fn cumsum_args(op: Cumsum, x: Py) -> impl Iterator<Item = Py> {
    let yes = |name, yes: bool| yes.then(|| keyword(name, atom("True")));
    let how = [yes("reverse", op.reverse), yes("exclusive", op.exclusive)];
    [x, size(op.axis)].into_iter().chain(how.into_iter().flatten())
}

/// The default of `eps` in functions for layer normalization.
pub(super) const EPS: f64 = 1e-5;

/// The arguments of a function `layer_norm(x, weight, bias, axis=…, eps=…)`, or of `rms_norm`, which has no bias. `eps` is written
/// unless it is what `layer_norm` takes by default.
pub(super) fn norm_args(
    x: Py,
    weight: Option<Py>,
    bias: Option<Py>,
    normalized: usize,
    (eps, written): (f64, Py),
) -> Vec<Py> {
    let bias = bias.map(|bias| if weight.is_some() { bias } else { keyword("bias", bias) });
    let axis = (normalized != 1)
        .then(|| keyword("axis", Py::Tuple((1..=normalized as i64).rev().map(|i| int(-i)).collect())));
    let eps = (eps != EPS).then(|| keyword("eps", written));
    [Some(x), weight, bias, axis, eps].into_iter().flatten().collect()
}

/// Whether attention multiplies by what it does unless told otherwise.
pub(super) fn is_usual_scale(scale: f64, features: usize) -> bool {
    scale == 1.0 / (features as f64).sqrt()
}

/// How a framework spells the parts of a gather.
pub(super) struct Gathers<'a> {
    /// The index with each entry moved into `[0, size)`.
    pub(super) clip: fn(Arg, usize) -> Py,
    /// 0, 1, … below a size.
    pub(super) arange: &'a dyn Fn(usize) -> Py,
    /// One element a position of the batch axes and at most one more, along the last axis.
    pub(super) along: fn(Py, Py, usize) -> Py,
}

/// Reads at index vectors, each entry clipped into bounds.
pub(super) fn gather(spelling: &Gathers<'_>, op: Gather, x: Arg, indices: Indices) -> Py {
    let clipped =
        |part: Arg, axis: usize| in_bounds(&part, axis).unwrap_or_else(|| (spelling.clip)(part, axis));
    let rank = indices.dims.len();
    let sizes = x.dims[op.batch..op.batch + op.indexed].to_vec();
    let mut parts: Vec<Py> =
        indices.parts.into_iter().zip(&sizes).map(|(part, axis)| clipped(part, *axis)).collect();
    if parts.is_empty() {
        // One slice, the same for every vector of no entries; the caller repeats it.
        return x.code;
    }
    if op.batch == 0 {
        return index(x.code, parts);
    }
    let pointwise = op.indexed == 1 && x.dims.len() == op.batch + 1;
    if pointwise && rank == op.batch {
        let part = index(parts.remove(0), [atom("..."), atom("None")]);
        return index((spelling.along)(x.code, part, op.batch), [atom("..."), size(0)]);
    }
    if pointwise && rank == op.batch + 1 {
        return (spelling.along)(x.code, parts.remove(0), op.batch);
    }
    let along = (0..op.batch).map(|axis| {
        let count = (spelling.arange)(x.dims[axis]);
        match rank - axis - 1 {
            0 => count,
            after => index(count, std::iter::once(atom(":")).chain((0..after).map(|_| atom("None")))),
        }
    });
    index(x.code, along.chain(parts))
}

/// The index as it is if its entries are known to be in bounds.
fn in_bounds(part: &Arg, size: usize) -> Option<Py> {
    let known = part.constant.as_ref().or(part.splat.as_ref())?;
    let inside = known.to_i64().iter().all(|i| usize::try_from(*i).is_ok_and(|i| i < size));
    inside.then(|| part.code.clone())
}
