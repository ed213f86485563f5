//! Models as graphs: rates and log-density, with any template as an input.

mod density;
mod evaluate;
mod rates;
mod rows;
mod templates;

pub(crate) use rates::{Alphas, Layout, Variations};
pub use templates::{Template, Templates};

use crate::{Model, ModelError};
use wootz_ir::{Builder, DType, Graph, Input, Output, Role, Site, TensorType, TypeError, Value};

type Built = Result<Value, TypeError>;

/// What changed nominal yields do to quantities derived from them: absolute variations Δ of histosys, widths of staterror, rate factors τ
/// (and auxiliary data at nominal) of shapesys.
#[derive(Copy, Clone, Debug, PartialEq, Eq, Hash, Default)]
pub enum Convention {
    /// Derived quantities keep using the workspace's yields. Changed variations and errors still act.
    #[default]
    Frozen,
    /// Everything is as if the workspace had been rewritten. What is an error or 0 in the workspace (a bin without statistical error, say) stays
    /// so.
    Recomputed,
}

/// Builds a part of a model: what it is called goes with its nodes into profiles and generated code.
pub(crate) fn part<T>(b: &mut Builder, name: &str, build: impl FnOnce(&mut Builder) -> T) -> T {
    let outside = b.set_site(Site::new(name));
    let built = build(b);
    b.set_site(outside);
    built
}

/// What of a model is an input of its graph.
#[derive(Clone, Debug, Default)]
pub struct GraphOptions {
    /// The templates that are inputs; the others are constants.
    pub inputs: Vec<Template>,
    /// What changed yields do to derived quantities.
    pub convention: Convention,
}

impl Model {
    /// The expected rates as a graph: `parameters` `f64[parameters]`, then the chosen templates by name → `rates` `f64[bins]`.
    pub fn rates_graph(&self, options: &GraphOptions) -> Result<Graph, ModelError> {
        self.graph(options, &["parameters"], "rates", |b, inputs, templates| {
            self.rates(b, inputs[0], templates)
        })
    }

    /// The expected rates of each sample as a graph: as [`rates_graph`](Model::rates_graph) → `rates` `f64[samples, bins]`.
    pub fn sample_rates_graph(&self, options: &GraphOptions) -> Result<Graph, ModelError> {
        self.graph(options, &["parameters"], "rates", |b, inputs, templates| {
            self.sample_rates(b, inputs[0], templates)
        })
    }

    /// Expected rates and expected auxiliary data as a graph: as [`rates_graph`](Model::rates_graph) → `data` `f64[bins + auxiliary data]`.
    pub fn expected_data_graph(&self, options: &GraphOptions) -> Result<Graph, ModelError> {
        self.graph(options, &["parameters"], "data", |b, inputs, templates| {
            self.expected_data(b, inputs[0], templates)
        })
    }

    /// The log-density as a graph: `parameters` `f64[parameters]`, `data` `f64[bins + auxiliary data]`, then the chosen templates by name → `logpdf`, a
    /// scalar, NaN where a rate is negative.
    pub fn logpdf_graph(&self, options: &GraphOptions) -> Result<Graph, ModelError> {
        self.graph(options, &["parameters", "data"], "logpdf", |b, inputs, templates| {
            self.logpdf(b, inputs[0], inputs[1], templates)
        })
    }

    /// Expected rates, then expected auxiliary data.
    pub(crate) fn expected_data(&self, b: &mut Builder, parameters: Value, templates: &Templates) -> Built {
        let rates = self.rates(b, parameters, templates)?;
        if self.config().auxdata.is_empty() {
            return Ok(rates);
        }
        let auxdata = part(b, "auxdata", |b| self.expected_auxdata(b, parameters, templates))?;
        b.concat(&[rates, auxdata], 0)
    }

    fn graph(
        &self,
        options: &GraphOptions,
        names: &[&str],
        output: &str,
        build: impl FnOnce(&mut Builder, &[Value], &Templates) -> Built,
    ) -> Result<Graph, ModelError> {
        let mut b = Builder::new();
        let mut inputs = Vec::new();
        let mut values = Vec::new();
        let mut input = |b: &mut Builder, name: &str, size: usize| {
            inputs.push(Input { name: name.into(), role: Role::Input });
            b.param(TensorType::new(DType::F64, [size]))
        };
        for name in names {
            let size = if *name == "data" { self.config().data_len() } else { self.config().parameters() };
            values.push(input(&mut b, name, size));
        }
        let mut templates = Templates::constant().under(options.convention);
        for template in &options.inputs {
            let value = input(&mut b, template.name(), self.template(*template).len());
            templates = templates.with(*template, value);
        }
        let result = build(&mut b, &values, &templates)?;
        let outputs = vec![Output { name: output.into(), alias: None }];
        Ok(Graph { inputs, outputs, body: b.finish(&[result]).into() })
    }
}
