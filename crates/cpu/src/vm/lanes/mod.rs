//! Instructions as functions over lanes, one for every op, dtype, operand form and instruction set.

mod apply;
mod maps;
mod number;

use crate::isa::Isa;
use apply::{one, three, two};
use maps::*;
use wootz_ir::DType;
use wootz_ir::ops::{Binary, Compare, Unary};

pub(super) use maps::{Add, And, Map2, Max, Min, Mul, Or, to_bf16};
pub(super) use number::Number;

/// Computes `n` lanes of `out` from operands. `n` is 1 or a multiple of [`BLOCK`]. An operand is `n` elements, or one element
/// where the function was chosen for a splat operand; operands the op does not have are ignored.
///
/// # Safety
/// The pointers are aligned and valid for that many elements of the types the function was chosen for; `out` overlaps no
/// operand; the processor has the instruction set.
pub(super) type LaneFn = unsafe fn(out: *mut u8, x: *const u8, y: *const u8, z: *const u8, n: usize);

/// Lanes are computed in whole blocks; those beyond a tile's end hold anything.
pub(super) const BLOCK: usize = 16;

/// Why some ops have no function.
pub(super) const EXPANDED: &str = "compiling has rewritten it in native instructions";

/// Which operands of a function are splats.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Splats(pub(super) [bool; 3]);

/// Calls a generic function with the Rust type of a register dtype (`bool` as `u8`).
macro_rules! with_number {
    ($dtype:expr, $t:ident => $body:expr) => {
        match $dtype {
            DType::Bool | DType::U8 => {
                type $t = u8;
                $body
            }
            DType::U32 => {
                type $t = u32;
                $body
            }
            DType::I32 => {
                type $t = i32;
                $body
            }
            DType::I64 => {
                type $t = i64;
                $body
            }
            DType::F16 | DType::BF16 | DType::F32 => {
                type $t = f32;
                $body
            }
            DType::F64 => {
                type $t = f64;
                $body
            }
        }
    };
}
pub(super) use with_number;

macro_rules! with_int {
    ($dtype:expr, $t:ident => $body:expr) => {
        match $dtype {
            DType::U32 => {
                type $t = u32;
                $body
            }
            DType::I32 => {
                type $t = i32;
                $body
            }
            DType::I64 => {
                type $t = i64;
                $body
            }
            _ => {
                type $t = u8;
                $body
            }
        }
    };
}

macro_rules! with_float {
    ($dtype:expr, $t:ident => $body:expr) => {
        match $dtype {
            DType::F64 => {
                type $t = f64;
                $body
            }
            _ => {
                type $t = f32;
                $body
            }
        }
    };
}

/// The function for an elementwise op on registers of `dtype`. [`Unary::Polygamma`] is an op of two operands here: the order,
/// as a splat of `dtype`, comes second.
pub(super) fn unary(op: Unary, dtype: DType, isa: Isa) -> LaneFn {
    match op {
        Unary::Neg => with_number!(dtype, T => one::<Neg<T>>(isa)),
        Unary::Abs => with_number!(dtype, T => one::<Abs<T>>(isa)),
        Unary::Not if dtype == DType::Bool => one::<NotBool>(isa),
        Unary::Not => with_int!(dtype, T => one::<Not<T>>(isa)),
        Unary::Sqrt => with_float!(dtype, T => one::<Sqrt<T>>(isa)),
        Unary::Polygamma(_) => {
            with_float!(dtype, T => two::<Polygamma<T>>(isa, Splats([false, true, false])))
        }
        Unary::Floor => with_float!(dtype, T => one::<Floor<T>>(isa)),
        Unary::Ceil => with_float!(dtype, T => one::<Ceil<T>>(isa)),
        Unary::Round => with_float!(dtype, T => one::<Round<T>>(isa)),
        Unary::Sign | Unary::IsNan | Unary::IsFinite | Unary::StopGradient => unreachable!("{EXPANDED}"),
        Unary::Exp | Unary::Expm1 | Unary::Log | Unary::Log1p | Unary::Tanh => unreachable!("{EXPANDED}"),
        Unary::Rsqrt | Unary::Sin | Unary::Cos | Unary::Tan => unreachable!("{EXPANDED}"),
        Unary::Erf | Unary::Erfc | Unary::Erfinv => unreachable!("{EXPANDED}"),
        Unary::Lgamma | Unary::Digamma => unreachable!("{EXPANDED}"),
    }
}

