//! HistFactory workspaces and models; [`inference`] with them, and [`objective`]s and [`histogram`]s to train by.

mod density;
mod histogram;
mod inference;
mod objective;
mod report;

pub(crate) use density::HistFactoryDensity;
pub(crate) use histogram::HistFactoryHistogram;
pub(crate) use inference::HistFactoryInference;
pub(crate) use objective::HistFactoryObjective;

use crate::error::{Kind, OrRaise, Raise, guarded, with_causes};
use crate::graph::Graph;
use numpy::{PyArray1, PyReadonlyArray1};
use pyo3::prelude::*;
use pyo3::types::PyDict;
use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;
use wootz_histfactory as histfactory;
use wootz_histfactory::workspace::{DigestAlgorithm, Join, MergeChannels, PatchKey, Prune, Rename};
use wootz_histfactory::{
    Convention, GraphOptions, HistosysCode, ModelError, ModelOptions, ModifierSettings, NormsysCode, Poi,
    ProfileOptions, Template, WorkspaceError,
};

/// A workspace.
#[pyclass(frozen, eq, module = "wootz._native")]
#[derive(PartialEq)]
pub(crate) struct HistFactoryWorkspace(histfactory::Workspace);

#[pymethods]
impl HistFactoryWorkspace {
    /// Reads JSON text.
    #[staticmethod]
    fn from_json(py: Python<'_>, text: &[u8]) -> PyResult<HistFactoryWorkspace> {
        guarded(|| py.detach(|| histfactory::Workspace::from_json(text)).or_raise().map(HistFactoryWorkspace))
    }

    /// Reads a file.
    #[staticmethod]
    fn read(py: Python<'_>, path: PathBuf) -> PyResult<HistFactoryWorkspace> {
        guarded(|| py.detach(|| histfactory::Workspace::read(&path)).or_raise().map(HistFactoryWorkspace))
    }

    /// The shipped workload of this name.
    #[staticmethod]
    fn workload(name: &str) -> PyResult<HistFactoryWorkspace> {
        use histfactory::workload::Workload;
        let known = || Workload::ALL.map(Workload::name).join(", ");
        match Workload::parse(name) {
            Some(workload) => Ok(HistFactoryWorkspace(workload.workspace())),
            None => {
                Err(Kind::UnknownName.error(format!("there is no workload `{name}`; there are: {}", known())))
            }
        }
    }

    /// The generated workspace of this many bins and systematics.
    #[staticmethod]
    fn scaling(bins: usize, systematics: usize) -> PyResult<HistFactoryWorkspace> {
        if bins == 0 || systematics < 10 {
            return Err(Kind::Model.error("scaling needs at least 1 bin and 10 systematics"));
        }
        Ok(HistFactoryWorkspace(histfactory::workload::scaling(bins, systematics)))
    }

    /// The workspace as JSON text.
    fn to_json(&self) -> String {
        self.0.to_json()
    }

    /// pyhf's digest.
    fn digest(&self, algorithm: &str) -> PyResult<String> {
        let known = || DigestAlgorithm::ALL.map(DigestAlgorithm::name).join(", ");
        match DigestAlgorithm::ALL.into_iter().find(|a| a.name() == algorithm) {
            Some(algorithm) => Ok(self.0.digest(algorithm)),
            None => Err(Kind::UnknownName
                .error(format!("there is no digest algorithm `{algorithm}`; there are: {}", known()))),
        }
    }

    /// The workspace without these.
    fn prune(
        &self,
        modifiers: Vec<String>,
        modifier_types: Vec<String>,
        samples: Vec<String>,
        channels: Vec<String>,
        measurements: Vec<String>,
    ) -> PyResult<HistFactoryWorkspace> {
        let prune = Prune { modifiers, modifier_types, samples, channels, measurements };
        self.0.prune(&prune).or_raise().map(HistFactoryWorkspace)
    }

    /// The workspace with other names.
    fn rename(
        &self,
        modifiers: HashMap<String, String>,
        samples: HashMap<String, String>,
        channels: HashMap<String, String>,
        measurements: HashMap<String, String>,
    ) -> PyResult<HistFactoryWorkspace> {
        let rename = Rename { modifiers, samples, channels, measurements };
        self.0.rename(&rename).or_raise().map(HistFactoryWorkspace)
    }

    /// The workspace with its lists in the order of names.
    fn sorted(&self) -> HistFactoryWorkspace {
        HistFactoryWorkspace(self.0.sorted())
    }

