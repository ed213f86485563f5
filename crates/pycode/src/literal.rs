//! Elements as Python numbers, arrays as Python source.

use crate::py::{Py, atom, int, prefix};
use wootz_ir::{DType, HostTensor};

/// The number that converts to exactly this element; `namespace` has `inf` and `nan`.
pub(crate) fn number(namespace: &str, scalar: &HostTensor) -> Py {
    match scalar.dtype() {
        DType::Bool => atom(if scalar.to_i64()[0] != 0 { "True" } else { "False" }),
        DType::U8 | DType::U32 | DType::I32 | DType::I64 => int(scalar.to_i64()[0]),
        DType::F32 => float(namespace, scalar.to_f64()[0], |x| format!("{:?}", x as f32)),
        // Frameworks differ in whether they round a number to 16 bits before they use it: give them nothing to round.
        DType::F16 | DType::BF16 | DType::F64 => float(namespace, scalar.to_f64()[0], |x| format!("{x:?}")),
    }
}

fn float(namespace: &str, value: f64, digits: impl Fn(f64) -> String) -> Py {
    let magnitude = match value {
        v if v.is_nan() => return atom(format!("{namespace}.nan")),
        v if v.is_infinite() => atom(format!("{namespace}.inf")),
        v => atom(digits(v.abs())),
    };
    if value.is_sign_negative() { prefix("-", magnitude) } else { magnitude }
}

/// The elements as a Python list, of lists where there are several axes and not nothing; truth
/// values as 1 and 0.
pub(crate) fn list(namespace: &str, tensor: &HostTensor) -> Py {
    let size = tensor.dtype().size();
    let element = |bytes: &[u8]| {
        let scalar = HostTensor::from_bytes(tensor.dtype(), &[], bytes).expect("a chunk is one element");
        if tensor.dtype() == DType::Bool { int(scalar.to_i64()[0]) } else { number(namespace, &scalar) }
    };
    let elements = tensor.as_bytes().chunks_exact(size).map(element).collect();
    // From the last axis to the second.
    let nested = tensor
        .dims()
        .iter()
        .skip(1)
        .rev()
        .filter(|_| !tensor.is_empty())
        .fold(elements, |items: Vec<Py>, length| {
            items.chunks(*length).map(|row| Py::List(row.to_vec())).collect()
        });
    Py::List(nested)
}

/// Bytes as base64 (RFC 4648).
pub(crate) fn base64(bytes: &[u8]) -> String {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut out = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for chunk in bytes.chunks(3) {
        let word =
            chunk.iter().fold(0u32, |word, byte| word << 8 | u32::from(*byte)) << (8 * (3 - chunk.len()));
        for i in 0..4 {
            let digit = (word >> (18 - 6 * i) & 63) as usize;
            out.push(if i <= chunk.len() { char::from(ALPHABET[digit]) } else { '=' });
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_convert_back_to_the_element() {
        let check = |dtype, value, expected: &str| {
            assert_eq!(number("np", &HostTensor::scalar(dtype, value)).flat(), expected);
        };
        check(DType::F32, 0.1, "0.1");
        check(DType::F64, 0.1, "0.1");
        check(DType::BF16, 0.1, "0.10009765625");
        check(DType::F32, -2.0, "-2.0");
        check(DType::F32, 1e-8, "1e-8");
        check(DType::F64, f64::NEG_INFINITY, "-np.inf");
        check(DType::F64, f64::NAN, "np.nan");
        check(DType::Bool, 1.0, "True");
        check(DType::I64, -9.0, "-9");
    }

    #[test]
    fn base64_agrees_with_the_rfc() {
        for (text, expected) in
            [("", ""), ("f", "Zg=="), ("fo", "Zm8="), ("foo", "Zm9v"), ("foobar", "Zm9vYmFy")]
        {
            assert_eq!(base64(text.as_bytes()), expected);
        }
    }
}
