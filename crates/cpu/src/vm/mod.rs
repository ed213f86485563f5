//! The tile VM: runs a [`Kernel`] tile by tile.
//!
//! [`Code::compile`] turns a kernel into a compact program once; [`Code::run`] executes a range of its [units](Code::units)
//! on one thread. A *tile* is a run of lanes along one loop: the last grid loop, or the last loop of a stage
//! ([`wootz_plan::kernel::Lanes`]). Every instruction is one call of a function that works on a whole tile, and all registers
//! of a tile stay in the first-level cache. Registers that are equal for all lanes are computed once, as scalars; code that
//! does not depend on a stage's loops is executed before them.
//!
//! Results do not depend on where tiles begin and end: every lane is computed by the same operations.

// Reason: lanes are read and written through raw pointers, by functions chosen for an instruction set.
#![allow(unsafe_code)]

mod accumulate;
mod compile;
mod lanes;
mod memory;
mod run;
#[cfg(test)]
mod tests;

use crate::isa::Isa;
use accumulate::Reducer;
use lanes::LaneFn;
use memory::{LoadFn, StoreFn};
use smallvec::SmallVec;
use wootz_ir::Dims;
use wootz_plan::Kernel;

pub(crate) use compile::cost;
pub use run::Block;

/// A compiled kernel.
pub struct Code {
    /// Sizes of the independent loops.
    grid: Dims,
    /// The grid loop that tiles run along; `None` if they run along stage loops, or there is no grid.
    lane_axis: Option<usize>,
    /// Most lanes of a tile.
    width: usize,
    /// Constants and what is computed from them alone.
    constants: Vec<(u32, u64)>,
    prologue: Vec<Op>,
    stages: Vec<StageCode>,
    /// Where each register is, in bytes from the start of the working memory.
    homes: Vec<u32>,
    /// Where the loop indices are.
    indices_at: u32,
    /// Grid loops plus the loops of the deepest stage.
    axes: usize,
    /// Bytes of working memory.
    work_bytes: usize,
}

/// A stage.
struct StageCode {
    /// Its loops, without the one that tiles run along.
    loops: SmallVec<[usize; 4]>,
    /// The axis and length of the stage's loop that tiles run along.
    lane: Option<(usize, usize)>,
    /// What does not depend on the stage's loops.
    once: Vec<Op>,
    /// What does not depend on the loop that tiles run along.
    outer: Vec<Op>,
    /// The rest.
    body: Vec<Op>,
    accumulate: Vec<Reduction>,
}

/// A reduction over a stage's loops.
struct Reduction {
    reducer: Reducer,
    value: u32,
    splat: bool,
    out: u32,
    out_bytes: usize,
    /// Where the partial results are.
    values_at: u32,
    /// Where their positions are, of arg-reductions.
    positions_at: Option<u32>,
}

/// One instruction. Registers are positions in the pointer table.
enum Op {
    Call {
        f: LaneFn,
        out: u32,
        x: u32,
        y: u32,
        z: u32,
        varies: bool,
    },
    /// The index along an axis.
    Index {
        out: u32,
        axis: u32,
        varies: bool,
    },
    /// Reads an argument; if `direct`, a full tile is used where it lies.
    Load {
        f: LoadFn,
        out: u32,
        at: Box<Access>,
        varies: bool,
        direct: bool,
    },
    Store {
        f: StoreFn,
        value: u32,
        splat: bool,
        at: Box<Access>,
        varies: bool,
    },
    /// Lets a register lie where it will be stored, if the tile is full.
    Target {
        reg: u32,
        at: Box<Access>,
    },
    /// Reads the product that the kernel is the epilogue of.
    Tile {
        f: LoadFn,
        out: u32,
        bytes: u32,
        varies: bool,
    },
}

/// A compiled address.
struct Access {
    arg: u32,
    /// Bytes of an element.
    bytes: i64,
    offset: i64,
    /// Axes with strides other than 0.
    terms: SmallVec<[(u32, i64); 4]>,
    /// The stride from one lane to the next.
    lane: i64,
    /// A register and whether it varies along the tile.
    index: Option<(u32, bool)>,
    mask: Option<(u32, bool)>,
}

impl Code {
    /// Compiles a kernel (which must be well formed, see [`wootz_plan::verify_kernel`]) for an available instruction set.
    /// `lane_axis` is the grid loop that tiles run along, if they run along the grid.
    #[must_use]
    pub fn compile_along(kernel: &Kernel, lane_axis: Option<usize>, isa: Isa) -> Code {
        compile::compile(&wootz_plan::math::expand(kernel, isa.has_fma()), lane_axis, isa)
    }

    /// Independent pieces of work: tiles of grid points, or grid points.
    #[must_use]
    pub fn units(&self) -> usize {
        let points: usize = self.grid.iter().product();
        match self.lane_axis {
            Some(axis) if points > 0 => points / self.grid[axis] * self.grid[axis].div_ceil(self.width),
            _ => points,
        }
    }

    /// Bytes of working memory that a run needs, aligned to 64 bytes and zeroed before its first use.
    #[must_use]
    pub fn work_bytes(&self) -> usize {
        self.work_bytes
    }
}

impl std::fmt::Debug for Code {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Code")
            .field("grid", &self.grid)
            .field("lane_axis", &self.lane_axis)
            .field("width", &self.width)
            .field("stages", &self.stages.len())
            .field("work_bytes", &self.work_bytes)
            .finish_non_exhaustive()
    }
}