    /// Two workspaces as one.
    #[staticmethod]
    fn combine(
        left: &HistFactoryWorkspace,
        right: &HistFactoryWorkspace,
        join: &str,
        merge_channels: bool,
    ) -> PyResult<HistFactoryWorkspace> {
        let join = match join {
            "none" => Join::None,
            "outer" => Join::Outer,
            "left outer" => Join::LeftOuter,
            "right outer" => Join::RightOuter,
            _ => {
                let message = format!(
                    "join must be \"none\", \"outer\", \"left outer\" or \"right outer\", not \"{join}\""
                );
                return Err(Kind::Workspace.error(message));
            }
        };
        let merge = if merge_channels { MergeChannels::Yes } else { MergeChannels::No };
        histfactory::Workspace::combine(&left.0, &right.0, join, merge).or_raise().map(HistFactoryWorkspace)
    }

    /// What is in it, as a table.
    fn summary(&self) -> String {
        self.0.summary().to_string()
    }

    /// The measurements' names.
    #[getter]
    fn measurements(&self) -> Vec<&str> {
        self.0.measurements.iter().map(|m| m.name.as_str()).collect()
    }

    /// The channels with their numbers of bins, in the workspace's order.
    #[getter]
    fn channels(&self) -> Vec<(&str, usize)> {
        self.0.channels.iter().map(|c| (c.name.as_str(), c.bins())).collect()
    }

    /// The model of a measurement. `poi` is a name or `None`, unless `measured_poi`.
    fn model(
        &self,
        measurement: Option<String>,
        poi: Option<String>,
        measured_poi: bool,
        normsys: &str,
        histosys: &str,
        clip_sample_data: Option<f64>,
        clip_bin_data: Option<f64>,
    ) -> PyResult<HistFactoryModel> {
        let code = |what: &str, name: &str, known: &str| {
            Kind::Model
                .error(format!("the interpolation code of {what} must be one of {known}, not \"{name}\""))
        };
        let settings = ModifierSettings {
            normsys: NormsysCode::parse(normsys).ok_or_else(|| code("normsys", normsys, "code1, code4"))?,
            histosys: HistosysCode::parse(histosys)
                .ok_or_else(|| code("histosys", histosys, "code0, code2, code4p"))?,
        };
        let poi = match poi {
            _ if measured_poi => Poi::Measurement,
            Some(name) => Poi::Name(name),
            None => Poi::None,
        };
        let options = ModelOptions { measurement, poi, settings, clip_sample_data, clip_bin_data };
        guarded(|| self.0.model(&options).or_raise().map(|model| HistFactoryModel(Arc::new(model))))
    }

    /// The observed counts in the order of a model's bins.
    fn observed<'py>(
        &self,
        py: Python<'py>,
        model: &HistFactoryModel,
    ) -> PyResult<Bound<'py, PyArray1<f64>>> {
        Ok(PyArray1::from_vec(py, self.0.observed(&model.0).or_raise()?))
    }
}

/// A set of patches.
#[pyclass(frozen, module = "wootz._native")]
pub(crate) struct HistFactoryPatchSet(histfactory::workspace::PatchSet);

#[pymethods]
impl HistFactoryPatchSet {
    /// Reads JSON text.
    #[staticmethod]
    fn from_json(text: &[u8]) -> PyResult<HistFactoryPatchSet> {
        guarded(|| histfactory::workspace::PatchSet::from_json(text).or_raise().map(HistFactoryPatchSet))
    }

    /// Reads a file.
    #[staticmethod]
    fn read(path: PathBuf) -> PyResult<HistFactoryPatchSet> {
        guarded(|| histfactory::workspace::PatchSet::read(&path).or_raise().map(HistFactoryPatchSet))
    }

