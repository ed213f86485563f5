//! What can go wrong, in three kinds: the input is wrong, the backend cannot, a bug in wootz.

use crate::BackendError;
use wootz_ir::TensorType;
use wootz_nn::ModelError;
use wootz_passes::PassError;
use wootz_transform::SpecializeError;

/// A model cannot be compiled.
#[derive(Debug, thiserror::Error)]
pub enum CompileError {
    /// The shapes given do not fit the model.
    #[error(transparent)]
    Shapes(#[from] SpecializeError),
    /// The graph is malformed, or a pass broke it.
    #[error(transparent)]
    Pass(#[from] PassError),
    /// The backend cannot.
    #[error(transparent)]
    Backend(#[from] BackendError),
    /// An input cannot have the shape given.
    #[error("input `{input}` cannot be {got}: the model takes {expected}")]
    Shape {
        /// The input.
        input: String,
        /// What the model takes.
        expected: Box<TensorType>,
        /// What was asked for.
        got: Box<TensorType>,
    },
    /// A size was left open.
    #[error("input `{input}` is {ty}: give every input a shape without unknown sizes")]
    Open {
        /// The input.
        input: String,
        /// Its type.
        ty: Box<TensorType>,
    },
    /// There is no input of that name.
    #[error("the model has no input `{name}` (its inputs are {known})")]
    UnknownInput {
        /// The name.
        name: String,
        /// The names there are.
        known: String,
    },
}

/// A program cannot be run on what it was given.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// An input was not given.
    #[error("input `{name}` ({expected}) is missing")]
    Missing {
        /// Its name.
        name: String,
        /// Its type.
        expected: Box<TensorType>,
    },
    /// An input was given that the program does not have.
    #[error("the program has no {what} `{name}` (there are {known})")]
    Unknown {
        /// `input`, `output`, `parameter`.
        what: &'static str,
        /// The name.
        name: String,
        /// The names there are.
        known: String,
    },
    /// An input has another type than the program was compiled for.
    #[error("{what} `{name}` is {got}, the program takes {expected}{hint}")]
    Type {
        /// `input`, `parameter`, `state`.
        what: &'static str,
        /// Its name.
        name: String,
        /// What the program takes.
        expected: Box<TensorType>,
        /// What was given.
        got: Box<TensorType>,
        /// What to do about it; empty, or begins with a colon.
        hint: String,
    },
    /// Something that holds no tensor any more was used.
    #[error("parameter `{name}` was given up when the program was prepared with `consume`")]
    Consumed {
        /// Its name.
        name: String,
    },
    /// The program updates state, so it is run with `step`, or the other way round.
    #[error("{0}")]
    Kind(&'static str),
    /// The initial values cannot be made.
    #[error(transparent)]
    Init(#[from] ModelError),
    /// The backend failed.
    #[error(transparent)]
    Backend(#[from] BackendError),
    /// `nan_check` found a NaN.
    #[error(transparent)]
    NotANumber(#[from] crate::nan::NanFound),
}

impl RunError {
    /// The error for a tensor of the wrong type, with what to do about it.
    pub fn wrong_type(what: &'static str, name: &str, expected: &TensorType, got: &TensorType) -> RunError {
        let hint = if got.shape == expected.shape {
            format!(": convert it to {}", expected.dtype)
        } else if got.dtype == expected.dtype {
            ": compile the program for this shape".to_owned()
        } else {
            String::new()
        };
        RunError::Type {
            what,
            name: name.to_owned(),
            expected: Box::new(expected.clone()),
            got: Box::new(got.clone()),
            hint,
        }
    }
}

/// Names, for messages.
pub(crate) fn list<'a>(names: impl Iterator<Item = &'a str>) -> String {
    let names: Vec<String> = names.map(|n| format!("`{n}`")).collect();
    if names.is_empty() { "none".to_owned() } else { names.join(", ") }
}
