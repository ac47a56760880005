//! Writing a request without waiting for its answer.

use futures_util::FutureExt;

/// Polls once, which writes the request to the connection, in this order; the answer is discarded unless somebody else
/// holds the future.
pub(super) fn write_now<T>(request: impl Future<Output = T>) {
    let _ = request.now_or_never();
}
