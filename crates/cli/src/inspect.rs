//! `wootz inspect`: the graph after any pass, the plan, what compiling costs.

use std::fmt::Write;

use anyhow::{Context, Result, bail};
use serde_json::{Map, Value, json};
use wootz::cpu::isa::Isa;
use wootz::ir::{Graph, Target, text};
use wootz::nn::Mode;
use wootz::passes::{self, Optimize};
use wootz::plan;
use wootz::pycode::{self, Framework};
use wootz::runtime::{self, KernelInfo, Options, Profile, Report, Stages};

use crate::backends;
use crate::kernels::{self, Listed, Math, Show};
use crate::model::{self, MODELS, Source};
use crate::output::{print, print_json};
use crate::profile;
use crate::shape::{NamedShape, parse_shape};
use crate::workspace;

/// Show a model's graph after any pass, its plan, its kernels and what compiling it costs
///
/// Without options: the graph as it was defined, with open sizes by name; of a workspace what --summary shows.
#[derive(clap::Args)]
#[command(after_help = MODELS)]
pub(crate) struct Args {
    /// A named model, a workspace or a graph file
    model: String,
    /// Sizes of an input, for example x=32x784 (repeatable) [default for named models: 32 rows]
    #[arg(long, value_name = "NAME=SIZES", value_parser = parse_shape)]
    shape: Vec<NamedShape>,
    /// The training step (gradients and an update by SGD) instead of inference; of a workspace, the gradient
    #[arg(long)]
    training: bool,
    /// The graph after this pass, or after all passes of a level: none, basic, full
    #[arg(long, value_name = "PASS")]
    after: Option<String>,
    /// The plan: steps, fused kernels, buffers; of the graph that --after names, else after all passes
    #[arg(long)]
    plan: bool,
    /// The source of a module for another framework: numpy, jax, torch, mlx
    #[arg(long, value_name = "FRAMEWORK")]
    emit: Option<Framework>,
    /// Compile it; each step's kind, work and bytes, and the code of every kernel
    #[arg(long)]
    kernels: bool,
    /// With --kernels: elementary functions written out in the instructions that are executed
    #[arg(long, requires = "kernels")]
    expand: bool,
    /// With --kernels: the machine code of every kernel, each instruction of the kernel above what computes it
    #[arg(long, requires = "kernels")]
    asm: bool,
    /// Compile it; the time of each stage
    #[arg(long)]
    stages: bool,
    #[command(flatten)]
    profile: profile::Args,
    /// The table of blocks with their outputs and parameters (named models); channels, samples, modifiers and parameters (workspaces)
    #[arg(long)]
    summary: bool,
    /// The backend to plan and compile for
    #[arg(long, value_name = "NAME", default_value = "cpu")]
    backend: String,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

pub(crate) fn inspect(args: &Args) -> Result<()> {
    let backend = backends::by_name(&args.backend)?;
    let source = model::load(&args.model, if args.training { Mode::Training } else { Mode::Inference })?;
    let shapes = source.shapes(&args.shape);
    let mut view = View { title: args.model.clone(), ..View::default() };
    match &source.workspace {
        Some(statistical) if args.summary || args.only_names_a_model() => {
            view.workspace = Some(workspace::Shown::of(statistical));
        }
        None if args.summary => view.summary = Some(summary(args, &source)?),
        _ => {}
    }
    if let Some(after) = &args.after {
        let graph = runtime::specialise(&source.definition.graph, &shapes)?;
        view.graph = Some(graph_after(&graph, after, &backend.target())?);
    }
    if args.plan {
        let graph = runtime::specialise(&source.definition.graph, &shapes)?;
        let target = backend.target();
        let optimized = graph_after(&graph, args.after.as_deref().unwrap_or("full"), &target)?;
        view.plan = Some(plan::lower(&optimized, &target)?.to_string());
    }
    if let Some(framework) = args.emit {
        let graph = runtime::specialise(&source.definition.graph, &shapes)?;
        let graph = pycode::optimize(&graph, Optimize::Full, framework)?;
        let options = pycode::Options { jit: true, ..pycode::Options::new(framework) };
        view.source = Some(pycode::emit(&graph, &options)?.text);
    }
    if args.kernels || args.stages || args.profile.profile.is_some() {
        let program = runtime::compile(&source.definition, &shapes, &*backend, &Options::default())?;
        let report = program.report();
        view.profile = args.profile.profile(|runs| profile::on_made_up_inputs(&program, runs))?;
        if args.kernels {
            let graph = runtime::specialise(&source.definition.graph, &shapes)?;
            let target = backend.target();
            let plan = plan::lower(&graph_after(&graph, "full", &target)?, &target)?;
            let math = if args.expand { Math::Expanded } else { Math::Named };
            let assembly = args.asm.then(Isa::detect).transpose()?;
            view.kernels = Some((report.clone(), kernels::list(&plan, Show { math, assembly })));
        }
        view.stages = args.stages.then_some(report.stages);
    }
    if view.is_empty() {
        let graph = &source.definition.graph;
        let given = !args.shape.is_empty();
        let graph = if given { runtime::specialise(graph, &shapes)? } else { graph.clone() };
        view.graph = Some(graph);
    }
    if args.json { print_json(&view.json()) } else { print(&view.text()) }
}

impl Args {
    /// Whether nothing is asked for in particular.
    fn only_names_a_model(&self) -> bool {
        let Args { after, plan, emit, kernels, stages, profile, .. } = self;
        after.is_none() && !plan && emit.is_none() && !kernels && !stages && profile.profile.is_none()
    }
}

fn summary(args: &Args, source: &Source) -> Result<wootz::nn::Summary> {
    let summary = source.summary.clone();
    summary.with_context(|| {
        format!("`{}` is a graph file, which has no blocks; leave --summary out", args.model)
    })
}

/// The graph after all passes of a level, or after one pass of the level `full` (or `basic`).
fn graph_after(graph: &Graph, after: &str, target: &Target) -> Result<Graph> {
    let level = match after {
        "none" => Some(Optimize::None),
        "basic" => Some(Optimize::Basic),
        "full" => Some(Optimize::Full),
        _ => None,
    };
    if let Some(level) = level {
        return Ok(passes::run(graph, level, target, &mut |_, _| {})?);
    }
    let list = passes::passes(Optimize::Full);
    let Some(last) = list.iter().rposition(|pass| pass.name == after) else {
        let names: Vec<&str> = list.iter().map(|pass| pass.name).collect();
        bail!("there is no pass `{after}`; give one of {}, or a level: none, basic, full", names.join(", "));
    };
    Ok(list[..=last].iter().try_fold(graph.clone(), |graph, pass| pass.apply(&graph, target))?)
}

/// What is shown.
#[derive(Default)]
struct View {
    title: String,
    summary: Option<wootz::nn::Summary>,
    workspace: Option<workspace::Shown>,
    graph: Option<Graph>,
    plan: Option<String>,
    source: Option<String>,
    kernels: Option<(Report, Vec<Listed>)>,
    stages: Option<Stages>,
    profile: Option<Profile>,
}

impl View {
    fn is_empty(&self) -> bool {
        let View { title: _, summary, workspace, graph, plan, source, kernels, stages, profile } = self;
        summary.is_none()
            && workspace.is_none()
            && graph.is_none()
            && plan.is_none()
            && source.is_none()
            && kernels.is_none()
            && stages.is_none()
            && profile.is_none()
    }

