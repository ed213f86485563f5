//! What compiling cost and what was compiled.

use crate::{Description, KernelInfo, Stages};
use std::fmt;

/// What compiling a program cost, and what it consists of.
#[derive(Clone, Debug)]
pub struct Report {
    /// The stages of this compilation (few if the graph came from the cache).
    pub stages: Stages,
    /// The stages of the compilation that made the graph.
    pub compiled: Stages,
    /// Kernels, work, memory.
    pub description: Description,
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", self.stages)?;
        let d = &self.description;
        table(f, "prepare", &d.prepare)?;
        table(f, "run", &d.kernels)?;
        let memory = [
            ("arena", d.arena),
            ("scratch", d.scratch),
            ("prepared", d.prepared),
            ("constants", d.constants),
        ];
        for (name, bytes) in memory {
            writeln!(f, "{name:<16} {bytes:>10} bytes")?;
        }
        for note in &d.notes {
            writeln!(f, "note: {note}")?;
        }
        Ok(())
    }
}

fn table(f: &mut fmt::Formatter<'_>, title: &str, kernels: &[KernelInfo]) -> fmt::Result {
    if kernels.is_empty() {
        return Ok(());
    }
    writeln!(f, "\n{title:<8} {:>14} {:>14}  kernel", "FLOPs", "bytes")?;
    for kernel in kernels {
        let KernelInfo { kind, detail, site, flops, bytes } = kernel;
        writeln!(
            f,
            "{kind:<8} {flops:>14} {bytes:>14}  {detail}{}{site}",
            if site.is_empty() { "" } else { "  // " }
        )?;
    }
    Ok(())
}
