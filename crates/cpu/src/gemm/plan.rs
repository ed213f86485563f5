//! What is decided about a product before it runs.

use std::ops::Range;

use super::kernel::Select;
use super::spec::{BLayout, CLayout, GemmSpec, Matrix};
use super::{Elem, GemmError, packed_len};
use crate::isa::Isa;

/// How the micro-kernels get A.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum AMode {
    /// From where it lies, contiguous along K.
    RowMajor,
    /// From where it lies, contiguous along rows (or a single row).
    ColMajor,
    /// Packed whole into shared memory before the tiles run.
    Pack,
}

/// How the micro-kernels get B.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum BMode {
    /// Already packed.
    Packed,
    /// From where it lies, contiguous along columns; a last slab that is not full is packed.
    Direct,
    /// Contiguous along columns: packed a few slabs at a time into per-thread memory by the first micro-kernel that reads
    /// them; a last slab that is not full is packed before.
    PackFused,
    /// Packed whole into shared memory before the tiles run.
    PackAll,
}

/// The tiled product.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Tiles {
    pub(super) a: AMode,
    pub(super) b: BMode,
    /// Tiles along M and N of one product.
    pub(super) m_tiles: usize,
    pub(super) n_tiles: usize,
    pub(super) k_blocks: usize,
    /// Whether the plan's spec, but for its C, is the transpose of what was asked for.
    pub(super) swapped: bool,
    /// Whether tiles are summed in a thread's memory and then written to C: because they are of C's transpose, or because
    /// their sums are added to what C holds only after several blocks of K.
    pub(super) staged: bool,
    /// Whether a tile's rows are walked once, each few of them for all slabs, rather than its slabs.
    pub(super) rows_first: bool,
}

/// The matrix-vector product whose matrix is contiguous along K.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Dot {
    /// Whether the matrix is A (`n == 1`), else B (`m == 1`).
    pub(super) matrix_is_a: bool,
    /// Elements of the vector are this far apart; packed first unless 1.
    pub(super) vector_stride: isize,
    /// Elements of C are this far apart.
    pub(super) out_stride: isize,
    pub(super) tiles: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Tiles(Tiles),
    Dot(Dot),
}

/// How a product is computed; see [`GemmPlan::run`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GemmPlan {
    pub(super) isa: Isa,
    /// Element type of C.
    pub(super) elem: Elem,
    pub(super) spec: GemmSpec,
    pub(super) kind: Kind,
    shared_a: usize,
    shared: usize,
    per_thread: usize,
}

/// Things cut into parts as even as can be.
#[derive(Clone, Copy)]
pub(super) struct Parts {
    size: usize,
    /// How many of the first parts are one longer.
    longer: usize,
}

impl Parts {
    pub(super) fn new(total: usize, parts: usize) -> Parts {
        Parts { size: total / parts, longer: total % parts }
    }

    pub(super) fn at(self, index: usize) -> Range<usize> {
        let start = |i: usize| i * self.size + i.min(self.longer);
        start(index)..start(index + 1)
    }
}

/// Part `index` of `total` things cut into `parts` parts.
pub(super) fn part(total: usize, parts: usize, index: usize) -> Range<usize> {
    Parts::new(total, parts).at(index)
}

/// Bytes of `count` elements, rounded up to whole cache lines.
fn lines(count: Option<usize>, elem: Elem) -> Option<usize> {
    count?.checked_mul(elem.size())?.checked_next_multiple_of(64)
}

/// Most rows of a tile: with 1024 steps of K, half a megabyte of A.
const MAX_TILE_ROWS: usize = 128;
/// Most slabs of a tile.
pub(super) const MAX_TILE_SLABS: usize = 32;
/// Products for which a tile is worth the cost of handing it to a thread.
const TILE_PRODUCTS: usize = 1 << 19;
/// Tiles enough for even work on any number of threads that shares a cache.
const MANY_TILES: usize = 32;
/// Steps of K up to which a transposed A is read from where it lies if it is read but once: its lines may all fall into
/// one set of the cache.
const SHORT_K: usize = 64;