/// The function for a binary op on registers of `dtype`.
pub(super) fn binary(op: Binary, dtype: DType, splats: Splats, isa: Isa) -> LaneFn {
    match op {
        Binary::Min if dtype == DType::Bool => two::<And<u8>>(isa, splats),
        Binary::Max if dtype == DType::Bool => two::<Or<u8>>(isa, splats),
        Binary::Add => with_number!(dtype, T => two::<Add<T>>(isa, splats)),
        Binary::Sub => with_number!(dtype, T => two::<Sub<T>>(isa, splats)),
        Binary::Mul => with_number!(dtype, T => two::<Mul<T>>(isa, splats)),
        Binary::Div => with_number!(dtype, T => two::<Div<T>>(isa, splats)),
        Binary::Rem => with_number!(dtype, T => two::<Rem<T>>(isa, splats)),
        Binary::FloorDiv if dtype.is_float() => unreachable!("{EXPANDED}"),
        Binary::FloorDiv => with_int!(dtype, T => two::<FloorDiv<T>>(isa, splats)),
        Binary::Pow if dtype.is_float() => unreachable!("{EXPANDED}"),
        Binary::Pow => with_int!(dtype, T => two::<Pow<T>>(isa, splats)),
        Binary::Min => with_number!(dtype, T => two::<Min<T>>(isa, splats)),
        Binary::Max => with_number!(dtype, T => two::<Max<T>>(isa, splats)),
        Binary::And => with_int!(dtype, T => two::<And<T>>(isa, splats)),
        Binary::Or => with_int!(dtype, T => two::<Or<T>>(isa, splats)),
        Binary::Xor => with_int!(dtype, T => two::<Xor<T>>(isa, splats)),
        Binary::Shl => with_int!(dtype, T => two::<Shl<T>>(isa, splats)),
        Binary::Shr => with_int!(dtype, T => two::<Shr<T>>(isa, splats)),
        Binary::Atan2 => unreachable!("{EXPANDED}"),
    }
}

/// The function for a comparison of registers of `dtype`.
pub(super) fn compare(op: Compare, dtype: DType, splats: Splats, isa: Isa) -> LaneFn {
    match op {
        Compare::Eq => with_number!(dtype, T => two::<Eq<T>>(isa, splats)),
        Compare::Ne => with_number!(dtype, T => two::<Ne<T>>(isa, splats)),
        Compare::Lt => with_number!(dtype, T => two::<Lt<T>>(isa, splats)),
        Compare::Le => with_number!(dtype, T => two::<Le<T>>(isa, splats)),
        Compare::Gt => with_number!(dtype, T => two::<Gt<T>>(isa, splats)),
        Compare::Ge => with_number!(dtype, T => two::<Ge<T>>(isa, splats)),
    }
}

/// The function that selects between registers of `dtype`.
pub(super) fn select(dtype: DType, splats: Splats, isa: Isa) -> LaneFn {
    match dtype.size() {
        1 => three::<Choose<u8>>(isa, splats),
        8 => three::<Choose<u64>>(isa, splats),
        _ => three::<Choose<u32>>(isa, splats),
    }
}

/// The function for a fused multiply-add of floats.
pub(super) fn fma(dtype: DType, splats: Splats, isa: Isa) -> LaneFn {
    with_float!(dtype, T => three::<MulAdd<T>>(isa, splats))
}

/// The function that keeps the bits of registers of a dtype.
pub(super) fn bitcast(dtype: DType, isa: Isa) -> LaneFn {
    if dtype.size() == 8 { one::<Same<u64>>(isa) } else { one::<Same<u32>>(isa) }
}

/// The function that rounds `f32` to a 16-bit float dtype.
pub(super) fn round(dtype: DType, isa: Isa) -> LaneFn {
    if dtype == DType::F16 { one::<ToF16>(isa) } else { one::<ToBf16>(isa) }
}

/// The function that converts registers of one dtype to another.
pub(super) fn cast(from: DType, to: DType, isa: Isa) -> LaneFn {
    if to == DType::Bool {
        return with_number!(from, A => one::<ToBool<A>>(isa));
    }
    with_number!(from, A => match to {
        DType::U32 => one::<Convert<A, u32>>(isa),
        DType::I32 => one::<Convert<A, i32>>(isa),
        DType::I64 => one::<Convert<A, i64>>(isa),
        DType::F64 => one::<Convert<A, f64>>(isa),
        DType::Bool | DType::U8 => one::<Convert<A, u8>>(isa),
        DType::F16 | DType::BF16 | DType::F32 => one::<Convert<A, f32>>(isa),
    })
}
