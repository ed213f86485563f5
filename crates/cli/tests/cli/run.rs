//! `wootz run`.

use crate::common::{Folder, check_error, stdout};
use wootz::io::{TensorFile, npy, safetensors};
use wootz::ir::HostTensor;

const AFFINE: &str = r#"graph(%0: f32[B, 2] = input "x", %1: f32[2] = param "scale") {
  %2 = broadcast[shape=[B, 2], axes=[1]] %1
  %3 = mul %0, %2
  return "y" = %3
}"#;

/// A folder with the graph, an input of three rows and parameters.
fn prepared() -> (Folder, [String; 3]) {
    let folder = Folder::new();
    let graph = folder.write("affine.graph", AFFINE.as_bytes());
    let x = HostTensor::from_slice(&[3, 2], &[1.0f32, 2.0, 3.0, 4.0, 5.0, 6.0]).unwrap();
    let x = folder.write("x.npy", &npy::to_bytes(&x).unwrap());
    let mut params = TensorFile::default();
    params.tensors.insert("scale".to_owned(), HostTensor::from_slice(&[2], &[10.0f32, -1.0]).unwrap());
    let params = folder.write("p.safetensors", &safetensors::to_bytes(&params).unwrap());
    (folder, [graph, format!("x={x}"), params])
}

#[test]
fn a_graph_runs_on_files_and_writes_files() {
    let (folder, [graph, x, params]) = prepared();
    let out = folder.path("out");
    for backend in ["cpu", "reference"] {
        let args =
            ["run", &graph, "--input", &x, "--params", &params, "--output", &out, "--backend", backend];
        let text = stdout(&args);
        assert!(text.starts_with("y: f32[3, 2] [10.0, -2.0, 30.0, -4.0, 50.0, -6.0]\n"), "{text}");
        let y = npy::read(out.as_ref()).err();
        assert!(y.is_some(), "the output is a folder");
        let y = npy::read(&std::path::Path::new(&out).join("y.npy")).unwrap();
        assert_eq!(y.to_f64(), [10.0, -2.0, 30.0, -4.0, 50.0, -6.0]);
    }
    let archive = folder.path("out.safetensors");
    let args = ["run", &graph, "--input", &x, "--params", &params, "--output", &archive, "--json"];
    let shown: serde_json::Value = serde_json::from_str(&stdout(&args)).unwrap();
    assert_eq!(shown["outputs"][0]["shape"], serde_json::json!([3, 2]));
    assert_eq!(safetensors::read(archive.as_ref()).unwrap().tensors["y"].dims(), [3, 2]);
}

#[test]
fn a_named_model_runs_on_its_initial_values() {
    let folder = Folder::new();
    let x = HostTensor::from_slice(&[2, 4], &[0.5f32; 8]).unwrap();
    let x = format!("x={}", folder.write("x.npy", &npy::to_bytes(&x).unwrap()));
    let run = |seed: &str, backend: &str| {
        stdout(&["run", "mlp:4-8-3", "--input", &x, "--seed", seed, "--backend", backend])
    };
    assert_eq!(run("1", "cpu"), run("1", "cpu"));
    assert_ne!(run("1", "cpu"), run("2", "cpu"));
    assert!(run("1", "reference").starts_with("logits: f32[2, 3] ["));
}

#[test]
fn a_training_step_gives_what_it_updates() {
    let folder = Folder::new();
    let step = r#"graph(%0: f32[2] = input "g", %1: f32[2] = param "w") {
      %2 = sub %1, %0
      return "w" = %2 alias "w"
    }"#;
    let graph = folder.write("step.graph", step.as_bytes());
    let g = HostTensor::from_slice(&[2], &[1.0f32, 2.0]).unwrap();
    let g = format!("g={}", folder.write("g.npy", &npy::to_bytes(&g).unwrap()));
    let mut params = TensorFile::default();
    params.tensors.insert("w".to_owned(), HostTensor::from_slice(&[2], &[5.0f32, 5.0]).unwrap());
    let params = folder.write("w.safetensors", &safetensors::to_bytes(&params).unwrap());
    let text = stdout(&["run", &graph, "--input", &g, "--params", &params]);
    assert_eq!(text, "w: f32[2] [4.0, 3.0]\n");
}

#[test]
fn bad_inputs_of_run() {
    let (folder, [graph, x, params]) = prepared();
    let file = std::fs::read(x.strip_prefix("x=").unwrap()).unwrap();
    let cut = format!("x={}", folder.write("cut.npy", &file[..file.len() - 3]));
    let wide = HostTensor::from_slice(&[3, 2], &[0.0f64; 6]).unwrap();
    let wide = format!("x={}", folder.write("wide.npy", &npy::to_bytes(&wide).unwrap()));
    let other = HostTensor::from_slice(&[3, 5], &[0.0f32; 15]).unwrap();
    let other = format!("x={}", folder.write("other.npy", &npy::to_bytes(&other).unwrap()));
    let cut_params = folder.write("cut.safetensors", &std::fs::read(&params).unwrap()[..40]);
    let blocked = folder.path("x.npy/out");
    let before = folder.entries();
    let check = |args: &[&str], code: i32, message: &str| {
        check_error(&[&["run", &graph], args].concat(), code, message)
    };

    check(&["--input", "x"], 2, "write NAME=FILE.npy");
    check(&["--input", "x=absent.npy", "--params", &params], 1, "cannot read `absent.npy`");
    check(&["--input", &cut, "--params", &params], 1, "cut.npy");
    check(&["--input", &wide, "--params", &params], 1, "convert it to f32");
    check(&["--input", &other, "--params", &params], 1, "`x`");
    check(&["--input", &x, "--input", &x, "--params", &params], 1, "input `x` is given twice");
    check(&["--input", &x], 1, "there is no value for `scale`; give parameters and state with --params");
    check(&["--input", &x, "--params", &cut_params], 1, "cut.safetensors");
    check(&["--input", &x, "--params", &graph], 1, "is neither a .safetensors nor a .npz file");
    check(&["--params", &params], 1, "`x`");
    check(&["--input", &x, "--params", &params, "--output", &blocked], 1, "cannot create the folder");
    check(
        &["--input", &x, "--params", &params, "--output", "/dev/null/y.npz"],
        1,
        "cannot write `/dev/null/y.npz`",
    );
    check(&["--input", &x, "--params", &params, "--threads", "0"], 2, "0 is not in 1..=65535");
    assert_eq!(folder.entries(), before, "nothing is left behind");
}
