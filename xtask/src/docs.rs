//! Runs the Python that the documentation shows.

use std::fs;

use anyhow::{Context, Result};

use crate::process::Process;
use crate::repo::Repo;
use crate::steps::Steps;
use crate::test::fresh_dir;
use crate::venv::Venv;

/// Runs the Python blocks of every page, in order and in one interpreter a page, in an empty folder.
///
/// A block fenced as ```` ```python,ignore ```` is shown to readers only; it is counted in the output.
pub(crate) fn run_python(repo: &Repo, venv: &Venv, steps: &mut Steps) -> Result<()> {
    let mut found = false;
    for page in repo.files()?.into_iter().filter(|file| is_page(file)) {
        let markdown = fs::read_to_string(repo.path(&page)).with_context(|| format!("cannot read {page}"))?;
        let script = Script::from_markdown(&markdown);
        if script.ignored > 0 {
            println!("    {page}: {} Python block(s) marked `ignore`", script.ignored);
        }
        if script.blocks == 0 {
            continue;
        }
        found = true;
        let dir = repo.scratch(&format!("docs/{}", page.replace('/', "-").trim_end_matches(".md")));
        fresh_dir(&dir)?;
        // Named after the page and with its line numbers: a traceback points into the page.
        let path = dir.join(format!("{}.py", page.replace('/', "-")));
        fs::write(&path, &script.source).with_context(|| format!("cannot write {}", path.display()))?;
        let process = Process::new(venv.python()).arg(&path).current_dir(&dir);
        steps.run(&format!("Documentation: {page} ({} Python block(s))", script.blocks), &process)?;
    }
    if !found {
        steps.absent("Documentation: Python examples", "no page has a Python block yet");
    }
    Ok(())
}

fn is_page(file: &str) -> bool {
    file.ends_with(".md") && (file == "README.md" || file.starts_with("docs/"))
}

/// A page's Python, as a script whose line numbers are the page's.
struct Script {
    source: String,
    blocks: usize,
    ignored: usize,
}

impl Script {
    fn from_markdown(markdown: &str) -> Self {
        let mut script = Self { source: String::new(), blocks: 0, ignored: 0 };
        // The fence that closes the block we are in, and whether its lines are to be run.
        let mut open: Option<(&str, bool)> = None;
        for line in markdown.lines() {
            match open {
                Some((fence, _)) if line.trim() == fence => open = None,
                Some((_, true)) => script.source.push_str(line),
                Some((_, false)) => {}
                None => {
                    if let Some((fence, info)) = opening(line) {
                        script.blocks += usize::from(info == "python");
                        script.ignored += usize::from(info == "python,ignore");
                        open = Some((fence, info == "python"));
                    }
                }
            }
            script.source.push('\n');
        }
        script
    }
}

/// The fence and the info string, where `line` opens a fenced code block.
fn opening(line: &str) -> Option<(&str, &str)> {
    let line = line.trim();
    let ticks = line.len() - line.trim_start_matches('`').len();
    (ticks >= 3).then(|| (&line[..ticks], line[ticks..].trim()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_script_keeps_the_pages_line_numbers() {
        let page = "# Title\n```python\nx = 1\n```\ntext\n```rust\nlet x = 1;\n```\n```python,ignore\ny\n```\n\
                    ```python\nassert x == 1\n```\n";
        let script = Script::from_markdown(page);
        assert_eq!((script.blocks, script.ignored), (2, 1));
        let lines: Vec<(usize, &str)> =
            (1..).zip(script.source.lines()).filter(|(_, l)| !l.is_empty()).collect();
        assert_eq!(lines, [(3, "x = 1"), (13, "assert x == 1")]);
    }

    #[test]
    fn a_longer_fence_holds_a_shorter_one() {
        let script = Script::from_markdown("````markdown\n```python\nx\n```\n````\n");
        assert_eq!(script.blocks, 0);
    }
}
