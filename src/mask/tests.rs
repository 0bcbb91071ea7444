//! Claims that hold for every rule, type and format.
