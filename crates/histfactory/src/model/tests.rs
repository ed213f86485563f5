//! Models against values worked out by hand. (Conformance with pyhf is tested from Python.)

use crate::workload::{complex_8p, simple};
use crate::{HistosysCode, ModelError, ModelOptions, ModifierSettings, NormsysCode, Poi, Workspace};
use serde_json::{Value, json};

fn model_of(workspace: &Workspace) -> crate::Model {
    workspace.model(&ModelOptions::default()).unwrap()
}

/// A channel `c` of these samples, one measurement with these parameter configurations.
fn workspace(samples: Value, parameters: Value) -> Workspace {
    let bins = samples[0]["data"].as_array().unwrap().len();
    Workspace::from_value(json!({
        "channels": [{"name": "c", "samples": samples}],
        "observations": [{"name": "c", "data": vec![1.0; bins]}],
        "measurements": [{"name": "m", "config": {"poi": "", "parameters": parameters}}],
        "version": "1.0.0"
    }))
    .unwrap()
}

fn one_modifier(kind: &str, data: Value) -> Workspace {
    workspace(
        json!([{"name": "s", "data": [10.0], "modifiers": [{"name": "p", "type": kind, "data": data}]}]),
        json!([]),
    )
}

#[track_caller]
fn close(got: f64, expected: f64) {
    assert!((got - expected).abs() <= 1e-13 * expected.abs().max(1e-300), "{got:?}, not {expected:?}");
}

#[track_caller]
fn check_error(workspace: &Workspace, part: &str) {
    let message = workspace.model(&ModelOptions::default()).unwrap_err().to_string();
    assert!(message.contains(part), "{message}");
}

#[test]
fn simple_by_hand() {
    let model = model_of(&simple());
    let config = model.config();
    assert_eq!(config.names, ["mu", "uncorr_bkguncrt[0]", "uncorr_bkguncrt[1]"]);
    assert_eq!(config.auxdata, [100.0, 25.0]);
    assert_eq!(config.poi, Some(0));
    assert_eq!(config.bounds, [(0.0, 10.0), (1e-10, 10.0), (1e-10, 10.0)]);
    let rates = model.eval_rates(&[2.0, 1.1, 0.5]).unwrap();
    close(rates[0], 2.0 * 5.0 + 1.1 * 50.0);
    close(rates[1], 2.0 * 10.0 + 0.5 * 60.0);
    // ln Poisson(3|65) + ln Poisson(0|50) + ln Poisson(1|110) + ln Poisson(2|12.5), in closed form.
    let logpdf = model.eval_logpdf(&[2.0, 1.1, 0.5], &[3.0, 0.0, 1.0, 2.0]).unwrap();
    let expected = 3.0 * 65f64.ln() - 65.0 - 6f64.ln() - 50.0 + 110f64.ln() - 110.0 + 2.0 * 12.5f64.ln()
        - 12.5
        - 2f64.ln();
    close(logpdf, expected);
}

#[test]
fn parameters_come_by_type_and_then_as_first_met() {
    let model = model_of(&complex_8p());
    let expected = [
        "shape",
        "lumi",
        "mu",
        "jes",
        "multijet_shape[0]",
        "multijet_shape[1]",
        "staterror_SR[0]",
        "staterror_SR[1]",
    ];
    assert_eq!(model.config().names, expected);
    let widths: Vec<f64> = model.constraints().normal.iter().map(|t| t.width).collect();
    close(widths[3], (2.5f64.powi(2) + 1.5f64.powi(2)).sqrt() / 62.0);
    close(widths[4], (2.0f64.powi(2) + 1.2f64.powi(2)).sqrt() / 49.0);
    assert_eq!(widths[..3], [1.0, 0.02, 1.0]);
}

fn rate(workspace: &Workspace, settings: ModifierSettings, alpha: f64) -> f64 {
    let options = ModelOptions { settings, ..ModelOptions::default() };
    workspace.model(&options).unwrap().eval_rates(&[alpha]).unwrap()[0]
}

