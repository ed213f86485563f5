//! Reference pages made from what programs print for `--help`.

use std::env;
use std::path::Path;

use anyhow::{Context, Result};

use crate::process::Process;
use crate::repo::{Repo, TEST_PROFILE};

/// The page of these commands.
pub(super) fn xtask(_: &Repo) -> Result<String> {
    let program = env::current_exe().context("this program cannot find itself")?;
    page("Developer commands", "cargo xtask", &program)
}

/// The page of the `wootz` command.
pub(super) fn cli(repo: &Repo) -> Result<String> {
    let build = ["build", "--quiet", "--profile", TEST_PROFILE, "--package", "wootz-cli", "--bin", "wootz"];
    repo.cargo(&build).run()?;
    let program = repo.artifact("wootz");
    page("Command line", "wootz", &program)
}

/// A Markdown page with the help text of `program`, called `name`, and of all its subcommands.
fn page(title: &str, name: &str, program: &Path) -> Result<String> {
    let mut page =
        format!("# {title}\n\n<!-- Made by `cargo xtask gen` from the help texts; do not edit. -->\n");
    section(&mut page, name, program, &mut Vec::new())?;
    Ok(page)
}

fn section(page: &mut String, name: &str, program: &Path, path: &mut Vec<String>) -> Result<()> {
    // A line's width must not depend on whose terminal this runs in.
    let help = Process::new(program).args(&*path).arg("--help").env("COLUMNS", "100").stdout()?;
    let mut title = vec![name.to_owned()];
    title.extend(path.iter().cloned());
    let body: Vec<&str> = help.trim_end().lines().map(str::trim_end).collect();
    page.push_str(&format!("\n## `{}`\n\n```text\n{}\n```\n", title.join(" "), body.join("\n")));
    for subcommand in subcommands(&help) {
        path.push(subcommand);
        section(page, name, program, path)?;
        path.pop();
    }
    Ok(())
}

/// The names listed below `Commands:`.
fn subcommands(help: &str) -> Vec<String> {
    let listed = help.lines().skip_while(|line| *line != "Commands:").skip(1);
    listed
        .take_while(|line| line.starts_with("  ") || line.is_empty())
        // A name stands two columns in; a description that was wrapped stands further in.
        .filter(|line| line.starts_with("  ") && !line.starts_with("   "))
        .filter_map(|line| line.split_whitespace().next())
        .filter(|name| *name != "help")
        .map(str::to_owned)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn subcommands_are_read_from_the_help_text() {
        let help = "Does it\n\nUsage: x <COMMAND>\n\nCommands:\n  run   Runs\n  show  Shows\n        more\n  help  \
                    Prints\n\nOptions:\n  -h, --help  Print help\n";
        assert_eq!(subcommands(help), ["run", "show"]);
        assert_eq!(subcommands("Usage: x\n"), [""; 0]);
    }
}
