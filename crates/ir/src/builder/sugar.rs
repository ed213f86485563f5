//! One method an op. Binary and ternary methods broadcast their operands as NumPy does.

use super::Builder;
use crate::ops::{
    ArgReduce, Binary, Cast, Compare, Composite, Cumsum, Dot, Gather, Linalg, Movement, Random, Reduce,
    ReduceKind, Scatter, ScatterKind, Segment, SegmentKind, Source, Ternary, TriangularSolve, Unary,
};
use crate::{Axes, DType, Dim, HostTensor, Shape, TensorType, TypeError, TypeErrorKind, Value};

type Built = Result<Value, TypeError>;

macro_rules! unary {
    ($($method:ident $op:ident $doc:literal;)*) => { $(
        #[doc = $doc]
        pub fn $method(&mut self, x: Value) -> Built {
            self.push(Unary::$op, &[x])
        }
    )* };
}

macro_rules! binary {
    ($($method:ident $family:ident $op:ident $doc:literal;)*) => { $(
        #[doc = $doc]
        pub fn $method(&mut self, x: Value, y: Value) -> Built {
            let [x, y] = self.broadcast_together([x, y])?;
            self.push($family::$op, &[x, y])
        }
    )* };
}

/// Elementwise ops.
impl Builder {
    unary! {
        neg Neg "−x."; abs Abs "|x|."; sign Sign "The sign of x."; exp Exp "eˣ."; expm1 Expm1 "eˣ − 1.";
        log Log "ln x."; log1p Log1p "ln(1 + x)."; sqrt Sqrt "√x."; rsqrt Rsqrt "1/√x."; sin Sin "sin x."; cos Cos "cos x.";
        tan Tan "tan x."; tanh Tanh "tanh x."; erf Erf "erf x."; erfc Erfc "1 − erf x."; erfinv Erfinv "The inverse of erf.";
        lgamma Lgamma "ln |Γ(x)|."; digamma Digamma "ψ(x)."; floor Floor "⌊x⌋."; ceil Ceil "⌈x⌉.";
        round Round "The nearest integer, halves to even."; not Not "Logical or bitwise not."; is_nan IsNan "True where x is NaN.";
        is_finite IsFinite "True where x is finite."; stop_gradient StopGradient "x, with derivative zero.";
    }

    binary! {
        add Binary Add "x + y."; sub Binary Sub "x − y."; mul Binary Mul "x · y."; div Binary Div "x / y.";
        rem Binary Rem "The remainder of x / y."; floor_div Binary FloorDiv "⌊x / y⌋."; pow Binary Pow "xʸ.";
        minimum Binary Min "The smaller."; maximum Binary Max "The larger."; and Binary And "And."; or Binary Or "Or.";
        xor Binary Xor "Exclusive or."; shl Binary Shl "x shifted left."; shr Binary Shr "x shifted right.";
        atan2 Binary Atan2 "The angle of (y, x): the first operand is y."; eq Compare Eq "x = y."; ne Compare Ne "x ≠ y.";
        lt Compare Lt "x < y."; le Compare Le "x ≤ y."; gt Compare Gt "x > y."; ge Compare Ge "x ≥ y.";
    }

    /// ψ⁽ⁿ⁾(x), n ≥ 1.
    pub fn polygamma(&mut self, order: u32, x: Value) -> Built {
        self.push(Unary::Polygamma(order), &[x])
    }

    /// x where the condition is true, y elsewhere.
    pub fn select(&mut self, condition: Value, x: Value, y: Value) -> Built {
        let operands = self.broadcast_together([condition, x, y])?;
        self.push(Ternary::Select, &operands)
    }

    /// min(max(x, low), high).
    pub fn clamp(&mut self, low: Value, x: Value, high: Value) -> Built {
        let operands = self.broadcast_together([low, x, high])?;
        self.push(Ternary::Clamp, &operands)
    }

