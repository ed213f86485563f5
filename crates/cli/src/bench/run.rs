//! `wootz bench run`.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Result, bail};
use wootz_bench::{Isa, Mode, RunOptions};

use crate::output::{print, print_json};

/// Run the benchmarks, write a result folder, print its table
///
/// Each stack runs in a process of its own. Outputs are checked before any time is reported; a stack that is not
/// installed is a row that says how to install it. A killed run goes on with --resume.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// How thorough
    #[arg(value_enum, default_value_t = Preset::Quick)]
    preset: Preset,
    /// Models: linear, mlp, and for the overhead of a call scalar, scalar-mlp [default: all]
    #[arg(long, value_name = "NAMES", value_delimiter = ',')]
    model: Vec<String>,
    /// Stacks: wootz, wootz-python, pytorch, torch-compile, jax, numpy, onnxruntime, and wootz-avx2 [default: all but the last]
    #[arg(long, value_name = "NAMES", value_delimiter = ',')]
    backend: Vec<String>,
    /// Rows of the input [default: 32,128,1024]
    #[arg(long, value_name = "SIZES", value_delimiter = ',')]
    batch_sizes: Vec<usize>,
    /// What to measure [default: both]
    #[arg(long, value_enum, value_delimiter = ',')]
    mode: Vec<ModeArg>,
    /// Threads of each stack [default: every core]
    #[arg(long, value_name = "N")]
    threads: Option<usize>,
    /// Warm rounds, at least 10 [default: 10 (quick), 30 (full)]
    #[arg(long, value_name = "N")]
    repeats: Option<usize>,
    /// Fresh processes a cold phase, at least 5, or 0 for no cold phase [default: 5 (quick), 11 (full)]
    #[arg(long, value_name = "N")]
    cold_spawns: Option<usize>,
    /// Hold every stack to this instruction set that can be; the table says which could not
    #[arg(long, value_enum)]
    isa: Option<IsaArg>,
    /// Folder for the result [default: runs/<date>-<machine>]
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Go on with a run that was killed or stopped: the one in --out, or the latest below runs/
    ///
    /// Cases with a failed or missing row are measured again if one of these stacks works now; with --out those of a
    /// finished run, too.
    #[arg(long)]
    resume: bool,
    /// Start no case after this many seconds; --resume goes on
    #[arg(long, value_name = "SECONDS")]
    stop_after: Option<u64>,
    /// Print the result as JSON instead of the table
    #[arg(long)]
    json: bool,
}

#[derive(Clone, Copy, clap::ValueEnum)]
enum Preset {
    /// The main cases, enough rounds for an interval
    Quick,
    /// More rounds and more fresh processes, for numbers to publish
    Full,
}

#[derive(Clone, Copy, clap::ValueEnum)]
enum ModeArg {
    Inference,
    Training,
}

#[derive(Clone, Copy, clap::ValueEnum)]
pub(super) enum IsaArg {
    Avx2,
}

impl From<IsaArg> for Isa {
    fn from(IsaArg::Avx2: IsaArg) -> Isa {
        Isa::Avx2
    }
}

pub(crate) fn run(args: Args) -> Result<()> {
    let json = args.json;
    let report = wootz_bench::run(&args.options()?)?;
    if json {
        print_json(&serde_json::to_value(&report)?)?;
    } else {
        print(&format!("{report}\nwritten to {}", report.directory.display()))?;
    }
    let failed = report.failures().count();
    if failed > 0 {
        bail!("{failed} of {} rows failed; the reasons are in the result", report.rows.len());
    }
    Ok(())
}

impl Args {
    fn options(self) -> Result<RunOptions> {
        let mut options = match self.preset {
            Preset::Quick => RunOptions::quick(),
            Preset::Full => RunOptions::full(),
        };
        if !self.model.is_empty() {
            options.set_models(&self.model)?;
        }
        if !self.backend.is_empty() {
            options.backends = Some(self.backend);
        }
        if !self.batch_sizes.is_empty() {
            // Fresh processes at the sizes that the preset names; where none of them is asked for, at the smallest.
            options.cold_batch_sizes.retain(|size| self.batch_sizes.contains(size));
            if options.cold_batch_sizes.is_empty() {
                options.cold_batch_sizes.extend(self.batch_sizes.iter().min());
            }
            options.batch_sizes = self.batch_sizes;
        }
        if !self.mode.is_empty() {
            let mode = |m: &ModeArg| match m {
                ModeArg::Inference => Mode::Inference,
                ModeArg::Training => Mode::Training,
            };
            options.modes = self.mode.iter().map(mode).collect();
        }
        options.threads = self.threads;
        options.repeats = self.repeats.unwrap_or(options.repeats);
        options.cold_spawns = self.cold_spawns.unwrap_or(options.cold_spawns);
        options.out = self.out;
        options.resume = self.resume;
        options.isa = self.isa.map(Into::into);
        options.stop_after = self.stop_after.map(Duration::from_secs);
        Ok(options)
    }
}
