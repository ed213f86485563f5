//! Scaled dot-product attention: type rules, body and derivative.
//!
//! Vaswani et al., "Attention is all you need", NeurIPS 2017; grouped queries after Ainslie et al., "GQA", EMNLP 2023.

use super::Composite;
use super::body::{restore_axes, shifted_exp, wide};
use crate::ops::{Dot, InferCx, Types};
use crate::{Axes, Builder, DType, Dim, F64, Shape, TensorType, TypeError, Value};
use smallvec::smallvec;

type Built = Result<Value, TypeError>;

/// What `attention` and `attention_grad` share.
#[derive(Clone, Copy)]
pub(super) struct Attention {
    pub(super) causal: bool,
    pub(super) mask: bool,
    pub(super) scale: F64,
}

impl Attention {
    /// Operands before the result and its cotangent.
    fn operands(self) -> usize {
        3 + usize::from(self.mask)
    }

    pub(super) fn grad(self) -> Composite {
        Composite::AttentionGrad { causal: self.causal, mask: self.mask, scale: self.scale }
    }

    pub(super) fn infer(self, cx: &mut InferCx<'_>) -> Result<Types, TypeError> {
        cx.arity(self.operands())?;
        Ok(smallvec![self.result(cx)?])
    }

    pub(super) fn infer_grad(self, cx: &mut InferCx<'_>) -> Result<Types, TypeError> {
        let n = self.operands();
        cx.arity(n + 2)?;
        let result = self.result(cx)?;
        for operand in [n, n + 1] {
            cx.same_dtype(0, operand)?;
            let own = cx.ty(operand);
            if own.rank() != result.rank() {
                return Err(cx.attribute("the result and its cotangent must have one shape".into()));
            }
            for (a, b) in own.shape.iter().zip(result.shape.iter()) {
                cx.same("the result and its cotangent have the shape of the attention", a, b)?;
            }
        }
        Ok((0..3).map(|i| cx.ty(i).clone()).collect())
    }

    fn result(self, cx: &mut InferCx<'_>) -> Result<TensorType, TypeError> {
        cx.dtype(0, DType::is_float, "a float")?;
        cx.same_dtype(0, 1)?;
        cx.same_dtype(0, 2)?;
        let (q, k, v) = (cx.ty(0), cx.ty(1), cx.ty(2));
        let rank = q.rank();
        if rank < 2 || k.rank() != rank || v.rank() != rank {
            let expected = "takes q [.., queries, d], k [.., keys, d] and v [.., keys, values] of one rank";
            return Err(cx.attribute(expected.into()));
        }
        for i in 0..rank - 2 {
            if !(i + 3 == rank && groups(&q.shape[i], &k.shape[i]).is_some()) {
                cx.same("leading axes must agree", &q.shape[i], &k.shape[i])?;
            }
            cx.same("leading axes must agree", &k.shape[i], &v.shape[i])?;
        }
        cx.same("queries and keys must have the same features", &q.shape[rank - 1], &k.shape[rank - 1])?;
        cx.same("one value a key", &k.shape[rank - 2], &v.shape[rank - 2])?;
        if self.mask {
            let dtype = q.dtype;
            cx.dtype(3, |d| d == DType::Bool || d == dtype, &format!("bool or {dtype} (a mask)"))?;
            let scores: Shape = q.shape[..rank - 1].iter().chain([&k.shape[rank - 2]]).collect();
            let mask = cx.ty(3);
            if mask.rank() != rank {
                return Err(cx.attribute(format!("the mask must have shape {scores}")));
            }
            for (a, b) in mask.shape.iter().zip(scores.iter()) {
                cx.same("the mask has the shape of the scores, [.., queries, keys]", a, b)?;
            }
        }
        let shape: Shape = q.shape[..rank - 1].iter().chain([&v.shape[rank - 1]]).collect();
        Ok(q.with_shape(shape))
    }

    /// The result for operands of at least f32.
    ///
    /// The weights are divided by their sum after they have weighed the values: fewer divisions, and the products
    /// are as exact, since the largest weight is 1.
    pub(super) fn body(self, b: &mut Builder, operands: &[Value]) -> Built {
        let parts = self.parts(b, operands)?;
        let rank = b.ty(parts.v).rank();
        let product = contract(b, parts.weights, parts.v, rank - 2)?;
        let total = repeat_last(b, parts.total, product)?;
        let result = b.div(product, total)?;
        let (queries, values) = (&b.ty(operands[0]).shape, &b.ty(parts.v).shape);
        let shape: Shape = queries[..rank - 1].iter().chain(values.last()).collect();
        b.reshape(result, shape)
    }

    /// The cotangents of q, k and v, all at least f32: with the weights P = E/Σ, dP = g·vᵀ and
    /// δ = Σ g·result, the scores' cotangent is P·(dP − δ).
    pub(super) fn grad_body(self, b: &mut Builder, operands: &[Value]) -> Result<Vec<Value>, TypeError> {
        let (operands, last) = operands.split_at(self.operands());
        let parts = self.parts(b, operands)?;
        let Parts { q, k, v, weights, total } = parts;
        let (result, g) = (parts.grouped(b, last[0])?, parts.grouped(b, last[1])?);
        let rank = b.ty(k).rank();
        let repeated = repeat_last(b, total, g)?;
        let g = b.div(g, repeated)?;
        let dv = over_queries(b, weights, g, rank)?;
        let dp = contract(b, g, v, rank - 1)?;
        let product = b.mul(g, result)?;
        let delta = b.sum(product, &[b.ty(product).rank() - 1])?;
        let delta = repeat_last(b, delta, dp)?;
        let difference = b.sub(dp, delta)?;
        let ds = b.mul(weights, difference)?;
        let ds = b.mul_scalar(ds, self.scale.0)?;
        let dq = contract(b, ds, k, rank - 2)?;
        let dk = over_queries(b, ds, q, rank)?;
        let shape = b.ty(operands[0]).shape.clone();
        Ok(vec![b.reshape(dq, shape)?, dk, dv])
    }

