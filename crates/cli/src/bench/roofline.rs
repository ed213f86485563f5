//! `wootz bench roofline`.

use std::fmt::Write;

use anyhow::{Result, bail};
use serde_json::{Value, json};
use wootz::cpu::isa::{Caches, Isa};
use wootz::cpu::yardstick::{Fma, Options, Roofline, Stream};
use wootz_bench::machine::Machine;

use crate::output::{print, print_json};

/// Measure what this machine can do at best: bandwidth of each cache level and of memory, multiply-adds a second
///
/// Profiles show how near a kernel comes to these figures.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Numbers of threads [default: powers of two, and every core]
    #[arg(long, value_name = "NUMBERS", value_delimiter = ',', value_parser = clap::value_parser!(u16).range(1..))]
    threads: Vec<u16>,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

pub(crate) fn roofline(args: &Args) -> Result<()> {
    let mut options = Options::thorough()?;
    if !args.threads.is_empty() {
        let most = wootz::cpu::pool::default_threads()?;
        options.threads = args.threads.iter().map(|n| usize::from(*n)).collect();
        if let Some(too_many) = options.threads.iter().find(|n| **n > most) {
            bail!("{too_many} threads are more than the {most} that wootz may use");
        }
        options.threads.sort_unstable();
        options.threads.dedup();
    }
    let roofline = Roofline::measure(&options);
    if args.json { print_json(&as_json(&roofline)) } else { print(&as_text(&options, &roofline)?) }
}

fn as_json(roofline: &Roofline) -> Value {
    let caches = Caches::detect();
    let bandwidth = roofline.bandwidth.iter().map(|b| {
        json!({"loop": b.stream.name(), "threads": b.threads, "bytes": b.bytes, "level": b.level,
               "gigabytes_per_second": b.rate})
    });
    let arithmetic = roofline.arithmetic.iter().map(|a| {
        json!({"dtype": a.fma.name(), "isa": a.isa.name(), "threads": a.threads, "gigaflops_per_second": a.rate})
    });
    json!({
        "version": 1,
        "machine": serde_json::to_value(Machine::describe()).unwrap_or_default(),
        "caches": {"l1d": caches.l1d, "l2": caches.l2, "l3": caches.l3},
        "bandwidth": bandwidth.collect::<Vec<_>>(),
        "arithmetic": arithmetic.collect::<Vec<_>>(),
    })
}

fn as_text(options: &Options, roofline: &Roofline) -> Result<String> {
    let machine = Machine::describe();
    let mut text = format!("{} ({} cores)\n", machine.cpu, machine.cores);
    for threads in &options.threads {
        let plural = if *threads == 1 { "" } else { "s" };
        write!(text, "\n{threads} thread{plural}, GB/s\n{:24}", "working set")?;
        Stream::ALL.iter().try_for_each(|stream| write!(text, "{:>10}", stream.name()))?;
        text.push('\n');
        let of =
            |stream| roofline.bandwidth.iter().filter(move |b| b.threads == *threads && b.stream == stream);
        for row in of(Stream::Read) {
            let set = format!("{:<8}{:>12}", row.level, size(row.bytes));
            write!(text, "{set:24}")?;
            for stream in Stream::ALL {
                let rate = of(stream).find(|b| b.bytes == row.bytes).map_or(0.0, |b| b.rate);
                write!(text, "{rate:>10.1}")?;
            }
            text.push('\n');
        }
    }
    write!(text, "\n{:24}", "multiply-adds, GFLOP/s")?;
    options.threads.iter().try_for_each(|n| write!(text, "{:>10}", format!("{n} thr.")))?;
    for isa in options.isas.iter().filter(|isa| **isa != Isa::Portable) {
        for fma in Fma::ALL {
            write!(text, "\n{:24}", format!("{isa} {}", fma.name()))?;
            for threads in &options.threads {
                let found = roofline
                    .arithmetic
                    .iter()
                    .find(|a| a.isa == *isa && a.fma == fma && a.threads == *threads);
                write!(text, "{:>10.1}", found.map_or(0.0, |a| a.rate))?;
            }
        }
    }
    Ok(text)
}

/// A number of bytes with a unit.
fn size(bytes: usize) -> String {
    match bytes {
        b if b < 1 << 20 => format!("{} KiB", b >> 10),
        b => format!("{:.1} MiB", b as f64 / f64::from(1 << 20)),
    }
}
