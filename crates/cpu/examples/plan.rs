//! Prints the plan of a graph in text form, read from standard input.

use std::io::Read;
use wootz_passes::Optimize;
use wootz_runtime::Backend;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut text = String::new();
    std::io::stdin().read_to_string(&mut text)?;
    let graph = wootz_ir::text::parse(&text)?;
    let target = wootz_cpu::Cpu::default().target();
    let graph = wootz_passes::run(&graph, Optimize::Full, &target, &mut |_, _| {})?;
    println!("{}", wootz_plan::lower(&graph, &target)?);
    Ok(())
}
