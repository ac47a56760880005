//! Memory that only the start needed.

/// Gives back to the system the pages of the program that this process has in memory: those that it runs by are there again at
/// their next use, from the system's cache of files, and what only the start ran by stays away.
///
/// They are half of an idle server: the relocations, the command line, the migrations, the making of the schema. What the
/// program has written, and its heap, stay as they are. On systems other than Linux nothing is done.
pub fn give_back_start() {
    #[cfg(target_os = "linux")]
    if let Err(error) = linux::drop_clean_pages() {
        tracing::debug!(%error, "the pages of the start stay in memory");
    }
}

#[cfg(target_os = "linux")]
mod linux {
    use std::{ffi::c_void, io, path::Path, ptr::NonNull};

    use nix::sys::mman::{MmapAdvise, madvise};
    use procfs::process::{MMPermissions, MMapPath, MemoryMap, Process};

    /// # Errors
    /// Where `/proc` is not there, or the kernel refuses.
    pub(super) fn drop_clean_pages() -> io::Result<()> {
        let process = Process::myself().map_err(io::Error::other)?;
        let program = process.exe().map_err(io::Error::other)?;
        for map in process.smaps().map_err(io::Error::other)? {
            let (start, end) = map.address;
            let (Ok(start), Ok(length)) = (usize::try_from(start), usize::try_from(end - start)) else { continue };
            let Some(start) = NonNull::new(start as *mut c_void).filter(|_| is_as_in_file(&map, &program)) else {
                continue;
            };
            // SAFETY: the kernel reads a page of a file's mapping from the file again when it is used next, so nobody
            // notices, as long as it is what the file says; and this mapping can't be written to and has no page of its own,
            // in memory or swapped out. It is the program's, which nothing unmaps, so nothing else stands there by now.
            #[expect(unsafe_code, reason = "the only way to say which pages are not needed")]
            unsafe {
                madvise(start, length, MmapAdvise::MADV_DONTNEED)?;
            }
        }
        Ok(())
    }

    /// Whether a mapping is of this file, and no page of it differs from the file. What the linker has relocated does, although
    /// it can't be written to any more.
    fn is_as_in_file(map: &MemoryMap, file: &Path) -> bool {
        matches!(&map.pathname, MMapPath::Path(path) if path == file)
            && !map.perms.intersects(MMPermissions::WRITE | MMPermissions::SHARED)
            && ["Anonymous", "Swap"].iter().all(|it| map.extension.map.get(*it) == Some(&0))
    }

    #[cfg(test)]
    mod tests {
        use std::path::PathBuf;

        use super::*;

        fn maps() -> (Vec<MemoryMap>, PathBuf) {
            let process = Process::myself().unwrap();
            (process.smaps().unwrap().into_iter().collect(), process.exe().unwrap())
        }

        /// How much of the program is in memory, in bytes, but for what differs from its file.
        fn resident() -> u64 {
            let (maps, program) = maps();
            maps.iter().filter(|it| is_as_in_file(it, &program)).map(|it| it.extension.map["Rss"]).sum()
        }

        #[test]
        fn code_is_given_back_and_relocated_data_never() {
            let (maps, program) = maps();
            let (code, data) = (code as *const () as u64, (&raw const RELOCATED).addr() as u64);
            let map_of = |at: u64| maps.iter().find(|it| it.address.0 <= at && at < it.address.1).unwrap();
            assert!(is_as_in_file(map_of(code), &program) && !is_as_in_file(map_of(data), &program));
            let before = resident();
            drop_clean_pages().unwrap();
            assert!(resident() < before);
            assert_eq!(std::hint::black_box(&RELOCATED)[1], "relocated");
        }

        fn code() {}

        /// Texts in a table are addresses, which the linker writes.
        static RELOCATED: [&str; 2] = ["is", "relocated"];
    }
}
