//! `wootz fit`, `hypotest`, `limit`, `scan`, `significance`, `toys`, `ranking`.

use crate::common::{Folder, check_error, stdout};
use serde_json::{Value, json};
use wootz::histfactory::Workspace;
use wootz::histfactory::workspace::DigestAlgorithm;

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
fn measurements_and_patches_are_chosen() {
    let folder = Folder::new();
    let mut spec: Value = serde_json::from_str(ONE_BIN).unwrap();
    let mut second = spec["measurements"][0].clone();
    second["name"] = "second".into();
    second["config"]["parameters"] = json!([{"name": "mu", "inits": [0.5], "fixed": true}]);
    spec["measurements"].as_array_mut().unwrap().push(second);
    let text = spec.to_string();
    let workspace = folder.write("two.json", text.as_bytes());
    let fit = json(&["fit", &workspace, "--measurement", "second"]);
    assert_eq!(
        (&fit["parameters"]["mu"]["value"], &fit["parameters"]["mu"]["fixed"]),
        (&json!(0.5), &json!(true))
    );
    check_error(&["fit", &workspace, "--measurement", "third"], 1, "there is no measurement named `third`");

    let digest = Workspace::from_json(text.as_bytes()).unwrap().digest(DigestAlgorithm::Sha256);
    let patches = json!({
        "version": "1.0.0",
        "metadata": {"references": {"hepdata": "ins1"}, "digests": {"sha256": digest}, "labels": ["mass"], "description": "twice the signal"},
        "patches": [{
            "metadata": {"name": "twice", "values": [2]},
            "patch": [{"op": "replace", "path": "/channels/0/samples/0/data", "value": [20]}],
        }],
    });
    let patches = folder.write("patches.json", patches.to_string().as_bytes());
    let fit = json(&["fit", &workspace, "--patch", &format!("{patches}:twice")]);
    assert!((number(&fit["parameters"]["mu"]["value"]) - 0.5).abs() < 1e-6);
    check_error(&["fit", &workspace, "--patch", &format!("{patches}:none")], 1, "`none`");
    check_error(&["fit", &workspace, "--patch", "patches.json"], 1, "FILE:NAME");
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

/// Width and height of a PNG, and how many different grey levels its pixels have.
fn png(path: &str) -> ([u32; 2], usize) {
    let pixels = resvg::tiny_skia::Pixmap::load_png(path).unwrap();
    let levels: std::collections::BTreeSet<u8> = pixels.data().iter().copied().collect();
    ([pixels.width(), pixels.height()], levels.len())
}

#[test]
fn every_picture_is_a_png_too() {
    let folder = Folder::new();
    let path = |name: &str| folder.path(name);
    let [pulls, yields, correlations] = ["pulls.png", "yields.png", "correlations.PNG"].map(path);
    stdout(&["fit", "complex-8p", "--pulls", &pulls, "--yields", &yields, "--correlations", &correlations]);
    let [cls, likelihood, ranking] = ["cls.png", "likelihood.png", "ranking.png"].map(path);
    stdout(&["scan", "complex-8p", "--points", "5", "--picture", &cls]);
    stdout(&["scan", "complex-8p", "--parameter", "jes", "--points", "5", "--picture", &likelihood]);
    stdout(&["ranking", "complex-8p", "--picture", &ranking]);
    for (file, width) in [
        (&pulls, 1280),
        (&yields, 1800),
        (&correlations, 0),
        (&cls, 1440),
        (&likelihood, 1440),
        (&ranking, 1800),
    ] {
        let (size, levels) = png(file);
        assert!(size[0] == width || width == 0 && size[0] == size[1], "{file}: {size:?}");
        assert!(levels > 16, "{file} has {levels} levels: no letters");
    }
}

#[test]
fn any_parameter_has_a_profile() {
    let args = ["scan", "complex-8p", "--parameter", "jes", "--points", "9"];
    let found = json(&args);
    let rises: Vec<f64> = found["twice_nll_rises"].as_array().unwrap().iter().map(number).collect();
    let values: Vec<f64> = found["values"].as_array().unwrap().iter().map(number).collect();
    assert_eq!(rises.len(), 9);
    assert!((values[0] + values[8] - 2.0 * number(&found["best_fit"])).abs() < 1e-9);
    // 2.5 standard deviations away, and 0 at the best fit in the middle.
    assert!(
        rises[4].abs() < 1e-9 && (rises[0] - 6.25).abs() < 1.0 && (rises[8] - 6.25).abs() < 1.0,
        "{rises:?}"
    );
    assert_eq!(stdout(&args).lines().count(), 10);
    check_error(&["scan", "simple", "--parameter", "nobody"], 1, "there is no parameter `nobody`");
    check_error(&["scan", "simple", "--parameter", "mu", "--level", "0.1"], 2, "--level");
}

#[test]
fn workspaces_are_inspected() {
    let folder = Folder::new();
    let workspace = folder.write("one.json", ONE_BIN.as_bytes());
    let text = stdout(&["inspect", &workspace]);
    for part in ["channels  1 (1 bins)", "SR", "background", "shapesys", "[0, 10]", "parameter of interest"] {
        assert!(text.contains(part), "{part} is missing in {text}");
    }
    let shown = json(&["inspect", "complex-8p", "--summary"]);
    assert_eq!(shown["workspace"]["channels"]["SR"], 2);
    assert_eq!(shown["workspace"]["parameters"].as_array().unwrap().len(), 8);
    let kernels = stdout(&["inspect", &workspace, "--kernels", "--stages"]);
    assert!(kernels.contains("FLOPs") && kernels.contains("# step run 0"), "{kernels}");
    assert!(stdout(&["inspect", "simple", "--plan"]).contains("kernel"));
    assert!(stdout(&["inspect", "simple", "--emit", "numpy"]).contains("def "));
    let gradient = stdout(&["inspect", "simple", "--training", "--after", "none"]);
    assert!(gradient.contains("grad.parameters"), "{gradient}");
    let broken = folder.write("broken.json", b"{\"version\": \"1.0.0\"}");
    check_error(&["inspect", &broken], 1, "channels");
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
    check_error(&["fit", "simple", "--pulls", &folder.path("pulls.gif")], 1, "pictures are SVG or PNG");
    let profile = folder.path("profile.svg");
    stdout(&["scan", "complex-8p", "--parameter", "jes", "--points", "5", "--picture", &profile]);
    assert!(std::fs::read_to_string(&profile).unwrap().contains("jes"));
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

#[test]
fn parameters_are_fixed_and_bounded_by_name() {
    let folder = Folder::new();
    let workspace = folder.write("one.json", ONE_BIN.as_bytes());
    let value = |fit: &Value, name: &str| number(&fit["parameters"][name]["value"]);
    // The name of a set stands for all of its parameters.
    let fixed = json(&["fit", &workspace, "--fix", "b=1.1"]);
    assert_eq!(fixed["parameters"]["b[0]"]["fixed"], true);
    // 60 = 10·μ + 50·1.1.
    assert!((value(&fixed, "mu") - 0.5).abs() < 1e-6);
    let at_init = json(&["fit", &workspace, "--fix", "b", "--fix", "mu=2"]);
    assert_eq!((value(&at_init, "b[0]"), value(&at_init, "mu")), (1.0, 2.0));
    let bounded = json(&["fit", &workspace, "--bounds", "mu=-1,0.25", "--init", "mu=-0.5"]);
    assert_eq!((value(&bounded, "mu"), &bounded["parameters"]["mu"]["held"]), (0.25, &json!(true)));
    let one = json(&["fit", "complex-8p", "--fix", "lumi=1.01"]);
    assert_eq!(value(&one, "lumi"), 1.01);
    // Without the uncertainty of the background the limit is lower.
    let limit = |args: &[&str]| number(&json(&[&["limit", &workspace], args].concat())["observed"]);
    assert!(limit(&["--fix", "b"]) < limit(&[]));

    check_error(&["fit", &workspace, "--fix", "nothing"], 1, "there is no parameter `nothing`; there are: ");
    check_error(&["hypotest", &workspace, "--fix", "mu"], 1, "`mu` is fixed");
    check_error(&["fit", &workspace, "--bounds", "mu=1"], 2, "NAME=LOW,HIGH");
    check_error(&["fit", &workspace, "--bounds", "mu=2,1"], 1, "the bounds of `mu`");
    check_error(&["fit", &workspace, "--fix", "mu=much"], 2, "`much` is not a number");
}

#[test]
fn rates_are_interpolated_and_clipped_as_asked_for() {
    let folder = Folder::new();
    let mut spec: Value = serde_json::from_str(ONE_BIN).unwrap();
    spec["channels"][0]["samples"][1]["modifiers"][0] =
        json!({"name": "a", "type": "histosys", "data": {"hi_data": [58], "lo_data": [47]}});
    let workspace = folder.write("variation.json", spec.to_string().as_bytes());
    // 60 = 10·μ + 50 + δ(½): on a line 4; with the others less.
    let mu = |args: &[&str]| {
        number(&json(&[&["fit", &workspace, "--fix", "a=0.5"], args].concat())["parameters"]["mu"]["value"])
    };
    assert!((mu(&["--histosys-code", "code0"]) - 0.6).abs() < 1e-6);
    // δ = ½(8 + 3)·½ + ½(8 − 3)·¼.
    assert!((mu(&["--histosys-code", "code2"]) - (10.0 - 2.75 - 0.625) / 10.0).abs() < 1e-6);
    assert_eq!(mu(&["--histosys-code", "code4p", "--normsys-code", "code1"]), mu(&[]));
    let clipped = json(&["fit", &workspace, "--fix", "a=0.5", "--clip-bin-data", "80", "--fix", "mu"]);
    let loose = json(&["fit", &workspace, "--fix", "a=0.5", "--fix", "mu"]);
    assert!(number(&clipped["twice_nll"]) > number(&loose["twice_nll"]));
    check_error(&["fit", &workspace, "--histosys-code", "code1"], 2, "code0, code2, code4p");
    check_error(&["fit", &workspace, "--normsys-code", "code4p"], 2, "code1, code4");
}
