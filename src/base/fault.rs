//! Points at which a test can kill the process, to see what a restart does with the remains, or make a resolver panic.
//! Debug builds only.

use std::sync::OnceLock;

static POINT: OnceLock<String> = OnceLock::new();

/// Kills the process at the point of this name, or (as `panic:name`) panics there.
pub fn set(point: &str) {
    let _ = POINT.set(point.to_owned());
}

/// Kills the process here, without any clean-up, when a test has set this point.
pub fn point(name: &str) {
    if !cfg!(debug_assertions) {
        return;
    }
    let Some(point) = POINT.get() else { return };
    assert!(point.strip_prefix("panic:") != Some(name), "panics at {name}, as TENANTRY_FAULT says");
    if point == name {
        eprintln!("killed at {name}, as TENANTRY_FAULT says");
        let _ = nix::sys::signal::kill(nix::unistd::Pid::this(), nix::sys::signal::Signal::SIGKILL);
    }
}
