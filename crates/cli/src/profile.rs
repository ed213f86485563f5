//! Profiles, as `wootz run --profile` and `wootz inspect --profile` show them.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use serde_json::{Value, json};
use wootz::ir::{HostTensor, Role};
use wootz::runtime::{Profile, Program, StepProfile};

/// What profiling is asked for.
#[derive(clap::Args)]
// The subcommand's own arguments are a group of this name.
#[group(skip)]
pub(crate) struct Args {
    /// Run this many times [default: 20] and show where the time goes, step by step
    #[arg(long, value_name = "RUNS", num_args = 0..=1, require_equals = true, default_missing_value = "20",
          value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) profile: Option<u32>,
    /// Write the timeline of the profiled runs, for Perfetto or Chrome
    #[arg(long, value_name = "FILE", requires = "profile")]
    pub(crate) trace: Option<PathBuf>,
}

impl Args {
    /// Profiles by `run`, which is given the number of runs, if that was asked for.
    pub(crate) fn profile(&self, run: impl FnOnce(usize) -> Result<Profile>) -> Result<Option<Profile>> {
        let Some(runs) = self.profile else { return Ok(None) };
        let profile = run(runs as usize)?;
        if let Some(path) = &self.trace {
            write(&profile, path)?;
        }
        Ok(Some(profile))
    }
}

fn write(profile: &Profile, path: &Path) -> Result<()> {
    profile.chrome_trace(path).with_context(|| format!("cannot write `{}`", path.display()))
}

/// A profile on made-up inputs and initial values.
pub(crate) fn on_made_up_inputs(program: &Program, runs: usize) -> Result<Profile> {
    let mut inputs = Vec::new();
    for input in program.signature().inputs.iter().filter(|i| i.role == Role::Input) {
        let dims = input.ty.shape.concrete().context("a program's sizes are numbers")?;
        // Integers may be positions: 0 is one of any tensor's.
        let tensor = match input.ty.dtype.is_float() {
            false => HostTensor::zeros(input.ty.dtype, &dims)?,
            true => {
                let number = |i: usize| ((i * 37) % 101) as f64 * 0.01 - 0.5;
                let values: Vec<f64> = (0..dims.iter().product()).map(number).collect();
                HostTensor::from_f64(input.ty.dtype, &dims, &values)
            }
        };
        inputs.push((&*input.name, tensor));
    }
    if program.signature().updates() {
        let (_, profile) =
            program.profile_step(program.init_state(0)?, &inputs, runs).map_err(|e| e.error)?;
        return Ok(profile);
    }
    Ok(program.profile(&program.init(0)?, &inputs, runs)?)
}

pub(crate) fn as_json(profile: &Profile) -> Value {
    let step = |step: &StepProfile| {
        let kernel = &step.kernel;
        json!({
            "kind": kernel.kind, "detail": kernel.detail, "site": kernel.site, "flops": kernel.flops,
            "bytes": kernel.bytes, "calls": step.calls, "mean_ns": step.mean_ns, "fastest_ns": step.fastest_ns,
            "share": step.share, "least_ns": step.bound.map(|b| b.ns), "limit": step.bound.map(|b| b.limit.name()),
            "roofline": step.roofline(),
        })
    };
    json!({
        "runs": profile.runs,
        "run_ns": profile.run.as_nanos() as u64,
        "steps": profile.steps.iter().map(step).collect::<Vec<_>>(),
    })
}
