//! `wootz bench`.

use crate::common::{Folder, check_error, stdout, wootz};

const TINY: [&str; 12] = [
    "bench",
    "run",
    "quick",
    "--model",
    "linear",
    "--backend",
    "wootz",
    "--batch-sizes",
    "2",
    "--repeats",
    "10",
    "--cold-spawns=5",
];

#[test]
fn a_tiny_run_writes_a_valid_result_and_prints_a_table() {
    let folder = Folder::new();
    let out = folder.path("run");
    let printed = stdout(&[&TINY[..], &["--out", &out]].concat());
    assert!(
        printed.contains("wootz") && printed.contains("inference") && printed.contains("training"),
        "{printed}"
    );

    let text = std::fs::read_to_string(folder.path("run/result.json")).unwrap();
    let result: serde_json::Value = serde_json::from_str(&text).unwrap();
    let schema = include_str!("../../../bench/schema/result.schema.json");
    let schema: serde_json::Value = serde_json::from_str(schema).unwrap();
    let validator = jsonschema::validator_for(&schema).unwrap();
    let errors: Vec<String> = validator.iter_errors(&result).map(|e| e.to_string()).collect();
    assert_eq!(errors, [""; 0]);
    let rows = result["rows"].as_array().unwrap();
    let status: Vec<&str> = rows.iter().filter_map(|row| row["status"].as_str()).collect();
    assert_eq!(status, ["ok", "ok"], "{text}");
    let phases = rows[0]["cold"]["phases_ns"].as_object().unwrap();
    for phase in ["process_start", "import", "load", "build", "compile", "pack", "first_run"] {
        assert!(phases.contains_key(phase), "{phase}: {phases:?}");
    }
    assert_eq!(std::fs::read_dir(&out).unwrap().count(), 1, "the journal is gone");

    assert_eq!(stdout(&["bench", "report", &out]).lines().next(), printed.lines().next());
    let compared = stdout(&["bench", "compare", &out, &out, "--json"]);
    let compared: serde_json::Value = serde_json::from_str(&compared).unwrap();
    assert_eq!(compared["rows"][0]["verdict"], "no_difference");
    check_error(&[&TINY[..], &["--out", &out]].concat(), 1, "already holds a result; name another folder");
}

#[test]
fn bad_arguments_of_bench() {
    check_error(
        &["bench", "run", "--model", "resnet9000"],
        1,
        "no model is called \"resnet9000\"; there are linear",
    );
    check_error(
        &["bench", "run", "--backend", "abacus"],
        1,
        "no backend is called \"abacus\"; there are wootz",
    );
    check_error(&["bench", "run", "--repeats", "1"], 1, "repeats");
    check_error(
        &["bench", "run", "--batch-sizes", "99999999999"],
        1,
        "error: batch sizes: the activations of 99999999999 rows of linear take 1525879 GiB, and this machine has",
    );
    check_error(&["bench", "run", "--mode", "dreaming"], 2, "invalid value 'dreaming'");
    check_error(&["bench", "run", "--resume", "--out", "/nonexistent-run"], 1, "/nonexistent-run");
    check_error(&["bench", "report", "/nonexistent-run"], 1, "/nonexistent-run");
    check_error(&[&TINY[..], &["--out", "/dev/null/run"]].concat(), 1, "/dev/null/run");
}

#[test]
fn a_worker_without_requests_ends() {
    let output = wootz(&["bench-worker"], &[]);
    assert!(output.status.success() && output.stdout.is_empty(), "no requests, no answers");
}