    /// Description, labels, references and digests, the last two as JSON text and pairs.
    #[getter]
    fn metadata(&self) -> (&str, Vec<String>, String, Vec<(&'static str, String)>) {
        let references = serde_json::to_string(self.0.references()).unwrap_or_default();
        let digests = self.0.digests().iter().map(|(a, digest)| (a.name(), digest.clone())).collect();
        (self.0.description(), self.0.labels().to_vec(), references, digests)
    }

    /// Name and values (as JSON text) of each patch.
    #[getter]
    fn patches(&self) -> Vec<(&str, String)> {
        let values =
            |p: &histfactory::workspace::Patch| serde_json::to_string(p.values()).unwrap_or_default();
        self.0.patches().iter().map(|p| (p.name(), values(p))).collect()
    }

    /// Checks the digests.
    fn verify(&self, workspace: &HistFactoryWorkspace) -> PyResult<()> {
        self.0.verify(&workspace.0).or_raise()
    }

    /// The workspace with the patch of this name, or of these values (JSON text), applied.
    fn apply(
        &self,
        workspace: &HistFactoryWorkspace,
        name: Option<&str>,
        values: Option<&str>,
    ) -> PyResult<HistFactoryWorkspace> {
        let values: Vec<serde_json::Value> = match values {
            Some(text) => serde_json::from_str(text)
                .map_err(|e| Kind::Workspace.error(format!("values of a patch: {e}")))?,
            None => Vec::new(),
        };
        let key = match name {
            Some(name) => PatchKey::Name(name),
            None => PatchKey::Values(&values),
        };
        guarded(|| self.0.apply(&workspace.0, key).or_raise().map(HistFactoryWorkspace))
    }
}

/// A model.
#[pyclass(frozen, module = "wootz._native")]
pub(crate) struct HistFactoryModel(Arc<histfactory::Model>);

impl HistFactoryModel {
    fn shared(&self) -> Arc<histfactory::Model> {
        self.0.clone()
    }
}

#[pymethods]
impl HistFactoryModel {
    /// What the arrays mean, as a dict.
    fn config<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let config = self.0.config();
        let out = PyDict::new(py);
        let sets = config.parameter_sets.iter().map(|s| {
            let constraint = match s.constraint {
                histfactory::Constraint::None => None,
                histfactory::Constraint::Normal => Some("normal"),
                histfactory::Constraint::Poisson => Some("poisson"),
            };
            (
                s.name.as_str(),
                (s.slice.start, s.slice.end),
                s.scalar,
                constraint,
                (s.auxiliary.start, s.auxiliary.end),
            )
        });
        out.set_item("parameter_sets", sets.collect::<Vec<_>>())?;
        out.set_item("par_names", &config.names)?;
        out.set_item("init", &config.init)?;
        out.set_item("bounds", &config.bounds)?;
        out.set_item("fixed", &config.fixed)?;
        out.set_item("auxdata", &config.auxdata)?;
        let channels = config.channels.iter().map(|c| (c.name.as_str(), (c.slice.start, c.slice.end)));
        out.set_item("channels", channels.collect::<Vec<_>>())?;
        out.set_item("samples", &config.samples)?;
        out.set_item("modifiers", &config.modifiers)?;
        out.set_item("prefit_uncertainties", self.0.prefit_uncertainties())?;
        out.set_item("poi_index", config.poi)?;
        Ok(out)
    }

    /// A graph of the model by name: `rates`, `sample_rates`, `expected_data` or `logpdf`, with these templates as inputs.
    fn graph(&self, name: &str, templates: Vec<String>, recomputed: bool) -> PyResult<Graph> {
        let inputs = templates.iter().map(|t| template(t)).collect::<PyResult<Vec<_>>>()?;
        let convention = if recomputed { Convention::Recomputed } else { Convention::Frozen };
        let options = GraphOptions { inputs, convention };
        guarded(|| {
            let graph = match name {
                "rates" => self.0.rates_graph(&options),
                "sample_rates" => self.0.sample_rates_graph(&options),
                "expected_data" => self.0.expected_data_graph(&options),
                "logpdf" => self.0.logpdf_graph(&options),
                _ => return Err(Kind::Internal.error(format!("a model has no graph `{name}`"))),
            };
            graph.or_raise().map(Graph::new)
        })
    }

    /// A fit as a graph, with these templates as inputs.
    fn fit_graph(&self, templates: Vec<String>, recomputed: bool, max_evaluations: usize) -> PyResult<Graph> {
        let inputs = templates.iter().map(|t| template(t)).collect::<PyResult<Vec<_>>>()?;
        let convention = if recomputed { Convention::Recomputed } else { Convention::Frozen };
        let options = GraphOptions { inputs, convention };
        guarded(|| {
            let graph = self.0.fit_graph(&options, max_evaluations);
            graph.map_err(histfactory::InferenceError::from).or_raise().map(Graph::new)
        })
    }

    /// A test statistic by name as a graph, with these templates as inputs.
    fn statistic_graph(
        &self,
        name: &str,
        templates: Vec<String>,
        recomputed: bool,
        max_evaluations: usize,
        warm: bool,
    ) -> PyResult<Graph> {
        let inputs = templates.iter().map(|t| template(t)).collect::<PyResult<Vec<_>>>()?;
        let convention = if recomputed { Convention::Recomputed } else { Convention::Frozen };
        let statistic = inference::statistic(name)?;
        let options = GraphOptions { inputs, convention };
        let fits = ProfileOptions { max_evaluations, warm };
        guarded(|| {
            let graph = self.0.test_statistic_graph(statistic, &options, fits);
            graph.or_raise().map(Graph::new)
        })
    }

