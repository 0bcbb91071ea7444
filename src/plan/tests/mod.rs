//! The join of lineage and policy, from statements to rows.

mod binding;
mod blind_index;
mod code;
mod copy_in;
mod database;
mod encryption;
mod entities;
mod explaining;
mod judging;
mod own;
mod own_functions;
mod properties;
mod session;
mod spreading;
mod storing;
mod tenants;
mod write_back;
