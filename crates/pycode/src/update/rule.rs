//! SGD, Adam and AdamW as PyTorch's fused kernels compute them, recognised by their arithmetic.

use super::{Found, scalar_of, splat};
use wootz_ir::ops::{Binary, Unary};
use wootz_ir::{DType, Graph, Op, Region, Value};

/// A rule that PyTorch has a fused kernel for.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Fused {
    Adam(Adam),
    Sgd(Sgd),
}

impl Fused {
    /// What all parameters share: the learning rate last, if it is no number.
    pub(crate) fn shared(&self) -> Vec<Value> {
        match self {
            Fused::Adam(adam) => std::iter::once(adam.step).chain(adam.lr.value()).collect(),
            Fused::Sgd(sgd) => sgd.lr.value().into_iter().collect(),
        }
    }
}

/// The rule and the gradient, if the update is one of these to the last constant.
pub(super) fn fused(graph: &Graph, update: &Found) -> Option<(Fused, Value)> {
    let adam = adam(graph, update).map(|(adam, gradient)| (Fused::Adam(adam), gradient));
    adam.or_else(|| sgd(graph, update).map(|(sgd, gradient)| (Fused::Sgd(sgd), gradient)))
}

/// The update of a parameter by its gradient g:
///
/// ```text
/// g ← g + weight_decay · p
/// v ← g + momentum · v
/// p ← p − lr · v          (nesterov: p − lr · (g + momentum · v))
/// ```
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Sgd {
    pub(crate) lr: Rate,
    /// `None` where no v is held.
    pub(crate) momentum: Option<f64>,
    pub(crate) nesterov: bool,
    pub(crate) weight_decay: f64,
}

/// The rule and the gradient, if the update is that of SGD.
fn sgd(graph: &Graph, update: &Found) -> Option<(Sgd, Value)> {
    let region = &*graph.body;
    let params: Vec<Value> = region.params().collect();
    let held: Vec<Value> = update.held.iter().map(|i| params[*i]).collect();
    let dtype = region.ty(held[0]).dtype;
    if held.len() > 2 || !matches!(dtype, DType::F32 | DType::F64) {
        return None;
    }
    let m = Match { region, dtype };
    let [param, change] = m.binary(update.results[0], Binary::Sub)?;
    if param != held[0] {
        return None;
    }
    let (direction, lr) = match m.with_number(change, Binary::Mul) {
        Some((direction, lr)) => (direction, Rate::Number(lr)),
        None => {
            let (rate, direction) = m.product(change, |x| scalar_of(region, x).is_some())?;
            (direction, Rate::Value(scalar_of(region, rate)?))
        }
    };
    let (gradient, momentum, nesterov) = match held[1..] {
        [] => (direction, None, false),
        [old] => {
            let velocity = update.results[1];
            let (gradient, momentum) = m.plus_share(velocity, old)?;
            let nesterov = direction != velocity;
            if nesterov && m.plus_share(direction, velocity)? != (gradient, momentum) {
                return None;
            }
            (gradient, Some(momentum), nesterov)
        }
        _ => return None,
    };
    let (gradient, weight_decay) = m.plus_share(gradient, held[0]).unwrap_or((gradient, 0.0));
    Some((Sgd { lr, momentum, nesterov, weight_decay }, gradient))
}

/// Adam's update of a parameter by its gradient g; in step t:
///
/// ```text
/// m ← m + (1 − β₁) · (g − m)
/// v ← β₂ · v + (1 − β₂) · g²
/// p ← p · (1 − lr · weight_decay) − lr / (1 − β₁ᵗ) · m / (√v / √(1 − β₂ᵗ) + eps)
/// ```
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Adam {
    /// Where m and v are among what is held.
    pub(crate) moments: (usize, usize),
    /// t, a scalar.
    pub(crate) step: Value,
    pub(crate) lr: Rate,
    pub(crate) betas: (f64, f64),
    pub(crate) eps: f64,
    pub(crate) weight_decay: f64,
    /// Whether the decay goes through the gradient: Adam's L2 penalty.
    pub(crate) coupled: bool,
    pub(crate) dtype: DType,
}

