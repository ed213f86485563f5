//! Programs, sessions, parameters and the cache, on the reference backend.

use std::collections::BTreeMap;
use wootz_ir::{DType, Dims, HostTensor, text};
use wootz_runtime::{Definition, Options, Params, Program, Reference, RunError, State, cache_info, compile};

fn definition(graph: &str) -> Definition {
    text::parse(graph).expect("the test's graph is well formed").into()
}

fn program(graph: &str) -> Program {
    compile(&definition(graph), &BTreeMap::new(), &Reference, &Options::default())
        .expect("the graph compiles")
}

fn shapes(list: &[(&str, &[usize])]) -> BTreeMap<String, Dims> {
    list.iter().map(|(n, d)| ((*n).to_owned(), Dims::from(*d))).collect()
}

fn f32s(values: &[f64]) -> HostTensor {
    HostTensor::from_f64(DType::F32, &[values.len()], values)
}

fn params(list: &[(&str, HostTensor)]) -> Params {
    Params::new(list.iter().map(|(n, t)| ((*n).into(), t.clone())))
}

const SCALE: &str = r#"graph(%x: f32[2] = input "x", %w: f32[2] = param "w") {
    %y = mul %x, %w
    return "y" = %y
}"#;

const COUNT: &str = r#"graph(%x: f32[2] = input "x", %n: f32[2] = state "n") {
    %m = add %n, %x
    %y = neg %m
    return "y" = %y, "n" = %m alias "n"
}"#;

#[test]
fn a_program_runs_by_name() {
    let out = program(SCALE).run(&params(&[("w", f32s(&[2.0, 3.0]))]), &[("x", f32s(&[5.0, 7.0]))]).unwrap();
    assert_eq!(out.get("y").unwrap().to_f64(), [10.0, 21.0]);
    assert!(out.get("z").is_none());
}

#[test]
fn a_session_sees_parameters_written_after_it_was_made() {
    let params = params(&[("w", f32s(&[2.0, 3.0]))]);
    let mut session = program(SCALE).session(&params).unwrap();
    session.set("x", f32s(&[1.0, 1.0])).unwrap();
    session.run().unwrap();
    assert_eq!(session.output("y").unwrap().to_f64(), [2.0, 3.0]);
    params.set("w", f32s(&[4.0, 5.0])).unwrap();
    session.run().unwrap();
    assert_eq!(session.output("y").unwrap().to_f64(), [4.0, 5.0]);
}

#[test]
fn errors_name_the_input_and_say_what_to_do() {
    let program = program(SCALE);
    let params = params(&[("w", f32s(&[2.0, 3.0]))]);
    let message = |inputs: &[(&str, HostTensor)]| program.run(&params, inputs).unwrap_err().to_string();
    assert_eq!(message(&[]), "input `x` (f32[2]) is missing");
    assert_eq!(message(&[("z", f32s(&[1.0]))]), "the program has no input `z` (there are `x`)");
    let wide = HostTensor::from_f64(DType::F64, &[2], &[1.0, 2.0]);
    assert_eq!(message(&[("x", wide)]), "input `x` is f64[2], the program takes f32[2]: convert it to f32");
    assert_eq!(
        message(&[("x", f32s(&[1.0, 2.0, 3.0]))]),
        "input `x` is f32[3], the program takes f32[2]: compile the program for this shape"
    );
    let other = Params::new([("v".into(), f32s(&[1.0, 1.0]))]);
    let error = program.run(&other, &[("x", f32s(&[1.0, 1.0]))]).unwrap_err();
    assert_eq!(error.to_string(), "input `w` (f32[2]) is missing");
    assert!(matches!(params.set("w", f32s(&[1.0])), Err(RunError::Type { .. })));
}

