//! Points at which a test can have the process killed, to see what a restart makes of what was left. Debug builds only.

use std::sync::OnceLock;

static POINT: OnceLock<String> = OnceLock::new();

/// Has the process killed at the point of this name.
pub fn set(point: &str) {
    let _ = POINT.set(point.to_owned());
}

/// Dies here, without any clean-up, when a test wants it.
pub fn point(name: &str) {
    if cfg!(debug_assertions) && POINT.get().is_some_and(|it| it == name) {
        eprintln!("killed at {name}, as TENANTRY_FAULT says");
        let _ = nix::sys::signal::kill(nix::unistd::Pid::this(), nix::sys::signal::Signal::SIGKILL);
    }
}
