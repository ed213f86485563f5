//! A graph under construction: where Python's tensors of symbolic values live.

use crate::array::to_host;
use crate::attr::attr;
use crate::error::{Kind, OrRaise, guarded};
use crate::graph::{Graph, Region};
use crate::nn::Model;
use crate::types::{DType, Spec, shape_from, shape_to};
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyTuple};
use std::ops::Range;
use std::ptr::NonNull;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, TryLockError};
use std::thread::ThreadId;
use wootz_ir::{Attrs, Builder, Op, Site, TensorType};
use wootz_nn::Scope;

/// A graph under construction.
#[pyclass(frozen, module = "wootz._native")]
pub(crate) struct Trace(Mutex<State>);

struct State {
    home: Home,
    /// The path of the block being traced; empty outside of models.
    block: String,
    captures: Vec<Capture>,
    thread: ThreadId,
}

/// Whose builder is used.
enum Home {
    /// The trace's own: a plain function.
    Own(Box<Builder>),
    /// That of the model being traced, for the length of a callback.
    Scope(NonNull<Scope>),
    /// No one's any more.
    Ended,
}

// SAFETY: `State` is used only by the thread that made it: `Trace::state` checks that before anything else is touched.
unsafe impl Send for State {}

/// A value from an enclosing trace that a function being traced refers to.
struct Capture {
    outer: Py<Value>,
    /// Stands for the value until the region is finished: parameters come first, and a capture is met later.
    stand_in: wootz_ir::Value,
    nodes: Range<usize>,
}

/// A value of a graph under construction.
#[pyclass(frozen, module = "wootz._native")]
pub(crate) struct Value {
    trace: Py<Trace>,
    value: wootz_ir::Value,
}

#[pymethods]
impl Value {
    /// The trace it belongs to.
    #[getter]
    fn trace(&self, py: Python<'_>) -> Py<Trace> {
        self.trace.clone_ref(py)
    }

    /// Its number in the trace.
    #[getter]
    fn index(&self) -> usize {
        self.value.index()
    }

    /// Its type, with all that is known of symbolic sizes by now.
    #[getter]
    fn spec(&self) -> PyResult<Spec> {
        Ok(Spec(self.ty()?))
    }

    /// Its element type.
    #[getter]
    fn dtype(&self) -> PyResult<DType> {
        Ok(DType(self.ty()?.dtype))
    }

    /// Its shape.
    #[getter]
    fn shape<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyTuple>> {
        shape_to(py, &self.ty()?.shape)
    }
}

impl Value {
    fn ty(&self) -> PyResult<TensorType> {
        self.trace.get().with(|b| Ok(resolved(b, self.value)))
    }
}

fn resolved(b: &Builder, value: wootz_ir::Value) -> TensorType {
    let ty = b.ty(value);
    if b.solver().is_empty() { ty.clone() } else { ty.with_shape(ty.shape.map(&|d| b.solver().resolve(d))) }
}

impl Trace {
    fn around(home: Home, block: String) -> Trace {
        Trace(Mutex::new(State { home, block, captures: Vec::new(), thread: std::thread::current().id() }))
    }

    /// Lets Python add to the model being traced while `f` runs.
    pub(crate) fn lend<R>(
        py: Python<'_>,
        scope: &mut Scope,
        f: impl FnOnce(&Bound<'_, Trace>) -> PyResult<R>,
    ) -> PyResult<R> {
        let block = scope.path().to_owned();
        let trace = Bound::new(py, Trace::around(Home::Scope(NonNull::from(scope)), block))?;
        let result = f(&trace);
        // Whatever Python kept of the trace can no longer reach the scope.
        trace.get().0.lock().unwrap_or_else(PoisonError::into_inner).home = Home::Ended;
        result
    }

    fn state(&self) -> PyResult<MutexGuard<'_, State>> {
        let elsewhere =
            || Kind::Trace.error("a tensor of a function being traced was used in another thread");
        // Waiting could only be for another thread.
        let state = match self.0.try_lock() {
            Ok(state) => state,
            Err(TryLockError::Poisoned(poisoned)) => poisoned.into_inner(),
            Err(TryLockError::WouldBlock) => return Err(elsewhere()),
        };
        if state.thread == std::thread::current().id() { Ok(state) } else { Err(elsewhere()) }
    }

