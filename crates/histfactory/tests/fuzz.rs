//! Workspaces damaged at random: reading them gives a workspace or an error with a place, and never panics; what can be read can be modelled or
//! gives an error, and is written back to the same.

use proptest::prelude::*;
use serde_json::{Value, json};
use wootz_histfactory::workload::complex_8p;
use wootz_histfactory::workspace::{DigestAlgorithm, PatchKey, PatchSet};
use wootz_histfactory::{ModelOptions, Workspace, WorkspaceError};

/// Something that may stand anywhere in a damaged document.
fn anything() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<f64>().prop_map(|x| json!(x)),
        any::<i64>().prop_map(Value::from),
        prop::sample::select(
            &["mu", "SR", "lumi", "jes", "histosys", "shapesys", "normsys", "1.0.0", ""][..]
        )
        .prop_map(Value::from),
        ".{0,4}".prop_map(Value::from),
    ];
    let keys =
        prop::sample::select(&["name", "data", "lo", "hi", "lo_data", "hi_data", "type", "config", "x"][..]);
    leaf.prop_recursive(3, 12, 4, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::vec((keys.clone(), inner), 0..4)
                .prop_map(|pairs| pairs
                    .into_iter()
                    .map(|(k, v)| (k.to_string(), v))
                    .collect::<serde_json::Map<_, _>>())
                .prop_map(Value::from),
        ]
    })
}

/// How a document is damaged.
#[derive(Clone, Debug)]
enum Damage {
    Replace(Value),
    Remove,
    Repeat,
}

fn damage() -> impl Strategy<Value = (prop::sample::Index, Damage)> {
    let kind = prop_oneof![
        4 => anything().prop_map(Damage::Replace),
        2 => Just(Damage::Remove),
        1 => Just(Damage::Repeat)
    ];
    (any::<prop::sample::Index>(), kind)
}

/// The places of a document, as JSON pointers.
fn places(value: &Value, path: String, out: &mut Vec<String>) {
    match value {
        Value::Object(map) => map.iter().for_each(|(k, v)| places(v, format!("{path}/{k}"), out)),
        Value::Array(list) => {
            list.iter().enumerate().for_each(|(i, v)| places(v, format!("{path}/{i}"), out))
        }
        _ => {}
    }
    out.push(path);
}

fn apply(document: &mut Value, place: &str, damage: &Damage) {
    let Some((parent, key)) = place.rsplit_once('/') else {
        if let Damage::Replace(value) = damage {
            *document = value.clone();
        }
        return;
    };
    let (Some(old), Damage::Replace(_) | Damage::Repeat | Damage::Remove) =
        (document.pointer(place).cloned(), damage)
    else {
        return;
    };
    match (document.pointer_mut(parent), damage) {
        (Some(Value::Object(map)), Damage::Remove) => drop(map.remove(key)),
        (Some(Value::Array(list)), Damage::Remove) => {
            drop(list.remove(key.parse::<usize>().expect("a position")))
        }
        (Some(Value::Array(list)), Damage::Repeat) => list.push(old),
        (Some(Value::Object(map)), Damage::Repeat) => drop(map.insert(format!("{key}2"), old)),
        (Some(_), Damage::Replace(value)) => {
            *document.pointer_mut(place).expect("a place of the document") = value.clone()
        }
        _ => {}
    }
}

/// A patch set of one signal for a workspace.
fn patch_set(workspace: &Workspace) -> Value {
    json!({
        "version": "1.0.0",
        "metadata": {
            "references": {"hepdata": "ins1234567"},
            "digests": {"sha256": workspace.digest(DigestAlgorithm::Sha256)},
            "labels": ["mass"],
            "description": "one signal",
        },
        "patches": [{
            "metadata": {"name": "heavy", "values": [500]},
            "patch": [
                {"op": "replace", "path": "/channels/0/samples/0/data", "value": [3.0, 4.0]},
                {"op": "add", "path": "/channels/0/samples/0/modifiers/-", "value": {"name": "k", "type": "normfactor", "data": null}},
                {"op": "test", "path": "/version", "value": "1.0.0"},
            ],
        }],
    })
}

fn check(text: &[u8]) {
    let workspace = match Workspace::from_json(text) {
        Ok(workspace) => workspace,
        Err(WorkspaceError::Syntax { line, .. }) => return assert!(line >= 1),
        Err(error) => return assert!(!error.to_string().is_empty()),
    };
    let again = Workspace::from_json(workspace.to_json().as_bytes()).expect("what was written is read");
    assert_eq!(workspace, again);
    if let Ok(model) = workspace.model(&ModelOptions::default()) {
        let config = model.config();
        assert_eq!(config.names.len(), config.init.len());
        assert!(model.eval_rates(&config.init).is_ok());
        if let Ok(data) = workspace.data(&model) {
            // A density, or an error that names the bin.
            let _ = model.eval_logpdf(&config.init, &data).map_err(|e| e.to_string());
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn damaged_workspaces(damages in prop::collection::vec(damage(), 1..4)) {
        let mut document = serde_json::to_value(complex_8p()).unwrap();
        for (index, damage) in &damages {
            let mut list = Vec::new();
            places(&document, String::new(), &mut list);
            let place = index.get(&list).clone();
            apply(&mut document, &place, damage);
        }
        check(document.to_string().as_bytes());
    }

    #[test]
    fn damaged_text(at in any::<prop::sample::Index>(), length in 0usize..6, bytes in prop::collection::vec(any::<u8>(), 0..6)) {
        let mut text = complex_8p().to_json().into_bytes();
        let at = at.index(text.len());
        let end = (at + length).min(text.len());
        text.splice(at..end, bytes);
        check(&text);
    }

    #[test]
    fn damaged_patch_sets(damages in prop::collection::vec(damage(), 0..3)) {
        let workspace = complex_8p();
        let mut document = patch_set(&workspace);
        for (index, damage) in &damages {
            let mut list = Vec::new();
            places(&document, String::new(), &mut list);
            let place = index.get(&list).clone();
            apply(&mut document, &place, damage);
        }
        match PatchSet::from_json(document.to_string().as_bytes()) {
            Err(error) => {
                prop_assert!(!damages.is_empty(), "{error}");
                prop_assert!(!error.to_string().is_empty());
            }
            Ok(set) => match set.apply(&workspace, PatchKey::Name("heavy")) {
                Ok(patched) => check(patched.to_json().as_bytes()),
                Err(error) => {
                    prop_assert!(!damages.is_empty(), "{error}");
                    prop_assert!(!error.to_string().is_empty());
                }
            }
        }
    }

    #[test]
    fn nothing_else_is_a_patch_set(value in anything()) {
        prop_assert!(PatchSet::from_json(value.to_string().as_bytes()).is_err());
    }
}
