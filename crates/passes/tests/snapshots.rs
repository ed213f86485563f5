//! Graph text in, expectation out: the example in the header of every pass, and `tests/filetests`, one folder a pass.
//!
//! A file test is a graph, a line `# ---`, and the graph after the pass and the removal of dead code. A first line
//! `# claims: relu, …` says what the target claims. With `UPDATE_EXPECT=1` the expectations are written anew.

#![allow(clippy::unwrap_used)] // a test fails by panicking

mod common;

use common::target;
use std::path::{Path, PathBuf};
use wootz_ir::ops::CompositeKind;
use wootz_ir::{Graph, text};
use wootz_passes::{Optimize, Pass, SCATTER, passes, run};

/// Applies the pass of this name and then removes dead code; `full` and `basic` are whole levels.
fn apply(name: &str, graph: &Graph, claims: &[CompositeKind]) -> Graph {
    let target = target(claims);
    let level = |level| run(graph, level, &target, &mut |_, _| {}).unwrap();
    match name {
        "basic" => return level(Optimize::Basic),
        "full" => return level(Optimize::Full),
        _ => {}
    }
    let mut list: Vec<Pass> = passes(Optimize::Full);
    list.push(SCATTER);
    let find =
        |name: &str| list.iter().find(|p| p.name == name).unwrap_or_else(|| panic!("no pass `{name}`"));
    let graph = find(name).apply(graph, &target).unwrap();
    find("dead").apply(&graph, &target).unwrap()
}

/// The `text` blocks of a source file's header.
fn examples(source: &str) -> Vec<String> {
    let lines = source.lines().map_while(|l| l.strip_prefix("//!"));
    let header: String = lines.map(|l| format!("{}\n", l.strip_prefix(' ').unwrap_or(l))).collect();
    let blocks = header.split("```text\n").skip(1);
    blocks.map(|rest| rest.split("```").next().unwrap().to_owned()).collect()
}

fn check_header(pass: &str, claims: &[CompositeKind], source: &str) {
    let blocks = examples(source);
    let [before, after] = &blocks[..] else { panic!("{pass}: {} examples", blocks.len()) };
    let got = apply(pass, &text::parse(before).unwrap(), claims);
    assert_eq!(text::print(&got), *after, "{pass}");
}

#[test]
fn header_examples_are_true() {
    check_header("simplify", &[], include_str!("../src/simplify.rs"));
    check_header("simplify", &[], include_str!("../src/cse.rs"));
    check_header("simplify", &[], include_str!("../src/fold.rs"));
    check_header("simplify", &[], include_str!("../src/algebra/mod.rs"));
    check_header("expand", &[], include_str!("../src/expand.rs"));
    check_header("dead", &[], include_str!("../src/dead.rs"));
    check_header("inline", &[], include_str!("../src/inline.rs"));
    check_header("canonical", &[], include_str!("../src/canonical.rs"));
    check_header("contract", &[], include_str!("../src/contract.rs"));
    check_header("scatter", &[], include_str!("../src/scatter.rs"));
    check_header("recognize", &[CompositeKind::Relu], include_str!("../src/recognize.rs"));
}

fn children(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).unwrap_or_else(|e| panic!("{}: {e}", folder.display()));
    let mut paths: Vec<PathBuf> = entries.map(|e| e.unwrap().path()).collect();
    paths.sort();
    paths
}

fn claims(input: &str) -> Vec<CompositeKind> {
    let Some(list) = input.lines().next().and_then(|l| l.strip_prefix("# claims:")) else {
        return Vec::new();
    };
    let kind = |name: &str| {
        CompositeKind::ALL.into_iter().find(|k| k.name() == name).unwrap_or_else(|| panic!("no `{name}`"))
    };
    list.split(',').map(|name| kind(name.trim())).collect()
}

#[test]
fn filetests() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/filetests");
    let (mut files, mut wrong) = (0, Vec::new());
    for folder in children(&root) {
        let pass = folder.file_name().unwrap().to_str().unwrap().to_owned();
        for path in children(&folder) {
            let file = std::fs::read_to_string(&path).unwrap();
            let (input, expected) = file.split_once("# ---\n").unwrap_or((&file, ""));
            let graph = text::parse(input).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
            let got = text::print(&apply(&pass, &graph, &claims(input)));
            files += 1;
            if got == expected {
                continue;
            }
            if std::env::var_os("UPDATE_EXPECT").is_some() {
                std::fs::write(&path, format!("{input}# ---\n{got}")).unwrap();
            } else {
                wrong.push(format!("{}: expected\n{expected}got\n{got}", path.display()));
            }
        }
    }
    assert!(files > 0, "no file tests in {}", root.display());
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