    fn with<R>(&self, f: impl FnOnce(&mut Builder) -> PyResult<R>) -> PyResult<R> {
        let mut state = self.state()?;
        let f = |b: &mut Builder| guarded(|| f(b));
        match &mut state.home {
            Home::Own(builder) => f(builder),
            // SAFETY: the scope outlives the callback, which `lend` ends by taking the pointer away. While it lasts the
            // scope's owner is inside `lend` and touches nothing, and the lock admits one user at a time.
            Home::Scope(scope) => f(&mut unsafe { scope.as_mut() }.b),
            Home::Ended => Err(ended()),
        }
    }

    /// Calls `f` with the model's scope. The lock is not held meanwhile: `f` may call back into Python.
    fn with_scope<R>(&self, f: impl FnOnce(&mut Scope) -> PyResult<R>) -> PyResult<R> {
        let mut scope = match &self.state()?.home {
            Home::Scope(scope) => *scope,
            Home::Own(_) => {
                return Err(Kind::Trace.error(
                    "a block was called in a plain function: it has parameters, so call `block.apply(params, x)` there, or \
                     compile a model that contains it",
                ));
            }
            Home::Ended => return Err(ended()),
        };
        // SAFETY: as in `with`. A nested callback reaches the same scope through a reborrow of the reference made here, and ends
        // before this one is used again.
        guarded(|| f(unsafe { scope.as_mut() }))
    }

    /// The positions of values, those of enclosing traces taken in as captures.
    fn values(slf: &Bound<'_, Trace>, values: &[Bound<'_, Value>]) -> PyResult<Vec<wootz_ir::Value>> {
        values.iter().map(|value| Trace::lift(slf, value)).collect()
    }

    fn lift(slf: &Bound<'_, Trace>, value: &Bound<'_, Value>) -> PyResult<wootz_ir::Value> {
        let inner = value.get();
        if inner.trace.as_ptr() == slf.as_ptr() {
            return Ok(inner.value);
        }
        let ty = inner.ty()?;
        let around = match &inner.trace.get().state()?.home {
            Home::Scope(scope) => Some(*scope),
            Home::Own(_) | Home::Ended => None,
        };
        let mut state = slf.get().state()?;
        let State { home, captures, .. } = &mut *state;
        // Blocks of one model build one graph.
        if let (Home::Scope(scope), Some(around)) = (&*home, around)
            && *scope == around
        {
            return Ok(inner.value);
        }
        let Home::Own(builder) = home else {
            return Err(Kind::Trace
                .error("a model refers to a tensor of a function being traced around it: make it an input"));
        };
        let same = |c: &&Capture| {
            let known = c.outer.get();
            known.value == inner.value && known.trace.as_ptr() == inner.trace.as_ptr()
        };
        if let Some(known) = captures.iter().find(same) {
            return Ok(known.stand_in);
        }
        let before = builder.region().nodes().len();
        let stand_in = builder.full(&ty, 0.0).or_raise()?;
        let nodes = before..builder.region().nodes().len();
        captures.push(Capture { outer: value.clone().unbind(), stand_in, nodes });
        Ok(stand_in)
    }

    fn wrap<'py>(slf: &Bound<'py, Trace>, value: wootz_ir::Value) -> PyResult<Bound<'py, Value>> {
        Bound::new(slf.py(), Value { trace: slf.clone().unbind(), value })
    }

    fn wrap_all<'py>(
        slf: &Bound<'py, Trace>,
        values: Vec<wootz_ir::Value>,
    ) -> PyResult<Vec<Bound<'py, Value>>> {
        values.into_iter().map(|value| Trace::wrap(slf, value)).collect()
    }
}

fn ended() -> PyErr {
    Kind::Trace
        .error("a tensor was used after the function that it was traced in had returned; return it instead")
}

