//! Elementwise functions of `f32` and `f64`.

mod elementary;
mod erf;
mod scalar;

/// What an instruction set offers the functions, as constants the compiler sees.
pub(crate) trait Mode: Copy + 'static {
    /// Whether a fused multiply-add is one instruction.
    const FUSED: bool;
}

/// No fused multiply-add.
#[derive(Clone, Copy)]
pub(crate) struct Plain;

impl Mode for Plain {
    const FUSED: bool = false;
}

/// Fused multiply-add.
#[derive(Clone, Copy)]
pub(crate) struct Fused;

impl Mode for Fused {
    const FUSED: bool = true;
}

/// The elementwise functions of a float type, as [`wootz_ir::ops::Unary`] and [`wootz_ir::ops::Binary`] define them.
pub(crate) trait Float: Copy + 'static {
    fn exp<M: Mode>(self) -> Self;
    fn expm1<M: Mode>(self) -> Self;
    fn log<M: Mode>(self) -> Self;
    fn log1p<M: Mode>(self) -> Self;
    fn square_root(self) -> Self;
    fn rsqrt(self) -> Self;
    fn sin<M: Mode>(self) -> Self;
    fn cos<M: Mode>(self) -> Self;
    fn tan<M: Mode>(self) -> Self;
    fn tanh<M: Mode>(self) -> Self;
    fn erf<M: Mode>(self) -> Self;
    fn erfc<M: Mode>(self) -> Self;
    fn erfinv(self) -> Self;
    fn lgamma(self) -> Self;
    fn digamma(self) -> Self;
    fn polygamma(self, order: u32) -> Self;
    fn round_down(self) -> Self;
    fn round_up(self) -> Self;
    fn round_even(self) -> Self;
    fn power<M: Mode>(self, exponent: Self) -> Self;
    fn angle(self, x: Self) -> Self;
    /// self · b + c with one rounding.
    fn fused(self, b: Self, c: Self) -> Self;
}
