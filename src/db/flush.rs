//! Writes a request without waiting for its answer.

use futures_util::FutureExt;

/// Polls once, which writes the request to the connection in order. The answer is discarded unless another owner holds
/// the future.
pub(super) fn write_now<T>(request: impl Future<Output = T>) {
    let _ = request.now_or_never();
}