#[test]
fn factors_interpolate() {
    let workspace = one_modifier("normsys", json!({"lo": 0.8, "hi": 1.3}));
    let code = |normsys| ModifierSettings { normsys, ..ModifierSettings::default() };
    let (one, four) = (code(NormsysCode::Code1), code(NormsysCode::Code4));
    close(rate(&workspace, one, 0.5), 10.0 * 1.3f64.powf(0.5));
    close(rate(&workspace, one, -0.5), 10.0 * 0.8f64.powf(0.5));
    for alpha in [1.0, 1.5, 4.0] {
        close(rate(&workspace, four, alpha), 10.0 * 1.3f64.powf(alpha));
        close(rate(&workspace, four, -alpha), 10.0 * 0.8f64.powf(alpha));
    }
    close(rate(&workspace, four, 0.0), 10.0);
    close(rate(&workspace, four, 1.0 - 1e-15), 13.0);
}

#[test]
fn polynomials_may_be_negative() {
    // Within ±1 the polynomial of factors as far apart as these falls below 0: its product with itself does not.
    let extreme = json!({"lo": 1e-4, "hi": 30.0});
    let workspace = one_modifier("normsys", extreme.clone());
    let single = rate(&workspace, ModifierSettings::default(), -0.3);
    assert!(single < 0.0, "{single}");
    let modifiers: Vec<Value> =
        (0..2).map(|i| json!({"name": format!("p{i}"), "type": "normsys", "data": extreme})).collect();
    let twice = self::workspace(json!([{"name": "s", "data": [10.0], "modifiers": modifiers}]), json!([]));
    close(model_of(&twice).eval_rates(&[-0.3, -0.3]).unwrap()[0], single * single / 10.0);
}

#[test]
fn yields_interpolate() {
    let workspace = one_modifier("histosys", json!({"lo_data": [9.0], "hi_data": [14.0]}));
    let code = |histosys| ModifierSettings { histosys, ..ModifierSettings::default() };
    let check =
        |histosys, alpha: f64, expected: f64| close(rate(&workspace, code(histosys), alpha), expected);
    check(HistosysCode::Code0, 0.5, 12.0);
    check(HistosysCode::Code0, -0.5, 9.5);
    // a = 1.5, b = 2.5.
    check(HistosysCode::Code2, 0.5, 10.0 + 0.25 * 1.5 + 0.5 * 2.5);
    check(HistosysCode::Code2, 3.0, 10.0 + 5.5 * 2.0);
    check(HistosysCode::Code2, -3.0, 10.0 + 0.5 * 3.0);
    check(HistosysCode::Code4p, 2.0, 18.0);
    check(HistosysCode::Code4p, -2.0, 8.0);
    // S = 2.5, A = 3/16.
    check(HistosysCode::Code4p, 0.5, 10.0 + 1.25 + 0.1875 * 0.25 * (0.25 * (0.75 - 10.0) + 15.0));
}

#[test]
fn bins_without_uncertainty_are_fixed_and_counted() {
    let modifiers = |kind: &str| json!([{"name": "p", "type": kind, "data": [1.0, 0.0, 1.0]}]);
    let samples = |kind| json!([{"name": "s", "data": [10.0, 10.0, 0.0], "modifiers": modifiers(kind)}]);
    for (kind, scale) in [("staterror", 0.1), ("shapesys", 100.0)] {
        let model = model_of(&workspace(samples(kind), json!([])));
        assert_eq!(model.config().fixed, [false, true, true], "{kind}");
        let scales: Vec<f64> = match kind {
            "staterror" => model.constraints().normal.iter().map(|t| t.width).collect(),
            _ => model.constraints().poisson.iter().map(|t| t.rate).collect(),
        };
        assert_eq!(scales, [scale, 1.0, 1.0], "{kind}");
        assert_eq!(model.config().auxdata.len(), 3, "{kind}");
    }
}

#[test]
fn empty_bins_have_a_density() {
    let workspace = workspace(
        json!([{"name": "s", "data": [0.0], "modifiers": [{"name": "p", "type": "normfactor", "data": null}]}]),
        json!([]),
    );
    let model = model_of(&workspace);
    assert_eq!(model.eval_logpdf(&[1.0], &[0.0]).unwrap(), 0.0);
    assert_eq!(model.eval_logpdf(&[1.0], &[2.0]).unwrap(), f64::NEG_INFINITY);
}