#[pymethods]
impl Trace {
    /// `around` is the trace of the function or block that this one is traced in.
    #[new]
    #[pyo3(signature = (around = None))]
    fn new(around: Option<&Bound<'_, Trace>>) -> PyResult<Trace> {
        let block = match around {
            Some(around) => around.get().state()?.block.clone(),
            None => String::new(),
        };
        Ok(Trace::around(Home::Own(Box::new(Builder::tracing())), block))
    }

    /// Adds a parameter. Parameters come before ops.
    fn param<'py>(slf: &Bound<'py, Self>, spec: &Spec) -> PyResult<Bound<'py, Value>> {
        let value = slf.get().with(|b| Ok(b.param(spec.0.clone())))?;
        Trace::wrap(slf, value)
    }

    /// Adds the op called `name` in the text form. `site` is the user's line.
    fn op<'py>(
        slf: &Bound<'py, Self>,
        name: &str,
        operands: Vec<Bound<'py, Value>>,
        attrs: Option<&Bound<'py, PyDict>>,
        site: &str,
    ) -> PyResult<Vec<Bound<'py, Value>>> {
        let mut list = Attrs::none();
        for (key, value) in attrs.into_iter().flatten() {
            list.0.push((key.extract()?, attr(&value)?));
        }
        let parsed = Op::parse(name, list);
        let op =
            parsed.ok_or_else(|| Kind::Internal.error(format!("there is no op `{name}`")))?.or_raise()?;
        let operands = Trace::values(slf, &operands)?;
        let values = slf.get().at(site, |b| b.push_multi(op, &operands).or_raise())?;
        Trace::wrap_all(slf, values)
    }

    /// Adds a constant.
    fn constant<'py>(
        slf: &Bound<'py, Self>,
        array: &Bound<'py, PyAny>,
        site: &str,
    ) -> PyResult<Bound<'py, Value>> {
        let tensor = to_host(array, "a constant")?;
        let value = slf.get().at(site, |b| Ok(b.constant(tensor)))?;
        Trace::wrap(slf, value)
    }

    /// Adds a scalar constant: a number converted to the dtype.
    fn scalar<'py>(
        slf: &Bound<'py, Self>,
        dtype: DType,
        number: &Bound<'py, PyAny>,
        site: &str,
    ) -> PyResult<Bound<'py, Value>> {
        let tensor = if dtype.0.is_float() {
            wootz_ir::HostTensor::scalar(dtype.0, number.extract()?)
        } else {
            let number: i64 = number.extract()?;
            let tensor = wootz_ir::HostTensor::from_i64(dtype.0, &[], &[number]);
            if tensor.to_i64() != [number] {
                return Err(Kind::DType.error(format!("{number} does not fit into {}", dtype.0)));
            }
            tensor
        };
        let value = slf.get().at(site, |b| Ok(b.constant(tensor)))?;
        Trace::wrap(slf, value)
    }

    /// Brings two or three values to one shape by NumPy's rules.
    fn broadcast<'py>(
        slf: &Bound<'py, Self>,
        operands: Vec<Bound<'py, Value>>,
        site: &str,
    ) -> PyResult<Vec<Bound<'py, Value>>> {
        let values = Trace::values(slf, &operands)?;
        let values = slf.get().at(site, |b| match values[..] {
            [x, y] => Ok(b.broadcast_together([x, y]).or_raise()?.to_vec()),
            [x, y, z] => Ok(b.broadcast_together([x, y, z]).or_raise()?.to_vec()),
            _ => Err(Kind::Internal.error("two or three operands are broadcast together")),
        })?;
        Trace::wrap_all(slf, values)
    }

    /// Brings a value to a shape by NumPy's rules.
    fn broadcast_to<'py>(
        slf: &Bound<'py, Self>,
        operand: Bound<'py, Value>,
        shape: &Bound<'py, PyAny>,
        site: &str,
    ) -> PyResult<Bound<'py, Value>> {
        let (value, shape) = (Trace::lift(slf, &operand)?, shape_from(shape)?);
        let value = slf.get().at(site, |b| b.broadcast_to(value, &shape).or_raise())?;
        Trace::wrap(slf, value)
    }

    /// Adds a graph's ops; gives its outputs. `site` is the user's line, for ops whose place is not known more closely.
    fn inline<'py>(
        slf: &Bound<'py, Self>,
        graph: &Graph,
        operands: Vec<Bound<'py, Value>>,
        site: &str,
    ) -> PyResult<Vec<Bound<'py, Value>>> {
        let operands = Trace::values(slf, &operands)?;
        let values = slf.get().at(site, |b| b.inline(&graph.0.body, &operands).or_raise())?;
        Trace::wrap_all(slf, values)
    }

    /// The value in this trace: one of an enclosing trace is taken in as a capture.
    fn adopt<'py>(slf: &Bound<'py, Self>, value: &Bound<'py, Value>) -> PyResult<Bound<'py, Value>> {
        Trace::wrap(slf, Trace::lift(slf, value)?)
    }

    /// Values of enclosing traces that were referred to so far.
    fn captures<'py>(&self, py: Python<'py>) -> PyResult<Vec<Py<Value>>> {
        Ok(self.state()?.captures.iter().map(|c| c.outer.clone_ref(py)).collect())
    }

    /// Ends the trace: a region whose parameters are the trace's and then one for each of `captures`, which must include all
    /// that were referred to.
    fn finish(
        slf: &Bound<'_, Self>,
        results: Vec<Bound<'_, Value>>,
        captures: Vec<Bound<'_, Value>>,
    ) -> PyResult<Region> {
        let results = Trace::values(slf, &results)?;
        // Captured by a result alone.
        let types = captures.iter().map(|c| c.get().ty()).collect::<PyResult<Vec<_>>>()?;
        let mut state = slf.get().state()?;
        let Home::Own(builder) = std::mem::replace(&mut state.home, Home::Ended) else { return Err(ended()) };
        if let Some((left, right)) = builder.solver().pending().first() {
            return Err(
                Kind::Shape.error(format!("cannot tell whether the sizes {left} and {right} are equal"))
            );
        }
        guarded(|| {
            let traced = builder.finish(&results);
            if captures.is_empty() && state.captures.is_empty() {
                return Ok(Region(Arc::new(traced)));
            }
            let position = |c: &Capture| {
                let outer = c.outer.get();
                let same = |v: &Bound<'_, Value>| {
                    v.get().value == outer.value && v.get().trace.as_ptr() == outer.trace.as_ptr()
                };
                captures.iter().position(same).ok_or_else(|| Kind::Internal.error("a capture was left out"))
            };
            let positions = state.captures.iter().map(position).collect::<PyResult<Vec<_>>>()?;
            let stand_ins: Vec<_> = state
                .captures
                .iter()
                .zip(positions)
                .map(|(c, at)| (at, c.stand_in, c.nodes.clone()))
                .collect();
            Ok(Region(Arc::new(with_captures(&traced, &types, &stand_ins)?)))
        })
    }

    /// Whether a model is being traced for training. `None` in a plain function.
    fn training(&self) -> PyResult<Option<bool>> {
        if matches!(self.state()?.home, Home::Own(_)) {
            return Ok(None);
        }
        self.with_scope(|scope| Ok(Some(scope.mode() == wootz_nn::Mode::Training)))
    }

    /// Calls a child block of the model being traced. `site` is the user's line.
    fn call<'py>(
        slf: &Bound<'py, Self>,
        name: &str,
        model: &Model,
        operands: Vec<Bound<'py, Value>>,
        site: &str,
    ) -> PyResult<Vec<Bound<'py, Value>>> {
        let operands = Trace::values(slf, &operands)?;
        let values = slf.get().with_scope(|scope| {
            scope.from_line(site, |scope| scope.call(name, &model.0, &operands)).or_raise()
        })?;
        Trace::wrap_all(slf, values)
    }

    /// A parameter of the block being traced.
    fn parameter<'py>(
        slf: &Bound<'py, Self>,
        name: &str,
        shape: &Bound<'py, PyAny>,
        init: &Bound<'py, PyAny>,
    ) -> PyResult<Bound<'py, Value>> {
        let (shape, init) = (shape_from(shape)?, crate::nn::init_from(init)?);
        let value = slf.get().with_scope(|scope| scope.param(name, shape, init).or_raise())?;
        Trace::wrap(slf, value)
    }

    /// The present value of a state of the block being traced.
    fn state_value<'py>(
        slf: &Bound<'py, Self>,
        name: &str,
        spec: &Spec,
        init: &Bound<'py, PyAny>,
    ) -> PyResult<Bound<'py, Value>> {
        let init = crate::nn::init_from(init)?;
        let value = slf.get().with_scope(|scope| scope.state(name, &spec.0, init).or_raise())?;
        Trace::wrap(slf, value)
    }

    /// Gives a state of the block being traced its next value.
    fn set_state(slf: &Bound<'_, Self>, name: &str, value: Bound<'_, Value>) -> PyResult<()> {
        let value = Trace::lift(slf, &value)?;
        slf.get().with_scope(|scope| scope.set_state(name, value).or_raise())
    }

    /// A key for random numbers of the model being traced.
    fn random_key<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, Value>> {
        let value = slf.get().with_scope(|scope| scope.random_key().or_raise())?;
        Trace::wrap(slf, value)
    }
}

