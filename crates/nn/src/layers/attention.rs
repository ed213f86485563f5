//! Multi-head attention.

use crate::{Block, Init, Linear, Mode, Model, ModelError, Scope};
use wootz_ir::ops::Composite;
use wootz_ir::{Attrs, DType, Dim, F64, Shape, Value};

/// Attention with several heads, projections before and after it: `x [.., S, width]` → `output [.., S, width]`.
///
/// Parameters as PyTorch's `MultiheadAttention`: `in_proj_weight [3·width, width]` and `in_proj_bias` (queries, keys and
/// values one after another), `out_proj.weight`, `out_proj.bias`. The axis of positions is the last but one
/// (`batch_first=True`).
///
/// Vaswani et al., "Attention is all you need", NeurIPS 2017.
#[derive(Clone, Debug, PartialEq)]
pub struct MultiheadAttention {
    /// Size of the vectors in and out; a multiple of `heads`.
    pub width: usize,
    /// Number of heads.
    pub heads: usize,
    /// The probability, in [0, 1), with which a weight is dropped in training.
    pub dropout: f64,
    /// Whether the projections have biases.
    pub bias: bool,
    /// Whether position i sees positions 0 to i only.
    pub causal: bool,
    /// Whether queries, keys and values come from three inputs, `query [.., Q, width]`, `key [.., K, width]` and
    /// `value [.., K, width]`, and not from `x`.
    pub cross: bool,
    /// Whether there is one more input, `mask`, that broadcasts to `[.., heads, Q, K]`: true where a query sees a key, or
    /// numbers added to the scores.
    pub mask: bool,
}

impl MultiheadAttention {
    /// Self-attention with biases, without dropout and mask.
    pub fn new(width: usize, heads: usize) -> MultiheadAttention {
        let (causal, cross, mask) = (false, false, false);
        MultiheadAttention { width, heads, dropout: 0.0, bias: true, causal, cross, mask }
    }

    fn head_width(&self, scope: &Scope) -> Result<usize, ModelError> {
        if self.heads > 0 && self.width.is_multiple_of(self.heads) && (0.0..1.0).contains(&self.dropout) {
            return Ok(self.width / self.heads);
        }
        let message = if (0.0..1.0).contains(&self.dropout) {
            format!("has a width of {}, which {} heads do not divide", self.width, self.heads)
        } else {
            format!("takes a dropout in [0, 1), got {}", self.dropout)
        };
        Err(scope.config_error(self.kind(), message))
    }

    /// Queries, keys and values, `[.., S, width]` each or, of one input, `[.., S, 3·width]` together.
    fn projected(&self, scope: &mut Scope, inputs: &[Value]) -> Result<Vec<Value>, ModelError> {
        let width = self.width;
        let weight = scope.param("in_proj_weight", [3 * width, width], Init::XavierUniform { gain: 1.0 })?;
        let bias = self.bias.then(|| scope.param("in_proj_bias", [3 * width], Init::Zeros)).transpose()?;
        let linear = Composite::Linear { bias: self.bias };
        if !self.cross {
            let operands: Vec<Value> = [Some(inputs[0]), Some(weight), bias].into_iter().flatten().collect();
            return Ok(vec![scope.b.push(linear, &operands)?]);
        }
        let mut out = Vec::with_capacity(3);
        for (i, x) in inputs[..3].iter().enumerate() {
            let (start, stop) = (Dim::from(i * width), Dim::from((i + 1) * width));
            let mut operands = vec![*x, scope.b.slice_axis(weight, 0, &start, &stop)?];
            if let Some(bias) = bias {
                operands.push(scope.b.slice_axis(bias, 0, &start, &stop)?);
            }
            out.push(scope.b.push(linear.clone(), &operands)?);
        }
        Ok(out)
    }

    /// `[.., S, n·width]` → n times `[.., heads, S, width / heads]`.
    fn split_heads(
        &self,
        scope: &mut Scope,
        x: Value,
        n: usize,
        head: usize,
    ) -> Result<Vec<Value>, ModelError> {
        let shape = scope.ty(x).shape;
        let Some(axis) = shape.rank().checked_sub(2) else {
            let message = format!("takes inputs [.., S, {}]", self.width);
            return Err(scope.config_error(self.kind(), message));
        };
        let split = [Dim::from(n), Dim::from(self.heads), Dim::from(head)];
        let b = &mut scope.b;
        let x = b.reshape(x, shape[..=axis].iter().chain(&split).collect::<Shape>())?;
        let heads: Shape = shape[..=axis].iter().chain(&split[1..]).collect();
        let mut out = Vec::with_capacity(n);
        for i in 0..n {
            let one = b.slice_axis(x, axis + 1, &Dim::from(i), &Dim::from(i + 1))?;
            let one = b.reshape(one, heads.clone())?;
            out.push(b.move_axis(one, axis + 1, axis)?);
        }
        Ok(out)
    }

