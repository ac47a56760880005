//! Chooses the page that `/graphiql` serves: the full GraphiQL when it was built from its npm packages (see
//! web/README.md), or else the explorer that needs no build. And has a new migration built in, of which the compiler knows
//! nothing.

use std::path::Path;

fn main() {
    // The folder, not the file: a file that does not exist yet would make every build a new one.
    println!("cargo::rerun-if-changed=web/pages");
    println!("cargo::rerun-if-changed=sql");
    let root = std::env::var_os("CARGO_MANIFEST_DIR").unwrap_or_default();
    let built = Path::new(&root).join("web/pages/graphiql.html");
    let page = if built.is_file() { built } else { Path::new(&root).join("web/pages/explorer.html") };
    println!("cargo::rustc-env=TENANTRY_EXPLORER_PAGE={}", page.display());
}
