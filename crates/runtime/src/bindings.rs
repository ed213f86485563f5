//! Where the runtime's own runs find their tensors.

use crate::{Bindings, Signature, State};
use wootz_ir::{HostTensor, Role};

/// Inputs and outputs owned by one call.
pub(crate) struct Owned<'a> {
    pub(crate) given: &'a [Option<HostTensor>],
    pub(crate) outputs: &'a mut [Option<HostTensor>],
}

impl Bindings for Owned<'_> {
    fn input(&self, index: usize) -> &[u8] {
        self.given[index].as_ref().map_or(&[], HostTensor::as_bytes)
    }

    fn output(&mut self, index: usize) -> &mut [u8] {
        self.outputs[index].as_mut().map_or(&mut [], HostTensor::bytes_mut)
    }
}

/// Parameters from a handle, the rest from the caller.
pub(crate) struct WithParams<'a> {
    pub(crate) params: &'a [Option<HostTensor>],
    pub(crate) rest: &'a mut dyn Bindings,
}

impl Bindings for WithParams<'_> {
    fn input(&self, index: usize) -> &[u8] {
        match &self.params[index] {
            Some(tensor) => tensor.as_bytes(),
            None => self.rest.input(index),
        }
    }

    fn output(&mut self, index: usize) -> &mut [u8] {
        self.rest.output(index)
    }

    fn cancelled(&self) -> bool {
        self.rest.cancelled()
    }
}

/// State from its handle, updated in place; the rest from the caller.
pub(crate) struct Stateful<'a> {
    pub(crate) signature: &'a Signature,
    pub(crate) state: &'a mut State,
    pub(crate) rest: &'a mut dyn Bindings,
}

impl Stateful<'_> {
    /// The position in the state of an input that is not given at every run.
    fn held(&self, input: usize) -> Option<usize> {
        let own = self.signature.inputs[input].role != Role::Input;
        own.then(|| self.signature.inputs[..input].iter().filter(|i| i.role != Role::Input).count())
    }
}

impl Bindings for Stateful<'_> {
    fn input(&self, index: usize) -> &[u8] {
        match self.held(index) {
            Some(at) => self.state.tensors[at].2.as_bytes(),
            None => self.rest.input(index),
        }
    }

    fn output(&mut self, index: usize) -> &mut [u8] {
        match self.signature.outputs[index].updates.and_then(|i| self.held(i)) {
            Some(at) => self.state.tensors[at].2.bytes_mut(),
            None => self.rest.output(index),
        }
    }

    fn cancelled(&self) -> bool {
        self.rest.cancelled()
    }
}
