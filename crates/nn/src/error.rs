//! What can be wrong with a model or with how it is used.

use wootz_ir::{Dim, Role, TensorError, TensorType, TypeError};
use wootz_transform::TransformError;

/// A model cannot be traced, trained or initialised. Paths are those of parameter names: `layers.0`.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum ModelError {
    /// An op was given operands it does not take; the message names the block's path and the shapes.
    #[error(transparent)]
    Type(#[from] TypeError),
    /// A block was called with the wrong number of values.
    #[error("{}takes {expected} inputs ({names}), got {got}", place(.path, .kind))]
    Inputs {
        /// Where.
        path: String,
        /// The block's kind.
        kind: String,
        /// Inputs it has.
        expected: usize,
        /// Their names.
        names: String,
        /// Values it was given.
        got: usize,
    },
    /// A block gave the wrong number of values.
    #[error("{}has {expected} outputs, but its `call` gave {got}", place(.path, .kind))]
    Outputs {
        /// Where.
        path: String,
        /// The block's kind.
        kind: String,
        /// Outputs it says it has.
        expected: usize,
        /// Values it gave.
        got: usize,
    },
    /// The model has an input that was not given a type.
    #[error("input `{name}` was given no type")]
    MissingInput {
        /// The input.
        name: String,
    },
    /// A type was given for an input the model does not have.
    #[error("the model has no input `{name}`; its inputs are {known}")]
    UnknownInput {
        /// The name given.
        name: String,
        /// The model's inputs.
        known: String,
    },
    /// Two inputs, parameters or states, or two outputs, have one name.
    #[error("the name `{name}` is used twice; give the blocks different names, or share one block")]
    DuplicateName {
        /// The name.
        name: String,
    },
    /// A shared block asked for a parameter of another type the second time.
    #[error("`{name}` is shared: it was {first} where it was first used and is {second} here")]
    SharedType {
        /// The parameter or state.
        name: String,
        /// The type at first use.
        first: Box<TensorType>,
        /// The type here.
        second: Box<TensorType>,
    },
    /// An input, parameter or state has more bytes than memory can have.
    #[error("{} `{name}` would be {ty}, which has more bytes than this machine can count", role.name())]
    TooLarge {
        /// What it is.
        role: Role,
        /// Its name.
        name: String,
        /// Its type.
        ty: Box<TensorType>,
    },
    /// A state was given a new value of another type.
    #[error("state `{name}` is {expected}, its new value is {got}")]
    StateType {
        /// The state.
        name: String,
        /// Its type.
        expected: Box<TensorType>,
        /// The new value's type.
        got: Box<TensorType>,
    },
    /// A state that was never registered was given a new value.
    #[error("there is no state `{name}`")]
    UnknownState {
        /// The name given.
        name: String,
    },
    /// Two symbolic sizes must be equal, and nothing says whether they are.
    #[error("cannot tell whether the sizes {left} and {right} are equal; give one of their dims as a number")]
    Undecided {
        /// One size.
        left: Dim,
        /// The other.
        right: Dim,
    },
    /// A layer was configured with a value it does not take.
    #[error("{}{message}", place(.path, .kind))]
    Config {
        /// Where.
        path: String,
        /// The block's kind.
        kind: String,
        /// What is wrong.
        message: String,
    },
    /// A training step's loss is not one number.
    #[error(
        "{name} gives {ty}, but a loss to train on must be a floating-point scalar; reduce it by its mean or sum"
    )]
    Loss {
        /// The loss's kind.
        name: String,
        /// What it gives.
        ty: Box<TensorType>,
    },
    /// The model cannot be differentiated.
    #[error(transparent)]
    Gradient(#[from] TransformError),
    /// An initial value cannot be made.
    #[error("`{name}` cannot be initialised: {reason}")]
    Init {
        /// The parameter or state.
        name: String,
        /// Why.
        reason: String,
    },
    /// An initial value does not fit into memory.
    #[error(transparent)]
    Tensor(#[from] TensorError),
}

fn place(path: &str, kind: &str) -> String {
    if path.is_empty() { format!("{kind} ") } else { format!("{kind} at `{path}` ") }
}
