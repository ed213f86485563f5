//! `cargo xtask test`: the Rust and the Python tests, from nothing but Rust and Python.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

use crate::docs;
use crate::peers;
use crate::process::Process;
use crate::repo::{Repo, TEST_PROFILE};
use crate::steps::Steps;
use crate::venv::Venv;

/// The crate that is a Python extension: it resolves its symbols from the interpreter that loads it, so no test
/// executable can be linked from it. The Python tests are its tests.
const EXTENSION: (&str, &str) = ("wootz-python", "crates/python/Cargo.toml");

/// Run the Rust and the Python tests.
///
/// Needs Rust and Python 3.11 or newer, nothing else: makes its own virtual environment below the target folder from
/// requirements/test.txt, builds the wheel and installs it there. Tests against PyTorch, JAX, MLX and ONNX Runtime run in
/// the environment of `cargo xtask peers`, which is made if it is missing. Ends at the first failure with the command
/// that repeats it.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Only the Rust tests (unit, integration, documentation)
    #[arg(long, conflicts_with = "python")]
    rust: bool,
    /// Only the Python tests (wheel, pytest, documentation, examples)
    #[arg(long)]
    python: bool,
    /// Leave out the tests that need the environment of `cargo xtask peers` (7 GB of PyTorch, JAX, MLX and others)
    #[arg(long)]
    no_frameworks: bool,
}

/// Runs the parts `args` asks for; without any, all.
pub(crate) fn run(repo: &Repo, args: &Args) -> Result<()> {
    let mut steps = Steps::new();
    let venv = steps.call("Python: pinned environment", "cargo xtask test", || {
        Venv::ensure(&repo.scratch("venv"), "test", &repo.path("requirements/test.txt"))
    })?;
    let frameworks = match args.no_frameworks {
        true => None,
        false => Some(
            steps.call("Python: stacks and frameworks", "cargo xtask peers", || peers::environment(repo))?,
        ),
    };
    if !args.python {
        rust(repo, &venv, frameworks.as_ref(), &mut steps)?;
    }
    if !args.rust {
        python(repo, &venv, frameworks.as_ref(), &mut steps)?;
    }
    steps.summary();
    Ok(())
}

fn rust(repo: &Repo, venv: &Venv, frameworks: Option<&Venv>, steps: &mut Steps) -> Result<()> {
    // Generated source is tested on what these interpreters have; what is required may not be left out.
    let required = if frameworks.is_some() { "numpy,jax,torch,mlx" } else { "numpy" };
    let cargo_test = |what: &[&str]| {
        let mut process = repo.cargo(&["test", "--profile", TEST_PROFILE, "--workspace"]);
        if repo.has(EXTENSION.1) {
            process = process.args(["--exclude", EXTENSION.0]);
        }
        process = process.env("WOOTZ_REQUIRED_FRAMEWORKS", required).env("WOOTZ_PYTHON", venv.python());
        process.args(what)
    };
    steps.run(
        "Rust: unit and integration tests",
        &cargo_test(&["--lib", "--bins", "--tests", "--examples"]),
    )?;
    steps.run("Rust: documentation examples", &cargo_test(&["--doc"]))
}

fn python(repo: &Repo, venv: &Venv, frameworks: Option<&Venv>, steps: &mut Steps) -> Result<()> {
    if !repo.has(EXTENSION.1) {
        steps.absent("Python: tests", &format!("there is no {} yet", EXTENSION.1));
        return Ok(());
    }
    let wheels = repo.scratch("wheels");
    let build = build_wheel(repo, venv, &wheels);
    steps.call("Python: build the wheel", &build.to_string(), || {
        // Left-overs of another version must not be what gets installed.
        if wheels.exists() {
            fs::remove_dir_all(&wheels).with_context(|| format!("cannot empty {}", wheels.display()))?;
        }
        build.run()
    })?;
    let wheel = only_wheel(&wheels)?;
    // `--no-deps`: what the package depends on is pinned in the environment; `pip check` then proves that the pins
    // satisfy what the wheel declares.
    steps.run(
        "Python: install the wheel",
        &venv.pip(&["install", "--quiet", "--no-deps", "--no-index", "--force-reinstall"]).arg(&wheel),
    )?;
    steps.run("Python: dependencies are consistent", &venv.pip(&["check"]))?;

    if repo.has("python/tests") {
        steps.run("Python: pytest", &pytest(repo, venv))?;
    } else {
        steps.absent("Python: pytest", "there is no python/tests yet");
    }
    steps.run("Rust: workers in Python", &workers(repo, venv))?;
    if let Some(frameworks) = frameworks {
        with_frameworks(repo, frameworks, &wheel, steps)?;
    }
    docs::run_python(repo, venv, steps)?;
    examples(repo, venv, steps)?;
    rust_example(repo, steps)
}