/// A learning rate.
#[derive(Copy, Clone, Debug, PartialEq)]
pub(crate) enum Rate {
    Number(f64),
    /// A scalar of the step.
    Value(Value),
}

impl Rate {
    pub(crate) fn value(self) -> Option<Value> {
        match self {
            Rate::Number(_) => None,
            Rate::Value(value) => Some(value),
        }
    }
}

/// The rule and the gradient, if the update is Adam's or AdamW's to the last constant.
fn adam(graph: &Graph, update: &Found) -> Option<(Adam, Value)> {
    let region = &*graph.body;
    let params: Vec<Value> = region.params().collect();
    let held: Vec<Value> = update.held.iter().map(|i| params[*i]).collect();
    let dtype = region.ty(held[0]).dtype;
    if update.held.len() != 3 || !matches!(dtype, DType::F32 | DType::F64) {
        return None;
    }
    let m = Match { region, dtype };
    let [kept, change] = m.binary(update.results[0], Binary::Sub)?;
    let (ratio, size) =
        m.product(change, |x| m.binary(x, Binary::Div).is_some_and(|[n, _]| is_new(update, n)))?;
    let [mean, denominator] = m.binary(ratio, Binary::Div)?;
    let (root, eps) = m.with_number(denominator, Binary::Add)?;
    let (root, scale) = m.product(root, |x| m.unary(x, Unary::Sqrt).is_some())?;
    let square = m.unary(root, Unary::Sqrt)?;
    let place = |v: Value| update.results.iter().position(|r| *r == v);
    let (first, second) = (place(mean)?, place(square)?);

    // m + (g − m) · (1 − β₁)
    let (added, _) = m.other(mean, Binary::Add, held[first])?;
    let (difference, share1) = m.with_number(added, Binary::Mul)?;
    let [gradient, old] = m.binary(difference, Binary::Sub)?;
    // v · β₂ + g · g · (1 − β₂)
    let [a, b] = m.binary(square, Binary::Add)?;
    let decays = |x: Value| m.with_number(x, Binary::Mul).filter(|(v, _)| *v == held[second]);
    let (beta2, new) = match (decays(a), decays(b)) {
        (Some((_, beta2)), _) => (beta2, b),
        (None, Some((_, beta2))) => (beta2, a),
        (None, None) => return None,
    };
    let (squared, share2) = m.with_number(new, Binary::Mul)?;
    if old != held[first] || m.binary(squared, Binary::Mul)? != [gradient, gradient] {
        return None;
    }
    let beta1 = 1.0 - share1;
    // lr / (1 − β₁ᵗ) and 1 / √(1 − β₂ᵗ)
    let [rate, correction1] = m.scalar_binary(size, Binary::Div)?;
    let [one, root] = m.scalar_binary(scale, Binary::Div)?;
    let correction2 = m.unary(root, Unary::Sqrt)?;
    let (step, log1) = m.one_minus_power(correction1)?;
    let (other_step, log2) = m.one_minus_power(correction2)?;
    let consistent = m.number(one) == Some(1.0)
        && step == other_step
        && m.same(log1, beta1.ln())
        && m.same(log2, beta2.ln())
        && m.same(share2, 1.0 - beta2);
    if !consistent || !(0.0..1.0).contains(&beta1) {
        return None;
    }
    let lr = m.number(rate).map_or(Rate::Value(rate), Rate::Number);
    let decayed = (kept != held[0]).then(|| m.weight_decay(kept, held[0], lr));
    let coupled = decayed.is_none().then(|| m.plus_share(gradient, held[0])).flatten();
    let (gradient, weight_decay) = match (decayed, coupled) {
        (Some(decay), _) => (gradient, decay?),
        (None, Some((gradient, decay))) => (gradient, decay),
        (None, None) => (gradient, 0.0),
    };
    let (moments, betas, coupled) = ((first, second), (beta1, beta2), coupled.is_some());
    Some((Adam { moments, step, lr, betas, eps, weight_decay, coupled, dtype }, gradient))
}

fn is_new(update: &Found, value: Value) -> bool {
    update.results.contains(&value)
}

