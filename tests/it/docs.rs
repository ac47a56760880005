//! The documents say what is so: the configuration page has every variable, and every path that is cited exists.

use std::{collections::BTreeSet, fs, path::Path};

use crate::support::server::program;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Every document for people, with its text.
fn documents() -> Vec<(String, String)> {
    let mut found = Vec::new();
    let mut folders = vec![root().join("docs")];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            match path.is_dir() {
                true => folders.push(path),
                false if path.extension().is_some_and(|it| it == "md") => found.push(path),
                false => {}
            }
        }
    }
    found.extend(["README.md", "ARCHITECTURE.md", "CONTRIBUTING.md", "SECURITY.md"].map(|it| root().join(it)));
    let read = |path: &Path| {
        let name = path.strip_prefix(root()).unwrap().display().to_string();
        (name, fs::read_to_string(path).unwrap())
    };
    found.iter().map(|it| read(it)).collect()
}

#[test]
fn the_configuration_page_has_every_variable_and_no_other() {
    let help = program().arg("--help").output().unwrap();
    let help = String::from_utf8(help.stdout).unwrap();
    let variable = regex::Regex::new(r"\[env: ([A-Z0-9_]+)").unwrap();
    let known: BTreeSet<&str> = variable.captures_iter(&help).map(|it| it.get(1).unwrap().as_str()).collect();
    let page = fs::read_to_string(root().join("docs/configuration.md")).unwrap();
    let row = regex::Regex::new(r"(?m)^\| `([A-Z0-9_]+)` \|").unwrap();
    let told: BTreeSet<&str> = row.captures_iter(&page).map(|it| it.get(1).unwrap().as_str()).collect();
    assert!(known.len() > 50, "{help}");
    assert_eq!(told, known);
}

#[test]
fn every_cited_path_exists() {
    let path = regex::Regex::new(r"(?:src|sql|tests|docs|web|benches|\.ci)/[A-Za-z0-9_./-]*[A-Za-z0-9_/]").unwrap();
    let link = regex::Regex::new(r"\]\(([^)#:\s]+)(?:#[^)]*)?\)").unwrap();
    let mut missing = Vec::new();
    for (name, text) in documents() {
        let folder = root().join(&name).parent().unwrap().to_owned();
        let linked = link.captures_iter(&text).map(|it| folder.join(&it[1]));
        // With a wildcard, a placeholder or a line it is no path of a file.
        let cited = path.find_iter(&text).filter(|it| !text[it.end()..].starts_with(['*', '<', '{', '…']));
        let cited = cited.map(|it| root().join(it.as_str()));
        for path in linked.chain(cited) {
            let is_made = path.components().any(|it| matches!(it.as_os_str().to_str(), Some("dist" | "node_modules")));
            if !path.exists() && !is_made {
                missing.push(format!("{name}: {}", path.display()));
            }
        }
    }
    assert_eq!(missing, Vec::<String>::new());
}