    /// x converted to `dtype`; x itself if it already has it.
    pub fn cast(&mut self, x: Value, dtype: DType) -> Built {
        if self.ty(x).dtype == dtype { Ok(x) } else { self.push(Cast { dtype }, &[x]) }
    }
}

/// Constants.
impl Builder {
    /// A constant.
    pub fn constant(&mut self, value: HostTensor) -> Value {
        self.push(Source::Constant(value), &[]).expect("a constant has no operands to reject")
    }

    /// A scalar constant of `dtype`.
    pub fn scalar(&mut self, dtype: DType, value: f64) -> Value {
        self.constant(HostTensor::scalar(dtype, value))
    }

    /// A tensor of this type, every element `value`.
    pub fn full(&mut self, ty: &TensorType, value: f64) -> Built {
        let scalar = self.scalar(ty.dtype, value);
        self.broadcast(scalar, &ty.shape, &[])
    }

    /// A scalar constant of x's dtype.
    pub fn scalar_like(&mut self, x: Value, value: f64) -> Value {
        self.scalar(self.ty(x).dtype, value)
    }

    /// A tensor of x's type, every element `value`.
    pub fn full_like(&mut self, x: Value, value: f64) -> Built {
        self.full(&self.ty(x).clone(), value)
    }

    /// 0, 1, 2, … along `axis`.
    pub fn iota(&mut self, dtype: DType, shape: impl Into<Shape>, axis: usize) -> Built {
        self.push(Source::Iota { dtype, shape: shape.into(), axis }, &[])
    }

    /// x · c.
    pub fn mul_scalar(&mut self, x: Value, c: f64) -> Built {
        let c = self.scalar_like(x, c);
        self.mul(x, c)
    }

    /// x + c.
    pub fn add_scalar(&mut self, x: Value, c: f64) -> Built {
        let c = self.scalar_like(x, c);
        self.add(x, c)
    }
}

/// Movement.
impl Builder {
    /// The same elements under another shape; x itself if it already has it.
    pub fn reshape(&mut self, x: Value, shape: impl Into<Shape>) -> Built {
        let shape = shape.into();
        if self.ty(x).shape == shape { Ok(x) } else { self.push(Movement::Reshape { shape }, &[x]) }
    }

    /// Result axis i is operand axis `perm[i]`; x itself for the identity.
    pub fn transpose(&mut self, x: Value, perm: &[usize]) -> Built {
        if perm.len() == self.ty(x).rank() && perm.iter().enumerate().all(|(i, p)| i == *p) {
            return Ok(x);
        }
        self.push(Movement::Transpose { perm: perm.into() }, &[x])
    }

    /// Repeats x so that its axis i becomes axis `axes[i]` of `shape`; x itself if nothing changes.
    pub fn broadcast(&mut self, x: Value, shape: &Shape, axes: &[usize]) -> Built {
        if self.ty(x).shape == *shape {
            return Ok(x);
        }
        self.push(Movement::Broadcast { shape: shape.clone(), axes: axes.into() }, &[x])
    }

    /// Broadcasts operands to one shape by NumPy's rules: axes are aligned at the end, and a size of exactly 1 is stretched.
    /// A symbolic size never counts as 1.
    pub fn broadcast_together<const N: usize>(
        &mut self,
        values: [Value; N],
    ) -> Result<[Value; N], TypeError> {
        let first = &self.ty(values[0]).shape;
        if values.iter().all(|v| self.ty(*v).shape == *first) {
            return Ok(values);
        }
        let rank = values.iter().map(|v| self.ty(*v).rank()).max().unwrap_or(0);
        let mut shape: Vec<Dim> = vec![Dim::Const(1); rank];
        for value in values {
            let own = self.ty(value).shape.clone();
            let offset = rank - own.rank();
            for (i, dim) in own.iter().enumerate() {
                if shape[offset + i].is(1) {
                    shape[offset + i] = dim.clone();
                } else if !dim.is(1) {
                    let types: Vec<&TensorType> = values.iter().map(|v| self.region.ty(*v)).collect();
                    if let Err(e) = self.solver.unify(&shape[offset + i], dim) {
                        let kind = TypeErrorKind::dims("shapes do not broadcast together")(e);
                        return Err(TypeError::new("broadcast", &types, kind).at(&self.site));
                    }
                }
            }
        }
        let shape: Shape = shape.into_iter().collect();
        let mut out = values;
        for value in &mut out {
            *value = self.broadcast_to(*value, &shape)?;
        }
        Ok(out)
    }

