//! Bodies of composites.
