//! Inference: fits, test statistics, limits.
//!
//! [`Inference`] holds a model's compiled programs. A fit takes second-order steps on the Fisher matrix with a projected active set; its
//! iteration is one graph (`iteration`), driven from here for a single fit.

use crate::{GraphOptions, Model, Templates};
use wootz_ir::{Builder, DType, Graph, Input, Output, Role, Shape, TensorType, TypeError, Value};

mod asymptotic;
mod covariance;
mod dense;
mod density;
mod derivatives;
mod error;
mod fit;
mod fit_graph;
mod goodness;
mod hessian;
mod hypotest_graph;
mod implicit;
mod interval;
mod iteration;
mod jacobian;
mod limit;
mod newton;
mod objective;
mod prediction;
mod profile;
mod profile_graph;
mod ranking;
mod session;
mod starts;
mod statistic;
mod toys;

pub use asymptotic::{Hypotest, HypotestOptions, Significance};
pub use density::Density;
pub use derivatives::Derivatives;
pub use error::{EmptyBin, InferenceError, NotConverged};
pub use fit::{Convergence, Fit, FitOptions};
pub use goodness::{GoodnessOfFit, Pull};
pub use interval::Interval;
pub use limit::{LimitOptions, Scan, UpperLimit};
pub use objective::{Evaluation, Objective, ObjectiveData, Starts, Which};
pub use prediction::{Prediction, Yield};
pub use profile_graph::ProfileOptions;
pub use ranking::Impact;
pub use session::{Inference, InferenceOptions, Observer};
pub(crate) use session::{session, write};
pub use statistic::{Statistic, TestStatistic};
pub use toys::{ToyOptions, Toys};

/// A graph over a model: inputs of these names and shapes (f64), then the templates that are inputs.
fn graph_of<E: From<TypeError>>(
    model: &Model,
    options: &GraphOptions,
    inputs: &[(&str, Shape)],
    outputs: &[&str],
    build: impl FnOnce(&mut Builder, &[Value], &Templates) -> Result<Vec<Value>, E>,
) -> Result<Graph, E> {
    let mut b = Builder::new();
    let mut names = Vec::new();
    let mut input = |b: &mut Builder, name: &str, shape: &Shape| {
        names.push(Input { name: name.into(), role: Role::Input });
        b.param(TensorType::new(DType::F64, shape.clone()))
    };
    let args: Vec<Value> = inputs.iter().map(|(name, shape)| input(&mut b, name, shape)).collect();
    let mut templates = Templates::constant().under(options.convention);
    for template in &options.inputs {
        let value = input(&mut b, template.name(), &Shape::from([model.template(*template).len()]));
        templates = templates.with(*template, value);
    }
    let results = build(&mut b, &args, &templates)?;
    let outputs = outputs.iter().map(|name| Output { name: (*name).into(), alias: None }).collect();
    Ok(Graph { inputs: names, outputs, body: b.finish(&results).into() })
}

type Built = Result<Value, TypeError>;
