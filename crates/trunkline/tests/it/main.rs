//! Tests of the whole workspace and of the command line.

mod cargo_lambda;
mod cases;
mod compose;
mod demo;
mod directions;
mod file_kills;
mod foreign;
mod generate;
mod loads;
mod openapi;
mod program;
mod real_services;
mod skip;
mod template;
mod verify_https;
mod world;