    /// The weights before they are divided by their sum over the keys.
    fn parts(self, b: &mut Builder, operands: &[Value]) -> Result<Parts, TypeError> {
        let (k, v) = (operands[1], operands[2]);
        let rank = b.ty(k).rank();
        let q = Parts::split(b, operands[0], k)?;
        let scores = contract(b, q, k, rank - 1)?;
        let mut scores = b.mul_scalar(scores, self.scale.0)?;
        if self.mask {
            let mask = Parts::split(b, operands[3], k)?;
            scores = match b.ty(mask).dtype {
                DType::Bool => keep(b, mask, scores)?,
                _ => b.add(scores, mask)?,
            };
        }
        if self.causal {
            let last = b.ty(scores).rank() - 1;
            let shape: Shape = b.ty(scores).shape[last - 1..].iter().collect();
            let query = b.iota(DType::I32, shape.clone(), 0)?;
            let key = b.iota(DType::I32, shape, 1)?;
            let seen = b.ge(query, key)?;
            let shape = b.ty(scores).shape.clone();
            let seen = b.broadcast(seen, &shape, &[last - 1, last])?;
            scores = keep(b, seen, scores)?;
        }
        let last = b.ty(scores).rank() - 1;
        let (_, weights, total) = shifted_exp(b, scores, &[last])?;
        // The weights of a query that sees no key are all 0; so is its result.
        let (zero, one) = (b.scalar_like(total, 0.0), b.scalar_like(total, 1.0));
        let none = b.eq(total, zero)?;
        let total = b.select(none, one, total)?;
        Ok(Parts { q, k, v, weights, total })
    }
}

/// Values inside an attention. With G queries a key-value head, the axis of heads of everything on the queries' side is
/// two axes, `[heads, G]`.
#[derive(Clone, Copy)]
struct Parts {
    q: Value,
    k: Value,
    v: Value,
    /// e^(score − the largest score).
    weights: Value,
    /// Their sum over the keys; 1 where there is no key.
    total: Value,
}

impl Parts {
    fn grouped(&self, b: &mut Builder, x: Value) -> Built {
        Parts::split(b, x, self.k)
    }

    /// x with its axis of heads split as the heads of k require it.
    fn split(b: &mut Builder, x: Value, k: Value) -> Built {
        let (shape, own) = (b.ty(x).shape.clone(), b.ty(k).shape.clone());
        let Some(axis) = own.rank().checked_sub(3) else { return Ok(x) };
        let Some(groups) = groups(&shape[axis], &own[axis]) else { return Ok(x) };
        let split = [own[axis].clone(), Dim::from(groups)];
        b.reshape(x, shape[..axis].iter().chain(&split).chain(&shape[axis + 1..]).collect::<Shape>())
    }
}

/// How many query heads share one of these key-value heads, if more than one.
fn groups(queries: &Dim, keys: &Dim) -> Option<usize> {
    let (queries, keys) = (queries.as_const()?, keys.as_const()?);
    (queries != keys && keys > 0 && queries % keys == 0).then(|| queries / keys)
}

/// Contracts the last axis of lhs with an axis of rhs, which has no groups.
fn contract(b: &mut Builder, lhs: Value, rhs: Value, rhs_axis: usize) -> Built {
    let batch: Axes = (0..b.ty(rhs).rank() - 2).collect();
    let dims = Dot {
        lhs_batch: batch.clone(),
        rhs_batch: batch,
        lhs_contract: smallvec![b.ty(lhs).rank() - 1],
        rhs_contract: smallvec![rhs_axis],
    };
    b.dot(lhs, rhs, dims)
}

/// Contracts the queries, and the groups if there are any, of two values on the queries' side; keys have this rank.
fn over_queries(b: &mut Builder, lhs: Value, rhs: Value, rank: usize) -> Built {
    let (batch, queries): (Axes, Axes) =
        ((0..rank - 2).collect(), (rank - 2..b.ty(lhs).rank() - 1).collect());
    let dims = Dot {
        lhs_batch: batch.clone(),
        rhs_batch: batch,
        lhs_contract: queries.clone(),
        rhs_contract: queries,
    };
    b.dot(lhs, rhs, dims)
}

/// −∞ where the mask is false.
fn keep(b: &mut Builder, mask: Value, scores: Value) -> Built {
    let none = b.scalar_like(scores, f64::NEG_INFINITY);
    b.select(mask, scores, none)
}

/// Repeats a value a row along the last axis of x.
fn repeat_last(b: &mut Builder, row: Value, x: Value) -> Built {
    let last = b.ty(x).rank() - 1;
    restore_axes(b, row, x, &[last])
}

/// Operands at least in f32; a bool mask as it is.
pub(super) fn widened(b: &mut Builder, operands: &[Value]) -> Result<Vec<Value>, TypeError> {
    operands.iter().map(|x| if b.ty(*x).dtype == DType::Bool { Ok(*x) } else { wide(b, *x) }).collect()
}
