//! Ops that own regions. Regions are closed: what they need from around them comes in as captures.
//!
//! ```text
//! %2 = call[body=@block] %0, %1 : f32[4]
//! %3 = cond[then=@a, else=@b] %pred, %x : f32[4]
//! %4, %5 = while[cond=@c, body=@d, carries=2] %i, %x, %capture : i32[], f32[4]
//! %6, %7 = scan[body=@e, carries=1, xs=1, length=T, reverse=false] %h, %seq, %w : f32[4], f32[T, 4]
//! %8 = custom_vjp[primal=@f, forward=@g, backward=@h] %x : f32[4]
//! ```

pub mod activity;
mod batch;
mod eval;
mod infer;
mod jvp;
mod samples;
mod vjp;

use super::{
    AugmentCx, Augmented, BatchCx, EvalCx, EvalError, Family, InferCx, Joint, JvpCx, RuleError, Sample,
    Types, VjpCx,
};
use crate::{AttrError, Attrs, Dim, HostTensor, Region, TypeError, Value};
use std::sync::Arc;

/// An op that owns regions.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Control {
    /// (args) → the results of `body` on them. Repeated blocks are calls to one region.
    Call {
        /// The block.
        body: Arc<Region>,
    },
    /// (predicate: bool scalar, captures) → the results of `then` or of `otherwise` on the captures.
    Cond {
        /// Where the predicate is true.
        then: Arc<Region>,
        /// Where it is false; results of the same types.
        otherwise: Arc<Region>,
    },
    /// (carry, captures) → the final carry. While `cond(carry, captures)` (bool scalar) is true, carry = `body(carry, captures)`.
    While {
        /// Whether to go on.
        cond: Arc<Region>,
        /// One step.
        body: Arc<Region>,
        /// How many operands are carried; the rest are captures.
        carries: usize,
    },
    /// (carry, xs, captures) → (final carry, ys). For each of `length` steps, `body(carry, xs[t], captures)` gives the next carry
    /// and ys[t]; xs and ys have a leading axis of `length`.
    Scan {
        /// One step.
        body: Arc<Region>,
        /// How many operands are carried.
        carries: usize,
        /// How many operands are scanned over.
        xs: usize,
        /// The number of steps.
        length: Dim,
        /// From the last step to the first.
        reverse: bool,
    },
    /// (args) → `primal(args)`, whose reverse-mode derivative is given: `forward(args)` returns the results and then residuals,
    /// `backward(residuals, cotangents of all results)` one cotangent an argument (integer arguments: zeros of their type).
    CustomVjp {
        /// The function.
        primal: Arc<Region>,
        /// The function with residuals.
        forward: Arc<Region>,
        /// The derivative.
        backward: Arc<Region>,
    },
}

impl Control {
    /// The regions, in printing order.
    pub fn regions(&self) -> Vec<&Arc<Region>> {
        match self {
            Control::Call { body } | Control::Scan { body, .. } => vec![body],
            Control::Cond { then, otherwise } => vec![then, otherwise],
            Control::While { cond, body, .. } => vec![cond, body],
            Control::CustomVjp { primal, forward, backward } => vec![primal, forward, backward],
        }
    }

    /// The same op around other regions: `f` is applied to each, in the order of [`regions`](Self::regions).
    pub fn try_map_regions<E>(
        &self,
        mut f: impl FnMut(&Arc<Region>) -> Result<Arc<Region>, E>,
    ) -> Result<Control, E> {
        Ok(match self {
            Control::Call { body } => Control::Call { body: f(body)? },
            Control::Cond { then, otherwise } => Control::Cond { then: f(then)?, otherwise: f(otherwise)? },
            Control::While { cond, body, carries } => {
                Control::While { cond: f(cond)?, body: f(body)?, carries: *carries }
            }
            Control::Scan { body, carries, xs, length, reverse } => Control::Scan {
                body: f(body)?,
                carries: *carries,
                xs: *xs,
                length: length.clone(),
                reverse: *reverse,
            },
            Control::CustomVjp { primal, forward, backward } => {
                Control::CustomVjp { primal: f(primal)?, forward: f(forward)?, backward: f(backward)? }
            }
        })
    }
}

