//! What every op family provides, and the contexts its rules are given.

use super::Op;
use crate::{
    AttrError, Attrs, Axes, Builder, DType, Dim, HostTensor, Region, Site, Solver, TensorError, TensorType,
    TypeError, TypeErrorKind, Value,
};
use smallvec::SmallVec;
use std::sync::Arc;

/// Result types of an op: nearly always one.
pub type Types = SmallVec<[TensorType; 1]>;

/// One op family: everything there is to know about its ops, in one place.
pub trait Family: Sized + Clone {
    /// The op's name in the text form.
    fn name(&self) -> &'static str;

    /// The op's attributes in printing order.
    fn attrs(&self) -> Attrs;

    /// Rebuilds an op of this family; `None` if the name is not one of the family's. Reads only its own attributes.
    fn parse(name: &str, attrs: &mut Attrs) -> Option<Result<Self, AttrError>>;

    /// The result types.
    fn infer(&self, cx: &mut InferCx<'_>) -> Result<Types, TypeError>;

    /// The op with every dim in its attributes replaced.
    #[must_use]
    fn map_dims(&self, _f: &dyn Fn(&Dim) -> Dim) -> Self {
        self.clone()
    }

    /// Reference evaluation.
    fn eval(&self, cx: &EvalCx<'_>) -> Result<Vec<HostTensor>, EvalError>;

    /// Reverse mode: one entry an operand; `None` where the cotangent is zero or was not asked for.
    fn vjp(&self, cx: &mut VjpCx<'_>) -> Result<Vec<Option<Value>>, RuleError>;

    /// Reverse mode, first half: builds the op so that it also returns what its derivative wants kept. `None`: the op as it
    /// stands is enough. Ops that own regions need it, so that their bodies run once.
    fn augment(&self, _cx: &mut AugmentCx<'_>) -> Result<Option<Augmented>, RuleError> {
        Ok(None)
    }

    /// Forward mode, for ops that compute results and tangents together: `JvpCx::outputs` is empty. `None`: results first,
    /// then [`jvp`](Self::jvp).
    fn jvp_joint(&self, _cx: &mut JvpCx<'_>) -> Result<Option<Joint>, RuleError> {
        Ok(None)
    }

    /// Forward mode: one entry a result; `None` where the tangent is zero.
    fn jvp(&self, cx: &mut JvpCx<'_>) -> Result<Vec<Option<Value>>, RuleError>;

    /// Batching: one entry a result, with whether it has the new leading axis.
    fn batch(&self, cx: &mut BatchCx<'_>) -> Result<Vec<(Value, bool)>, RuleError>;

    /// Sample applications of every op of the family: for conformance on every backend and for derivative checks.
    fn samples() -> Vec<Sample>;
}

/// Operands and solver for a type rule.
pub struct InferCx<'a> {
    /// The op being checked, for messages.
    pub op: &'a Op,
    /// The operands' types.
    pub inputs: &'a [&'a TensorType],
    /// Decides whether two dims are equal; may learn what a symbol is.
    pub solver: &'a mut Solver,
}

impl<'a> InferCx<'a> {
    /// Requires exactly `n` operands.
    pub fn arity(&self, n: usize) -> Result<(), TypeError> {
        if self.inputs.len() == n {
            return Ok(());
        }
        Err(self.error(TypeErrorKind::Arity { expected: n.to_string(), got: self.inputs.len() }))
    }

    /// The type of operand `i`. Call [`arity`](Self::arity) first.
    pub fn ty(&self, i: usize) -> &'a TensorType {
        self.inputs[i]
    }

    /// Requires two sizes to be equal.
    pub fn same(&mut self, what: &'static str, a: &Dim, b: &Dim) -> Result<(), TypeError> {
        if a == b {
            return Ok(());
        }
        self.solver.unify(a, b).map_err(|e| self.error(TypeErrorKind::dims(what)(e)))
    }

    /// Requires operands `i` and `j` to have the same rank and sizes.
    pub fn same_shape(&mut self, i: usize, j: usize) -> Result<(), TypeError> {
        let (a, b) = (self.ty(i), self.ty(j));
        if a.rank() != b.rank() {
            return Err(self.attribute(format!("operands {i} and {j} must have the same shape")));
        }
        for (x, y) in a.shape.iter().zip(b.shape.iter()) {
            self.same("shapes must agree", x, y)?;
        }
        Ok(())
    }

    /// Requires operands `i` and `j` to have the same dtype.
    pub fn same_dtype(&self, i: usize, j: usize) -> Result<(), TypeError> {
        let expected = self.ty(i).dtype;
        if self.ty(j).dtype == expected {
            return Ok(());
        }
        let expected = format!("{expected}, like operand {i} (cast explicitly)");
        Err(self.error(TypeErrorKind::DType { operand: j, expected }))
    }

    /// Requires operand `i`'s dtype to satisfy `ok`; `expected` says so in words.
    pub fn dtype(&self, i: usize, ok: impl Fn(DType) -> bool, expected: &str) -> Result<(), TypeError> {
        if ok(self.ty(i).dtype) {
            return Ok(());
        }
        Err(self.error(TypeErrorKind::DType { operand: i, expected: expected.to_owned() }))
    }

    /// Requires `axes` to be distinct axes of a tensor of this rank.
    pub fn axes(&self, axes: &[usize], rank: usize) -> Result<(), TypeError> {
        for (i, axis) in axes.iter().enumerate() {
            if *axis >= rank {
                return Err(self.attribute(format!("axis {axis} is out of range for rank {rank}")));
            }
            if axes[..i].contains(axis) {
                return Err(self.attribute(format!("axis {axis} is named twice")));
            }
        }
        Ok(())
    }

    /// An error about attributes or ranks.
    pub fn attribute(&self, message: String) -> TypeError {
        self.error(TypeErrorKind::Attribute(message))
    }

    /// An error of this op on these operands.
    pub fn error(&self, kind: TypeErrorKind) -> TypeError {
        TypeError::new(self.op.name(), self.inputs, kind)
    }
}

/// Operands of a reference evaluation.
pub struct EvalCx<'a> {
    /// The operands.
    pub inputs: &'a [&'a HostTensor],
    /// The result types; every dim is a number.
    pub outputs: &'a [TensorType],
}

