//! The derivative of a product: for each element the product of all the others, exact where elements are zero.

use crate::ops::{Binary, RuleError};
use crate::{Axes, Builder, Dim, Shape, TypeError, Value};

/// For each element of `x` the product of the others in its reduction over `axes`; `None` where that is 1 because a reduction
/// combines at most one element.
///
/// A binary tree: products of neighbours on the way up; on the way down each child gets its parent's outside product
/// times its sibling. No division, so zeros are no trouble, and everything is a product, so that higher derivatives
/// are exact too.
pub(super) fn exclusive(
    b: &mut Builder,
    x: Value,
    axes: &Axes,
    mode: &'static str,
) -> Result<Option<Value>, RuleError> {
    let shape = b.ty(x).shape.clone();
    let count: Option<usize> = axes.iter().try_fold(1usize, |n, a| n.checked_mul(shape[*a].as_const()?));
    let Some(count) = count else {
        return Err(RuleError::NotDifferentiable {
            op: "reduce_prod",
            mode,
            reason: "the size of a reduced axis is not a number; specialise the graph first",
            site: b.site().clone(),
        });
    };
    if count <= 1 {
        return Ok(None);
    }
    let perm: Axes = (0..shape.rank()).filter(|a| !axes.contains(a)).chain(axes.iter().copied()).collect();
    let moved: Shape = perm.iter().map(|a| &shape[*a]).collect();
    let rows: Shape = shape.without(axes).iter().cloned().chain([Dim::from(count)]).collect();
    let x = b.transpose(x, &perm)?;
    let x = b.reshape(x, rows)?;
    let out = exclusive_last(b, x, count)?;
    let out = b.reshape(out, moved)?;
    let mut inverse = perm.clone();
    for (i, axis) in perm.iter().enumerate() {
        inverse[*axis] = i;
    }
    Ok(Some(b.transpose(out, &inverse)?))
}

/// The same along the last axis, which has `count` ≥ 2 elements.
fn exclusive_last(b: &mut Builder, x: Value, count: usize) -> Result<Value, TypeError> {
    let outer: Vec<Dim> = b.ty(x).shape[..b.ty(x).rank() - 1].to_vec();
    let last = outer.len();
    let with = |sizes: &[usize]| -> Shape {
        outer.iter().cloned().chain(sizes.iter().map(|n| Dim::from(*n))).collect()
    };
    let leaves = count.next_power_of_two();
    let one = b.scalar_like(x, 1.0);
    let mut high = vec![0i64; last + 1];
    high[last] = (leaves - count) as i64;
    let padded = b.pad(x, one, &vec![0; last + 1], &high, &vec![0; last + 1])?;

    // Up: each level as pairs [.., n/2, 2].
    let mut levels = Vec::new();
    let (mut level, mut size) = (padded, leaves);
    while size > 1 {
        let pairs = b.reshape(level, with(&[size / 2, 2]))?;
        levels.push(pairs);
        let left = b.slice_axis(pairs, last + 1, &Dim::Const(0), &Dim::Const(1))?;
        let right = b.slice_axis(pairs, last + 1, &Dim::Const(1), &Dim::Const(2))?;
        let product = b.push(Binary::Mul, &[left, right])?;
        size /= 2;
        level = b.reshape(product, with(&[size]))?;
    }

    // Down: outside the root there is nothing.
    let mut outside: Option<Value> = None;
    for pairs in levels.into_iter().rev() {
        let siblings = b.reverse(pairs, &[last + 1])?;
        let products = match outside {
            None => siblings,
            Some(outside) => {
                let shape = b.ty(pairs).shape.clone();
                let axes: Axes = (0..=last).collect();
                let parents = b.broadcast(outside, &shape, &axes)?;
                b.mul(parents, siblings)?
            }
        };
        size *= 2;
        outside = Some(b.reshape(products, with(&[size]))?);
    }
    let out = outside.expect("two or more leaves make at least one level");
    b.slice_axis(out, last, &Dim::Const(0), &Dim::from(count))
}
