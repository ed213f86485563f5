//! Random kernels for tests: [`generate`] makes one that does nothing the language forbids, with buffers to run it on;
//! [`minimise`] makes one that fails as small as it can. Used by the tests of `plan` and of backends; part of no program.

mod generate;
mod minimise;
mod random;

pub use generate::{Options, generate, generate_epilogue};
pub use minimise::minimise;
pub use random::Random;

use std::fmt;
use wootz_ir::HostTensor;
use wootz_ir::eval::scalar::Scalar;
use wootz_plan::Kernel;
use wootz_plan::interpret::{Buffer, InterpretError, interpret};
use wootz_plan::kernel::InstOp;

/// A kernel and what it is run on.
#[derive(Clone, Debug, PartialEq)]
pub struct Case {
    /// The kernel.
    pub kernel: Kernel,
    /// One buffer an argument.
    pub buffers: Vec<Buffer>,
}

impl Case {
    /// The kernel of a [generated epilogue](generate_epilogue) as it is run on blocks of the product: `tile` in place of the load.
    #[must_use]
    pub fn epilogue(&self) -> Kernel {
        let mut kernel = self.kernel.clone();
        if let Some(first) = kernel.stages.first_mut().and_then(|stage| stage.body.first_mut()) {
            first.op = InstOp::Tile;
        }
        kernel
    }

    /// The buffers after the kernel has run in the reference interpreter.
    pub fn expected(&self) -> Result<Vec<Buffer>, InterpretError> {
        let mut buffers = self.buffers.clone();
        interpret(&self.kernel, &mut buffers).map(|()| buffers)
    }
}

/// The kernel as text and what its buffers hold.
impl fmt::Display for Case {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", self.kernel)?;
        for (i, buffer) in self.buffers.iter().enumerate() {
            let shown = (0..buffer.len().min(24)).map(|i| match buffer.get(i) {
                Some(Scalar::Float(x)) => format!("{x:?}"),
                Some(x) => x.int().to_string(),
                None => "-".to_owned(),
            });
            let more = if buffer.len() > 24 { " …" } else { "" };
            writeln!(
                f,
                "a{i}: {} × {} {}{more}",
                buffer.dtype(),
                buffer.len(),
                shown.collect::<Vec<_>>().join(" ")
            )?;
        }
        Ok(())
    }
}

/// The first element in which memory differs from what is expected, to the bit; NaNs are equal.
pub fn difference(expected: &Buffer, got: &[u8]) -> Option<String> {
    let (dtype, size) = (expected.dtype(), expected.dtype().size());
    let elements = expected.as_bytes().chunks(size).zip(got.chunks(size));
    elements.enumerate().find(|(_, (x, y))| x != y && !(is_nan(dtype, x) && is_nan(dtype, y))).map(
        |(i, (x, y))| {
            let show = |bytes: &[u8]| match HostTensor::from_bytes(dtype, &[], bytes) {
                Ok(tensor) => format!("{:?}", tensor.to_f64()[0]),
                Err(error) => error.to_string(),
            };
            format!("element {i} is {} and should be {} ({y:02x?}, {x:02x?})", show(y), show(x))
        },
    )
}

fn is_nan(dtype: wootz_ir::DType, bytes: &[u8]) -> bool {
    dtype.is_float() && Scalar::from_bytes(dtype, bytes).float().is_nan()
}
