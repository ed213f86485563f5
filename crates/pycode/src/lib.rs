//! Readable Python source from graphs: one shared emitter, one table a framework.
//!
//! [`optimize`] runs the shared passes for a framework, [`emit`] writes the module. The module runs by itself with only that
//! framework installed: one function, `forward(params, x)` or `step(state, x, y)`, takes parameters or state by name as a
//! dict and gives the outputs by name.
//!
//! ```
//! use wootz_ir::text;
//! use wootz_pycode::{Framework, Options, emit};
//!
//! let graph = text::parse(r#"graph(%x: f32[2] = input "x") { %y = tanh %x return "y" = %y }"#)?;
//! let source = emit(&graph, &Options::new(Framework::Numpy))?;
//! assert!(source.text.contains("    y = np.tanh(x)\n"));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod blocks;
mod claims;
mod dialect;
mod error;
mod framework;
mod function;
mod literal;
mod module;
mod names;
mod program;
mod py;
mod step;
mod update;

pub use error::EmitError;
pub use framework::{Framework, UnknownFramework};
pub use module::Stack;
pub use program::{Options, Source, emit, has_64_bits};
pub use step::{Step, emit_step};

use wootz_ir::Graph;
use wootz_passes::{Optimize, PassError, SCATTER, passes};

/// Applies the passes of a level for a framework.
pub fn optimize(graph: &Graph, level: Optimize, framework: Framework) -> Result<Graph, PassError> {
    let target = claims::target(graph, framework);
    let mut graph = claims::open(graph, framework, &target)?;
    // Recomputing a value where it is used pays off inside fused kernels; here it would repeat whole statements.
    let mut list = passes(level);
    list.retain(|pass| pass.name != "recompute");
    if level == Optimize::Full && framework.scatters() {
        // What it leaves unused goes with the dead code.
        list.insert(list.len() - 1, SCATTER);
    }
    for pass in list {
        graph = pass.apply(&graph, &target)?;
    }
    Ok(graph)
}
