//! The scope: where blocks put their ops, parameters and state while a model is traced.

use crate::summary::Record;
use crate::{Init, Mode, Model, ModelError};
use std::collections::HashMap;
use std::sync::Arc;
use wootz_ir::{Builder, DType, Role, Site, TensorType, Value};

/// A graph under construction, and the place in the model that is being built.
///
/// Ops are added through [`b`](Scope::b), children are called through [`call`](Scope::call) and
/// [`apply`](Scope::apply), parameters and state come from [`param`](Scope::param) and [`state`](Scope::state).
#[derive(Debug)]
pub struct Scope {
    /// Where ops are added. Its [`solver`](Builder::solver) knows more than the types of its values: read types with [`Scope::ty`].
    pub b: Builder,
    pub(crate) slots: Vec<Slot>,
    pub(crate) records: Vec<Record>,
    mode: Mode,
    param_dtype: DType,
    path: String,
    /// The user's line that called the block being built, if it is known.
    line: String,
    names: HashMap<Arc<str>, usize>,
    /// Blocks called so far, with the path of their first call. They are kept alive, so that no two have one identity.
    called: HashMap<usize, (Model, String)>,
    /// True inside a block that was called before: its parameters exist.
    again: bool,
    /// The number of the step, if something counts steps.
    step: Option<Value>,
    step_key: Option<Value>,
    random_sites: u32,
}

/// A value that comes from outside the graph.
#[derive(Clone, Debug)]
pub(crate) struct Slot {
    pub(crate) name: Arc<str>,
    pub(crate) role: Role,
    pub(crate) init: Option<Init>,
    /// Stands for the value from outside until the graph is finished: regions have their parameters first, and a
    /// trace meets them last.
    pub(crate) value: Value,
    /// The nodes that define `value`.
    pub(crate) nodes: std::ops::Range<usize>,
    /// The value it has now; another than `value` once a state was changed.
    pub(crate) current: Value,
}

impl Scope {
    pub(crate) fn new(mode: Mode) -> Scope {
        Scope {
            b: Builder::tracing(),
            slots: Vec::new(),
            records: Vec::new(),
            mode,
            param_dtype: DType::F32,
            path: String::new(),
            line: String::new(),
            names: HashMap::new(),
            called: HashMap::new(),
            again: false,
            step: None,
            step_key: None,
            random_sites: 0,
        }
    }

    /// Whether the model is traced for training or for inference.
    pub fn mode(&self) -> Mode {
        self.mode
    }

    /// The dtype that parameters have here.
    pub fn param_dtype(&self) -> DType {
        self.param_dtype
    }

    /// The path of the block being built: the prefix of its parameters' names, without the last dot.
    pub fn path(&self) -> &str {
        &self.path
    }

    /// The type of a value, with everything put in place that is known of symbolic dims by now.
    pub fn ty(&self, value: Value) -> TensorType {
        let ty = self.b.ty(value);
        ty.with_shape(ty.shape.map(&|d| self.b.solver().resolve(d)))
    }

    /// Calls a child block under a name. Calling a block a second time, from anywhere, uses the parameters of the
    /// first time.
    pub fn call(
        &mut self,
        name: &str,
        model: impl Into<Model>,
        inputs: &[Value],
    ) -> Result<Vec<Value>, ModelError> {
        let model = model.into();
        self.within(name, &model, |scope| scope.call_here(&model, inputs))
    }

    /// Calls `f`; the blocks that it calls say that they were called from this line of the user's (`model.py:12`).
    pub fn from_line<T>(&mut self, line: &str, f: impl FnOnce(&mut Scope) -> T) -> T {
        let outer = std::mem::replace(&mut self.line, line.to_owned());
        let result = f(self);
        self.line = outer;
        result
    }

    /// Builds in the place of a child block: where it was first called, if it was, else under a name.
    pub(crate) fn within<T>(&mut self, name: &str, model: &Model, build: impl FnOnce(&mut Scope) -> T) -> T {
        let path = self.join(name);
        let (path, again) = match self.called.get(&model.identity()) {
            Some((_, first)) => (first.clone(), true),
            None => {
                self.called.insert(model.identity(), (model.clone(), path.clone()));
                (path, self.again)
            }
        };
        let outer = (std::mem::replace(&mut self.path, path), std::mem::replace(&mut self.again, again));
        let site = self.b.set_site(Site::at(&self.path, &self.line));
        let built = build(self);
        self.b.set_site(site);
        (self.path, self.again) = outer;
        built
    }

    /// Calls a child block that has one input and one output.
    pub fn apply(&mut self, name: &str, model: impl Into<Model>, x: Value) -> Result<Value, ModelError> {
        let model = model.into();
        let outputs = self.call(name, &model, &[x])?;
        let [output] = outputs[..] else {
            let (path, kind, got) = (self.join(name), model.kind().to_owned(), outputs.len());
            return Err(ModelError::Outputs { path, kind, expected: 1, got });
        };
        Ok(output)
    }

    /// A parameter of the block being built, of [`param_dtype`](Scope::param_dtype).
    pub fn param(
        &mut self,
        name: &str,
        shape: impl Into<wootz_ir::Shape>,
        init: Init,
    ) -> Result<Value, ModelError> {
        let ty = TensorType::new(self.param_dtype, shape);
        let name = self.join(name);
        let slot = self.slot(&name, Role::Param, &ty, Some(init))?;
        Ok(self.slots[slot].value)
    }

    /// The present value of a state of the block being built.
    pub fn state(&mut self, name: &str, ty: &TensorType, init: Init) -> Result<Value, ModelError> {
        let name = self.join(name);
        let slot = self.slot(&name, Role::State, ty, Some(init))?;
        Ok(self.slots[slot].current)
    }