    fn attend(
        &self,
        scope: &mut Scope,
        qkv: [Value; 3],
        mask: Option<Value>,
        head: usize,
    ) -> Result<Value, ModelError> {
        let [q, k, v] = qkv;
        let scale = F64(1.0 / (head as f64).sqrt());
        let scores: Shape = {
            let (q, k) = (scope.ty(q).shape, scope.ty(k).shape);
            q[..q.rank() - 1].iter().chain([&k[k.rank() - 2]]).collect()
        };
        let mask = mask.map(|mask| scope.b.broadcast_to(mask, &scores)).transpose()?;
        if scope.mode() == Mode::Inference || self.dropout == 0.0 {
            let op = Composite::Attention { causal: self.causal, mask: mask.is_some(), scale };
            let operands: Vec<Value> = [Some(q), Some(k), Some(v), mask].into_iter().flatten().collect();
            return Ok(scope.b.push(op, &operands)?);
        }
        // The weights are dropped between softmax and product.
        let key = scope.random_key()?;
        let b = &mut scope.b;
        let last = scores.rank() - 1;
        let transposed = b.move_axis(k, last, last - 1)?;
        let product = b.matmul(q, transposed)?;
        let mut scaled = b.mul_scalar(product, scale.0)?;
        let none = b.scalar_like(scaled, f64::NEG_INFINITY);
        if let Some(mask) = mask {
            scaled = match b.ty(mask).dtype {
                DType::Bool => b.select(mask, scaled, none)?,
                _ => b.add(scaled, mask)?,
            };
        }
        if self.causal {
            let query = b.iota(DType::I32, scores.clone(), last - 1)?;
            let key = b.iota(DType::I32, scores.clone(), last)?;
            let seen = b.ge(query, key)?;
            scaled = b.select(seen, scaled, none)?;
        }
        let weights = b.composite(Composite::Softmax { axis: last }, &[scaled])?;
        let weights = b.composite(Composite::Dropout { rate: F64(self.dropout) }, &[weights, key])?;
        Ok(b.matmul(weights, v)?)
    }
}

/// Self-attention with several heads and PyTorch's defaults: `x [.., S, width]` → `output [.., S, width]`.
pub fn multihead_attention(width: usize, heads: usize) -> Model {
    MultiheadAttention::new(width, heads).into()
}

impl Block for MultiheadAttention {
    fn kind(&self) -> &str {
        "MultiheadAttention"
    }

    fn inputs(&self) -> Vec<String> {
        let names: &[&str] = if self.cross { &["query", "key", "value"] } else { &["x"] };
        let mask = self.mask.then_some("mask");
        names.iter().copied().chain(mask).map(str::to_owned).collect()
    }

    fn call(&self, scope: &mut Scope, inputs: &[Value]) -> Result<Vec<Value>, ModelError> {
        let head = self.head_width(scope)?;
        let projected = self.projected(scope, inputs)?;
        let mut heads = Vec::with_capacity(3);
        for x in &projected {
            heads.extend(self.split_heads(scope, *x, 3 / projected.len(), head)?);
        }
        let mask = self.mask.then(|| inputs[inputs.len() - 1]);
        let attended = self.attend(scope, [heads[0], heads[1], heads[2]], mask, head)?;
        let axis = scope.ty(attended).rank() - 3;
        let joined = scope.b.move_axis(attended, axis, axis + 1)?;
        let shape = scope.ty(joined).shape;
        let width = Dim::from(self.width);
        let joined = scope.b.reshape(joined, shape[..=axis].iter().chain([&width]).collect::<Shape>())?;
        let project =
            Linear { bias: self.bias, bias_init: Init::Zeros, ..Linear::new(self.width, self.width) };
        Ok(vec![scope.apply("out_proj", project, joined)?])
    }

    fn config(&self) -> Option<Attrs> {
        let sizes = Attrs::none().with("embed_dim", self.width).with("num_heads", self.heads);
        let sizes = sizes.with("dropout", F64(self.dropout)).with("bias", self.bias);
        Some(sizes.with("causal", self.causal).with("cross", self.cross).with("mask", self.mask))
    }
}
