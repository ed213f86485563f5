//! The state of a training run: what a step takes and gives back.

use crate::error::{RunError, list};
use crate::{Params, Prepared, Signature};
use std::sync::Arc;
use wootz_ir::{HostTensor, Role};

/// Parameters, moments, counters and keys of one training run. A step consumes it and returns the next one, in the same memory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct State {
    /// Every tensor of the state, by name, in the program's order.
    pub(crate) tensors: Vec<(Arc<str>, Role, HostTensor)>,
    pub(crate) prepared: StepPrepared,
}

/// What a program computed from the parameters that its steps do not update: made at the first step, good for all that follow.
#[derive(Clone, Default)]
pub(crate) struct StepPrepared(pub(crate) Option<(u64, Prepared)>);

impl PartialEq for StepPrepared {
    /// It is determined by the tensors.
    fn eq(&self, _: &Self) -> bool {
        true
    }
}
impl Eq for StepPrepared {}
impl std::fmt::Debug for StepPrepared {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(if self.0.is_some() { "prepared" } else { "not prepared" })
    }
}

impl State {
    /// The state of a program from named tensors: every parameter and state input of the program, of its type.
    pub fn from_tensors(
        signature: &Signature,
        tensors: impl IntoIterator<Item = (Arc<str>, HostTensor)>,
    ) -> Result<State, RunError> {
        let mut given: Vec<(Arc<str>, HostTensor)> = tensors.into_iter().collect();
        let mut out = Vec::new();
        for input in signature.inputs.iter().filter(|i| i.role != Role::Input) {
            let Some(at) = given.iter().position(|(name, _)| *name == input.name) else {
                return Err(RunError::Missing {
                    name: input.name.to_string(),
                    expected: Box::new(input.ty.clone()),
                });
            };
            let (name, tensor) = given.swap_remove(at);
            if tensor.ty() != input.ty {
                return Err(RunError::wrong_type("state", &name, &input.ty, &tensor.ty()));
            }
            out.push((name, input.role, tensor));
        }
        Ok(State { tensors: out, prepared: StepPrepared::default() })
    }

    /// Every tensor with its name.
    pub fn tensors(&self) -> impl Iterator<Item = (&Arc<str>, &HostTensor)> {
        self.tensors.iter().map(|(name, _, tensor)| (name, tensor))
    }

    /// One tensor (shares its memory; the next step then works on a copy).
    pub fn get(&self, name: &str) -> Result<&HostTensor, RunError> {
        self.tensors().find(|(n, _)| &***n == name).map(|(_, t)| t).ok_or_else(|| RunError::Unknown {
            what: "state",
            name: name.to_owned(),
            known: list(self.tensors().map(|(n, _)| &**n)),
        })
    }

    /// The trained parameters alone, for inference.
    pub fn params(&self) -> Params {
        let params = self.tensors.iter().filter(|(_, role, _)| *role == Role::Param);
        Params::new(params.map(|(name, _, tensor)| (name.clone(), tensor.clone())))
    }
}