#[test]
fn negative_rates_are_named() {
    let workspace = one_modifier("histosys", json!({"lo_data": [9.0], "hi_data": [20.0]}));
    let options = ModelOptions {
        settings: ModifierSettings { histosys: HistosysCode::Code0, ..ModifierSettings::default() },
        ..ModelOptions::default()
    };
    let model = workspace.model(&options).unwrap();
    let error = model.eval_logpdf(&[-12.0], &[0.0, 0.0]).unwrap_err();
    let ModelError::NegativeRate(negative) = error else { panic!("{error}") };
    assert_eq!((negative.channel.as_str(), negative.bin, negative.sample.as_str()), ("c", 0, "s"));
    close(negative.rate, -2.0);
    let clipped = ModelOptions { clip_bin_data: Some(1e-3), ..options };
    assert!(workspace.model(&clipped).unwrap().eval_logpdf(&[-12.0], &[0.0, 0.0]).unwrap().is_finite());
}

#[test]
fn settings_given_in_part_change_the_rest() {
    let given = ModifierSettings::given(Some(NormsysCode::Code4), None);
    assert_eq!(given.histosys, HistosysCode::Code0);
    assert_eq!(ModifierSettings::given(None, Some(HistosysCode::Code4p)).normsys, NormsysCode::Code1);
}

#[test]
fn names_clash() {
    let two = |first: Value, second: Value| {
        workspace(
            json!([
                {"name": "a", "data": [1.0], "modifiers": [first]},
                {"name": "b", "data": [1.0], "modifiers": [second]}
            ]),
            json!([]),
        )
    };
    let modifier = |kind: &str, data: Value| json!({"name": "p", "type": kind, "data": data});
    let normsys = || modifier("normsys", json!({"lo": 0.9, "hi": 1.1}));
    let histosys = || modifier("histosys", json!({"lo_data": [0.9], "hi_data": [1.1]}));
    assert_eq!(model_of(&two(normsys(), histosys())).config().names, ["p"]);
    check_error(
        &two(normsys(), modifier("normfactor", Value::Null)),
        "`p` names a normfactor and a normsys modifier",
    );
    check_error(
        &two(modifier("shapesys", json!([0.1])), modifier("shapesys", json!([0.1]))),
        "cannot be shared",
    );
    check_error(
        &two(modifier("shapefactor", Value::Null), modifier("normfactor", Value::Null)),
        "parameters differ",
    );
}

#[test]
fn measurements_override_and_are_checked() {
    let lumi = || json!([{"name": "s", "data": [1.0], "modifiers": [{"name": "lumi", "type": "lumi", "data": null}]}]);
    check_error(&workspace(lumi(), json!([])), "needs `auxdata`");
    let full = json!([{"name": "lumi", "auxdata": [2.0], "sigmas": [0.1], "inits": [1.5], "bounds": [[0, 3]], "fixed": true}]);
    let model = model_of(&workspace(lumi(), full));
    assert_eq!(
        (model.config().init[0], model.config().bounds[0], model.config().fixed[0]),
        (1.5, (0.0, 3.0), true)
    );
    assert_eq!(model.config().auxdata, [2.0]);
    let normsys = || {
        let data = json!({"lo": 0.9, "hi": 1.1});
        json!([{"name": "s", "data": [1.0], "modifiers": [{"name": "p", "type": "normsys", "data": data}]}])
    };
    check_error(&workspace(normsys(), json!([{"name": "p", "sigmas": [0.1]}])), "configures `sigmas`");
    check_error(
        &workspace(normsys(), json!([{"name": "p", "inits": [0.1, 0.2]}])),
        "gives 2 values as `inits`",
    );
}

#[test]
fn parameters_of_interest_are_checked() {
    let model =
        |poi: &str| simple().model(&ModelOptions { poi: Poi::Name(poi.into()), ..ModelOptions::default() });
    assert!(matches!(model("nu"), Err(ModelError::UnknownPoi { .. })));
    assert!(matches!(model("uncorr_bkguncrt"), Err(ModelError::PoiNotScalar { parameters: 2, .. })));
    let without = simple().model(&ModelOptions { poi: Poi::None, ..ModelOptions::default() }).unwrap();
    assert_eq!(without.config().poi, None);
}
