//! Points at which a test can have the process killed, to see what a restart makes of what was left, or a resolver panic.
//! Debug builds only.

use std::sync::OnceLock;

static POINT: OnceLock<String> = OnceLock::new();

/// Has the process killed at the point of this name, or (as `panic:name`) whoever comes there panic.
pub fn set(point: &str) {
    let _ = POINT.set(point.to_owned());
}

/// Dies here, without any clean-up, when a test wants it.
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
