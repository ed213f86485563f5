//! Messages and result files round-trip and fit their schemas, and the schemas refuse what they should.

mod common;

use std::collections::BTreeMap;
use std::path::PathBuf;

use common::{fake, options, temporary};
use jsonschema::Validator;
use serde_json::{Value, json};
use wootz_bench::cases::CaseData;
use wootz_bench::protocol::{
    Case, DType, Failure, FailureKind, Loss, Mark, Mode, Model, Phase, PhaseMemory, Ready, Request, Response,
    TensorFile,
};
use wootz_bench::{Runner, run};

fn schema(text: &str, definition: Option<&str>) -> Validator {
    let mut schema: Value = serde_json::from_str(text).expect("the schema is JSON");
    jsonschema::meta::validate(&schema).expect("the schema is a 2020-12 schema");
    if let Some(name) = definition {
        schema = json!({"$schema": schema["$schema"], "$ref": format!("#/$defs/{name}"), "$defs": schema["$defs"]});
    }
    jsonschema::validator_for(&schema).expect("the schema compiles")
}

fn protocol() -> Validator {
    schema(include_str!("../schema/protocol.schema.json"), None)
}

fn fits(schema: &Validator, value: &Value) {
    let errors: Vec<String> = schema.iter_errors(value).map(|error| error.to_string()).collect();
    assert!(errors.is_empty(), "{value}\n{errors:#?}");
}

fn tensor() -> TensorFile {
    TensorFile { name: "loss".into(), dtype: DType::F32, shape: vec![], path: PathBuf::from("/tmp/loss.bin") }
}

fn requests() -> Vec<Request> {
    let folder = temporary();
    let setup = |mode, loss| {
        let case = Case {
            model: Model::new("m", &[3, 2], loss),
            batch: 4,
            mode,
            dtype: DType::F32,
            threads: 2,
            seed: 1,
        };
        let setup = CaseData::generate(&case).write(&case, folder.path()).expect("files");
        Request::Setup(Box::new(setup))
    };
    vec![
        setup(Mode::Inference, Loss::Mse),
        setup(Mode::Training, Loss::Mse),
        setup(Mode::Training, Loss::CrossEntropy),
        Request::Check { directory: "/tmp".into() },
        Request::Run { warmup: 0, iterations: 1, repeats: 3 },
        Request::Memory,
        Request::Shutdown,
    ]
}

fn responses() -> Vec<Response> {
    let phases = vec![PhaseMemory { phase: Phase::Run, peak_bytes: 1 << 40 }];
    let marks = Phase::COLD.iter().map(|phase| Mark { phase: *phase, end_ns: u64::MAX }).collect();
    let versions = BTreeMap::from([("numpy".to_owned(), "2".to_owned())]);
    vec![
        Response::Ready(Ready { version: 1, versions, marks }),
        Response::Outputs { outputs: vec![tensor()] },
        Response::Samples { samples_ns: vec![0, 7] },
        Response::Memory { phases },
        Response::Memory { phases: vec![] },
        Response::Error(Failure { kind: FailureKind::Unsupported, message: "no".into() }),
    ]
}

#[test]
fn messages_round_trip_and_fit_the_schema() {
    let schema = protocol();
    for request in requests() {
        let value = serde_json::to_value(&request).expect("plain data");
        fits(&schema, &value);
        assert_eq!(serde_json::from_value::<Request>(value).expect("a request"), request);
    }
    for response in responses() {
        let value = serde_json::to_value(&response).expect("plain data");
        fits(&schema, &value);
        assert_eq!(serde_json::from_value::<Response>(value).expect("a response"), response);
    }
}

#[test]
fn the_schema_refuses_broken_messages() {
    let schema = protocol();
    for broken in [
        json!({}),
        json!({"type": "hello"}),
        json!({"type": "run", "warmup": -1, "iterations": 1, "repeats": 1}),
        json!({"type": "run", "warmup": 0, "iterations": 0, "repeats": 1}),
        json!({"type": "ready", "version": 2, "versions": {}, "marks": [{"phase": "import", "end_ns": 1}]}),
        json!({"type": "ready", "version": 1, "versions": {}, "marks": []}),
        json!({"type": "ready", "version": 1, "versions": {}, "marks": [{"phase": "run", "end_ns": 1}]}),
        json!({"type": "error", "kind": "odd", "message": ""}),
        json!({"type": "samples", "samples_ns": [1.5]}),
    ] {
        assert!(!schema.is_valid(&broken), "{broken}");
    }
    // Removing any required field of any message breaks it.
    for request in requests() {
        let value = serde_json::to_value(&request).expect("plain data");
        for field in value.as_object().expect("an object").keys() {
            let mut broken = value.clone();
            broken.as_object_mut().expect("an object").remove(field);
            assert!(!schema.is_valid(&broken), "{broken} without {field}");
        }
    }
}

#[test]
fn results_of_every_status_fit_the_schema() {
    let out = temporary();
    let mut options = options(out.path().join("run"));
    options.extra_runners.extend([
        Runner::command("dies", ["false"]),
        fake("unsupported", &[("FAULT", "unsupported")]),
        fake("missing", &[("FAULT", "missing")]),
    ]);
    let report = run(&options).expect("failures are rows");
    let text = std::fs::read_to_string(out.path().join("run/result.json")).expect("the result file");
    let value: Value = serde_json::from_str(&text).expect("JSON");
    fits(&schema(include_str!("../schema/result.schema.json"), None), &value);
    let mut statuses: Vec<&str> =
        value["rows"].as_array().expect("rows").iter().filter_map(|r| r["status"].as_str()).collect();
    statuses.sort_unstable();
    statuses.dedup();
    assert_eq!(statuses, ["failed", "missing", "ok", "unsupported"]);
    assert_eq!(wootz_bench::report(&out.path().join("run")).expect("it reads back").rows, report.rows);

    let entries = schema(include_str!("../schema/result.schema.json"), Some("journal_entry"));
    fits(&entries, &json!({"type": "header", "version": 1, "header": value["header"]}));
    fits(&entries, &json!({"type": "row", "row": value["rows"][0]}));
    assert!(!entries.is_valid(&json!({"type": "row", "row": {"status": "ok"}})));
}

#[test]
fn results_of_another_version_and_truncated_ones_are_refused() {
    let out = temporary();
    let file = out.path().join("result.json");
    for (text, expected) in [
        ("{\"version\": 99}", "version 99"),
        ("{}", "no version"),
        ("{\"version\": 1, \"rows\": [", "EOF"),
        ("[]", "no version"),
    ] {
        std::fs::write(&file, text).expect("a file");
        let error = wootz_bench::report(out.path()).expect_err("refused").to_string();
        assert!(error.contains(expected) && error.contains("result.json"), "{error}");
    }
}
