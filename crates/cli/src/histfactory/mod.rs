//! Statistical inference on pyhf workspaces: what its subcommands share. One file a subcommand.

pub(crate) mod fit;
pub(crate) mod hypotest;
pub(crate) mod limit;
pub(crate) mod options;
mod picture;
pub(crate) mod ranking;
pub(crate) mod scan;
pub(crate) mod significance;
pub(crate) mod toys;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, Result, bail};
use indicatif::{ProgressBar, ProgressStyle};
use wootz::Cpu;
use wootz::histfactory::workload::Workload;
use wootz::histfactory::workspace::{PatchKey, PatchSet};
use wootz::histfactory::{
    Inference, InferenceOptions, Model, ModelOptions, Observer, Poi, Statistic, Workspace,
};

pub(crate) use options::Fits;
use options::Rates;

/// What is analysed.
#[derive(clap::Args)]
pub(crate) struct Source {
    /// A pyhf workspace (JSON), or a workload that ships with wootz: simple, complex-8p, thu-like, stress
    #[arg(value_name = "WORKSPACE")]
    workspace: String,
    /// The measurement [default: the first]
    #[arg(long, value_name = "NAME")]
    measurement: Option<String>,
    /// The parameter of interest [default: the measurement's]
    #[arg(long, value_name = "NAME")]
    poi: Option<String>,
    /// A patch of a patch set to apply first
    #[arg(long, value_name = "FILE:NAME")]
    patch: Option<String>,
    /// Fit Asimov data of this value of the parameter of interest and not the observed data
    #[arg(long, value_name = "MU", allow_negative_numbers = true)]
    asimov: Option<f64>,
    #[command(flatten)]
    rates: Rates,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// A model, its programs and its data.
pub(crate) struct Analysis {
    pub(crate) inference: Inference,
    pub(crate) model: Arc<Model>,
    pub(crate) data: Vec<f64>,
}

impl Source {
    pub(crate) fn open(&self) -> Result<Analysis> {
        let mut workspace = match Workload::parse(&self.workspace) {
            Some(workload) if !Path::new(&self.workspace).exists() => workload.workspace(),
            _ => Workspace::read(Path::new(&self.workspace))?,
        };
        if let Some(patch) = &self.patch {
            let Some((file, name)) = patch.rsplit_once(':') else {
                bail!("--patch takes a file and a name, FILE:NAME, not `{patch}`");
            };
            workspace = PatchSet::read(Path::new(file))?.apply(&workspace, PatchKey::Name(name))?;
        }
        let poi = self.poi.clone().map_or(Poi::Measurement, Poi::Name);
        let options = ModelOptions { measurement: self.measurement.clone(), poi, ..self.rates.options() };
        let model = Arc::new(workspace.model(&options)?);
        let mut inference =
            Inference::new(model.clone(), Arc::new(Cpu::default()), InferenceOptions::default())?;
        let data = match self.asimov {
            None => workspace.data(&model)?,
            Some(mu) => {
                let mut start = model.config().init.clone();
                let poi = model.config().poi.context("--asimov needs a parameter of interest")?;
                start[poi] = mu;
                inference.expected_data(&start)?
            }
        };
        Ok(Analysis { inference, model, data })
    }

    /// What to name the source in a picture.
    pub(crate) fn title(&self) -> String {
        PathBuf::from(&self.workspace).file_stem().map_or_else(String::new, |s| s.to_string_lossy().into())
    }
}

/// A test statistic by its name.
pub(crate) fn parse_statistic(name: &str) -> Result<Statistic, String> {
    let known = || Statistic::ALL.map(Statistic::name).join(", ");
    Statistic::parse(name).ok_or_else(|| format!("there are: {}", known()))
}

/// Says on standard error what a user should know of a result.
pub(crate) fn advise(advice: Option<&str>) {
    if let Some(advice) = advice {
        eprintln!("warning: {advice}");
    }
}

/// The band of an expected result, by name.
pub(crate) const BAND: [&str; 5] = ["-2σ", "-1σ", "median", "+1σ", "+2σ"];

/// Draws progress on a terminal, and nothing in a pipe.
pub(crate) struct Progress(ProgressBar);

impl Progress {
    /// A bar of so many steps, drawn while the inference runs.
    pub(crate) fn of(steps: usize, inference: &mut Inference) -> Arc<Progress> {
        Progress::shown(ProgressBar::new(steps as u64), "{bar:24} {pos}/{len} {elapsed}", inference)
    }

    /// A count of steps, of which nobody knows how many there will be.
    pub(crate) fn endless(inference: &mut Inference) -> Arc<Progress> {
        Progress::shown(ProgressBar::no_length(), "{spinner} {pos} tests {elapsed}", inference)
    }

    fn shown(bar: ProgressBar, template: &str, inference: &mut Inference) -> Arc<Progress> {
        if let Ok(style) = ProgressStyle::with_template(template) {
            bar.set_style(style);
        }
        let progress = Arc::new(Progress(bar));
        inference.observe(Some(progress.clone()));
        progress
    }

    pub(crate) fn finish(&self) {
        self.0.finish_and_clear();
    }
}

impl Observer for Progress {
    fn advance(&self) {
        self.0.inc(1);
    }
}
