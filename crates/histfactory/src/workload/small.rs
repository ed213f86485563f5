//! Workspaces small enough to check by hand.

use super::{histosys, lumi_config, modifier, normfactor, normsys, sample, workspace};
use crate::Workspace;
use crate::workspace::{Channel, ModifierKind};

/// One channel of two bins: a signal of free strength over a background with uncorrelated uncertainties.
pub fn simple() -> Workspace {
    let uncertainty = modifier("uncorr_bkguncrt", ModifierKind::Shapesys(vec![5.0, 12.0].into()));
    let channel = Channel {
        name: "singlechannel".into(),
        samples: vec![
            sample("signal", vec![5.0, 10.0], vec![normfactor("mu")]),
            sample("background", vec![50.0, 60.0], vec![uncertainty]),
        ],
    };
    workspace(vec![channel], vec![("singlechannel".into(), vec![53.0, 65.0])], Vec::new())
}

/// A signal region and a control region of two bins each, with normfactor, lumi, normsys, histosys, staterror and shapefactor.
pub fn complex_8p() -> Workspace {
    let lumi = || modifier("lumi", ModifierKind::Lumi);
    let staterror =
        |errors: [f64; 2]| modifier("staterror_SR", ModifierKind::Staterror(errors.to_vec().into()));
    let signal_region = Channel {
        name: "SR".into(),
        samples: vec![
            sample("signal", vec![5.0, 8.0], vec![normfactor("mu"), lumi(), normsys("jes", 0.95, 1.06)]),
            sample(
                "background",
                vec![50.0, 40.0],
                vec![
                    lumi(),
                    normsys("jes", 0.97, 1.02),
                    histosys("shape", vec![47.5, 41.0], vec![53.0, 38.5]),
                    staterror([2.5, 2.0]),
                ],
            ),
            sample(
                "multijet",
                vec![12.0, 9.0],
                vec![histosys("shape", vec![11.0, 9.4], vec![12.5, 8.9]), staterror([1.5, 1.2])],
            ),
        ],
    };
    let control_region = Channel {
        name: "CR".into(),
        samples: vec![
            sample("background", vec![200.0, 180.0], vec![lumi(), normsys("jes", 0.98, 1.03)]),
            sample("multijet", vec![60.0, 70.0], vec![modifier("multijet_shape", ModifierKind::Shapefactor)]),
        ],
    };
    let observations = vec![("SR".into(), vec![71.0, 58.0]), ("CR".into(), vec![265.0, 244.0])];
    workspace(vec![signal_region, control_region], observations, vec![lumi_config(0.02)])
}
