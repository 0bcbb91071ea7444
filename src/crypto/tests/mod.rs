//! Known answers that others computed, and what holds for all values.

mod known_answers;
mod properties;
