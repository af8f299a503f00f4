#![doc = include_str!("../README.md")]

mod content;
mod decode;
mod digest;
mod lines;
mod mark;
mod sketch;
mod survey;
mod table;

pub use decode::{Damage, Decoder, Stored};
pub use digest::{Digest, HashState, Hasher, InvalidDigest};
pub use lines::{Line, LineEnds, Lines};
pub use mark::{Block, Head, InvalidHex, Mark};
pub use sketch::{SKETCH_DIGESTS, Share, Sketch, row_digest};
pub use survey::{BLOCK_BYTES, Survey, Surveyed};
pub use table::{Step, Table};
