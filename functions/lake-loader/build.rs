//! The models are part of the program (`src/models.rs`): a new one makes it anew, which the compiler does not notice by
//! itself.

fn main() {
    println!("cargo::rerun-if-changed=../../warehouse");
}
