//! What `wootz inspect` shows of a statistical workspace: what is written down, and the parameters of its model.

use std::fmt::Write;

use serde_json::{Map, Value, json};
use wootz::histfactory::workspace::Summary;
use wootz::histfactory::{Config, Constraint};

use crate::model::Statistical;

/// A workspace's summary and its model's parameters.
pub(crate) struct Shown {
    summary: Summary,
    config: Config,
}

impl Shown {
    pub(crate) fn of(statistical: &Statistical) -> Shown {
        let Statistical { workspace, model } = statistical;
        Shown { summary: workspace.summary(), config: model.config().clone() }
    }

    pub(crate) fn text(&self) -> String {
        let Shown { summary, config } = self;
        let width = config.names.iter().map(|name| name.chars().count()).max().unwrap_or(0).max(9);
        let mut out = format!("{}\n\n", summary.to_string().trim_end());
        let _ = writeln!(out, "{:width$}  {:>10}  {:>16}  constraint", "model", "init", "bounds");
        for (i, constraint) in self.constraints().enumerate() {
            let (low, high) = config.bounds[i];
            let bounds = format!("[{low}, {high}]");
            let _ =
                write!(out, "{:width$}  {:>10}  {bounds:>16}  {constraint}", config.names[i], config.init[i]);
            if config.fixed[i] {
                out.push_str(", fixed");
            }
            if config.poi == Some(i) {
                out.push_str(", parameter of interest");
            }
            out.push('\n');
        }
        out.trim_end().to_owned()
    }

    pub(crate) fn json(&self) -> Value {
        let Shown { summary, config } = self;
        let channels: Map<String, Value> =
            summary.channels.iter().map(|(name, bins)| (name.clone(), json!(bins))).collect();
        let modifiers: Vec<Value> =
            summary.modifiers.iter().map(|(name, kind)| json!({"name": name, "type": kind})).collect();
        let parameters: Vec<Value> = self
            .constraints()
            .enumerate()
            .map(|(i, constraint)| {
                json!({
                    "name": config.names[i],
                    "init": config.init[i],
                    "bounds": [config.bounds[i].0, config.bounds[i].1],
                    "fixed": config.fixed[i],
                    "constraint": constraint,
                })
            })
            .collect();
        let measurements: Vec<Value> = summary
            .measurements
            .iter()
            .map(|(name, poi, configured)| json!({"name": name, "poi": poi, "configured_parameters": configured}))
            .collect();
        json!({
            "channels": channels,
            "samples": summary.samples,
            "modifiers": modifiers,
            "entries": summary.entries,
            "measurements": measurements,
            "parameters": parameters,
            "poi": config.poi.map(|poi| &config.names[poi]),
            "bins": config.bins(),
            "auxiliary_data": config.auxdata.len(),
        })
    }

    /// The constraint of each parameter.
    fn constraints(&self) -> impl Iterator<Item = &'static str> {
        self.config.parameter_sets.iter().flat_map(|set| {
            let name = match set.constraint {
                Constraint::None => "free",
                Constraint::Normal => "normal",
                Constraint::Poisson => "poisson",
            };
            set.slice.clone().map(move |_| name)
        })
    }
}
