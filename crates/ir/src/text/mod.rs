//! The text form: prints a graph and parses it back to the same graph.
