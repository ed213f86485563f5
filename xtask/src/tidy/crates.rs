//! Rules about the crates: their order, their headers, their manifests.

use std::fs;

use anyhow::{Context, Result};
use serde_json::Value;

use super::Finding;
use crate::repo::Repo;

/// The crates in the order in which data flows: each uses only crates above it.
const ORDER: &[&str] = &[
    "wootz-ir",
    "wootz-transform",
    "wootz-nn",
    "wootz-passes",
    "wootz-plan",
    "wootz-plan-testing",
    "wootz-runtime",
    "wootz-cpu",
    "wootz-cuda",
    "wootz-pycode",
    "wootz-io",
    "wootz-histfactory",
    "wootz-bench",
    "wootz",
    "wootz-cli",
    "wootz-python",
];

/// The crates that may hold `unsafe` code: kernels, driver calls, memory maps, the Python edge.
const UNSAFE: &[&str] = &["crates/cpu/", "crates/cuda/", "crates/io/", "crates/python/"];

/// Checks all members of the workspace.
pub(super) fn check(repo: &Repo, findings: &mut Vec<Finding>) -> Result<()> {
    let printed = repo.cargo(&["metadata", "--format-version", "1", "--no-deps"]).stdout()?;
    let metadata: Value =
        serde_json::from_str(&printed).context("`cargo metadata` printed malformed JSON")?;
    for package in array(&metadata["packages"]) {
        check_order(package, findings);
        check_roots(repo, package, findings)?;
        check_manifest(repo, package, findings)?;
    }
    check_unsafe(repo, findings)?;
    check_sources(repo, findings)
}

/// A crate uses only crates above it. Dev-dependencies may point anywhere: tests follow data backwards.
fn check_order(package: &Value, findings: &mut Vec<Finding>) {
    let name = text(&package["name"]);
    let Some(position) = ORDER.iter().position(|crate_name| *crate_name == name) else { return };
    for dependency in array(&package["dependencies"]).iter().filter(|d| text(&d["kind"]) != "dev") {
        let used = text(&dependency["name"]);
        if ORDER[position..].contains(&used) {
            findings.push(Finding {
                file: format!("crate {name}"),
                line: 0,
                message: format!("uses `{used}`, which stands below it in the order of the crates"),
            });
        }
    }
}

/// The root file of each library and binary opens with what it is for.
fn check_roots(repo: &Repo, package: &Value, findings: &mut Vec<Finding>) -> Result<()> {
    for target in array(&package["targets"]) {
        let is_root = array(&target["kind"]).iter().any(|kind| text(kind) != "custom-build");
        let path = text(&target["src_path"]);
        let contents = fs::read_to_string(path).with_context(|| format!("cannot read {path}"))?;
        if is_root && !contents.trim_start().starts_with("//!") {
            findings.push(Finding {
                file: relative(repo, path),
                line: 1,
                message: "opens without a `//!` header that says what it is for".to_owned(),
            });
        }
    }
    Ok(())
}

/// Each member takes the workspace's lints and, for crates from outside, the workspace's versions.
fn check_manifest(repo: &Repo, package: &Value, findings: &mut Vec<Finding>) -> Result<()> {
    let path = text(&package["manifest_path"]);
    let contents = fs::read_to_string(path).with_context(|| format!("cannot read {path}"))?;
    if !contents.contains("[lints]\nworkspace = true") {
        findings.push(Finding {
            file: relative(repo, path),
            line: 0,
            message: "lacks `[lints] workspace = true`".to_owned(),
        });
    }
    let mut in_dependencies = false;
    for (number, line) in (1..).zip(contents.lines()) {
        if line.starts_with('[') {
            in_dependencies = line.ends_with("dependencies]");
        } else if in_dependencies && line.contains('=') && !line.contains("workspace = true") {
            findings.push(Finding {
                file: relative(repo, path),
                line: number,
                message: "names a version of its own; declare it once in the workspace table".to_owned(),
            });
        }
    }
    Ok(())
}

/// Only the crates that must may switch the lint against `unsafe` off.
fn check_unsafe(repo: &Repo, findings: &mut Vec<Finding>) -> Result<()> {
    for file in repo.files()? {
        let excepted = UNSAFE.iter().any(|prefix| file.starts_with(prefix)) || file.starts_with("xtask/");
        if !file.ends_with(".rs") || excepted {
            continue;
        }
        let contents = fs::read_to_string(repo.path(&file)).with_context(|| format!("cannot read {file}"))?;
        for (number, line) in (1..).zip(contents.lines()) {
            if line.contains("allow(unsafe_code)") || line.contains("expect(unsafe_code)") {
                findings.push(Finding {
                    file: file.clone(),
                    line: number,
                    message: format!("`unsafe` outside {}", UNSAFE.join(", ")),
                });
            }
        }
    }
    Ok(())
}

/// Every locked package from outside comes from crates.io.
fn check_sources(repo: &Repo, findings: &mut Vec<Finding>) -> Result<()> {
    let lock = fs::read_to_string(repo.path("Cargo.lock")).context("cannot read Cargo.lock")?;
    for (number, line) in (1..).zip(lock.lines()) {
        if line.starts_with("source = ") && !line.contains("crates.io-index") {
            findings.push(Finding {
                file: "Cargo.lock".to_owned(),
                line: number,
                message: "a package that does not come from crates.io".to_owned(),
            });
        }
    }
    Ok(())
}

fn relative(repo: &Repo, path: &str) -> String {
    let root = format!("{}/", repo.root().display());
    path.strip_prefix(&root).unwrap_or(path).to_owned()
}

fn array(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or("")
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn order_findings(name: &str, used: &str, kind: Value) -> usize {
        let mut findings = Vec::new();
        check_order(&json!({"name": name, "dependencies": [{"name": used, "kind": kind}]}), &mut findings);
        findings.len()
    }

    #[test]
    fn only_crates_above_may_be_used() {
        assert_eq!(order_findings("wootz-plan", "wootz-ir", Value::Null), 0);
        assert_eq!(order_findings("wootz-ir", "wootz-plan", Value::Null), 1);
        assert_eq!(order_findings("wootz-ir", "wootz-plan", json!("dev")), 0);
        assert_eq!(order_findings("wootz-ir", "serde", Value::Null), 0);
        assert_eq!(order_findings("conformance", "wootz", Value::Null), 0);
    }
}
