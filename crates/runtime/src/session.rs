//! Sessions: names resolved once, memory bound once, runs that allocate nothing.

use crate::error::RunError;
use crate::profile::profile;
use crate::program::{Outputs, check};
use crate::{Bindings, Instance, Params, Prepared, Profile, Program, Unmoved};
use std::marker::PhantomData;
use wootz_ir::{HostTensor, Role};

/// One run at a time of a program over some parameters. Different sessions run at once.
pub struct Session {
    program: Program,
    params: Params,
    /// What the parameters' generation was when they were bound.
    generation: u64,
    prepared: Prepared,
    instance: Box<dyn Instance>,
    inputs: Vec<Option<HostTensor>>,
    outputs: Vec<HostTensor>,
    /// Whether something was bound since the last run, which the instance does not know.
    rebound: bool,
}

impl Session {
    pub(crate) fn new(program: Program, params: Params) -> Result<Session, RunError> {
        let signature = program.signature();
        if signature.updates() {
            return Err(RunError::Kind("the program updates its state: run it with `step`"));
        }
        let bound = program.resolve(&params)?;
        let (inputs, prepared, generation) =
            (bound.tensors.clone(), bound.prepared.clone(), bound.generation);
        let mut outputs = Vec::with_capacity(signature.outputs.len());
        for output in &signature.outputs {
            let dims = output.ty.shape.concrete().unwrap_or_default();
            let tensor = HostTensor::zeros(output.ty.dtype, &dims);
            outputs.push(
                tensor.map_err(|_| crate::BackendError::OutOfMemory {
                    backend: "runtime",
                    bytes: usize::MAX,
                })?,
            );
        }
        let instance = program.take_instance()?;
        Ok(Session { program, params, generation, prepared, instance, inputs, outputs, rebound: true })
    }

    /// The program.
    pub fn program(&self) -> &Program {
        &self.program
    }

    /// Binds an input by name.
    pub fn set(&mut self, name: &str, tensor: HostTensor) -> Result<(), RunError> {
        let i = self.program.signature().input(name)?;
        self.set_at(i, tensor)
    }

    /// Binds an input by its position in the signature.
    pub fn set_at(&mut self, index: usize, tensor: HostTensor) -> Result<(), RunError> {
        let signature = self.program.signature();
        let Some(input) = signature.inputs.get(index).filter(|i| i.role == Role::Input) else {
            return Err(RunError::Kind(
                "only inputs are bound by hand: parameters come from the session's `Params`",
            ));
        };
        check(input, "input", &tensor)?;
        self.rebound = true;
        self.inputs[index] = Some(tensor);
        Ok(())
    }

    /// The memory of a bound input, for writing the next values in place (bound to zeros if it was not bound yet).
    pub fn input_mut(&mut self, index: usize) -> Result<&mut HostTensor, RunError> {
        let signature = self.program.signature();
        let Some(input) = signature.inputs.get(index).filter(|i| i.role == Role::Input) else {
            return Err(RunError::Kind(
                "only inputs are written by hand: parameters come from the session's `Params`",
            ));
        };
        self.rebound = true;
        if self.inputs[index].is_none() {
            let zeros = HostTensor::zeros(input.ty.dtype, &input.ty.shape.concrete().unwrap_or_default());
            let out_of_memory =
                |_| crate::BackendError::OutOfMemory { backend: "runtime", bytes: usize::MAX };
            self.inputs[index] = Some(zeros.map_err(out_of_memory)?);
        }
        self.inputs[index].as_mut().ok_or(RunError::Kind("the input was bound just now"))
    }

    /// Runs `runs` times on the bound inputs, and once before, and tells where the time went.
    pub fn profile(&mut self, runs: usize) -> Result<Profile, RunError> {
        let program = self.program.clone();
        profile(program.executable(), runs, |trace| {
            self.ready()?;
            let mut slots =
                Slots { inputs: &self.inputs, outputs: &mut self.outputs, cancelled: None, unmoved: false };
            Ok(self.instance.run_traced(&self.prepared, &mut slots, trace)?)
        })
    }

