//! Diesel's own tool, for the tests that print code.

use std::{
    env,
    path::{Path, PathBuf},
    process::Command,
    sync::LazyLock,
};

/// Where `.ci/tools` installs it, or where it is anyway. A machine without it gets one, built in the target
/// directory: these tests are never skipped.
static DIESEL: LazyLock<PathBuf> = LazyLock::new(|| {
    let cargos = env::var_os("CARGO_HOME").map(PathBuf::from);
    let cargos = cargos.or_else(|| Some(PathBuf::from(env::var_os("HOME")?).join(".cargo")));
    let own = target_dir().join("diesel_cli");
    let candidates = [
        Some(PathBuf::from("diesel")),
        cargos.map(|dir| dir.join("bin/diesel")),
        Some(own.join("bin/diesel")),
    ];
    let found = candidates.into_iter().flatten().find(|path| fits(path));
    found.unwrap_or_else(|| build(&own))
});

pub(crate) fn diesel() -> &'static Path {
    &DIESEL
}

/// The directory that this test was built in.
pub(crate) fn target_dir() -> PathBuf {
    let binary = Path::new(env!("CARGO_BIN_EXE_boardinghouse"));
    binary.ancestors().nth(2).unwrap().to_owned()
}

/// The cargo that runs the tests.
pub(crate) fn cargo() -> Command {
    Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
}

fn fits(diesel: &Path) -> bool {
    let Ok(output) = Command::new(diesel).arg("--version").output() else {
        return false;
    };
    let version = String::from_utf8_lossy(&output.stdout).into_owned();
    version.contains(" 2.3.") && version.contains("postgres")
}

fn build(root: &Path) -> PathBuf {
    let has_libpq = Command::new("pg_config").arg("--version").output().is_ok();
    let features = match has_libpq {
        true => "postgres",
        false => "postgres-bundled",
    };
    let output = cargo()
        .args(["install", "diesel_cli", "--version", "~2.3", "--locked"])
        .args(["--no-default-features", "--features", features, "--root"])
        .arg(root)
        .env_remove("CARGO_TARGET_DIR")
        .output()
        .unwrap();
    assert!(
        output.status.success(),
        "these tests need diesel_cli 2.3, see .ci/tools: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    root.join("bin/diesel")
}
