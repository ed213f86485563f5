//! What is wrong with a workspace, or with what was asked of it. Every variant is the caller's input.

use std::path::PathBuf;

/// A workspace or patch set cannot be read, or an operation on it makes no sense.
///
/// Paths are those of the JSON document: `channels[0].samples[2].modifiers[1].data`.
#[derive(Debug, thiserror::Error)]
pub enum WorkspaceError {
    /// The file cannot be read.
    #[error("cannot read `{}`", .file.display())]
    Read {
        /// The file.
        file: PathBuf,
        /// Why not.
        source: std::io::Error,
    },
    /// The text is not JSON. `NaN` and `Infinity` are not JSON either.
    #[error(
        "line {line}, column {column} (at `{path}`): {problem}; the text is not JSON (NaN and Infinity are not allowed)"
    )]
    Syntax {
        /// The place in the document.
        path: String,
        /// Counted from 1.
        line: usize,
        /// Counted from 1.
        column: usize,
        /// What is wrong.
        problem: String,
    },
    /// The JSON is not what the format demands.
    #[error("`{path}`: {problem}")]
    Schema {
        /// The place in the document.
        path: String,
        /// What is wrong.
        problem: String,
    },
    /// A list has not as many entries as its channel has bins.
    #[error(
        "`{path}` has {got} entries and channel `{channel}` has {expected} bins (as its first sample says); give one entry a bin"
    )]
    BinCount {
        /// The place in the document.
        path: String,
        /// The channel.
        channel: String,
        /// Its number of bins.
        expected: usize,
        /// The number of entries found.
        got: usize,
    },
    /// Two things of one kind have the same name.
    #[error("`{path}`: there is already a {what} named `{name}`; rename or remove one")]
    Duplicate {
        /// The place of the second.
        path: String,
        /// What they are.
        what: &'static str,
        /// The name.
        name: String,
    },
    /// Nothing has this name.
    #[error("there is no {what} named `{name}`; there are: {}", .known.join(", "))]
    Unknown {
        /// What was looked for.
        what: &'static str,
        /// The name given.
        name: String,
        /// The names there are.
        known: Vec<String>,
    },
    /// The workspace has no observed data for a channel of the model.
    #[error("the workspace has no observation for channel `{channel}`; add one to `observations`")]
    NoObservation {
        /// The channel.
        channel: String,
    },
    /// Observed counts cannot be negative.
    #[error("`{path}` is {value}: an observed count cannot be negative")]
    NegativeCount {
        /// The place in the document.
        path: String,
        /// The count.
        value: f64,
    },
    /// Two workspaces have something in common that cannot be joined.
    #[error("the workspaces have {what} `{name}` in common, and {problem}")]
    Combine {
        /// What they have in common.
        what: &'static str,
        /// Its name.
        name: String,
        /// Why that is a problem and what to do.
        problem: &'static str,
    },
    /// Channels can be merged only by the outer joins.
    #[error("channels can be merged only by an outer, left outer or right outer join")]
    MergeNeedsOuterJoin,
    /// What a patch made of the workspace is not a workspace, or a patch does not apply.
    #[error("patch `{patch}` does not apply: {problem}")]
    Patch {
        /// The patch.
        patch: String,
        /// What is wrong.
        problem: String,
    },
    /// A patch set is for another workspace.
    #[error(
        "the patch set is for another workspace: its {algorithm} digest is {expected}, this workspace's is {got}"
    )]
    Digest {
        /// The digest algorithm.
        algorithm: &'static str,
        /// What the patch set says.
        expected: String,
        /// What this workspace has.
        got: String,
    },
}