impl EvalCx<'_> {
    /// The sizes of result `i`.
    pub fn out_dims(&self, i: usize) -> crate::Dims {
        self.outputs[i].shape.concrete().expect("the interpreter checks that every dim is a number")
    }

    /// The dtype of result `i`.
    pub fn out_dtype(&self, i: usize) -> DType {
        self.outputs[i].dtype
    }
}

/// The reference interpreter cannot go on.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EvalError {
    /// The region still has symbolic dims.
    #[error("{op}: the size {dim} is not a number; specialise the graph first{}", at(.site))]
    Symbolic {
        /// The op.
        op: &'static str,
        /// The dim.
        dim: Dim,
        /// The user's name for the place.
        site: Site,
    },
    /// The arguments are not of the parameters' types.
    #[error("argument {index} is {got}, the parameter is {expected}")]
    Argument {
        /// Which argument.
        index: usize,
        /// The parameter's type.
        expected: Box<TensorType>,
        /// The argument's type.
        got: Box<TensorType>,
    },
    /// The wrong number of arguments.
    #[error("{got} arguments for {expected} parameters")]
    Arguments {
        /// Parameters.
        expected: usize,
        /// Arguments.
        got: usize,
    },
    /// A result does not fit into memory.
    #[error(transparent)]
    Tensor(#[from] TensorError),
}

fn at(site: &Site) -> String {
    if site.is_unknown() { String::new() } else { format!(" (at {site})") }
}

/// What [`Family::augment`] is given.
pub struct AugmentCx<'a> {
    /// Where to build.
    pub b: &'a mut Builder,
    /// The operands.
    pub inputs: &'a [Value],
    /// Which operands' cotangents will be wanted.
    pub needs: &'a [bool],
    /// Which results may get a cotangent.
    pub has_cotangent: &'a [bool],
    /// The transformations themselves.
    pub regions: &'a dyn RegionTransforms,
}

