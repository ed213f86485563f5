//! Comparing two runs.

mod common;

use common::{fake, options, temporary};
use wootz_bench::result::{Outcome, Report};
use wootz_bench::{Verdict, compare, run};

fn scale(report: &Report, factor: f64) -> Report {
    let mut scaled = report.clone();
    for row in &mut scaled.rows {
        if let Outcome::Ok(measured) = &mut row.outcome {
            measured.warm.samples_ns.iter_mut().for_each(|sample| *sample *= factor);
        }
    }
    scaled
}

#[test]
fn compare_says_better_worse_or_no_difference() {
    let out = temporary();
    let a = run(&options(out.path().join("a"))).expect("a run");
    for (factor, expected) in [(1.0, Verdict::NoDifference), (0.1, Verdict::Better), (10.0, Verdict::Worse)] {
        let comparison = compare(&a, &scale(&a, factor));
        assert_eq!(comparison.rows.len(), 2);
        assert!(comparison.warnings.is_empty() && comparison.unmatched.is_empty());
        for row in &comparison.rows {
            assert_eq!(row.verdict, expected, "{factor}: {row:?}");
            assert!((row.ratio.estimate / factor - 1.0).abs() < 1e-12);
        }
        assert!(comparison.to_string().contains(&expected.to_string()));
    }
}

#[test]
fn compare_warns_of_what_differs() {
    let out = temporary();
    let mut options = options(out.path().join("a"));
    options.extra_runners.push(fake("second", &[]));
    let a = run(&options).expect("a run");
    let mut b = a.clone();
    b.header.machine.cpu = "Another CPU".into();
    b.header.plan.threads = 7;
    b.rows.retain(|row| row.runner != "second");
    for row in &mut b.rows {
        row.case.threads = 7;
        if let Outcome::Ok(measured) = &mut row.outcome {
            measured.versions.insert("fake".into(), "2".into());
        }
    }
    let text = compare(&a, &b).to_string();
    for expected in
        ["machines differ", "thread counts differ", "fake is 1 in A and 2 in B", "second: only in A"]
    {
        assert!(text.contains(expected), "{expected}\n{text}");
    }
}
