#![doc = include_str!("../README.md")]

mod handler;
mod inline;
mod run;
mod vars;

pub use handler::{Deadline, Handler, InvalidEvent, Invocation, handler};
pub use inline::InlineOrFile;
pub use run::{init_logs, run};
pub use vars::{VarError, Vars};
