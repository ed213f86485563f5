//! Rust errors become Python exceptions: the one place that says which.

use pyo3::prelude::*;
use pyo3::types::PyType;
use std::any::Any;
use std::cell::RefCell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use wootz_ir::text::ParseError;
use wootz_ir::{AttrError, DimMismatch, TensorError, TypeError, TypeErrorKind};
use wootz_nn::ModelError;
use wootz_runtime::{BackendError, CompileError, RunError};
use wootz_transform::{SpecializeError, TransformError};

/// The exceptions, by the names they have in `wootz._errors`.
#[derive(Copy, Clone)]
pub(crate) enum Kind {
    /// Shapes that do not fit.
    Shape,
    /// Element types that do not fit.
    DType,
    /// A name that is missing or unknown.
    UnknownName,
    /// Memory that was given up.
    Donated,
    /// A graph that cannot be traced or transformed.
    Trace,
    /// A backend that cannot.
    Backend,
    /// A NaN that `nan_check` found.
    Nan,
    /// A file that cannot be read or written.
    File,
    /// A model that is put together wrongly.
    Model,
    /// A statistical workspace that is malformed.
    Workspace,
    /// An expected rate below zero.
    NegativeRate,
    /// A fit that did not converge, or whose result does not exist.
    Fit,
    /// A bug in wootz.
    Internal,
}

impl Kind {
    const fn class(self) -> &'static str {
        match self {
            Kind::Shape => "ShapeError",
            Kind::DType => "DTypeError",
            Kind::UnknownName => "UnknownNameError",
            Kind::Donated => "DonatedError",
            Kind::Trace => "TraceError",
            Kind::Backend => "BackendError",
            Kind::Nan => "NanError",
            Kind::File => "FileError",
            Kind::Model => "ModelError",
            Kind::Workspace => "WorkspaceError",
            Kind::NegativeRate => "NegativeRateError",
            Kind::Fit => "FitError",
            Kind::Internal => "InternalError",
        }
    }

    /// An exception of this kind.
    pub(crate) fn error(self, message: impl Into<String>) -> PyErr {
        let message = message.into();
        Python::attach(|py| {
            let class = || {
                py.import("wootz._errors")?.getattr(self.class())?.cast_into::<PyType>().map_err(PyErr::from)
            };
            class().map_or_else(|error| error, |class| PyErr::from_type(class, message))
        })
    }
}

/// An error that has an exception.
pub(crate) trait Raise {
    /// The exception.
    fn raise(self) -> PyErr;
}

/// `?` for errors of the other crates.
pub(crate) trait OrRaise<T> {
    /// The value, or the exception.
    fn or_raise(self) -> PyResult<T>;
}

impl<T, E: Raise> OrRaise<T> for Result<T, E> {
    fn or_raise(self) -> PyResult<T> {
        self.map_err(Raise::raise)
    }
}

impl Raise for TypeError {
    fn raise(self) -> PyErr {
        let kind = match self.kind() {
            TypeErrorKind::DType { .. } => Kind::DType,
            TypeErrorKind::Arity { .. } | TypeErrorKind::Dims { .. } | TypeErrorKind::Attribute(_) => {
                Kind::Shape
            }
        };
        kind.error(with_causes(&self))
    }
}

impl Raise for DimMismatch {
    fn raise(self) -> PyErr {
        Kind::Shape.error(with_causes(&self))
    }
}

impl Raise for TensorError {
    fn raise(self) -> PyErr {
        Kind::Shape.error(with_causes(&self))
    }
}

impl Raise for AttrError {
    fn raise(self) -> PyErr {
        Kind::Internal.error(format!("an op was built with wrong attributes: {self}"))
    }
}

impl Raise for ParseError {
    fn raise(self) -> PyErr {
        Kind::Trace.error(format!("the text is not a graph: {self}"))
    }
}

impl Raise for TransformError {
    fn raise(self) -> PyErr {
        let kind = match &self {
            TransformError::NotFloat { .. } => Kind::DType,
            TransformError::NotScalar { .. } | TransformError::Axis { .. } => Kind::Shape,
            TransformError::Rule { .. }
            | TransformError::NoSuch { .. }
            | TransformError::Repeated { .. }
            | TransformError::Arity { .. }
            | TransformError::Batched { .. } => Kind::Trace,
        };
        kind.error(with_causes(&self))
    }
}