#[test]
fn a_step_consumes_the_state_and_gives_it_back_if_the_input_was_wrong() {
    let program = program(COUNT);
    let state = State::from_tensors(program.signature(), [("n".into(), f32s(&[1.0, 2.0]))]).unwrap();
    let (state, out) = program.step(state, &[("x", f32s(&[10.0, 20.0]))]).unwrap();
    assert_eq!(out.get("y").unwrap().to_f64(), [-11.0, -22.0]);
    assert!(out.get("n").is_none(), "state goes out through the state");
    let error = program.step(state, &[("x", f32s(&[1.0]))]).unwrap_err();
    let state = error.state.expect("nothing was run, so the state is untouched");
    assert_eq!(state.get("n").unwrap().to_f64(), [11.0, 22.0]);
    assert!(program.init(0).is_err() && program.session(&Params::default()).is_err());
}

#[test]
fn a_kept_tensor_of_the_state_does_not_change_under_its_owner() {
    let program = program(COUNT);
    let before = f32s(&[1.0, 2.0]);
    let state = State::from_tensors(program.signature(), [("n".into(), before.clone())]).unwrap();
    let (state, _) = program.step(state, &[("x", f32s(&[1.0, 1.0]))]).unwrap();
    assert_eq!(before.to_f64(), [1.0, 2.0]);
    assert_eq!(state.get("n").unwrap().to_f64(), [2.0, 3.0]);
}

#[test]
fn equal_graphs_are_compiled_once_whatever_their_names() {
    let graph = |name: &str| {
        format!(
            r#"graph(%x: f32[7] = input "{name}") {{ %a = sin %x %b = cos %a return "out of {name}" = %b }}"#
        )
    };
    program(&graph("first"));
    let before = cache_info();
    let second = program(&graph("second"));
    assert!(cache_info().hits > before.hits);
    let out = second.run(&Params::default(), &[("second", f32s(&[0.0; 7]))]).unwrap();
    assert_eq!(out.get("out of second").unwrap().to_f64(), [1.0; 7]);
}

#[test]
fn sizes_are_solved_from_the_inputs_and_none_may_stay_open() {
    let definition = definition(
        r#"graph(%x: f32[B, 3] = input "x", %y: f32[2*B] = input "y") {
             %s = reduce_sum[axes=[1]] %x
             %t = concat[axis=0] %s, %s
             %z = add %t, %y
             return "z" = %z
           }"#,
    );
    let compile =
        |list: &[(&str, &[usize])]| compile(&definition, &shapes(list), &Reference, &Options::default());
    let program = compile(&[("y", &[8])]).expect("8 = 2·B gives B = 4");
    assert_eq!(program.signature().inputs[0].ty.to_string(), "f32[4, 3]");
    let error = |list: &[(&str, &[usize])]| compile(list).map(|_| ()).unwrap_err().to_string();
    assert!(error(&[]).contains("`x` is f32[B, 3]"), "{}", error(&[]));
    assert!(error(&[("y", &[7])]).contains("`y` cannot be f32[7]"), "{}", error(&[("y", &[7])]));
    assert!(error(&[("x", &[4, 3]), ("y", &[6])]).contains("`y` cannot be f32[6]"));
    assert!(error(&[("q", &[1])]).contains("no input `q`"));
}

#[test]
fn the_first_nan_is_named_with_its_place() {
    let graph = r#"graph(%x: f32[2] = input "x") {
        %a = neg %x
        %b = log %a loc("layer 3 (train.py:12)")
        %y = exp %b
        return "y" = %y
    }"#;
    let options = Options { nan_check: true, ..Options::default() };
    let program = compile(&definition(graph), &BTreeMap::new(), &Reference, &options).unwrap();
    assert!(program.run(&Params::default(), &[("x", f32s(&[-1.0, -2.0]))]).is_ok());
    let error = program.run(&Params::default(), &[("x", f32s(&[1.0, -2.0]))]).unwrap_err();
    assert_eq!(error.to_string(), "the first NaN arose in `log` at layer 3 (train.py:12)");
    let error = program.run(&Params::default(), &[("x", f32s(&[f64::NAN, 0.0]))]).unwrap_err();
    assert_eq!(error.to_string(), "input `x` holds a NaN");
}