    /// Runs on the bound inputs. Parameters written since the last run are taken in first.
    pub fn run(&mut self) -> Result<(), RunError> {
        self.run_watched(None)
    }

    /// As [`Session::run`], but a long run asks `cancelled` now and then whether to stop, with
    /// [`BackendError::Cancelled`](crate::BackendError::Cancelled).
    pub fn run_until(&mut self, cancelled: &dyn Fn() -> bool) -> Result<(), RunError> {
        self.run_watched(Some(cancelled))
    }

    fn run_watched(&mut self, cancelled: Option<&dyn Fn() -> bool>) -> Result<(), RunError> {
        if self.rebound || self.params.generation() != self.generation {
            self.ready()?;
        }
        // An output that its reader keeps is not written to: the run is given other memory.
        let unmoved = !self.rebound && !self.outputs.iter().any(HostTensor::is_shared);
        self.rebound = true;
        let mut slots = Slots { inputs: &self.inputs, outputs: &mut self.outputs, cancelled, unmoved };
        self.instance.run(&self.prepared, &mut slots)?;
        self.rebound = false;
        if self.program.nan_check() { self.check_nans() } else { Ok(()) }
    }

    #[cold]
    fn check_nans(&self) -> Result<(), RunError> {
        let given = self.inputs.iter().zip(&self.program.signature().inputs);
        let args = given.map(|(tensor, input)| {
            tensor.clone().ok_or_else(|| RunError::Consumed { name: input.name.to_string() })
        });
        self.program.check_nans(&self.outputs, || args.collect())
    }

    /// Takes in written parameters and sees that every input is bound, to a tensor of its type.
    fn ready(&mut self) -> Result<(), RunError> {
        if self.params.generation() != self.generation {
            self.refresh()?;
        }
        for (i, (tensor, input)) in self.inputs.iter().zip(&self.program.signature().inputs).enumerate() {
            match tensor {
                // Who was lent it may have put another tensor in its place.
                Some(tensor) if input.role == Role::Input => check(input, "input", tensor)?,
                Some(_) => {}
                None => {
                    let given_up = input.role != Role::Input && !self.program.executable().reads(i);
                    if !given_up {
                        return Err(RunError::Missing {
                            name: input.name.to_string(),
                            expected: Box::new(input.ty.clone()),
                        });
                    }
                }
            }
        }
        Ok(())
    }

    /// An output of the last run, by name.
    pub fn output(&self, name: &str) -> Result<&HostTensor, RunError> {
        Ok(&self.outputs[self.program.signature().output(name)?])
    }

    /// The outputs of the last run, in the signature's order.
    pub fn outputs(&self) -> &[HostTensor] {
        &self.outputs
    }

    pub(crate) fn into_outputs(self) -> (Outputs, Box<dyn Instance>) {
        let names = self.program.signature().outputs.iter().map(|o| o.name.clone());
        (Outputs(names.zip(self.outputs).collect()), self.instance)
    }

    #[cold]
    fn refresh(&mut self) -> Result<(), RunError> {
        let bound = self.program.resolve(&self.params)?;
        self.prepared = bound.prepared.clone();
        for ((slot, new), input) in
            self.inputs.iter_mut().zip(&bound.tensors).zip(&self.program.signature().inputs)
        {
            if input.role != Role::Input {
                slot.clone_from(new);
            }
        }
        self.generation = bound.generation;
        self.rebound = true;
        Ok(())
    }
}

struct Slots<'a> {
    inputs: &'a [Option<HostTensor>],
    outputs: &'a mut [HostTensor],
    cancelled: Option<&'a dyn Fn() -> bool>,
    unmoved: bool,
}

impl Bindings for Slots<'_> {
    fn input(&self, index: usize) -> &[u8] {
        self.inputs[index].as_ref().map_or(&[], HostTensor::as_bytes)
    }

    fn output(&mut self, index: usize) -> &mut [u8] {
        self.outputs[index].bytes_mut()
    }

    fn unmoved(&self) -> Option<Unmoved<'_>> {
        self.unmoved.then_some(Unmoved(PhantomData))
    }

    fn cancelled(&self) -> bool {
        self.cancelled.is_some_and(|cancelled| cancelled())
    }
}
