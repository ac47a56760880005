//! Chooses the page that `/graphiql` serves: the full GraphiQL if it was built from its npm packages (see
//! web/README.md), otherwise the explorer that needs no build. Also makes cargo rebuild when a migration is added,
//! because the compiler does not track the SQL folder.

use std::path::Path;

fn main() {
    // The folder, not the file: cargo rebuilds every time when a watched file does not exist.
    println!("cargo::rerun-if-changed=web/pages");
    println!("cargo::rerun-if-changed=sql");
    let root = std::env::var_os("CARGO_MANIFEST_DIR").unwrap_or_default();
    let built = Path::new(&root).join("web/pages/graphiql.html");
    let page = if built.is_file() { built } else { Path::new(&root).join("web/pages/explorer.html") };
    println!("cargo::rustc-env=TENANTRY_EXPLORER_PAGE={}", page.display());
}