struct Match<'r> {
    region: &'r Region,
    dtype: DType,
}

impl Match<'_> {
    fn binary(&self, value: Value, op: Binary) -> Option<[Value; 2]> {
        let node = self.region.defining_node(value)?;
        (node.op == Op::Binary(op)).then(|| [node.inputs[0], node.inputs[1]])
    }

    fn unary(&self, value: Value, op: Unary) -> Option<Value> {
        let node = self.region.defining_node(value)?;
        (node.op == Op::Unary(op)).then(|| node.inputs[0])
    }

    /// The factors of a product, the one that is meant first.
    fn product(&self, value: Value, meant: impl Fn(Value) -> bool) -> Option<(Value, Value)> {
        let [a, b] = self.binary(value, Binary::Mul)?;
        if meant(a) {
            return Some((a, b));
        }
        meant(b).then_some((b, a))
    }

    /// The operand that is not this one.
    fn other(&self, value: Value, op: Binary, known: Value) -> Option<(Value, Value)> {
        let [a, b] = self.binary(value, op)?;
        if a == known {
            return Some((b, a));
        }
        (b == known).then_some((a, b))
    }

    /// The operands of an op, one of which is a repeated constant.
    fn with_number(&self, value: Value, op: Binary) -> Option<(Value, f64)> {
        let [a, b] = self.binary(value, op)?;
        let number = self.number(b).map(|n| (a, n));
        number.or_else(|| self.number(a).map(|n| (b, n)))
    }

    /// An op on scalars, whose result may have been repeated since.
    fn scalar_binary(&self, value: Value, op: Binary) -> Option<[Value; 2]> {
        self.binary(scalar_of(self.region, value).unwrap_or(value), op)
    }

    /// The element of a repeated constant: the shortest decimal that gives it.
    fn number(&self, value: Value) -> Option<f64> {
        let element = splat(self.region, value)?;
        let exact = element.to_f64()[0];
        match element.dtype() {
            DType::F64 => Some(exact),
            DType::F32 => format!("{:?}", exact as f32).parse().ok(),
            _ => None,
        }
    }

    /// −expm1(t · ln β): t and ln β.
    fn one_minus_power(&self, value: Value) -> Option<(Value, f64)> {
        let power = self.unary(self.unary(value, Unary::Neg)?, Unary::Expm1)?;
        self.with_number(power, Binary::Mul)
    }

    /// What p · (1 − lr · weight_decay) decays by.
    fn weight_decay(&self, kept: Value, param: Value, lr: Rate) -> Option<f64> {
        let (factor, _) = self.other(kept, Binary::Mul, param)?;
        match lr {
            Rate::Number(lr) => {
                let factor = self.number(factor)?;
                let raw = (1.0 - factor) / lr;
                let written = (0..17).filter_map(|digits| format!("{raw:.digits$e}").parse::<f64>().ok());
                written.into_iter().find(|decay| self.same(1.0 - self.round(lr * decay), factor))
            }
            Rate::Value(lr) => {
                let [one, decayed] = self.scalar_binary(factor, Binary::Sub)?;
                let (decayed, decay) = self.with_number(decayed, Binary::Mul)?;
                (decayed == lr && self.number(one) == Some(1.0)).then_some(decay)
            }
        }
    }

    /// x + share · y: x and the share.
    fn plus_share(&self, sum: Value, y: Value) -> Option<(Value, f64)> {
        let [a, b] = self.binary(sum, Binary::Add)?;
        let share = |x: Value| self.with_number(x, Binary::Mul).filter(|(v, _)| *v == y);
        match (share(a), share(b)) {
            (_, Some((_, share))) => Some((a, share)),
            (Some((_, share)), None) => Some((b, share)),
            (None, None) => None,
        }
    }

    fn round(&self, x: f64) -> f64 {
        if self.dtype == DType::F32 { f64::from(x as f32) } else { x }
    }

    /// Whether two numbers are one in the parameters' dtype.
    fn same(&self, a: f64, b: f64) -> bool {
        self.round(a) == self.round(b)
    }
}
