//! Programs: compiled, immutable, shared.

use crate::bindings::{Owned, Stateful, WithParams};
use crate::cache::Entry;
use crate::error::RunError;
use crate::nan::{self, NanFound, has_nan};
use crate::params::Bound;
use crate::profile::profile;
use crate::state::StepPrepared;
use crate::{
    Bindings, Executable, Instance, Options, Params, Prepared, Profile, Report, Session, Signature, Stages,
    State, Trace,
};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use wootz_ir::{Graph, HostTensor, Role};
use wootz_nn::Init;

/// A compiled program. Cloning shares it; any number of threads may run it at once.
#[derive(Clone)]
pub struct Program(Arc<Inner>);

struct Inner {
    /// Never used again: what parameters remember a program by.
    id: u64,
    signature: Signature,
    /// The graph before the passes: what initial values and the search for NaNs refer to.
    graph: Graph,
    init: Vec<Option<Init>>,
    entry: Arc<Entry>,
    stages: Stages,
    nan_check: bool,
    /// Instances not in use, for runs that do not bring their own.
    idle: Mutex<Vec<Box<dyn Instance>>>,
}

/// The results of a run, by name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outputs(pub(crate) Vec<(Arc<str>, HostTensor)>);

impl Outputs {
    /// An output by name.
    pub fn get(&self, name: &str) -> Option<&HostTensor> {
        self.iter().find(|(n, _)| &***n == name).map(|(_, t)| t)
    }

    /// Every output with its name.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (&Arc<str>, &HostTensor)> {
        self.0.iter().map(|(n, t)| (n, t))
    }
}

/// A step failed. If the state was not touched yet it comes back.
#[derive(Debug, thiserror::Error)]
#[error("{error}")]
pub struct StepError {
    /// What went wrong.
    #[source]
    pub error: RunError,
    /// The state, unless the failed run may have written to it.
    pub state: Option<Box<State>>,
}

impl Program {
    pub(crate) fn new(
        graph: Graph,
        init: Vec<Option<Init>>,
        entry: Arc<Entry>,
        stages: Stages,
        options: &Options,
    ) -> Program {
        let signature = Signature::of(&graph);
        static NEXT: AtomicU64 = AtomicU64::new(1);
        let id = NEXT.fetch_add(1, Ordering::Relaxed);
        let idle = Mutex::new(Vec::new());
        Program(Arc::new(Inner {
            id,
            signature,
            graph,
            init,
            entry,
            stages,
            nan_check: options.nan_check,
            idle,
        }))
    }

    /// The named inputs and outputs.
    pub fn signature(&self) -> &Signature {
        &self.0.signature
    }

    /// The graph before the passes, which is the one to differentiate: the passes drop what stops or replaces derivatives.
    pub fn definition(&self) -> &Graph {
        &self.0.graph
    }

    /// The graph after the passes. Its inputs and outputs may carry the names of an equal graph compiled earlier.
    pub fn graph(&self) -> &Graph {
        &self.0.entry.optimized
    }

    /// The generated code, or the plan as text.
    pub fn source(&self) -> String {
        self.executable().source()
    }

    /// Every stage's time, kernels, work, memory.
    pub fn report(&self) -> Report {
        Report {
            stages: self.0.stages.clone(),
            compiled: self.0.entry.stages.clone(),
            description: self.executable().describe(),
        }
    }

    /// Initial parameters. For programs that do not update them.
    pub fn init(&self, seed: u64) -> Result<Params, RunError> {
        if self.0.signature.updates() {
            return Err(RunError::Kind(
                "the program updates its state: start it with `init_state`, run it with `step`",
            ));
        }
        Ok(Params::new(self.initial(seed)?.into_iter().map(|(name, _, tensor)| (name, tensor))))
    }

    /// The initial state. For programs that update parameters or state.
    pub fn init_state(&self, seed: u64) -> Result<State, RunError> {
        if !self.0.signature.updates() {
            return Err(RunError::Kind(
                "the program updates nothing: start it with `init`, run it with `run`",
            ));
        }
        Ok(State { tensors: self.initial(seed)?, prepared: StepPrepared::default() })
    }

    fn initial(&self, seed: u64) -> Result<Vec<(Arc<str>, Role, HostTensor)>, RunError> {
        let values = wootz_nn::fill_graph(&self.0.graph, &self.0.init, seed)?;
        let mut out = Vec::new();
        for (input, value) in self.0.signature.inputs.iter().zip(values) {
            if input.role == Role::Input {
                continue;
            }
            let missing =
                || RunError::Missing { name: input.name.to_string(), expected: Box::new(input.ty.clone()) };
            out.push((input.name.clone(), input.role, value.ok_or_else(missing)?));
        }
        Ok(out)
    }