#[test]
fn a_nan_inside_a_loop_is_named_with_its_own_place() {
    let graph = r#"
      region @body(%c: f32[], %x: f32[]) {
        %d = add %c, %x
        %e = log %d loc("loop.py:3")
        return %e, %d
      }
      graph(%c: f32[] = input "c", %xs: f32[3] = input "xs") {
        %h, %ys = scan[body=@body, carries=1, xs=1, length=3, reverse=false] %c, %xs loc("loop.py:9")
        return "h" = %h, "ys" = %ys
      }"#;
    let options = Options { nan_check: true, ..Options::default() };
    let program = compile(&definition(graph), &BTreeMap::new(), &Reference, &options).unwrap();
    let c = HostTensor::scalar(DType::F32, 1.0);
    // log 2, then the logarithm of log 2 - 1.
    let run = |xs: &[f64]| program.run(&Params::default(), &[("c", c.clone()), ("xs", f32s(xs))]);
    assert!(run(&[1.0, 1.0, 1.0]).is_ok());
    let error = run(&[1.0, -1.0, 1.0]).unwrap_err();
    assert_eq!(error.to_string(), "the first NaN arose in `log` at loop.py:3");
}

#[test]
fn a_nan_whose_origin_cannot_be_told_is_an_error() {
    let graph =
        r#"graph(%x: f32[2] = input "x", %w: f32[2] = param "w") { %y = mul %x, %w return "y" = %y }"#;
    let options = Options { nan_check: true, ..Options::default() };
    let program = compile(&definition(graph), &BTreeMap::new(), &Reference, &options).unwrap();
    // What the graph evaluates to without a NaN has one here.
    let nan = f32s(&[f64::NAN, 0.0]);
    let found = wootz_runtime::nan::origin(program.graph(), &[f32s(&[1.0, 1.0]), f32s(&[1.0, 1.0])], "y");
    assert!(found.to_string().starts_with("`y` holds a NaN of unknown origin: the reference"), "{found}");
    let error = program.run(&params(&[("w", nan)]), &[("x", f32s(&[1.0, 1.0]))]).unwrap_err();
    assert_eq!(error.to_string(), "input `w` holds a NaN");
}

#[test]
fn a_step_is_searched_for_nans_in_its_outputs_too() {
    let graph = r#"graph(%x: f32[2] = input "x", %n: f32[2] = state "n") {
        %m = add %n, %x
        %y = log %x loc("metric")
        return "y" = %y, "n" = %m alias "n"
    }"#;
    let options = Options { nan_check: true, ..Options::default() };
    let program = compile(&definition(graph), &BTreeMap::new(), &Reference, &options).unwrap();
    let state = State::from_tensors(program.signature(), [("n".into(), f32s(&[0.0, 1.0]))]).unwrap();
    let error = program.step(state, &[("x", f32s(&[-1.0, 1.0]))]).unwrap_err();
    assert_eq!(error.to_string(), "the first NaN arose in `log` at metric");
}

#[test]
fn profiling_runs_what_it_says() {
    let params = params(&[("w", f32s(&[2.0, 3.0]))]);
    let profile = program(SCALE).profile(&params, &[("x", f32s(&[5.0, 7.0]))], 3).unwrap();
    assert_eq!((profile.runs, profile.spans().len()), (3, 0), "the reference does not see its steps");
    assert!(profile.to_string().contains("mean of 3 runs"), "{profile}");

    let program = program(COUNT);
    let state = State::from_tensors(program.signature(), [("n".into(), f32s(&[0.0, 1.0]))]).unwrap();
    let (state, profile) = program.profile_step(state, &[("x", f32s(&[1.0, 1.0]))], 3).unwrap();
    assert_eq!(profile.runs, 3);
    // Three steps, and the one before them.
    assert_eq!(state.get("n").unwrap().to_f64(), [4.0, 5.0]);
    let error = program.profile_step(state, &[], 3).unwrap_err();
    assert!(error.state.is_some() && error.to_string().contains("input `x`"), "{error}");
}
