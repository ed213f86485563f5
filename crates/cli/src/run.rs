//! `wootz run`: one run of a graph on tensors from files.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, Result, bail};
use serde_json::{Value, json};
use wootz::io::{TensorFile, npy, npz, safetensors};
use wootz::ir::{HostTensor, Role};
use wootz::nn::Mode;
use wootz::passes::Optimize;
use wootz::runtime::{self, BackendOptions, Definition, Options, Params, Profile, Program, State};

use crate::backends;
use crate::model::{self, MODELS};
use crate::output::{print, print_json};
use crate::profile;
use crate::shape::{InputFile, parse_input};

/// Run a graph or a named model once, on tensors from files
///
/// A graph that updates parameters or state (a training step) makes one step; what it updates is among the outputs.
#[derive(clap::Args)]
#[command(after_help = MODELS)]
pub(crate) struct Args {
    /// A graph file or a named model
    model: String,
    /// An input from a .npy file, or all inputs from a .npz file (repeatable)
    #[arg(long, value_name = "NAME=FILE.npy|FILE.npz", value_parser = parse_input)]
    input: Vec<InputFile>,
    /// Parameters and state, from a .safetensors or .npz file [default: initial values, where the model has them]
    #[arg(long, value_name = "FILE")]
    params: Option<PathBuf>,
    /// Seed of initial values
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// Where outputs go: one .npz or .safetensors file, or a folder for one .npy file each
    #[arg(long, value_name = "DIR|FILE")]
    output: Option<PathBuf>,
    /// The backend
    #[arg(long, value_name = "NAME", default_value = "cpu")]
    backend: String,
    /// How much the graph is rewritten
    #[arg(long, value_enum, default_value_t = Level::Full)]
    optimize: Level,
    /// The most threads to use [default: every core]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..))]
    threads: Option<u16>,
    #[command(flatten)]
    profile: profile::Args,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

#[derive(Clone, Copy, clap::ValueEnum)]
enum Level {
    None,
    Basic,
    Full,
}

type Named = Vec<(Arc<str>, HostTensor)>;

pub(crate) fn run(args: &Args) -> Result<()> {
    let backend = backends::by_name(&args.backend)?;
    let definition = model::load(&args.model, Mode::Inference)?.definition;
    let inputs = read_inputs(&args.input)?;
    let held = args.params.as_deref().map(read_tensors).transpose()?.unwrap_or_default();
    let known = |name: &str| definition.graph.input(name).is_some();
    let shapes = inputs.iter().chain(held.iter().filter(|(name, _)| known(name)));
    let shapes = shapes.map(|(name, tensor)| (name.to_string(), tensor.dims().into())).collect();
    let level = match args.optimize {
        Level::None => Optimize::None,
        Level::Basic => Optimize::Basic,
        Level::Full => Optimize::Full,
    };
    let threads = args.threads.map(usize::from);
    let options = Options { level, nan_check: false, backend: BackendOptions { threads } };
    let program = runtime::compile(&definition, &shapes, &*backend, &options)?;
    let (outputs, profile) = execute(args, &definition, &program, &inputs, held)?;
    let written = args.output.as_deref().map(|to| write(to, &outputs)).transpose()?;
    if args.json {
        print_json(&as_json(&outputs, written.as_deref(), profile.as_ref()))
    } else {
        let profile = profile.map_or(String::new(), |profile| format!("\n\n{profile}"));
        print(&(as_text(&outputs, written) + &profile))
    }
}

fn execute(
    args: &Args,
    definition: &Definition,
    program: &Program,
    inputs: &Named,
    held: Named,
) -> Result<(Named, Option<Profile>)> {
    let given: Vec<(&str, HostTensor)> = inputs.iter().map(|(name, t)| (&**name, t.clone())).collect();
    let signature = program.signature();
    let is_held = |role: Role| role != Role::Input;
    let has_held = signature.inputs.iter().any(|i| is_held(i.role));
    let initial = args.params.is_none() && has_held;
    if initial && let Some(input) = missing_init(definition) {
        bail!("there is no value for `{input}`; give parameters and state with --params FILE.safetensors");
    }
    if !signature.updates() {
        let params = if initial { program.init(args.seed)? } else { Params::new(held) };
        let outputs = program.run(&params, &given)?;
        let profile = args.profile.profile(|runs| Ok(program.profile(&params, &given, runs)?))?;
        let outputs = outputs.iter().map(|(name, tensor)| (name.clone(), tensor.clone()));
        return Ok((outputs.collect(), profile));
    }
    let state = if initial { program.init_state(args.seed)? } else { State::from_tensors(signature, held)? };
    let (state, outputs) = program.step(state, &given).map_err(|e| e.error)?;
    let mut all = Named::new();
    for output in &signature.outputs {
        let tensor = match output.updates {
            Some(input) => Some(state.get(&signature.inputs[input].name)?),
            None => outputs.get(&output.name),
        };
        all.extend(tensor.map(|tensor| (output.name.clone(), tensor.clone())));
    }
    let profile =
        args.profile.profile(|runs| Ok(program.profile_step(state, &given, runs).map_err(|e| e.error)?.1))?;
    Ok((all, profile))
}

/// A parameter or state that has no initial value.
fn missing_init(definition: &Definition) -> Option<&str> {
    let inputs = definition.graph.inputs.iter().zip(&definition.init);
    inputs.filter(|(input, init)| input.role != Role::Input && init.is_none()).map(|(i, _)| &*i.name).next()
}

fn read_inputs(files: &[InputFile]) -> Result<Named> {
    let mut inputs = Named::new();
    for file in files {
        match file {
            InputFile::One { name, path } => inputs.push((name.as_str().into(), npy::read(path)?)),
            InputFile::Archive(path) => inputs.extend(read_tensors(path)?),
        }
    }
    let mut names: Vec<&str> = inputs.iter().map(|(name, _)| &**name).collect();
    names.sort_unstable();
    if let Some(pair) = names.windows(2).find(|pair| pair[0] == pair[1]) {
        bail!("input `{}` is given twice", pair[0]);
    }
    Ok(inputs)
}

fn read_tensors(path: &Path) -> Result<Named> {
    let tensors = match extension(path) {
        "npz" => npz::read(path)?,
        "safetensors" => safetensors::read(path)?.tensors,
        _ => bail!("`{}` is neither a .safetensors nor a .npz file", path.display()),
    };
    Ok(tensors.into_iter().map(|(name, tensor)| (name.into(), tensor)).collect())
}

/// Writes the outputs; gives the files. Each appears as a whole or not at all.
fn write(to: &Path, outputs: &Named) -> Result<Vec<PathBuf>> {
    let contents = || TensorFile {
        tensors: outputs.iter().map(|(name, tensor)| (name.to_string(), tensor.clone())).collect(),
        ..TensorFile::default()
    };
    match extension(to) {
        "safetensors" => safetensors::write(to, &contents())?,
        "npz" => npz::write(to, &contents().tensors, npz::Compression::Stored)?,
        _ => return write_folder(to, outputs),
    }
    Ok(vec![to.to_owned()])
}

fn write_folder(folder: &Path, outputs: &Named) -> Result<Vec<PathBuf>> {
    // Every name is looked at before anything is written.
    if let Some((name, _)) = outputs.iter().find(|(name, _)| !is_file_name(name)) {
        bail!("output `{name}` cannot name a file; write one file instead: --output outputs.safetensors");
    }
    fs::create_dir_all(folder).with_context(|| format!("cannot create the folder `{}`", folder.display()))?;
    let mut files = Vec::new();
    for (name, tensor) in outputs {
        let path = folder.join(format!("{name}.npy"));
        npy::write(&path, tensor)?;
        files.push(path);
    }
    Ok(files)
}

fn is_file_name(name: &str) -> bool {
    !name.is_empty() && !name.contains(['/', '\\', '\0']) && name != "." && name != ".."
}

fn extension(path: &Path) -> &str {
    path.extension().and_then(|e| e.to_str()).unwrap_or("")
}

/// Tensors of up to this many elements are printed whole.
const SHOWN: usize = 16;

fn as_text(outputs: &Named, written: Option<Vec<PathBuf>>) -> String {
    let mut lines: Vec<String> = outputs.iter().map(|(name, tensor)| describe(name, tensor)).collect();
    lines.extend(written.into_iter().flatten().map(|path| format!("written: {}", path.display())));
    lines.join("\n")
}

fn describe(name: &str, tensor: &HostTensor) -> String {
    let values = tensor.to_f64();
    if values.len() <= SHOWN {
        return format!("{name}: {} {values:?}", tensor.ty());
    }
    let (low, high) =
        values.iter().fold((f64::INFINITY, f64::NEG_INFINITY), |(l, h), v| (l.min(*v), h.max(*v)));
    let mean = values.iter().sum::<f64>() / values.len() as f64;
    let nans = values.iter().filter(|v| v.is_nan()).count();
    let nans = if nans == 0 { String::new() } else { format!(", {nans} NaN") };
    format!("{name}: {} from {low:.6} to {high:.6}, mean {mean:.6}{nans}", tensor.ty())
}

fn as_json(outputs: &Named, written: Option<&[PathBuf]>, profile: Option<&Profile>) -> Value {
    let output = |(name, tensor): &(Arc<str>, HostTensor)| {
        // JSON has no NaN and no infinities: they are null.
        let values = (tensor.len() <= SHOWN).then(|| tensor.to_f64());
        json!({"name": &**name, "dtype": tensor.dtype().name(), "shape": tensor.dims(), "values": values})
    };
    let mut all = json!({"outputs": outputs.iter().map(output).collect::<Vec<_>>(), "written": written});
    if let Some(profile) = profile {
        all["profile"] = profile::as_json(profile);
    }
    all
}
