//! What to run.

use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::error::BenchError;
use crate::isa::Isa;
use crate::machine;
use crate::peers;
use crate::protocol::{Case, DType, Mode, Model};
use crate::runner::{PYTHON, Runner, WOOTZ, WOOTZ_AVX2};

/// Everything a run can be told. [`RunOptions::quick`] and [`RunOptions::full`] are the presets; every field can be
/// changed after.
#[derive(Debug, Clone)]
pub struct RunOptions {
    /// Models (see [`Model::by_name`]).
    pub models: Vec<Model>,
    /// Runner names in the order of the table: `wootz`, `wootz-avx2` and the names of [`PYTHON`]. `None`: all but
    /// `wootz-avx2`.
    pub backends: Option<Vec<String>>,
    /// Batch sizes.
    pub batch_sizes: Vec<usize>,
    /// Inference, training or both.
    pub modes: Vec<Mode>,
    /// Batch sizes that get a cold phase; others are measured warm only.
    pub cold_batch_sizes: Vec<usize>,
    /// Threads of each stack; `None`: every core.
    pub threads: Option<usize>,
    /// Warm rounds (at least 10).
    pub repeats: usize,
    /// Unrecorded rounds before them.
    pub warmup_rounds: usize,
    /// Fresh processes a cold phase (0 for none, at least 5 otherwise).
    pub cold_spawns: usize,
    /// A stack whose fresh processes of a case have taken this long together gets no more of them, but always one.
    pub cold_budget: Duration,
    /// Hold every stack that can be held to this instruction set.
    pub isa: Option<Isa>,
    /// Shortest duration of one warm sample; steps are repeated inside a sample until it lasts as long.
    pub sample_time: Duration,
    /// How long a worker may take to answer.
    pub timeout: Duration,
    /// Seed of all numbers.
    pub seed: u64,
    /// Runner that ratios are taken against.
    pub baseline: String,
    /// Folder to write to; `None`: a new `<date>-<machine>` under `runs_directory`.
    pub out: Option<PathBuf>,
    /// Parent of the default folder.
    pub runs_directory: PathBuf,
    /// Go on from the journal in `out`, or from the latest unfinished run under `runs_directory`. Cases with a failed or
    /// missing row are measured again if one of these stacks works now; so are those of a finished run in `out`.
    pub resume: bool,
    /// Start no case after this long; the rest is for `resume`.
    pub stop_after: Option<Duration>,
    /// Show a progress bar if standard error is a terminal.
    pub progress: bool,
    /// The `wootz` binary whose `bench-worker` subcommand is measured; `None`: this executable.
    pub wootz_binary: Option<PathBuf>,
    /// Further runners, e.g. a stack of one's own that speaks the protocol.
    pub extra_runners: Vec<Runner>,
}

impl RunOptions {
    /// The main job: every model and batch size, warm; cold at the smallest batch.
    pub fn quick() -> RunOptions {
        RunOptions {
            models: Model::all(),
            backends: None,
            batch_sizes: vec![32, 128, 1024],
            modes: vec![Mode::Inference, Mode::Training],
            cold_batch_sizes: vec![32],
            threads: None,
            repeats: 10,
            warmup_rounds: 2,
            cold_spawns: 5,
            cold_budget: Duration::from_secs(15),
            isa: None,
            sample_time: Duration::from_millis(20),
            timeout: Duration::from_secs(300),
            seed: 0,
            baseline: WOOTZ.to_owned(),
            out: None,
            runs_directory: PathBuf::from("runs"),
            resume: false,
            stop_after: None,
            progress: true,
            wootz_binary: None,
            extra_runners: Vec::new(),
        }
    }

    /// For published numbers: more rounds, more spawns, every batch size cold.
    pub fn full() -> RunOptions {
        RunOptions {
            cold_batch_sizes: vec![32, 128, 1024],
            repeats: 30,
            warmup_rounds: 3,
            cold_spawns: 11,
            cold_budget: Duration::from_secs(60),
            sample_time: Duration::from_millis(20),
            ..RunOptions::quick()
        }
    }

    /// Replaces the models by the built-in ones of these names.
    pub fn set_models(&mut self, names: &[String]) -> Result<(), BenchError> {
        self.models = names
            .iter()
            .map(|name| {
                Model::by_name(name).ok_or_else(|| BenchError::UnknownModel {
                    name: name.clone(),
                    known: Model::all().iter().map(|m| m.name.clone()).collect::<Vec<_>>().join(", "),
                })
            })
            .collect::<Result<_, _>>()?;
        Ok(())
    }

    pub(crate) fn plan(&self) -> Result<Plan, BenchError> {
        let invalid =
            |option, reason: &str| Err(BenchError::InvalidOption { option, reason: reason.to_owned() });
        if self.models.is_empty() || self.models.iter().any(|m| m.dims.len() < 2 || m.dims.contains(&0)) {
            return invalid("models", "each model needs two positive feature counts or more");
        }
        if self.batch_sizes.is_empty() || self.batch_sizes.contains(&0) {
            return invalid("batch sizes", "at least one, and none zero");
        }
        self.require_memory()?;
        if self.modes.is_empty() {
            return invalid("modes", "at least one of inference and training");
        }
        if self.threads == Some(0) {
            return invalid("threads", "at least one");
        }
        if self.repeats < 10 {
            return invalid("repeats", "an interval needs at least 10 rounds");
        }
        if (1..5).contains(&self.cold_spawns) {
            return invalid("cold spawns", "a median needs at least 5 fresh processes (0 for none)");
        }
        let threads =
            self.threads.unwrap_or_else(|| std::thread::available_parallelism().map_or(1, usize::from));
        Ok(Plan {
            models: self.models.clone(),
            batch_sizes: self.batch_sizes.clone(),
            modes: self.modes.clone(),
            cold_batch_sizes: self.cold_batch_sizes.clone(),
            threads,
            repeats: self.repeats,
            warmup_rounds: self.warmup_rounds,
            cold_spawns: self.cold_spawns,
            cold_budget_ns: Some(nanoseconds(self.cold_budget)),
            isa: self.isa,
            sample_time_ns: nanoseconds(self.sample_time),
            seed: self.seed,
            baseline: self.baseline.clone(),
            runners: self.runner_names()?,
        })
    }

