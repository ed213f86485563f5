//! Random epilogues of products, run on blocks of all sizes that lie between guard pages, as do all their buffers.

use crate::guard::{Edge, Guarded};
use wootz_cpu::isa::Isa;
use wootz_cpu::testing::{Compiled, Executor};
use wootz_cpu::vm::Block;
use wootz_plan_testing::{Case, Options, Random, difference, generate_epilogue};

const SEEDS: std::ops::Range<u64> = 0..300;

/// A number of elements cut at random places.
fn cuts(random: &mut Random, elements: usize) -> Vec<std::ops::Range<usize>> {
    let (mut parts, mut start) = (vec![], 0);
    while start < elements {
        let end = (start + 1 + random.below(elements)).min(elements);
        parts.push(start..end);
        start = end;
    }
    parts
}

/// The buffers after the epilogue was run on every block; `None` if there is no machine code for it.
fn execute(case: &Case, executor: Executor, isa: Isa, edge: Edge, seed: u64) -> Option<Vec<Guarded>> {
    let compiled = Compiled::epilogue(&case.epilogue(), executor, isa)?;
    let buffers: Vec<Guarded> =
        case.buffers.iter().map(|buffer| Guarded::holding(buffer.as_bytes(), edge)).collect();
    let args: Vec<*mut u8> = buffers.iter().map(Guarded::as_mut_ptr).collect();
    let work = Guarded::holding(&vec![0; compiled.work_bytes().next_multiple_of(64)], edge);
    let mut random = Random::new(seed);
    let [batches, m, n] = [0, 1, 2].map(|axis| case.kernel.grid[axis]);
    let (product, size) = (case.buffers[0].as_bytes(), case.buffers[0].dtype().size());
    for batch in 0..batches {
        let rows = cuts(&mut random, m);
        for rows in rows {
            for cols in cuts(&mut random, n) {
                let row_stride = cols.len() + random.below(3);
                let mut tile = vec![0xa5u8; ((rows.len() - 1) * row_stride + cols.len()) * size];
                for (i, row) in rows.clone().enumerate() {
                    let from = ((batch * m + row) * n + cols.start) * size;
                    let to = i * row_stride * size;
                    let bytes = cols.len() * size;
                    tile[to..to + bytes].copy_from_slice(&product[from..from + bytes]);
                }
                let tile = Guarded::holding(&tile, edge);
                let block = Block {
                    batch,
                    row: rows.start,
                    col: cols.start,
                    rows: rows.len(),
                    cols: cols.len(),
                    data: tile.as_mut_ptr(),
                    row_stride: row_stride as isize,
                };
                // SAFETY: a pointer for every argument, a block within the grid; the interpreter ran the kernel within its buffers.
                unsafe { compiled.run_block(&args, &block, work.as_mut_ptr()) };
            }
        }
    }
    Some(buffers)
}

/// Checks random epilogues; how many were run as machine code on each instruction set.
fn check(options: &Options, salt: u64) -> Vec<(Isa, usize)> {
    let mut native: Vec<(Isa, usize)> = Isa::available().map(|isa| (isa, 0)).collect();
    for seed in SEEDS {
        let case = generate_epilogue(seed ^ salt, options);
        let expected = case.expected().unwrap_or_else(|error| panic!("epilogue {seed}: {error}\n{case}"));
        for (isa, count) in &mut native {
            for (executor, edge) in [Executor::Vm, Executor::Jit]
                .into_iter()
                .flat_map(|executor| [Edge::End, Edge::Start].map(|edge| (executor, edge)))
            {
                let Some(got) = execute(&case, executor, *isa, edge, seed) else { continue };
                *count += usize::from(executor == Executor::Jit && edge == Edge::End);
                for (i, (expected, got)) in expected.iter().zip(&got).enumerate() {
                    if let Some(text) = difference(expected, got.as_bytes()) {
                        panic!("epilogue {seed} by {executor:?} on {isa}: a{i}, {text}\n{case}");
                    }
                }
            }
        }
    }
    native
}

#[test]
fn random_epilogues_agree_with_the_interpreter() {
    check(&Options::default(), 0);
}

#[test]
fn random_native_epilogues_agree_with_the_interpreter() {
    let native = check(&Options { native: true, ..Options::default() }, 0x5A5A_0000);
    for (isa, count) in native.into_iter().filter(|(isa, _)| *isa != Isa::Portable) {
        println!("{count} epilogues as machine code for {isa}");
        assert!(count as u64 * 100 >= SEEDS.end * 80, "{count} of {} for {isa}", SEEDS.end);
    }
}