    /// Runs once on named inputs; allocates the outputs. A [`Session`] runs without allocating.
    pub fn run(&self, params: &Params, inputs: &[(&str, HostTensor)]) -> Result<Outputs, RunError> {
        let mut session = self.session(params)?;
        self.check_names(inputs)?;
        for (name, tensor) in inputs {
            session.set(name, tensor.clone())?;
        }
        session.run()?;
        let (outputs, instance) = session.into_outputs();
        self.put_back(instance);
        Ok(outputs)
    }

    /// One step of a program that updates state: consumes the state, returns the next one in the same memory.
    pub fn step(&self, state: State, inputs: &[(&str, HostTensor)]) -> Result<(State, Outputs), StepError> {
        let mut state = state;
        match self.try_step(&mut state, inputs) {
            Ok(outputs) => Ok((state, outputs)),
            // A backend's failure may have left the state half updated.
            Err(error @ RunError::Backend(_)) => Err(StepError { error, state: None }),
            Err(error) => Err(StepError { error, state: Some(Box::new(state)) }),
        }
    }

    fn try_step(&self, state: &mut State, inputs: &[(&str, HostTensor)]) -> Result<Outputs, RunError> {
        let [given, mut outputs] = self.step_memory(inputs)?;
        self.step_with(state, &mut Owned { given: &given, outputs: &mut outputs })?;
        let outputs = self.0.signature.outputs.iter().zip(outputs);
        Ok(Outputs(outputs.filter_map(|(o, t)| Some((o.name.clone(), t?))).collect()))
    }

    /// The tensors of a step by position: inputs as given, checked, and new ones for the outputs that update nothing.
    fn step_memory(&self, inputs: &[(&str, HostTensor)]) -> Result<[Vec<Option<HostTensor>>; 2], RunError> {
        self.check_names(inputs)?;
        let signature = &self.0.signature;
        let mut given: Vec<Option<HostTensor>> = vec![None; signature.inputs.len()];
        for (name, tensor) in inputs {
            let i = signature.input(name)?;
            check(&signature.inputs[i], "input", tensor)?;
            given[i] = Some(tensor.clone());
        }
        if let Some(i) =
            (0..given.len()).find(|i| signature.inputs[*i].role == Role::Input && given[*i].is_none())
        {
            let input = &signature.inputs[i];
            return Err(RunError::Missing {
                name: input.name.to_string(),
                expected: Box::new(input.ty.clone()),
            });
        }
        let mut outputs = Vec::new();
        for output in &signature.outputs {
            let fresh =
                || HostTensor::zeros(output.ty.dtype, &output.ty.shape.concrete().unwrap_or_default());
            let tensor = if output.updates.is_none() { Some(fresh()) } else { None };
            outputs.push(tensor.transpose().map_err(|e| bug(e.to_string()))?);
        }
        Ok([given, outputs])
    }

    /// One step, in place, with inputs and outputs in the caller's memory: `bindings` serves the inputs given at every run
    /// and the outputs that update nothing.
    pub fn step_with(&self, state: &mut State, bindings: &mut dyn Bindings) -> Result<(), RunError> {
        self.step_traced(state, bindings, None)
    }

    fn step_traced(
        &self,
        state: &mut State,
        bindings: &mut dyn Bindings,
        trace: Option<&mut Trace>,
    ) -> Result<(), RunError> {
        let signature = &self.0.signature;
        let held: usize = signature.inputs.iter().filter(|i| i.role != Role::Input).count();
        let mut names = signature.inputs.iter().filter(|i| i.role != Role::Input).zip(&state.tensors);
        let fits = held == state.tensors.len() && names.all(|(i, (n, _, t))| i.name == *n && has_type(t, i));
        if !fits {
            let tensors = state.tensors.iter().map(|(n, _, t)| (n.clone(), t.clone())).collect::<Vec<_>>();
            *state = State::from_tensors(signature, tensors)?;
        }
        let before = self.0.nan_check.then(|| {
            let mut held = state.tensors.iter();
            self.arguments(|_| held.next().map(|(_, _, tensor)| tensor.clone()), bindings)
        });
        let before = before.transpose()?;
        let mut instance = self.take_instance()?;
        let prepared = self.step_prepared(state)?;
        let mut bindings = Stateful { signature, state, rest: bindings };
        let result = match trace {
            None => instance.run(&prepared, &mut bindings),
            Some(trace) => instance.run_traced(&prepared, &mut bindings, trace),
        };
        self.put_back(instance);
        result?;
        match before {
            Some(before) => self.check_nans(&self.results(&mut bindings)?, || Ok(before)),
            None => Ok(()),
        }
    }

