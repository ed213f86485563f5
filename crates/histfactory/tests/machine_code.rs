//! Log-densities run as machine code: no kernel of a shipped workload's is left to the tile VM. (Gradients take remainders of
//! indices, which have no vector form.)

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
        for isa in Isa::available().filter(|isa| *isa != Isa::Portable) {
            assert_eq!(notes(&density, isa), Vec::<String>::new(), "{} on {isa}", workload.name());
        }
    }
}

/// Evaluations of small likelihoods are a few calls.
#[test]
fn a_density_is_a_few_kernels() {
    for (workload, most) in [(Workload::Simple, 4), (Workload::Complex8p, 6), (Workload::ThuLike, 8)] {
        let model = workload.workspace().model(&ModelOptions::default()).expect("a workload has a model");
        let density = model.logpdf_graph(&GraphOptions::default()).expect("a graph");
        let definition = Definition::from(density);
        let program = compile(&definition, &BTreeMap::new(), &Cpu::default(), &Options::default());
        let kernels = program.expect("a program").report().description.kernels;
        assert!(kernels.iter().all(|k| k.kind == "fused"), "{kernels:?}");
        assert!(kernels.len() <= most, "{}: {} kernels", workload.name(), kernels.len());
    }
}
