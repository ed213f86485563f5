//! Instruction sets and cache sizes, found at run time.

use std::sync::OnceLock;

/// Name of the environment variable that overrides the detected instruction set.
pub const ISA_ENV: &str = "WOOTZ_CPU";

/// Instruction set that the kernels are built for, from the narrowest to the widest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Isa {
    /// Plain Rust, whatever the target's baseline allows.
    Portable,
    /// x86-64 with AVX2, FMA and F16C (256-bit vectors).
    Avx2,
    /// x86-64 with AVX-512 F, BW, DQ and VL besides everything of [`Isa::Avx2`] (512-bit vectors).
    Avx512,
}

/// A requested instruction set cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum IsaError {
    /// The environment names no known instruction set.
    #[error("{ISA_ENV}={value:?} is not an instruction set: use portable, avx2 or avx512")]
    Unknown {
        /// What the variable holds.
        value: String,
    },
    /// This processor lacks the instruction set that the environment asks for.
    #[error("{ISA_ENV}={requested} asks for instructions that this processor lacks (best available: {best})")]
    Unavailable {
        /// What the variable asks for.
        requested: Isa,
        /// The widest one that would work.
        best: Isa,
    },
}

impl Isa {
    /// All instruction sets, narrowest first.
    pub const ALL: [Isa; 3] = [Isa::Portable, Isa::Avx2, Isa::Avx512];

    /// The instruction set to use: `WOOTZ_CPU` if set, else the widest available. The environment is read once.
    ///
    /// # Errors
    /// [`IsaError`] when `WOOTZ_CPU` names something unknown or unavailable.
    pub fn detect() -> Result<Isa, IsaError> {
        static FOUND: OnceLock<Result<Isa, IsaError>> = OnceLock::new();
        FOUND
            .get_or_init(|| match std::env::var_os(ISA_ENV) {
                Some(value) if !value.is_empty() => Isa::requested(&value.to_string_lossy()),
                _ => Ok(Isa::best()),
            })
            .clone()
    }

    /// The instruction set called `name` (as in `WOOTZ_CPU`), if this processor has it.
    ///
    /// # Errors
    /// [`IsaError`] when `name` is unknown or unavailable.
    pub fn requested(name: &str) -> Result<Isa, IsaError> {
        let requested = Isa::ALL
            .into_iter()
            .find(|isa| isa.name() == name)
            .ok_or_else(|| IsaError::Unknown { value: name.to_owned() })?;
        if requested.is_available() {
            Ok(requested)
        } else {
            Err(IsaError::Unavailable { requested, best: Isa::best() })
        }
    }

    /// Whether a fused multiply-add is one instruction.
    #[must_use]
    pub fn has_fma(self) -> bool {
        self != Isa::Portable
    }

    /// Whether this processor (and its operating system) can run the instruction set.
    #[must_use]
    pub fn is_available(self) -> bool {
        match self {
            Isa::Portable => true,
            #[cfg(target_arch = "x86_64")]
            Isa::Avx2 => {
                is_x86_feature_detected!("avx2")
                    && is_x86_feature_detected!("fma")
                    && is_x86_feature_detected!("f16c")
            }
            #[cfg(target_arch = "x86_64")]
            Isa::Avx512 => {
                Isa::Avx2.is_available()
                    && is_x86_feature_detected!("avx512f")
                    && is_x86_feature_detected!("avx512bw")
                    && is_x86_feature_detected!("avx512dq")
                    && is_x86_feature_detected!("avx512vl")
            }
            #[cfg(not(target_arch = "x86_64"))]
            Isa::Avx2 | Isa::Avx512 => false,
        }
    }

    /// The widest instruction set that this processor has.
    #[must_use]
    pub fn best() -> Isa {
        Isa::available().last().unwrap_or(Isa::Portable)
    }

    /// Every instruction set that this processor has, narrowest first.
    pub fn available() -> impl Iterator<Item = Isa> {
        Isa::ALL.into_iter().filter(|isa| isa.is_available())
    }

    /// The name used by `WOOTZ_CPU` and in reports.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Isa::Portable => "portable",
            Isa::Avx2 => "avx2",
            Isa::Avx512 => "avx512",
        }
    }

    /// Width in bytes of the vectors that the kernels use.
    #[must_use]
    pub fn vector_bytes(self) -> usize {
        match self {
            Isa::Portable => 16,
            Isa::Avx2 => 32,
            Isa::Avx512 => 64,
        }
    }
}

impl std::fmt::Display for Isa {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name())
    }
}

/// Data-cache sizes in bytes, as one core sees them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Caches {
    /// First-level data cache.
    pub l1d: usize,
    /// Second-level cache.
    pub l2: usize,
    /// Third-level cache (shared between cores on most machines).
    pub l3: usize,
}

impl Default for Caches {
    /// Sizes that almost every machine of the last decade has at least.
    fn default() -> Self {
        Caches { l1d: 32 << 10, l2: 256 << 10, l3: 4 << 20 }
    }
}

