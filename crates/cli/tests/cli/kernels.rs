//! `wootz bench kernels`, `wootz bench histfactory` and `wootz bench roofline`.

use std::process::{Command, Stdio};

use serde_json::Value;
use wootz::cpu::isa::Isa;
use wootz::io::npy;
use wootz::ir::HostTensor;

use crate::common::{check_error, stdout};

#[test]
fn every_kernel_is_listed() {
    let names = stdout(&["bench", "kernels", "--list"]);
    for part in [
        "gelu_tanh",
        "chain of 10 ops, 4K",
        "softmax",
        "layer_norm",
        "sum of 10M",
        "Adam",
        "code of 30 kernels",
    ] {
        assert!(names.contains(part), "{part} is missing in {names}");
    }
    let some: Value =
        serde_json::from_str(&stdout(&["bench", "kernels", "softmax", "--list", "--json"])).unwrap();
    assert_eq!(some.as_array().unwrap().len(), 4);
}

#[test]
fn kernels_are_checked_and_measured() {
    let args = ["bench", "kernels", "chain of 10 ops, 4K", "64 f64", "a of 64K"];
    let rest = ["--without", "numpy", "--sample-time", "1", "--json"];
    let report: Value = serde_json::from_str(&stdout(&[&args[..], &rest].concat())).unwrap();
    check_schema(&report);
    let rows = report["rows"].as_array().unwrap();
    assert!(rows.iter().all(|row| row["status"] == "ok"), "{rows:?}");
    let of = |case: &str| rows.iter().filter(|row| row["case"].as_str().unwrap().contains(case)).count();
    assert!(of("chain") >= 2 && of("64 f64") == 1 && of("gelu") >= 1, "{rows:?}");
    for row in rows {
        assert_eq!(row["samples_ns"].as_array().unwrap().len(), 10);
        let subject = row["contender"] == "wootz";
        assert_eq!(row["ratio"].is_null(), subject, "{row}");
        assert!(subject || row["ratio"]["low"].as_f64() <= row["ratio"]["high"].as_f64());
    }
}

#[test]
fn kernels_are_held_to_an_instruction_set() {
    if !wootz::cpu::isa::Isa::Avx2.is_available() {
        eprintln!("skipped: this processor has no AVX2");
        return;
    }
    let args = ["bench", "kernels", "chain of 10 ops, 4K", "--isa", "avx2"];
    let rest = ["--without", "numpy,pytorch", "--sample-time", "1", "--json"];
    let report: Value = serde_json::from_str(&stdout(&[&args[..], &rest].concat())).unwrap();
    let subject = report["subject"].as_str().unwrap();
    assert!(subject.ends_with("(avx2), held to AVX2 but onnxruntime"), "{subject}");
    assert!(report["rows"].as_array().unwrap().iter().all(|row| row["status"] == "ok"), "{report}");
}

#[test]
fn a_stack_that_is_not_installed_is_a_row() {
    let args = ["bench", "kernels", "chain of 10 ops, 4K", "--sample-time", "1"];
    let output = crate::common::wootz(&args, &[("WOOTZ_PEERS_PYTHON", "/nonexistent")]);
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(text.contains("NumPy") && text.contains("failed"), "{text}");
    assert_eq!(output.status.code(), Some(1));
}

fn check_schema(report: &Value) {
    let schema: Value =
        serde_json::from_str(include_str!("../../../bench/schema/kernels.schema.json")).unwrap();
    jsonschema::meta::validate(&schema).unwrap();
    let validator = jsonschema::validator_for(&schema).unwrap();
    let errors: Vec<String> = validator.iter_errors(report).map(|e| e.to_string()).collect();
    assert_eq!(errors, [""; 0]);
}

#[test]
fn inference_is_checked_and_measured() {
    let names = stdout(&["bench", "histfactory", "--list"]);
    for name in [
        "simple: NLL",
        "complex-8p: free fit",
        "thu-like: CLs, observed",
        "thu-like: SignificanceLoss without network and fit",
        "stress: CLs by toys",
        "10,000 bins, 2,000 parameters: NLL and gradient by parameters",
    ] {
        assert!(names.lines().any(|line| line == name), "{name} is missing in {names}");
    }
    // Whatever stacks there are: wootz from Rust is one of them.
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().to_str().unwrap();
    let args =
        ["--without", "nextstat,pyhf-numpy,pyhf-jax", "--only", "simple: ", "--sample-time", "1", "--json"];
    let missing = [("WOOTZ_PEERS_PYTHON", "/nonexistent")];
    let args = [&["bench", "histfactory"][..], &args, &["--out", path]].concat();
    let output = crate::common::wootz(&args, &missing);
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    check_schema(&report);
    let rows = report["rows"].as_array().unwrap();
    let of = |name: &str| rows.iter().filter(|row| row["contender"] == name).collect::<Vec<_>>();
    let (native, python) = (of("wootz"), of("wootz from Python"));
    assert_eq!((native.len(), python.len()), (10, 10));
    assert!(native.iter().all(|row| row["status"] == "ok"), "{native:?}");
    assert!(python.iter().all(|row| row["status"] == "failed"), "{python:?}");
    // What was kept is what was printed, and can be printed again.
    let kept: Value = serde_json::from_str(&stdout(&["bench", "report", path, "--json"])).unwrap();
    assert_eq!(kept, report);
    let file = folder.path().join("histfactory.json");
    let table = stdout(&["bench", "report", file.to_str().unwrap()]);
    assert!(table.contains("simple: free fit") && table.contains("wootz from Python"), "{table}");
    let summary = stdout(&["bench", "report", path, "--summary"]);
    assert!(summary.lines().any(|line| line.contains("simple: free fit")), "{summary}");
    check_error(&["bench", "histfactory", "--only", "abacus"], 1, "no case's name contains abacus");
}

