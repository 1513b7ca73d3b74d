//! The files that the rules judge: one map, read from a checkout or made up by a test.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;

/// The Rust files of a workspace.
#[derive(Debug, Clone, Default)]
pub struct Tree {
    /// Text by path, relative to the root of the workspace.
    pub files: BTreeMap<String, String>,
    /// Source folder by crate name, as cargo sees the members.
    pub crates: BTreeMap<String, String>,
}

impl Tree {
    /// Reads a checkout. Folders whose name starts with a dot and cargo's target folders are left out.
    ///
    /// # Errors
    /// When cargo does not know the members, or a file cannot be read: the text names it.
    pub fn read(root: &Path) -> Result<Self, String> {
        let mut tree = Self { files: BTreeMap::new(), crates: members(root)? };
        read_folder(root, root, &mut tree.files)?;
        Ok(tree)
    }
}

/// Asks cargo, so that a glob in `members` hides no crate.
fn members(root: &Path) -> Result<BTreeMap<String, String>, String> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let output = Command::new(cargo)
        .args(["metadata", "--no-deps", "--format-version", "1", "--offline"])
        .current_dir(root)
        .output()
        .map_err(|error| format!("start cargo: {error}"))?;
    if !output.status.success() {
        return Err(format!("cargo metadata: {}", String::from_utf8_lossy(&output.stderr)));
    }
    let said: serde_json::Value =
        serde_json::from_slice(&output.stdout).map_err(|error| format!("cargo metadata: {error}"))?;
    let packages = said.get("packages").and_then(serde_json::Value::as_array).cloned().unwrap_or_default();
    let text = |package: &serde_json::Value, field: &str| {
        package.get(field).and_then(serde_json::Value::as_str).unwrap_or_default().to_owned()
    };
    let mut found = BTreeMap::new();
    for package in &packages {
        let manifest = text(package, "manifest_path");
        let source = Path::new(&manifest).with_file_name("src");
        found.insert(text(package, "name"), relative(root, &source)?);
    }
    Ok(found)
}

fn read_folder(root: &Path, folder: &Path, files: &mut BTreeMap<String, String>) -> Result<(), String> {
    for entry in fs_err::read_dir(folder).map_err(|error| error.to_string())? {
        let entry = entry.map_err(|error| error.to_string())?;
        let kind = entry.file_type().map_err(|error| error.to_string())?;
        let path = entry.path();
        let name = entry.file_name().to_string_lossy().into_owned();
        if kind.is_dir() {
            if !name.starts_with('.') && !path.join("CACHEDIR.TAG").exists() {
                read_folder(root, &path, files)?;
            }
        } else if name.ends_with(".rs") {
            let text = fs_err::read_to_string(&path).map_err(|error| error.to_string())?;
            files.insert(relative(root, &path)?, text);
        }
    }
    Ok(())
}

fn relative(root: &Path, path: &Path) -> Result<String, String> {
    let inside = path
        .strip_prefix(root)
        .map_err(|error| format!("{} is not below {}: {error}", path.display(), root.display()))?;
    Ok(inside.to_string_lossy().into_owned())
}
