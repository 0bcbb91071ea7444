//! Builds snapshots and puts them in force.
