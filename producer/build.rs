//! A new migration is embedded without touching any other file.

fn main() {
    println!("cargo:rerun-if-changed=migrations");
}