impl Raise for SpecializeError {
    fn raise(self) -> PyErr {
        Kind::Shape.error(with_causes(&self))
    }
}

thread_local! {
    /// The exception that a user's model raised while Rust code was calling it.
    static RAISED: RefCell<Option<PyErr>> = const { RefCell::new(None) };
}

/// Keeps a user's exception while a [`ModelError`] travels through Rust in its place.
pub(crate) fn stash(error: PyErr) -> ModelError {
    RAISED.set(Some(error));
    ModelError::UnknownState { name: "an exception is on its way".to_owned() }
}

impl Raise for ModelError {
    fn raise(self) -> PyErr {
        if let Some(raised) = RAISED.take() {
            return raised;
        }
        let kind = match self {
            ModelError::Type(error) => return error.raise(),
            ModelError::Gradient(error) => return error.raise(),
            ModelError::Tensor(error) => return error.raise(),
            ModelError::MissingInput { .. }
            | ModelError::UnknownInput { .. }
            | ModelError::DuplicateName { .. }
            | ModelError::UnknownState { .. } => Kind::UnknownName,
            ModelError::SharedType { .. }
            | ModelError::StateType { .. }
            | ModelError::Undecided { .. }
            | ModelError::TooLarge { .. }
            | ModelError::Loss { .. } => Kind::Shape,
            ModelError::Inputs { .. }
            | ModelError::Outputs { .. }
            | ModelError::Config { .. }
            | ModelError::Init { .. } => Kind::Model,
        };
        kind.error(with_causes(&self))
    }
}

impl Raise for BackendError {
    fn raise(self) -> PyErr {
        let kind = match &self {
            BackendError::Bug { .. } => Kind::Internal,
            BackendError::OutOfMemory { .. } => {
                return pyo3::exceptions::PyMemoryError::new_err(with_causes(&self));
            }
            BackendError::Cancelled => return pyo3::exceptions::PyKeyboardInterrupt::new_err(()),
            BackendError::Unavailable(_) | BackendError::Unsupported { .. } => Kind::Backend,
        };
        kind.error(with_causes(&self))
    }
}

impl Raise for CompileError {
    fn raise(self) -> PyErr {
        match self {
            CompileError::Shapes(error) => error.raise(),
            CompileError::Backend(error) => error.raise(),
            CompileError::Open { .. } | CompileError::Shape { .. } => Kind::Shape.error(with_causes(&self)),
            CompileError::UnknownInput { .. } => Kind::UnknownName.error(with_causes(&self)),
            CompileError::Pass(_) => Kind::Internal.error(with_causes(&self)),
        }
    }
}

impl Raise for RunError {
    fn raise(self) -> PyErr {
        let kind = match self {
            RunError::Init(error) => return error.raise(),
            RunError::Backend(error) => return error.raise(),
            RunError::Type { ref expected, ref got, .. } if expected.dtype != got.dtype => Kind::DType,
            RunError::Type { .. } => Kind::Shape,
            RunError::Missing { .. } | RunError::Unknown { .. } => Kind::UnknownName,
            RunError::Consumed { .. } => Kind::Donated,
            RunError::Kind(_) => Kind::Model,
            RunError::NotANumber(_) => Kind::Nan,
        };
        kind.error(with_causes(&self))
    }
}

impl Raise for wootz_io::Error {
    fn raise(self) -> PyErr {
        Kind::File.error(with_causes(&self))
    }
}

/// An error's message with those of its causes.
pub(crate) fn with_causes(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(error.source(), |cause| cause.source());
    causes.fold(error.to_string(), |text, cause| format!("{text}: {cause}"))
}

/// Runs `f`; a panic becomes an `InternalError`.
pub(crate) fn guarded<T>(f: impl FnOnce() -> PyResult<T>) -> PyResult<T> {
    catch_unwind(AssertUnwindSafe(f)).unwrap_or_else(|panic| Err(Kind::Internal.error(message(&*panic))))
}

fn message(panic: &(dyn Any + Send)) -> String {
    let text =
        panic.downcast_ref::<&str>().copied().or_else(|| panic.downcast_ref::<String>().map(String::as_str));
    format!("bug in wootz: {}", text.unwrap_or("a panic without a message"))
}
