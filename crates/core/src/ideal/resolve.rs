//! From the file as written to the ideal as the planner reads it: inheritance, defaults, references.