impl Trace {
    /// As `with`, ops being said to come from the user's line `site` of the block being traced.
    fn at<R>(&self, site: &str, f: impl FnOnce(&mut Builder) -> PyResult<R>) -> PyResult<R> {
        let site = Site::at(&self.state()?.block, site);
        self.with(|b| {
            let outer = b.set_site(site);
            let result = f(b);
            b.set_site(outer);
            result
        })
    }

    /// For `nn`: a value of this trace.
    pub(crate) fn value<'py>(slf: &Bound<'py, Trace>, value: wootz_ir::Value) -> PyResult<Bound<'py, Value>> {
        Trace::wrap(slf, value)
    }

    /// For `nn`: the positions of what a callback returned.
    pub(crate) fn positions(
        slf: &Bound<'_, Trace>,
        values: &[Bound<'_, Value>],
    ) -> PyResult<Vec<wootz_ir::Value>> {
        Trace::values(slf, values)
    }
}

/// The region with parameters for captures behind its own, in place of the nodes that stood for them.
fn with_captures(
    traced: &wootz_ir::Region,
    types: &[TensorType],
    stand_ins: &[(usize, wootz_ir::Value, Range<usize>)],
) -> PyResult<wootz_ir::Region> {
    let mut b = Builder::new();
    let mut map: Vec<Option<wootz_ir::Value>> = vec![None; traced.values()];
    for (value, ty) in traced.params().zip(traced.param_types()) {
        map[value.index()] = Some(b.param(ty.clone()));
    }
    let params: Vec<wootz_ir::Value> = types.iter().map(|ty| b.param(ty.clone())).collect();
    let mut is_stand_in = vec![false; traced.nodes().len()];
    for (at, value, nodes) in stand_ins {
        map[value.index()] = Some(params[*at]);
        is_stand_in[nodes.clone()].fill(true);
    }
    let at = |map: &[Option<wootz_ir::Value>], v: &wootz_ir::Value| {
        map[v.index()].expect("a node's operands are defined before it")
    };
    for (node, _) in traced.nodes().iter().zip(&is_stand_in).filter(|(_, skip)| !**skip) {
        let inputs: Vec<wootz_ir::Value> = node.inputs.iter().map(|v| at(&map, v)).collect();
        b.set_site(node.site.clone());
        for (old, new) in node.outputs().zip(b.push_multi(node.op.clone(), &inputs).or_raise()?) {
            map[old.index()] = Some(new);
        }
    }
    let results: Vec<wootz_ir::Value> = traced.results().iter().map(|v| at(&map, v)).collect();
    Ok(b.finish(&results))
}
