//! Elementwise ops on single elements: the reference evaluation of one lane.

use crate::ops::{Binary, Compare, Unary};
use crate::{DType, HostTensor};
use half::{bf16, f16};

/// One element, widened: exact for every dtype.
#[derive(Copy, Clone, Debug, PartialEq)]
pub enum Scalar {
    /// An element of a float dtype.
    Float(f64),
    /// An element of an integer dtype.
    Int(i64),
    /// An element of `bool`.
    Bool(bool),
}

impl Scalar {
    /// Zero, or false.
    pub fn zero(dtype: DType) -> Scalar {
        Scalar::Int(0).cast(dtype)
    }

    /// The element of `dtype` with these bytes (native endianness).
    ///
    /// # Panics
    /// If there are not as many bytes as the dtype has.
    pub fn from_bytes(dtype: DType, bytes: &[u8]) -> Scalar {
        fn take<const N: usize>(bytes: &[u8]) -> [u8; N] {
            bytes.try_into().expect("the caller passes the bytes of one element")
        }
        match dtype {
            DType::Bool => Scalar::Bool(take::<1>(bytes)[0] != 0),
            DType::U8 => Scalar::Int(take::<1>(bytes)[0].into()),
            DType::U32 => Scalar::Int(u32::from_ne_bytes(take(bytes)).into()),
            DType::I32 => Scalar::Int(i32::from_ne_bytes(take(bytes)).into()),
            DType::I64 => Scalar::Int(i64::from_ne_bytes(take(bytes))),
            DType::F16 => Scalar::Float(f16::from_ne_bytes(take(bytes)).to_f64()),
            DType::BF16 => Scalar::Float(bf16::from_ne_bytes(take(bytes)).to_f64()),
            DType::F32 => Scalar::Float(f32::from_ne_bytes(take(bytes)).into()),
            DType::F64 => Scalar::Float(f64::from_ne_bytes(take(bytes))),
        }
    }

    /// A tensor of rank 0 holding the element, converted to `dtype` as by [`Scalar::cast`].
    pub fn to_tensor(self, dtype: DType) -> HostTensor {
        match self {
            Scalar::Float(x) => HostTensor::from_f64(dtype, &[], &[x]),
            Scalar::Int(x) => HostTensor::from_i64(dtype, &[], &[x]),
            Scalar::Bool(x) => HostTensor::from_i64(dtype, &[], &[x.into()]),
        }
    }

    /// Conversion to another dtype by the rules of [`Cast`](crate::ops::Cast), with one rounding.
    pub fn cast(self, dtype: DType) -> Scalar {
        match (self, dtype) {
            (Scalar::Float(x), DType::F64) => Scalar::Float(x),
            (Scalar::Float(x), DType::F32) => Scalar::Float((x as f32).into()),
            (Scalar::Int(x), DType::I64) => Scalar::Int(x),
            (Scalar::Int(x), DType::I32) => Scalar::Int((x as i32).into()),
            (Scalar::Bool(x), DType::Bool) => Scalar::Bool(x),
            _ => Scalar::from_bytes(dtype, self.to_tensor(dtype).as_bytes()),
        }
    }

    /// The same bits as another dtype of the same size.
    pub fn bitcast(self, from: DType, to: DType) -> Scalar {
        Scalar::from_bytes(to, self.to_tensor(from).as_bytes())
    }

    /// An integer; of `bool` 0 or 1, of a float its integer part.
    pub fn int(self) -> i64 {
        match self {
            Scalar::Float(x) => x as i64,
            Scalar::Int(x) => x,
            Scalar::Bool(x) => x.into(),
        }
    }

    /// As a float (integers beyond 2^53 round).
    pub fn float(self) -> f64 {
        match self {
            Scalar::Float(x) => x,
            Scalar::Int(x) => x as f64,
            Scalar::Bool(x) => f64::from(u8::from(x)),
        }
    }

    /// Whether it is true, or not 0.
    pub fn is_true(self) -> bool {
        self.cast(DType::Bool) == Scalar::Bool(true)
    }
}

/// `op` of an element of `dtype`.
pub fn unary(op: Unary, x: Scalar, dtype: DType) -> Scalar {
    match (op, x) {
        (Unary::IsNan, x) => Scalar::Bool(x.float().is_nan()),
        (Unary::IsFinite, x) => Scalar::Bool(x.float().is_finite()),
        (_, Scalar::Float(x)) => Scalar::Float(op.float(x)).cast(dtype),
        (_, Scalar::Int(x)) => Scalar::Int(op.int(x)).cast(dtype),
        (Unary::Not, Scalar::Bool(x)) => Scalar::Bool(!x),
        (_, Scalar::Bool(x)) => Scalar::Bool(x),
    }
}