    /// Refuses batch sizes whose reference, which keeps every activation in f64, does not fit into this machine's memory.
    fn require_memory(&self) -> Result<(), BenchError> {
        let memory = machine::memory_bytes().unwrap_or(i64::MAX as u64);
        for model in self.models.iter().filter(|model| !model.is_scalar()) {
            let row: u128 =
                model.dims.iter().map(|features| *features as u128 * size_of::<f64>() as u128).sum();
            let too_large = |batch: &&usize| **batch as u128 * row > u128::from(memory);
            if let Some(batch) = self.batch_sizes.iter().find(too_large) {
                let gib = |bytes: u128| bytes as f64 / f64::from(1 << 30);
                let reason = format!(
                    "the activations of {batch} rows of {} take {:.0} GiB, and this machine has {:.0} GiB of memory",
                    model.name,
                    gib(*batch as u128 * row),
                    gib(u128::from(memory)),
                );
                return Err(BenchError::InvalidOption { option: "batch sizes", reason });
            }
        }
        Ok(())
    }

    fn runner_names(&self) -> Result<Vec<String>, BenchError> {
        let mut all: Vec<String> = vec![WOOTZ.to_owned()];
        all.extend(PYTHON.iter().map(|(name, _)| (*name).to_owned()));
        let mut known = all.clone();
        known.push(WOOTZ_AVX2.to_owned());
        let extra = self.extra_runners.iter().map(|runner| runner.name.clone());
        let mut names = match &self.backends {
            None => all,
            Some(names) => names.clone(),
        };
        names.extend(extra);
        let mut seen: Vec<String> = Vec::new();
        for name in names {
            let is_extra = self.extra_runners.iter().any(|runner| runner.name == name);
            if !is_extra && !known.contains(&name) {
                return Err(BenchError::UnknownRunner { name, known: known.join(", ") });
            }
            if !seen.contains(&name) {
                seen.push(name);
            }
        }
        if seen.is_empty() {
            return Err(BenchError::InvalidOption { option: "backends", reason: "at least one".to_owned() });
        }
        Ok(seen)
    }

    /// The runners of `plan`; Python sources are in `sources`.
    pub(crate) fn runners(&self, plan: &Plan, sources: &Path) -> Result<Vec<Runner>, BenchError> {
        let python = peers::python();
        let wootz = match &self.wootz_binary {
            Some(binary) => binary.clone(),
            None => std::env::current_exe()
                .map_err(|source| BenchError::Io { path: "current executable".into(), source })?,
        };
        Ok(plan
            .runners
            .iter()
            .map(|name| match self.extra_runners.iter().find(|runner| runner.name == *name) {
                Some(runner) => runner.clone(),
                None if name == WOOTZ => Runner::wootz(&wootz),
                None if name == WOOTZ_AVX2 => Runner::wootz_avx2(&wootz),
                None => Runner::python(name, python.as_deref(), sources),
            })
            .collect())
    }
}

fn nanoseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

impl Default for RunOptions {
    fn default() -> RunOptions {
        RunOptions::quick()
    }
}

/// What decides a run's rows; a journal is resumed only by the same plan.
#[derive(Serialize, Deserialize, Debug, Clone, PartialEq, Eq)]
pub struct Plan {
    /// Models.
    pub models: Vec<Model>,
    /// Batch sizes.
    pub batch_sizes: Vec<usize>,
    /// Modes.
    pub modes: Vec<Mode>,
    /// Batch sizes with a cold phase.
    pub cold_batch_sizes: Vec<usize>,
    /// Threads of each stack.
    pub threads: usize,
    /// Warm rounds.
    pub repeats: usize,
    /// Unrecorded rounds.
    pub warmup_rounds: usize,
    /// Fresh processes a cold phase.
    pub cold_spawns: usize,
    /// How long the fresh processes of one stack and case may take together; absent for no limit.
    #[serde(default)]
    pub cold_budget_ns: Option<u64>,
    /// Instruction set that every stack is held to that can be.
    #[serde(default)]
    pub isa: Option<Isa>,
    /// Shortest duration of a warm sample.
    pub sample_time_ns: u64,
    /// Seed of all numbers.
    pub seed: u64,
    /// Runner that ratios are taken against.
    pub baseline: String,
    /// Runner names.
    pub runners: Vec<String>,
}

impl Plan {
    /// Every case, in the order they are measured.
    pub fn cases(&self) -> Vec<Case> {
        let case = |model: &Model, mode, batch| Case {
            model: model.clone(),
            batch,
            mode,
            dtype: DType::F32,
            threads: self.threads,
            seed: self.seed,
        };
        let mut cases = Vec::new();
        for model in &self.models {
            if model.is_scalar() {
                cases.push(case(model, Mode::Inference, 1));
                continue;
            }
            for mode in &self.modes {
                cases.extend(self.batch_sizes.iter().map(|batch| case(model, *mode, *batch)));
            }
        }
        cases
    }
}