    /// What the program computes from the parameters that it does not update.
    fn step_prepared(&self, state: &mut State) -> Result<Prepared, RunError> {
        match &state.prepared.0 {
            Some((program, prepared)) if *program == self.0.id => return Ok(prepared.clone()),
            _ => {}
        }
        let mut held = state.tensors.iter().map(|(_, _, tensor)| tensor.clone());
        let params: Vec<Option<HostTensor>> = (self.0.signature.inputs.iter().enumerate())
            .map(|(i, input)| {
                (input.role != Role::Input)
                    .then(|| held.next())
                    .flatten()
                    .filter(|_| self.executable().prepares(i))
            })
            .collect();
        let prepared = self.executable().prepare(&params)?;
        state.prepared = StepPrepared(Some((self.0.id, prepared.clone())));
        Ok(prepared)
    }

    /// Runs with inputs and outputs in the caller's memory: `bindings` serves what is no parameter.
    pub fn run_with(&self, params: &Params, bindings: &mut dyn Bindings) -> Result<(), RunError> {
        let bound = self.resolve(params)?;
        let mut instance = self.take_instance()?;
        let result =
            instance.run(&bound.prepared, &mut WithParams { params: &bound.tensors, rest: bindings });
        self.put_back(instance);
        result?;
        if self.0.nan_check {
            let results = self.results(bindings)?;
            self.check_nans(&results, || self.arguments(|i| bound.tensors[i].clone(), bindings))?;
        }
        Ok(())
    }

    /// Runs `runs` times on named inputs, and once before, and tells where the time went.
    pub fn profile(
        &self,
        params: &Params,
        inputs: &[(&str, HostTensor)],
        runs: usize,
    ) -> Result<Profile, RunError> {
        let mut session = self.session(params)?;
        self.check_names(inputs)?;
        for (name, tensor) in inputs {
            session.set(name, tensor.clone())?;
        }
        session.profile(runs)
    }

    /// As [`Program::profile`] with inputs and outputs in the caller's memory, see [`Program::run_with`].
    pub fn profile_with(
        &self,
        params: &Params,
        bindings: &mut dyn Bindings,
        runs: usize,
    ) -> Result<Profile, RunError> {
        let bound = self.resolve(params)?;
        let mut instance = self.take_instance()?;
        let profile = profile(self.executable(), runs, |trace| {
            let mut bindings = WithParams { params: &bound.tensors, rest: &mut *bindings };
            Ok(instance.run_traced(&bound.prepared, &mut bindings, trace)?)
        });
        self.put_back(instance);
        profile
    }

    /// Makes `runs` steps with the same inputs, and one before, and tells where the time went; the state moves on by all
    /// of them. Inputs and outputs are in the caller's memory, see [`Program::step_with`].
    pub fn profile_step_with(
        &self,
        state: &mut State,
        bindings: &mut dyn Bindings,
        runs: usize,
    ) -> Result<Profile, RunError> {
        profile(self.executable(), runs, |trace| self.step_traced(state, &mut *bindings, Some(trace)))
    }

    /// As [`Program::profile_step_with`], on named inputs.
    pub fn profile_step(
        &self,
        state: State,
        inputs: &[(&str, HostTensor)],
        runs: usize,
    ) -> Result<(State, Profile), StepError> {
        let mut state = state;
        let memory = self.step_memory(inputs);
        let profiled = memory.and_then(|[given, mut outputs]| {
            self.profile_step_with(&mut state, &mut Owned { given: &given, outputs: &mut outputs }, runs)
        });
        match profiled {
            Ok(profile) => Ok((state, profile)),
            Err(error @ RunError::Backend(_)) => Err(StepError { error, state: None }),
            Err(error) => Err(StepError { error, state: Some(Box::new(state)) }),
        }
    }

    /// A session: bound slots and memory of its own, for running without allocation.
    pub fn session(&self, params: &Params) -> Result<Session, RunError> {
        Session::new(self.clone(), params.clone())
    }