/// An op built together with what its derivative wants kept.
#[derive(Clone, Debug)]
pub struct Augmented {
    /// The op's results.
    pub outputs: Vec<Value>,
    /// What comes back as [`VjpCx::saved`].
    pub saved: Vec<Value>,
}

/// An op's results and their tangents (`None` is zero), computed together.
#[derive(Clone, Debug)]
pub struct Joint {
    /// The results.
    pub outputs: Vec<Value>,
    /// Their tangents.
    pub tangents: Vec<Option<Value>>,
}

/// What a vector-Jacobian product rule is given.
pub struct VjpCx<'a> {
    /// Where to build.
    pub b: &'a mut Builder,
    /// The operands.
    pub inputs: &'a [Value],
    /// The results.
    pub outputs: &'a [Value],
    /// The cotangents of the results; `None` is zero. After [`Family::augment`]: given for exactly the results marked there.
    pub cotangents: &'a [Option<Value>],
    /// Which operands' cotangents are wanted; the others may be `None`. After [`Family::augment`]: the same as there.
    pub needs: &'a [bool],
    /// What [`Family::augment`] kept; otherwise empty.
    pub saved: &'a [Value],
    /// The transformations themselves, for ops that own regions or have a body.
    pub regions: &'a dyn RegionTransforms,
}

/// What a Jacobian-vector product rule is given.
pub struct JvpCx<'a> {
    /// Where to build.
    pub b: &'a mut Builder,
    /// The operands.
    pub inputs: &'a [Value],
    /// The results; for ops that own regions the rule may compute them anew together with the tangents.
    pub outputs: &'a [Value],
    /// The tangents of the operands; `None` is zero.
    pub tangents: &'a [Option<Value>],
    /// The transformations themselves, for ops that own regions or have a body.
    pub regions: &'a dyn RegionTransforms,
}

/// What a batching rule is given. Batched operands have the new axis in front.
pub struct BatchCx<'a> {
    /// Where to build.
    pub b: &'a mut Builder,
    /// The op's types before batching: operands.
    pub input_types: &'a [TensorType],
    /// The op's types before batching: results.
    pub output_types: &'a [TensorType],
    /// The operands.
    pub inputs: &'a [Value],
    /// Which operands have the new leading axis. At least one does.
    pub batched: &'a [bool],
    /// The size of the new axis.
    pub size: &'a Dim,
    /// The transformations themselves, for ops that own regions or have a body.
    pub regions: &'a dyn RegionTransforms,
}

/// A region split for reverse mode.
#[derive(Clone, Debug)]
pub struct VjpRegions {
    /// Parameters of the original → its results, then the residuals that are not among them.
    pub forward: Arc<Region>,
    /// The parameters in `uses`, residuals, cotangents of the results marked in `has_cotangent` → one cotangent for each
    /// parameter marked in `needs`, in order.
    pub backward: Arc<Region>,
    /// The parameters that the backward part reads, ascending. They are not among the residuals.
    pub uses: Vec<usize>,
    /// What the forward part leaves for the backward part.
    pub residuals: Vec<Residual>,
    /// Which parameters' cotangents are not known to be zero.
    pub nonzero: Vec<bool>,
}

/// A value that the backward part of a region reads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Residual {
    /// Its type.
    pub ty: TensorType,
    /// The result that it is, if it is one; the forward part does not return it a second time.
    pub result: Option<usize>,
}

impl VjpRegions {
    /// The residuals, given what the forward part returned: the original's results, then the `rest`.
    pub fn saved(&self, results: &[Value], rest: &[Value]) -> Vec<Value> {
        let mut rest = rest.iter().copied();
        let all =
            self.residuals.iter().filter_map(|r| r.result.map_or_else(|| rest.next(), |i| Some(results[i])));
        all.collect()
    }
}

/// A region made forward-mode.
#[derive(Clone, Debug)]
pub struct JvpRegion {
    /// Parameters, then tangents of those marked → results, then tangents of the results marked in `has_tangent`.
    pub region: Arc<Region>,
    /// Which results have a tangent that is not known to be zero, or was forced.
    pub has_tangent: Vec<bool>,
}

