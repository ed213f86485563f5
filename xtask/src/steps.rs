//! A sequence of named, timed steps that ends at the first failure.

use std::time::{Duration, Instant};

use anyhow::{Context, Result};

use crate::process::Process;

/// Runs steps one after the other and remembers how each went.
pub(crate) struct Steps {
    started: Instant,
    done: Vec<(String, Outcome)>,
}

enum Outcome {
    Passed(Duration),
    Failed(Duration),
    Absent(String),
}

impl Steps {
    /// No step yet.
    pub(crate) fn new() -> Self {
        Self { started: Instant::now(), done: Vec::new() }
    }

    /// Runs `process` as the step `title`. On failure prints the summary and returns an error that says how to
    /// repeat the step.
    pub(crate) fn run(&mut self, title: &str, process: &Process) -> Result<()> {
        self.call(title, &process.to_string(), || process.run())
    }

    /// Runs `body` as the step `title`; `repeat` is the command line that does the same.
    pub(crate) fn call<T>(
        &mut self,
        title: &str,
        repeat: &str,
        body: impl FnOnce() -> Result<T>,
    ) -> Result<T> {
        println!("\n==> {title}\n    $ {repeat}");
        let started = Instant::now();
        let result = body();
        let took = started.elapsed();
        let outcome = if result.is_ok() { Outcome::Passed(took) } else { Outcome::Failed(took) };
        self.done.push((title.to_owned(), outcome));
        match result {
            Ok(value) => {
                println!("    done in {}", seconds(took));
                Ok(value)
            }
            Err(error) => {
                self.summary();
                Err(error).with_context(|| format!("step `{title}` failed; repeat it with\n\n    {repeat}\n"))
            }
        }
    }

    /// Notes that the step `title` has nothing to run on yet.
    pub(crate) fn absent(&mut self, title: &str, reason: &str) {
        println!("\n==> {title}\n    not run: {reason}");
        self.done.push((title.to_owned(), Outcome::Absent(reason.to_owned())));
    }

    /// Prints how each step went.
    pub(crate) fn summary(&self) {
        println!("\n==> summary");
        for (title, outcome) in &self.done {
            match outcome {
                Outcome::Passed(took) => println!("    ok       {:>9}  {title}", seconds(*took)),
                Outcome::Failed(took) => println!("    FAILED   {:>9}  {title}", seconds(*took)),
                Outcome::Absent(reason) => println!("    not run  {:>9}  {title}: {reason}", "-"),
            }
        }
        println!("    total    {:>9}", seconds(self.started.elapsed()));
    }
}

fn seconds(duration: Duration) -> String {
    format!("{:.1} s", duration.as_secs_f64())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_failure_says_how_to_repeat_it() {
        let mut steps = Steps::new();
        steps.run("fine", &Process::new("true")).expect("true succeeds");
        let error = steps.run("broken", &Process::new("false")).expect_err("false fails");
        let text = format!("{error:#}");
        assert!(text.contains("step `broken` failed") && text.contains("\n    false\n"), "{text}");
    }
}