    /// Prepares what depends on the parameters alone now instead of at the first run. With `consume`, parameters that only
    /// preparing needs are given up: their memory is freed unless something else holds them.
    pub fn prepare(&self, params: &Params, consume: bool) -> Result<(), RunError> {
        self.resolve(params)?;
        if consume {
            params.consume(&self.0.signature, self.executable());
        }
        Ok(())
    }

    /// What the program reads of these parameters now.
    pub(crate) fn resolve(&self, params: &Params) -> Result<Arc<Bound>, RunError> {
        params.resolve(self.0.id, &self.0.signature, self.executable())
    }

    pub(crate) fn executable(&self) -> &dyn Executable {
        &*self.0.entry.executable
    }

    pub(crate) fn nan_check(&self) -> bool {
        self.0.nan_check
    }

    /// If one of the results (in the order of the outputs) holds a NaN: the error that names its origin, found by running on
    /// `args` again.
    pub(crate) fn check_nans(
        &self,
        results: &[HostTensor],
        args: impl FnOnce() -> Result<Vec<HostTensor>, RunError>,
    ) -> Result<(), RunError> {
        let Some(i) = results.iter().position(has_nan) else { return Ok(()) };
        let output = &self.0.signature.outputs[i].name;
        Err(match args() {
            Ok(args) => nan::origin(&self.0.graph, &args, output).into(),
            Err(error) => NanFound::Unknown { output: output.to_string(), reason: error.to_string() }.into(),
        })
    }

    pub(crate) fn take_instance(&self) -> Result<Box<dyn Instance>, RunError> {
        let idle = self.0.idle.lock().unwrap_or_else(PoisonError::into_inner).pop();
        match idle {
            Some(instance) => Ok(instance),
            None => Ok(self.executable().instance()?),
        }
    }

    pub(crate) fn put_back(&self, instance: Box<dyn Instance>) {
        self.0.idle.lock().unwrap_or_else(PoisonError::into_inner).push(instance);
    }

    fn check_names(&self, inputs: &[(&str, HostTensor)]) -> Result<(), RunError> {
        for (name, _) in inputs {
            let i = self.0.signature.input(name)?;
            if self.0.signature.inputs[i].role != Role::Input {
                return Err(RunError::Kind("parameters and state are not given as inputs"));
            }
        }
        Ok(())
    }

    /// The arguments of a run: inputs from `bindings`, the rest, by position, from `held`.
    fn arguments(
        &self,
        mut held: impl FnMut(usize) -> Option<HostTensor>,
        bindings: &dyn Bindings,
    ) -> Result<Vec<HostTensor>, RunError> {
        let argument = |(i, input): (usize, &crate::InputSpec)| match input.role {
            Role::Input => copy(&input.ty, bindings.input(i)),
            Role::Param | Role::State => {
                held(i).ok_or_else(|| RunError::Consumed { name: input.name.to_string() })
            }
        };
        self.0.signature.inputs.iter().enumerate().map(argument).collect()
    }

    /// The results of a run.
    fn results(&self, bindings: &mut dyn Bindings) -> Result<Vec<HostTensor>, RunError> {
        let outputs = self.0.signature.outputs.iter().enumerate();
        outputs.map(|(i, output)| copy(&output.ty, bindings.output(i))).collect()
    }
}

fn copy(ty: &wootz_ir::TensorType, bytes: &[u8]) -> Result<HostTensor, RunError> {
    let dims = ty.shape.concrete().unwrap_or_default();
    HostTensor::from_bytes(ty.dtype, &dims, bytes).map_err(|e| bug(e.to_string()))
}

/// Checks a tensor against an input.
pub(crate) fn check(
    input: &crate::InputSpec,
    what: &'static str,
    tensor: &HostTensor,
) -> Result<(), RunError> {
    if has_type(tensor, input) {
        return Ok(());
    }
    Err(RunError::wrong_type(what, &input.name, &input.ty, &tensor.ty()))
}

fn has_type(tensor: &HostTensor, input: &crate::InputSpec) -> bool {
    let shape = &input.ty.shape;
    tensor.dtype() == input.ty.dtype
        && tensor.dims().len() == shape.rank()
        && shape.iter().zip(tensor.dims()).all(|(d, n)| d.as_const() == Some(*n))
}

fn bug(message: String) -> RunError {
    RunError::Backend(crate::BackendError::Bug { backend: "runtime", message })
}
