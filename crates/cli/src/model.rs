//! Where graphs come from: named models, statistical workspaces and graph files.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use anyhow::{Context, Result, bail};
use wootz::histfactory::workload::Workload;
use wootz::histfactory::{self, GraphOptions, ModelOptions, Workspace};
use wootz::ir::{DType, Dim, Dims, TensorType, text};
use wootz::nn::{self, Mode, Model, Optimizer, Summary, Traced};
use wootz::runtime::Definition;

use crate::shape::NamedShape;

/// What the argument MODEL may be, for help texts.
pub(crate) const MODELS: &str = "\
MODEL is one of
  linear           one layer, 1024 to 1024 features
  linear:64-10     the same with other sizes
  mlp              a perceptron with ReLU, 784-1024-512-256-10
  mlp:64-128-10    the same with other sizes
  simple           a statistical workspace that ships with wootz; also complex-8p, thu-like, stress
  FILE             a pyhf workspace (JSON), or a file with the text form of a graph, as `wootz inspect` prints it

A workspace's graph is its log-density; with --training it also has the gradient by the parameters";

/// The rows of named models where a size is needed and none was given.
const DEFAULT_ROWS: usize = 32;
/// The learning rate of training steps.
const LEARNING_RATE: f64 = 0.01;

/// A graph whose sizes may be open, how its parameters begin, and, of named models, the table of blocks.
pub(crate) struct Source {
    pub(crate) definition: Definition,
    pub(crate) summary: Option<Summary>,
    /// Of statistical workspaces.
    pub(crate) workspace: Option<Statistical>,
    /// Columns of the input of named models.
    features: Option<usize>,
}

/// A workspace and its model.
pub(crate) struct Statistical {
    pub(crate) workspace: Workspace,
    pub(crate) model: histfactory::Model,
}

/// Finds the model; `mode` is for named models and workspaces.
pub(crate) fn load(model: &str, mode: Mode) -> Result<Source> {
    if let Some(named) = named(model)? {
        return named.trace(mode);
    }
    let path = Path::new(model);
    if let Some(workload) = Workload::parse(model).filter(|_| !path.exists()) {
        return statistical(workload.workspace(), mode);
    }
    let contents = read(path)?;
    if contents.trim_ascii_start().starts_with(b"{") {
        return statistical(Workspace::from_json(&contents)?, mode);
    }
    if mode == Mode::Training {
        bail!(
            "`{model}` is the file of a graph, which is what it is; --training needs a named model ({}) or a workspace",
            known()
        )
    }
    let shown = path.display();
    let contents = std::str::from_utf8(&contents).with_context(|| format!("`{shown}` is no text"))?;
    let graph =
        text::parse(contents).with_context(|| format!("`{shown}` is not the text form of a graph"))?;
    Ok(Source { definition: graph.into(), summary: None, workspace: None, features: None })
}

/// The log-density of a workspace's first measurement; in training with its gradient.
fn statistical(workspace: Workspace, mode: Mode) -> Result<Source> {
    let model = workspace.model(&ModelOptions::default())?;
    let density = model.logpdf_graph(&GraphOptions::default())?;
    let graph = match mode {
        Mode::Inference => density,
        Mode::Training => wootz::transform::grad(&density, 0, &[0])?,
    };
    let workspace = Some(Statistical { workspace, model });
    Ok(Source { definition: graph.into(), summary: None, workspace, features: None })
}

impl Source {
    /// The sizes by input; where none is given, named models get 32 rows.
    pub(crate) fn shapes(&self, given: &[NamedShape]) -> BTreeMap<String, Dims> {
        if let (Some(features), true) = (self.features, given.is_empty()) {
            return BTreeMap::from([("x".to_owned(), [DEFAULT_ROWS, features].as_slice().into())]);
        }
        given.iter().map(|shape| (shape.name.clone(), shape.dims.clone())).collect()
    }
}

fn read(path: &Path) -> Result<Vec<u8>> {
    let shown = path.display();
    if !path.exists() {
        bail!("there is no model and no file `{shown}`; named models are {}", known());
    }
    fs::read(path).with_context(|| format!("cannot read `{shown}`"))
}

fn known() -> &'static str {
    "`linear`, `linear:IN-OUT`, `mlp` and `mlp:IN-HIDDEN-…-OUT`"
}

struct Named {
    model: Model,
    features: usize,
    /// A classifier's output is judged by labels, any other by values.
    outputs: usize,
    classifies: bool,
}

fn named(spec: &str) -> Result<Option<Named>> {
    let (name, sizes) = match spec.split_once(':') {
        Some((name, sizes)) => (name, Some(sizes)),
        None => (spec, None),
    };
    let default: &[usize] = match name {
        "linear" => &[1024, 1024],
        "mlp" => &[784, 1024, 512, 256, 10],
        _ => return Ok(None),
    };
    let dims: Vec<usize> = match sizes {
        None => default.to_vec(),
        Some(sizes) => sizes
            .split('-')
            .map(|s| s.parse().ok().filter(|n| *n > 0))
            .collect::<Option<_>>()
            .with_context(|| format!("`{spec}`: sizes are positive numbers, as in `mlp:64-128-10`"))?,
    };
    let is_linear = name == "linear";
    if dims.len() < 2 || is_linear && dims.len() > 2 {
        bail!("`{spec}`: {} sizes do not make a model; write {}", dims.len(), known());
    }
    let model = if is_linear { nn::linear(dims[0], dims[1]) } else { nn::mlp(&dims) };
    Ok(Some(Named { model, features: dims[0], outputs: dims[dims.len() - 1], classifies: !is_linear }))
}

impl Named {
    fn trace(self, mode: Mode) -> Result<Source> {
        let rows = Dim::symbol("B");
        let x = TensorType::new(DType::F32, [rows.clone(), self.features.into()]);
        let traced: Traced = match mode {
            Mode::Inference => nn::trace(&self.model, &[("x", x)], mode)?,
            Mode::Training => {
                let optimizer: Optimizer = nn::sgd(LEARNING_RATE).into();
                if self.classifies {
                    let y = TensorType::new(DType::I64, [rows]);
                    nn::training(self.model, nn::cross_entropy(), optimizer).trace(&[("x", x), ("y", y)])?
                } else {
                    let y = TensorType::new(DType::F32, [rows, self.outputs.into()]);
                    nn::training(self.model, nn::mse(), optimizer).trace(&[("x", x), ("y", y)])?
                }
            }
        };
        let (summary, features) = (Some(traced.summary.clone()), Some(self.features));
        Ok(Source { definition: traced.into(), summary, workspace: None, features })
    }
}