impl Caches {
    /// This machine's caches, asked for once; [`Caches::default`] for a level that is not reported.
    #[must_use]
    pub fn detect() -> Caches {
        static FOUND: OnceLock<Caches> = OnceLock::new();
        // Reading the system's files takes longer than compiling a small program, so the processor is asked first.
        *FOUND.get_or_init(|| {
            let told = cpuid_caches();
            Caches::of(if told.is_empty() { (0..8).filter_map(sysfs_cache).collect() } else { told })
        })
    }

    fn of(found: Vec<(u32, usize)>) -> Caches {
        let mut caches = Caches::default();
        for (level, size) in found {
            match level {
                1 => caches.l1d = size,
                2 => caches.l2 = size,
                3 => caches.l3 = size,
                _ => {}
            }
        }
        caches
    }
}

/// Level and size in bytes of the data and unified caches, from the CPUID leaf "deterministic cache parameters" (leaf 4 of
/// Intel's manual, leaf 8000_001D of AMD's, which have one layout); empty where the processor has neither.
#[cfg(target_arch = "x86_64")]
fn cpuid_caches() -> Vec<(u32, usize)> {
    use std::arch::x86_64::__cpuid_count;
    const INTEL: u32 = 4;
    const AMD: u32 = 0x8000_001d;
    const NONE: u32 = 0;
    const INSTRUCTION: u32 = 2;
    let has = |leaf: u32| __cpuid_count(leaf & 0x8000_0000, 0).eax >= leaf;
    let read = |leaf: u32| {
        let entries = (0..8).map(move |index| __cpuid_count(leaf, index));
        entries.take_while(|entry| entry.eax & 31 != NONE).filter(|entry| entry.eax & 31 != INSTRUCTION)
    };
    let leaf = [INTEL, AMD].into_iter().find(|leaf| has(*leaf) && read(*leaf).next().is_some());
    let entry = |e: std::arch::x86_64::CpuidResult| {
        let field = |shift: u32, bits: u32| (e.ebx >> shift & ((1 << bits) - 1)) as usize + 1;
        let bytes = field(22, 10) * field(12, 10) * field(0, 12) * (e.ecx as usize + 1);
        (e.eax >> 5 & 7, bytes)
    };
    leaf.into_iter().flat_map(read).map(entry).collect()
}

#[cfg(not(target_arch = "x86_64"))]
fn cpuid_caches() -> Vec<(u32, usize)> {
    Vec::new()
}

/// Level and size in bytes of one of CPU 0's data or unified caches, from Linux's sysfs.
fn sysfs_cache(index: usize) -> Option<(u32, usize)> {
    let read = |field: &str| {
        let path = format!("/sys/devices/system/cpu/cpu0/cache/index{index}/{field}");
        std::fs::read_to_string(path).ok().map(|text| text.trim().to_owned())
    };
    if read("type")? == "Instruction" {
        return None;
    }
    Some((read("level")?.parse().ok()?, parse_size(&read("size")?)?))
}

/// Bytes in a size such as `48K` or `32M`; `None` if it is malformed or zero.
fn parse_size(text: &str) -> Option<usize> {
    let (digits, shift) = match text.as_bytes().last()? {
        b'K' => (&text[..text.len() - 1], 10),
        b'M' => (&text[..text.len() - 1], 20),
        b'G' => (&text[..text.len() - 1], 30),
        _ => (text, 0),
    };
    let bytes = digits.parse::<usize>().ok()?.checked_mul(1 << shift)?;
    (bytes > 0).then_some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_round_trip() {
        for isa in Isa::available() {
            assert_eq!(Isa::requested(isa.name()), Ok(isa));
        }
        assert_eq!(Isa::requested("sse9"), Err(IsaError::Unknown { value: "sse9".into() }));
        for isa in Isa::ALL.into_iter().filter(|isa| !isa.is_available()) {
            let error = IsaError::Unavailable { requested: isa, best: Isa::best() };
            assert_eq!(Isa::requested(isa.name()), Err(error));
        }
    }

    #[test]
    fn sizes_parse() {
        assert_eq!(parse_size("48K"), Some(48 << 10));
        assert_eq!(parse_size("32M"), Some(32 << 20));
        assert_eq!(parse_size("512"), Some(512));
        for bad in ["", "K", "0K", "x1M", "99999999999999999999G"] {
            assert_eq!(parse_size(bad), None, "{bad:?}");
        }
    }

    /// The processor and the system say the same, where both say anything.
    #[test]
    fn cpuid_agrees_with_sysfs() {
        let (told, files) = (cpuid_caches(), (0..8).filter_map(sysfs_cache).collect::<Vec<_>>());
        if told.is_empty() || files.is_empty() {
            println!("skipped: only one of them says what the caches are ({told:?}, {files:?})");
            return;
        }
        assert_eq!(Caches::of(told), Caches::of(files));
    }

    #[test]
    fn caches_grow_with_their_level() {
        let caches = Caches::detect();
        assert!(caches.l1d >= 4 << 10 && caches.l1d <= caches.l2, "{caches:?}");
    }
}