    fn text(&self) -> String {
        let mut parts = Vec::new();
        parts.extend(self.summary.as_ref().map(ToString::to_string));
        parts.extend(self.workspace.as_ref().map(workspace::Shown::text));
        parts.extend(self.graph.as_ref().map(|graph| text::print(graph).trim_end().to_owned()));
        parts.extend(self.plan.clone());
        parts.extend(self.source.as_ref().map(|source| source.trim_end().to_owned()));
        if let Some((report, kernels)) = &self.kernels {
            parts.push(kernel_table(report));
            parts.push(kernels::text(kernels));
        }
        parts.extend(self.stages.as_ref().map(ToString::to_string));
        parts.extend(self.profile.as_ref().map(ToString::to_string));
        parts.join("\n\n")
    }

    fn json(&self) -> Value {
        let mut out = Map::new();
        let mut put = |name: &str, value: Option<Value>| {
            out.extend(value.map(|value| (name.to_owned(), value)));
        };
        put("model", Some(json!(self.title)));
        put("summary", self.summary.as_ref().map(summary_json));
        put("workspace", self.workspace.as_ref().map(workspace::Shown::json));
        put("graph", self.graph.as_ref().map(|graph| json!(text::print(graph))));
        put("plan", self.plan.as_ref().map(|plan| json!(plan)));
        put("source", self.source.as_ref().map(|source| json!(source)));
        put("kernels", self.kernels.as_ref().map(|(report, kernels)| kernels_json(report, kernels)));
        put("stages", self.stages.as_ref().map(stages_json));
        put("profile", self.profile.as_ref().map(profile::as_json));
        Value::Object(out)
    }
}

fn kernel_table(report: &Report) -> String {
    let d = &report.description;
    let mut out = String::new();
    for (title, kernels) in [("prepare", &d.prepare), ("run", &d.kernels)] {
        if kernels.is_empty() {
            continue;
        }
        let _ = writeln!(out, "{title:<10} {:>14} {:>14}  what", "FLOPs", "bytes");
        for KernelInfo { kind, detail, site, flops, bytes } in kernels {
            let site = if site.is_empty() { String::new() } else { format!("  at {site}") };
            let _ = writeln!(out, "{kind:<10} {flops:>14} {bytes:>14}  {detail}{site}");
        }
        out.push('\n');
    }
    let memory =
        [("arena", d.arena), ("scratch", d.scratch), ("prepared", d.prepared), ("constants", d.constants)];
    for (name, bytes) in memory {
        let _ = writeln!(out, "{name:<10} {:>14} {bytes:>14}", "");
    }
    for note in &d.notes {
        let _ = writeln!(out, "note: {note}");
    }
    out.trim_end().to_owned()
}

fn kernels_json(report: &Report, kernels: &[Listed]) -> Value {
    let d = &report.description;
    let list = |kernels: &[KernelInfo]| -> Vec<Value> {
        let one = |k: &KernelInfo| json!({"kind": k.kind, "detail": k.detail, "site": k.site, "flops": k.flops, "bytes": k.bytes});
        kernels.iter().map(one).collect()
    };
    json!({
        "prepare": list(&d.prepare),
        "run": list(&d.kernels),
        "code": kernels::json(kernels),
        "arena_bytes": d.arena,
        "scratch_bytes": d.scratch,
        "prepared_bytes": d.prepared,
        "constant_bytes": d.constants,
        "notes": d.notes,
    })
}

fn stages_json(stages: &Stages) -> Value {
    stages.iter().map(|(name, time)| json!({"name": name, "seconds": time.as_secs_f64()})).collect()
}

fn summary_json(summary: &wootz::nn::Summary) -> Value {
    let blocks = summary.blocks.iter().map(|block| {
        json!({
            "path": block.path,
            "kind": block.kind,
            "outputs": block.outputs.iter().map(ToString::to_string).collect::<Vec<_>>(),
            "parameters": block.parameters.to_string(),
            "shared": block.shared,
        })
    });
    json!({
        "blocks": blocks.collect::<Vec<_>>(),
        "parameters": summary.parameters.to_string(),
        "parameter_bytes": summary.parameter_bytes,
        "state": summary.state.to_string(),
    })
}
