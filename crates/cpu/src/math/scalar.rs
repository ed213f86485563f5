//! The functions of each type. Those not in [`super::elementary`] and [`super::erf`] are computed one element at a time in `f64`.

use super::{Float, Mode};
use wootz_ir::eval::special;

macro_rules! through_f64 {
    ($float:ident) => {
        impl Float for $float {
            #[inline(always)]
            fn exp<M: Mode>(self) -> Self {
                super::elementary::$float::exp::<M>(self)
            }
            #[inline(always)]
            fn expm1<M: Mode>(self) -> Self {
                super::elementary::$float::expm1::<M>(self)
            }
            #[inline(always)]
            fn log<M: Mode>(self) -> Self {
                super::elementary::$float::log::<M>(self)
            }
            #[inline(always)]
            fn log1p<M: Mode>(self) -> Self {
                super::elementary::$float::log1p::<M>(self)
            }
            #[inline(always)]
            fn square_root(self) -> Self {
                self.sqrt()
            }
            #[inline(always)]
            fn rsqrt(self) -> Self {
                1.0 / self.sqrt()
            }
            #[inline(always)]
            fn sin<M: Mode>(self) -> Self {
                libm::sin(self.into()) as $float
            }
            #[inline(always)]
            fn cos<M: Mode>(self) -> Self {
                libm::cos(self.into()) as $float
            }
            #[inline(always)]
            fn tan<M: Mode>(self) -> Self {
                libm::tan(self.into()) as $float
            }
            #[inline(always)]
            fn tanh<M: Mode>(self) -> Self {
                super::elementary::$float::tanh::<M>(self)
            }
            #[inline(always)]
            fn erf<M: Mode>(self) -> Self {
                super::erf::$float::erf::<M>(self)
            }
            #[inline(always)]
            fn erfc<M: Mode>(self) -> Self {
                libm::erfc(self.into()) as $float
            }
            #[inline(always)]
            fn erfinv(self) -> Self {
                special::erfinv(self.into()) as $float
            }
            #[inline(always)]
            fn lgamma(self) -> Self {
                libm::lgamma(self.into()) as $float
            }
            #[inline(always)]
            fn digamma(self) -> Self {
                special::digamma(self.into()) as $float
            }
            #[inline(always)]
            fn polygamma(self, order: u32) -> Self {
                special::polygamma(order, self.into()) as $float
            }
            #[inline(always)]
            fn round_down(self) -> Self {
                self.floor()
            }
            #[inline(always)]
            fn round_up(self) -> Self {
                self.ceil()
            }
            #[inline(always)]
            fn round_even(self) -> Self {
                self.round_ties_even()
            }
            #[inline(always)]
            fn power<M: Mode>(self, exponent: Self) -> Self {
                libm::pow(self.into(), exponent.into()) as $float
            }
            #[inline(always)]
            fn angle(self, x: Self) -> Self {
                libm::atan2(self.into(), x.into()) as $float
            }
            #[inline(always)]
            fn fused(self, b: Self, c: Self) -> Self {
                self.mul_add(b, c)
            }
        }
    };
}

through_f64!(f32);
through_f64!(f64);
