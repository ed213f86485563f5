//! Constants as text, exact to the bit.

use crate::{DType, HostTensor};
use half::{bf16, f16};
use std::fmt::{self, Write};

/// Tensors with more elements are printed as bytes.
const MAX_LISTED: usize = 64;

/// Prints `f32[2]{1.0, 2.5}`, or `f32[100]{0x…}` for many elements.
pub(super) fn print(out: &mut String, tensor: &HostTensor) -> fmt::Result {
    write!(out, "{}{{", tensor.ty())?;
    if tensor.len() > MAX_LISTED {
        out.push_str("0x");
        for element in tensor.as_bytes().chunks(tensor.dtype().size()) {
            little_endian(element).try_for_each(|byte| write!(out, "{byte:02x}"))?;
        }
    } else {
        for (i, element) in tensor.as_bytes().chunks(tensor.dtype().size()).enumerate() {
            if i > 0 {
                out.push_str(", ");
            }
            print_element(out, tensor.dtype(), element)?;
        }
    }
    out.push('}');
    Ok(())
}

/// The element's bytes, least significant first, whatever the machine's order is.
fn little_endian(element: &[u8]) -> impl Iterator<Item = u8> + '_ {
    let n = element.len();
    (0..n).map(move |i| element[if cfg!(target_endian = "big") { n - 1 - i } else { i }])
}

fn bits(element: &[u8]) -> u64 {
    little_endian(element).enumerate().map(|(i, byte)| u64::from(byte) << (8 * i)).sum()
}

fn print_element(out: &mut String, dtype: DType, element: &[u8]) -> fmt::Result {
    let bits = bits(element);
    match dtype {
        DType::Bool => write!(out, "{}", bits != 0),
        DType::U8 | DType::U32 => write!(out, "{bits}"),
        DType::I32 => write!(out, "{}", bits as u32 as i32),
        DType::I64 => write!(out, "{}", bits as i64),
        DType::F16 | DType::BF16 | DType::F32 | DType::F64 => {
            let Some(quiet) = quiet_nan(dtype) else { return Err(fmt::Error) };
            let value = match dtype {
                DType::F16 => f16::from_bits(bits as u16).to_f64(),
                DType::BF16 => bf16::from_bits(bits as u16).to_f64(),
                DType::F32 => f64::from(f32::from_bits(bits as u32)),
                _ => f64::from_bits(bits),
            };
            match value {
                v if v.is_nan() && bits == quiet => out.write_str("nan"),
                v if v.is_nan() => write!(out, "nan({bits:#x})"),
                v if dtype == DType::F64 || v.is_infinite() => write!(out, "{v:?}"),
                v => write!(out, "{:?}", v as f32),
            }
        }
    }
}

/// The bits that `nan` stands for.
fn quiet_nan(dtype: DType) -> Option<u64> {
    match dtype {
        DType::F16 => Some(0x7e00),
        DType::BF16 => Some(0x7fc0),
        DType::F32 => Some(0x7fc0_0000),
        DType::F64 => Some(0x7ff8_0000_0000_0000),
        _ => None,
    }
}

/// One listed element, as the parser found it.
pub(super) enum Element<'t> {
    /// A decimal number or `inf`, `nan`, `true`, `false`, and whether a minus stands before it.
    Plain(bool, &'t str),
    /// The digits of `nan(0x…)`.
    Nan(&'t str),
}

/// The element's bits, or `None` if it is not one of `dtype`.
pub(super) fn element_bits(dtype: DType, element: &Element<'_>) -> Option<u64> {
    let (negative, text) = match element {
        Element::Nan(digits) => {
            let bits = u64::from_str_radix(digits, 16).ok()?;
            let exponent = quiet_nan(dtype)?;
            let fits = dtype.size() == 8 || bits >> (8 * dtype.size()) == 0;
            // Exponent all ones and a significand that is not zero.
            let mantissa = match dtype {
                DType::F16 => 10,
                DType::BF16 => 7,
                DType::F32 => 23,
                _ => 52,
            };
            let ones = exponent >> mantissa << mantissa;
            let is_nan = bits & ones == ones && bits & ((1 << mantissa) - 1) != 0;
            return (fits && is_nan).then_some(bits);
        }
        Element::Plain(negative, text) => (*negative, *text),
    };
    let signed = if negative { format!("-{text}") } else { text.to_owned() };
    match dtype {
        DType::Bool => signed.parse::<bool>().ok().map(u64::from),
        DType::U8 => signed.parse::<u8>().ok().map(u64::from),
        DType::U32 => signed.parse::<u32>().ok().map(u64::from),
        DType::I32 => signed.parse::<i32>().ok().map(|v| u64::from(v as u32)),
        DType::I64 => signed.parse::<i64>().ok().map(|v| v as u64),
        _ if text == "nan" => (!negative).then(|| quiet_nan(dtype)).flatten(),
        DType::F16 => signed.parse::<f32>().ok().map(|v| u64::from(f16::from_f32(v).to_bits())),
        DType::BF16 => signed.parse::<f32>().ok().map(|v| u64::from(bf16::from_f32(v).to_bits())),
        DType::F32 => signed.parse::<f32>().ok().map(|v| u64::from(v.to_bits())),
        DType::F64 => signed.parse::<f64>().ok().map(f64::to_bits),
    }
}

/// Appends an element given by its bits to `bytes`, in the machine's order.
pub(super) fn push_bits(bytes: &mut Vec<u8>, dtype: DType, bits: u64) {
    let all = bits.to_le_bytes();
    bytes.extend(little_endian(&all[..dtype.size()]));
}

/// The bytes of hexadecimal digits, or `None` if their number is odd or is not a multiple of the element size.
pub(super) fn hex_bytes(dtype: DType, digits: &str) -> Option<Vec<u8>> {
    let nibbles: Vec<u8> = digits.chars().map(|c| c.to_digit(16).map(|d| d as u8)).collect::<Option<_>>()?;
    if !nibbles.len().is_multiple_of(2 * dtype.size()) {
        return None;
    }
    let bytes: Vec<u8> = nibbles.chunks(2).map(|pair| pair[0] << 4 | pair[1]).collect();
    Some(bytes.chunks(dtype.size()).flat_map(little_endian).collect())
}