/// `op` of two elements of `dtype`, which is one that the op takes.
pub fn binary(op: Binary, x: Scalar, y: Scalar, dtype: DType) -> Scalar {
    match (x, y) {
        (Scalar::Bool(x), Scalar::Bool(y)) => Scalar::Bool(op.bool(x, y)),
        (Scalar::Int(x), Scalar::Int(y)) => Scalar::Int(op.int(x, y, dtype)).cast(dtype),
        _ => Scalar::Float(op.float(x.float(), y.float(), dtype)).cast(dtype),
    }
}

/// Whether a comparison holds.
pub fn compare(op: Compare, x: Scalar, y: Scalar) -> bool {
    let order = match (x, y) {
        (Scalar::Bool(x), Scalar::Bool(y)) => Some(x.cmp(&y)),
        (Scalar::Int(x), Scalar::Int(y)) => Some(x.cmp(&y)),
        _ => x.float().partial_cmp(&y.float()),
    };
    op.holds(order)
}

/// x · y + z of float elements, rounded once.
pub fn fma(x: Scalar, y: Scalar, z: Scalar, dtype: DType) -> Scalar {
    let [x, y, z] = [x, y, z].map(Scalar::float);
    Scalar::Float(match dtype {
        DType::F64 => libm::fma(x, y, z),
        _ => libm::fmaf(x as f32, y as f32, z as f32).into(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::TensorType;
    use crate::ops::{EvalCx, Op, Sample};

    type Lane = dyn Fn(&[Scalar]) -> Scalar;

    fn elements(tensor: &HostTensor) -> Vec<Scalar> {
        let size = tensor.dtype().size();
        tensor.as_bytes().chunks(size).map(|b| Scalar::from_bytes(tensor.dtype(), b)).collect()
    }

    fn same(x: Scalar, y: Scalar) -> bool {
        match (x, y) {
            (Scalar::Float(x), Scalar::Float(y)) => x.to_bits() == y.to_bits() || x.is_nan() && y.is_nan(),
            _ => x == y,
        }
    }

    /// The ops' own evaluation, on their samples.
    #[test]
    fn agrees_with_the_evaluation_of_tensors() {
        let mut compared = 0;
        for Sample { op, inputs, .. } in Op::samples() {
            let dtype = inputs.first().map_or(DType::F32, HostTensor::dtype);
            let f: Box<Lane> = match op {
                Op::Unary(op) => Box::new(move |x| unary(op, x[0], dtype)),
                Op::Binary(op) => Box::new(move |x| binary(op, x[0], x[1], dtype)),
                Op::Compare(op) => Box::new(move |x| Scalar::Bool(compare(op, x[0], x[1]))),
                Op::Cast(ref cast) => {
                    let to = cast.dtype;
                    Box::new(move |x| x[0].cast(to))
                }
                _ => continue,
            };
            let refs: Vec<&HostTensor> = inputs.iter().collect();
            let out = match &op {
                Op::Compare(_) | Op::Unary(Unary::IsNan | Unary::IsFinite) => DType::Bool,
                Op::Cast(cast) => cast.dtype,
                _ => dtype,
            };
            let outputs = [TensorType::new(out, inputs[0].dims())];
            let expected = op.eval(&EvalCx { inputs: &refs, outputs: &outputs }).expect("samples evaluate");
            let columns: Vec<Vec<Scalar>> = inputs.iter().map(elements).collect();
            for (i, expected) in elements(&expected[0]).into_iter().enumerate() {
                let x: Vec<Scalar> = columns.iter().map(|c| c[i]).collect();
                let got = f(&x);
                assert!(same(got, expected), "{}: {got:?} is not {expected:?}", op.name());
                compared += 1;
            }
        }
        assert!(compared > 10_000);
    }

    #[test]
    fn bits_are_kept() {
        let one = Scalar::Float(1.0).bitcast(DType::F32, DType::I32);
        assert_eq!(one, Scalar::Int(0x3f80_0000));
        assert_eq!(one.bitcast(DType::I32, DType::F32), Scalar::Float(1.0));
        assert_eq!(Scalar::Float(-0.0).bitcast(DType::F64, DType::I64), Scalar::Int(i64::MIN));
    }

    #[test]
    fn a_fused_product_rounds_once() {
        let x = Scalar::Float(1.0 + 2f64.powi(-12));
        let (square, minus) = (fma(x, x, Scalar::Float(-1.0), DType::F32), Scalar::Float(-1.0));
        let twice = binary(Binary::Add, binary(Binary::Mul, x, x, DType::F32), minus, DType::F32);
        assert_ne!(square, twice);
    }
}
