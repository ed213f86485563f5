//! The orchestrator against workers that behave and workers that do not.

mod common;

use std::time::Duration;

use common::{options, temporary};
use wootz_bench::result::Outcome;
use wootz_bench::{BenchError, JOURNAL_FILE, Mode, Model, Report, Runner, run};

fn shell(name: &str, script: &str) -> Runner {
    Runner::command(name, ["sh", "-c", script])
}

fn reason<'a>(report: &'a Report, runner: &str) -> (&'a str, &'a str) {
    let row = report.rows.iter().find(|row| row.runner == runner).expect("a row a runner");
    match &row.outcome {
        Outcome::Failed { reason, stderr } => (reason, stderr),
        other => panic!("{runner}: {other:?}"),
    }
}

#[test]
fn bad_workers_become_failed_rows_and_good_ones_go_on() {
    let out = temporary();
    let mut options = options(out.path().join("run"));
    options.timeout = Duration::from_secs(3);
    options.extra_runners.extend([
        shell("dies", "echo cannot find my feet >&2; exit 7"),
        shell("killed", "kill -9 $$"),
        shell("hangs", "sleep 600"),
        shell("garbage", "read line; echo 'Hello, world'; sleep 600"),
        shell("binary", r"read line; printf '\377\376\000\n'; sleep 600"),
        shell("endless", "exec cat /dev/zero"),
        shell("wrong-answer", r#"read line; echo '{"type":"samples","samples_ns":[1]}'; sleep 600"#),
        shell(
            "absurd",
            r#"read line; echo '{"type":"ready","version":1,"versions":{},"marks":[]}'; sleep 600"#,
        ),
        shell("old", r#"read line; echo '{"type":"ready","version":0,"versions":{},"marks":[]}'; sleep 600"#),
        Runner::command("absent", ["/nonexistent/worker"]),
    ]);
    let report = run(&options).expect("failures are rows");
    assert_eq!(report.rows.len(), 2 * 11);
    assert_eq!(report.failures().count(), 2 * 10);

    assert!(reason(&report, "dies").0.contains("exit status: 7"), "{:?}", reason(&report, "dies"));
    assert_eq!(reason(&report, "dies").1, "cannot find my feet");
    assert!(reason(&report, "killed").0.contains("signal"), "{:?}", reason(&report, "killed"));
    assert!(reason(&report, "hangs").0.contains("within 3 s"));
    assert!(reason(&report, "garbage").0.contains("Hello, world"));
    assert!(reason(&report, "binary").0.contains("not a response"));
    assert!(reason(&report, "endless").0.contains("too long"));
    assert!(reason(&report, "wrong-answer").0.contains("another response"));
    assert!(reason(&report, "absurd").0.contains("no marks"));
    assert!(reason(&report, "old").0.contains("protocol 0"));
    assert!(reason(&report, "absent").0.contains("/nonexistent/worker"));

    for row in report.rows.iter().filter(|row| row.runner == "fake") {
        let measured = row.measured().unwrap_or_else(|| panic!("{row:?}"));
        assert_eq!(measured.warm.samples_ns.len(), options.repeats);
        assert!(measured.cold.is_some());
        assert!(!measured.checks.is_empty());
    }
}

#[test]
fn a_wrong_result_is_a_failed_row_without_times() {
    for (fault, mode) in [("output", 0), ("loss", 1), ("update", 1), ("nan", 0), ("absent", 0)] {
        let out = temporary();
        let mut options = options(out.path().join("run"));
        options.modes = vec![[Mode::Inference, Mode::Training][mode]];
        options.extra_runners = vec![common::fake("faulty", &[("FAULT", fault)])];
        let report = run(&options).expect("a wrong result is a row");
        let (reason, _) = reason(&report, "faulty");
        let expected = if fault == "absent" { "no output named" } else { "wrong result" };
        assert!(reason.contains(expected), "{fault}: {reason}");
    }
}

#[test]
fn a_worker_that_dies_late_leaves_the_others_running() {
    let out = temporary();
    let mut options = options(out.path().join("run"));
    options.extra_runners.push(common::fake("late", &[("FAULT", "late")]));
    let report = run(&options).expect("a late death is a row");
    assert!(reason(&report, "late").1.contains("out of breath"), "{:?}", reason(&report, "late"));
    assert_eq!(report.failures().count(), 2);
}

#[test]
fn a_missing_stack_says_how_to_install_it() {
    let out = temporary();
    let mut options = options(out.path().join("run"));
    options.extra_runners.push(Runner::python("jax", None, out.path()));
    options.extra_runners.push(common::fake("other", &[("FAULT", "missing")]));
    let report = run(&options).expect("a missing stack is a row");
    for name in ["jax", "other"] {
        let row = report.rows.iter().find(|row| row.runner == name).expect("a row a runner");
        let Outcome::Missing { install, .. } = &row.outcome else { panic!("{row:?}") };
        assert!(install.contains("cargo xtask peers"));
        assert!(report.to_string().contains("cargo xtask peers"));
    }
}

/// A run killed in its second case resumes without measuring the first one again.
#[test]
fn resume_keeps_the_rows_of_a_killed_run() {
    let out = temporary();
    let folder = out.path().join("run");
    let mut options = options(folder.clone());
    let whole = run(&options).expect("the fake worker works");
    assert!(matches!(run(&options), Err(BenchError::AlreadyThere { .. })));

    // What a kill leaves: the header, the first case's row, and half a line of the second one.
    let entry = |kind: &str, value: serde_json::Value| {
        serde_json::json!({"type": kind, "version": 1, kind: value}).to_string() + "\n"
    };
    let text = |value| serde_json::to_value(value).expect("plain data");
    let mut journal = entry("header", serde_json::to_value(&whole.header).expect("plain data"));
    journal += &entry("row", text(&whole.rows[0]));
    let second = entry("row", text(&whole.rows[1]));
    journal += &second[..second.len() / 2];
    std::fs::remove_file(folder.join("result.json")).expect("the result");
    std::fs::write(folder.join(JOURNAL_FILE), &journal).expect("a journal");

    options.resume = true;
    let mut other = options.clone();
    other.repeats += 1;
    assert!(matches!(run(&other), Err(BenchError::ResumeMismatch { .. })));

    let resumed = run(&options).expect("the journal fits");
    assert_eq!(resumed.rows.len(), whole.rows.len());
    assert_eq!(resumed.rows[0], whole.rows[0], "the first case is kept as it was");
    assert_ne!(resumed.rows[1], whole.rows[1], "the second case is measured again");
    assert!(!folder.join(JOURNAL_FILE).exists());
    assert_eq!(wootz_bench::report(&folder).expect("a result").rows, resumed.rows);
    assert!(matches!(run(&options), Err(BenchError::NothingToResume { .. })));
}

/// A stack that was not there in the first run and is in the second; the other case's rows are not touched.
#[test]
fn resume_measures_again_where_a_stack_failed_and_works_now() {
    let out = temporary();
    let folder = out.path().join("run");
    let installed = out.path().join("installed");
    let worker = env!("CARGO_BIN_EXE_wootz-bench-fake-worker");
    let mut options = options(folder.clone());
    options.extra_runners.push(shell("late", &format!("test -e {} && exec {worker}", installed.display())));
    options.extra_runners.push(common::fake("other", &[("FAULT", "missing")]));
    let first = run(&options).expect("failures are rows");
    assert_eq!(first.failures().count(), 2);

    // Nothing has changed: every row stays as it was.
    options.resume = true;
    let same = run(&options).expect("a result with failed rows is resumed");
    assert_eq!(same.rows, first.rows);

    std::fs::write(&installed, "").expect("a file");
    let second = run(&options).expect("a result with failed rows is resumed");
    assert_eq!(second.failures().count(), 0);
    let names = |report: &Report| -> Vec<String> { report.rows.iter().map(|r| r.runner.clone()).collect() };
    assert_eq!(names(&second), names(&first), "in the order of the plan");
    let late = second.rows.iter().filter(|row| row.runner == "late");
    assert!(late.clone().count() == 2 && late.clone().all(|row| row.measured().is_some()));
    assert!(!folder.join(JOURNAL_FILE).exists());
    assert_eq!(wootz_bench::report(&folder).expect("a result").rows, second.rows);
}

#[test]
fn a_stopped_run_keeps_its_rows_and_goes_on() {
    let out = temporary();
    let folder = out.path().join("run");
    let mut options = options(folder.clone());
    options.stop_after = Some(Duration::ZERO);
    let error = run(&options).expect_err("no time at all");
    assert!(matches!(error, BenchError::Stopped { done: 0, cases: 2, .. }), "{error}");
    assert!(folder.join(JOURNAL_FILE).exists());
    options.resume = true;
    options.stop_after = None;
    assert_eq!(run(&options).expect("the journal fits").rows.len(), 2);
}

#[test]
fn a_slow_stack_gets_one_fresh_process() {
    let out = temporary();
    let mut options = options(out.path().join("run"));
    options.cold_budget = Duration::ZERO;
    let report = run(&options).expect("the fake worker works");
    for row in &report.rows {
        let cold = row.measured().and_then(|m| m.cold.as_ref()).expect("a cold phase");
        assert_eq!(cold.first_result_ns.count, 1);
    }
    options.cold_budget = Duration::from_secs(60);
    options.out = Some(out.path().join("more"));
    let report = run(&options).expect("the fake worker works");
    let cold = report.rows[0].measured().and_then(|m| m.cold.as_ref()).expect("a cold phase");
    assert_eq!(cold.first_result_ns.count, options.cold_spawns);
}

#[test]
fn scalar_models_have_one_case_and_a_section_of_the_table() {
    let out = temporary();
    let mut options = options(out.path().join("run"));
    options.models.push(Model::scalar());
    let report = run(&options).expect("the fake worker works");
    let scalar: Vec<_> = report.rows.iter().filter(|row| row.case.model.is_scalar()).collect();
    assert_eq!(scalar.len(), 1);
    assert_eq!((scalar[0].case.batch, scalar[0].case.mode), (1, wootz_bench::Mode::Inference));
    let text = report.to_string();
    let (warm, overhead) = text.split_once("Overhead:").expect("a section");
    assert!(!warm.contains("| scalar") && overhead.contains("| scalar"), "{text}");
}

#[test]
fn the_table_says_who_is_not_held_to_the_instruction_set() {
    let out = temporary();
    let mut options = options(out.path().join("run"));
    options.isa = Some(wootz_bench::Isa::Avx2);
    options
        .extra_runners
        .push(shell("jax", "test \"$XLA_FLAGS\" = \"--xla_cpu_max_isa=AVX2\" || exit 9; exit 8"));
    options.threads = Some(2);
    let report = run(&options).expect("failures are rows");
    assert!(reason(&report, "jax").0.contains("exit status: 8"), "{:?}", reason(&report, "jax"));
    assert!(report.to_string().contains("Held to AVX2; no way to hold: fake."), "{report}");
}

/// The worker of each case writes down what the journal held when the case began.
#[test]
fn rows_are_on_disk_before_the_next_case_starts() {
    let out = temporary();
    let folder = out.path().join("run");
    let mut options = options(folder.clone());
    let folder_name = folder.to_str().expect("UTF-8");
    options.extra_runners = vec![common::fake("observer", &[("OBSERVE", folder_name)])];
    run(&options).expect("the worker only looks");
    let seen = std::fs::read_to_string(folder.join("seen")).expect("the worker looked");
    let rows: Vec<usize> = seen.lines().map(|line| line.parse().expect("a count")).collect();
    assert_eq!(rows.first(), Some(&0));
    assert_eq!(rows.last(), Some(&1));
}

/// Every round has each runner once, and begins with another one.
#[test]
fn runners_are_interleaved_and_take_turns_to_begin() {
    let out = temporary();
    let turns = out.path().join("turns");
    let file = turns.to_str().expect("UTF-8");
    let mut options = options(out.path().join("run"));
    options.modes = vec![Mode::Inference];
    options.cold_spawns = 0;
    let names = ["fake", "second", "third"];
    options.extra_runners = names.map(|name| common::fake(name, &[("TURNS", file), ("NAME", name)])).into();
    let rounds = options.warmup_rounds + options.repeats;
    run(&options).expect("the workers take turns");
    let turns = std::fs::read_to_string(turns).expect("the workers wrote");
    let turns: Vec<&str> = turns.lines().collect();
    let expected: Vec<&str> =
        (0..rounds).flat_map(|round| (0..3).map(move |i| names[(round + i) % 3])).collect();
    assert!(turns.windows(expected.len()).any(|window| window == expected), "{turns:?}");
}

#[test]
fn leftovers_of_a_killed_run_are_swept_and_those_of_a_live_one_stay() {
    let mut child = std::process::Command::new("true").spawn().expect("true starts");
    child.wait().expect("true ends");
    let leftover = |pid: u32| std::env::temp_dir().join(format!("wootz-bench-{pid}-leftover"));
    let (dead, live) = (leftover(child.id()), leftover(std::process::id()));
    std::fs::create_dir_all(&dead).expect("a folder");
    std::fs::create_dir_all(&live).expect("a folder");
    let out = temporary();
    run(&options(out.path().join("run"))).expect("the fake worker works");
    assert!(!dead.exists());
    assert!(live.exists());
    std::fs::remove_dir_all(live).expect("the folder");
}

#[test]
fn options_that_make_no_sense_are_refused() {
    let out = temporary();
    let refused = |change: &dyn Fn(&mut wootz_bench::RunOptions)| {
        let mut options = options(out.path().join("never"));
        change(&mut options);
        run(&options).expect_err("refused").to_string()
    };
    assert!(refused(&|o| o.repeats = 9).contains("10"));
    assert!(refused(&|o| o.cold_spawns = 4).contains("5"));
    assert!(refused(&|o| o.threads = Some(0)).contains("threads"));
    assert!(refused(&|o| o.batch_sizes = vec![0]).contains("batch"));
    assert!(refused(&|o| o.backends = Some(vec!["tensorflow".into()])).contains("onnxruntime"));
    assert!(refused(&|o| o.out = Some("/proc/nowhere".into())).contains("/proc/nowhere"));
    assert!(!out.path().join("never").exists());
    let error =
        wootz_bench::RunOptions::quick().set_models(&["resnet".into()]).expect_err("unknown").to_string();
    assert!(error.contains("linear, mlp"), "{error}");
}
