#![doc = include_str!("../README.md")]

mod callers;
pub mod chat;
pub mod crm;
mod draws;
mod faults;
mod files;
mod index;
mod manifest;
mod messages;
mod options;
mod plan;
mod population;
mod records;
mod render;
mod run;
mod sink;
mod spoil;

pub use manifest::{BadLine, Manifest, ManifestFile};
pub use messages::{DATA_TOPIC, VOICE_TOPIC};
pub use options::{LINES_PER_FILE, Options, Profile};
pub use run::{Summary, progress_bar, run};
pub use sink::{Destination, FileSink, Folder, Put, SftpFolder, Topics};
