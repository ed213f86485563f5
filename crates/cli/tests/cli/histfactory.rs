//! `wootz fit`, `hypotest`, `limit`, `scan`, `significance`, `toys`, `ranking`.

use crate::common::{Folder, check_error, stdout};
use serde_json::Value;

/// s = 10, b = 50 ± 7 in one bin.
const ONE_BIN: &str = r#"{"version": "1.0.0",
  "channels": [{"name": "SR", "samples": [
    {"name": "signal", "data": [10], "modifiers": [{"name": "mu", "type": "normfactor", "data": null}]},
    {"name": "background", "data": [50], "modifiers": [{"name": "b", "type": "shapesys", "data": [7]}]}]}],
  "observations": [{"name": "SR", "data": [60]}],
  "measurements": [{"name": "m", "config": {"poi": "mu", "parameters": []}}]}"#;

fn json(args: &[&str]) -> Value {
    serde_json::from_str(&stdout(&[args, &["--json"]].concat())).unwrap()
}

fn number(value: &Value) -> f64 {
    value.as_f64().unwrap_or_else(|| panic!("not a number: {value}"))
}

#[test]
fn a_counting_experiment_has_its_closed_forms() {
    let folder = Folder::new();
    let workspace = folder.write("one.json", ONE_BIN.as_bytes());
    let fit = json(&["fit", &workspace, "--tolerance", "1e-10"]);
    let mu = &fit["parameters"]["mu"];
    assert!((number(&mu["value"]) - 1.0).abs() < 1e-7);
    // n = μ·s + β with β = b ± σ measured apart: var(μ·s) = n + σ².
    assert!((number(&mu["uncertainty"]) - 1.09f64.sqrt()).abs() < 1e-7);
    let significance = json(&["significance", &workspace]);
    assert!((number(&significance["observed"]) - 0.959_075).abs() < 5e-7);
    assert!(stdout(&["significance", &workspace]).starts_with("observed  0.9591 standard deviations"));
    let limit = json(&["limit", &workspace]);
    let observed = number(&limit["observed"]).to_string();
    let test = json(&["hypotest", &workspace, "--mu", &observed]);
    assert!((number(&test["observed"]) - 0.05).abs() < 1e-7);
    let scan = json(&["scan", &workspace, "--from", "0.5", "--to", "6", "--points", "23"]);
    assert_eq!(scan["tests"].as_array().unwrap().len(), 23);
    assert!((number(&scan["observed"]) / number(&limit["observed"]) - 1.0).abs() < 1e-2);
}

#[test]
fn workloads_have_names_and_data_can_be_asimov() {
    let fit = json(&["fit", "complex-8p", "--asimov", "1.5", "--interval", "mu"]);
    let mu = &fit["parameters"]["mu"];
    assert!((number(&mu["value"]) - 1.5).abs() < 1e-6);
    let interval: Vec<f64> = mu["interval"].as_array().unwrap().iter().map(number).collect();
    assert!(interval[0] < 1.5 && interval[1] > 1.5);
    assert!(number(&fit["goodness_of_fit"]["chi2"]).abs() < 1e-6);
    assert_eq!(fit["covariance"].as_array().unwrap().len(), fit["names"].as_array().unwrap().len());
    let text = stdout(&["fit", "complex-8p"]);
    assert!(text.contains("goodness of fit: χ² = ") && text.contains("\nSR: "), "{text}");
}

#[test]
fn toys_repeat_whatever_the_threads() {
    let args = ["toys", "simple", "--toys", "200", "--seed", "3", "--statistics", "--threads"];
    let one = json(&[&args[..], &["1"]].concat());
    assert_eq!(one, json(&[&args[..], &["2"]].concat()));
    assert_eq!(one["signal"].as_array().unwrap().len(), 200);
    assert!(stdout(&["toys", "simple", "--toys", "50"]).starts_with("CLs of 1 by 50 toys"));
}

#[test]
fn rankings_are_ordered() {
    let ranking = json(&["ranking", "complex-8p"]);
    let sizes: Vec<f64> = ranking
        .as_array()
        .unwrap()
        .iter()
        .map(|i| i["postfit"].as_array().unwrap().iter().map(|x| number(x).abs()).fold(0.0, f64::max))
        .collect();
    assert!(sizes.len() > 3 && sizes.is_sorted_by(|a, b| a >= b), "{sizes:?}");
    let shown = stdout(&["ranking", "complex-8p", "--top", "2"]);
    assert_eq!(shown.lines().count(), 3, "{shown}");
}

#[test]
fn pictures_are_svg_and_show_the_names() {
    let folder = Folder::new();
    let path = |name: &str| folder.path(name);
    let [pulls, yields, correlations] = ["pulls.svg", "yields.svg", "correlations.svg"].map(path);
    stdout(&["fit", "complex-8p", "--pulls", &pulls, "--yields", &yields, "--correlations", &correlations]);
    let [scan, ranking] = ["scan.svg", "ranking.svg"].map(path);
    stdout(&["scan", "complex-8p", "--points", "5", "--picture", &scan]);
    stdout(&["ranking", "complex-8p", "--picture", &ranking]);
    for (file, text) in [
        (pulls, "jes"),
        (yields, "SR, after the fit"),
        (correlations, "jes"),
        (scan, "CLs"),
        (ranking, "jes"),
    ] {
        let svg = std::fs::read_to_string(&file).unwrap();
        assert!(svg.starts_with("<svg") && svg.trim_end().ends_with("</svg>"), "{file}");
        assert!(svg.contains(text), "{file} does not name {text}");
    }
    check_error(&["fit", "simple", "--pulls", &folder.path("pulls.gif")], 1, "pictures are SVG");
}

#[test]
fn what_is_wrong_is_said() {
    let folder = Folder::new();
    let broken = folder.write("broken.json", b"{\"version\": \"1.0.0\"}");
    check_error(&["fit", &broken], 1, "channels");
    check_error(&["fit", &folder.path("nothing.json")], 1, "nothing.json");
    check_error(&["fit", "simple", "--interval", "nobody"], 1, "there is no parameter `nobody`");
    check_error(&["hypotest", "simple", "--poi", "nobody"], 1, "nobody");
    check_error(&["hypotest", "simple", "--test-stat", "x"], 2, "qtilde");
    check_error(&["fit", "complex-8p", "--max-iterations", "0", "--asimov", "7"], 1, "did not converge");
    check_error(&["scan", "simple", "--from", "3", "--to", "2"], 1, "must be below");
}