impl GemmPlan {
    /// Plans the product.
    ///
    /// # Errors
    /// [`GemmError`] for element types that do not go together, sizes that overflow, an unavailable instruction set,
    /// or an accumulation into tiles.
    pub fn new(spec: &GemmSpec, isa: Isa) -> Result<GemmPlan, GemmError> {
        let too_large = GemmError::TooLarge { batch: spec.batch, m: spec.m, n: spec.n, k: spec.k };
        if !isa.is_available() {
            return Err(GemmError::Isa(isa));
        }
        let elem = spec.a.elem.accumulator();
        if let BLayout::Strided(b) = spec.b
            && b.elem.accumulator() != elem
        {
            return Err(GemmError::MixedElements { a: spec.a.elem, b: b.elem });
        }
        if spec.accumulate && spec.c == CLayout::Tile {
            return Err(GemmError::AccumulateIntoTile);
        }
        let sizes = [(spec.m, spec.k), (spec.k, spec.n), (spec.m, spec.n)];
        for (rows, cols) in sizes {
            // Room for padding to whole slabs, and for an address difference.
            let bytes = packed_len(rows, cols, elem)
                .and_then(|len| len.checked_mul(16)?.checked_mul(spec.batch.max(1)));
            if bytes.is_none_or(|bytes| bytes > isize::MAX as usize) {
                return Err(too_large);
            }
        }
        let plan = match dot(spec, elem) {
            Some(dot) => GemmPlan {
                isa,
                elem,
                spec: *spec,
                kind: Kind::Dot(dot),
                shared_a: 0,
                shared: 0,
                per_thread: 0,
            },
            None => {
                let (spec, swapped) = swap(spec, elem, isa);
                let tiles = Kind::Tiles(tiles(&spec, elem, isa, swapped));
                GemmPlan { isa, elem, spec, kind: tiles, shared_a: 0, shared: 0, per_thread: 0 }
            }
        };
        plan.with_scratch().ok_or(too_large)
    }

    /// Bytes of scratch memory for a run by at most `threads` threads.
    #[must_use]
    pub fn scratch_bytes(&self, threads: usize) -> usize {
        self.shared + self.per_thread * threads.max(1)
    }

    /// Independent tiles of work: more threads than this are of no use.
    #[must_use]
    pub fn tiles(&self) -> usize {
        match &self.kind {
            Kind::Tiles(tiles) => self.spec.batch * tiles.m_tiles * tiles.n_tiles,
            Kind::Dot(dot) => self.spec.batch * dot.tiles,
        }
    }

    /// Most rows of the parts that an epilogue hook gets.
    #[must_use]
    pub fn block_rows(&self) -> usize {
        match &self.kind {
            Kind::Tiles(tiles) if tiles.swapped => self.tile_cols(tiles).min(self.spec.n),
            Kind::Tiles(tiles) => self.tile_rows(tiles),
            Kind::Dot(dot) if dot.matrix_is_a => self.spec.m.div_ceil(dot.tiles),
            Kind::Dot(_) => 1,
        }
    }

    /// Most columns of the parts that an epilogue hook gets.
    #[must_use]
    pub fn block_cols(&self) -> usize {
        match &self.kind {
            Kind::Tiles(tiles) if tiles.swapped => self.tile_rows(tiles).min(self.spec.m),
            Kind::Tiles(tiles) => self.tile_cols(tiles).min(self.spec.n),
            Kind::Dot(dot) if dot.matrix_is_a => 1,
            Kind::Dot(dot) => self.spec.n.div_ceil(dot.tiles),
        }
    }

    /// The instruction set planned for.
    #[must_use]
    pub fn isa(&self) -> Isa {
        self.isa
    }

    /// Bytes of the packed A, which comes first in the shared memory.
    pub(super) fn shared_a_bytes(&self) -> usize {
        self.shared_a
    }

    /// Bytes of scratch memory shared by all threads.
    pub(super) fn shared_bytes(&self) -> usize {
        self.shared
    }

    /// Bytes of scratch memory of each thread.
    pub(super) fn per_thread_bytes(&self) -> usize {
        self.per_thread
    }

    /// Rows of a tile; whole slabs of C's columns if they are those.
    pub(super) fn tile_rows(&self, tiles: &Tiles) -> usize {
        let unit = self.row_unit(tiles);
        self.spec.m.div_ceil(unit).div_ceil(tiles.m_tiles) * unit
    }

    /// The rows of some tile.
    pub(super) fn rows_of_tile(&self, tiles: &Tiles, index: usize) -> Range<usize> {
        let unit = self.row_unit(tiles);
        let units = part(self.spec.m.div_ceil(unit), tiles.m_tiles, index);
        units.start * unit..(units.end * unit).min(self.spec.m)
    }

    fn row_unit(&self, tiles: &Tiles) -> usize {
        if tiles.swapped { super::slab_cols(self.elem) } else { 1 }
    }

    /// Slabs that C has.
    pub(super) fn slabs(&self) -> usize {
        self.spec.n.div_ceil(super::slab_cols(self.elem))
    }

    /// Columns of a tile, whole slabs.
    pub(super) fn tile_cols(&self, tiles: &Tiles) -> usize {
        self.slabs().div_ceil(tiles.n_tiles) * super::slab_cols(self.elem)
    }

