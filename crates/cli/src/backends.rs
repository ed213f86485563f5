//! `wootz backends`: what there is to run on.

use anyhow::{Result, anyhow};
use serde_json::json;
use wootz::Cpu;
use wootz::runtime::{Backend, Reference};

use crate::output::{print, print_json};

/// List the backends and whether each can run here
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// Every backend, the default first.
pub(crate) fn all() -> Vec<Box<dyn Backend>> {
    vec![Box::new(Cpu::default()), Box::new(Reference)]
}

/// The backend called `name`.
pub(crate) fn by_name(name: &str) -> Result<Box<dyn Backend>> {
    let names: Vec<&str> = all().iter().map(|b| b.name()).collect();
    let unknown = || anyhow!("there is no backend `{name}`; there are {}", names.join(", "));
    all().into_iter().find(|b| b.name() == name).ok_or_else(unknown)
}

pub(crate) fn backends(args: &Args) -> Result<()> {
    if args.json {
        let rows = all().into_iter().map(|backend| {
            let target = backend.target();
            let missing = backend.check().err();
            json!({
                "name": backend.name(),
                "available": missing.is_none(),
                "missing": missing.as_ref().map(|m| &m.missing),
                "remedy": missing.as_ref().map(|m| &m.remedy),
                "isa": target.isa,
                "dtypes": target.dtypes.iter().map(|d| d.name()).collect::<Vec<_>>(),
            })
        });
        return print_json(&rows.collect());
    }
    let mut text = String::new();
    for backend in all() {
        let status = match backend.check() {
            Ok(()) => "available".to_owned(),
            Err(unavailable) => format!("not available: {} ({})", unavailable.missing, unavailable.remedy),
        };
        let isa = backend.target().isa;
        text += &format!("{:<10} {:<9} {status}\n", backend.name(), isa);
    }
    print(&text)
}
