//! Prints the time of each pass and the nodes it leaves, for an MLP's training step (784-1024-512-256-10, batch 32, Adam).
//! With `--text`, the graph after the last pass as well.

use std::time::{Duration, Instant};
use wootz_ir::{DType, Target, TensorType, text};
use wootz_nn::{adam, cross_entropy, mlp, training};
use wootz_passes::{Optimize, passes};

const ROUNDS: usize = 200;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let step = training(mlp(&[784, 1024, 512, 256, 10]), cross_entropy(), adam(1e-3));
    let inputs =
        [("x", TensorType::new(DType::F32, [32usize, 784])), ("y", TensorType::new(DType::I64, [32usize]))];
    let graph = step.trace(&inputs)?.graph;
    let target = Target {
        backend: "example",
        isa: "",
        dtypes: DType::ALL.to_vec(),
        claims: Vec::new(),
        panel: 0,
        caches: [1 << 15, 1 << 19, 1 << 23],
        differentiable: false,
    };
    for level in [Optimize::None, Optimize::Basic, Optimize::Full] {
        println!("{level:?}: {} nodes", graph.body.nodes().len());
        let mut current = graph.clone();
        let mut total = Duration::ZERO;
        for pass in passes(level) {
            let mut times = Vec::with_capacity(ROUNDS);
            let mut after = current.clone();
            for _ in 0..ROUNDS {
                let start = Instant::now();
                after = pass.apply(&current, &target)?;
                times.push(start.elapsed());
            }
            times.sort();
            let median = times[ROUNDS / 2];
            total += median;
            current = after;
            println!(
                "  {:<10} {:>8.1} µs  {} nodes",
                pass.name,
                median.as_secs_f64() * 1e6,
                current.body.nodes().len()
            );
        }
        println!("  {:<10} {:>8.1} µs", "total", total.as_secs_f64() * 1e6);
        if level == Optimize::Full && std::env::args().any(|a| a == "--text") {
            print!("{}", text::print(&current));
        }
    }
    Ok(())
}
