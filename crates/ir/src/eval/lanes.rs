//! Elements as the interpreter computes with them: every float as `f64`, every integer as `i64`. One rounding (or one wrap)
//! at the end gives the result's dtype.

use crate::{DType, HostTensor};

/// The elements of a tensor, widened.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Lanes {
    /// Elements of a float dtype.
    Float(Vec<f64>),
    /// Elements of an integer dtype.
    Int(Vec<i64>),
    /// Elements of `bool`.
    Bool(Vec<bool>),
}

impl Lanes {
    /// The elements of `tensor`; exact.
    pub(crate) fn read(tensor: &HostTensor) -> Lanes {
        match tensor.dtype() {
            DType::Bool => Lanes::Bool(tensor.as_bytes().iter().map(|v| *v != 0).collect()),
            d if d.is_float() => Lanes::Float(tensor.to_f64()),
            _ => Lanes::Int(tensor.to_i64()),
        }
    }

    /// A tensor of `dtype`, each element converted as [`Cast`](crate::ops::Cast) says, with a single rounding.
    ///
    /// # Panics
    /// If there are not as many elements as `dims` say.
    pub(crate) fn write(&self, dtype: DType, dims: &[usize]) -> HostTensor {
        match (self, dtype) {
            (Lanes::Float(v), _) => HostTensor::from_f64(dtype, dims, v),
            (Lanes::Int(v), _) => HostTensor::from_i64(dtype, dims, v),
            (Lanes::Bool(v), _) => {
                let v: Vec<i64> = v.iter().map(|v| i64::from(*v)).collect();
                HostTensor::from_i64(dtype, dims, &v)
            }
        }
    }
}

/// For every result element of a reduction over `axes`, the row-major positions of the operand's elements it combines.
pub(crate) fn groups(dims: &[usize], axes: &[usize]) -> Vec<Vec<usize>> {
    let kept: Vec<usize> = (0..dims.len()).filter(|a| !axes.contains(a)).collect();
    let results = kept.iter().map(|a| dims[*a]).product();
    let mut out = vec![Vec::new(); results];
    let mut index = vec![0usize; dims.len()];
    for position in 0..dims.iter().product::<usize>() {
        let mut rest = position;
        for axis in (0..dims.len()).rev() {
            index[axis] = rest % dims[axis];
            rest /= dims[axis];
        }
        out[kept.iter().fold(0, |at, a| at * dims[*a] + index[*a])].push(position);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn halves_round_once() {
        // 1 + 2^-11 is a tie between 1 and 1 + 2^-10; a little more must go up, though f32 cannot hold the little.
        let just_above = 1.0 + 2f64.powi(-11) + 2f64.powi(-40);
        let out =
            Lanes::Float(vec![1.0 + 2f64.powi(-11), just_above, 65520.0, 1e300, -1e300, f64::NAN, 1e-300]);
        let got = out.write(DType::F16, &[7]).to_f64();
        assert_eq!(got[..5], [1.0, 1.0 + 2f64.powi(-10), f64::INFINITY, f64::INFINITY, f64::NEG_INFINITY]);
        assert!(got[5].is_nan());
        assert_eq!(got[6].to_bits(), 0);
        let tie = (1i64 << 40) + (1 << 32);
        let out = Lanes::Int(vec![tie, tie + 1]).write(DType::BF16, &[2]).to_f64();
        assert_eq!(out, [2f64.powi(40), 2f64.powi(40) + 2f64.powi(33)]);
    }

    #[test]
    fn groups_are_row_major() {
        assert_eq!(groups(&[2, 3], &[0]), [[0, 3], [1, 4], [2, 5]]);
        assert_eq!(groups(&[2, 3], &[0, 1]), [[0, 1, 2, 3, 4, 5]]);
        assert_eq!(groups(&[2, 0], &[1]), [[0usize; 0], []]);
        assert_eq!(groups(&[], &[]), [[0]]);
    }

    proptest! {
        #[test]
        fn sixteen_bit_floats_read_back(bits: u16) {
            for dtype in [DType::F16, DType::BF16] {
                let t = HostTensor::from_bytes(dtype, &[1], &bits.to_ne_bytes()).expect("two bytes");
                if !t.to_f64()[0].is_nan() {
                    prop_assert_eq!(Lanes::read(&t).write(dtype, &[1]), t);
                }
            }
        }

        #[test]
        fn half_is_the_nearest(v in -70000.0f64..70000.0) {
            let got = Lanes::Float(vec![v]).write(DType::F16, &[1]).to_f64()[0];
            let spacing = 2f64.powi((v.abs().log2().floor() as i32).max(-14) - 10);
            prop_assert!((got - v).abs() <= spacing / 2.0 || v.abs() >= 65520.0);
        }
    }
}