    /// Broadcasts x to a shape by NumPy's rules.
    pub fn broadcast_to(&mut self, x: Value, shape: &Shape) -> Built {
        let own = self.ty(x).shape.clone();
        if own == *shape {
            return Ok(x);
        }
        if own.rank() > shape.rank() {
            let kind = TypeErrorKind::Attribute(format!("cannot be broadcast to {shape}: it has more axes"));
            return Err(TypeError::new("broadcast", &[self.ty(x)], kind).at(&self.site));
        }
        let offset = shape.rank() - own.rank();
        let kept: Axes = (0..own.rank()).filter(|i| !own[*i].is(1) || shape[offset + i].is(1)).collect();
        let x = self.reshape(x, kept.iter().map(|i| &own[*i]).collect::<Shape>())?;
        let axes: Axes = kept.iter().map(|i| i + offset).collect();
        self.broadcast(x, shape, &axes)
    }

    /// Elements `start, start + step, … < stop` along every axis.
    pub fn slice(&mut self, x: Value, start: &[usize], stop: &[usize], step: &[usize]) -> Built {
        self.push(Movement::Slice { start: start.into(), stop: stop.into(), step: step.into() }, &[x])
    }

    /// Elements `[start, stop)` along one axis, all of the others.
    pub fn slice_axis(&mut self, x: Value, axis: usize, start: &Dim, stop: &Dim) -> Built {
        let shape = &self.ty(x).shape;
        let rank = shape.rank();
        let begin = (0..rank).map(|i| if i == axis { start.clone() } else { Dim::Const(0) }).collect();
        let end = (0..rank).map(|i| if i == axis { stop.clone() } else { shape[i].clone() }).collect();
        self.push(
            Movement::Slice { start: begin, stop: end, step: std::iter::repeat_n(1, rank).collect() },
            &[x],
        )
    }

    /// Pads with a scalar; see [`Movement::Pad`].
    pub fn pad(&mut self, x: Value, value: Value, low: &[i64], high: &[i64], interior: &[usize]) -> Built {
        self.push(
            Movement::Pad { low: low.into(), high: high.into(), interior: interior.into() },
            &[x, value],
        )
    }

    /// Operands one after another along `axis`.
    pub fn concat(&mut self, values: &[Value], axis: usize) -> Built {
        self.push(Movement::Concat { axis }, values)
    }

    /// Elements in the opposite order along `axes`.
    pub fn reverse(&mut self, x: Value, axes: &[usize]) -> Built {
        self.push(Movement::Reverse { axes: axes.into() }, &[x])
    }

    /// Puts an axis of size 1 at `axis`.
    pub fn expand_axis(&mut self, x: Value, axis: usize) -> Built {
        let mut dims = self.ty(x).shape.to_vec();
        dims.insert(axis, Dim::Const(1));
        self.reshape(x, dims.into_iter().collect::<Shape>())
    }

    /// Moves axis `from` to position `to`, the others keeping their order.
    pub fn move_axis(&mut self, x: Value, from: usize, to: usize) -> Built {
        let mut perm: Vec<usize> = (0..self.ty(x).rank()).filter(|i| *i != from).collect();
        perm.insert(to, from);
        self.transpose(x, &perm)
    }
}

