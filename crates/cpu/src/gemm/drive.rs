//! Runs a planned product: cuts it into tiles, packs what the plan says, calls the micro-kernels and the epilogue.

use std::ops::Range;

use super::kernel::{Form, Kernels, TileArgs};
use super::pack::{pack_panels, pack_slabs};
use super::plan::{AMode, BLayout, BMode, CLayout, GemmPlan, Kind, Tiles, part};
use super::simd::Real;
use super::{Block, Elem, Epilogue};
use crate::pool::Team;

impl GemmPlan {
    /// Computes the product with the team's threads. Allocates nothing.
    ///
    /// `scratch` holds [`GemmPlan::scratch_bytes`] of the team's thread count (best aligned to 64 bytes); what it contains
    /// does not matter. `c` may be null for [`CLayout::Tile`].
    ///
    /// # Safety
    /// `a`, `b` and `c` must point to operands as the spec describes them (A and B readable, C writable), aligned for their
    /// types; C and `scratch` (aligned for the accumulator's type) must overlap nothing else and, for the run, belong to
    /// it alone; a bias must hold `n` elements.
    pub unsafe fn run(
        &self,
        team: &Team<'_>,
        a: *const u8,
        b: *const u8,
        c: *mut u8,
        scratch: *mut u8,
        epilogue: &Epilogue<'_>,
    ) {
        if self.spec.batch == 0 || self.spec.m == 0 || self.spec.n == 0 {
            return;
        }
        // SAFETY: the caller's contract.
        unsafe {
            match self.elem {
                Elem::F64 => self.run_as::<f64>(team, a, b, c, scratch, epilogue),
                _ => self.run_as::<f32>(team, a, b, c, scratch, epilogue),
            }
        }
    }

    unsafe fn run_as<E: Real>(
        &self,
        team: &Team<'_>,
        a: *const u8,
        b: *const u8,
        c: *mut u8,
        scratch: *mut u8,
        epilogue: &Epilogue<'_>,
    ) {
        let swapped = matches!(&self.kind, Kind::Tiles(tiles) if tiles.swapped);
        let (a, b) = if swapped { (b, a) } else { (a, b) };
        let run = Run::<E> {
            plan: self,
            a,
            b,
            c: c.cast(),
            scratch,
            bias: epilogue.bias.cast(),
            epilogue,
            kernels: E::kernels(self.isa),
        };
        // SAFETY: the caller's contract; tiles are disjoint parts of C, and each worker uses its own scratch memory.
        unsafe {
            match &self.kind {
                Kind::Tiles(tiles) => {
                    let (of_a, of_b) = (run.a_shares(tiles), run.b_shares(tiles));
                    team.run(of_a.len() + of_b.len(), &|index, _| {
                        if index < of_a.len() {
                            run.pack_a(tiles, of_a.at(index));
                        } else {
                            run.pack_b(of_b, of_b.at(index - of_a.len()));
                        }
                    });
                    team.run(self.tiles(), &|index, worker| run.tile(tiles, index, worker));
                }
                Kind::Dot(dot) => {
                    for batch in 0..self.spec.batch {
                        run.pack_vector(dot, batch);
                    }
                    team.run(self.tiles(), &|index, worker| run.dot_tile(dot, index, worker));
                }
            }
        }
    }
}

/// One run of a plan.
pub(super) struct Run<'a, E> {
    pub(super) plan: &'a GemmPlan,
    a: *const u8,
    b: *const u8,
    c: *mut E,
    pub(super) scratch: *mut u8,
    bias: *const E,
    epilogue: &'a Epilogue<'a>,
    kernels: Kernels<E>,
}

// SAFETY: what the pointers point to is only read, or is written in parts that no two tasks share; see `run_as`.
unsafe impl<E> Sync for Run<'_, E> {}

/// Steps of K and slabs of B that a task packs at most: parts of a hundred kilobytes.
const PACK_STEPS: usize = 256;
const PACK_SLABS: usize = 8;

/// Work cut along three dimensions.
#[derive(Clone, Copy)]
struct Shares {
    batch: usize,
    major: usize,
    minor: usize,
}

impl Shares {
    fn len(self) -> usize {
        self.batch * self.major * self.minor
    }