/// Runs the tests that need a framework. The environment is shared by all checkouts, so the wheel goes into a folder of
/// this one, which the interpreter is told to search first.
fn with_frameworks(repo: &Repo, frameworks: &Venv, wheel: &Path, steps: &mut Steps) -> Result<()> {
    let packages = repo.scratch("frameworks");
    fresh_dir(&packages)?;
    steps.run(
        "Frameworks: install the wheel",
        &frameworks
            .pip(&["install", "--quiet", "--no-deps", "--no-index", "--target"])
            .arg(&packages)
            .arg(wheel),
    )?;
    let pytest = Process::new(frameworks.program("pytest"))
        .args(["-m", "frameworks"])
        .arg(repo.path("python/tests"))
        .current_dir(repo.root())
        .env("PYTHONPATH", &packages)
        .env("WOOTZ_REQUIRED_FRAMEWORKS", "numpy,jax,torch,mlx");
    steps.run("Frameworks: pytest", &pytest)?;
    let workers =
        peers_test(repo, frameworks, "numpy,wootz-python,jax,pytorch,onnxruntime,pyhf-numpy,pyhf-jax");
    steps.run("Frameworks: workers", &workers.env("PYTHONPATH", &packages))?;
    let dir = repo.scratch("frameworks-example");
    fresh_dir(&dir)?;
    let example = Process::new(frameworks.python()).arg(repo.path("examples/significance.py"));
    let example = example.args(["--seeds", "2"]).env("PYTHONPATH", &packages).current_dir(&dir);
    steps.run("Frameworks: examples/significance.py", &example)
}

/// Runs the Rust example that trains on the data set which `examples/export_digits.py` has just written.
fn rust_example(repo: &Repo, steps: &mut Steps) -> Result<()> {
    let data = repo.scratch("examples/export_digits").join("digits.safetensors");
    if !data.exists() {
        steps.absent("Rust: example digits", "examples/export_digits.py wrote no data set");
        return Ok(());
    }
    let model = data.with_file_name("model.safetensors");
    let run =
        repo.cargo(&["run", "--profile", TEST_PROFILE, "--package", "wootz", "--example", "digits", "--"]);
    steps.run("Rust: example digits", &run.arg(data).arg(model))
}

fn build_wheel(repo: &Repo, venv: &Venv, wheels: &Path) -> Process {
    Process::new(venv.program("maturin"))
        .args(["build", "--profile", TEST_PROFILE, "--compatibility", "linux", "--interpreter"])
        .arg(venv.python())
        .arg("--out")
        .arg(wheels)
        .current_dir(repo.root())
}

fn pytest(repo: &Repo, venv: &Venv) -> Process {
    // The program and not `python -m pytest`: the latter puts the checkout on the import path, ahead of the wheel.
    Process::new(venv.program("pytest")).arg(repo.path("python/tests")).current_dir(repo.root())
}

/// The benchmark's workers in the environment that has the wheel.
fn workers(repo: &Repo, venv: &Venv) -> Process {
    peers_test(repo, venv, "numpy,wootz-python")
}

/// The test of the benchmark's workers with this environment's Python, of which `required` may not be missing.
fn peers_test(repo: &Repo, venv: &Venv, required: &str) -> Process {
    repo.cargo(&["test", "--profile", TEST_PROFILE, "--package", "wootz-bench", "--test", "peers"])
        .env("WOOTZ_PEERS_PYTHON", venv.python())
        .env("WOOTZ_REQUIRED_PEERS", required)
}

/// Runs every `examples/*.py`, each in an empty folder of its own.
fn examples(repo: &Repo, venv: &Venv, steps: &mut Steps) -> Result<()> {
    let scripts: Vec<String> =
        repo.files()?.into_iter().filter(|f| f.starts_with("examples/") && f.ends_with(".py")).collect();
    if scripts.is_empty() {
        steps.absent("Python: examples", "there is no examples/*.py yet");
    }
    for script in scripts {
        let dir = repo.scratch(script.trim_end_matches(".py"));
        fresh_dir(&dir)?;
        let process = Process::new(venv.python()).arg(repo.path(&script)).current_dir(&dir);
        steps.run(&format!("Python: {script}"), &process)?;
    }
    Ok(())
}

/// Makes `dir` exist and be empty.
pub(crate) fn fresh_dir(dir: &Path) -> Result<()> {
    if dir.exists() {
        fs::remove_dir_all(dir).with_context(|| format!("cannot empty {}", dir.display()))?;
    }
    fs::create_dir_all(dir).with_context(|| format!("cannot create {}", dir.display()))
}

fn only_wheel(dir: &Path) -> Result<PathBuf> {
    let entries = fs::read_dir(dir).with_context(|| format!("cannot list {}", dir.display()))?;
    let mut wheels: Vec<PathBuf> = entries
        .filter_map(|entry| entry.ok().map(|entry| entry.path()))
        .filter(|path| path.extension().is_some_and(|extension| extension == "whl"))
        .collect();
    match (wheels.pop(), wheels.is_empty()) {
        (Some(wheel), true) => Ok(wheel),
        _ => bail!("expected exactly one wheel in {}", dir.display()),
    }
}
