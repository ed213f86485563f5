//! Statistical workspaces and patch sets.
#![no_main]

use libfuzzer_sys::fuzz_target;
use wootz_histfactory::workspace::{PatchKey, PatchSet};
use wootz_histfactory::{ModelOptions, Workspace};

/// A larger model is no other case, and the interpreter is slow.
const LARGEST: usize = 64;

fuzz_target!(|bytes: &[u8]| {
    if let Ok(set) = PatchSet::from_json(bytes) {
        let workspace = wootz_histfactory::workload::complex_8p();
        for patch in set.patches() {
            let _ = set.apply(&workspace, PatchKey::Name(patch.name()));
        }
    }
    let Ok(workspace) = Workspace::from_json(bytes) else { return };
    let again = Workspace::from_json(workspace.to_json().as_bytes()).expect("what was written is read");
    assert_eq!(workspace, again);
    let Ok(model) = workspace.model(&ModelOptions::default()) else { return };
    let config = model.config();
    assert_eq!(config.names.len(), config.init.len());
    if config.parameters() > LARGEST || config.bins() > LARGEST {
        return;
    }
    let rates = model.eval_rates(&config.init).expect("rates at the initial parameters");
    assert_eq!(rates.len(), config.bins());
    if let Ok(data) = workspace.data(&model) {
        // A density, or an error that names the bin.
        let _ = model.eval_logpdf(&config.init, &data).map_err(|error| error.to_string());
    }
});
