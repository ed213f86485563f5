//! Likelihoods run as machine code: no kernel of a workload that stands in reports is left to the tile VM.

use std::collections::BTreeMap;
use wootz_cpu::Cpu;
use wootz_cpu::isa::Isa;
use wootz_histfactory::workload::Workload;
use wootz_histfactory::{GraphOptions, ModelOptions};
use wootz_ir::Graph;
use wootz_runtime::{Definition, Options, compile};

/// What a program says of how it is run.
fn notes(graph: &Graph, isa: Isa) -> Vec<String> {
    let cpu = Cpu { isa: Some(isa), jit: Some(true) };
    let program = compile(&Definition::from(graph.clone()), &BTreeMap::new(), &cpu, &Options::default());
    program.expect("a program").report().description.notes.clone()
}

#[test]
fn workloads_run_as_machine_code() {
    for workload in Workload::ALL {
        let model = workload.workspace().model(&ModelOptions::default()).expect("a workload has a model");
        let options = GraphOptions::default();
        let density = model.logpdf_graph(&options).expect("a graph");
        let gradient = wootz_transform::grad(&density, 0, &[0]).expect("differentiable");
        let mut graphs = vec![("density", density), ("gradient", gradient)];
        // Of the others it takes long to compile.
        if matches!(workload, Workload::Simple | Workload::Complex8p) {
            graphs.push(("fit", model.fit_graph(&options, 100).expect("a graph")));
        }
        for isa in Isa::available().filter(|isa| *isa != Isa::Portable) {
            for (what, graph) in &graphs {
                assert_eq!(notes(graph, isa), Vec::<String>::new(), "{} {what} on {isa}", workload.name());
            }
        }
    }
}
