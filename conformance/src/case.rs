//! What is run: a graph, its arguments, and how exact the results must be.

use std::sync::Arc;
use wootz_ir::{Builder, DType, Graph, HostTensor, Input, Op, Output, Role, TypeError};

/// A program with its arguments. The reference interpreter says what comes out.
#[derive(Clone, Debug)]
pub struct Case {
    /// What it is about.
    pub name: String,
    /// The program; every size is a number.
    pub graph: Graph,
    /// One an input of the graph.
    pub inputs: Vec<HostTensor>,
    /// How far floats may be from the reference. Everything else must be equal.
    pub tolerance: Tolerance,
    /// What this is the derivative of, if it is one: a framework that differentiates by itself must give the same.
    pub derivative_of: Option<Primal>,
}

/// A function whose derivative is a [`Case`], with inputs of its own first and the cotangents of its outputs after them.
#[derive(Clone, Debug)]
pub struct Primal {
    /// The function.
    pub graph: Graph,
    /// The inputs by which it is differentiated.
    pub wrt: Vec<usize>,
}

/// How far a float may be from the reference: `factor` · ε(dtype) · scale.
///
/// ε is 10⁻¹² for f64, 10⁻⁵ for f32, and one unit in the last place for the 16-bit floats (2⁻¹⁰, 2⁻⁷), which a backend may
/// round once more than the reference where an intermediate result stays narrow.
#[derive(Copy, Clone, Debug, PartialEq)]
pub struct Tolerance {
    /// 1 for one op; for a chain the number of its ops, since their errors add up.
    pub factor: f64,
    /// What the error is relative to.
    pub scale: Scale,
}

/// What an error is relative to.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub enum Scale {
    /// The element itself: for ops that compute each element from a few others.
    Element,
    /// The largest finite element of the tensor (at least 1): for sums, where terms cancel.
    Tensor,
}

impl Tolerance {
    /// One op, relative to each element.
    pub const ELEMENT: Tolerance = Tolerance { factor: 1.0, scale: Scale::Element };

    /// One op, relative to the largest element.
    pub const TENSOR: Tolerance = Tolerance { factor: 1.0, scale: Scale::Tensor };

    /// The relative error allowed for a dtype.
    pub fn relative(&self, dtype: DType) -> f64 {
        let epsilon = match dtype {
            DType::F64 => 1e-12,
            DType::F32 => 1e-5,
            DType::F16 => 2f64.powi(-10),
            DType::BF16 => 2f64.powi(-7),
            _ => 0.0,
        };
        self.factor * epsilon
    }
}

/// A graph of one op: inputs `x0`, `x1`, …, outputs `y0`, `y1`, ….
pub(crate) fn single_op(op: &Op, inputs: &[HostTensor]) -> Result<Graph, TypeError> {
    let mut b = Builder::new();
    let args: Vec<_> = inputs.iter().map(|t| b.param(t.ty())).collect();
    let results = b.push_multi(op.clone(), &args)?;
    let outputs = (0..results.len()).map(|i| Output { name: format!("y{i}").into(), alias: None });
    Ok(Graph {
        inputs: plain_inputs(inputs.len()),
        outputs: outputs.collect(),
        body: Arc::new(b.finish(&results)),
    })
}

/// Inputs `x0`, `x1`, ….
pub(crate) fn plain_inputs(count: usize) -> Vec<Input> {
    (0..count).map(|i| Input { name: format!("x{i}").into(), role: Role::Input }).collect()
}

/// The tolerance that fits an op.
pub(crate) fn tolerance_of(op: &Op) -> Tolerance {
    match op {
        Op::Unary(_) | Op::Binary(_) | Op::Compare(_) | Op::Ternary(_) | Op::Cast(_) => Tolerance::ELEMENT,
        Op::ArgReduce(_) | Op::Movement(_) | Op::Gather(_) | Op::Source(_) | Op::Random(_) => {
            Tolerance::ELEMENT
        }
        Op::Reduce(_) | Op::Dot(_) | Op::Scatter(_) | Op::Segment(_) | Op::Cumsum(_) => Tolerance::TENSOR,
        Op::Linalg(_) | Op::Composite(_) | Op::Control(_) => Tolerance { factor: 4.0, scale: Scale::Tensor },
    }
}

/// Every float tensor converted to `dtype`.
pub(crate) fn floats_as(dtype: DType, tensors: &[HostTensor]) -> Vec<HostTensor> {
    let convert = |t: &HostTensor| {
        if t.dtype().is_float() { HostTensor::from_f64(dtype, t.dims(), &t.to_f64()) } else { t.clone() }
    };
    tensors.iter().map(convert).collect()
}
