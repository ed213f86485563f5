//! `wootz --help`, `backends` and `inspect`.

use crate::common::{Folder, check_error, check_message, stdout, wootz};
use expect_test::expect;

#[test]
fn help_names_the_subcommands() {
    expect![[r#"
        Define, compile, run and measure models.

        Exit codes: 0 success, 1 something was wrong with what the command was given, 2 a command line that makes no sense, 70 a bug in wootz.

        Usage: wootz <COMMAND>

        Commands:
          bench         Measure wootz and other stacks, and compare the results
          inspect       Show a model's graph after any pass, its plan, its kernels and what compiling it costs
          run           Run a graph or a named model once, on tensors from files
          backends      List the backends and whether each can run here
          fit           Fit a pyhf workspace: best-fit parameters, uncertainties, pulls, goodness of fit, yields
          hypotest      Test a value of the parameter of interest by asymptotic formulae: CLs, observed and expected
          limit         Find the upper limit on the parameter of interest: where CLs falls below a level, observed and expected
          scan          Test values of the parameter of interest over a range: CLs, observed and expected, and the limits in between
          significance  Find the significance of a discovery: of the data over a background without signal, and as expected
          toys          Test a value of the parameter of interest by toys under each hypothesis
          ranking       Rank nuisance parameters by their impact: how far the parameter of interest moves when they are fixed off their best fit

        Options:
          -h, --help
                  Print help (see a summary with '-h')

          -V, --version
                  Print version
    "#]]
    .assert_eq(&stdout(&["--help"]));
}

#[test]
fn backends_say_whether_they_can_run() {
    let rows: serde_json::Value = serde_json::from_str(&stdout(&["backends", "--json"])).unwrap();
    assert_eq!(rows[0]["name"], "cpu");
    assert_eq!(rows[0]["available"], true);
    assert_eq!(rows[1]["name"], "reference");
    let broken = wootz(&["backends", "--json"], &[("WOOTZ_CPU", "no-such-isa")]);
    let rows: serde_json::Value = serde_json::from_slice(&broken.stdout).unwrap();
    assert_eq!(rows[0]["available"], false);
    assert!(rows[0]["missing"].as_str().unwrap().contains("no-such-isa"), "{rows}");
    assert!(rows[0]["remedy"].as_str().unwrap().contains("WOOTZ_CPU"), "{rows}");
}

#[test]
fn inspect_prints_the_graph_as_defined() {
    expect![[r#"
        graph(%0: f32[B, 4] = input "x", %1: f32[3, 4] = param "0.weight", %2: f32[3] = param "0.bias", %3: f32[2, 3] = param "2.weight", %4: f32[2] = param "2.bias") {
          %5 = linear[bias=true] %0, %1, %2 : f32[B, 3] loc("0")
          %6 = relu %5 : f32[B, 3] loc("1")
          %7 = linear[bias=true] %6, %3, %4 : f32[B, 2] loc("2")
          return "logits" = %7
        }
    "#]]
    .assert_eq(&stdout(&["inspect", "mlp:4-3-2"]));
}

#[test]
fn inspect_prints_the_graph_after_a_level_and_after_a_pass() {
    let none = stdout(&["inspect", "linear:4-3", "--shape", "x=2x4", "--after", "none"]);
    let basic = stdout(&["inspect", "linear:4-3", "--shape", "x=2x4", "--after", "basic"]);
    assert!(none.contains(": f32[2, 3]") && none.contains("dot["), "{none}");
    assert!(basic.contains("dot["), "{basic}");
    let expanded = stdout(&["inspect", "linear:4-3", "--shape", "x=2x4", "--after", "expand"]);
    assert_eq!(none, expanded);
}

#[test]
fn what_inspect_prints_can_be_inspected() {
    let folder = Folder::new();
    let text = stdout(&[
        "inspect",
        "mlp:4-3-2",
        "--training",
        "--after",
        "full",
        "--shape",
        "x=2x4",
        "--shape",
        "y=2",
    ]);
    let path = folder.write("step.graph", text.as_bytes());
    assert_eq!(stdout(&["inspect", &path]), text);
}

#[test]
fn inspect_shows_blocks_kernels_and_stages_as_json() {
    let args = ["inspect", "mlp:8-16-4", "--summary", "--plan", "--kernels", "--stages", "--json"];
    let shown: serde_json::Value = serde_json::from_str(&stdout(&args)).unwrap();
    assert_eq!(shown["summary"]["parameters"], "212");
    assert!(shown["plan"].as_str().unwrap().starts_with("plan arena "), "{shown}");
    let flops: u64 =
        shown["kernels"]["run"].as_array().unwrap().iter().filter_map(|k| k["flops"].as_u64()).sum();
    assert!(flops >= 2 * 32 * (8 * 16 + 16 * 4), "32 rows through both products: {flops}");
    let stages: Vec<&str> =
        shown["stages"].as_array().unwrap().iter().filter_map(|s| s["name"].as_str()).collect();
    assert!(stages.contains(&"passes") && stages.contains(&"plan"), "{stages:?}");
    assert!(shown.get("graph").is_none(), "the graph was not asked for");
}

#[test]
fn inspect_prints_the_code_of_kernels() {
    let folder = Folder::new();
    let graph = b"graph(%x: f32[4, 8] = input \"x\") {\n  %y = tanh %x\n  return \"y\" = %y\n}";
    let path = folder.write("tanh.graph", graph);
    let shown = stdout(&["inspect", &path, "--kernels"]);
    let code = shown.split_once("# step ").unwrap().1;
    expect![[r#"
        run 0
        kernel(a0: f32 read, a1: f32 write) grid [32] lanes grid {
          stage [] {
            %0 = load a0[g0] : f32
            %1 = tanh %0 : f32
            store a1[g0] = %1
          }
        }
    "#]]
    .assert_eq(code);
    let expanded = stdout(&["inspect", &path, "--kernels", "--expand", "--json"]);
    let expanded: serde_json::Value = serde_json::from_str(&expanded).unwrap();
    let code = expanded["kernels"]["code"][0]["code"].as_str().unwrap();
    assert!(!code.contains("tanh") && code.contains("fma"), "{code}");
    code.parse::<wootz::plan::Kernel>().unwrap();
    let listing = stdout(&["inspect", &path, "--kernels", "--asm"]);
    let portable = wootz::cpu::isa::Isa::detect().unwrap() == wootz::cpu::isa::Isa::Portable;
    let (load, end) = if portable { ("; no machine code", "") } else { ("; %0 = load a0[g0] : f32", "ret") };
    assert!(listing.contains(load) && listing.contains(end), "{listing}");
}

#[test]
fn bad_arguments_of_inspect() {
    let folder = Folder::new();
    let broken = folder.write("broken.graph", b"graph(%0: f32[2] = input \"x\") {\n  %1 = frobnicate %0\n}");
    check_error(
        &["inspect", "mlp", "--shape", "x=32,784"],
        2,
        "`32,784` is not a size; write NAME=SIZExSIZE",
    );
    check_error(&["inspect", "nothing.graph"], 1, "there is no model and no file `nothing.graph`");
    check_error(&["inspect", &broken], 1, "line 2, column 8: there is no op called `frobnicate`");
    check_error(&["inspect", &broken, "--training"], 1, "--training needs a named model");
    check_error(&["inspect", "mlp:0-4"], 1, "sizes are positive numbers");
    check_error(&["inspect", "mlp:4"], 1, "1 sizes do not make a model");
    // This backend claims nothing to be recognised.
    assert_eq!(
        stdout(&["inspect", "mlp", "--after", "recognize"]),
        stdout(&["inspect", "mlp", "--after", "canonical"])
    );
    check_error(&["inspect", "mlp", "--after", "fuse"], 1, "there is no pass `fuse`; give one of expand, ");
    check_error(&["inspect", "mlp", "--shape", "z=1", "--plan"], 1, "the model has no input `z`");
    check_error(&["inspect", "mlp", "--shape", "x=4x5", "--plan"], 1, "`x`");
    check_error(
        &["inspect", "mlp", "--plan", "--backend", "tpu"],
        1,
        "there is no backend `tpu`; there are cpu",
    );
    check_error(&["inspect", &folder.path("")], 1, "cannot read");
}

#[test]
fn errors_say_every_cause_once() {
    let folder = Folder::new();
    let slice =
        r#"graph(%x: f32[N] = input "x") { %y = slice[start=[0], stop=[5], step=[1]] %x return "y" = %y }"#;
    let slice = folder.write("slice.graph", slice.as_bytes());
    check_message(
        &["run", &slice, "--input", "x=absent.npy"],
        "cannot read `absent.npy`: No such file or directory (os error 2)",
    );
    check_message(
        &["inspect", &slice, "--shape", "x=3", "--plan"],
        "the program does not fit these sizes: slice(f32[3]): [0:5:1] is not a range of axis 0 of size 3",
    );
    check_message(
        &["bench", "report", "/nonexistent-run"],
        "cannot read or write `/nonexistent-run`: No such file or directory (os error 2)",
    );
}

#[test]
fn unknown_subcommands_are_usage_errors() {
    check_error(&["frobnicate"], 2, "unrecognized subcommand");
    check_error(&["run"], 2, "required");
}

/// What is written for each framework is the golden file of the same model.
#[test]
fn inspect_emits_a_model_for_every_framework() {
    for framework in ["numpy", "jax", "torch", "mlx"] {
        let emitted = stdout(&["inspect", "linear", "--shape", "x=32x1024", "--emit", framework]);
        let golden = format!("{}/../../tests/golden/linear_{framework}.py", env!("CARGO_MANIFEST_DIR"));
        assert_eq!(emitted.trim_end(), std::fs::read_to_string(golden).unwrap().trim_end());
    }
    let refused = wootz(&["inspect", "linear", "--shape", "x=32x1024", "--emit", "fortran"], &[]);
    assert_eq!(refused.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&refused.stderr).contains("fortran"));
}