    /// Gives a state of the block being built the value it has from here on and in the next step.
    pub fn set_state(&mut self, name: &str, value: Value) -> Result<(), ModelError> {
        let name = self.join(name);
        let slot = self.names.get(&*name).copied().filter(|i| self.slots[*i].role == Role::State);
        let Some(slot) = slot else { return Err(ModelError::UnknownState { name }) };
        let (expected, got) = (self.ty(self.slots[slot].value), self.ty(value));
        if expected != got {
            return Err(ModelError::StateType { name, expected: expected.into(), got: got.into() });
        }
        self.slots[slot].current = value;
        Ok(())
    }

    /// A key for random numbers, different at every call and every step: the state key with the step number and then
    /// this call's number folded in.
    pub fn random_key(&mut self) -> Result<Value, ModelError> {
        let step_key = match self.step_key {
            Some(key) => key,
            None => self.make_step_key()?,
        };
        self.step_key = Some(step_key);
        let number = self.b.scalar(DType::U32, f64::from(self.random_sites));
        self.random_sites += 1;
        Ok(self.b.fold_in(step_key, number)?)
    }

    /// The error of a layer that was configured with a value it does not take.
    pub fn config_error(&self, kind: &str, message: impl Into<String>) -> ModelError {
        ModelError::Config { path: self.path.clone(), kind: kind.to_owned(), message: message.into() }
    }

    /// Adds a value from outside the graph, or finds the one that a shared block added before.
    pub(crate) fn slot(
        &mut self,
        name: &str,
        role: Role,
        ty: &TensorType,
        init: Option<Init>,
    ) -> Result<usize, ModelError> {
        if let Some(found) = self.names.get(name).copied() {
            if !self.again || self.slots[found].role != role {
                return Err(ModelError::DuplicateName { name: name.to_owned() });
            }
            let first = self.ty(self.slots[found].value);
            if first != *ty {
                let (first, second) = (first.into(), ty.clone().into());
                return Err(ModelError::SharedType { name: name.to_owned(), first, second });
            }
            return Ok(found);
        }
        if ty.shape.concrete().is_some() && ty.bytes().is_none() {
            return Err(ModelError::TooLarge { role, name: name.to_owned(), ty: ty.clone().into() });
        }
        let before = self.b.region().nodes().len();
        let value = self.b.full(ty, 0.0)?;
        let nodes = before..self.b.region().nodes().len();
        let name: Arc<str> = name.into();
        self.names.insert(name.clone(), self.slots.len());
        self.slots.push(Slot { name, role, init, value, nodes, current: value });
        Ok(self.slots.len() - 1)
    }

    /// Calls the outermost block, whose path is empty.
    pub(crate) fn call_root(&mut self, model: &Model, inputs: &[Value]) -> Result<Vec<Value>, ModelError> {
        self.called.insert(model.identity(), (model.clone(), self.path.clone()));
        self.call_here(model, inputs)
    }

    fn call_here(&mut self, model: &Model, inputs: &[Value]) -> Result<Vec<Value>, ModelError> {
        let names = model.inputs();
        let (path, kind) = (self.path.clone(), model.kind().to_owned());
        if names.len() != inputs.len() {
            let (expected, got) = (names.len(), inputs.len());
            return Err(ModelError::Inputs { path, kind, expected, names: names.join(", "), got });
        }
        let record = self.records.len();
        self.records.push(Record {
            path: path.clone(),
            kind: kind.clone(),
            shared: self.again,
            outputs: Vec::new(),
        });
        let outputs = model.call(self, inputs)?;
        let expected = model.outputs().len();
        if expected != outputs.len() {
            return Err(ModelError::Outputs { path, kind, expected, got: outputs.len() });
        }
        self.records[record].outputs.clone_from(&outputs);
        Ok(outputs)
    }

    /// Calls `f` with another dtype for parameters.
    pub(crate) fn with_param_dtype<T>(&mut self, dtype: DType, f: impl FnOnce(&mut Scope) -> T) -> T {
        let outer = std::mem::replace(&mut self.param_dtype, dtype);
        let result = f(self);
        self.param_dtype = outer;
        result
    }

    /// Takes the number of the step, for random numbers, from this value.
    pub(crate) fn count_steps_with(&mut self, step: Value) {
        self.step = Some(step);
    }

    /// The state `rng.key` with the number of the step folded in. Where nothing counts steps, `rng.step` does.
    fn make_step_key(&mut self) -> Result<Value, ModelError> {
        let key = self.slot(RNG_KEY, Role::State, &TensorType::new(DType::U32, [2usize]), Some(Init::Key))?;
        let step = match self.step {
            Some(step) => step,
            None => {
                let counter = TensorType::scalar(DType::I64);
                let slot = self.slot(RNG_STEP, Role::State, &counter, Some(Init::Zeros))?;
                let step = self.slots[slot].value;
                self.slots[slot].current = self.b.add_scalar(step, 1.0)?;
                step
            }
        };
        let step = self.b.cast(step, DType::U32)?;
        Ok(self.b.fold_in(self.slots[key].value, step)?)
    }

    fn join(&self, name: &str) -> String {
        match (self.path.is_empty(), name.is_empty()) {
            (true, _) => name.to_owned(),
            (_, true) => self.path.clone(),
            _ => format!("{}.{name}", self.path),
        }
    }
}

/// The state that holds the key of every random number a step draws.
const RNG_KEY: &str = "rng.key";
/// The state that counts runs where no optimizer does.
const RNG_STEP: &str = "rng.step";