    /// Indices along the dimensions.
    fn at(self, index: usize) -> [usize; 3] {
        [index / self.minor / self.major, index / self.minor % self.major, index % self.minor]
    }
}

/// A tile's place: a product, rows and slabs.
struct Place {
    batch: usize,
    rows: Range<usize>,
    slabs: Range<usize>,
}

/// A tile's memory in a thread's scratch.
struct TileScratch<E> {
    b: *mut E,
    c: *mut E,
}

impl<E: Real> Run<'_, E> {
    /// One of a batch's A.
    pub(super) fn a_of(&self, batch: usize) -> *const u8 {
        let a = &self.plan.spec.a;
        self.a.wrapping_offset(batch as isize * a.batch_stride * a.elem.size() as isize)
    }

    /// One of a batch's B.
    pub(super) fn b_of(&self, batch: usize) -> *const u8 {
        let (stride, size) = match &self.plan.spec.b {
            BLayout::Strided(b) => (b.batch_stride, b.elem.size()),
            BLayout::Packed { batch_stride } => (*batch_stride, size_of::<E>()),
        };
        self.b.wrapping_offset(batch as isize * stride * size as isize)
    }

    /// One of a batch's C.
    pub(super) fn c_of(&self, batch: usize) -> *mut E {
        match self.plan.spec.c {
            CLayout::Rows { batch_stride, .. } | CLayout::Packed { batch_stride } => {
                self.c.wrapping_offset(batch as isize * batch_stride)
            }
            CLayout::Tile => self.c,
        }
    }

    /// The parts in which A is packed before the tiles run: rows of a tile by some of K.
    fn a_shares(&self, tiles: &Tiles) -> Shares {
        let batch = if tiles.a == AMode::Pack { self.plan.spec.batch } else { 0 };
        Shares { batch, major: tiles.m_tiles, minor: self.plan.spec.k.div_ceil(PACK_STEPS) }
    }

    /// The parts in which B is packed before the tiles run: some slabs by some of K, longer where memory is contiguous.
    fn b_shares(&self, tiles: &Tiles) -> Shares {
        let spec = &self.plan.spec;
        let batch = if tiles.b == BMode::PackAll { spec.batch } else { 0 };
        match spec.b {
            BLayout::Strided(b) if b.row_stride == 1 => {
                Shares { batch, major: self.plan.slabs(), minor: spec.k.min(1) }
            }
            _ => {
                let major = self.plan.slabs().div_ceil(PACK_SLABS);
                Shares { batch, major, minor: spec.k.div_ceil(PACK_STEPS) }
            }
        }
    }

    /// Packs a part of A into the shared memory: for each micro-kernel's rows a panel `[k][rows]`.
    unsafe fn pack_a(&self, tiles: &Tiles, [batch, tile, part_of_k]: [usize; 3]) {
        let spec = &self.plan.spec;
        let steps = part(spec.k, spec.k.div_ceil(PACK_STEPS), part_of_k);
        let tile_rows = part(spec.m, tiles.m_tiles, tile);
        let source = spec.a.source_of_a(self.a_of(batch)).at(steps.start, tile_rows.start);
        let (count, most) = (tile_rows.len().div_ceil(self.kernels.rows), self.kernels.rows);
        // SAFETY: the plan counted the packed matrices of the whole batch in the shared memory.
        unsafe {
            let out = self.shared_a(batch, tile_rows.start);
            if tile_rows.len() == count * most {
                let out = out.add(steps.start * most);
                pack_panels(source, steps.len(), tile_rows.len(), most, spec.k * most, out);
                return;
            }
            for i in 0..count {
                let rows = part(tile_rows.len(), count, i);
                let out = out.add(rows.start * spec.k + steps.start * rows.len());
                pack_panels(source.at(0, rows.start), steps.len(), rows.len(), rows.len(), 0, out);
            }
        }
    }

    /// Packs a part of B into the shared memory.
    unsafe fn pack_b(&self, shares: Shares, [batch, slabs, part_of_k]: [usize; 3]) {
        let spec = &self.plan.spec;
        let BLayout::Strided(b) = spec.b else { return };
        let steps = part(spec.k, shares.minor, part_of_k);
        let slabs = part(self.plan.slabs(), shares.major, slabs);
        let slab_len = spec.k * E::SLAB;
        // SAFETY: the plan counted the packed matrices of the whole batch in the shared memory.
        unsafe {
            let out = self.shared_b(batch).add(slabs.start * slab_len + steps.start * E::SLAB);
            pack_slabs(b.source_of_b(self.b_of(batch)), spec.n, slabs, steps, out, slab_len);
        }
    }

    /// One product's packed A in the shared memory, from a row on that starts a tile.
    fn shared_a(&self, batch: usize, row: usize) -> *mut E {
        let spec = &self.plan.spec;
        self.scratch.cast::<E>().wrapping_add((batch * spec.m + row) * spec.k)
    }

    /// One product's packed B in the shared memory, behind all of A.
    fn shared_b(&self, batch: usize) -> *mut E {
        let behind = self.scratch.wrapping_add(self.plan.shared_a_bytes()).cast::<E>();
        behind.wrapping_add(batch * self.plan.slabs() * self.plan.spec.k * E::SLAB)
    }

    /// A worker's own memory.
    pub(super) fn own_scratch(&self, worker: usize) -> *mut u8 {
        self.scratch.wrapping_add(self.plan.shared_bytes() + worker * self.plan.per_thread_bytes())
    }

    /// Computes a tile of C.
    unsafe fn tile(&self, tiles: &Tiles, index: usize, worker: usize) {
        let spec = &self.plan.spec;
        let (mt, rest) = (index % tiles.m_tiles, index / tiles.m_tiles);
        let place = Place {
            batch: rest / tiles.n_tiles,
            rows: part(spec.m, tiles.m_tiles, mt),
            slabs: part(self.plan.slabs(), tiles.n_tiles, rest % tiles.n_tiles),
        };
        let own = self.own_scratch(worker);
        let [b, _] = self.plan.tile_bytes(tiles).unwrap_or_default();
        let own = TileScratch { b: own.cast(), c: own.wrapping_add(b).cast() };
        // SAFETY: the place is a tile of the plan, so its operands are in bounds and its scratch memory is counted.
        unsafe {
            for block in 0..tiles.k_blocks {
                self.k_block(tiles, &place, block, &own);
            }
            self.finish(tiles, &place, &own, worker);
        }
    }

    /// C's first element of a slab's first row, the distance between rows and that between slabs.
    fn c_slab(
        &self,
        tiles: &Tiles,
        place: &Place,
        slab: usize,
        own: &TileScratch<E>,
    ) -> (*mut E, isize, isize) {
        let slab_cols = E::SLAB as isize;
        let row = place.rows.start as isize;
        match self.plan.spec.c {
            CLayout::Rows { row_stride, .. } => {
                let at = row * row_stride + slab as isize * slab_cols;
                (self.c_of(place.batch).wrapping_offset(at), row_stride, slab_cols)
            }
            CLayout::Packed { .. } => {
                let slab_len = self.plan.spec.m as isize * slab_cols;
                let at = slab as isize * slab_len + row * slab_cols;
                (self.c_of(place.batch).wrapping_offset(at), slab_cols, slab_len)
            }
            CLayout::Tile => {
                let at = (slab - place.slabs.start) * E::SLAB;
                (own.c.wrapping_add(at), self.plan.tile_cols(tiles) as isize, slab_cols)
            }
        }
    }

    /// Adds one block of K to a tile.
    unsafe fn k_block(&self, tiles: &Tiles, place: &Place, block: usize, own: &TileScratch<E>) {
        let spec = &self.plan.spec;
        let steps = part(spec.k, tiles.k_blocks, block);
        let source_a = spec.a.source_of_a(self.a_of(place.batch)).at(steps.start, place.rows.start);
        let row_count = place.rows.len();
        let kernel_tiles = row_count.div_ceil(self.kernels.rows);
        // SAFETY: as in `tile`.
        unsafe {
            // A partial last slab of a B that is read where it lies is a group of its own.
            let alone = usize::from(
                matches!(tiles.b, BMode::Direct | BMode::PackFused)
                    && place.slabs.end == self.plan.slabs()
                    && !spec.n.is_multiple_of(E::SLAB),
            );
            let most = match tiles.b {
                _ if row_count == 1 => self.kernels.slabs_of_one_row,
                // Fewer lines of one row of B, so more rows, fit the cache sets that a power-of-two stride reaches.
                BMode::PackFused => self.kernels.slabs.min(2),
                _ => self.kernels.slabs,
            };
            let together = place.slabs.len() - alone;
            let groups = together.div_ceil(most);
            for group in 0..groups + alone {
                let slabs = if group < groups {
                    let slabs = part(together, groups, group);
                    place.slabs.start + slabs.start..place.slabs.start + slabs.end
                } else {
                    place.slabs.end - 1..place.slabs.end
                };
                let mut args = self.group_args(tiles, place, block, slabs.clone(), own);
                let packing = tiles.b == BMode::PackFused && group < groups;
                for i in 0..kernel_tiles {
                    let rows = part(row_count, kernel_tiles, i);
                    let (a, a_stride) = match tiles.a {
                        AMode::Pack => {
                            let panel = self.shared_a(place.batch, place.rows.start + rows.start);
                            (panel.add(steps.start * rows.len()).cast_const(), rows.len() as isize)
                        }
                        AMode::RowMajor => (source_a.at(0, rows.start).ptr.cast(), spec.a.row_stride),
                        AMode::ColMajor => (source_a.at(0, rows.start).ptr.cast(), spec.a.col_stride),
                    };
                    let c = args.c.offset(rows.start as isize * args.c_stride);
                    let form = match tiles.a {
                        AMode::RowMajor if packing && i == 0 => Form::RowMajorPacking,
                        AMode::RowMajor => Form::RowMajor,
                        AMode::ColMajor | AMode::Pack => Form::ColMajor,
                    };
                    let kernel = (self.kernels.select)(rows.len(), slabs.len(), form);
                    let (b_next, b_next_stride) = self.next_slab(tiles, place, &steps, slabs.end, i, args.b);
                    kernel(&TileArgs { a, a_stride, c, b_next, b_next_stride, ..args });
                    if packing {
                        args.b = own.b;
                        args.b_k_stride = E::SLAB as isize;
                        args.b_slab_stride = (steps.len() * E::SLAB) as isize;
                    }
                }
            }
        }
    }

    /// What the `pass`-th micro-kernel over a group of slabs that ends before `end` fetches for the next group: that
    /// group's `pass`-th slab, with the distance between its lines.
    fn next_slab(
        &self,
        tiles: &Tiles,
        place: &Place,
        steps: &Range<usize>,
        end: usize,
        pass: usize,
        otherwise: *const E,
    ) -> (*const E, isize) {
        // In this tile's block of K, in its next block, or in the next tile.
        let (group, step) = if end < place.slabs.end {
            (end, steps.start)
        } else if steps.end < self.plan.spec.k {
            (place.slabs.start, steps.end)
        } else {
            (end, 0)
        };
        let slab = group + pass;
        if pass >= self.kernels.slabs || slab >= self.plan.slabs() {
            return (otherwise, 0);
        }
        let base = match (tiles.b, &self.plan.spec.b) {
            (BMode::Packed, _) => self.b_of(place.batch).cast(),
            (BMode::PackAll, _) => self.shared_b(place.batch).cast_const(),
            (BMode::PackFused, BLayout::Strided(b)) => {
                let source = b.source_of_b(self.b_of(place.batch));
                return (source.at(step, slab * E::SLAB).ptr.cast(), b.row_stride);
            }
            _ => return (otherwise, 0),
        };
        let at = (slab * self.plan.spec.k + step) * E::SLAB;
        (base.wrapping_add(at), E::SLAB as isize)
    }

    /// The kernel's arguments for a group of slabs: all but A, with C at the tile's first row.
    unsafe fn group_args(
        &self,
        tiles: &Tiles,
        place: &Place,
        block: usize,
        slabs: Range<usize>,
        own: &TileScratch<E>,
    ) -> TileArgs<E> {
        let spec = &self.plan.spec;
        let steps = part(spec.k, tiles.k_blocks, block);
        let (slab, k) = (E::SLAB, steps.len());
        let packed = |base: *const E| {
            let at = slabs.start * spec.k * slab + steps.start * slab;
            (base.wrapping_add(at), slab as isize, (spec.k * slab) as isize)
        };
        let (b, b_k_stride, b_slab_stride) = match (tiles.b, &spec.b) {
            (BMode::PackAll, _) => packed(self.shared_b(place.batch)),
            (_, BLayout::Strided(matrix)) => {
                let source = matrix.source_of_b(self.b_of(place.batch));
                if slabs.end * slab > spec.n {
                    // SAFETY: the thread's memory has room for one slab of a block of K.
                    unsafe { pack_slabs(source, spec.n, slabs.clone(), steps.clone(), own.b, 0) };
                    (own.b.cast_const(), slab as isize, 0)
                } else {
                    let from = source.at(steps.start, slabs.start * slab).ptr;
                    (from.cast(), matrix.row_stride, slab as isize)
                }
            }
            (_, BLayout::Packed { .. }) => packed(self.b_of(place.batch).cast()),
        };
        let (c, c_stride, c_slab_stride) = self.c_slab(tiles, place, slabs.start, own);
        // A transposed product has one bias for everything, which `finish` adds.
        let last = block + 1 == tiles.k_blocks && !tiles.swapped;
        let bias = if last && !self.bias.is_null() {
            self.bias.wrapping_add(slabs.start * slab)
        } else {
            std::ptr::null()
        };
        TileArgs {
            k,
            a: std::ptr::null(),
            a_stride: 0,
            b,
            b_k_stride,
            b_slab_stride,
            b_next: b,
            b_next_stride: 0,
            b_packed: own.b,
            c,
            c_stride,
            c_slab_stride,
            cols: (slabs.end * slab).min(spec.n) - slabs.start * slab,
            accumulate: spec.accumulate || block > 0,
            bias,
            relu: last && self.epilogue.relu,
        }
    }

    /// Applies the hook to a finished tile, and what the kernels of a transposed product left out.
    unsafe fn finish(&self, tiles: &Tiles, place: &Place, own: &TileScratch<E>, worker: usize) {
        let n = self.plan.spec.n;
        let (batch, row, rows) = (place.batch, place.rows.start, place.rows.len());
        let cols_of = |slabs: &Range<usize>| slabs.start * E::SLAB..(slabs.end * E::SLAB).min(n);
        // SAFETY: as in `tile`: the pointers are C's, or the thread's.
        unsafe {
            if tiles.swapped {
                let outs = cols_of(&place.slabs);
                let (c, _, _) = self.c_slab(tiles, place, place.slabs.start, own);
                for i in 0..outs.len() {
                    *c.add(i) = self.scalar_epilogue(*c.add(i), 0);
                }
                let (row, rows, c) = (outs.start, outs.len(), c.cast());
                self.hook(&Block { batch, row, col: 0, rows, cols: 1, c, row_stride: 1, worker });
                return;
            }
            if self.epilogue.hook.is_none() {
                return;
            }
            let whole = place.slabs.clone();
            let by_slab = matches!(self.plan.spec.c, CLayout::Packed { .. });
            let parts = if by_slab { whole.len() } else { 1 };
            for i in 0..parts {
                let slabs = if by_slab { whole.start + i..whole.start + i + 1 } else { whole.clone() };
                let cols = cols_of(&slabs);
                let (c, row_stride, _) = self.c_slab(tiles, place, slabs.start, own);
                let (col, cols, c) = (cols.start, cols.len(), c.cast());
                self.hook(&Block { batch, row, col, rows, cols, c, row_stride, worker });
            }
        }
    }

    pub(super) fn hook(&self, block: &Block) {
        if let Some(hook) = self.epilogue.hook {
            hook(block);
        }
    }

    /// Bias and ReLU of one element in column `col`.
    #[inline]
    pub(super) unsafe fn scalar_epilogue(&self, mut x: E, col: usize) -> E {
        if !self.bias.is_null() {
            // SAFETY: a bias holds n elements, by the contract of `run`.
            x += unsafe { *self.bias.add(col) };
        }
        if self.epilogue.relu && E::default() > x { E::default() } else { x }
    }
}
