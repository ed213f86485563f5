//! Contenders other than wootz in this process: hand-written loops, bandwidth.

use std::sync::Arc;

use wootz::cpu::isa::Isa;
use wootz::cpu::pool::{Pool, Team};
use wootz::cpu::yardstick::Stream;
use wootz_bench::kernels::Contender;

/// Names in the table.
pub(super) const HAND_WRITTEN: &str = "hand-written";
pub(super) const COPY: &str = "copy";
pub(super) const READ: &str = "read";
pub(super) const UPDATE: &str = "update";

/// A loop over memory of its own.
pub(super) struct Loop<S> {
    name: &'static str,
    state: S,
    step: fn(&mut S) -> Result<(), String>,
    output: fn(&S) -> Option<Vec<f64>>,
}

impl<S: 'static> Loop<S> {
    pub(super) fn boxed(
        name: &'static str,
        state: S,
        step: fn(&mut S) -> Result<(), String>,
        output: fn(&S) -> Option<Vec<f64>>,
    ) -> Box<dyn Contender> {
        Box::new(Loop { name, state, step, output })
    }
}

impl<S> Contender for Loop<S> {
    fn name(&self) -> &str {
        self.name
    }

    fn step(&mut self) -> Result<(), String> {
        (self.step)(&mut self.state)
    }

    fn output(&mut self) -> Result<Option<Vec<f64>>, String> {
        Ok((self.output)(&self.state))
    }
}

/// f32 values as f64.
pub(super) fn wide(values: &[f32]) -> Vec<f64> {
    values.iter().map(|x| f64::from(*x)).collect()
}

struct Bandwidth {
    stream: Stream,
    isa: Isa,
    threads: usize,
    from: Arc<[f32]>,
    to: Vec<f32>,
}

/// What memory allows: reading `data`, copying it, or changing it in place. Whole blocks of it.
pub(super) fn bandwidth(stream: Stream, isa: Isa, threads: usize, data: Arc<[f32]>) -> Box<dyn Contender> {
    let [_, _, writes] = stream.operands();
    let to = if writes { data.to_vec() } else { Vec::new() };
    let step = |b: &mut Bandwidth| {
        let from = if b.stream == Stream::Update { &[] } else { &*b.from };
        with_team(b.threads, |team| b.stream.run(team, b.isa, from, &[], &mut b.to));
        Ok(())
    };
    let name = match stream {
        Stream::Update => UPDATE,
        Stream::Read => READ,
        Stream::Copy | Stream::Triad => COPY,
    };
    Loop::boxed(name, Bandwidth { stream, isa, threads, from: data, to }, step, |_| None)
}

/// Runs `f` with `threads` threads of the process's pool.
pub(super) fn with_team<R>(threads: usize, f: impl FnOnce(&Team<'_>) -> R) -> R {
    match Pool::global() {
        Ok(pool) => pool.session(threads, f),
        Err(_) => f(&Team::serial()),
    }
}