    /// An asymptotic test by a statistic's name as a graph, with these templates as inputs.
    fn hypotest_graph(
        &self,
        name: &str,
        templates: Vec<String>,
        recomputed: bool,
        max_evaluations: usize,
        warm: bool,
    ) -> PyResult<Graph> {
        let inputs = templates.iter().map(|t| template(t)).collect::<PyResult<Vec<_>>>()?;
        let convention = if recomputed { Convention::Recomputed } else { Convention::Frozen };
        let statistic = inference::statistic(name)?;
        let options = GraphOptions { inputs, convention };
        let fits = ProfileOptions { max_evaluations, warm };
        guarded(|| self.0.hypotest_graph(statistic, &options, fits).or_raise().map(Graph::new))
    }

    /// The values of a template.
    fn template<'py>(&self, py: Python<'py>, name: &str) -> PyResult<Bound<'py, PyArray1<f64>>> {
        Ok(PyArray1::from_slice(py, self.0.template(template(name)?)))
    }

    /// Where a sample of a channel stands in the template `nominal`.
    fn nominal_slice(&self, channel: &str, sample: &str) -> Option<(usize, usize)> {
        self.0.nominal_slice(channel, sample).map(|r| (r.start, r.end))
    }

    /// Where a modifier of a channel's sample stands in a template; without a name, whichever there is.
    fn modifier_slice(
        &self,
        name: &str,
        channel: &str,
        sample: &str,
        modifier: Option<&str>,
    ) -> PyResult<Option<(usize, usize)>> {
        let found = self.0.modifier_slice(template(name)?, channel, sample, modifier);
        Ok(found.map(|r| (r.start, r.end)))
    }

    /// Raises what is wrong with these arrays: a wrong length, a number that is not finite, a negative count.
    fn check(
        &self,
        parameters: PyReadonlyArray1<'_, f64>,
        data: Option<PyReadonlyArray1<'_, f64>>,
    ) -> PyResult<()> {
        self.0.check_parameters(&parameters.as_array().to_vec()).or_raise()?;
        match data {
            Some(data) => self.0.check_data(&data.as_array().to_vec()).or_raise(),
            None => Ok(()),
        }
    }

    /// Raises `NegativeRateError` if a rate is negative at these parameters.
    fn check_rates(&self, parameters: PyReadonlyArray1<'_, f64>) -> PyResult<()> {
        guarded(|| match self.0.negative_rate(&parameters.as_array().to_vec()).or_raise()? {
            Some(negative) => Err(Kind::NegativeRate.error(negative.to_string())),
            None => Ok(()),
        })
    }
}

fn template(name: &str) -> PyResult<Template> {
    Template::ALL.into_iter().find(|t| t.name() == name).ok_or_else(|| {
        let known = Template::ALL.map(Template::name).join(", ");
        Kind::UnknownName.error(format!("there is no template `{name}`; there are: {known}"))
    })
}

impl Raise for WorkspaceError {
    fn raise(self) -> PyErr {
        let (kind, path) = match &self {
            WorkspaceError::Read { .. } => (Kind::File, None),
            WorkspaceError::Unknown { .. } => (Kind::UnknownName, None),
            WorkspaceError::Syntax { path, .. }
            | WorkspaceError::Schema { path, .. }
            | WorkspaceError::BinCount { path, .. }
            | WorkspaceError::Duplicate { path, .. }
            | WorkspaceError::NegativeCount { path, .. } => (Kind::Workspace, Some(path.clone())),
            WorkspaceError::NoObservation { .. }
            | WorkspaceError::Combine { .. }
            | WorkspaceError::MergeNeedsOuterJoin
            | WorkspaceError::Patch { .. }
            | WorkspaceError::Digest { .. } => (Kind::Workspace, None),
        };
        let error = kind.error(with_causes(&self));
        let Some(path) = path else { return error };
        Python::attach(|py| match error.value(py).setattr("path", path) {
            Ok(()) => error,
            Err(other) => other,
        })
    }
}

impl Raise for ModelError {
    fn raise(self) -> PyErr {
        let kind = match self {
            ModelError::Workspace(error) => return error.raise(),
            ModelError::Type(_) | ModelError::Eval(_) => Kind::Internal,
            ModelError::UnknownPoi { .. } => Kind::UnknownName,
            ModelError::NegativeRate(_) => Kind::NegativeRate,
            ModelError::Length { .. } => Kind::Shape,
            ModelError::NameReuse { .. }
            | ModelError::NotShared { .. }
            | ModelError::ShapefactorBins { .. }
            | ModelError::StaterrorChannels { .. }
            | ModelError::Unconfigured { .. }
            | ModelError::NotConfigurable { .. }
            | ModelError::ValueCount { .. }
            | ModelError::NotPositive { .. }
            | ModelError::NoParameters
            | ModelError::PoiNotScalar { .. }
            | ModelError::Value { .. } => Kind::Model,
        };
        kind.error(with_causes(&self))
    }
}
