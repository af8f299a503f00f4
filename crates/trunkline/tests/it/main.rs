//! Tests of the whole workspace and of the command line.

mod compose;
mod demo;
mod directions;
mod generate;
mod program;
mod template;