/// Reductions, contraction, indexing.
impl Builder {
    /// A reduction over `axes` (any order); x itself if there are none.
    pub fn reduce(&mut self, kind: ReduceKind, x: Value, axes: &[usize]) -> Built {
        if axes.is_empty() {
            return Ok(x);
        }
        let mut axes: Axes = axes.into();
        axes.sort_unstable();
        self.push(Reduce { kind, axes }, &[x])
    }

    /// Σ over `axes`.
    pub fn sum(&mut self, x: Value, axes: &[usize]) -> Built {
        self.reduce(ReduceKind::Sum, x, axes)
    }

    /// Σ over every axis.
    pub fn sum_all(&mut self, x: Value) -> Built {
        let axes: Axes = (0..self.ty(x).rank()).collect();
        self.sum(x, &axes)
    }

    /// The largest over `axes`.
    pub fn max(&mut self, x: Value, axes: &[usize]) -> Built {
        self.reduce(ReduceKind::Max, x, axes)
    }

    /// The position of the largest along `axis`.
    pub fn argmax(&mut self, x: Value, axis: usize) -> Built {
        self.push(ArgReduce { max: true, axis }, &[x])
    }

    /// The position of the smallest along `axis`.
    pub fn argmin(&mut self, x: Value, axis: usize) -> Built {
        self.push(ArgReduce { max: false, axis }, &[x])
    }

    /// A general contraction.
    pub fn dot(&mut self, x: Value, y: Value, dims: Dot) -> Built {
        self.push(dims, &[x, y])
    }

    /// The matrix product of `[.., m, k]` and `[.., k, n]` with equal leading axes.
    pub fn matmul(&mut self, x: Value, y: Value) -> Built {
        let batch = self.ty(x).rank().saturating_sub(2);
        self.dot(x, y, Dot::matmul(batch))
    }

    /// See [`Gather`].
    pub fn gather(&mut self, operand: Value, indices: Value, batch: usize, indexed: usize) -> Built {
        self.push(Gather { batch, indexed }, &[operand, indices])
    }

    /// See [`Scatter`].
    pub fn scatter(
        &mut self,
        kind: ScatterKind,
        operand: Value,
        indices: Value,
        updates: Value,
        batch: usize,
        indexed: usize,
    ) -> Built {
        self.push(Scatter { kind, batch, indexed }, &[operand, indices, updates])
    }

    /// See [`Segment`].
    pub fn segment(
        &mut self,
        kind: SegmentKind,
        data: Value,
        ids: Value,
        batch: usize,
        segments: Dim,
    ) -> Built {
        self.push(Segment { kind, batch, segments }, &[data, ids])
    }

    /// Sums of the elements up to each along an axis; see [`Cumsum`] for other directions.
    pub fn cumsum(&mut self, x: Value, axis: usize) -> Built {
        self.push(Cumsum { axis, reverse: false, exclusive: false }, &[x])
    }

    /// The Cholesky factor of symmetric matrices; see [`Linalg::Cholesky`].
    pub fn cholesky(&mut self, a: Value) -> Built {
        self.push(Linalg::Cholesky, &[a])
    }

    /// x with op(a)·x = b; see [`Linalg::TriangularSolve`].
    pub fn triangular_solve(&mut self, a: Value, b: Value, op: TriangularSolve) -> Built {
        self.push(Linalg::TriangularSolve(op), &[a, b])
    }

    /// Random bits from a key.
    pub fn random_bits(&mut self, key: Value, shape: impl Into<Shape>) -> Built {
        self.push(Random::Bits { shape: shape.into() }, &[key])
    }

    /// A key made from a key and a number.
    pub fn fold_in(&mut self, key: Value, data: Value) -> Built {
        self.push(Random::FoldIn, &[key, data])
    }

    /// A composite.
    pub fn composite(&mut self, composite: Composite, inputs: &[Value]) -> Built {
        self.push(composite, inputs)
    }
}