    /// Bytes of a tile's packed B, its sums, a slab of their transpose, and C, in that order in a thread's memory.
    pub(super) fn tile_bytes(&self, tiles: &Tiles) -> Option<[usize; 4]> {
        let kc = self.spec.k.div_ceil(tiles.k_blocks);
        let (rows, cols) = (self.tile_rows(tiles), self.tile_cols(tiles));
        let b = match tiles.b {
            BMode::PackFused => {
                let (_, slabs) = kernel_shape(self.elem, self.isa);
                (slabs * super::slab_cols(self.elem)).min(cols).checked_mul(kc)
            }
            BMode::Direct if !self.spec.n.is_multiple_of(super::slab_cols(self.elem)) => {
                kc.checked_mul(super::slab_cols(self.elem))
            }
            _ => Some(0),
        };
        let tile = rows.checked_mul(cols);
        let sums = if tiles.staged { tile } else { Some(0) };
        let slab = if tiles.swapped { cols.checked_mul(super::slab_cols(self.elem)) } else { Some(0) };
        let c = if self.spec.c == CLayout::Tile { tile } else { Some(0) };
        let [b, sums, slab, c] = [b, sums, slab, c].map(|count| lines(count, self.elem));
        Some([b?, sums?, slab?, c?])
    }

    /// The plan with its scratch memory counted; `None` if that overflows.
    fn with_scratch(self) -> Option<GemmPlan> {
        let GemmSpec { batch, m, n, k, .. } = self.spec;
        let (shared_a, shared_b, per_thread) = match &self.kind {
            Kind::Tiles(tiles) => {
                let a = if tiles.a == AMode::Pack { m.checked_mul(k)? } else { 0 };
                let b = if tiles.b == BMode::PackAll { packed_len(k, n, self.elem)? } else { 0 };
                let tile = self.tile_bytes(tiles)?;
                (a, b, tile.into_iter().try_fold(0, usize::checked_add)?)
            }
            Kind::Dot(dot) => {
                let vector = if dot.vector_stride == 1 { 0 } else { k };
                let tile =
                    if self.spec.c == CLayout::Tile { self.block_rows() * self.block_cols() } else { 0 };
                (0, vector, lines(Some(tile), self.elem)?)
            }
        };
        let shared_a = lines(shared_a.checked_mul(batch), self.elem)?;
        let shared = shared_a.checked_add(lines(shared_b.checked_mul(batch), self.elem)?)?;
        Some(GemmPlan { shared_a, shared, per_thread, ..self })
    }
}

/// The plan as a matrix-vector product with a matrix contiguous along K, if the spec is one.
fn dot(spec: &GemmSpec, elem: Elem) -> Option<Dot> {
    let slab = super::slab_cols(elem) as isize;
    let strided = match spec.b {
        BLayout::Strided(b) if b.elem == elem => Some(b),
        BLayout::Strided(_) => return None,
        BLayout::Packed { .. } => None,
    };
    if spec.a.elem != elem || spec.k < 2 {
        return None;
    }
    let matrix_is_a = spec.n == 1 && spec.a.col_stride == 1;
    let matrix_is_b = spec.m == 1 && strided.is_some_and(|b| b.row_stride == 1);
    if !matrix_is_a && !matrix_is_b {
        return None;
    }
    let (outs, vector_stride) = match (matrix_is_a, strided) {
        (true, Some(b)) => (spec.m, b.row_stride),
        (true, None) => (spec.m, slab),
        (false, _) => (spec.n, spec.a.col_stride),
    };
    let out_stride = match spec.c {
        CLayout::Rows { row_stride, .. } if matrix_is_a => row_stride,
        CLayout::Packed { .. } if matrix_is_a => slab,
        // Slabs of one row follow each other.
        _ => 1,
    };
    let worth = spec.k.saturating_mul(outs) / (TILE_PRODUCTS / 16);
    let tiles = worth.clamp(1, MANY_TILES).min(outs.div_ceil(16)).max(1);
    Some(Dot { matrix_is_a, vector_stride, out_stride, tiles })
}

/// Multiply-adds of one lane that take as long as packing an element, and as writing a staged one.
const PACKING: usize = 16;
const STAGING: usize = 16;

/// The spec, or its transpose `Cᵀ = Bᵀ · Aᵀ` (and `true`) if that has less to pack and to pad, as when B is contiguous
/// along K and has more columns than A has rows.
fn swap(spec: &GemmSpec, elem: Elem, isa: Isa) -> (GemmSpec, bool) {
    let BLayout::Strided(b) = spec.b else { return (*spec, false) };
    if matches!(spec.c, CLayout::Packed { .. }) {
        return (*spec, false);
    }
    let (m, n) = (spec.n, spec.m);
    let swapped = GemmSpec { m, n, a: b.transposed(), b: BLayout::Strided(spec.a.transposed()), ..*spec };
    let staging = m.saturating_mul(n).saturating_mul(STAGING);
    if cost(&swapped, elem, isa).saturating_add(staging) < cost(spec, elem, isa) {
        (swapped, true)
    } else {
        (*spec, false)
    }
}

