//! The program cache: compiled graphs by what they compute, never by name.

use crate::{Executable, ForkLock, Options, Stages};
use std::hash::Hash;
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use wootz_ir::{Graph, Target};
use xxhash_rust::xxh3::Xxh3;

/// How many compiled graphs are kept unless [`set_cache_limit`] says otherwise.
const DEFAULT_LIMIT: usize = 256;

/// How the program cache has been doing.
#[derive(Copy, Clone, Debug, Default, PartialEq, Eq)]
pub struct CacheInfo {
    /// Compilations that were answered from the cache.
    pub hits: u64,
    /// Compilations that were not.
    pub misses: u64,
    /// Compiled graphs held now.
    pub size: usize,
    /// The most it holds; the least recently used go first.
    pub limit: usize,
}

pub(crate) struct Entry {
    pub(crate) executable: Arc<dyn Executable>,
    pub(crate) optimized: Arc<Graph>,
    pub(crate) stages: Stages,
}

struct Cache {
    entries: lru::LruCache<u128, Arc<Entry>>,
    hits: u64,
    misses: u64,
}

impl Default for Cache {
    fn default() -> Cache {
        Cache { entries: lru::LruCache::new(limit()), hits: 0, misses: 0 }
    }
}

static CACHE: ForkLock<Cache> = ForkLock::new();
/// For caches to come, too: a forked child may start with a new one.
static LIMIT: AtomicUsize = AtomicUsize::new(DEFAULT_LIMIT);

fn limit() -> NonZeroUsize {
    NonZeroUsize::new(LIMIT.load(Ordering::Relaxed)).unwrap_or(NonZeroUsize::MIN)
}

/// What a compilation depends on: the graph without its names (nested regions, constants' contents, shapes and dtypes included),
/// roles, donation, level, flags, target.
pub(crate) fn key(graph: &Graph, options: &Options, target: &Target) -> u128 {
    let mut hasher = Xxh3::new();
    graph.body.hash(&mut hasher);
    for input in &graph.inputs {
        input.role.hash(&mut hasher);
    }
    for output in &graph.outputs {
        output.alias.hash(&mut hasher);
    }
    options.level.hash(&mut hasher);
    options.backend.hash(&mut hasher);
    target.hash(&mut hasher);
    hasher.digest128()
}

pub(crate) fn get(key: u128) -> Option<Arc<Entry>> {
    CACHE.with(|cache| {
        let found = cache.entries.get(&key).cloned();
        match found {
            Some(_) => cache.hits += 1,
            None => cache.misses += 1,
        }
        found
    })
}

pub(crate) fn put(key: u128, entry: Arc<Entry>) {
    CACHE.with(|cache| cache.entries.put(key, entry));
}

/// How the program cache has been doing.
pub fn cache_info() -> CacheInfo {
    CACHE.with(|cache| CacheInfo {
        hits: cache.hits,
        misses: cache.misses,
        size: cache.entries.len(),
        limit: cache.entries.cap().get(),
    })
}

/// Forgets every compiled graph (programs in use live on) and the counts.
pub fn clear_cache() {
    CACHE.with(|cache| {
        cache.entries.clear();
        (cache.hits, cache.misses) = (0, 0);
    });
}

/// Sets how many compiled graphs are kept (at least one).
pub fn set_cache_limit(limit: usize) {
    LIMIT.store(limit, Ordering::Relaxed);
    CACHE.with(|cache| cache.entries.resize(self::limit()));
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::BackendOptions;
    use wootz_ir::{DType, text};
    use wootz_passes::Optimize;

    fn target() -> Target {
        Target {
            backend: "cpu",
            isa: "avx2",
            dtypes: DType::ALL.to_vec(),
            claims: Vec::new(),
            panel: 32,
            caches: [1 << 15, 1 << 20, 1 << 25],
            differentiable: false,
        }
    }

    fn key_of(graph: &str) -> u128 {
        key(&text::parse(graph).expect("well formed"), &Options::default(), &target())
    }

    #[test]
    fn names_and_sites_are_no_part_of_the_key() {
        let first = key_of(r#"graph(%x: f32[2] = input "x") { %y = exp %x return "y" = %y }"#);
        let second = key_of(r#"graph(%a: f32[2] = input "a") { %b = exp %a loc("here") return "b" = %b }"#);
        assert_eq!(first, second);
    }

    /// Everything that a compiled graph depends on.
    #[test]
    fn whatever_changes_the_program_changes_the_key() {
        let graphs = [
            r#"graph(%x: f32[2] = input "x") { %y = exp %x return "y" = %y }"#,
            r#"graph(%x: f32[3] = input "x") { %y = exp %x return "y" = %y }"#,
            r#"graph(%x: f64[2] = input "x") { %y = exp %x return "y" = %y }"#,
            r#"graph(%x: f32[2] = input "x") { %y = log %x return "y" = %y }"#,
            r#"graph(%x: f32[2] = param "x") { %y = exp %x return "y" = %y }"#,
            r#"graph(%x: f32[2] = state "x") { %y = exp %x return "y" = %y }"#,
            r#"graph(%x: f32[2] = state "x") { %y = exp %x return "y" = %y alias "x" }"#,
            r#"graph(%x: f32[2] = input "x") { %c = constant[value=f32[]{1.0}] : f32[] %b = broadcast[axes=[], shape=[2]] %c %y = add %x, %b return "y" = %y }"#,
            r#"graph(%x: f32[2] = input "x") { %c = constant[value=f32[]{2.0}] : f32[] %b = broadcast[axes=[], shape=[2]] %c %y = add %x, %b return "y" = %y }"#,
        ];
        let mut keys: Vec<u128> = graphs.into_iter().map(key_of).collect();
        let graph = text::parse(graphs[0]).expect("well formed");
        let with = |options: &Options, target: &Target| key(&graph, options, target);
        let plain = Options::default();
        keys.push(with(&Options { level: Optimize::Basic, ..plain.clone() }, &target()));
        let threads = |n| BackendOptions { threads: Some(n) };
        keys.extend([1, 2].map(|n| with(&Options { backend: threads(n), ..plain.clone() }, &target())));
        keys.push(with(&plain, &Target { isa: "avx512", ..target() }));
        keys.push(with(&plain, &Target { panel: 64, ..target() }));
        keys.push(with(&plain, &Target { differentiable: true, ..target() }));
        let count = keys.len();
        keys.sort_unstable();
        keys.dedup();
        assert_eq!(keys.len(), count, "two different compilations share a key");
    }
}
