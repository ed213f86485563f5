//! The memory of one run at a time: what a caller binds, where the executor finds it.

// Reason: bound memory is handed to the executor as pointers.
#![allow(unsafe_code)]

use crate::backend::{NAME, bug};
use crate::exec::{Buffers, Bytes, Cancelled, Memory, Program};
use std::sync::Arc;
use wootz_plan::{Buffer, Place};
use wootz_runtime::{BackendError, Bindings, Instance, Prepared, Trace};

/// A program with everything that one run at a time needs.
pub(crate) struct Running {
    program: Arc<Program>,
    memory: Memory,
    bound: Bound,
}

impl Running {
    /// `foreign` are the buffers that a run binds, `inputs` and `outputs` the slots of the signature, `aliases` the output that takes over
    /// each input.
    pub(crate) fn new(
        program: Arc<Program>,
        memory: Memory,
        foreign: Vec<Foreign>,
        [inputs, outputs]: [Vec<Slot>; 2],
        aliases: Vec<Option<usize>>,
    ) -> Running {
        Running { program, memory, bound: Bound { foreign, inputs, outputs, aliases, stays: false } }
    }

    fn execute(
        &mut self,
        prepared: &Prepared,
        bindings: &mut dyn Bindings,
        trace: Option<&mut Trace>,
    ) -> Result<(), BackendError> {
        if !(self.bound.stays && bindings.unmoved().is_some()) {
            self.bound.bind(&mut self.memory, prepared, bindings)?;
        }
        let cancelled = || bindings.cancelled();
        // SAFETY: `memory` was made for the program and is bound: to memory of the signature's sizes, what is not aligned was
        // copied, and where nothing is bound anew everything lies where it lay at the last run.
        let done = unsafe { self.program.run(&mut self.memory, &cancelled, trace) };
        if !self.bound.stays {
            self.bound.release(bindings);
        }
        match done {
            Ok(Ok(())) => Ok(()),
            Ok(Err(Cancelled)) => Err(BackendError::Cancelled),
            Err(e) => Err(bug(e.to_string())),
        }
    }
}

impl Instance for Running {
    fn run(&mut self, prepared: &Prepared, bindings: &mut dyn Bindings) -> Result<(), BackendError> {
        self.execute(prepared, bindings, None)
    }

    fn run_traced(
        &mut self,
        prepared: &Prepared,
        bindings: &mut dyn Bindings,
        trace: &mut Trace,
    ) -> Result<(), BackendError> {
        self.execute(prepared, bindings, Some(trace))
    }
}

/// A buffer that lies in other memory at every run.
pub(crate) struct Foreign {
    /// Its entry in the executor's table.
    entry: usize,
    place: Place,
}

impl From<(usize, Place)> for Foreign {
    fn from((entry, place): (usize, Place)) -> Foreign {
        Foreign { entry, place }
    }
}

/// An input or an output.
pub(crate) struct Slot {
    bytes: usize,
    /// One less than what its address must be a multiple of: a power of two.
    mask: usize,
    /// Its place if what was bound is not aligned.
    aligned: Option<Bytes>,
}

impl Slot {
    pub(crate) fn new(buffer: &Buffer) -> Slot {
        Slot { bytes: buffer.bytes, mask: buffer.dtype.size() - 1, aligned: None }
    }

    /// Where the executor finds memory that was bound: there, or in an aligned copy.
    fn bind(&mut self, at: *mut u8, bytes: usize) -> Result<*mut u8, BackendError> {
        if bytes != self.bytes {
            return Err(bug(format!("{bytes} bytes were bound where there are {}", self.bytes)));
        }
        if at.addr() & self.mask == 0 {
            self.aligned = None;
            return Ok(at);
        }
        self.copy(at)
    }

    #[cold]
    fn copy(&mut self, at: *mut u8) -> Result<*mut u8, BackendError> {
        let aligned = match &mut self.aligned {
            Some(aligned) => aligned,
            empty => {
                let out_of_memory = || BackendError::OutOfMemory { backend: NAME, bytes: self.bytes };
                empty.insert(Bytes::zeroed(self.bytes).ok_or_else(out_of_memory)?)
            }
        };
        let copy = aligned.as_mut_ptr();
        // SAFETY: the caller's memory and the copy have this many bytes.
        unsafe { std::ptr::copy_nonoverlapping(at, copy, self.bytes) };
        Ok(copy)
    }
}

/// A run's inputs and outputs.
struct Bound {
    foreign: Vec<Foreign>,
    inputs: Vec<Slot>,
    outputs: Vec<Slot>,
    /// The output that takes over each input.
    aliases: Vec<Option<usize>>,
    /// Whether the executor's table is that of the caller's memory, and nothing was copied.
    stays: bool,
}

impl Bound {
    /// Tells the executor where the memory of a run lies; what is not aligned for its dtype is copied.
    fn bind(
        &mut self,
        memory: &mut Memory,
        prepared: &Prepared,
        bindings: &mut dyn Bindings,
    ) -> Result<(), BackendError> {
        let Some(prepared) = prepared.downcast_ref::<Buffers>() else {
            return Err(bug("parameters prepared by another backend"));
        };
        self.stays = false;
        let mut copied = false;
        for Foreign { entry, place } in &self.foreign {
            let output = match *place {
                Place::Input(i) => self.aliases[i].ok_or(i),
                Place::Output(i) => Ok(i),
                Place::Prepared(i) => {
                    memory.bind(*entry, prepared.piece(i));
                    continue;
                }
                Place::Arena(_) | Place::Constant(_) => continue,
            };
            let (slot, at, bytes) = match output {
                Ok(i) => {
                    let given = bindings.output(i);
                    (&mut self.outputs[i], given.as_mut_ptr(), given.len())
                }
                Err(i) => {
                    let given = bindings.input(i);
                    (&mut self.inputs[i], given.as_ptr().cast_mut(), given.len())
                }
            };
            memory.bind(*entry, slot.bind(at, bytes)?);
            copied |= slot.aligned.is_some();
        }
        self.stays = !copied;
        Ok(())
    }

    /// Copies back the outputs that were not aligned.
    #[cold]
    fn release(&mut self, bindings: &mut dyn Bindings) {
        for (i, slot) in self.outputs.iter_mut().enumerate() {
            if let Some(aligned) = &mut slot.aligned {
                let memory = bindings.output(i);
                // SAFETY: the copy is as large as the memory.
                unsafe {
                    std::ptr::copy_nonoverlapping(aligned.as_mut_ptr(), memory.as_mut_ptr(), memory.len());
                };
            }
        }
    }
}
