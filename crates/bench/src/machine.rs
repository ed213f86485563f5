//! A description of the machine, as far as the system tells.

use std::fs;
use std::process::Command;

use serde::{Deserialize, Serialize};

/// Instruction-set extensions that decide which kernels a stack can use.
const FLAGS: [&str; 22] = [
    "sse4_2",
    "avx",
    "avx2",
    "fma",
    "f16c",
    "bmi2",
    "avx_vnni",
    "avx512f",
    "avx512bw",
    "avx512dq",
    "avx512vl",
    "avx512_vnni",
    "avx512_bf16",
    "avx512_fp16",
    "amx_tile",
    "amx_bf16",
    "amx_int8",
    "hypervisor",
    "asimd",
    "asimdhp",
    "sve",
    "sve2",
];

/// A machine.
#[derive(Serialize, Deserialize, Debug, Clone, PartialEq, Eq)]
pub struct Machine {
    /// CPU model name.
    pub cpu: String,
    /// CPU family, model and stepping where the system tells, e.g. `25.1.1`.
    pub cpu_id: Option<String>,
    /// CPUs this process may use.
    pub cores: usize,
    /// Instruction-set extensions that matter, and `hypervisor` on a virtual machine.
    pub flags: Vec<String>,
    /// Caches of the first CPU, e.g. `L2 Unified 1024K`.
    pub caches: Vec<String>,
    /// Main memory, bytes.
    pub memory_bytes: Option<u64>,
    /// Operating system and kernel.
    pub kernel: String,
    /// Frequency governor of the first CPU.
    pub governor: Option<String>,
}

impl Machine {
    /// Describes this machine.
    pub fn describe() -> Machine {
        let cpuinfo = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
        let field = |name: &str| {
            cpuinfo.lines().find_map(|line| {
                let (key, value) = line.split_once(':')?;
                (key.trim() == name).then(|| value.trim().to_owned())
            })
        };
        let all_flags = field("flags").or_else(|| field("Features")).unwrap_or_default();
        let cpu_id = match (field("cpu family"), field("model"), field("stepping")) {
            (Some(family), Some(model), Some(stepping)) => Some(format!("{family}.{model}.{stepping}")),
            _ => None,
        };
        Machine {
            cpu: field("model name").unwrap_or_else(|| std::env::consts::ARCH.to_owned()),
            cpu_id,
            cores: std::thread::available_parallelism().map_or(1, usize::from),
            flags: all_flags.split_whitespace().filter(|f| FLAGS.contains(f)).map(str::to_owned).collect(),
            caches: caches(),
            memory_bytes: memory_bytes(),
            kernel: format!(
                "{} {}",
                std::env::consts::OS,
                read("/proc/sys/kernel/osrelease").unwrap_or_default()
            ),
            governor: read("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor"),
        }
    }

    /// A short name for folders: the CPU's model in lower-case letters, digits and hyphens.
    pub fn slug(&self) -> String {
        let mut slug = String::new();
        for character in self.cpu.to_lowercase().chars() {
            if character.is_ascii_alphanumeric() {
                slug.push(character);
            } else if !slug.is_empty() && !slug.ends_with('-') {
                slug.push('-');
            }
        }
        let slug: String = slug.chars().take(32).collect();
        format!("{}-{}c", slug.trim_end_matches('-'), self.cores)
    }
}

/// Revision of the git checkout in the working directory, with `-dirty` if it has changes.
pub(crate) fn git_revision() -> Option<String> {
    let output =
        Command::new("git").args(["describe", "--always", "--dirty", "--abbrev=12"]).output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?.trim().to_owned();
    (output.status.success() && !text.is_empty()).then_some(text)
}

fn read(path: &str) -> Option<String> {
    Some(fs::read_to_string(path).ok()?.trim().to_owned())
}

fn caches() -> Vec<String> {
    let cache = |index: usize| {
        let file = |name: &str| read(&format!("/sys/devices/system/cpu/cpu0/cache/index{index}/{name}"));
        Some(format!("L{} {} {}", file("level")?, file("type")?, file("size")?))
    };
    (0..8).map_while(cache).collect()
}

/// Main memory, if the system tells.
pub(crate) fn memory_bytes() -> Option<u64> {
    let text = read("/proc/meminfo")?;
    let line = text.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
    let kib: u64 = line.split_whitespace().next()?.parse().ok()?;
    Some(kib * 1024)
}
