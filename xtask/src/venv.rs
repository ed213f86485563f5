//! Python virtual environments made from pinned requirement files, kept by the hash of what went in.

use std::env;
use std::fs::{self, File};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

use crate::process::Process;

/// The oldest Python the package supports.
const OLDEST: (u32, u32) = (3, 11);

/// A complete virtual environment.
pub(crate) struct Venv {
    dir: PathBuf,
}

impl Venv {
    /// The environment below `parent` that holds exactly what `requirements` pins, made if it is not there yet. Its
    /// name is `label` and the hash of the file's contents and of the interpreter, so a changed file gets a new
    /// environment and an unchanged one costs nothing. Progress goes to standard error.
    pub(crate) fn ensure(parent: &Path, label: &str, requirements: &Path) -> Result<Self> {
        let pins = fs::read_to_string(requirements)
            .with_context(|| format!("cannot read the pinned requirements {}", requirements.display()))?;
        let python = Interpreter::find()?;
        let key = fnv1a(&[&pins, &python.version, &python.path]);
        let dir = parent.join(format!("{label}-{key:016x}"));
        fs::create_dir_all(parent).with_context(|| format!("cannot create {}", parent.display()))?;

        let venv = Self { dir };
        let _lock = venv.lock()?;
        // Written last: an environment without it was interrupted half-way.
        let complete = venv.dir.join("complete");
        if !complete.exists() {
            if venv.dir.exists() {
                fs::remove_dir_all(&venv.dir)
                    .with_context(|| format!("cannot remove the unfinished {}", venv.dir.display()))?;
            }
            eprintln!("making {} with Python {}", venv.dir.display(), python.version);
            venv.create(&python, requirements)?;
            fs::write(&complete, &pins).with_context(|| format!("cannot write {}", complete.display()))?;
        }
        Ok(venv)
    }

    /// Keeps other commands from changing the environment while the lock lives: two that are started together must not
    /// install into each other.
    pub(crate) fn lock(&self) -> Result<File> {
        let path = self.dir.with_extension("lock");
        let lock = File::create(&path).with_context(|| format!("cannot create {}", path.display()))?;
        lock.lock().with_context(|| format!("cannot lock {}", path.display()))?;
        Ok(lock)
    }

    /// The environment's folder.
    pub(crate) fn dir(&self) -> &Path {
        &self.dir
    }

    /// The environment's interpreter.
    pub(crate) fn python(&self) -> PathBuf {
        self.program("python")
    }

    /// A program that the environment's packages installed.
    pub(crate) fn program(&self, name: &str) -> PathBuf {
        if cfg!(windows) {
            self.dir.join("Scripts").join(format!("{name}.exe"))
        } else {
            self.dir.join("bin").join(name)
        }
    }

    /// `pip` of this environment.
    pub(crate) fn pip(&self, args: &[&str]) -> Process {
        Process::new(self.python())
            .args(["-m", "pip", "--disable-pip-version-check", "--no-input"])
            .args(args)
            // An activated environment or a user's own settings must not leak into a pinned one.
            .env("PIP_REQUIRE_VIRTUALENV", "0")
            .env("PYTHONNOUSERSITE", "1")
    }

    fn create(&self, python: &Interpreter, requirements: &Path) -> Result<()> {
        Process::new(&python.path).args(["-m", "venv"]).arg(&self.dir).run_on_stderr().context(
            "cannot make a virtual environment (Debian and Ubuntu ship the module as `python3-venv`)",
        )?;
        self.pip(&["install", "--quiet", "--requirement"]).arg(requirements).run_on_stderr()
    }
}

/// A Python that is new enough.
struct Interpreter {
    path: String,
    version: String,
}

impl Interpreter {
    /// The one `$PYTHON` names, or else the first suitable on the path.
    fn find() -> Result<Self> {
        if let Some(named) = env::var_os("PYTHON") {
            let Some(found) = Self::probe(&named.to_string_lossy()) else {
                bail!("$PYTHON names {named:?}, which is not a Python {}.{} or newer", OLDEST.0, OLDEST.1);
            };
            return Ok(found);
        }
        let candidates = ["python3", "python3.11", "python3.12", "python3.13", "python3.14", "python", "py"];
        candidates.iter().find_map(|name| Self::probe(name)).with_context(|| {
            format!(
                "no Python {}.{} or newer found (tried {}); install one, or name one in $PYTHON",
                OLDEST.0,
                OLDEST.1,
                candidates.join(", ")
            )
        })
    }

    fn probe(program: &str) -> Option<Self> {
        // `_base_executable` sees through an activated environment to the Python below it.
        let script = "import platform, sys; v = sys.version_info; \
                      print(v[0], v[1], platform.python_version(), sys._base_executable, sep='\\n')";
        let printed = Process::new(program).args(["-c", script]).probe()?;
        let mut lines = printed.lines();
        let release = (lines.next()?.parse().ok()?, lines.next()?.parse().ok()?);
        let (version, path) = (lines.next()?.to_owned(), lines.next()?.to_owned());
        (release >= OLDEST).then_some(Self { path, version })
    }
}

/// 64-bit FNV-1a over the parts, each ended by a zero byte: stable across compiler releases, unlike the standard
/// hasher.
fn fnv1a(parts: &[&str]) -> u64 {
    let bytes = parts.iter().flat_map(|part| part.bytes().chain([0]));
    bytes.fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fnv1a_agrees_with_its_published_vector() {
        // http://www.isthe.com/chongo/tech/comp/fnv/: FNV-1a of "foobar" is 0x85944171f73967e8; the part's closing
        // zero byte multiplies once more.
        assert_eq!(fnv1a(&["foobar"]), 0x8594_4171_f739_67e8_u64.wrapping_mul(0x0100_0000_01b3));
        assert_ne!(fnv1a(&["ab", "c"]), fnv1a(&["a", "bc"]));
    }

    #[test]
    fn missing_requirements_are_named() {
        let missing = Path::new("no-such-folder/requirements.txt");
        let error = Venv::ensure(&env::temp_dir(), "unused", missing).err().expect("the file does not exist");
        assert!(error.to_string().contains("no-such-folder"), "{error}");
    }
}
