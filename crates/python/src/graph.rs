//! Finished graphs and regions, and the transformations of graphs.

use crate::error::{Kind, OrRaise, guarded};
use crate::types::{Spec, dim_from};
use pyo3::prelude::*;
use std::sync::Arc;
use wootz_transform as transform;

/// A graph: named inputs to named outputs. Prints as text, which `Graph.parse` reads back.
#[pyclass(frozen, eq, hash, module = "wootz")]
#[derive(PartialEq, Eq, Hash)]
pub(crate) struct Graph(pub(crate) Arc<wootz_ir::Graph>);

impl Graph {
    pub(crate) fn new(graph: wootz_ir::Graph) -> Graph {
        Graph(Arc::new(graph))
    }
}

#[pymethods]
impl Graph {
    /// The graph that a text describes.
    #[staticmethod]
    fn parse(text: &str) -> PyResult<Graph> {
        guarded(|| Ok(Graph::new(wootz_ir::text::parse(text).or_raise()?)))
    }

    /// (name, role, type) of every input.
    #[getter]
    fn inputs(&self) -> Vec<(String, &'static str, Spec)> {
        let spec = |i: usize| Spec(self.0.input_type(i).clone());
        self.0.inputs.iter().enumerate().map(|(i, x)| (x.name.to_string(), x.role.name(), spec(i))).collect()
    }

    /// (name, type) of every output.
    #[getter]
    fn outputs(&self) -> Vec<(String, Spec)> {
        let spec = |i: usize| Spec(self.0.output_type(i).clone());
        self.0.outputs.iter().enumerate().map(|(i, x)| (x.name.to_string(), spec(i))).collect()
    }

    /// The number of nodes, those of nested regions not counted.
    fn __len__(&self) -> usize {
        self.0.body.nodes().len()
    }

    fn __str__(&self) -> String {
        wootz_ir::text::print(&self.0)
    }

    fn __repr__(&self) -> String {
        format!(
            "<wootz.Graph: {} inputs, {} nodes, {} outputs>",
            self.0.inputs.len(),
            self.__len__(),
            self.0.outputs.len()
        )
    }

    /// The gradient of output `output` by the inputs `wrt`, after the graph's own outputs.
    fn grad(&self, output: usize, wrt: Vec<usize>) -> PyResult<Graph> {
        transformed(|| transform::grad(&self.0, output, &wrt))
    }

    /// The vector-Jacobian product: takes a cotangent for each float output.
    fn vjp(&self, wrt: Vec<usize>) -> PyResult<Graph> {
        transformed(|| transform::vjp(&self.0, &wrt))
    }

    /// The Jacobian-vector product: takes a tangent for each input in `wrt`.
    fn jvp(&self, wrt: Vec<usize>) -> PyResult<Graph> {
        transformed(|| transform::jvp(&self.0, &wrt))
    }

    /// The graph over a new axis of a size.
    fn vmap(
        &self,
        in_axes: Vec<Option<usize>>,
        out_axes: Vec<Option<usize>>,
        size: &Bound<'_, PyAny>,
    ) -> PyResult<Graph> {
        let size = dim_from(size)?;
        transformed(|| transform::vmap(&self.0, &in_axes, &out_axes, &size))
    }

    /// Gradient and second derivatives of output `output` by the inputs `wrt`.
    fn hessian(&self, output: usize, wrt: Vec<usize>) -> PyResult<Graph> {
        transformed(|| transform::hessian(&self.0, output, &wrt))
    }

    /// Jacobians of all float outputs by forward mode.
    fn jacfwd(&self, wrt: Vec<usize>) -> PyResult<Graph> {
        transformed(|| transform::jacfwd(&self.0, &wrt))
    }

    /// Jacobians of all float outputs by reverse mode.
    fn jacrev(&self, wrt: Vec<usize>) -> PyResult<Graph> {
        transformed(|| transform::jacrev(&self.0, &wrt))
    }
}

fn transformed(f: impl FnOnce() -> Result<wootz_ir::Graph, transform::TransformError>) -> PyResult<Graph> {
    guarded(|| Ok(Graph::new(f().or_raise()?)))
}

/// A closed piece of a graph, for ops that own one.
#[pyclass(frozen, module = "wootz._native")]
pub(crate) struct Region(pub(crate) Arc<wootz_ir::Region>);

#[pymethods]
impl Region {
    /// The results' types.
    #[getter]
    fn results(&self) -> Vec<Spec> {
        self.0.result_types().into_iter().map(Spec).collect()
    }

    /// A graph around the region, with these names for inputs and outputs. All inputs are given at every run.
    fn graph(&self, inputs: Vec<String>, outputs: Vec<String>) -> PyResult<Graph> {
        if inputs.len() != self.0.param_types().len() || outputs.len() != self.0.results().len() {
            return Err(Kind::Internal.error("a region was given the wrong number of names"));
        }
        let role = wootz_ir::Role::Input;
        let inputs = inputs.into_iter().map(|name| wootz_ir::Input { name: name.into(), role }).collect();
        let output = |name: String| wootz_ir::Output { name: name.into(), alias: None };
        let graph = wootz_ir::Graph {
            inputs,
            outputs: outputs.into_iter().map(output).collect(),
            body: self.0.clone(),
        };
        Ok(Graph::new(graph))
    }

    fn __str__(&self) -> String {
        wootz_ir::text::print_region(&self.0)
    }
}