#[test]
fn mistakes_are_named() {
    check_error(&["bench", "kernels", "abacus"], 1, "no kernel's name contains abacus");
    check_error(&["bench", "kernels", "chain", "--repeats", "3", "--without", "numpy"], 1, "at least 10");
    check_error(&["bench", "roofline", "--threads", "65000"], 1, "65000 threads are more than");
}

#[test]
fn the_roofline_is_a_table_and_json() {
    let json: Value =
        serde_json::from_str(&stdout(&["bench", "roofline", "--threads", "1", "--json"])).unwrap();
    let bandwidth = json["bandwidth"].as_array().unwrap();
    for level in ["L1", "memory"] {
        assert!(bandwidth.iter().any(|b| b["level"] == level), "{level}");
    }
    assert!(bandwidth.iter().all(|b| b["gigabytes_per_second"].as_f64().unwrap() > 0.0));
    let text = stdout(&["bench", "roofline", "--threads", "1"]);
    assert!(text.contains("triad") && text.contains("GFLOP/s"), "{text}");
}

#[test]
fn a_profile_adds_up_and_has_a_timeline() {
    let folder = crate::common::Folder::new();
    let trace = folder.path("trace.json");
    let args = ["inspect", "mlp", "--profile=3", "--trace", &trace, "--json"];
    let json: Value = serde_json::from_str(&stdout(&args)).unwrap();
    let profile = &json["profile"];
    assert_eq!(profile["runs"], 3);
    let steps = profile["steps"].as_array().unwrap();
    let share: f64 = steps.iter().map(|step| step["share"].as_f64().unwrap()).sum();
    assert!(share > 0.0 && share <= 1.0, "{share}");
    assert!(steps.iter().all(|step| step["roofline"].as_f64().unwrap() > 0.0), "{steps:?}");
    let events: Value = serde_json::from_str(&std::fs::read_to_string(&trace).unwrap()).unwrap();
    let events = events["traceEvents"].as_array().unwrap();
    assert_eq!(events.len(), 3 * steps.len());
    assert!(events.iter().all(|e| e["ph"] == "X" && e["dur"].as_f64().unwrap() >= 0.0));
    let training = stdout(&["inspect", "mlp", "--training", "--profile=2"]);
    assert!(training.contains("mean of 2 runs") && training.contains("gemm"), "{training}");
    check_error(&["inspect", "mlp", "--trace", "x.json"], 2, "--profile");
}

/// What `perf report` reads: addresses, sizes and names of machine code.
#[cfg(target_os = "linux")]
#[test]
fn perf_is_told_the_names_of_kernels() {
    let folder = crate::common::Folder::new();
    let graph =
        folder.write("t.graph", br#"graph(%x: f32[64] = input "x") { %y = tanh %x return "y" = %y }"#);
    let x = npy::to_bytes(&HostTensor::from_slice(&[64], &[0.5f32; 64]).unwrap()).unwrap();
    let x = format!("x={}", folder.write("x.npy", &x));
    if Isa::detect() == Ok(Isa::Portable) {
        println!("skipped: there is no machine code for this processor");
        return;
    }
    let mut child = Command::new(env!("CARGO_BIN_EXE_wootz"))
        .args(["run", &graph, "--input", &x])
        .env("WOOTZ_PERF_MAP", "1")
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    assert!(child.wait().unwrap().success());
    let map = format!("/tmp/perf-{}.map", child.id());
    let text = std::fs::read_to_string(&map).unwrap();
    std::fs::remove_file(&map).unwrap();
    let line = text.lines().find(|line| line.contains("tanh")).unwrap_or_else(|| panic!("{text}"));
    let mut fields = line.split(' ');
    let mut number = || usize::from_str_radix(fields.next().unwrap(), 16).unwrap();
    let (address, bytes) = (number(), number());
    assert!(address > 0 && bytes > 0, "{line}");
}
