//! Random graphs with random roles and donations.

use crate::check::{Tolerance, check, graph, optimized};
use crate::graphs::{BOUND, Dna, Garden, Gene, genes, random_type};
use proptest::prelude::*;
use wootz_ir::{Graph, HostTensor, Role, TensorType, Value};
use wootz_passes::Optimize;

/// A graph grown from genes: `seeds` make the inputs, `body` the nodes, `ends` the results.
fn grow(seeds: &[Gene], body: &[Gene], ends: &[Gene], depth: usize) -> (Graph, Vec<HostTensor>) {
    let mut types: Vec<TensorType> = Vec::new();
    let mut roles = Vec::new();
    for gene in seeds {
        let mut dna = Dna::new(*gene);
        roles.push([Role::Param, Role::Input, Role::State][dna.below(3)]);
        // Inputs of one type are what updates and donations need.
        let repeat = dna.below(3) > 0 && !types.is_empty();
        let again = dna.below(types.len());
        types.push(if repeat { types[again].clone() } else { random_type(&mut dna) });
    }
    let mut garden = Garden::new(&types);
    for gene in body {
        garden.grow(*gene, depth);
    }
    let mut results = Vec::new();
    let mut aliases = Vec::new();
    let params: Vec<Value> = garden.pool[..types.len()].to_vec();
    for gene in ends {
        let mut dna = Dna::new(*gene);
        let update = params[dna.below(params.len())];
        let value = match dna.below(3) {
            0 => garden.pick(&mut dna),
            _ => garden.pick_like(&mut dna, update),
        };
        let alias = (0..types.len())
            .find(|i| *garden.b.ty(value) == types[*i] && !aliases.contains(&Some(*i)) && dna.below(3) > 0);
        results.push(value);
        aliases.push(alias);
    }
    let args = types.iter().enumerate().map(|(i, ty)| argument(ty, i)).collect();
    (graph(garden.b.finish(&results), &roles, &aliases), args)
}

/// Whole numbers of at most [`BOUND`].
fn argument(ty: &TensorType, seed: usize) -> HostTensor {
    let dims = ty.shape.concrete().unwrap();
    let span = 2 * BOUND as i64 + 1;
    let value = |i: usize| ((i * 7 + seed * 5 + i * i / 3) as i64 % span - BOUND as i64) as f64;
    let values: Vec<f64> = (0..dims.iter().product()).map(value).collect();
    HostTensor::from_f64(ty.dtype, &dims, &values)
}

/// One run: what comes out may be larger than [`BOUND`], which a second run could not take.
fn agree(graph: &Graph, args: &[HostTensor], level: u8) {
    let level = [Optimize::None, Optimize::Basic, Optimize::Full][usize::from(level % 3)];
    check(&optimized(graph, level), args, 1, Tolerance::Order);
}

/// What fails is written down in `cases`, shrunk.
fn config() -> ProptestConfig {
    let cases = std::env::var("PROPTEST_CASES").ok().and_then(|n| n.parse().ok()).unwrap_or(4000);
    ProptestConfig { cases, max_shrink_iters: 4000, failure_persistence: None, ..ProptestConfig::default() }
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn plans_of_random_graphs(
        seeds in genes(2..6), body in genes(1..40), ends in genes(1..7), level: u8,
    ) {
        let (graph, args) = grow(&seeds, &body, &ends, 0);
        agree(&graph, &args, level);
    }

    #[test]
    fn plans_of_random_graphs_with_regions(
        seeds in genes(2..6), body in genes(1..16), ends in genes(1..5), level: u8,
    ) {
        let (graph, args) = grow(&seeds, &body, &ends, 2);
        agree(&graph, &args, level);
    }
}