/// What a product's padding and packing and its multiply-adds cost together, in the latter's lanes.
fn cost(spec: &GemmSpec, elem: Elem, isa: Isa) -> usize {
    let (kernel_rows, _) = kernel_shape(elem, isa);
    let n = spec.n.next_multiple_of(super::slab_cols(elem));
    let in_place = |operand: Matrix| operand.elem == elem && operand.col_stride == 1;
    let a = if spec.m == 1 || in_place(spec.a) { 0 } else { spec.m };
    let b = match spec.b {
        BLayout::Strided(b) if !in_place(b) || spec.m > kernel_rows => spec.n,
        _ => 0,
    };
    let packing = a.saturating_add(b).saturating_mul(PACKING);
    spec.m.saturating_mul(n).saturating_add(packing).saturating_mul(spec.k)
}

/// Most rows and slabs of a micro-kernel.
fn kernel_shape(elem: Elem, isa: Isa) -> (usize, usize) {
    match elem {
        Elem::F64 => (f64::kernels(isa).rows, f64::kernels(isa).slabs),
        _ => (f32::kernels(isa).rows, f32::kernels(isa).slabs),
    }
}

/// Chooses modes and tiles. Nothing here may depend on the number of threads.
fn tiles(spec: &GemmSpec, elem: Elem, isa: Isa, swapped: bool) -> Tiles {
    let (kernel_rows, kernel_slabs) = kernel_shape(elem, isa);
    let slabs = spec.n.div_ceil(super::slab_cols(elem));
    let a = if spec.a.elem != elem {
        AMode::Pack
    } else if spec.m <= 1 {
        AMode::ColMajor
    } else if spec.a.col_stride == 1 {
        AMode::RowMajor
    } else if spec.a.row_stride == 1 && spec.k <= SHORT_K && slabs <= kernel_slabs {
        AMode::ColMajor
    } else {
        AMode::Pack
    };
    let products = spec.batch.saturating_mul(spec.m).saturating_mul(spec.n).saturating_mul(spec.k);
    let wanted = (products / TILE_PRODUCTS).clamp(1, MANY_TILES);
    let mut m_tiles = spec.m.div_ceil(MAX_TILE_ROWS).max(1);
    let mut n_tiles = slabs.div_ceil(MAX_TILE_SLABS).max(1);
    let b = match spec.b {
        BLayout::Packed { .. } => BMode::Packed,
        BLayout::Strided(b) if b.elem == elem && b.col_stride == 1 && spec.m <= kernel_rows => BMode::Direct,
        BLayout::Strided(b)
            if b.elem == elem && b.col_stride == 1 && a == AMode::RowMajor && m_tiles == 1 =>
        {
            BMode::PackFused
        }
        BLayout::Strided(_) => BMode::PackAll,
    };
    // Blocks of K of one length, 4 KiB of a row; 1 KiB where B is packed on the way, since rows of B that are a power of two
    // apart fill few sets of a cache.
    let kc = if b == BMode::PackFused { 1024 } else { 4096 } / elem.size();
    let k_blocks = spec.k.div_ceil(kc).max(1);
    // Cut the longer side of a tile until there are enough, but keep a few micro-kernels' rows: they share what one of
    // them has brought of B into the cache.
    while spec.batch.saturating_mul(m_tiles * n_tiles) < wanted {
        let (rows, tile_slabs) = (spec.m.div_ceil(m_tiles), slabs.div_ceil(n_tiles));
        let rows_left = rows >= 8 * kernel_rows && b != BMode::PackFused;
        let slabs_left = tile_slabs >= if b == BMode::PackFused { 8 } else { 2 * kernel_slabs.max(2) };
        if slabs_left && (tile_slabs * super::slab_cols(elem) >= rows || !rows_left) {
            n_tiles *= 2;
        } else if rows_left {
            m_tiles *= 2;
        } else {
            break;
        }
    }
    // A transposed tile is whole slabs of C's columns.
    let most = if swapped { spec.m.div_ceil(super::slab_cols(elem)) } else { spec.m };
    let (m_tiles, n_tiles) = (m_tiles.min(most.max(1)), n_tiles.min(slabs.max(1)));
    let staged = swapped || (spec.accumulate && k_blocks > 1);
    let rows_first = swapped && b == BMode::PackAll && a == AMode::RowMajor;
    Tiles { a, b, m_tiles, n_tiles, k_blocks, swapped, staged, rows_first }
}
