//! The binding's tests: one suite for every engine of the linked library.

mod common;
mod comparators;
mod configs;
mod full;
mod points;
mod ranges;
mod sharing;