/// Evaluates a region on its arguments.
pub type EvalRegion<'a, E> = dyn FnMut(&Region, &[HostTensor]) -> Result<Vec<HostTensor>, E> + 'a;

impl Control {
    /// Reference evaluation in which `region` evaluates the op's regions on their operands.
    pub fn eval_with<E: From<EvalError>>(
        &self,
        cx: &EvalCx<'_>,
        region: &mut EvalRegion<'_, E>,
    ) -> Result<Vec<HostTensor>, E> {
        eval::eval(self, cx, region)
    }
}

impl Family for Control {
    fn name(&self) -> &'static str {
        match self {
            Control::Call { .. } => "call",
            Control::Cond { .. } => "cond",
            Control::While { .. } => "while",
            Control::Scan { .. } => "scan",
            Control::CustomVjp { .. } => "custom_vjp",
        }
    }

    fn attrs(&self) -> Attrs {
        let none = Attrs::none();
        match self {
            Control::Call { body } => none.with("body", body),
            Control::Cond { then, otherwise } => none.with("then", then).with("else", otherwise),
            Control::While { cond, body, carries } => {
                none.with("cond", cond).with("body", body).with("carries", *carries)
            }
            Control::Scan { body, carries, xs, length, reverse } => none
                .with("body", body)
                .with("carries", *carries)
                .with("xs", *xs)
                .with("length", length)
                .with("reverse", *reverse),
            Control::CustomVjp { primal, forward, backward } => {
                none.with("primal", primal).with("forward", forward).with("backward", backward)
            }
        }
    }

    fn parse(name: &str, attrs: &mut Attrs) -> Option<Result<Self, AttrError>> {
        let mut read = || {
            Ok(Some(match name {
                "call" => Control::Call { body: attrs.region("body")? },
                "cond" => Control::Cond { then: attrs.region("then")?, otherwise: attrs.region("else")? },
                "while" => Control::While {
                    cond: attrs.region("cond")?,
                    body: attrs.region("body")?,
                    carries: attrs.int("carries")?,
                },
                "scan" => Control::Scan {
                    body: attrs.region("body")?,
                    carries: attrs.int("carries")?,
                    xs: attrs.int("xs")?,
                    length: attrs.dim("length")?,
                    reverse: attrs.bool("reverse")?,
                },
                "custom_vjp" => Control::CustomVjp {
                    primal: attrs.region("primal")?,
                    forward: attrs.region("forward")?,
                    backward: attrs.region("backward")?,
                },
                _ => return Ok(None),
            }))
        };
        read().transpose()
    }

    fn infer(&self, cx: &mut InferCx<'_>) -> Result<Types, TypeError> {
        infer::infer(self, cx)
    }

    fn map_dims(&self, f: &dyn Fn(&Dim) -> Dim) -> Self {
        let mapped: Result<Control, std::convert::Infallible> =
            self.try_map_regions(|r| Ok(if r.is_symbolic() { Arc::new(r.map_dims(f)) } else { r.clone() }));
        let Ok(mut mapped) = mapped;
        if let Control::Scan { length, .. } = &mut mapped {
            *length = f(length);
        }
        mapped
    }

    fn eval(&self, cx: &EvalCx<'_>) -> Result<Vec<HostTensor>, EvalError> {
        self.eval_with(cx, &mut crate::eval::region)
    }

    fn augment(&self, cx: &mut AugmentCx<'_>) -> Result<Option<Augmented>, RuleError> {
        vjp::augment(self, cx)
    }

    fn vjp(&self, cx: &mut VjpCx<'_>) -> Result<Vec<Option<Value>>, RuleError> {
        vjp::vjp(self, cx)
    }

    fn jvp_joint(&self, cx: &mut JvpCx<'_>) -> Result<Option<Joint>, RuleError> {
        jvp::jvp(self, cx).map(Some)
    }

    fn jvp(&self, cx: &mut JvpCx<'_>) -> Result<Vec<Option<Value>>, RuleError> {
        Ok(jvp::jvp(self, cx)?.tangents)
    }

    fn batch(&self, cx: &mut BatchCx<'_>) -> Result<Vec<(Value, bool)>, RuleError> {
        batch::batch(self, cx)
    }

    fn samples() -> Vec<Sample> {
        samples::samples()
    }
}
