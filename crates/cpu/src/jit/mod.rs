//! Kernels as machine code: AVX2 with FMA, or AVX-512.
//!
//! [`Kernel`] in, one function out:
//!
//! * [`positions`] writes out reductions to positions;
//! * [`shape`] decides how often each register is computed and how many lanes a vector has;
//! * [`loops`] writes the loop nest: grid, stages, lanes (several vectors at once, then a tail under a mask);
//! * [`generate`] writes the straight pieces of code in between, with one row an instruction in [`arith`], [`cast`],
//!   [`compare`], [`memory`], [`store`] and [`reduce`];
//! * [`extremes`] recognises minima and maxima written as selections;
//! * [`cost`] estimates how long it runs;
//! * [`registers`] places values while code is written;
//! * [`asm`] encodes it.
//!
//! What has no vector form is declined, and the tile VM runs it. Both compute the same bits.

// Reason: machine code is called through raw pointers.
#![allow(unsafe_code)]

mod arith;
mod asm;
mod cast;
mod compare;
mod cost;
mod extremes;
mod generate;
mod listing;
mod loops;
mod mapping;
mod memory;
mod positions;
mod reduce;
mod registers;
mod shape;
mod stamp;
mod store;
#[cfg(test)]
mod tests;

use crate::isa::Isa;
use asm::{Assembler, Mem};
pub(crate) use listing::listing;
pub(crate) use mapping::Mapping;
pub(crate) use positions::written_out;
use registers::Registers;
use shape::{MAX_AXES, Shape};
use wootz_plan::Kernel;

/// Why a kernel is not compiled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Declined(pub(crate) &'static str);

/// A kernel's code, before it is in executable memory.
#[derive(Debug)]
pub(crate) struct Written {
    /// Where it begins in the buffer: a multiple of 64 bytes. Constants follow the instructions.
    pub(crate) offset: usize,
    /// Bytes of instructions.
    pub(crate) instructions: usize,
    /// Bytes of working memory that it needs.
    pub(crate) frame: usize,
    /// Most lanes of a tile.
    pub(crate) width: usize,
    /// Estimated nanoseconds of all points of the grid on one thread.
    pub(crate) cost: f64,
    /// Where the code of an instruction begins, with its position in all stages' bodies, for listings.
    pub(crate) lines: Vec<(usize, usize)>,
}

/// Machine code of kernels, one after another. What one needed is room for the next: memory is asked for once.
#[derive(Default)]
pub(crate) struct Writer {
    asm: Assembler,
    registers: Registers,
    /// By register of a kernel, see [`generate::Generator`].
    pooled: Vec<Option<Mem>>,
    homes: Vec<Option<u32>>,
}

impl Writer {
    /// All code so far.
    pub(crate) fn code(&self) -> &[u8] {
        self.asm.code()
    }
}

/// What a call is told. The code changes it.
#[repr(C)]
#[derive(Debug)]
pub(crate) struct Context {
    args: *const *mut u8,
    work: *mut u8,
    /// Where row 0 and column 0 of the product would lie that the kernel is the epilogue of.
    pub(crate) tile: *const u8,
    /// Bytes from one row of the product to the next, and from one column to the next.
    pub(crate) tile_row: i64,
    pub(crate) tile_column: i64,
    /// Tiles, or points of the grid, to compute.
    count: i64,
    /// The range of the lanes' axis.
    pub(crate) lane_first: i64,
    pub(crate) lane_end: i64,
    /// The current index along each loop; along the lanes' axis, of the tile's first lane.
    pub(crate) index: [i64; MAX_AXES],
}

impl Context {
    /// At the first index of every loop, without a product.
    pub(crate) fn new(args: &[*mut u8], work: *mut u8, count: usize) -> Context {
        Context {
            args: args.as_ptr(),
            work,
            tile: std::ptr::null(),
            tile_row: 0,
            tile_column: 0,
            count: count as i64,
            lane_first: 0,
            lane_end: 0,
            index: Default::default(),
        }
    }

    const ARGS: i32 = std::mem::offset_of!(Context, args) as i32;
    const WORK: i32 = std::mem::offset_of!(Context, work) as i32;
    const TILE: i32 = std::mem::offset_of!(Context, tile) as i32;
    const TILE_ROW: i32 = std::mem::offset_of!(Context, tile_row) as i32;
    const TILE_COLUMN: i32 = std::mem::offset_of!(Context, tile_column) as i32;
    const COUNT: i32 = std::mem::offset_of!(Context, count) as i32;
    const LANE_FIRST: i32 = std::mem::offset_of!(Context, lane_first) as i32;
    const LANE_END: i32 = std::mem::offset_of!(Context, lane_end) as i32;

    const fn index_at(axis: usize) -> i32 {
        std::mem::offset_of!(Context, index) as i32 + 8 * axis as i32
    }
}

/// A function in executable memory.
pub(crate) type Entry = unsafe extern "sysv64" fn(*mut Context);

/// Writes the code of a kernel whose lanes run along `lane_axis` of its grid, or along the stages' own loops, to the end of
/// the writer's code, which may be placed at any multiple of 64 bytes.
pub(crate) fn write(
    kernel: &Kernel,
    lane_axis: Option<usize>,
    isa: Isa,
    listing: bool,
    writer: &mut Writer,
) -> Result<Written, Declined> {
    let wide = match isa {
        Isa::Portable => return Err(Declined("no vector instructions")),
        Isa::Avx2 => false,
        Isa::Avx512 => true,
    };
    if kernel.stages.is_empty() || kernel.grid.contains(&0) {
        return Err(Declined("nothing to compute"));
    }
    let kernel = positions::written_out(kernel);
    let shape = Shape::new(&kernel, lane_axis, isa.vector_bytes())?;
    Ok(loops::write(shape, wide, listing, writer))
}