/// The three transformations applied to a whole region: what rules of region-owning ops build on. Implemented once, by
/// the transformation crate. A region given by `Arc` is transformed once for each set of flags.
pub trait RegionTransforms {
    /// Splits a region into a forward part that also returns residuals and a backward part. What depends on nothing but
    /// parameters marked in `recompute` is computed anew in the backward part and not kept.
    fn vjp(
        &self,
        region: &Arc<Region>,
        needs: &[bool],
        has_cotangent: &[bool],
        recompute: &[bool],
    ) -> Result<Arc<VjpRegions>, RuleError>;

    /// Differentiates a region's body in place: builds the body's values and then the cotangents of its parameters
    /// marked in `needs` (`None` is zero).
    fn vjp_inline(
        &self,
        b: &mut Builder,
        region: &Region,
        args: &[Value],
        cotangents: &[Option<Value>],
        needs: &[bool],
    ) -> Result<Vec<Option<Value>>, RuleError>;

    /// Makes a region compute tangents as well. Results marked in `force` get a tangent even if it is zero.
    fn jvp(
        &self,
        region: &Arc<Region>,
        has_tangent: &[bool],
        force: &[bool],
    ) -> Result<Arc<JvpRegion>, RuleError>;

    /// Builds the tangents of a region's results in place.
    fn jvp_inline(
        &self,
        b: &mut Builder,
        region: &Region,
        args: &[Value],
        tangents: &[Option<Value>],
    ) -> Result<Vec<Option<Value>>, RuleError>;

    /// Adds a leading axis of `size` to the parameters marked; says which results have it. Results marked in `force`
    /// get it even if they do not depend on a batched parameter.
    fn batch(
        &self,
        region: &Arc<Region>,
        batched: &[bool],
        force: &[bool],
        size: &Dim,
    ) -> Result<(Arc<Region>, Vec<bool>), RuleError>;

    /// Builds a region over batched arguments in place.
    fn batch_inline(
        &self,
        b: &mut Builder,
        region: &Region,
        args: &[Value],
        batched: &[bool],
        size: &Dim,
    ) -> Result<Vec<(Value, bool)>, RuleError>;
}

/// Gives a value a new leading axis of `size` along which it repeats.
pub fn spread(b: &mut Builder, x: Value, size: &Dim) -> Result<Value, TypeError> {
    let ty = b.ty(x);
    let (shape, axes) = (ty.shape.prepend(size), (1..=ty.rank()).collect::<Axes>());
    b.broadcast(x, &shape, &axes)
}

/// A transformation rule cannot be applied.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RuleError {
    /// The rule built an ill-typed op: an error in wootz.
    #[error("bug in wootz: a transformation rule built an ill-typed op")]
    Type(#[from] TypeError),
    /// The op has no derivative of this kind.
    #[error("{op} cannot be differentiated in {mode} mode: {reason}{}", at(.site))]
    NotDifferentiable {
        /// The op.
        op: &'static str,
        /// `forward` or `reverse`.
        mode: &'static str,
        /// Why, and what to do instead.
        reason: &'static str,
        /// The user's name for the place.
        site: Site,
    },
}

/// One application of an op to concrete operands.
#[derive(Clone, Debug)]
pub struct Sample {
    /// The op.
    pub op: Op,
    /// Operands, inside the op's domain; float operands are `f64`.
    pub inputs: Vec<HostTensor>,
    /// The operands with respect to which the op is smooth at this point (derivative checks use these).
    pub smooth: Vec<usize>,
}

impl Sample {
    /// A sample that is smooth in every floating-point operand.
    pub fn smooth(op: impl Into<Op>, inputs: Vec<HostTensor>) -> Sample {
        let smooth = (0..inputs.len()).filter(|i| inputs[*i].dtype().is_float()).collect();
        Sample { op: op.into(), inputs, smooth }
    }

    /// A sample for values only (integer ops, or points where the derivative is not defined).
    pub fn values(op: impl Into<Op>, inputs: Vec<HostTensor>) -> Sample {
        Sample { op: op.into(), inputs, smooth: Vec::new() }
    }
}
