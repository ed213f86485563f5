//! Rules that look at one file's text.

use anyhow::{Result, bail};

use super::Finding;

/// The most lines a hand-written source file may have without an entry in `long-files.txt`.
const MAX_LINES: usize = 500;

/// What only one file may say, and why.
const ONLY_IN: [(&str, &str, &str); 1] = [(
    "is_x86_feature_detected!",
    "crates/cpu/src/isa.rs",
    "instruction sets are chosen by `Isa` alone, or `WOOTZ_CPU` would not hold",
)];

/// What the rules' own files say.
pub(super) struct Rules {
    /// (word, why it is forbidden)
    pub(super) forbidden: Vec<(String, String)>,
    /// (file, why it may be long)
    pub(super) long_files: Vec<(String, String)>,
}

/// Reads `word: reason` lines; `#` starts a comment line.
pub(super) fn parse_forbidden(list: &str) -> Result<Vec<(String, String)>> {
    parse_list(list, "xtask/tidy/forbidden-words.txt")
}

/// Reads `path: reason` lines; `#` starts a comment line.
pub(super) fn parse_long_files(list: &str) -> Result<Vec<(String, String)>> {
    parse_list(list, "xtask/tidy/long-files.txt")
}

/// Checks one file. Adds to `long_files_used` where the file needs its entry in the list of long files.
pub(super) fn check(
    file: &str,
    contents: &str,
    rules: &Rules,
    findings: &mut Vec<Finding>,
    long_files_used: &mut Vec<String>,
) {
    let mut find =
        |line: usize, message: String| findings.push(Finding { file: file.to_owned(), line, message });
    let extension = file.rsplit_once('.').map_or("", |(_, extension)| extension);

    if is_source(extension) {
        let lines = contents.lines().count();
        let listed = rules.long_files.iter().any(|(path, _)| path == file);
        if listed && lines > MAX_LINES {
            long_files_used.push(file.to_owned());
        } else if lines > MAX_LINES {
            find(0, format!("{lines} lines, more than {MAX_LINES}: find the seam and split it"));
        }
    }
    if !contents.is_empty() && !contents.ends_with('\n') {
        find(0, "the last line has no line end".to_owned());
    }
    if contents.ends_with("\n\n") {
        find(0, "empty lines at the end".to_owned());
    }
    // This folder has to spell the words out.
    let spells_rules = file.starts_with("xtask/tidy/") || file.starts_with("xtask/src/tidy");
    for (number, line) in (1..).zip(contents.lines()) {
        if line.contains('\t') {
            find(number, "a tab: indent with spaces".to_owned());
        }
        if line.ends_with(' ') || line.ends_with('\r') {
            find(number, "white space at the end of the line".to_owned());
        }
        if spells_rules {
            continue;
        }
        for (word, home, reason) in ONLY_IN {
            if file != home && contains_word(line, word) {
                find(number, format!("`{word}` outside of {home}: {reason}"));
            }
        }
        for (word, reason) in &rules.forbidden {
            if contains_word(line, word) {
                find(number, format!("`{word}`: {reason}"));
            }
        }
    }
}

/// Languages whose files are written by hand and read top to bottom.
fn is_source(extension: &str) -> bool {
    ["rs", "py", "pyi", "cu", "cuh", "c", "h", "js", "ts", "sh"].contains(&extension)
}

/// Whether `word` occurs in `line` and is not a part of a longer identifier.
fn contains_word(line: &str, word: &str) -> bool {
    let identifier = |c: char| c.is_alphanumeric() || c == '_';
    line.match_indices(word).any(|(start, found)| {
        let joins_before = found.starts_with(identifier) && line[..start].ends_with(identifier);
        let joins_after = found.ends_with(identifier) && line[start + found.len()..].starts_with(identifier);
        !joins_before && !joins_after
    })
}

fn parse_list(list: &str, name: &str) -> Result<Vec<(String, String)>> {
    let mut entries = Vec::new();
    for line in list.lines().filter(|line| !line.trim().is_empty() && !line.starts_with('#')) {
        match line.rsplit_once(": ") {
            Some((entry, reason)) if !reason.trim().is_empty() => {
                entries.push((entry.to_owned(), reason.trim().to_owned()));
            }
            _ => bail!("{name}: `{line}` is not of the form `entry: reason`"),
        }
    }
    Ok(entries)
}

#[cfg(test)]
mod tests {
    use super::*;
    use expect_test::{Expect, expect};

    fn report(file: &str, contents: &str, expected: Expect) {
        let rules = Rules {
            forbidden: parse_forbidden("todo!: finish it\n/home/: names one machine\n").expect("well-formed"),
            long_files: parse_long_files("long.rs: a table\n").expect("well-formed"),
        };
        let mut findings = Vec::new();
        check(file, contents, &rules, &mut findings, &mut Vec::new());
        let lines: Vec<String> = findings.iter().map(ToString::to_string).collect();
        expected.assert_eq(&lines.join("\n"));
    }

    #[test]
    fn clean_text_passes() {
        report("a.rs", "fn f() {}\n", expect![""]);
        report("empty.txt", "", expect![""]);
    }

    #[test]
    fn white_space_is_reported_with_its_line() {
        report(
            "a.rs",
            "x\n\ty\nz \n\n",
            expect![[r#"
                a.rs: empty lines at the end
                a.rs:2: a tab: indent with spaces
                a.rs:3: white space at the end of the line"#]],
        );
        report("a.md", "x", expect!["a.md: the last line has no line end"]);
    }

    #[test]
    fn the_processor_is_asked_in_one_place() {
        report("crates/cpu/src/isa.rs", "is_x86_feature_detected!(\"avx2\")\n", expect![""]);
        report(
            "a.rs",
            "is_x86_feature_detected!(\"avx2\")\n",
            expect![[
                r#"a.rs:1: `is_x86_feature_detected!` outside of crates/cpu/src/isa.rs: instruction sets are chosen by `Isa` alone, or `WOOTZ_CPU` would not hold"#
            ]],
        );
    }

    #[test]
    fn forbidden_words_are_whole_words() {
        report(
            "a.rs",
            "todo!()\nnot_a_todo!()\n/home/x\n",
            expect![[r#"
            a.rs:1: `todo!`: finish it
            a.rs:3: `/home/`: names one machine"#]],
        );
    }

    #[test]
    fn long_sources_are_reported_unless_listed() {
        let long = "x\n".repeat(MAX_LINES + 1);
        report("a.rs", &long, expect!["a.rs: 501 lines, more than 500: find the seam and split it"]);
        report("long.rs", &long, expect![""]);
        report("a.csv", &long, expect![""]);
    }

    #[test]
    fn an_entry_without_a_reason_is_refused() {
        assert!(parse_long_files("a.rs\n").is_err());
        assert!(parse_long_files("a.rs: \n").is_err());
    }
}
